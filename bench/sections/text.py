"""How figures are told: the same tables and ratios in every section."""

import re
import statistics

LABELS = {
    "landfast": "Landfast",
    "landfast-in-process": "Landfast, in process",
    "landfast-mimalloc": "Landfast, mimalloc",
    "datafusion": "DataFusion",
    "duckdb": "DuckDB",
    "trino": "Trino",
    "iceberg-rust": "iceberg-rust",
    "pyiceberg": "PyIceberg",
}
COLOURS = {"landfast": "#0b6e8f", "datafusion": "#e08e2b", "duckdb": "#8a8f98", "trino": "#b0489a"}


def taken(result, details):
    """What the figures were taken on, and with what."""
    m = result["machine"]
    build = "" if result["build"] == "release" else f" **This is a {result['build']} build: the figures mean nothing.**"
    # What else ran shows here: the engines by themselves take turns, and keep no more than the cores busy.
    load = m.get("load")
    busy = f" The load over the last quarter of an hour was {load:.1f}." if load is not None else ""
    return (
        f"Taken {result['taken']} at commit `{m['commit']}`{'' if m['clean'] else ' (with changes not committed)'} on {m['cores']} cores "
        f"({m['processor']}), {m['memory_gib']} GiB, {m['system']}.{build}{busy} {details}"
    )


def names(times):
    """The engines that answered anything, in their order."""
    found = {name for query in times.values() for name, ms in query.items() if ms}
    return [name for name in LABELS if name in found]


def ratio(medians, peer, of="landfast"):
    return f"{medians[of] / medians[peer]:.2f}" if of in medians and medians.get(peer) else ""


def median_of(ms):
    return f"{statistics.median(ms):.0f} ({min(ms):.0f}–{max(ms):.0f})"


def shared(times, one, other):
    """The queries that both answered."""
    return [query for query, found in times.items() if found.get(one) and found.get(other)]


def total(times, name, queries=None):
    """The sum of the medians, in ms, of an engine's queries."""
    return sum(statistics.median(found[name]) for query, found in times.items() if found.get(name) and (queries is None or query in queries))


def total_ratio(times, one, other):
    """How many times as long `one` takes for the queries that both answered; none without any."""
    queries = shared(times, one, other)
    return total(times, one, queries) / total(times, other, queries) if queries else None


def totals_table(result, peers, cases=(("warm", "warm_ms"), ("cold", "cold_ms"))):
    engines = names(result["warm_ms"])
    peers = [peer for peer in peers if peer in engines]
    lines = ["| total | " + " | ".join(LABELS[name] for name in engines) + "".join(f" | ÷ {LABELS[peer]}" for peer in peers) + " |"]
    lines.append("| --- |" + " ---: |" * (len(engines) + len(peers)))
    for title, key in cases:
        times = result[key]
        if not any(ms for query in times.values() for ms in query.values()):
            continue
        cells = [f"{total(times, name) / 1000:.2f} s ({spread(times, name)})" for name in engines]
        ratios = [total_ratio(times, "landfast", peer) for peer in peers]
        lines.append(f"| {title} | " + " | ".join(cells + [f"{value:.2f}" if value else "" for value in ratios]) + " |")
    return "\n".join(lines)


def spread(times, name):
    """The quickest and the slowest round, in seconds."""
    runs = [query[name] for query in times.values() if query.get(name)]
    rounds = [sum(ms[number] for ms in runs) for number in range(min(len(ms) for ms in runs))]
    return f"{min(rounds) / 1000:.2f}–{max(rounds) / 1000:.2f}"


def queries_table(times, peers, title="warm, ms"):
    engines = names(times)
    peers = [peer for peer in peers if peer in engines]
    lines = [f"| {title} | " + " | ".join(LABELS[name] for name in engines) + "".join(f" | ÷ {LABELS[peer]}" for peer in peers) + " |"]
    lines.append("| --- |" + " ---: |" * (len(engines) + len(peers)))
    for query, found in times.items():
        medians = {name: statistics.median(ms) for name, ms in found.items() if ms}
        cells = [median_of(found[name]) if found.get(name) else "" for name in engines]
        lines.append(f"| {query} | " + " | ".join(cells + [ratio(medians, peer) for peer in peers]) + " |")
    return "\n".join(lines)


def aim(name, value, at_most=None, at_least=None):
    """A line of a table of aims: whether it is hit, or by how much it is missed."""
    wanted = f"≤ {at_most:g}" if at_most is not None else f"≥ {at_least:g}"
    if value is None:
        return f"| {name} | {wanted} | | not measured |"
    hit = value <= at_most if at_most is not None else value >= at_least
    return f"| {name} | {wanted} | {value:.3f} | {'hit' if hit else '**missed**'} |"


def aims_table(lines):
    return "\n".join(["| aim | wanted | found | |", "| --- | ---: | ---: | --- |", *lines])


def errors_text(errors):
    """Which engine could not answer what, in its own words."""
    lines = []
    for name, found in errors.items():
        words = {}
        for query, text in found.items():
            words.setdefault(re.sub(r" \[query .*", "", text.splitlines()[0])[:200], []).append(query)
        lines += [f"- {LABELS[name]} did not answer {', '.join(queries)}: {text}" for text, queries in words.items()]
    return "\n".join(lines)

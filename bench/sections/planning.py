"""Planning alone: which files of a table of up to a million does a range of an unpartitioned column need?"""

import statistics
import time

from harness.engines import EngineError
from harness.files import available_bytes, forget
from harness.lake import Table, local

ENGINES = {"landfast": "plan_landfast", "iceberg-rust": "plan_iceberg", "pyiceberg": "plan_pyiceberg"}
# No engine gets longer than this for the runs of one table after the first: those that take long get fewer rounds.
BUDGET_S = 60
# A table on which an engine would probably take longer than this for one plan is left out.
MOST_S = 300
# What iceberg-rust's parsed manifests take; measured below this, and told in the figures.
BYTES_PER_ENTRY = {"iceberg-rust": 10_000}
# A range this many files wide.
WIDTH = 10
AIMS = {"pyiceberg": {"cold": 20, "warm": 10}, "iceberg-rust": {"cold": 4, "warm": 10}}


def sizes(bench):
    return (1_000,) if bench.small else (1_000, 100_000, 1_000_000)


def measure(bench):
    result = {"tables": {}}
    for files in sizes(bench):
        table, step = written(bench, files)
        found = {}
        for name in ENGINES:
            before = result["tables"].get(str(files // 10)) or result["tables"].get(str(files // 100)) or {}
            reason = too_much(name, files, before.get(name, {}))
            found[name] = {"skipped": reason} if reason else plan(bench, name, table, files, step)
            bench.say(f"  {files:>9,} files, {name}: {told(found[name], files)}")
        check(bench, files, found)
        result["tables"][str(files)] = found
    return result


def written(bench, files):
    """The table of that many files, and how far apart they begin in the predicate's column."""
    name = f"planning/t{files}"
    made = bench.once(name, lambda folder: bench.writer("planning", "--dir", folder, "--files", files))
    metadata = local(made["metadata"])
    return Table(f"t{files}", metadata, None, files, 0, 0), made["step"]


def too_much(name, files, before):
    """Why an engine doesn't plan over the larger table; none if it does."""
    if "skipped" in before:
        return before["skipped"]
    if before.get("error"):
        return "it failed on the smaller table"
    if before:
        seconds = before["cold_ms"][0] / 1000 * files / before["files"]
        if seconds > MOST_S:
            return f"one plan would take about {seconds:.0f} s"
    wanted, there = files * BYTES_PER_ENTRY.get(name, 0), available_bytes()
    if there is not None and wanted > there:
        return f"it would keep about {wanted / 2**30:.0f} GiB, and {there / 2**30:.0f} GiB are free"
    return None


def plan(bench, name, table, files, step, rounds=None, cold_rounds=None):
    """Cold: the first plan of a fresh process, its files dropped from the system's cache. Warm: further plans of the last
    one, each over another range, after one that doesn't count."""
    engines = bench.running("planning", [table])
    start = getattr(engines, ENGINES[name])
    rounds, cold_rounds = rounds or bench.rounds, max(cold_rounds or bench.cold_rounds, 1)
    ranges = [(at * step, (at + WIDTH) * step) for at in range(files // 7, files // 7 + 50 * WIDTH, WIDTH)]
    found = {"files": files, "cold_ms": [], "warm_ms": [], "left": {}}
    try:
        began = time.monotonic()
        while len(found["cold_ms"]) < cold_rounds and (not found["cold_ms"] or time.monotonic() - began < BUDGET_S):
            forget([table.metadata.parent])
            engine = start(table)
            try:
                first = engine.ask(question(ranges[0]))
                found["cold_ms"].append(first["ms"])
                found["left"]["0"] = first["files"]
                again = len(found["cold_ms"]) < cold_rounds and time.monotonic() - began < BUDGET_S
                if not again:
                    warm(engine, ranges, rounds, first, found)
            finally:
                engine.close()
    except EngineError as error:
        found["error"] = str(error)
        (bench.problem if name == "landfast" else bench.say)(f"planning over {files:,} files, {error}")
    return found


def warm(engine, ranges, rounds, first, found):
    if engine.at_start.get("memory"):
        found["rss_bytes"] = first["memory"]["rss"] - engine.at_start["memory"]["rss"]
        found["peak_bytes"] = first["memory"]["peak"]
    found["cache_bytes"] = first["cache_bytes"]
    began = time.monotonic()
    engine.ask(question(ranges[1]))
    for number in range(rounds):
        if found["warm_ms"] and time.monotonic() - began > BUDGET_S:
            break
        at = 2 + number % (len(ranges) - 2)
        run = engine.ask(question(ranges[at]))
        found["warm_ms"].append(run["ms"])
        found["left"][str(at)] = run["files"]


def question(bounds):
    return {"low": bounds[0], "high": bounds[1]}


def check(bench, files, found):
    """Every engine has to be left with the same number of files for the same range."""
    ranges = {}
    for name, each in found.items():
        for at, left in each.get("left", {}).items():
            ranges.setdefault(at, {})[name] = left
    for left in ranges.values():
        if len(set(left.values())) > 1:
            bench.problem(f"planning over {files:,} files: the same range needs {left} files")


def told(each, files):
    if "skipped" in each:
        return f"skipped: {each['skipped']}"
    if each.get("error"):
        return each["error"]
    kept = f", {each['rss_bytes'] / files:,.0f} B per entry" if "rss_bytes" in each else ""
    return f"cold {statistics.median(each['cold_ms']):,.1f} ms, warm {statistics.median(each['warm_ms']):,.2f} ms{kept}, {each['left']['0']} files left"


def render(result):
    from sections import text

    heading = text.taken(
        result,
        "Metrics of 16 columns, 10,000 entries a manifest, deflated as Java writes them; a range of an unpartitioned column, ten files "
        "wide, whose bounds don't follow the manifests' order. Data files need not exist. Cold is the first plan of a fresh process "
        "whose files were dropped from the system's cache, and includes opening the table; warm plans go over other ranges. "
        "Memory is what the process grew by with its first plan, and in brackets what Landfast's cache says it holds.",
    )
    lines = ["| files | engine | cold, ms | warm, ms | memory per entry | Landfast is quicker, cold | warm |", "| ---: | --- |" + " ---: |" * 5]
    for files, found in result["tables"].items():
        for name, each in found.items():
            lines.append(row(int(files), name, each, found.get("landfast", {}), text.LABELS))
    return "\n\n".join(["### Planning", heading, "\n".join(lines), text.aims_table(aims(result, text))])


def row(files, name, each, ours, labels):
    if "skipped" in each or each.get("error"):
        return f"| {files:,} | {labels[name]} | {('skipped: ' + each['skipped']) if 'skipped' in each else each['error'][:160]} | | | | |"
    spread = lambda ms: f"{statistics.median(ms):,.1f} ({min(ms):,.1f}–{max(ms):,.1f}; {len(ms)})"
    kept = f"{each['rss_bytes'] / files:,.0f} B" if "rss_bytes" in each else ""
    if each.get("cache_bytes"):
        kept += f" ({each['cache_bytes'] / files:,.0f} B)"
    ratios = [f"{value:,.0f} ×" if (value := quicker(each, ours, key)) and name != "landfast" else "" for key in ("cold", "warm")]
    return f"| {files:,} | {labels[name]} | {spread(each['cold_ms'])} | {spread(each['warm_ms'])} | {kept} | " + " | ".join(ratios) + " |"


def quicker(peer, ours, key):
    """How many times as long the peer takes."""
    times, of_ours = peer.get(f"{key}_ms"), ours.get(f"{key}_ms")
    return statistics.median(times) / statistics.median(of_ours) if times and of_ours else None


def aims(result, text):
    lines = []
    for peer, wanted in AIMS.items():
        for key, least in wanted.items():
            for files, found in result["tables"].items():
                value = quicker(found.get(peer, {}), found.get("landfast", {}), key)
                lines.append(text.aim(f"{text.LABELS[peer]} ÷ Landfast, {key}, {int(files):,} files", value, at_least=least))
    ours = result["tables"].get("1000000", {}).get("landfast", {})
    if ours.get("warm_ms"):
        lines.append(text.aim("1,000,000 files, warm, ms", statistics.median(ours["warm_ms"]), at_most=20))
        if ours.get("cache_bytes"):
            lines.append(text.aim("1,000,000 files, bytes per entry in the cache", ours["cache_bytes"] / 1_000_000, at_most=400))
    return lines

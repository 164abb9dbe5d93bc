#!/usr/bin/env python3
"""Renders bench/results/tpch.json into bench/README.md, between its markers: no figure there is written by hand.

    python3 bench/report.py
"""

import json
import statistics
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
COLOURS = {"landfast": "#0b6e8f", "datafusion": "#e08e2b", "duckdb": "#8a8f98"}
AIMS = {"datafusion": 1.10, "duckdb": 1.15}
LABELS = {
    "landfast": "Landfast",
    "landfast-in-process": "Landfast, in process",
    "datafusion": "DataFusion",
    "duckdb": "DuckDB",
}


def main():
    result = json.loads((BENCH / "results" / "tpch.json").read_text())
    insert(render(result), BENCH / "README.md")


def insert(text, path):
    page = path.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text.rstrip()}\n{END}{after}")


def render(result):
    parts = [heading(result), totals(result), "![Warm medians of each query](results/tpch.png)", per_query(result), small(result)]
    return "\n\n".join(part for part in parts if part) + "\n"


def heading(result):
    m, s, tables = result["machine"], result["settings"], result["tables"]
    build = "" if result["build"] == "release" else f" **This is a {result['build']} build: the figures mean nothing.**"
    # What else ran shows here: the engines by themselves take turns, and keep no more than the cores busy.
    load = m.get("load")
    busy = f" The load over the last quarter of an hour was {load:.1f}." if load is not None else ""
    return (
        f"Taken {result['taken']} at commit `{m['commit']}`{'' if m['clean'] else ' (with changes not committed)'} on {m['cores']} cores "
        f"({m['processor']}), {m['memory_gib']} GiB, {m['system']}.{build}{busy} "
        f"TPC-H at scale factor {s['scale_factor']:g}: {sum(t['files'] for t in tables.values())} files, "
        f"{sum(t['bytes'] for t in tables.values()) / 2**20:,.0f} MiB, {tables['lineitem']['rows']:,} rows of lineitem in "
        f"{tables['lineitem']['files']} files. DataFusion {m['datafusion']} and Landfast with target_partitions {s['target_partitions']} "
        f"and batches of {s['batch_size']:,} rows; DuckDB {m['duckdb']}; ADBC driver {m['adbc']}. Answers: {result['answers']}."
    )


def totals(result):
    lines = ["| total | " + " | ".join(LABELS[name] for name in names(result)) + " | ÷ DataFusion | ÷ DuckDB |"]
    lines.append("| --- |" + " ---: |" * (len(names(result)) + 2))
    for title, key in (("warm", "warm_ms"), ("cold", "cold_ms")):
        if not any(times for query in result[key].values() for times in query.values()):
            continue
        medians = {name: sum(statistics.median(query[name]) for query in result[key].values()) for name in names(result)}
        cells = [f"{medians[name] / 1000:.2f} s ({spread(result[key], name)})" for name in names(result)]
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {ratio(medians, 'datafusion')} | {ratio(medians, 'duckdb')} |")
    aims = ", ".join(f"{aim} × {LABELS[name]}" for name, aim in AIMS.items())
    return "\n".join(lines) + f"\n\nA total is the sum of the medians; in brackets, the quickest and the slowest round. The aim, warm: at most {aims}."


def spread(times, name):
    rounds = [sum(query[name][number] for query in times.values()) for number in range(len(next(iter(times.values()))[name]))]
    return f"{min(rounds) / 1000:.2f}–{max(rounds) / 1000:.2f}"


def ratio(medians, peer):
    return f"{medians['landfast'] / medians[peer]:.2f}" if "landfast" in medians and peer in medians else ""


def per_query(result):
    lines = ["| warm, ms | " + " | ".join(LABELS[name] for name in names(result)) + " | ÷ DataFusion | ÷ DuckDB |"]
    lines.append("| --- |" + " ---: |" * (len(names(result)) + 2))
    for query, times in result["warm_ms"].items():
        medians = {name: statistics.median(ms) for name, ms in times.items()}
        cells = [f"{medians[name]:.0f} ({min(times[name]):.0f}–{max(times[name]):.0f})" for name in names(result)]
        lines.append(f"| {query} | " + " | ".join(cells) + f" | {ratio(medians, 'datafusion')} | {ratio(medians, 'duckdb')} |")
    return "\n".join(lines)


def small(result):
    lines = ["| | SELECT 1, median (95 %) | every column of lineitem, median | rows/s | ready after |", "| --- |" + " ---: |" * 4]
    for name, scan in result["scan"].items():
        trips = result["select_1_ms"].get(name)
        trip = f"{statistics.median(trips):.2f} ms ({sorted(trips)[int(len(trips) * 0.95)]:.2f})" if trips else ""
        ready = result["ready_ms"].get(name)
        ms = statistics.median(scan["ms"])
        lines.append(
            f"| {LABELS[name]} | {trip} | {ms / 1000:.2f} s ({min(scan['ms']) / 1000:.2f}–{max(scan['ms']) / 1000:.2f}) | "
            f"{scan['rows'] / ms * 1000 / 1e6:.1f} M | {f'{statistics.median(ready):.0f} ms' if ready else ''} |"
        )
    return "\n".join(lines)


def plot(result, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    queries, engines = list(result["warm_ms"]), names(result)
    figure, axes = plt.subplots(figsize=(13, 4.2), layout="constrained")
    width = 0.8 / len(engines)
    for number, name in enumerate(engines):
        times = [result["warm_ms"][query][name] for query in queries]
        medians = [statistics.median(ms) for ms in times]
        below = [m - min(ms) for m, ms in zip(medians, times)]
        above = [max(ms) - m for m, ms in zip(medians, times)]
        at = [index + (number - (len(engines) - 1) / 2) * width for index in range(len(queries))]
        total = sum(medians) / 1000
        axes.bar(at, medians, width, color=COLOURS[name], label=f"{LABELS[name]}, {total:.2f} s in all")
        axes.errorbar(at, medians, [below, above], fmt="none", ecolor="#33373d", elinewidth=0.7)
    axes.set_xticks(range(len(queries)), queries)
    axes.set_ylabel("ms, warm; median, quickest and slowest")
    axes.set_title(f"TPC-H at scale factor {result['settings']['scale_factor']:g}, {result['machine']['cores']} cores")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def names(result):
    return [name for name in LABELS if name in next(iter(result["warm_ms"].values()))]


if __name__ == "__main__":
    main()

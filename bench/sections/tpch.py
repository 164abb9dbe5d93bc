"""TPC-H on tables without deletes, with a look at the wire: what Landfast costs beside an engine on bare Parquet."""

import statistics

from harness import measure as measuring
from harness.lake import open_lake
from sections import text

# Warm, of Landfast's time to each peer's.
AIMS = {"datafusion": 1.02, "duckdb": 0.9}
QUERY_AIM = 1.3


def engines_of(bench):
    return bench.running("tpch", open_lake(bench.lake))


def measure(bench):
    engines = engines_of(bench)
    queries = measuring.query_texts(bench.queries)
    running = []
    try:
        running = [engines.start(name) for name in bench.engines]
        bench.say("Comparing the answers")
        agreed, errors = measuring.compare(bench, "TPC-H", running, queries)
        queries = {query: queries[query] for query in agreed}
        bench.say(f"Warm: {bench.rounds} rounds")
        warm_ms, seconds = measuring.timed(lambda: measuring.warm(running, queries, bench.rounds, bench.say, errors))
        bench.say(f"  {seconds:.0f} s\nSELECT 1, and every column of lineitem")
        trips = measuring.round_trips(running, 500)
        if "landfast" in bench.engines:
            running.append(engines.start("landfast-in-process"))
        scans = measuring.scan(running, bench.rounds)
    finally:
        for engine in running:
            engine.close()
    bench.say(f"Cold: {bench.cold_rounds} rounds")
    cold_ms, ready_ms = measuring.cold(engines.start, bench.engines, queries, bench.cold_rounds, bench.say, engines.folders(), errors)
    same = "every engine gave the same answer" if not any(errors.values()) else "every engine that answered gave the same answer"
    return {
        "tables": {t.name: {"files": t.files, "bytes": t.bytes, "rows": t.rows} for t in engines.tables},
        "answers": f"{len(agreed)} queries: {same}",
        "errors": errors,
        "warm_ms": warm_ms,
        "cold_ms": cold_ms,
        "ready_ms": ready_ms,
        "select_1_ms": trips,
        "scan": scans,
    }


def render(result):
    parts = [
        "### TPC-H, no deletes",
        heading(result),
        text.totals_table(result, ("datafusion", "duckdb")),
        "A total is the sum of the medians; in brackets, the quickest and the slowest round.",
        text.aims_table(aims(result)),
        "![Warm medians of each query](results/tpch.png)",
        text.queries_table(result["warm_ms"], ("datafusion", "duckdb")),
        small(result),
    ]
    return "\n\n".join(part for part in parts if part)


def heading(result):
    m, s, tables = result["machine"], result["settings"], result["tables"]
    return text.taken(
        result,
        f"TPC-H at scale factor {s['scale_factor']:g}: {sum(t['files'] for t in tables.values())} files, "
        f"{sum(t['bytes'] for t in tables.values()) / 2**20:,.0f} MiB, {tables['lineitem']['rows']:,} rows of lineitem in "
        f"{tables['lineitem']['files']} files. DataFusion {m['datafusion']} and Landfast with target_partitions {s['target_partitions']} "
        f"and batches of {s['batch_size']:,} rows; DuckDB {m['duckdb']}; ADBC driver {m['adbc']}. Answers: {result['answers']}.",
    )


def aims(result):
    times = result["warm_ms"]
    lines = []
    for peer, most in AIMS.items():
        lines.append(text.aim(f"total ÷ {text.LABELS[peer]}, warm", text.total_ratio(times, "landfast", peer), at_most=most))
    worst = {query: statistics.median(times[query]["landfast"]) / statistics.median(times[query]["duckdb"]) for query in text.shared(times, "landfast", "duckdb")}
    query = max(worst, key=worst.get, default=None)
    lines.append(text.aim(f"slowest query ÷ DuckDB, warm{f' ({query})' if query else ''}", worst.get(query), at_most=QUERY_AIM))
    return lines


def small(result):
    lines = ["| | SELECT 1, median (95 %) | every column of lineitem, median | rows/s | ready after |", "| --- |" + " ---: |" * 4]
    for name, scan in result["scan"].items():
        trips = result["select_1_ms"].get(name)
        trip = f"{statistics.median(trips):.2f} ms ({sorted(trips)[int(len(trips) * 0.95)]:.2f})" if trips else ""
        ready = result["ready_ms"].get(name)
        ms = statistics.median(scan["ms"])
        lines.append(
            f"| {text.LABELS[name]} | {trip} | {ms / 1000:.2f} s ({min(scan['ms']) / 1000:.2f}–{max(scan['ms']) / 1000:.2f}) | "
            f"{scan['rows'] / ms * 1000 / 1e6:.1f} M | {f'{statistics.median(ready):.0f} ms' if ready else ''} |"
        )
    return "\n".join(lines)


def plot(result, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    queries, engines = list(result["warm_ms"]), text.names(result["warm_ms"])
    figure, axes = plt.subplots(figsize=(13, 4.2), layout="constrained")
    width = 0.8 / max(len(engines), 1)
    for number, name in enumerate(engines):
        times = [result["warm_ms"][query].get(name) or [0] for query in queries]
        medians = [statistics.median(ms) for ms in times]
        below = [m - min(ms) for m, ms in zip(medians, times)]
        above = [max(ms) - m for m, ms in zip(medians, times)]
        at = [index + (number - (len(engines) - 1) / 2) * width for index in range(len(queries))]
        axes.bar(at, medians, width, color=text.COLOURS[name], label=f"{text.LABELS[name]}, {sum(medians) / 1000:.2f} s in all")
        axes.errorbar(at, medians, [below, above], fmt="none", ecolor="#33373d", elinewidth=0.7)
    axes.set_xticks(range(len(queries)), queries)
    axes.set_ylabel("ms, warm; median, quickest and slowest")
    axes.set_title(f"TPC-H at scale factor {result['settings']['scale_factor']:g}, {result['machine']['cores']} cores")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)

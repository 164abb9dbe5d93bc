"""What an allocator is worth: Landfast's engine in process with the system's, and with mimalloc."""

import statistics
from pathlib import Path

from harness.engines import Engine
from harness.measure import compare, query_texts, warm
from sections import tpch

NAMES = ("landfast-in-process", "landfast-mimalloc")


def measure(bench):
    if not (bench.binaries / "landfast-bench-mimalloc").exists():
        return {"skipped": "landfast-bench-mimalloc is not built (cargo feature landfast-bench/mimalloc)"}
    engines = tpch.engines_of(bench)
    running = [engines.start(name) for name in NAMES]
    try:
        queries = query_texts(bench.queries)
        agreed, errors = compare(bench, "allocators", running, queries)
        warm_ms = warm(running, {query: queries[query] for query in agreed}, bench.rounds, bench.say, errors)
        peaks = {engine.name: peak_bytes(engine) for engine in running}
    finally:
        for engine in running:
            engine.close()
    return {"warm_ms": warm_ms, "peak_bytes": peaks, "errors": errors}


def peak_bytes(engine: Engine):
    """The most memory that the engine's process had resident; none where the system doesn't say."""
    try:
        lines = Path(f"/proc/{engine.worker.pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def render(result):
    from sections import text

    heading = text.taken(result, "TPC-H in process, warm, both workers up and taking turns.")
    if "skipped" in result:
        return "\n\n".join(["### Allocator", heading, f"Skipped: {result['skipped']}."])
    system, other = NAMES
    times = result["warm_ms"]
    quicker = [query for query, found in times.items() if statistics.median(found[other]) < statistics.median(found[system])]
    lines = ["| | system's | mimalloc | mimalloc ÷ system's |", "| --- | ---: | ---: | ---: |"]
    totals = {name: text.total(times, name) for name in NAMES}
    lines.append(f"| TPC-H, warm | {totals[system] / 1000:.2f} s | {totals[other] / 1000:.2f} s | {totals[other] / totals[system]:.2f} |")
    peaks = result["peak_bytes"]
    if all(peaks.values()):
        lines.append(f"| most resident | {peaks[system] / 2**20:,.0f} MiB | {peaks[other] / 2**20:,.0f} MiB | {peaks[other] / peaks[system]:.2f} |")
    return "\n\n".join(["### Allocator", heading, "\n".join(lines), f"mimalloc was quicker in {len(quicker)} of {len(times)} queries."])

"""How time is taken. Warm: every engine is up, and they take turns. Cold: a process that has run nothing yet."""

import statistics
import time
from pathlib import Path

QUERIES = Path(__file__).resolve().parent.parent / "queries"


def query_texts(numbers):
    return {f"q{number:02}": (QUERIES / f"q{number:02}.sql").read_text() for number in numbers}


def warm(engines, queries, rounds, say):
    """{query: {engine: [ms, ...]}}: one run of each that doesn't count, then rounds in which the engines take turns.

    Whoever starts a round changes, so that what one run leaves in the processor's caches helps or harms each alike.
    """
    times = {}
    for query, sql in queries.items():
        for engine in engines:
            engine.run(sql)
        times[query] = {engine.name: [] for engine in engines}
        for number in range(rounds):
            turn = number % len(engines)
            for engine in engines[turn:] + engines[:turn]:
                times[query][engine.name].append(engine.run(sql)["ms"])
        say(f"  {query}  " + "  ".join(f"{name} {statistics.median(ms):8.1f} ms" for name, ms in times[query].items()))
    return times


def cold(start, names, queries, rounds, say):
    """{query: {engine: [ms, ...]}} and {engine: [ms to get ready, ...]}: each run is a fresh process's first query."""
    times = {query: {name: [] for name in names} for query in queries}
    ready = {name: [] for name in names}
    for number in range(rounds):
        for query, sql in queries.items():
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                with start(name) as engine:
                    times[query][name].append(engine.run(sql)["ms"])
                    ready[name].append(engine.ready_ms)
        say(f"  round {number + 1} of {rounds}")
    return times, ready


def round_trips(engines, count):
    """{engine: [ms, ...]} of SELECT 1, one after another."""
    times = {}
    for engine in engines:
        for _ in range(20):
            engine.run("SELECT 1")
        times[engine.name] = [engine.run("SELECT 1")["ms"] for _ in range(count)]
    return times


def scan(engines, rounds):
    """{engine: {"ms": [...], "rows", "bytes"}} of every column of lineitem, drained."""
    results = {}
    for _ in range(rounds + 1):
        for engine in engines:
            run = engine.run("SELECT * FROM lineitem")
            result = results.setdefault(engine.name, {"ms": [], "rows": run["rows"], "bytes": run["bytes"]})
            result["ms"].append(run["ms"])
            if run["rows"] != result["rows"]:
                raise SystemExit(f"{engine.name} read {run['rows']} rows of lineitem, and {result['rows']} before")
    for result in results.values():
        del result["ms"][0]  # The run that doesn't count.
    return results


def timed(work):
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started

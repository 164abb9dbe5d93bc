"""How time is taken. Warm: every engine is up, and they take turns. Cold: a process that has run nothing yet, and files
that the system's cache has dropped."""

import statistics
import time
from pathlib import Path

from harness.answers import difference, read
from harness.engines import EngineError
from harness.files import forget

QUERIES = Path(__file__).resolve().parent.parent / "queries"


def query_texts(numbers):
    return {f"q{number:02}": (QUERIES / f"q{number:02}.sql").read_text() for number in numbers}


def compare(bench, what, engines, queries, known=None):
    """The queries to which every engine gave the same answer, and {engine: {query: its error}}.

    Whatever else happens is a problem of the run: an answer that differs, and a query that Landfast does not answer.
    A peer's own error is its own: it is told, and the peer is left out of that query. One that takes longer than
    `bench.answer_s()` for an answer is left out of all of them. `known` has answers that are right, by query: those of
    the first engine are added to it, or must be the same.
    """
    folder = bench.scratch / "answers"
    folder.mkdir(exist_ok=True)
    agreed, errors = [], {engine.name: {} for engine in engines}
    known = {} if known is None else known
    for query, sql in queries.items():
        answers = {}
        for engine in engines:
            path = folder / f"{query}-{engine.name}.arrow"
            try:
                engine.save(sql, path, bench.answer_s(engine.name))
                answers[engine.name] = read(path)
            except EngineError as error:
                errors[engine.name][query] = str(error)
                say = bench.problem if engine.name.startswith("landfast") else bench.say
                say(f"{what}, {query}: {str(error)[:300]}")
        if query in known and answers:
            answers = {"what was known": known[query], **answers}
        names = list(answers)
        found = [(names[0], other, text) for other in names[1:] if (text := difference(answers[names[0]], answers[other]))]
        for first, other, text in found:
            bench.problem(f"{what}, {query}: {first} and {other} differ: {text}")
        if not found and answers:
            agreed.append(query)
            known.setdefault(query, answers[names[0]])
    for engine in engines:
        if getattr(engine, "ended", None):
            errors[engine.name] = dict.fromkeys(queries, engine.ended)
    return agreed, errors


def warm(engines, queries, rounds, say, errors=None):
    """{query: {engine: [ms, ...]}}: one run of each that doesn't count, then rounds in which the engines take turns.

    Whoever starts a round changes, so that what one run leaves in the processor's caches helps or harms each alike.
    An engine is left out of the queries that `errors` has for it.
    """
    times = {}
    for query, sql in queries.items():
        able = [engine for engine in engines if query not in (errors or {}).get(engine.name, {})]
        for engine in able:
            engine.run(sql)
        times[query] = {engine.name: [] for engine in able}
        for number in range(rounds):
            turn = number % max(len(able), 1)
            for engine in able[turn:] + able[:turn]:
                times[query][engine.name].append(engine.run(sql)["ms"])
        say(f"  {query}  " + "  ".join(f"{name} {statistics.median(ms):8.1f} ms" for name, ms in times[query].items()))
    return times


def cold(start, names, queries, rounds, say, folders=(), errors=None):
    """{query: {engine: [ms, ...]}} and {engine: [ms to get ready, ...]}: each run is a fresh process's first query, after
    the files of `folders` were dropped from the system's cache."""
    times = {query: {name: [] for name in names if query not in (errors or {}).get(name, {})} for query in queries}
    ready = {name: [] for name in names}
    for number in range(rounds):
        for query, sql in queries.items():
            able = list(times[query])
            turn = number % max(len(able), 1)
            for name in able[turn:] + able[:turn]:
                forget(folders)
                with start(name) as engine:
                    times[query][name].append(engine.run(sql)["ms"])
                    ready[name].append(engine.ready_ms)
        say(f"  round {number + 1} of {rounds}")
    return times, ready


def both(bench, what, engines, queries, names, cold_queries=None, known=None):
    """Answers compared, warm and cold: what most sections measure of one set of tables. `engines` starts them."""
    bench.say(f"{what}: {', '.join(names)}")
    running = []
    try:
        running = [engines.start(name) for name in names]
        agreed, errors = compare(bench, what, running, queries, known)
        queries = {query: queries[query] for query in agreed}
        warm_ms = warm(running, queries, bench.rounds, bench.say, errors)
    finally:
        for engine in running:
            engine.close()
    of_cold = {query: sql for query, sql in queries.items() if cold_queries is None or query in cold_queries}
    # Trino's server stays up: a fresh worker would be no cold engine.
    fresh = [name for name in names if name != "trino"]
    cold_ms, ready_ms = cold(engines.start, fresh, of_cold, bench.cold_rounds, bench.say, engines.folders(), errors)
    return {"warm_ms": warm_ms, "cold_ms": cold_ms, "ready_ms": ready_ms, "errors": errors, "agreed": agreed}


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

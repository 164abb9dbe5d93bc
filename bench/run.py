#!/usr/bin/env python3
"""Landfast beside its peers, on the same files and cores, in one run. bench/README.md says what is measured and how.

    python3 bench/run.py                       # TPC-H SF 1, release build; writes bench/results and bench/README.md's tables
    python3 bench/run.py --scale-factor 0.05 --dev --rounds 3 --keep
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
PEERS = ("landfast", "datafusion", "duckdb")


def main():
    args = arguments()
    if args.cores:
        os.sched_setaffinity(0, {int(core) for core in args.cores.split(",")})
    scratch = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    use_own_python(scratch)
    measure(args, scratch)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale-factor", type=float, default=1.0, metavar="SF", help="TPC-H scale factor (1)")
    parser.add_argument("--rounds", type=int, default=5, help="warm runs of each query and engine, after one that doesn't count (5)")
    parser.add_argument("--cold-rounds", type=int, default=3, help="cold runs of each query and engine, a fresh process each; 0 for none (3)")
    parser.add_argument("--queries", default="1-22", help="such as 1,5,9-12 (1-22)")
    parser.add_argument("--engines", default=",".join(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--cores", help="pin every process to these cores, such as 0,1 (all)")
    parser.add_argument("--target-partitions", type=int, help="for Landfast and DataFusion alike (Landfast's default)")
    parser.add_argument("--lake", type=Path, help="folder of the lake, written when absent (a folder under target/bench)")
    parser.add_argument("--binaries", type=Path, help="folder of built programs; nothing is built then")
    parser.add_argument("--dev", action="store_true", help="dev build: to try the benchmark out, never for figures")
    parser.add_argument("--explain", action="store_true", help="only write each engine's EXPLAIN ANALYZE of the queries to target/bench/explain")
    parser.add_argument("--keep", action="store_true", help="leave bench/results and bench/README.md as they are; print the figures alone")
    return parser.parse_args()


def use_own_python(scratch):
    """Goes on in a venv that has exactly requirements.txt, made once."""
    requirements = BENCH / "requirements.txt"
    venv = scratch / f"python-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    if Path(sys.prefix) == venv.resolve():
        return
    if not (venv / "complete").exists():
        print(f"Making the benchmark's Python in {venv}", flush=True)
        if subprocess.run([sys.executable, "-m", "venv", "--clear", venv]).returncode:
            raise SystemExit("Python's venv module is needed (Debian: python3-venv)")
        subprocess.run([venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements], check=True)
        (venv / "complete").touch()
    python = venv.resolve() / "bin" / "python"
    os.execv(python, [python, *sys.argv])


def measure(args, scratch):
    from harness import machine
    from harness.engines import Engines
    from harness.lake import open_lake, write_lake
    from harness.measure import cold, query_texts, round_trips, scan, timed, warm

    binaries = args.binaries or build(args.dev)
    lake = args.lake or scratch / f"lake-sf{args.scale_factor:g}"
    write_lake(lake, binaries / "landfast-bench", args.scale_factor)
    tables = open_lake(lake)
    queries = query_texts(numbers(args.queries))
    names = args.engines.split(",")
    settings = engine_settings(args)

    with open(scratch / "engines.log", "w") as log:
        engines = Engines(tables, binaries.resolve(), lake.resolve(), settings, scratch, log)
        if args.explain:
            return explain(engines, names, queries, scratch / "explain")
        running = [engines.start(name) for name in names]
        try:
            say("Comparing the answers")
            check_answers(running, queries, scratch)
            say(f"Warm: {args.rounds} rounds")
            warm_ms, seconds = timed(lambda: warm(running, queries, args.rounds, say))
            say(f"  {seconds:.0f} s\nSELECT 1, and every column of lineitem")
            trips = round_trips(running, 500)
            if "landfast" in names:
                running.append(engines.start("landfast-in-process"))
            scans = scan(running, args.rounds)
        finally:
            for engine in running:
                engine.close()
        say(f"Cold: {args.cold_rounds} rounds")
        cold_ms, ready_ms = cold(engines.start, names, queries, args.cold_rounds, say)

    result = {
        "taken": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "build": "dev" if args.dev else "release",
        "machine": machine.describe() | {"datafusion": machine.locked("datafusion"), "arrow": machine.locked("arrow-flight")},
        "settings": settings | {"scale_factor": args.scale_factor, "rounds": args.rounds, "cold_rounds": args.cold_rounds},
        "tables": {t.name: {"files": t.files, "bytes": t.bytes, "rows": t.rows} for t in tables},
        "answers": f"{len(queries)} queries: every engine gave the same answer",
        "warm_ms": warm_ms,
        "cold_ms": cold_ms,
        "ready_ms": ready_ms,
        "select_1_ms": trips,
        "scan": scans,
    }
    publish(result, args, scratch)


def build(dev):
    profile = "dev" if dev else "release"
    say(f"Building ({profile}); the first release build takes long")
    subprocess.run(["cargo", "build", "--profile", profile, "-p", "landfast-proxy", "-p", "landfast-bench"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / ("debug" if dev else "release")


def engine_settings(args):
    """Landfast's own defaults, as its configuration documents them, so that plain DataFusion gets the same."""
    documented = dict(re.findall(r"^#(target_partitions|batch_rows) = (\d+)$", (ROOT / "config" / "landfast.toml").read_text(), re.MULTILINE))
    # 0 is two for each core.
    partitions = args.target_partitions or int(documented["target_partitions"]) or 2 * len(os.sched_getaffinity(0))
    return {"target_partitions": partitions, "batch_size": int(documented["batch_rows"])}


def check_answers(engines, queries, scratch):
    from harness.answers import differences

    folder = scratch / "answers"
    folder.mkdir(exist_ok=True)
    found = [text for name, sql in queries.items() for text in differences(name, engines, sql, folder)]
    if found:
        raise SystemExit("Answers differ, so there is nothing to compare:\n  " + "\n  ".join(found))


def explain(engines, names, queries, folder):
    from harness.explain import write

    for name in names:
        with engines.start(name) as engine:
            write(engine, queries, folder)
    say(f"Plans are in {folder}")


def publish(result, args, scratch):
    import report

    folder = scratch if args.keep or args.dev else BENCH / "results"
    folder.mkdir(exist_ok=True)
    (folder / "tpch.json").write_text(json.dumps(result, indent=1) + "\n")
    report.plot(result, folder / "tpch.png")
    text = report.render(result)
    print(text)
    if folder == BENCH / "results":
        report.insert(text, BENCH / "README.md")
    say(f"Written to {folder}")


def numbers(text):
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    main()

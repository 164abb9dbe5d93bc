#!/usr/bin/env python3
"""Landfast beside its peers, on the same files and cores, in one run. bench/README.md says what is measured and how.

    python3 bench/run.py                       # every section, release build; writes bench/results and bench/README.md's tables
    python3 bench/run.py --only planning       # one of them
    python3 bench/run.py --scale-factor 0.01 --dev --rounds 1 --cold-rounds 1   # whether everything still works
"""

import argparse
import hashlib
import importlib
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
SECTIONS = ("tpch", "deletes", "small-files", "selective", "planning", "metadata", "load", "stopping", "allocator")
# Only when named: what takes long, or much of the machine.
BY_NAME = ("planning-20m", "deletes-trino")


def main():
    args = arguments()
    if args.cores:
        os.sched_setaffinity(0, {int(core) for core in args.cores.split(",")})
    scratch = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    use_own_python(scratch)
    sys.exit(measure(args, scratch))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="SECTIONS", help=f"of {', '.join(SECTIONS)}, and by name alone {', '.join(BY_NAME)}; all of the first by default")
    parser.add_argument("--scale-factor", type=float, default=1.0, metavar="SF", help="TPC-H's and TPC-DS' scale factor (1); below 0.1 the other sections shrink as well")
    parser.add_argument("--rounds", type=int, default=5, help="warm runs of each query and engine, after one that doesn't count (5)")
    parser.add_argument("--cold-rounds", type=int, default=3, help="cold runs of each query and engine, a fresh process each; 0 for none (3)")
    parser.add_argument("--queries", default="1-22", help="of TPC-H, such as 1,5,9-12 (1-22)")
    parser.add_argument("--engines", default=",".join(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--trino", type=Path, metavar="FOLDER", help="an unpacked trino-server, for the section deletes-trino; needs a JDK 24 or later")
    parser.add_argument("--cores", help="pin every process to these cores, such as 0,1 (all)")
    parser.add_argument("--target-partitions", type=int, help="for Landfast and DataFusion alike (Landfast's default)")
    parser.add_argument("--lake", type=Path, help="folder of all tables, written where absent (a folder under target/bench)")
    parser.add_argument("--binaries", type=Path, help="folder of built programs; nothing is built then")
    parser.add_argument("--dev", action="store_true", help="dev build: to try the benchmark out, never for figures")
    parser.add_argument("--explain", action="store_true", help="only write each engine's EXPLAIN ANALYZE of TPC-H's queries to target/bench/explain")
    parser.add_argument("--keep", action="store_true", help="leave bench/results and bench/README.md as they are; print the figures alone")
    args = parser.parse_args()
    unknown = set(chosen(args)) - {*SECTIONS, *BY_NAME}
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS + BY_NAME)}")
    if "deletes-trino" in chosen(args) and not args.trino:
        parser.error("deletes-trino needs --trino FOLDER, an unpacked trino-server")
    return args


def chosen(args):
    return args.only.split(",") if args.only else SECTIONS


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
    from harness.bench import Bench
    from harness.lake import write_lake

    binaries = args.binaries or build(args.dev, with_mimalloc="allocator" in chosen(args))
    lake = (args.lake or scratch / f"lake-sf{args.scale_factor:g}").resolve()
    write_lake(lake, binaries / "landfast-bench", args.scale_factor)
    began = time.monotonic()
    with open(scratch / "engines.log", "w") as log:
        bench = Bench(
            scratch=scratch,
            binaries=binaries,
            lake=lake,
            settings=engine_settings(args),
            scale_factor=args.scale_factor,
            rounds=args.rounds,
            cold_rounds=args.cold_rounds,
            queries=numbers(args.queries),
            engines=args.engines.split(","),
            trino=args.trino,
            log=log,
        )
        if args.explain:
            return explain(bench)
        for name in chosen(args):
            section = time.monotonic()
            say(f"== {name}")
            result = module(name).measure(bench)
            publish(name, described(args, bench) | result, args, scratch)
            say(f"-- {name}: {time.monotonic() - section:.0f} s")
    say(f"-- all: {time.monotonic() - began:.0f} s")
    if bench.problems:
        say("Something is wrong, so that the figures can't stand:\n  " + "\n  ".join(bench.problems))
    return 1 if bench.problems else 0


def module(section):
    return importlib.import_module(f"sections.{section.replace('-', '_')}")


def build(dev, with_mimalloc):
    profile = "dev" if dev else "release"
    say(f"Building ({profile}); the first release build takes long")
    features = ["--features", "landfast-bench/mimalloc"] if with_mimalloc else []
    subprocess.run(["cargo", "build", "--profile", profile, "-p", "landfast-proxy", "-p", "landfast-bench", *features], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / ("debug" if dev else "release")


def engine_settings(args):
    """Landfast's own defaults, as its configuration documents them, so that plain DataFusion gets the same."""
    documented = dict(re.findall(r"^#(target_partitions|batch_rows) = (\d+)$", (ROOT / "config" / "landfast.toml").read_text(), re.MULTILINE))
    # 0 is two for each core.
    partitions = args.target_partitions or int(documented["target_partitions"]) or 2 * len(os.sched_getaffinity(0))
    return {"target_partitions": partitions, "batch_size": int(documented["batch_rows"])}


def explain(bench):
    from harness.explain import write
    from harness.measure import query_texts

    engines = module("tpch").engines_of(bench)
    for name in bench.engines:
        with engines.start(name) as engine:
            write(engine, query_texts(bench.queries), bench.scratch / "explain")
    say(f"Plans are in {bench.scratch / 'explain'}")
    return 0


def described(args, bench):
    """What stands beside every section's figures."""
    from harness import machine

    return {
        "taken": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "build": "dev" if args.dev else "release",
        "machine": machine.describe() | {"datafusion": machine.locked("datafusion"), "iceberg": machine.locked("iceberg")},
        "settings": bench.settings | {"scale_factor": args.scale_factor, "rounds": args.rounds, "cold_rounds": args.cold_rounds},
        "problems": list(bench.problems),
    }


def publish(name, result, args, scratch):
    import report

    folder = scratch if args.keep or args.dev else BENCH / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    section = module(name)
    if hasattr(section, "plot"):
        section.plot(result, folder / f"{name}.png")
    print(section.render(result))
    if folder == BENCH / "results":
        report.main()
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

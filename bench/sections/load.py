"""Many clients at once: what the smallest statement takes, how fast results come, and what clients that stop reading cost."""

import json
import statistics
import subprocess

from sections import text, tpch

CONNECTIONS, CONCURRENT = 200, 64
# A result that is read from Parquet, with text and numbers, and one that takes next to nothing to compute.
RESULTS = {
    "lineitem": "SELECT * FROM lineitem",
    "numbers": "SELECT value, value * 2 AS twice, CAST(value AS DOUBLE) AS real FROM generate_series(1, {numbers})",
}
LARGE = "SELECT value, concat('text ', value) AS text FROM generate_series(1, 1000000000)"
SMALL = "SELECT count(*), sum(value) FROM generate_series(1, 1000)"
SERVERS = ("landfast", "bare", "bare, held")
# Landfast's DoGet to the bare server's of the same batches.
AIM = 0.9


def measure(bench):
    connections, concurrent = (20, 8) if bench.small else (CONNECTIONS, CONCURRENT)
    engines = tpch.engines_of(bench)
    with engines.start("landfast") as landfast:
        url = landfast.worker.args[-1].replace("grpc://", "http://")
        pid = landfast.server.pid
        ask = lambda *command: bench.writer(*command, "--url", url, "--pid", pid, "--connections", connections)
        point = ask("load-point", "--concurrent", concurrent, "--count", 200 if bench.small else 20_000)
        fetched = fetch(bench, engines, url)
        slow = ask("load-slow", "--slow", concurrent, "--large", LARGE, "--small", SMALL, "--rounds", 5 if bench.small else 20)
    if slow["failed"]:
        bench.problem(f"{slow['failed']} statements failed beside clients that don't read")
    if slow["resumed"] != slow["slow"]:
        bench.problem(f"only {slow['resumed']} of {slow['slow']} clients that had stopped could read on")
    return {"point": point, "fetch": fetched, "slow": slow}


def fetch(bench, engines, url):
    """Milliseconds of each result from each server, which take turns; the same bytes, or the figures can't stand."""
    numbers = 200_000 if bench.small else 30_000_000
    results = {name: sql.format(numbers=numbers) for name, sql in RESULTS.items()}
    with Bare(bench, engines, results.values()) as bare:
        found = {name: {server: [] for server in SERVERS} for name in results}
        sizes = {}
        for name, sql in results.items():
            sources = {"landfast": (url, ()), "bare": (bare.url, ("--ticket", sql)), "bare, held": (bare.url, ("--ticket", f"held:{sql}"))}
            for turn in range(bench.rounds + 1):
                for server, (at, ticket) in sources.items():
                    figures = bench.writer("load-fetch", "--url", at, "--sql", sql, "--streams", 1, *ticket)
                    sizes.setdefault(name, {})[server] = figures["bytes"]
                    if turn:  # The first one doesn't count.
                        found[name][server].append(figures["ms"])
            least, most = min(sizes[name].values()), max(sizes[name].values())
            if most > least * 1.02 + 4096:
                bench.problem(f"the servers send different amounts of {name}: {sizes[name]}")
    return {name: {"bytes": sizes[name]["landfast"], "ms": found[name]} for name in results}


class Bare:
    """arrow-flight's encoder and nothing else, over the same engine."""

    def __init__(self, bench, engines, statements):
        hold = [part for sql in statements for part in ("--hold", sql)]
        command = [bench.binaries / "landfast-bench", "load-bare", "--config", engines.config(0), *hold]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=bench.log, text=True)
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def ratio_to_bare(found):
    return statistics.median(found["ms"]["bare"]) / statistics.median(found["ms"]["landfast"])


def render(result):
    point, slow = result["point"], result["slow"]
    heading = text.taken(result, "Clients on the same cores as the server; nothing is read from a link.")
    lines = ["| `SELECT 1`, planned and fetched | p50 | p99 | longest | per second |", "| --- | ---: | ---: | ---: | ---: |"]
    rows = (("one connection", "alone"), (f"{point['connections']} connections, {point['concurrent']} at a time", "together"))
    for name, key in rows:
        figures = point[key]
        per_s = point["per_s"] if key == "together" else 1000 / figures["p50_ms"]
        lines.append(f"| {name} | {figures['p50_ms']:.2f} ms | {figures['p99_ms']:.2f} ms | {figures['max_ms']:.2f} ms | {per_s:,.0f} |")
    tables = ["\n".join(lines)]
    lines = ["| DoGet | size | Landfast | bare server | ÷ bare | bare server, held in memory | ÷ held |", "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for name, found in result["fetch"].items():
        speed = {server: found["bytes"] / statistics.median(ms) * 1000 / 1e6 for server, ms in found["ms"].items()}
        ours, bare, held = (speed[server] for server in SERVERS)
        lines.append(f"| {name} | {found['bytes'] / 1e6:,.0f} MB | {ours:,.0f} MB/s | {bare:,.0f} MB/s | {ours / bare:.2f} | {held:,.0f} MB/s | {ours / held:.2f} |")
    tables.append("\n".join(lines))
    tables.append(text.aims_table([text.aim(f"DoGet ÷ bare server, {name}", ratio_to_bare(found), at_least=AIM) for name, found in result["fetch"].items()]))
    memory = "not known here"
    if slow["peak_bytes"]:
        memory = f"{slow['bytes_before'] / 2**20:,.0f} MiB before, at most {slow['peak_bytes'] / 2**20:,.0f} MiB"
    others = slow["connections"] - slow["slow"]
    tables.append(
        f"{slow['slow']} clients took two messages of an endless result and stopped reading; {others} others ran {slow['statements']:,} small statements "
        f"meanwhile: p50 {slow['p50_ms']:.1f} ms, p99 {slow['p99_ms']:.1f} ms, longest {slow['max_ms']:.0f} ms, {slow['failed']} failed; the first of them was done "
        f"after {slow['first_done_ms'] / 1000:.2f} s, the last after {slow['last_done_ms'] / 1000:.2f} s. Then {slow['resumed']} of {slow['slow']} read on. Resident in the server: {memory}."
    )
    return "\n\n".join(["### Load", heading, *tables])

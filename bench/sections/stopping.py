"""How soon nothing is read any more: from a cancelled query, a dropped stream and a passed deadline to the end of the last
read at the last site."""

import contextlib
import signal
import socket
import subprocess
import threading
import time

from harness.lake import open_lake
from harness.slow_site import BUCKET, READ_S, SlowSite
from sections import text

AIM_MS = 1000
# Landfast ends a query a little before its client's deadline, so that the client hears of it.
DEADLINE_S, BEFORE_S = 3, 0.2
# Reads both tables at once: one of them is at each site.
QUERY = "SELECT sum(price) FROM (SELECT l_extendedprice AS price FROM lineitem UNION ALL SELECT o_totalprice FROM orders) WHERE price > {round}"
# A query that has not begun to read, or goes on reading, in this time has failed.
PATIENCE_S = 30
# For so long, no read may begin after the last has ended.
QUIET_S = 1
COMMAND = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
WAYS = {"cancel": "CancelFlightInfo", "drop": "a dropped stream", "deadline": "a passed deadline"}


def measure(bench):
    tables = {table.name: table for table in open_lake(bench.lake)}
    rounds = 1 if bench.small else max(bench.rounds, 5)
    lake = bench.lake.resolve()
    with SlowSite(lake) as one, SlowSite(lake) as other:
        homes = [tables[name].metadata.resolve().parent.parent for name in ("lineitem", "orders")]
        config = configured(bench, lake, homes, (one, other))
        with Server(bench, config) as server:
            found = {way: [] for way in WAYS}
            for number in range(rounds):
                for way in WAYS:
                    found[way].append(stopped(bench, server, [one, other], way, QUERY.format(round=f"{number}.{len(found[way])}")))
    for way, runs in found.items():
        runs = [run["ms"] for run in runs if run]
        if runs:
            bench.say(f"  {WAYS[way]}: {text.median_of(runs)} ms")
    return {"stopped": {way: [run for run in runs if run] for way, runs in found.items()}}


def stopped(bench, server, sites, way, sql):
    """One query, read from all sites and ended: ms to the end of the last read, and the reads that were under way."""
    from pyarrow import flight

    began = [site.begun for site in sites]
    info = server.client.get_flight_info(flight.FlightDescriptor.for_command(command(sql)))
    options = flight.FlightCallOptions(timeout=DEADLINE_S) if way == "deadline" else flight.FlightCallOptions()
    called = time.monotonic()
    reader = server.client.do_get(info.endpoints[0].ticket, options)
    # A result that ends is an error here, whoever ends it.
    reading = threading.Thread(target=lambda: read(reader), daemon=True)
    reading.start()
    if not until(lambda: all(site.begun > before for site, before in zip(sites, began))):
        bench.problem(f"{way}: the query did not read at every site")
        reader.cancel()
        return None
    reads, at = sum(site.under_way for site in sites), time.monotonic()
    if way == "cancel":
        list(server.client.do_action(flight.Action("CancelFlightInfo", cancel_request(info))))
    elif way == "drop":
        reader.cancel()
    else:
        at = called + DEADLINE_S
        time.sleep(max(at - BEFORE_S - time.monotonic(), 0))
        reads = sum(site.under_way for site in sites)
    quiet = until(lambda: all(site.under_way == 0 and time.monotonic() - (site.ended_at or 0) > QUIET_S for site in sites))
    reading.join(PATIENCE_S)
    last = max(site.ended_at or 0 for site in sites)
    if not quiet:
        bench.problem(f"{way}: {sum(site.under_way for site in sites)} reads went on for {PATIENCE_S} s")
        return None
    if not reads or last < at - BEFORE_S:
        bench.problem(f"{way}: nothing was read any more when the query was ended")
        return None
    return {"ms": (last - at) * 1000, "reads": reads}


def read(reader):
    with contextlib.suppress(Exception):
        while True:
            reader.read_chunk()


def until(done):
    end = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def field(number, value):
    """A field of a protobuf message: bytes, with their length before them."""
    length, size = b"", len(value)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def command(sql):
    """An Any of CommandStatementQuery."""
    return field(1, COMMAND) + field(2, field(1, sql.encode()))


def cancel_request(info):
    """A CancelFlightInfoRequest."""
    return field(1, info.serialize())


def configured(bench, lake, homes, sites):
    """Sites far away, each with one table; the proxy is at another, which has nothing at all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    empty = bench.scratch / "nothing"
    empty.mkdir(exist_ok=True)
    parts = [
        f'[proxy]\nsite = "here"\nlisten = "127.0.0.1:{port}"\ninsecure = true\n[defaults]\ncatalog = "lake"\nschema = "tpch"\n[log]\nlevel = "warn"',
        f'[[site]]\nname = "here"\n[site.store]\nkind = "file"\nroot = "{empty}"\n[[site.prefix]]\ncanonical = "gs://nothing/"\norigin = true',
        f'[[catalog]]\nname = "lake"\nkind = "sql"\nurl = "sqlite://{lake}/catalog.db"',
    ]
    for number, (site, home) in enumerate(zip(sites, homes), 1):
        name, inside = f"far-{number}", "/".join([BUCKET, *home.relative_to(lake).parts])
        parts.append(
            f'[[site]]\nname = "{name}"\nholdings = "all"\n[site.store]\nkind = "s3"\nendpoint = "{site.url}"\nallow_http = true\ncredential = "anonymous"\n'
            f'[[site.prefix]]\ncanonical = "file://{home}/"\nat = "{inside}/"\norigin = true\n'
            f'[[link]]\nfrom = "{name}"\nto = "here"\nlatency_ms = 40\nbandwidth_mbit_per_s = 1000'
        )
    path = bench.scratch / f"landfast-stopping-{port}.toml"
    path.write_text("\n".join(parts) + "\n")
    return port, path


class Server:
    """`landfast serve`, and a client of it."""

    def __init__(self, bench, config):
        self.port, path = config
        self.process = subprocess.Popen([bench.binaries / "landfast", "serve", "--config", path], stdin=subprocess.DEVNULL, stdout=bench.log, stderr=bench.log)

    def __enter__(self):
        from pyarrow import flight

        self.client = flight.connect(f"grpc://127.0.0.1:{self.port}")
        if not until(self.answers):
            self.__exit__()
            raise SystemExit("landfast did not get ready; bench's engines.log says why")
        return self

    def answers(self):
        from pyarrow import flight

        try:
            self.client.get_flight_info(flight.FlightDescriptor.for_command(command("SELECT 1")))
            return True
        except flight.FlightError:
            return False

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def render(result):
    details = (
        f"A query over two tables, each at a site of its own whose reads take {READ_S} s. Counted from the call, or from the passing of the deadline, to the end of "
        "the last read as the sites see it; none began afterwards. A query is ended a little before its client's deadline, so that the client hears of it."
    )
    lines = ["| ended by | last read ended after, ms | reads under way | runs |", "| --- | ---: | ---: | ---: |"]
    aims = []
    for way, runs in result["stopped"].items():
        ms = [run["ms"] for run in runs]
        reads = [run["reads"] for run in runs]
        lines.append(f"| {WAYS[way]} | {text.median_of(ms)} | {min(reads)}–{max(reads)} | {len(ms)} |" if ms else f"| {WAYS[way]} | | | 0 |")
        aims.append(text.aim(f"longest, in ms, after {WAYS[way]}", max(ms) if ms else None, at_most=AIM_MS))
    return "\n\n".join(["### Stopping", text.taken(result, details), "\n".join(lines), text.aims_table(aims)])

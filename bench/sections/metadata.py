"""What there is: every column of ten thousand tables, as JDBC's getColumns and `information_schema` tell of them."""

import json
import sqlite3
import statistics
import uuid

from harness.engines import Engines
from harness.files import forget
from harness.lake import CATALOG, insert

SCHEMAS = 50
TYPES = ("long", "int", "string", "double", "date", "timestamptz", "decimal(15, 2)", "boolean", "binary", "float")
COLUMNS = 20
LISTINGS = {
    "getColumns (GetTables with schemas)": "GetTables",
    "information_schema.columns": "SELECT * FROM information_schema.columns",
    "information_schema.columns of one table": "SELECT * FROM information_schema.columns WHERE table_schema = 'shop_7' AND table_name = 'table_107'",
    "information_schema.tables": "SELECT * FROM information_schema.tables",
    "SHOW TABLES": "SHOW TABLES",
}
AIM_MS = 1000


def size(bench):
    return 200 if bench.small else 10_000


def measure(bench):
    count = size(bench)
    bench.once(f"metadata-{count}", lambda folder: write(folder, count))
    lake = (bench.lake / f"metadata-{count}").resolve()
    engines = Engines([], "shop_0", bench.binaries.resolve(), lake, bench.settings, bench.scratch, bench.log)
    cold, warm, rows = {}, {}, {}
    for name, sql in LISTINGS.items():
        cold[name] = []
        for _ in range(bench.cold_rounds):
            forget([lake])
            with engines.landfast_listing() as landfast:
                cold[name].append(landfast.run(sql)["ms"])
    with engines.landfast_listing() as landfast:
        for name, sql in LISTINGS.items():
            first = landfast.run(sql)
            warm[name] = [landfast.run(sql)["ms"] for _ in range(bench.rounds)]
            rows[name] = first["rows"]
            bench.say(f"  {name}: {statistics.median(warm[name]):.0f} ms warm, {first['rows']:,} rows")
        resident = landfast.server_bytes()
    for name, least in (("getColumns (GetTables with schemas)", count), ("information_schema.columns", count * COLUMNS)):
        if rows[name] < least:
            bench.problem(f"{name} gave {rows[name]:,} rows, and there are {least:,}")
    return {"tables": count, "columns": COLUMNS, "cold_ms": cold, "warm_ms": warm, "rows": rows, "resident_bytes": resident}


def write(folder, count):
    """Metadata of tables without rows, in a SQLite catalog of their own."""
    catalog = sqlite3.connect(folder / "catalog.db")
    catalog.executescript(CATALOG)
    tables = {f"shop_{at}": {} for at in range(SCHEMAS)}
    for at in range(count):
        schema, name = f"shop_{at % SCHEMAS}", f"table_{at}"
        home = folder / "warehouse" / schema / name / "metadata"
        home.mkdir(parents=True)
        path = home / "00000.metadata.json"
        path.write_text(json.dumps(document(f"file://{home.parent}", at)))
        tables[schema][name] = f"file://{path}"
    for schema, named in tables.items():
        insert(catalog, schema, named)
    catalog.close()
    return {"tables": count}


def document(location, seed):
    fields = [
        {"id": at + 1, "name": f"column_{at}", "required": at == 0, "type": TYPES[(seed + at) % len(TYPES)] if at else "long"}
        for at in range(COLUMNS)
    ]
    return {
        "format-version": 2, "table-uuid": str(uuid.UUID(int=seed + 1)), "location": location, "last-sequence-number": 0,
        "last-updated-ms": 1, "last-column-id": COLUMNS, "current-schema-id": 0,
        "schemas": [{"type": "struct", "schema-id": 0, "fields": fields}],
        "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}], "last-partition-id": 999,
        "default-sort-order-id": 0, "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": {}, "snapshots": [], "snapshot-log": [], "metadata-log": [],
    }


def render(result):
    from sections import text

    details = f"{result['tables']:,} tables of {result['columns']} columns in a SQLite catalog, their metadata.json in a local directory. " \
        "Cold: the first question to a server that was just started, the files out of the system's cache; warm: the same again."
    lines = ["| what | rows | cold, ms | warm, ms |", "| --- | ---: | ---: | ---: |"]
    for name, warm in result["warm_ms"].items():
        cold = result["cold_ms"][name]
        lines.append(f"| {name} | {result['rows'][name]:,} | {text.median_of(cold) if cold else ''} | {text.median_of(warm)} |")
    parts = ["### What there is", text.taken(result, details), "\n".join(lines)]
    if result["resident_bytes"]:
        parts.append(f"The server then held {result['resident_bytes'] / 2**20:,.0f} MiB.")
    slow = [name for name in ("getColumns (GetTables with schemas)", "information_schema.columns") if statistics.median(result["warm_ms"][name]) > AIM_MS]
    if slow:
        parts.append(f"Missed: {', '.join(slow)} took more than {AIM_MS} ms.")
    return "\n\n".join(parts)

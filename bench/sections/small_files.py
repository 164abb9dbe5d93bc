"""Many small files: the same few columns in ten thousand files of some 100 kB."""

from harness.lake import open_table, local
from harness.measure import both

QUERIES = {
    "count": "SELECT count(*) AS n FROM events",
    "sum": "SELECT sum(amount) AS amount, min(happened) AS earliest, max(happened) AS latest FROM events",
    "group": "SELECT page, count(*) AS n, sum(amount) AS amount FROM events GROUP BY page ORDER BY n DESC, page LIMIT 10",
    "point, sorted": "SELECT * FROM events WHERE id = {middle} ORDER BY id",
    "range, sorted": "SELECT count(*) AS n, sum(amount) AS amount FROM events WHERE id >= {middle} AND id < {after}",
    "point, unsorted": "SELECT * FROM events WHERE visitor = {visitor} ORDER BY id",
    "top 10": "SELECT id, happened, amount FROM events ORDER BY amount DESC, id LIMIT 10",
}


def size(bench):
    """How many files, and how many rows each."""
    return (100, 500) if bench.small else (10_000, 2_000)


def texts(queries, files, rows):
    total = files * rows
    values = {"middle": total // 2 + 17, "after": total // 2 + 17 + total // 100, "visitor": total // 60, "visitors": total // 20}
    return {name: sql.format(**values) for name, sql in queries.items()}


def measure(bench, name="small", queries=QUERIES, shape=None):
    files, rows = shape or size(bench)
    made = bench.once(f"events/{name}-{files}x{rows}", lambda folder: bench.writer("events", "--dir", folder, "--files", files, "--rows", rows))
    table = open_table("events", local(made["metadata"]))
    engines = bench.running(f"events_{name}", [table])
    found = both(bench, f"{files:,} files of {rows:,} rows", engines, texts(queries, files, rows), bench.engines)
    return found | {"files": table.files, "rows": table.rows, "bytes": table.bytes}


def render(result, title="Many small files", more="", peers=("datafusion", "duckdb")):
    from sections import text

    mean = result["bytes"] / result["files"] / 1000
    heading = text.taken(result, f"{result['files']:,} files of {mean:,.0f} kB, {result['rows']:,} rows in all, {result['bytes'] / 2**20:,.0f} MiB. {more}".rstrip())
    parts = [
        f"### {title}",
        heading,
        text.queries_table(result["warm_ms"], peers),
        text.queries_table(result["cold_ms"], peers, "cold, ms"),
        text.errors_text({engine: found for engine, found in result["errors"].items() if found}),
    ]
    return "\n\n".join(part for part in parts if part)

"""The lake that every engine reads: Iceberg tables under file:// URIs, and a SQLite catalog that says where they are."""

import sqlite3
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")


@dataclass
class Table:
    name: str
    metadata: Path  # The current metadata.json.
    folder: Path  # Holds the snapshot's data files, and no other Parquet file.
    files: int
    bytes: int
    rows: int


def open_lake(catalog_file, catalog_name, schema):
    """Every table's place, and proof that the folder an engine may list is exactly the snapshot."""
    with sqlite3.connect(f"file:{catalog_file}?mode=ro", uri=True) as catalog:
        rows = catalog.execute(
            "SELECT table_name, metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?",
            (catalog_name, schema),
        ).fetchall()
    missing = set(TABLES) - {name for name, _ in rows}
    if missing:
        raise SystemExit(f"{catalog_file}: no table {', '.join(sorted(missing))} in {catalog_name}.{schema}; remove the lake and start again")
    return [open_table(name, local(location)) for name, location in sorted(rows) if name in TABLES]


def open_table(name, metadata):
    import duckdb
    from duckdb_extensions import import_extension

    connection = duckdb.connect()
    for extension in ("avro", "iceberg"):
        import_extension(extension)
        connection.load_extension(extension)
    entries = connection.execute(
        "SELECT file_path, record_count FROM iceberg_metadata(?) WHERE manifest_content = 'DATA' AND status <> 'DELETED'", [str(metadata)]
    ).fetchall()
    files = {local(uri) for uri, _ in entries}
    folder = metadata.parent.parent / "data"
    listed = {path for path in folder.rglob("*.parquet")}
    if files != listed:
        raise SystemExit(f"{name}: the snapshot has {len(files)} files and {folder} has {len(listed)}; engines would read different data")
    return Table(name, metadata, folder, len(files), sum(path.stat().st_size for path in files), sum(rows for _, rows in entries))


def local(uri):
    """The path of a file:/ or file:/// URI, or of a bare path."""
    return Path(urllib.parse.urlparse(uri).path if uri.startswith("file:") else uri)

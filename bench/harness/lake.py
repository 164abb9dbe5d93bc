"""The lake that every engine reads: Iceberg tables under file:// URIs, and a SQLite catalog that says where they are."""

import json
import sqlite3
import subprocess
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

# As every SQL catalog of Iceberg has them.
CATALOG = """
CREATE TABLE iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), iceberg_type VARCHAR(5) DEFAULT 'TABLE',
    PRIMARY KEY (catalog_name, table_namespace, table_name));
CREATE TABLE iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL, property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL, PRIMARY KEY (catalog_name, namespace, property_key));
"""

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")


@dataclass
class Table:
    name: str
    metadata: Path  # The current metadata.json.
    folder: Path | None  # Holds the snapshot's data files, and no other Parquet file; none if there is more to it.
    files: int
    bytes: int
    rows: int


def write_lake(folder, writer, scale_factor):
    """Has `writer` write TPC-H below `folder`, and registers it as lake.tpch.*. A lake that is there already stays."""
    catalog_file = folder / "catalog.db"
    if catalog_file.exists():
        return
    print(f"Writing TPC-H at scale factor {scale_factor:g} to {folder}", flush=True)
    written = subprocess.run(
        [writer, "lake", "--dir", folder, "--scale-factor", str(scale_factor)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    unfinished = folder / "catalog.db.part"
    unfinished.unlink(missing_ok=True)
    catalog = sqlite3.connect(unfinished)
    catalog.executescript(CATALOG)
    tables = [json.loads(line) for line in written.splitlines()]
    insert(catalog, "tpch", {table["table"]: table["metadata"] for table in tables})
    catalog.close()
    unfinished.rename(catalog_file)


def register(folder, schema, tables):
    """Registers tables as lake.`schema`.*, in place of those that were there under the same names."""
    catalog = sqlite3.connect(folder / "catalog.db")
    insert(catalog, schema, {table.name: f"file://{table.metadata}" for table in tables})
    catalog.close()


def insert(catalog, schema, tables):
    catalog.execute("INSERT OR REPLACE INTO iceberg_namespace_properties VALUES ('lake', ?, 'exists', 'true')", [schema])
    rows = [(schema, name, metadata) for name, metadata in tables.items()]
    catalog.executemany("INSERT OR REPLACE INTO iceberg_tables VALUES ('lake', ?, ?, ?, NULL, 'TABLE')", rows)
    catalog.commit()


def open_lake(folder):
    """TPC-H's tables, and proof that the folder an engine may list is exactly the snapshot."""
    catalog = sqlite3.connect(f"file:{folder}/catalog.db?mode=ro", uri=True)
    rows = catalog.execute("SELECT table_name, metadata_location FROM iceberg_tables WHERE catalog_name = 'lake' AND table_namespace = 'tpch'").fetchall()
    catalog.close()
    missing = set(TABLES) - {name for name, _ in rows}
    if missing:
        raise SystemExit(f"{folder}: no table {', '.join(sorted(missing))} in lake.tpch; remove the lake and start again")
    return [open_table(name, local(location)) for name, location in sorted(rows) if name in TABLES]


def open_table(name, metadata):
    connection = iceberg_reader()
    entries = connection.execute(
        "SELECT file_path, record_count FROM iceberg_metadata(?) WHERE manifest_content = 'DATA' AND status <> 'DELETED'", [str(metadata)]
    ).fetchall()
    files = {local(uri) for uri, _ in entries}
    folder = metadata.parent.parent / "data"
    listed = {path for path in folder.rglob("*.parquet")}
    if files != listed:
        raise SystemExit(f"{name}: the snapshot has {len(files)} files and {folder} has {len(listed)}; engines would read different data")
    return Table(name, metadata, folder, len(files), sum(path.stat().st_size for path in files), sum(rows for _, rows in entries))


def iceberg_reader():
    """A connection to DuckDB that can read Iceberg tables."""
    import duckdb
    from duckdb_extensions import import_extension

    connection = duckdb.connect()
    for extension in ("avro", "iceberg"):
        import_extension(extension)
        connection.load_extension(extension)
    return connection


def local(uri):
    """The path of a file:/ or file:/// URI, or of a bare path."""
    return Path(urllib.parse.urlparse(uri).path if uri.startswith("file:") else uri)

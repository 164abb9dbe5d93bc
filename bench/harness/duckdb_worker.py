"""DuckDB over the same Iceberg tables: `duckdb_worker.py THREADS NAME=METADATA_JSON...`"""

import sys

import duckdb
from duckdb_extensions import import_extension

from worker import answer


def main():
    threads, *tables = sys.argv[1:]
    connection = duckdb.connect(config={"threads": int(threads)})
    # DataFusion and Landfast keep footers; so may DuckDB, though it doesn't by itself.
    connection.execute("SET parquet_metadata_cache = true")
    for extension in ("avro", "iceberg"):
        import_extension(extension)
        connection.load_extension(extension)
    for table in tables:
        name, metadata = table.split("=", 1)
        connection.execute(f"CREATE VIEW {name} AS FROM iceberg_scan('{metadata}')")
    # Collected by DuckDB's threads together, which is its quickest way to Arrow.
    answer(lambda sql: Batches(connection.execute(sql).to_arrow_table()))


class Batches:
    def __init__(self, table):
        self.schema = table.schema
        self.batches = table.to_batches()

    def __iter__(self):
        return iter(self.batches)


if __name__ == "__main__":
    main()

"""A part of TPC-DS: rows and queries from DuckDB's extension, written as Iceberg tables by PyIceberg."""

import json

from harness.lake import local, open_table

# Ten queries over the three sales channels that neither sort by something with ties nor need more than these tables.
NUMBERS = (3, 7, 15, 19, 26, 42, 52, 55, 96, 98)
TABLES = (
    "catalog_sales", "customer", "customer_address", "customer_demographics", "date_dim", "household_demographics", "item",
    "promotion", "store", "store_sales", "time_dim",
)  # fmt: skip
# The fact tables, and what identifies their rows.
KEYS = {"store_sales": ("ss_item_sk", "ss_ticket_number"), "catalog_sales": ("cs_item_sk", "cs_order_number")}
# Of Arrow's memory: files get a tenth of that.
FILE_BYTES = 48 << 20


def tables(bench):
    made = bench.once("tpcds", lambda folder: write(bench, folder))
    return [open_table(name, local(metadata)) for name, metadata in made["tables"].items()]


def queries(bench):
    return json.loads((bench.lake / "tpcds" / "queries.json").read_text())


def write(bench, folder):
    import duckdb
    from duckdb_extensions import import_extension
    from pyiceberg.catalog.sql import SqlCatalog

    import_extension("tpcds")
    connection = duckdb.connect()
    connection.load_extension("tpcds")
    connection.execute(f"CALL dsdgen(sf = {bench.scale_factor})")
    texts = dict(connection.execute("SELECT query_nr, query FROM tpcds_queries()").fetchall())
    chosen = {f"q{number:02}": texts[number].strip().rstrip(";") for number in NUMBERS}
    (folder / "queries.json").write_text(json.dumps(chosen, indent=1) + "\n")
    # The catalog is for writing alone; engines find the tables in the lake's own.
    catalog = SqlCatalog("writing", uri=f"sqlite:///{folder}/writing.db", warehouse=f"file://{folder}")
    catalog.create_namespace("tpcds")
    found = {}
    for name in TABLES:
        rows = connection.execute(f"FROM {name}").to_arrow_table()
        properties = {"format-version": "2", "write.target-file-size-bytes": str(FILE_BYTES)}
        table = catalog.create_table(f"tpcds.{name}", schema=rows.schema, location=f"file://{folder}/{name}", properties=properties)
        table.append(rows)
        found[name] = table.metadata_location
    return {"tables": found}

"""PyIceberg, driven by the tests: writes tables into catalogs, and reads what others registered there."""

import datetime
import decimal
import json

import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.types import DecimalType, DoubleType, LongType, StringType
from pyiceberg.transforms import MonthTransform, YearTransform, IdentityTransform

import wire

catalogs = {}
TRANSFORMS = {"month": MonthTransform, "year": YearTransform, "identity": IdentityTransform}


def catalog(name, properties):
    catalogs[name] = load_catalog(name, **properties)
    return True


def create_namespace(catalog, namespace):
    catalogs[catalog].create_namespace_if_not_exists(tuple(namespace))
    return True


def create_table(catalog, table, columns, location=None, partition=None, properties=None):
    """Writes a table from columns, {"name": [type, values]}; partition is [column, transform]."""
    return write(catalog, table, from_columns(columns), location, partition, properties)


def create_table_from_duckdb(catalog, table, database, sql, location=None, partition=None, appends=1):
    """Writes a table from a query, in some appends."""
    import duckdb

    with duckdb.connect(database, read_only=True) as duck:
        rows = duck.execute(sql).to_arrow_table()
    rows = pa.table(rows.columns, schema=pa.schema([pa.field(f.name, f.type, nullable=True) for f in rows.schema]))
    return write(catalog, table, rows, location, partition, None, appends)


def write(catalog, table, rows, location=None, partition=None, properties=None, appends=1):
    made = catalogs[catalog].create_table(tuple(table), rows.schema, location=location, properties=properties or {})
    if partition:
        column, transform = partition
        with made.update_spec() as update:
            update.add_field(column, TRANSFORMS[transform](), f"{column}_{transform}")
    step = -(-rows.num_rows // appends)
    for start in range(0, rows.num_rows, step):
        made.append(rows.slice(start, step))
    return describe(made)


def create_table_over(catalog, table, path, columns):
    """Writes one Parquet file to a path of our choosing, and a table over it."""
    from pyarrow import parquet

    rows = from_columns(columns)
    made = catalogs[catalog].create_table(tuple(table), rows.schema)
    with made.io.new_output(path).create(overwrite=True) as file:
        parquet.write_table(rows, file)
    made.add_files([path])
    return describe(made)


def create_rich_table(catalog, table, version):
    """A table with every kind of type, whose schema then changes in every way that keeps old files readable."""
    kinds = pa.schema(
        [
            pa.field("id", pa.int64()),
            pa.field("narrow", pa.int32()),
            pa.field("single", pa.float32()),
            pa.field("price", pa.decimal128(9, 2)),
            pa.field("old", pa.string()),
            pa.field("gone", pa.string()),
            pa.field("day", pa.date32()),
            pa.field("hour", pa.time64("us")),
            pa.field("local", pa.timestamp("us")),
            pa.field("moment", pa.timestamp("us", tz="UTC")),
            pa.field("bytes", pa.binary()),
            pa.field("fixed", pa.binary(3)),
            pa.field("ok", pa.bool_()),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("place", pa.struct([pa.field("town", pa.string()), pa.field("zip", pa.int32())])),
            pa.field("counts", pa.map_(pa.string(), pa.int64())),
        ]
    )
    when = datetime.datetime(2024, 2, 29, 12, 30, 0, 123456)
    row = {
        "id": 1, "narrow": -7, "single": 0.5, "price": decimal.Decimal("1.25"), "old": "was here", "gone": "dropped",
        "day": when.date(), "hour": when.time(), "local": when, "moment": when.replace(tzinfo=datetime.timezone.utc),
        "bytes": b"\x00\xff", "fixed": b"abc", "ok": True, "tags": ["a", None, "b"],
        "place": {"town": "Ulm", "zip": 89073}, "counts": [("x", 1), ("y", None)],
    }  # fmt: skip
    made = catalogs[catalog].create_table(tuple(table), kinds, properties={"format-version": str(version)})
    made.append(pa.Table.from_pylist([row, {"id": 2}], kinds))
    with made.update_schema() as change:
        change.rename_column("old", "renamed")
        change.update_column("narrow", LongType())
        change.update_column("single", DoubleType())
        change.update_column("price", DecimalType(18, 2))
        change.delete_column("gone")
        change.rename_column("place.town", "city")
        change.add_column(("place", "country"), StringType())
    with made.update_schema() as change:
        # The same name again is another column: what was written under the old one must not come back.
        change.add_column("gone", StringType())
        change.move_first("tags")
    later = {"id": 3, "narrow": 1 << 40, "renamed": "later", "gone": "new", "place": {"city": "Bern", "country": "CH"}}
    later["price"] = decimal.Decimal("-123456789012345.67")
    made.append(pa.Table.from_pylist([later], made.schema().as_arrow()))
    return describe(made)


def append(catalog, table, columns):
    loaded = catalogs[catalog].load_table(tuple(table))
    loaded.append(from_columns(columns))
    return describe(loaded)


def read(catalog, table):
    return catalogs[catalog].load_table(tuple(table)).scan().to_arrow().to_pylist()


def load(catalog, table):
    return describe(catalogs[catalog].load_table(tuple(table)))


def describe(table):
    snapshot = table.current_snapshot()
    return {
        "metadata_location": table.metadata_location,
        "location": table.location(),
        "snapshot_id": str(snapshot.snapshot_id) if snapshot else None,
        "files": [task.file.file_path for task in table.scan().plan_files()] if snapshot else [],
    }


def tables(catalog, namespace):
    return sorted(".".join(name) for name in catalogs[catalog].list_tables(tuple(namespace)))


def namespaces(catalog):
    return sorted(".".join(name) for name in catalogs[catalog].list_namespaces())


def register(catalog, table, metadata_location):
    return describe(catalogs[catalog].register_table(tuple(table), metadata_location))


def drop(catalog, table):
    catalogs[catalog].drop_table(tuple(table))
    return True


def generate_tpch(database, scale_factor):
    """DuckDB's own TPC-H data, kept in a DuckDB file."""
    import duckdb
    from duckdb_extensions import import_extension

    import_extension("tpch")
    with duckdb.connect(database) as duck:
        duck.load_extension("tpch")
        duck.execute(f"call dbgen(sf = {float(scale_factor)})")
        # One process wrote it, many read it: nothing may be left in the log.
        duck.execute("checkpoint")
    return True


def from_columns(columns):
    arrays = {}
    for name, (kind, values) in columns.items():
        kind = parse_type(kind)
        written = any(isinstance(value, str) for value in values)
        arrays[name] = pa.array(values, pa.string()).cast(kind) if written else pa.array(values, kind)
    return pa.table(arrays)


def parse_type(name):
    if name.startswith("decimal("):
        precision, scale = json.loads(name.replace("decimal(", "[").replace(")", "]"))
        return pa.decimal128(precision, scale)
    if name == "timestamptz":
        return pa.timestamp("us", tz="UTC")
    if name == "date":
        return pa.date32()
    return pa.type_for_alias(name)


if __name__ == "__main__":
    operations = [
        catalog,
        create_namespace,
        create_table,
        create_table_from_duckdb,
        create_table_over,
        create_rich_table,
        append,
        read,
        load,
        tables,
        namespaces,
        register,
        drop,
        generate_tpch,
    ]
    wire.serve({operation.__name__: operation for operation in operations})

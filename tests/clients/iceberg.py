"""PyIceberg, driven by the tests: writes tables into catalogs, and reads what others registered there."""

import json

import pyarrow as pa
from pyiceberg.catalog import load_catalog
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

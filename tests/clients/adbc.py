"""The stock Python ADBC driver, driven by the tests; also knows what DuckDB answers to TPC-H."""

import decimal
import math

import adbc_driver_flightsql.dbapi
import adbc_driver_manager

import wire

connections = {}
duck = None


def connect(uri, options=None, connection_options=None, name="main"):
    connections[name] = adbc_driver_flightsql.dbapi.connect(
        uri, db_kwargs=options or {}, conn_kwargs=connection_options or {}, autocommit=True
    )
    return True


def close(name="main"):
    connections.pop(name).close()
    return True


def as_answer(table, cursor):
    return {
        "columns": table.schema.names,
        "types": [str(field.type) for field in table.schema],
        "nullable": [field.nullable for field in table.schema],
        "rows": [list(row.values()) for row in table.to_pylist()] if unique(table.schema.names) else by_position(table),
        "rowcount": cursor.rowcount,
    }


def unique(names):
    return len(set(names)) == len(names)


def by_position(table):
    return [list(row) for row in zip(*(column.to_pylist() for column in table.columns))]


def query(sql, parameters=None, name="main"):
    with connections[name].cursor() as cursor:
        cursor.execute(sql, parameters)
        return as_answer(cursor.fetch_arrow_table(), cursor)


def execute(sql, parameters=None, name="main"):
    """Runs a statement and fetches nothing, as a DDL statement in a notebook."""
    with connections[name].cursor() as cursor:
        cursor.execute(sql, parameters)
        return {"rowcount": cursor.rowcount}


def update(sql, name="main"):
    """Runs a statement as an update (DoPut), below the DBAPI."""
    statement = adbc_driver_manager.AdbcStatement(connections[name].adbc_connection)
    try:
        statement.set_sql_query(sql)
        return {"rowcount": statement.execute_update()}
    finally:
        statement.close()


def ingest(table, columns, mode="create", temporary=True, name="main", repeat=1, **place):
    """Puts rows into a table, its columns as lists, in so many batches of the same rows."""
    import pyarrow

    batch = pyarrow.RecordBatch.from_pydict(columns)
    data = pyarrow.Table.from_batches([batch] * repeat)
    with connections[name].cursor() as cursor:
        return {"rows": cursor.adbc_ingest(table, data, mode=mode, temporary=temporary, **place)}


def schema(sql, name="main"):
    with connections[name].cursor() as cursor:
        found = cursor.adbc_execute_schema(sql)
        return {"columns": found.names, "types": [str(field.type) for field in found]}


def prepare(sql, name="main"):
    with connections[name].cursor() as cursor:
        cursor.adbc_prepare(sql)
        return True


def objects(name="main", **filters):
    return connections[name].adbc_get_objects(**filters).read_all().to_pylist()


def table_schema(table, catalog=None, db_schema=None, name="main"):
    found = connections[name].adbc_get_table_schema(
        table, catalog_filter=catalog, db_schema_filter=db_schema
    )
    return {"columns": found.names, "types": [str(field.type) for field in found]}


def info(name="main"):
    return connections[name].adbc_get_info()


def partitions(sql, name="main", elsewhere=None):
    """Reads a result by its partitions, last to first and each twice, the second time maybe at another proxy."""
    with connections[name].cursor() as cursor:
        found, schema = cursor.adbc_execute_partitions(sql)
    rows, again = [], []
    for partition in reversed(found):
        rows.append(read_partition(name, partition, schema))
        again.append(read_partition(elsewhere or name, partition, schema))
    return {
        "partitions": len(found),
        "rows": sorted(row for part in rows for row in part),
        "alike": [sorted(part) for part in rows] == [sorted(part) for part in again],
    }


def read_partition(name, partition, schema):
    with connections[name].cursor() as cursor:
        cursor.adbc_read_partition(partition)
        table = cursor.fetch_arrow_table()
    if schema is not None and table.schema != schema:
        raise ValueError(f"a partition has the schema {table.schema} instead of {schema}")
    return by_position(table)


def open_duckdb(database):
    global duck
    import duckdb
    from duckdb_extensions import import_extension

    import_extension("tpch")
    duck = duckdb.connect(database, read_only=True)
    duck.load_extension("tpch")
    return True


def expected(sql):
    table = duck.execute(sql).to_arrow_table()
    return {"columns": table.schema.names, "rows": by_position(table)}


def tpch(number, name="main"):
    """One TPC-H query on both sides: how many rows, and the first difference, if any."""
    text = duck.execute("select query from tpch_queries() where query_nr = ?", [number]).fetchone()[0]
    text = text.strip().rstrip(";")
    theirs = duck.execute(text).to_arrow_table()
    with connections[name].cursor() as cursor:
        cursor.execute(text)
        ours = cursor.fetch_arrow_table()
    return {"rows": ours.num_rows, "difference": difference(ours, theirs)}


def difference(ours, theirs):
    if ours.num_columns != theirs.num_columns or ours.num_rows != theirs.num_rows:
        return f"{ours.num_rows} × {ours.num_columns} instead of {theirs.num_rows} × {theirs.num_columns}"
    for row, (left, right) in enumerate(zip(by_position(ours), by_position(theirs))):
        for column, (have, want) in enumerate(zip(left, right)):
            if not same(have, want):
                return f"row {row}, column {ours.schema.names[column]}: {have!r} instead of {want!r}"
    return None


def same(have, want):
    """Exactly the same; floats to 1e-9.

    Where one engine divides decimals as decimals and the other as floats, the decimal must be the float at the
    decimal's own scale: less than one unit of its last digit away.
    """
    if isinstance(have, str) and isinstance(want, str):
        return have == want
    if isinstance(have, float) and isinstance(want, float):
        return math.isclose(have, want, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(have, float) or isinstance(want, float):
        if have is None or want is None:
            return False
        number, exact = (have, want) if isinstance(have, float) else (want, have)
        unit = decimal.Decimal(1).scaleb(decimal.Decimal(exact).as_tuple().exponent)
        return abs(decimal.Decimal(number) - exact) < unit
    return have == want


def describe_error(error):
    return {
        "message": str(error),
        "type": type(error).__name__,
        "status": getattr(getattr(error, "status_code", None), "name", None),
        "vendor": getattr(error, "vendor_code", None),
    }


if __name__ == "__main__":
    wire.serve(
        {
            "connect": connect,
            "close": close,
            "query": query,
            "execute": execute,
            "update": update,
            "ingest": ingest,
            "schema": schema,
            "prepare": prepare,
            "objects": objects,
            "table_schema": table_schema,
            "info": info,
            "partitions": partitions,
            "open_duckdb": open_duckdb,
            "expected": expected,
            "tpch": tpch,
        },
        describe_error,
    )

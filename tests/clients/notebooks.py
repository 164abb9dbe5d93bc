"""What notebooks and BI tools in Python do. Prints one line a finding: a name, a tab, a value.

Arguments: a URI, a user, a password, a PEM file of roots, docs/clients.md. Where a client can be given no roots, the
environment has to name the same file: SSL_CERT_FILE for Go's TLS, GRPC_DEFAULT_SSL_ROOTS_FILE_PATH for gRPC's.
"""

import contextlib
import decimal
import re
import sys

import adbc_driver_flightsql.dbapi
import duckdb
import flightsql.sqlalchemy  # noqa: F401 - registers its dialect
import ibis
import pandas
import polars
import sqlalchemy

uri, user, password, roots, docs = sys.argv[1:]
host_and_port = uri.removeprefix("grpc+tls://")


def say(name, value):
    print(name, str(value).replace("\n", " ").replace("\t", " "), sep="\t", flush=True)


def tried(name):
    def run(function):
        try:
            say(name, function())
        except Exception as error:  # noqa: BLE001 - a refusal is a finding
            say(name, f"refused: {type(error).__name__}: {error}")

    return run


def connect():
    with open(roots) as pem:
        options = {
            "username": user,
            "password": password,
            "adbc.flight.sql.client_option.tls_root_certs": pem.read(),
        }
    return adbc_driver_flightsql.dbapi.connect(uri, db_kwargs=options, autocommit=True)


def snippet(name):
    """A Python block of docs/clients.md, by its first line, with this proxy in the place of the example's."""
    with open(docs) as text:
        blocks = re.findall(r"```python\n(# .*?)```", text.read(), re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {name}\n")]
    for example, here in [
        ("lake.example.net:31337", host_and_port),
        ('"ada"', repr(user)),
        ('"…"', repr(password)),
        ("ada:…@", f"{user}:{password.replace(' ', '%20')}@"),
        ('"/path/ca.pem"', repr(roots)),
    ]:
        block = block.replace(example, here)
    names = {}
    exec(compile(block, f"docs/clients.md, {name}", "exec"), names)  # noqa: S102 - it is our own text
    return names


TYPES = "select * from lake.types.pyiceberg_all_types order by id"


# pandas


@tried("pandas snippet")
def _():
    frame = snippet("pandas")["frame"]
    return f"{len(frame)} {list(frame.columns)}"


with connect() as connection:

    @tried("pandas types")
    def _():
        return [str(kind) for kind in pandas.read_sql(TYPES, connection).dtypes]

    @tried("pandas values")
    def _():
        row = pandas.read_sql(TYPES, connection).iloc[0]
        return [row.iloc[0], row["d38"], row["day"], row["clock"], row["naive"], row["zoned"], row["word"], row["key"].hex()]

    @tried("pandas arrow types")
    def _():
        frame = pandas.read_sql("select id, small, d9, zoned from lake.types.pyiceberg_all_types", connection, dtype_backend="pyarrow")
        return [str(kind) for kind in frame.dtypes]

    @tried("pandas empty")
    def _():
        frame = pandas.read_sql("select id, word from lake.types.pyiceberg_all_types where false", connection)
        return f"{len(frame)} {list(frame.columns)}"

    @tried("pandas parameters")
    def _():
        return pandas.read_sql("select n_name from lake.tpch.nation where n_nationkey = ?", connection, params=[7])

    @tried("pandas chunks")
    def _():
        return pandas.read_sql("select * from lake.tpch.nation", connection, chunksize=10)

    @tried("pandas refused")
    def _():
        return pandas.read_sql("select * from lake.tpch.nations", connection)


# Polars


@tried("polars snippet")
def _():
    return snippet("Polars")["frame"].shape


@tried("polars by URI")
def _():
    # The driver takes no user from a URI, and Polars hands it nothing else.
    with_user = f"flightsql://{user}:{password.replace(' ', '%20')}@{host_and_port}"
    return polars.read_database_uri("select * from lake.tpch.nation", with_user, engine="adbc").shape


with connect() as connection:

    @tried("polars types")
    def _():
        return list(polars.read_database(TYPES, connection).schema.values())

    @tried("polars values")
    def _():
        row = polars.read_database(TYPES, connection).row(0, named=True)
        return [row[name] for name in ("id", "d38", "day", "clock", "naive", "zoned", "word", "items", "pair", "deep")]

    @tried("polars batches")
    def _():
        batches = polars.read_database("select * from lake.tpch.orders", connection, iter_batches=True, batch_size=1000)
        return sum(len(batch) for batch in batches)

    @tried("polars parameters")
    def _():
        sql = "select n_name from lake.tpch.nation where n_nationkey = ?"
        return polars.read_database(sql, connection, execute_options={"parameters": [7]}).item()


# Rows of their own: frames of one are appended to those of the other, however each keeps its texts


with connect() as connection, connection.cursor() as cursor:

    @tried("pandas frame put")
    def _():
        frame = pandas.DataFrame({"key": [7, 3], "label": ["g", None], "kind": pandas.Categorical(["x", "y"])})
        return cursor.adbc_ingest("wanted", frame, mode="create", temporary=True)

    @tried("polars frame put")
    def _():
        frame = polars.DataFrame({"label": ["a label that is longer than a view"], "kind": ["z"], "key": [9]})
        return cursor.adbc_ingest("wanted", frame.to_arrow(compat_level=polars.CompatLevel.newest()), mode="append", temporary=True)

    @tried("frames joined")
    def _():
        cursor.execute("select n_name, label, kind from lake.tpch.nation join wanted on n_nationkey = key order by 1")
        return cursor.fetchall()


# DuckDB and Ibis


@tried("duckdb snippet")
def _():
    return snippet("DuckDB")["rows"]


@tried("ibis snippet")
def _():
    return snippet("Ibis")["rows"]


with connect() as connection, connection.cursor() as cursor:

    @tried("duckdb types")
    def _():
        cursor.execute(TYPES)
        duck = duckdb.connect()
        duck.register("types", cursor.fetch_record_batch())
        return [kind for _, kind, *_ in duck.sql("describe types").fetchall()]

    @tried("duckdb values")
    def _():
        cursor.execute("select d9, d38 from lake.types.pyiceberg_all_types")
        duck = duckdb.connect()
        duck.register("types", cursor.fetch_record_batch())
        return duck.sql("select sum(d9), min(d38) from types").fetchone() == (
            decimal.Decimal("1234567.88"),
            decimal.Decimal("-9999999999999999999999999999.9999999999"),
        )

    @tried("ibis over DuckDB")
    def _():
        cursor.execute("select n_regionkey, n_name from lake.tpch.nation")
        nations = ibis.memtable(cursor.fetch_arrow_table())
        counted = nations.group_by("n_regionkey").aggregate(n=ibis._.count()).order_by("n_regionkey")
        return ibis.duckdb.connect().to_pyarrow(counted).to_pylist()


# SQLAlchemy and what Superset sends through it


@tried("sqlalchemy snippet")
def _():
    return snippet("SQLAlchemy")["rows"]


def engine(**settings):
    query = {"catalog": "lake", **settings}
    host, port = host_and_port.rsplit(":", 1)
    url = sqlalchemy.engine.URL.create("datafusion+flightsql", user, password, host, int(port), query=query)
    return sqlalchemy.create_engine(url)


@tried("superset test connection")
def _():
    # Superset tries a connection by the dialect's do_ping, which sends this.
    built = engine()
    with contextlib.closing(built.raw_connection()) as connection:
        return built.dialect.do_ping(connection)


inspector = sqlalchemy.inspect(engine())
tried("superset schemas")(lambda: sorted(inspector.get_schema_names()))
tried("superset tables")(lambda: inspector.get_table_names("tpch"))
tried("superset views")(lambda: inspector.get_view_names("tpch"))
tried("superset has table")(lambda: (inspector.has_table("nation", "tpch"), inspector.has_table("nations", "tpch")))
tried("superset columns")(lambda: [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns("pyiceberg_all_types", "types")])
tried("superset keys")(lambda: (inspector.get_pk_constraint("nation", "tpch"), inspector.get_foreign_keys("nation", "tpch"), inspector.get_indexes("nation", "tpch")))
tried("superset keys, told")(lambda: sqlalchemy.inspect(engine(**{"feature-sqlalchemy-primary-keys": "on"})).get_pk_constraint("nation", "tpch"))
tried("superset comment")(lambda: inspector.get_table_comment("nation", "tpch"))

SUPERSET = {
    # SQL Lab: the estimate, the preview of a table, and a query with the row limit added.
    "explain": "EXPLAIN SELECT n_name FROM tpch.nation",
    "preview": 'SELECT n_nationkey AS n_nationkey, n_name AS n_name, n_regionkey AS n_regionkey, n_comment AS n_comment FROM tpch.nation LIMIT 100',
    "lab": "SELECT * FROM tpch.nation LIMIT 1001",
    # A chart: a virtual dataset as a subquery, a time grain, a filter, a limit.
    "chart": "SELECT DATE_TRUNC('month', o_orderdate) AS o_orderdate, sum(o_totalprice) AS \"SUM(o_totalprice)\" "
    "FROM (SELECT * FROM tpch.orders) AS virtual_table WHERE o_orderdate >= '1995-01-01' AND o_orderdate < '1995-07-01' "
    "GROUP BY DATE_TRUNC('month', o_orderdate) ORDER BY \"SUM(o_totalprice)\" DESC LIMIT 10000",
    # A filter's values, a count of rows, and a chart of the series with most.
    "values": "SELECT n_name AS n_name FROM tpch.nation GROUP BY n_name LIMIT 1000",
    "count": "SELECT COUNT(*) AS rowcount FROM (SELECT * FROM tpch.orders LIMIT 50000) AS rowcount_qry",
    "series": "SELECT o_orderstatus AS o_orderstatus, COUNT(*) AS count FROM tpch.orders JOIN "
    "(SELECT o_orderstatus AS o_orderstatus__, COUNT(*) AS mme_inner__ FROM tpch.orders GROUP BY o_orderstatus "
    "ORDER BY mme_inner__ DESC LIMIT 2) AS series_limit ON o_orderstatus = o_orderstatus__ GROUP BY o_orderstatus ORDER BY count DESC LIMIT 100",
}
with engine().connect() as connection:
    for name, sql in SUPERSET.items():
        tried(f"superset {name}")(lambda: len(connection.execute(sqlalchemy.text(sql.replace(":", "\\:"))).fetchall()))

    @tried("sqlalchemy table")
    def _():
        nation = sqlalchemy.Table("nation", sqlalchemy.MetaData(), autoload_with=connection, schema="tpch")
        chosen = sqlalchemy.select(nation.c.n_name).where(nation.c.n_nationkey > 20).order_by(nation.c.n_name).limit(2)
        return connection.execute(chosen).fetchall()

    @tried("sqlalchemy text parameters")
    def _():
        return connection.execute(sqlalchemy.text("select n_name from tpch.nation where n_nationkey = :key"), {"key": 7}).fetchall()


with engine(**{"feature-sqlalchemy-prepared-statements": "on"}).connect() as connection:

    @tried("sqlalchemy prepared")
    def _():
        rows = []
        for name, key in [("n_nationkey", 7), ("n_name", "GERMANY"), ("n_nationkey", 7.0), ("true", True)]:
            found = connection.execute(sqlalchemy.text(f"select n_name, n_regionkey from tpch.nation where {name} = :key"), {"key": key})
            rows += found.fetchall()
        return rows


@tried("sqlalchemy wrong password")
def _():
    host, port = host_and_port.rsplit(":", 1)
    url = sqlalchemy.engine.URL.create("datafusion+flightsql", user, "wrong", host, int(port))
    return sqlalchemy.create_engine(url).connect()

"""Everything that Python's ADBC driver can ask of a server. Prints one line a finding: a name, a tab, a value.

Arguments: a URI, a user, a password, a PEM file of roots, a token. The variables OIDC_TOKEN and EXPIRED_OIDC_TOKEN have
tokens of an issuer; CLIENT_CERTIFICATE and CLIENT_KEY name PEM files.
"""

import datetime
import decimal
import os
import pathlib
import sys
import threading
import time

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import pyarrow

uri, user, password, roots, token = sys.argv[1:]
with open(roots) as pem:
    TLS = {"adbc.flight.sql.client_option.tls_root_certs": pem.read()}
LOGIN = {"username": user, "password": password}
COOKIES = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
FOREVER = "select max(value % 7) from generate_series(1, 1000000000000)"
ENDLESS = "select value from generate_series(1, 1000000000000)"
NATION = "select n_name from lake.tpch.nation"
PLANS = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "substrait"


def say(name, value):
    print(name, str(value).replace("\n", " ").replace("\t", " "), sep="\t", flush=True)


def tried(name):
    def run(function):
        try:
            say(name, function())
        except Exception as error:  # noqa: BLE001 - a refusal is a finding
            status = getattr(getattr(error, "status_code", None), "name", "")
            say(name, f"refused: {type(error).__name__} {status}: {error}")

    return run


def connect(options=None, connection_options=None):
    options = {**TLS, **(LOGIN if options is None else options)}
    return adbc_driver_flightsql.dbapi.connect(uri, db_kwargs=options, conn_kwargs=connection_options or {}, autocommit=True)


def asked(sql, options=None, connection_options=None, parameters=None):
    with connect(options, connection_options) as connection, connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


# Connecting

tried("connected by token")(lambda: asked("select 42", {"adbc.flight.sql.authorization_header": f"Bearer {token}"}))
tried("connected by wrong token")(lambda: asked("select 42", {"adbc.flight.sql.authorization_header": "Bearer wrong"}))
tried("connected by wrong password")(lambda: asked("select 42", {"username": user, "password": "wrong"}))
tried("connected by nobody")(lambda: asked("select 42", {}))


def bearer(variable):
    return {"adbc.flight.sql.authorization_header": f"Bearer {os.environ[variable]}"}


def text_of(variable):
    with open(os.environ[variable]) as file:
        return file.read()


WHO = "select distinct principal from landfast.system.queries"
CERTIFICATE = {
    "adbc.flight.sql.client_option.mtls_cert_chain": text_of("CLIENT_CERTIFICATE"),
    "adbc.flight.sql.client_option.mtls_private_key": text_of("CLIENT_KEY"),
}
tried("connected by OIDC token")(lambda: asked(WHO, bearer("OIDC_TOKEN")))
tried("connected by expired OIDC token")(lambda: asked(WHO, bearer("EXPIRED_OIDC_TOKEN")))
tried("connected by certificate")(lambda: asked(WHO, CERTIFICATE))
tried("connected by certificate and user")(lambda: asked(WHO, {**CERTIFICATE, **LOGIN}))


@tried("connected by unknown certificate")
def _():
    with adbc_driver_flightsql.dbapi.connect(uri, db_kwargs=LOGIN, autocommit=True) as connection:
        return connection.adbc_get_info()


@tried("connected by unchecked certificate")
def _():
    options = {**LOGIN, "adbc.flight.sql.client_option.tls_skip_verify": "true"}
    with adbc_driver_flightsql.dbapi.connect(uri, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("select 42")
        return cursor.fetchall()


tried("headers")(lambda: asked("select count(*) from tpch.nation", connection_options={"adbc.flight.sql.rpc.call_header.catalog": "lake"}))
tried("small messages")(
    lambda: len(asked("select * from lake.tpch.orders limit 60000", {**LOGIN, "adbc.flight.sql.client_option.with_max_msg_size": str(4 << 20)}))
)



# Plans that other engines made (see ../fixtures/write/substrait_plans.py); they name tables without a schema.
def planned(name, do=lambda statement: statement.execute_query()):
    plan = (PLANS / f"{name}.plan").read_bytes()
    with connect(connection_options={"adbc.flight.sql.rpc.call_header.schema": "tpch"}) as other:
        statement = adbc_driver_manager.AdbcStatement(other.adbc_connection)
        try:
            statement.set_substrait_plan(plan)
            found = do(statement)
            if not isinstance(found, tuple):
                return found
            rows = pyarrow.RecordBatchReader._import_from_c(found[0].address).read_all()
            return [tuple(row.values()) for row in rows.to_pylist()]
        finally:
            statement.close()


def prepared_first(statement):
    statement.prepare()
    return statement.execute_query()


tried("substrait of ibis")(lambda: planned("ibis_nations"))
tried("same in SQL")(
    lambda: asked(
        "select r_name, count(n_name), max(n_nationkey) from lake.tpch.nation join lake.tpch.region on n_regionkey = r_regionkey "
        "where n_name like '%A%' group by r_name order by r_name"
    )
)
tried("substrait prepared")(lambda: planned("ibis_large_orders", prepared_first) == planned("ibis_large_orders"))
tried("substrait ordered")(
    lambda: planned("ibis_large_orders")
    == asked(
        "select o_orderkey, o_totalprice from lake.tpch.orders where o_orderdate >= date '1995-01-01' and "
        "o_orderpriority in ('1-URGENT', '2-HIGH') order by o_totalprice desc, o_orderkey limit 5"
    )
)
tried("substrait update")(lambda: planned("ibis_nations", lambda statement: statement.execute_update()))
tried("substrait of duckdb")(lambda: planned("duckdb_columns_left_out"))

with connect({**LOGIN, **COOKIES}) as connection:
    # What it says of itself

    @tried("info")
    def _():
        info = connection.adbc_get_info()
        return [info[key] for key in ("vendor_name", "vendor_version", "driver_name")]

    tried("table types")(lambda: sorted(connection.adbc_get_table_types()))

    def names(depth, **filters):
        found = []
        for catalog in connection.adbc_get_objects(depth=depth, **filters).read_all().to_pylist():
            for schema in catalog["catalog_db_schemas"] or [None]:
                for table in (schema and schema["db_schema_tables"]) or [None]:
                    columns = [column["column_name"] for column in (table and table["table_columns"]) or []]
                    parts = [catalog["catalog_name"], schema and schema["db_schema_name"], table and table["table_name"]]
                    found.append(".".join(part for part in parts if part) + (f"({', '.join(columns)})" if columns else ""))
        return found

    tried("objects catalogs")(lambda: names("catalogs"))
    tried("objects schemas")(lambda: names("db_schemas", catalog_filter="lake"))
    tried("objects tables")(lambda: names("tables", catalog_filter="lake", db_schema_filter="tpch"))
    tried("objects all")(lambda: names("all", catalog_filter="lake", db_schema_filter="tpch", table_name_filter="nation"))
    tried("objects columns")(lambda: names("columns", catalog_filter="lake", db_schema_filter="t%", table_name_filter="%", column_name_filter="n_n%"))
    tried("objects views")(lambda: names("tables", catalog_filter="lake", db_schema_filter="tpch", table_types_filter=["VIEW"]))
    tried("objects of nowhere")(lambda: names("tables", catalog_filter="nowhere"))

    @tried("objects column")
    def _():
        (catalog,) = connection.adbc_get_objects(
            depth="all", catalog_filter="lake", db_schema_filter="types", table_name_filter="pyiceberg_all_types"
        ).read_all().to_pylist()
        columns = catalog["catalog_db_schemas"][0]["db_schema_tables"][0]["table_columns"]
        return [(column["ordinal_position"], column["xdbc_type_name"], column["xdbc_is_nullable"]) for column in columns[:2]]

    tried("table schema")(lambda: connection.adbc_get_table_schema("nation", catalog_filter="lake", db_schema_filter="tpch").names)
    tried("table schema of nothing")(lambda: connection.adbc_get_table_schema("nations", catalog_filter="lake", db_schema_filter="tpch"))
    tried("current catalog")(lambda: connection.adbc_current_catalog)
    tried("current schema")(lambda: connection.adbc_current_db_schema)

    @tried("transactions")
    def _():
        connection.adbc_connection.set_autocommit(False)
        return "begun"

    # Results

    with connection.cursor() as cursor:

        @tried("types")
        def _():
            cursor.execute("select * from lake.types.pyiceberg_all_types order by id")
            return [str(field.type) for field in cursor.fetch_arrow_table().schema]

        @tried("description")
        def _():
            cursor.execute(f"{NATION} order by 1")
            return [(column[0], str(column[1])) for column in cursor.description], cursor.rowcount, cursor.rownumber

        tried("one")(lambda: (cursor.fetchone(), cursor.rownumber))
        tried("many")(lambda: cursor.fetchmany(2))
        tried("rest")(lambda: len(cursor.fetchall()))
        tried("no more")(lambda: cursor.fetchone())
        tried("schema")(lambda: cursor.adbc_execute_schema(NATION).names)

        @tried("prepared")
        def _():
            schema = cursor.adbc_prepare(f"{NATION} where n_nationkey = ? and n_regionkey in (?, ?) and n_name like ?")
            return [str(field.type) for field in schema]

        def bound(where, *values):
            cursor.execute(f"{NATION} where {where} order by 1", values)
            return [row[0] for row in cursor.fetchall()]

        tried("bound int")(lambda: bound("n_nationkey = ?", 7))
        tried("bound text")(lambda: bound("n_name like ?", "GER%"))
        tried("bound null")(lambda: bound("n_nationkey = ? or n_name = ?", None, "CHINA"))
        tried("bound by number")(lambda: bound("n_nationkey = $2 and n_regionkey = $1", 3, 7))
        tried("bound limit")(lambda: bound("n_nationkey > ? order by 1 limit ? --", 3, 2))
        tried("bound too few")(lambda: bound("n_nationkey = ? and n_name = ?", 7))

        def typed(where, value):
            cursor.execute(f"select id from lake.types.pyiceberg_all_types where {where} order by id", [value])
            return [row[0] for row in cursor.fetchall()]

        tried("bound decimal")(lambda: typed("d38 = ?", decimal.Decimal("1234567890123456789012345678.0123456789")))
        tried("bound date")(lambda: typed("day = ?", datetime.date(2024, 1, 31)))
        tried("bound time")(lambda: typed("clock = ?", datetime.time(13, 5, 6, 123)))
        tried("bound timestamp")(lambda: typed("naive = ?", datetime.datetime(2024, 1, 31, 13, 5, 6, 123)))
        tried("bound timestamp with zone")(
            lambda: typed("zoned = ?", datetime.datetime(2024, 1, 31, 13, 5, 6, 123, tzinfo=datetime.timezone.utc))
        )
        tried("bound float")(lambda: typed("double < ?", 0.5))
        tried("bound boolean")(lambda: typed("ok = ?", True))
        tried("bound bytes")(lambda: typed("bytes = ?", b"\0"))

        @tried("bound rows")
        def _():
            keys = pyarrow.record_batch([pyarrow.array([3, 7, 9])], names=["1"])
            cursor.execute(f"{NATION} where n_nationkey = ?", keys)
            return sorted(row[0] for row in cursor.fetchall())

        @tried("execute many")
        def _():
            cursor.executemany("set landfast.placement = 'origin'", [])
            return cursor.rowcount

        @tried("execute many queries")
        def _():
            cursor.executemany(f"{NATION} where n_nationkey = ?", [(3,), (7,)])
            return cursor.rowcount

        @tried("update")
        def _():
            cursor.execute("set landfast.placement = 'origin'")
            cursor.execute("show landfast.placement")
            return cursor.fetchone()[1]

        @tried("reader")
        def _():
            cursor.execute("select * from lake.tpch.orders")
            return sum(batch.num_rows for batch in cursor.fetch_record_batch())

        @tried("partitions")
        def _():
            partitions, schema = cursor.adbc_execute_partitions("select o_orderkey from lake.tpch.orders")
            rows = 0
            for partition in partitions:
                with connection.cursor() as other:
                    other.adbc_read_partition(partition)
                    rows += other.fetch_arrow_table().num_rows
            return len(partitions) > 0, schema.names, rows

        @tried("several endpoints")
        def _():
            every = "select * from lake.tpch.orders"
            cursor.execute(f"{every} order by o_orderkey")
            one = cursor.fetch_arrow_table()
            ordered, _ = cursor.adbc_execute_partitions(f"{every} order by o_orderkey")
            cursor.execute(every)
            together = cursor.fetch_arrow_table()
            partitions, _ = cursor.adbc_execute_partitions(every)
            parts = []
            # In any order.
            for partition in reversed(partitions):
                with connection.cursor() as other:
                    other.adbc_read_partition(partition)
                    parts.append(other.fetch_arrow_table())
            found = [pyarrow.concat_tables(parts), together]
            same = [table.sort_by("o_orderkey").combine_chunks().equals(one.combine_chunks()) for table in found]
            return len(ordered), len(partitions) > 1, one.num_rows, same

        @tried("partition read elsewhere")
        def _():
            partitions, _ = cursor.adbc_execute_partitions(NATION)
            with connect() as other, other.cursor() as reader:
                reader.adbc_read_partition(partitions[0])
                return reader.fetch_arrow_table().num_rows

        @tried("partition read by another")
        def _():
            partitions, _ = cursor.adbc_execute_partitions(NATION)
            with connect({"adbc.flight.sql.authorization_header": f"Bearer {token}"}) as other, other.cursor() as reader:
                reader.adbc_read_partition(partitions[0])
                return reader.fetch_arrow_table().num_rows

        tried("empty")(lambda: (cursor.execute(f"{NATION} where false"), cursor.fetch_arrow_table())[1].num_rows)

        @tried("queue of one")
        def _():
            cursor.adbc_statement.set_options(**{"adbc.rpc.result_queue_size": "1"})
            cursor.execute("select * from lake.tpch.orders")
            return cursor.fetch_arrow_table().num_rows

    @tried("several open")
    def _():
        with connection.cursor() as one, connection.cursor() as other:
            one.execute("select value from generate_series(1, 100000) order by 1")
            other.execute("select value from generate_series(1, 100000) order by 1 desc")
            return all(up + down == 100001 for (up,), (down,) in zip(one, other))

    # Refusals

    for name, sql in [("syntax", "select 1 +"), ("unknown", "select * from lake.tpch.nations"), ("write", "delete from lake.tpch.nation"), ("cast", "select cast(n_name as int) from lake.tpch.nation")]:

        @tried(f"refused {name}")
        def _():
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()

    # Stopping

    def state(mark):
        with connection.cursor() as cursor:
            cursor.execute(f"select state from landfast.system.queries where statement like '%-- {mark}'")
            found = cursor.fetchone()
            return found and found[0]

    def over(mark):
        """The state of a query that has ended; what it still is after half a minute, else."""
        until = time.monotonic() + 30
        while state(mark) in (None, "planned", "running") and time.monotonic() < until:
            time.sleep(0.05)
        return state(mark)

    @tried("cancelled")
    def _():
        with connection.cursor() as cursor:

            def stop():
                until = time.monotonic() + 30
                while state("cancelled") != "running" and time.monotonic() < until:
                    time.sleep(0.05)
                cursor.adbc_cancel()

            stopper = threading.Thread(target=stop)
            stopper.start()
            try:
                cursor.execute(f"{FOREVER} -- cancelled")
                return cursor.fetchall()
            finally:
                stopper.join()

    tried("state of cancelled")(lambda: over("cancelled"))

    @tried("closed in the middle")
    def _():
        with connection.cursor() as cursor:
            cursor.execute(f"{ENDLESS} -- closed")
            return cursor.fetchone()

    tried("state of closed")(lambda: over("closed"))

    @tried("fetch timed out")
    def _():
        options = {"adbc.flight.sql.rpc.timeout_seconds.fetch": "0.5"}
        return asked(f"{FOREVER} -- timed", connection_options=options)

    tried("state of timed")(lambda: over("timed"))
    # Planning is too fast for a deadline to pass in it, but for one that has passed before.
    tried("query timed out")(
        lambda: asked("select 1", connection_options={"adbc.flight.sql.rpc.timeout_seconds.query": "0.000001"})
    )

    @tried("update timed out")
    def _():
        with connect(connection_options={"adbc.flight.sql.rpc.timeout_seconds.update": "0.000001"}) as other:
            statement = adbc_driver_manager.AdbcStatement(other.adbc_connection)
            try:
                statement.set_sql_query("set landfast.placement = 'origin'")
                return statement.execute_update()
            finally:
                statement.close()

    tried("still well")(lambda: asked("select 42"))

//! How to connect to the demo with each kind of client.

use std::io::Write;
use std::net::SocketAddr;

pub(super) fn how_to_connect(address: SocketAddr, out: &mut dyn Write) -> std::io::Result<()> {
    let (host, port) = (address.ip(), address.port());
    let host = match host {
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    };
    write!(
        out,
        r#"
The proxy stays up at {host}:{port}; Ctrl-C ends it. It asks for no user, as only this machine can reach it.

SQL from here:
    landfast sql --url grpc://{host}:{port} --user demo      (any password; `cargo run --release -- sql …` from the source)
    landfast sql --url grpc://{host}:{port} -c "SELECT count(*) FROM lineitem"

Python, with ADBC (pip install adbc-driver-flightsql pyarrow):
    import adbc_driver_flightsql.dbapi as flightsql
    from adbc_driver_flightsql import DatabaseOptions
    with flightsql.connect("grpc://{host}:{port}", autocommit=True,
                           db_kwargs={{"username": "demo", "password": "demo",
                                      DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value: "true"}}) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT l_shipmode, count(*) FROM lineitem GROUP BY 1 ORDER BY 1")
            print(cursor.fetch_arrow_table().to_pandas())

JDBC, with the Flight SQL driver (DBeaver, Tableau, …):
    jdbc:arrow-flight-sql://{host}:{port}?useEncryption=false&user=demo&password=demo

Worth a try:
    EXPLAIN SELECT sum(l_quantity) FROM lineitem WHERE l_shipdate >= DATE '1996-06-01';
    SELECT * FROM landfast.system.last_query;
    SELECT * FROM landfast.system.sites;
    SELECT * FROM landfast.system.tables;
    SET landfast.placement = 'origin';
"#
    )
}

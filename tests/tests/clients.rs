//! What stock clients see: the JDBC driver and Python's ADBC driver over TLS, sessions, refusals, and the command line.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use landfast_tests::clients::{Adbc, Refusal, java};
use landfast_tests::landfast::{self, ENGINEER, Landfast, PASSWORD, READER};
use landfast_tests::process::run_dir;
use landfast_tests::stores::S3_SECRET_KEY;
use landfast_tests::world::{S3_SECRET_VARIABLE, World};
use serde_json::{Value, json};

struct Fixture {
    world: World,
    landfast: Landfast,
}

/// A bearer token of the configuration; its SHA-256 is all that Landfast knows.
const TOKEN: &str = "a-token-of-a-nightly-report";

/// One world and one proxy with TLS, users and a token, for all tests here: none spoils it.
fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let world = World::start().unwrap();
        let token = format!(
            "[[token]]\nprincipal = \"nightly\"\nrole = \"reader\"\nsha256 = \"{}\"\n",
            landfast::sha256(TOKEN)
        );
        let landfast = Landfast::start(&world.config().secured().with(&token)).unwrap();
        Fixture { world, landfast }
    })
}

#[test]
fn the_stock_jdbc_driver_logs_in_over_tls_lists_prepares_sets_and_calls() {
    let Fixture { world, landfast } = fixture();
    let url = format!(
        "jdbc:arrow-flight-sql://127.0.0.1:{}/?useEncryption=true",
        landfast.port()
    );
    let certificate = landfast.certificate().display().to_string();
    let table = world.iceberg().ask(
        "load",
        json!({ "catalog": "plant", "table": ["tpch", "nation"] }),
    );
    let location = table["metadata_location"].as_str().unwrap();
    let arguments = [
        &url,
        ENGINEER,
        PASSWORD,
        &certificate,
        location,
        "plant.tpch.jdbc",
    ];
    let said = java("Jdbc.java", &arguments).unwrap();
    let line = |what: &str| {
        let found = said
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{what}: ")));
        found.unwrap_or_else(|| panic!("nothing about {what} in:\n{said}"))
    };
    assert!(
        line("product").to_lowercase().contains("landfast"),
        "{said}"
    );
    for catalog in ["lake", "plant", "landfast"] {
        assert!(line("catalogs").contains(catalog), "{said}");
    }
    assert!(line("schemas").contains("tpch"), "{said}");
    // '%s%' fits these, and not 'nation'.
    assert_eq!(line("tables"), "[customer, orders, partsupp, supplier]");
    // java.sql.Types: BIGINT -5, DECIMAL 3, DATE 91, VARCHAR 12, INTEGER 4.
    let columns = line("columns");
    for column in [
        "o_orderkey:-5",
        "o_totalprice:3",
        "o_orderdate:91",
        "o_orderpriority:12",
    ] {
        assert!(columns.contains(column), "{column} is not in {columns}");
    }
    let mut duck = Adbc::start();
    duck.ask(&json!({ "do": "open_duckdb", "database": world.lake.duckdb() }))
        .unwrap();
    for last in [7, 3] {
        let sql = format!(
            "select o_orderkey || ' ' || o_totalprice || ' ' || o_orderdate || ' ' || o_clerk from orders \
             where o_orderkey <= {last} and o_orderdate >= date '1994-01-01' order by o_orderkey"
        );
        let want = duck.ask(&json!({ "do": "expected", "sql": sql })).unwrap();
        let rows: Vec<&str> = want["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row[0].as_str().unwrap())
            .collect();
        assert!(!rows.is_empty());
        assert_eq!(
            line(&format!("prepared {last}")),
            format!("[{}]", rows.join(", "))
        );
    }
    assert_eq!(
        [line("before"), line("after"), line("again")],
        ["nearest", "origin", "nearest"]
    );
    assert_eq!(
        [
            line("url freshness"),
            line("url placement"),
            line("url schema")
        ],
        ["strong", "origin", "tpch"]
    );
    assert!(line("url set").contains("landfast.placement"), "{said}");
    assert!(line("url typo").contains("landfast.freshnes"), "{said}");
    assert_eq!(line("registered"), "25");
    assert!(!line("gone").starts_with("answered"), "{said}");
    assert!(
        line("unknown").contains("lineitem"),
        "the nearest name: {said}"
    );
    assert!(!line("wrong password").contains("let in"), "{said}");
}

#[test]
fn adbc_logs_in_over_tls_and_every_handshake_is_a_session_of_its_own() {
    let Fixture { landfast, .. } = fixture();
    let (mut one, mut other) = (Adbc::to(landfast), Adbc::to(landfast));
    one.execute("set landfast.placement = 'origin'").unwrap();
    let show = "show landfast.placement";
    assert_eq!(one.query(show).texts("value"), ["origin"]);
    assert_eq!(
        other.query(show).texts("value"),
        ["nearest"],
        "another session's setting leaked"
    );

    let mut client = Adbc::start();
    let wrong = client.connect(&landfast.uri(), &landfast.adbc_options_for(READER, "wrong"));
    let refusal = wrong
        .and_then(|()| client.try_query("select 1").map(|_| ()))
        .unwrap_err();
    assert_eq!(refusal.status, "UNAUTHENTICATED", "{}", refusal.message);
    assert!(!refusal.message.contains("wrong\""), "{}", refusal.message);
    let unknown = client.connect(
        &landfast.uri(),
        &landfast.adbc_options_for("nobody", PASSWORD),
    );
    let same = unknown
        .and_then(|()| client.try_query("select 1").map(|_| ()))
        .unwrap_err();
    assert_eq!(same.message, refusal.message, "who exists must not show");
}

#[test]
fn a_bearer_token_is_a_session_only_with_cookies() {
    let Fixture { landfast, .. } = fixture();
    let roots = fs::read_to_string(landfast.certificate()).unwrap();
    let options = |cookies: &str| {
        json!({
            "adbc.flight.sql.authorization_header": format!("Bearer {TOKEN}"),
            "adbc.flight.sql.client_option.tls_root_certs": roots,
            "adbc.flight.sql.rpc.with_cookie_middleware": cookies,
        })
    };
    let mut bare = Adbc::start();
    bare.connect(&landfast.uri(), &options("false")).unwrap();
    assert_eq!(bare.query("select 1").only(), &json!(1));
    let refusal = bare
        .execute("set landfast.placement = 'origin'")
        .unwrap_err();
    assert!(refusal.message.contains("cookie"), "{}", refusal.message);
    assert!(
        refusal.message.contains("with_cookie_middleware"),
        "it says how: {}",
        refusal.message
    );

    let mut cookies = Adbc::start();
    cookies.connect(&landfast.uri(), &options("true")).unwrap();
    cookies
        .execute("set landfast.placement = 'origin'")
        .unwrap();
    assert_eq!(
        cookies.query("show landfast.placement").texts("value"),
        ["origin"]
    );
    assert_eq!(
        bare.query("show landfast.placement").texts("value"),
        ["nearest"]
    );
}

/// Rows for a table of a session, as ADBC puts them there.
fn ingest(client: &mut Adbc, mode: &str, columns: &Value) -> Result<Value, Refusal> {
    let request = json!({ "do": "ingest", "table": "wanted", "mode": mode, "columns": columns });
    client.ask(&request).map(|answer| answer["rows"].clone())
}

#[test]
fn adbc_puts_rows_into_a_table_of_its_session_in_every_mode_and_joins_them_with_the_lakes() {
    let Fixture { landfast, .. } = fixture();
    let (mut one, mut other) = (Adbc::to(landfast), Adbc::to(landfast));
    let rows = json!({ "key": [7, 3, 9], "label": ["g", "c", null] });
    let refused = |done: Result<Value, Refusal>| done.unwrap_err().status;
    assert_eq!(refused(ingest(&mut one, "append", &rows)), "NOT_FOUND");
    assert_eq!(ingest(&mut one, "create", &rows).unwrap(), json!(3));
    assert_eq!(refused(ingest(&mut one, "create", &rows)), "ALREADY_EXISTS");
    let joined = "select n.n_name, w.label from lake.tpch.nation n join wanted w on n.n_nationkey = w.key order by 1";
    let found = one.query(joined);
    assert_eq!(found.texts("n_name"), ["CANADA", "GERMANY", "INDONESIA"]);
    assert_eq!(found.texts("label"), ["c", "g"]);
    let unknown = other.refused(joined);
    assert_eq!(unknown.status, "NOT_FOUND", "{}", unknown.message);
    let count = "select count(*) from wanted";
    for (mode, expected) in [("append", 6), ("create_append", 9), ("replace", 3)] {
        assert_eq!(ingest(&mut one, mode, &rows).unwrap(), json!(3), "{mode}");
        assert_eq!(one.query(count).only(), &json!(expected), "{mode}");
    }
    assert_eq!(
        ingest(&mut other, "create_append", &rows).unwrap(),
        json!(3)
    );
    let misfit = json!({ "key": [1], "lable": ["x"] });
    let refusal = ingest(&mut one, "append", &misfit).unwrap_err();
    assert_eq!(refusal.status, "INVALID_ARGUMENT");
    assert!(refusal.message.contains("lable"), "{}", refusal.message);
    assert_eq!(one.query(count).only(), &json!(3));
    let many = json!({ "do": "ingest", "table": "wanted", "mode": "append", "columns": rows, "repeat": 20_000 });
    assert_eq!(one.ask(&many).unwrap()["rows"], json!(60_000));
    let sum = one.query("select sum(key), count(label) from landfast.temporary.wanted");
    assert_eq!(sum.rows, [[json!(19 * 20_001), json!(2 * 20_001)]]);
    let shown = one.query("show tables in landfast.temporary");
    assert_eq!(shown.texts("table_type"), ["LOCAL TEMPORARY"]);
    let columns = json!({ "do": "table_schema", "table": "wanted", "catalog": "landfast", "db_schema": "temporary" });
    assert_eq!(
        one.ask(&columns).unwrap()["types"],
        json!(["int64", "string"])
    );
    one.execute("drop table wanted").unwrap();
    assert_eq!(one.refused(count).status, "NOT_FOUND");
    assert_eq!(other.query(count).only(), &json!(3));
}

#[test]
fn adbc_is_told_that_writing_the_lake_comes_later_and_that_a_token_alone_is_no_session() {
    let Fixture { landfast, .. } = fixture();
    let mut client = Adbc::to(landfast);
    let rows = json!({ "key": [1] });
    let mut lasting = json!({ "do": "ingest", "table": "wanted", "columns": rows });
    lasting["temporary"] = json!(false);
    let refusal = client.ask(&lasting).unwrap_err();
    assert_eq!(refusal.status, "NOT_IMPLEMENTED", "{}", refusal.message);
    assert!(
        refusal.message.contains("temporary=True"),
        "{}",
        refusal.message
    );
    let roots = fs::read_to_string(landfast.certificate()).unwrap();
    let options = |cookies: &str| {
        json!({
            "adbc.flight.sql.authorization_header": format!("Bearer {TOKEN}"),
            "adbc.flight.sql.client_option.tls_root_certs": roots,
            "adbc.flight.sql.rpc.with_cookie_middleware": cookies,
        })
    };
    let mut bare = Adbc::start();
    bare.connect(&landfast.uri(), &options("false")).unwrap();
    let refusal = ingest(&mut bare, "create", &rows).unwrap_err();
    assert!(
        refusal.message.contains("with_cookie_middleware"),
        "{}",
        refusal.message
    );
    let mut cookies = Adbc::start();
    cookies.connect(&landfast.uri(), &options("true")).unwrap();
    assert_eq!(ingest(&mut cookies, "create", &rows).unwrap(), json!(1));
    assert_eq!(ingest(&mut cookies, "append", &rows).unwrap(), json!(1));
    assert_eq!(
        cookies.query("select count(*) from wanted").only(),
        &json!(2)
    );
}

#[test]
fn adbc_sends_settings_as_headers_and_needs_no_session_for_them() {
    let Fixture { landfast, .. } = fixture();
    let roots = fs::read_to_string(landfast.certificate()).unwrap();
    let options = |header: &str, value: &str| {
        let mut options = json!({
            "adbc.flight.sql.authorization_header": format!("Bearer {TOKEN}"),
            "adbc.flight.sql.client_option.tls_root_certs": roots,
        });
        options[format!("adbc.flight.sql.rpc.call_header.{header}")] = value.into();
        options
    };
    let mut client = Adbc::start();
    let strong = options("landfast.freshness", "strong");
    client.connect(&landfast.uri(), &strong).unwrap();
    assert_eq!(
        client.query("show landfast.freshness").texts("value"),
        ["strong"]
    );
    let mut wrong = Adbc::start();
    let refusal = wrong
        .connect(&landfast.uri(), &options("landfast.placement", "mars"))
        .and_then(|()| wrong.try_query("select 1").map(|_| ()))
        .unwrap_err();
    assert_eq!(refusal.status, "INVALID_ARGUMENT", "{}", refusal.message);
    assert!(
        refusal.message.contains("landfast.placement") && refusal.message.contains("dc-east"),
        "{}",
        refusal.message
    );
}

#[test]
fn an_unknown_name_is_not_found_with_the_nearest_names() {
    let Fixture { landfast, .. } = fixture();
    let mut client = Adbc::to(landfast);
    for (sql, nearest) in [
        ("select * from lake.tpch.lineitm", "lineitem"),
        ("select * from lake.tcph.lineitem", "tpch"),
        ("select * from lak.tpch.lineitem", "lake"),
    ] {
        let refusal = client.refused(sql);
        assert_eq!(refusal.status, "NOT_FOUND", "{sql}: {}", refusal.message);
        assert!(
            refusal.message.contains(nearest),
            "{sql}: {}",
            refusal.message
        );
    }
    let refusal = client.refused("select n_nam from lake.tpch.nation");
    assert!(refusal.message.contains("n_name"), "{}", refusal.message);
}

#[test]
fn only_queries_and_named_statements_run_in_any_disguise() {
    let Fixture { landfast, .. } = fixture();
    let mut client = Adbc::to(landfast);
    let dir = run_dir("stolen").unwrap();
    let secret = dir.join("secret.csv");
    fs::write(&secret, "a,b\n1,2\n").unwrap();
    let out = dir.join("out.parquet");
    let statements = [
        format!(
            "create external table x stored as csv location '{}'",
            secret.display()
        ),
        format!("copy (select 1) to '{}'", out.display()),
        format!(
            "copy lake.tpch.nation to '{}' stored as parquet",
            out.display()
        ),
        format!("select * from '{}'", secret.display()),
        "set datafusion.execution.listing_table_ignore_subdirectory = false".to_owned(),
        "set datafusion.catalog.location = '/'".to_owned(),
        "set datafusion.runtime.memory_limit = '1T'".to_owned(),
        "insert into lake.tpch.nation values (1, 'a', 1, 'b')".to_owned(),
        "delete from lake.tpch.nation".to_owned(),
        "update lake.tpch.nation set n_name = 'x'".to_owned(),
        "create table lake.tpch.x as select 1".to_owned(),
        "create view lake.tpch.v as select 1".to_owned(),
        "create function f() returns int return 1".to_owned(),
        "prepare p as select 1".to_owned(),
        "select 1; select 2".to_owned(),
    ];
    for statement in &statements {
        for disguise in [
            statement.clone(),
            format!("explain {statement}"),
            format!("explain analyze {statement}"),
        ] {
            client.refused(&disguise);
            // What a SET may say is known when it runs, and not before.
            if !disguise.starts_with("set") {
                let prepared = client.ask(&json!({ "do": "prepare", "sql": disguise }));
                assert!(prepared.is_err(), "{disguise}: prepared");
            }
        }
        let updated = client.ask(&json!({ "do": "update", "sql": statement }));
        assert!(updated.is_err(), "{statement}: run as an update");
    }
    assert!(!out.exists(), "a refused COPY has written");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    assert_eq!(
        client.query("select count(*) from lake.tpch.nation").only(),
        &json!(25)
    );
}

#[test]
fn a_reader_defines_nothing() {
    let Fixture { landfast, .. } = fixture();
    let mut client = Adbc::start();
    client
        .connect(
            &landfast.uri(),
            &landfast.adbc_options_for(READER, PASSWORD),
        )
        .unwrap();
    for sql in [
        "create schema plant.mine",
        "drop table plant.tpch.nation",
        "drop schema plant.mirror",
    ] {
        let refusal = client.execute(sql).unwrap_err();
        assert_eq!(refusal.status, "UNAUTHORIZED", "{sql}: {}", refusal.message);
    }
    assert_eq!(
        client
            .query("select count(*) from plant.tpch.nation")
            .only(),
        &json!(25)
    );
}

#[test]
fn a_statement_that_changes_something_runs_exactly_once_whether_or_not_it_is_fetched() {
    let Fixture { landfast, .. } = fixture();
    let mut client = Adbc::to(landfast);
    // Run twice, the second CREATE or DROP would fail, in the same call or in the one after.
    client.execute("create schema plant.once").unwrap();
    let twice = client.execute("create schema plant.once").unwrap_err();
    assert_eq!(twice.status, "ALREADY_EXISTS", "{}", twice.message);
    client.query("drop schema plant.once");
    client
        .ask(&json!({ "do": "update", "sql": "create schema plant.once" }))
        .unwrap();
    // To prepare is not to run.
    client
        .ask(&json!({ "do": "prepare", "sql": "drop schema plant.once" }))
        .unwrap();
    client.execute("drop schema plant.once").unwrap();
    assert!(client.execute("drop schema plant.once").is_err());
    let log: Vec<Value> = client
        .query("select statement from landfast.system.queries where statement like '%plant.once%' and state = 'finished'")
        .column("statement");
    let count = |text: &str| log.iter().filter(|statement| *statement == text).count();
    assert_eq!(
        [
            count("create schema plant.once"),
            count("drop schema plant.once")
        ],
        [2, 2],
        "{log:?}"
    );
}

#[test]
fn parameters_are_bound_in_order_and_typed_by_their_place() {
    let Fixture { landfast, .. } = fixture();
    let mut client = Adbc::to(landfast);
    let sql = "select n_name from lake.tpch.nation where n_nationkey > ? and n_regionkey = ? and n_name like ? order by 1";
    let rows = client.query_with(sql, &json!([2, 3, "%M%"])).unwrap();
    assert_eq!(
        rows.texts("n_name"),
        ["GERMANY", "ROMANIA", "UNITED KINGDOM"]
    );
    let rows = client.query_with(sql, &json!([10, 3, "%M%"])).unwrap();
    assert_eq!(rows.texts("n_name"), ["ROMANIA", "UNITED KINGDOM"]);
}

#[test]
fn many_clients_at_once_get_each_its_own_answer() {
    let Fixture { landfast, .. } = fixture();
    let sql = |region: usize| {
        format!(
            "select n_regionkey, count(*), sum(c_custkey) from lake.tpch.customer, lake.tpch.nation \
             where c_nationkey = n_nationkey and n_regionkey = {region} group by n_regionkey"
        )
    };
    let mut clients: Vec<Adbc> = (0..5).map(|_| Adbc::to(landfast)).collect();
    let alone: Vec<_> = (0..5)
        .map(|region| clients[0].query(&sql(region)))
        .collect();
    for _ in 0..2 {
        for (region, client) in clients.iter_mut().enumerate() {
            client.begin(&sql(region));
        }
        for (client, alone) in clients.iter_mut().zip(&alone) {
            assert_eq!(&client.answer().unwrap(), alone);
        }
    }
}

#[test]
fn what_describes_a_result_is_what_arrives() {
    let Fixture { landfast, .. } = fixture();
    let mut client = Adbc::to(landfast);
    for sql in [
        "select l_shipmode, count(*) as n, avg(l_quantity), max(l_shipdate) from lake.tpch.lineitem group by 1 order by 1",
        "select * from lake.tpch.orders limit 3",
        "select 1 as a, 'x' as b, cast(null as date) as c",
        "explain select * from lake.tpch.lineitem where l_shipdate < date '1993-01-01'",
        "show catalogs",
    ] {
        let described = client.ask(&json!({ "do": "schema", "sql": sql })).unwrap();
        let arrived = client.query(sql);
        assert_eq!(
            described,
            json!({ "columns": arrived.columns, "types": arrived.types }),
            "{sql}"
        );
    }
    let table = client.ask(&json!({ "do": "table_schema", "table": "nation", "catalog": "lake", "db_schema": "tpch" })).unwrap();
    assert_eq!(
        table["columns"],
        json!(["n_nationkey", "n_name", "n_regionkey", "n_comment"])
    );
}

#[test]
fn explain_shows_the_snapshot_the_files_and_the_bytes_of_each_site() {
    let Fixture { landfast, .. } = fixture();
    let mut client = Adbc::to(landfast);
    let sql =
        "select sum(l_quantity) from lake.tpch.lineitem where l_shipdate >= date '1995-11-01'";
    client.query(sql);
    let plan = client.query(&format!("explain {sql}"));
    let text = json!(plan.rows).to_string();
    for what in ["lake.tpch.lineitem", "snapshot", "dc-east", "dc-west"] {
        assert!(text.contains(what), "no {what} in {text}");
    }
    assert!(
        !text.contains("\"gcp\"") && !text.contains("gcp:"),
        "nothing of these years is read from the cloud: {text}"
    );
    let analyzed = json!(client.query(&format!("explain analyze {sql}")).rows).to_string();
    assert!(analyzed.contains("dc-east"), "{analyzed}");
}

#[test]
fn a_typo_in_the_configuration_is_refused_and_named() {
    let Fixture { landfast, .. } = fixture();
    let right = fs::read_to_string(landfast.config_file()).unwrap();
    let wrong = run_dir("typo").unwrap().join("landfast.toml");
    for (from, to, named) in [
        ("listen =", "lisen =", "lisen"),
        ("[[link]]", "[[lnik]]", "lnik"),
        ("latency_ms = 40", "latency = 40", "latency"),
        ("from = \"gcp\"", "from = \"gpc\"", "gpc"),
    ] {
        assert!(right.contains(from), "nothing to misspell: {from}");
        fs::write(&wrong, right.replacen(from, to, 1)).unwrap();
        for command in ["check", "serve"] {
            let mut landfast = Command::new(landfast::binary().unwrap());
            landfast.args([command, "--config"]).arg(&wrong);
            let done = landfast
                .env(S3_SECRET_VARIABLE, S3_SECRET_KEY)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(!done.status.success(), "{command} took {to}");
            assert!(said.contains(named), "{command}, {to}: {said}");
        }
    }
}

#[test]
fn check_probes_every_site_and_member_one_line_each() {
    let world = &fixture().world;
    let config = run_dir("check").unwrap().join("landfast.toml");
    let toml = format!(
        "[proxy]\nsite = \"dc-east\"\ninsecure = true\n{}{}",
        world.sites(),
        world.catalogs()
    );
    fs::write(&config, toml).unwrap();
    let mut check = Command::new(landfast::binary().unwrap());
    check.args(["check", "--config"]).arg(&config);
    check.env(S3_SECRET_VARIABLE, S3_SECRET_KEY);
    let done = check.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    for (kind, name) in [
        ("site", "gcp"),
        ("site", "dc-east"),
        ("site", "dc-west"),
        ("catalog", "lake"),
        ("catalog", "plant"),
    ] {
        let about = format!("{kind} {name}:");
        let lines = said.lines().filter(|line| {
            let words: Vec<&str> = line.split_whitespace().skip(1).take(2).collect();
            words.join(" ") == about
        });
        let lines: Vec<&str> = lines.collect();
        assert!(
            matches!(lines[..], [line] if line.starts_with("ok")),
            "{about} in {said}"
        );
    }
}

//! Members of every kind in one namespace: what PyIceberg wrote is read, what Landfast registers PyIceberg reads, and
//! a member that is slow, dead or locked holds up nobody else.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::fs;
use std::time::{Duration, Instant};

use landfast_tests::catalogs::{Postgres, RestCatalog};
use landfast_tests::clients::{Adbc, Iceberg};
use landfast_tests::lake::{iceberg_io, rest_properties, sql_properties};
use landfast_tests::landfast::{Config, Landfast};
use landfast_tests::process::{run_dir, wait_until};
use landfast_tests::reverse::{Fault, OAuth2, Reverse};
use landfast_tests::stores::{AZURE_ACCOUNT, AZURE_KEY, S3_ACCESS_KEY, S3_SECRET_KEY, Store};
use landfast_tests::world::link;
use serde_json::{Value, json};

/// Small servers of this test alone: a cloud store, an on-prem store, a REST catalog between a reverse proxy and it.
struct Small {
    gcs: Store,
    s3: Store,
    rest: RestCatalog,
    line: Reverse,
    io: Value,
}

impl Small {
    fn start() -> Self {
        let (gcs, s3) = (Store::gcs().unwrap(), Store::s3().unwrap());
        gcs.make_bucket("lake").unwrap();
        s3.make_bucket("plant").unwrap();
        let database = run_dir("rest").unwrap().join("rest.db");
        let rest = RestCatalog::start(&database, "gs://lake/wh", &gcs).unwrap();
        let line = Reverse::before(rest.uri()).unwrap();
        let io = iceberg_io(gcs.endpoint(), s3.endpoint());
        Self {
            gcs,
            s3,
            rest,
            line,
            io,
        }
    }

    /// PyIceberg with the REST catalog loaded as `rest`, past the reverse proxy.
    fn iceberg(&self) -> Iceberg {
        let mut python = Iceberg::start();
        let properties = rest_properties(self.rest.uri(), &self.io);
        python.ask(
            "catalog",
            json!({ "name": "rest", "properties": properties }),
        );
        python
    }

    fn config(&self) -> Config {
        let (gcs, s3) = (self.gcs.endpoint(), self.s3.endpoint());
        let sites = format!(
            "[[site]]\nname = \"gcp\"\n[site.store]\nkind = \"gcs\"\nendpoint = \"{gcs}\"\ncredential = \"anonymous\"\n\
             [[site.prefix]]\ncanonical = \"gs://lake/\"\norigin = true\n\
             [[site]]\nname = \"dc\"\n[site.store]\nkind = \"s3\"\nendpoint = \"{s3}\"\nregion = \"us-east-1\"\n\
             allow_http = true\ncredential = \"static\"\naccess_key_id = \"{S3_ACCESS_KEY}\"\n\
             secret_access_key_env = \"S3_SECRET\"\n[[site.prefix]]\ncanonical = \"s3://plant/\"\norigin = true\n"
        );
        let links = link("gcp", "dc", 40, 1000, 0.08);
        Config::at("dc")
            .with(&sites)
            .with(&links)
            .env("S3_SECRET", S3_SECRET_KEY)
    }

    fn rest_member(&self, auth: &str) -> String {
        format!(
            "[[catalog]]\nname = \"rest\"\nkind = \"rest\"\nuri = \"{}\"\ntimeout_ms = 2000\n{auth}",
            self.line.url()
        )
    }
}

fn sql_member(name: &str, url: &str) -> String {
    format!("[[catalog]]\nname = \"{name}\"\nkind = \"sql\"\nurl = \"{url}\"\n")
}

fn columns() -> Value {
    json!({
        "id": ["int64", [1, 2, 3]],
        "price": ["decimal(9,2)", ["0.10", "-2.00", null]],
        "day": ["date", ["2024-02-29", "1969-12-31", null]],
        "moment": ["timestamptz", ["2024-02-29T12:00:00+00:00", "1969-12-31T23:59:59.999999+00:00", null]],
        "name": ["string", ["a", "ö", null]],
        "ok": ["bool", [true, false, null]],
    })
}

#[test]
fn tables_that_pyiceberg_wrote_into_rest_postgresql_and_sqlite_are_read_and_registered_ones_read_back()
 {
    let small = Small::start();
    let postgres = Postgres::start().unwrap();
    let sqlite = run_dir("sqlite").unwrap().join("lite.db");
    let mut python = small.iceberg();
    let lite = format!("sqlite:///{}", sqlite.display());
    for (name, url) in [("pg", postgres.sqlalchemy_url()), ("lite", lite)] {
        let properties = sql_properties(&url, &format!("s3://plant/{name}"), &small.io);
        python.ask("catalog", json!({ "name": name, "properties": properties }));
    }
    let mut written = Value::Null;
    for catalog in ["rest", "pg", "lite"] {
        python.ask(
            "create_namespace",
            json!({ "catalog": catalog, "namespace": ["Shop"] }),
        );
        let request =
            json!({ "catalog": catalog, "table": ["Shop", "Sales"], "columns": columns() });
        written = python.ask("create_table", request);
    }
    let config = small
        .config()
        .with(&small.rest_member(""))
        .with(&sql_member("pg", &postgres.url()));
    let config = config.with(&sql_member(
        "lite",
        &format!("sqlite://{}", sqlite.display()),
    ));
    let landfast = Landfast::start(&config).unwrap();
    let mut client = Adbc::to(&landfast);

    let want = json!([
        [
            1,
            "0.10",
            "2024-02-29",
            "2024-02-29T12:00:00+00:00",
            "a",
            true
        ],
        [
            2,
            "-2.00",
            "1969-12-31",
            "1969-12-31T23:59:59.999999+00:00",
            "ö",
            false
        ],
        [3, null, null, null, null, null],
    ]);
    for catalog in ["rest", "pg", "lite"] {
        // Unquoted names fit whatever their case, quoted ones exactly.
        for table in [
            format!("{catalog}.shop.sales"),
            format!("{catalog}.\"Shop\".\"Sales\""),
        ] {
            assert_eq!(
                json!(
                    client
                        .query(&format!(
                            "select id, price, day, moment, name, ok from {table} order by id"
                        ))
                        .rows
                ),
                want,
                "{table}"
            );
        }
    }
    client.refused("select * from lite.\"shop\".\"sales\"");

    // What the last catalog's table is, under new names in every kind of catalog, is read by PyIceberg.
    let location = written["metadata_location"].as_str().unwrap();
    for catalog in ["rest", "pg", "lite"] {
        let name = format!("{catalog}.\"Shop\".again");
        client
            .execute(&format!(
                "call landfast.register_table('{name}', '{location}')"
            ))
            .unwrap();
        assert_eq!(
            client.query(&format!("select count(*) from {name}")).only(),
            &json!(3)
        );
        let rows = python.ask(
            "read",
            json!({ "catalog": catalog, "table": ["Shop", "again"] }),
        );
        assert_eq!(rows.as_array().unwrap().len(), 3, "{catalog}");
        let twice = client
            .execute(&format!(
                "call landfast.register_table('{name}', '{location}')"
            ))
            .unwrap_err();
        assert!(twice.message.contains("again"), "{}", twice.message);
    }

    // A commit made elsewhere is seen under strong freshness at once.
    client.execute("set landfast.freshness = 'strong'").unwrap();
    let more = json!({ "id": ["int64", [4]], "price": ["decimal(9,2)", [null]], "day": ["date", [null]],
                       "moment": ["timestamptz", [null]], "name": ["string", [null]], "ok": ["bool", [null]] });
    for catalog in ["rest", "pg", "lite"] {
        python.ask(
            "append",
            json!({ "catalog": catalog, "table": ["Shop", "Sales"], "columns": more }),
        );
        assert_eq!(
            client
                .query(&format!("select count(*) from {catalog}.shop.sales"))
                .only(),
            &json!(4),
            "{catalog}"
        );
    }
}

#[test]
fn schemas_and_tables_come_and_go_in_the_catalog_and_no_file_goes_with_them() {
    let small = Small::start();
    let sqlite = run_dir("sqlite").unwrap().join("lite.db");
    let mut python = Iceberg::start();
    let properties = sql_properties(
        &format!("sqlite:///{}", sqlite.display()),
        "s3://plant/lite",
        &small.io,
    );
    python.ask(
        "catalog",
        json!({ "name": "lite", "properties": properties }),
    );
    let config = small.config().with(&sql_member(
        "lite",
        &format!("sqlite://{}", sqlite.display()),
    ));
    let landfast = Landfast::start(&config).unwrap();
    let mut client = Adbc::to(&landfast);

    client.execute("create schema lite.fresh").unwrap();
    assert_eq!(
        python.ask("namespaces", json!({ "catalog": "lite" })),
        json!(["fresh"])
    );
    python.ask(
        "create_table",
        json!({ "catalog": "lite", "table": ["fresh", "t"], "columns": columns() }),
    );
    let bucket = small.s3.bucket("plant").unwrap();
    let files = bucket.list("lite").unwrap();
    let refusal = client.execute("drop schema lite.fresh").unwrap_err();
    assert!(
        refusal.message.contains("fresh"),
        "not while it has a table: {}",
        refusal.message
    );
    assert_eq!(
        client.query("select count(*) from lite.fresh.t").only(),
        &json!(3)
    );
    client.execute("drop table lite.fresh.t").unwrap();
    client.refused("select count(*) from lite.fresh.t");
    assert_eq!(
        python.ask(
            "tables",
            json!({ "catalog": "lite", "namespace": ["fresh"] })
        ),
        json!([])
    );
    assert_eq!(
        bucket.list("lite").unwrap(),
        files,
        "DROP TABLE left the files alone"
    );
    client.execute("drop schema lite.fresh").unwrap();
    assert_eq!(
        python.ask("namespaces", json!({ "catalog": "lite" })),
        json!([])
    );

    // Only what lies under a configured prefix can be registered.
    client.execute("create schema lite.fresh").unwrap();
    let call = "call landfast.register_table('lite.fresh.t', 's3://elsewhere/t/metadata/00001-a.metadata.json')";
    let refusal = client.execute(call).unwrap_err();
    assert!(refusal.message.contains("prefix"), "{}", refusal.message);
}

#[test]
fn one_join_reads_from_three_origins_in_google_azure_and_on_prem() {
    let test = "one_join_reads_from_three_origins_in_google_azure_and_on_prem";
    let Some(azure) = Store::azure().unwrap() else {
        return landfast_tests::skipped(test, "node (Azurite)");
    };
    azure.make_bucket("ops").unwrap();
    let site = format!(
        "[[site]]\nname = \"azure\"\n[site.store]\nkind = \"azure\"\naccount = \"{AZURE_ACCOUNT}\"\n\
         endpoint = \"{}/{AZURE_ACCOUNT}\"\nallow_http = true\ncredential = \"key\"\nkey_env = \"AZURE_KEY\"\n\
         [[site.prefix]]\ncanonical = \"abfss://ops@{AZURE_ACCOUNT}.dfs.core.windows.net/\"\norigin = true\n",
        azure.endpoint()
    );
    let io = json!({ "py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO",
                     "adls.connection-string": azure.azure_connection_string() });
    let warehouse = format!("abfss://ops@{AZURE_ACCOUNT}.dfs.core.windows.net/wh");
    // The other spelling of the same container: one origin for both.
    join_over_three_origins("azure", &site, &warehouse, &io);
}

#[test]
fn one_join_reads_from_three_origins_in_google_a_directory_and_on_prem() {
    let root = run_dir("shelf").unwrap();
    let site = format!(
        "[[site]]\nname = \"shelf\"\n[site.store]\nkind = \"file\"\nroot = \"{0}\"\n\
         [[site.prefix]]\ncanonical = \"file://{0}/\"\nat = \"\"\norigin = true\n",
        root.display()
    );
    let io = json!({ "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO" });
    join_over_three_origins(
        "shelf",
        &site,
        &format!("file://{}/wh", root.display()),
        &io,
    );
    assert!(
        fs::read_dir(root.join("wh")).unwrap().count() > 0,
        "the tables are where they were meant to be"
    );
}

/// Joins a table in the cloud, one on-prem, and one at `third`; each must give bytes, from its own origin.
fn join_over_three_origins(third: &str, site: &str, warehouse: &str, io: &Value) {
    let small = Small::start();
    let dir = run_dir("sqlite").unwrap();
    let (lite, ops) = (dir.join("lite.db"), dir.join("ops.db"));
    let mut python = small.iceberg();
    for (name, file, warehouse, io) in [
        ("lite", &lite, "s3://plant/lite", &small.io),
        ("ops", &ops, warehouse, io),
    ] {
        let properties = sql_properties(&format!("sqlite:///{}", file.display()), warehouse, io);
        python.ask("catalog", json!({ "name": name, "properties": properties }));
    }
    for (catalog, table, columns) in [
        (
            "rest",
            "sales",
            json!({ "product": ["int64", [1, 1, 2, 3]], "amount": ["decimal(9,2)", ["1.50", "2.00", "4.00", "8.25"]] }),
        ),
        (
            "ops",
            "stock",
            json!({ "product": ["int64", [1, 2, 3]], "shop": ["int64", [10, 20, 10]] }),
        ),
        (
            "lite",
            "shops",
            json!({ "shop": ["int64", [10, 20]], "town": ["string", ["Ulm", "Köln"]] }),
        ),
    ] {
        python.ask(
            "create_namespace",
            json!({ "catalog": catalog, "namespace": ["s"] }),
        );
        python.ask(
            "create_table",
            json!({ "catalog": catalog, "table": ["s", table], "columns": columns }),
        );
    }
    let config = small
        .config()
        .with(site)
        .with(&link(third, "dc", 60, 1000, 0.05))
        .with(&small.rest_member(""));
    let config = config.with(&sql_member("lite", &format!("sqlite://{}", lite.display())));
    let config = config
        .with(&sql_member("ops", &format!("sqlite://{}", ops.display())))
        .env("AZURE_KEY", AZURE_KEY);
    let landfast = Landfast::start(&config).unwrap();
    let mut client = Adbc::to(&landfast);
    let rows = client.query(
        "select town, sum(amount) from rest.s.sales join ops.s.stock using (product) join lite.s.shops using (shop) \
         group by town order by town",
    );
    assert_eq!(
        json!(rows.rows),
        json!([["Köln", "4.00"], ["Ulm", "11.75"]])
    );
    let reads = client.query(
        "select r.site from landfast.system.query_reads r join landfast.system.last_query q on r.query_id = q.query_id \
         where r.data_bytes > 0 order by r.site",
    );
    let mut sites = vec!["dc", "gcp", third];
    sites.sort_unstable();
    assert_eq!(reads.texts("site"), sites);
}

#[test]
fn a_member_that_hangs_holds_up_nobody_else() {
    let small = Small::start();
    let sqlite = run_dir("sqlite").unwrap().join("lite.db");
    let mut python = small.iceberg();
    let properties = sql_properties(
        &format!("sqlite:///{}", sqlite.display()),
        "s3://plant/lite",
        &small.io,
    );
    python.ask(
        "catalog",
        json!({ "name": "lite", "properties": properties }),
    );
    for catalog in ["rest", "lite"] {
        python.ask(
            "create_namespace",
            json!({ "catalog": catalog, "namespace": ["s"] }),
        );
        python.ask(
            "create_table",
            json!({ "catalog": catalog, "table": ["s", "t"], "columns": columns() }),
        );
    }
    small.line.fail("/", Fault::Hang);
    // A minute is for ever here: what is tested is that nobody waits for it.
    let member = small
        .rest_member("")
        .replace("timeout_ms = 2000", "timeout_ms = 60000");
    let config = small.config().with(&member).with(&sql_member(
        "lite",
        &format!("sqlite://{}", sqlite.display()),
    ));
    let landfast = Landfast::start(&config).unwrap();
    let mut client = Adbc::to(&landfast);
    let start = Instant::now();
    assert_eq!(
        client.query("select count(*) from lite.s.t").only(),
        &json!(3)
    );
    let listed = client.query(
        "select table_catalog, table_name from information_schema.tables where table_schema = 's'",
    );
    assert_eq!(listed.texts("table_catalog"), ["lite"]);
    let catalogs =
        client.query("select catalog, state from landfast.system.catalogs order by catalog");
    assert_eq!(catalogs.texts("catalog"), ["lite", "rest"]);
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "somebody waited for the member that hangs"
    );

    small.line.heal();
    let waited = wait_until(
        "the member to be read again",
        Duration::from_secs(90),
        || client.try_query("select count(*) from rest.s.t").is_ok(),
    );
    waited.unwrap();
}

#[test]
fn a_rest_member_renews_its_oauth2_token_before_it_expires() {
    let small = Small::start();
    let mut python = small.iceberg();
    python.ask(
        "create_namespace",
        json!({ "catalog": "rest", "namespace": ["s"] }),
    );
    python.ask(
        "create_table",
        json!({ "catalog": "rest", "table": ["s", "t"], "columns": columns() }),
    );
    let lifetime = Duration::from_secs(4);
    small.line.require_oauth2(OAuth2 {
        client_id: "landfast".into(),
        client_secret: "hush".into(),
        lifetime,
    });
    let auth = "[catalog.auth]\nkind = \"oauth2\"\nclient_id = \"landfast\"\nclient_secret_env = \"OAUTH2_SECRET\"\nscope = \"catalog\"\n";
    let config = small
        .config()
        .with(&small.rest_member(auth))
        .env("OAUTH2_SECRET", "hush");
    let landfast = Landfast::start(&config).unwrap();
    let mut client = Adbc::to(&landfast);
    client.execute("set landfast.freshness = 'strong'").unwrap();
    let start = Instant::now();
    let mut queries = 0;
    while start.elapsed() < lifetime * 2 + Duration::from_secs(1) {
        assert_eq!(
            client.query("select count(*) from rest.s.t").only(),
            &json!(3)
        );
        queries += 1;
    }
    let (tokens, expired) = small.line.tokens();
    assert!(
        queries > 2 && tokens >= 3,
        "{tokens} tokens in {queries} queries over two lifetimes"
    );
    assert_eq!(expired, 0, "a token was used after its time");
    let secrets = landfast.log();
    assert!(
        !secrets.contains("hush") && !secrets.contains("token-1"),
        "a secret is in the log"
    );
}

#[test]
fn a_rest_member_sends_its_bearer_token_and_says_when_it_is_refused() {
    let small = Small::start();
    let mut python = small.iceberg();
    python.ask(
        "create_namespace",
        json!({ "catalog": "rest", "namespace": ["s"] }),
    );
    python.ask(
        "create_table",
        json!({ "catalog": "rest", "table": ["s", "t"], "columns": columns() }),
    );
    small.line.require_bearer("open sesame");
    let auth = "[catalog.auth]\nkind = \"bearer\"\ntoken_env = \"REST_TOKEN\"\n";
    let config = small.config().with(&small.rest_member(auth));
    for (token, count) in [("open sesame", Some(json!(3))), ("open barley", None)] {
        let landfast = Landfast::start(&config.clone().env("REST_TOKEN", token)).unwrap();
        let answer = Adbc::to(&landfast).try_query("select count(*) from rest.s.t");
        match (answer, count) {
            (Ok(rows), Some(count)) => assert_eq!(rows.only(), &count),
            (Err(refusal), None) => {
                assert!(refusal.message.contains("rest"), "{}", refusal.message)
            }
            (answer, _) => panic!("{token}: {answer:?}"),
        }
        assert!(!landfast.log().contains(token), "the token is in the log");
    }
}

//! Catalogs of every kind in one namespace: what PyIceberg wrote is read, and what Landfast registers PyIceberg reads.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::fs;

use landfast_tests::catalogs::Postgres;
use landfast_tests::clients::{Adbc, Iceberg};
use landfast_tests::lake::sql_properties;
use landfast_tests::landfast::Landfast;
use landfast_tests::pair::{Pair, columns, sql_member};
use landfast_tests::process::run_dir;
use landfast_tests::stores::{AZURE_ACCOUNT, AZURE_KEY, Store};
use landfast_tests::world::link;
use serde_json::{Value, json};

#[test]
fn tables_that_pyiceberg_wrote_into_rest_postgresql_and_sqlite_are_read_and_registered_ones_read_back()
 {
    let pair = Pair::start().unwrap();
    let postgres = Postgres::start().unwrap();
    let sqlite = run_dir("sqlite").unwrap().join("lite.db");
    let mut python = pair.iceberg();
    let lite = format!("sqlite:///{}", sqlite.display());
    for (name, url) in [("pg", postgres.sqlalchemy_url()), ("lite", lite)] {
        let properties = sql_properties(&url, &format!("s3://plant/{name}"), &pair.io);
        python.ask("catalog", json!({ "name": name, "properties": properties }));
    }
    let mut locations = Vec::new();
    for catalog in ["rest", "pg", "lite"] {
        python.ask(
            "create_namespace",
            json!({ "catalog": catalog, "namespace": ["Shop"] }),
        );
        let request =
            json!({ "catalog": catalog, "table": ["Shop", "Sales"], "columns": columns() });
        locations.push(python.ask("create_table", request)["metadata_location"].take());
    }
    let config = pair
        .config()
        .with(&pair.rest_member(""))
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

    // What the REST catalog's table is, under new names in every kind of catalog, is read by PyIceberg.
    let location = locations[0].as_str().unwrap();
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
    let pair = Pair::start().unwrap();
    let sqlite = run_dir("sqlite").unwrap().join("lite.db");
    let mut python = Iceberg::start();
    let properties = sql_properties(
        &format!("sqlite:///{}", sqlite.display()),
        "s3://plant/lite",
        &pair.io,
    );
    python.ask(
        "catalog",
        json!({ "name": "lite", "properties": properties }),
    );
    let config = pair.config().with(&sql_member(
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
    let bucket = pair.s3.bucket("plant").unwrap();
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
fn every_type_is_read_as_pyiceberg_reads_it_after_every_change_of_the_schema() {
    let pair = Pair::start().unwrap();
    let mut python = pair.iceberg();
    python.ask(
        "create_namespace",
        json!({ "catalog": "rest", "namespace": ["s"] }),
    );
    let landfast = Landfast::start(&pair.config().with(&pair.rest_member(""))).unwrap();
    let mut client = Adbc::to(&landfast);
    for version in [1, 2] {
        let table = format!("rich{version}");
        python.ask(
            "create_rich_table",
            json!({ "catalog": "rest", "table": ["s", table], "version": version }),
        );
        let theirs = python.ask("read", json!({ "catalog": "rest", "table": ["s", table] }));
        let mut theirs = theirs.as_array().unwrap().clone();
        theirs.sort_by_key(|row| row["id"].as_i64());
        assert_eq!(theirs.len(), 3);
        let ours = client.query(&format!("select * from rest.s.{table} order by id"));
        for (row, theirs) in ours.rows.iter().zip(&theirs) {
            let pairs = ours.columns.iter().cloned().zip(row.iter().cloned());
            let ours = Value::Object(pairs.collect());
            assert_eq!(&ours, theirs, "format version {version}");
        }
        assert_eq!(ours.columns[0], "tags", "the order of columns changed too");
        for (filter, ids) in [
            ("gone is null", json!([[1], [2]])),
            ("gone = 'dropped'", json!([])),
            ("renamed = 'was here'", json!([[1]])),
            ("narrow > 1000000000000", json!([[3]])),
            ("narrow = -7", json!([[1]])),
            ("place['country'] = 'CH'", json!([[3]])),
            ("price < 0", json!([[3]])),
        ] {
            let sql = format!("select id from rest.s.{table} where {filter} order by id");
            assert_eq!(json!(client.query(&sql).rows), ids, "{sql}");
        }
    }
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
    let pair = Pair::start().unwrap();
    let dir = run_dir("sqlite").unwrap();
    let (lite, ops) = (dir.join("lite.db"), dir.join("ops.db"));
    let mut python = pair.iceberg();
    for (name, file, warehouse, io) in [
        ("lite", &lite, "s3://plant/lite", &pair.io),
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
    let config = pair
        .config()
        .with(site)
        .with(&link(third, "dc", 60, 1000, 0.05))
        .with(&pair.rest_member(""));
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

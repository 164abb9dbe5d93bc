//! A ticket gives what was promised when the query was planned, whatever a table or a view has become since.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::fmt::Write as _;

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use landfast_proxy::client::{Client, Endpoint, Execution, Login, TlsFiles};
use landfast_tests::catalogs::RestCatalog;
use landfast_tests::fixtures::{Answered, Fixture, PREFIXES, home, lake, with_table};
use landfast_tests::landfast::{Config, Landfast};
use landfast_tests::process::run_dir;
use landfast_tests::stores::{Store, block_on};
use serde_json::{Value, json};

/// A configuration whose only site is the fixtures' folder, with this catalog.
fn config(catalog: &str) -> Config {
    let mut site = format!(
        "[[site]]\nname = \"here\"\n[site.store]\nkind = \"file\"\nroot = \"{}\"\n",
        home().display()
    );
    for prefix in PREFIXES {
        let _ = writeln!(
            site,
            "[[site.prefix]]\ncanonical = \"{prefix}\"\nat = \"lake/\"\norigin = true"
        );
    }
    Config::at("here").with(&site).with(catalog)
}

fn fixture(engine: &str, table: &str) -> Fixture {
    let all = Fixture::of(engine).unwrap().into_iter();
    let mut found = all.filter(|fixture| fixture.table == table);
    found.next().unwrap()
}

async fn client(landfast: &Landfast) -> Client {
    let endpoint = Endpoint::new(&landfast.uri(), &TlsFiles::default()).unwrap();
    Client::connect(&endpoint, Login::Nobody).await.unwrap()
}

async fn run(client: &mut Client, sql: &str) {
    client.query(sql).await.map(drop).unwrap();
}

/// The rows that a ticket gives now.
async fn redeemed(client: &mut Client, execution: &Execution) -> Vec<RecordBatch> {
    let rows = client.rows(execution).await.unwrap();
    rows.try_collect().await.unwrap()
}

#[test]
fn tickets_of_versions_of_a_table_give_their_rows_after_the_table_is_another_one() {
    let database = run_dir("tickets").unwrap().join("tickets.db");
    let landfast = Landfast::start(&config(&format!(
        "[[catalog]]\nname = \"fixtures\"\nkind = \"sql\"\nurl = \"sqlite://{}?mode=rwc\"\ncreate_tables = true\n",
        database.display()
    )));
    let landfast = landfast.unwrap();
    let branches = fixture("spark", "spark_branches_and_tags");
    let other = fixture("spark", "spark_position_deletes");
    let travelling = |answered: &&Answered| {
        let sql = &answered.sql;
        sql.contains(" FOR ") && !sql.contains('$')
    };
    let queries: Vec<&Answered> = branches.queries.iter().filter(travelling).collect();
    assert!(queries.len() > 5, "{} queries", queries.len());
    block_on(async {
        let mut client = client(&landfast).await;
        run(&mut client, "CREATE SCHEMA fixtures.s").await;
        let register = |metadata: &str| {
            format!("CALL landfast.register_table('fixtures.s.moving', '{metadata}')")
        };
        run(&mut client, &register(&branches.metadata)).await;
        let mut executions = Vec::new();
        for answered in &queries {
            let sql = with_table(&answered.sql, "fixtures", "s", "moving").unwrap();
            executions.push(client.execute(&sql).await.unwrap());
        }
        // The first time a plan waits for its ticket; after that it is planned anew.
        for round in 0..3 {
            if round == 1 {
                run(&mut client, "DROP TABLE fixtures.s.moving").await;
                run(&mut client, &register(&other.metadata)).await;
            }
            for (answered, execution) in queries.iter().zip(&executions) {
                let batches = redeemed(&mut client, execution).await;
                let difference = answered.difference(&execution.schema, &batches);
                assert_eq!(difference, None, "{} in round {round}", answered.name);
            }
        }
        let (_, found) = client
            .query("SELECT count(*) FROM fixtures.s.moving")
            .await
            .unwrap();
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    });
}

#[test]
fn tickets_of_a_view_give_the_rows_of_the_version_that_was_planned() {
    let gcs = Store::gcs().unwrap();
    let text = std::fs::read_to_string(lake().join("views/catalog.json")).unwrap();
    let catalog: Value = serde_json::from_str(&text).unwrap();
    let bucket = gcs.make_bucket("fixtures").unwrap();
    let database = run_dir("views").unwrap().join("rest.db");
    let rest = RestCatalog::start(&database, "gs://fixtures", &gcs).unwrap();
    let posts = reqwest::Client::new();
    let post = |path: &str, body: &Value| {
        let request = posts.post(format!("{}/v1/{path}", rest.uri())).json(body);
        block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(status.is_success(), "{path}: {status}: {text}");
        });
    };
    post("namespaces", &json!({ "namespace": catalog["namespace"] }));
    for (name, metadata) in catalog["tables"].as_object().unwrap() {
        let metadata = metadata.as_str().unwrap();
        let key = metadata.trim_start_matches(PREFIXES[0]);
        let bytes = std::fs::read(lake().join(key)).unwrap();
        bucket.put(key, bytes).unwrap();
        let body = json!({ "name": name, "metadata-location": metadata });
        post("namespaces/views/register", &body);
    }
    let views = catalog["views"].as_array().unwrap();
    let adults = views
        .iter()
        .find(|view| view["name"] == "t_adults")
        .unwrap();
    post("namespaces/views/views", adults);
    let landfast = Landfast::start(&config(&format!(
        "[[catalog]]\nname = \"fixtures\"\nkind = \"rest\"\nuri = \"{}\"\n",
        rest.uri()
    )));
    let landfast = landfast.unwrap();
    let answered = fixture("views", "views_t_adults").queries.remove(0);
    let sql = with_table(&answered.sql, "fixtures", "views", "t_adults").unwrap();
    let (mut client, execution) = block_on(async {
        let mut client = client(&landfast).await;
        // The first answer brings the cookie of the session that the setting is kept in.
        run(&mut client, "SELECT 1").await;
        run(&mut client, "SET landfast.freshness = 'strong'").await;
        let execution = client.execute(&sql).await.unwrap();
        let batches = redeemed(&mut client, &execution).await;
        assert_eq!(answered.difference(&execution.schema, &batches), None);
        (client, execution)
    });
    let mut version = adults["view-version"].clone();
    version["version-id"] = json!(2);
    version["representations"][0]["sql"] =
        json!("SELECT id, name, age FROM f.views.people WHERE age > 1000");
    let body = json!({
        "requirements": [],
        "updates": [
            { "action": "add-view-version", "view-version": version },
            { "action": "set-current-view-version", "view-version-id": -1 },
        ],
    });
    post("namespaces/views/views/t_adults", &body);
    block_on(async {
        let (_, now) = client.query(&sql).await.unwrap();
        assert_eq!(now.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
        let batches = redeemed(&mut client, &execution).await;
        assert_eq!(answered.difference(&execution.schema, &batches), None);
    });
}

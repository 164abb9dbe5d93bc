//! Catalog members that are slow, dead or locked: they hold up nobody else, and their tokens are renewed in time.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use landfast_tests::clients::Adbc;
use landfast_tests::lake::sql_properties;
use landfast_tests::landfast::Landfast;
use landfast_tests::pair::{Pair, columns, sql_member};
use landfast_tests::parts::Parts;
use landfast_tests::process::{run_dir, wait_until};
use landfast_tests::reverse::{Fault, OAuth2};
use serde_json::json;

#[test]
fn a_member_that_hangs_holds_up_nobody_else() {
    let pair = Pair::start().unwrap();
    let sqlite = run_dir("sqlite").unwrap().join("lite.db");
    let mut python = pair.iceberg();
    let properties = sql_properties(
        &format!("sqlite:///{}", sqlite.display()),
        "s3://plant/lite",
        &pair.io,
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
    pair.rest_line.fail("/", Fault::Hang);
    let member = pair
        .rest_member("")
        .replace("timeout_ms = 2000", "timeout_ms = 60000");
    let config = pair.config().with(&member).with(&sql_member(
        "lite",
        &format!("sqlite://{}", sqlite.display()),
    ));
    let landfast = Landfast::start(&config).unwrap();
    let mut client = Adbc::to(&landfast);
    assert_eq!(
        client.query("select count(*) from lite.s.t").only(),
        &json!(3)
    );
    let listed = client.query(
        "select table_catalog, table_name from information_schema.tables where table_schema = 's'",
    );
    assert_eq!(listed.texts("table_catalog"), ["lite"]);
    // Had anybody waited for its answer, it would count as down by now.
    let rest = client.query("select state from landfast.system.catalogs where catalog = 'rest'");
    assert_ne!(
        rest.only(),
        &json!("down"),
        "somebody waited until its time was up"
    );

    pair.rest_line.heal();
    wait_until(
        "the member to be read again",
        Duration::from_secs(60),
        || client.try_query("select count(*) from rest.s.t").is_ok(),
    )
    .unwrap();
}

#[test]
fn a_rest_member_renews_its_oauth2_token_before_it_expires() {
    let pair = Pair::start().unwrap();
    let mut python = pair.iceberg();
    python.ask(
        "create_namespace",
        json!({ "catalog": "rest", "namespace": ["s"] }),
    );
    python.ask(
        "create_table",
        json!({ "catalog": "rest", "table": ["s", "t"], "columns": columns() }),
    );
    let lifetime = Duration::from_secs(4);
    pair.rest_line.require_oauth2(OAuth2 {
        client_id: "landfast".into(),
        client_secret: "hush".into(),
        lifetime,
    });
    let auth = "[catalog.auth]\nkind = \"oauth2\"\nclient_id = \"landfast\"\nclient_secret_env = \"OAUTH2_SECRET\"\nscope = \"catalog\"\n";
    let config = pair
        .config()
        .with(&pair.rest_member(auth))
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
    let (tokens, expired) = pair.rest_line.tokens();
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
    let pair = Pair::start().unwrap();
    let mut python = pair.iceberg();
    python.ask(
        "create_namespace",
        json!({ "catalog": "rest", "namespace": ["s"] }),
    );
    python.ask(
        "create_table",
        json!({ "catalog": "rest", "table": ["s", "t"], "columns": columns() }),
    );
    pair.rest_line.require_bearer("open sesame");
    let auth = "[catalog.auth]\nkind = \"bearer\"\ntoken_env = \"REST_TOKEN\"\n";
    let config = pair.config().with(&pair.rest_member(auth));
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

#[test]
fn google_credentials_fetch_tokens_for_stores_and_catalogs_and_name_who_pays() {
    let pair = Pair::start().unwrap();
    let mut python = pair.iceberg();
    python.ask(
        "create_namespace",
        json!({ "catalog": "rest", "namespace": ["s"] }),
    );
    python.ask(
        "create_table",
        json!({ "catalog": "rest", "table": ["s", "t"], "columns": columns() }),
    );
    let dir = run_dir("google").unwrap();
    let lines = [("store", &pair.gcs_line), ("catalog", &pair.rest_line)];
    for (name, line) in lines {
        let lifetime = Duration::from_secs(3600);
        line.require_oauth2(OAuth2 {
            client_id: name.into(),
            client_secret: "unused".into(),
            lifetime,
        });
        let key = json!({
            "type": "service_account", "project_id": "tests", "private_key_id": "1", "private_key": private_key(),
            "client_email": "landfast@tests.example.com", "client_id": "1", "token_uri": format!("{}/token", line.url()),
        });
        fs::write(dir.join(format!("{name}.json")), key.to_string()).unwrap();
    }
    let credential = |name: &str| {
        let file = dir.join(format!("{name}.json"));
        format!(
            "credential = \"service-account-key\"\ncredential_file = \"{}\"\nuser_project = \"billing\"\n",
            file.display()
        )
    };
    let auth = format!(
        "[catalog.auth]\nkind = \"google\"\n{}",
        credential("catalog")
    );
    let config = pair
        .config_with_google(&credential("store"))
        .with(&pair.rest_member(&auth));
    let landfast = Landfast::start(&config).unwrap();
    assert_eq!(
        Adbc::to(&landfast)
            .query("select count(*) from rest.s.t where id > 1")
            .only(),
        &json!(2)
    );
    for (name, line) in lines {
        let (tokens, expired) = line.tokens();
        assert_eq!(
            (tokens, expired),
            (1, 0),
            "{name}: one token serves all requests"
        );
        let seen = line.take_seen();
        let billed = seen.iter().filter(|seen| {
            seen.headers
                .get("x-goog-user-project")
                .is_some_and(|who| who == "billing")
        });
        assert!(billed.count() > 0, "{name}: nobody was named to pay");
    }
    assert!(
        !landfast.log().contains("PRIVATE KEY") && !landfast.log().contains("token-1"),
        "a secret is in the log"
    );
}

/// A key that signs assertions; the token endpoint of the tests checks that there is one, not whose.
fn private_key() -> String {
    let program = "from cryptography.hazmat.primitives.asymmetric import rsa\n\
                   from cryptography.hazmat.primitives import serialization as s\n\
                   key = rsa.generate_private_key(public_exponent=65537, key_size=2048)\n\
                   print(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode())";
    let made = Command::new(Parts::get().python())
        .args(["-c", program])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    String::from_utf8(made.stdout).unwrap()
}

#[test]
fn a_table_without_a_catalog_is_followed_in_its_folder_as_its_writer_commits() {
    let pair = Pair::start().unwrap();
    let mut python = pair.iceberg();
    let table = json!(["s", "t"]);
    python.ask(
        "create_namespace",
        json!({ "catalog": "rest", "namespace": ["s"] }),
    );
    let made = python.ask(
        "create_table",
        json!({ "catalog": "rest", "table": table, "columns": columns() }),
    );
    let metadata = made["metadata_location"].as_str().unwrap();
    let location = metadata.split("/metadata/").next().unwrap();
    // The catalog that PyIceberg writes with is not one of Landfast's.
    let config = pair.config().with(&format!(
        "[[catalog]]\nname = \"exported\"\nkind = \"folders\"\n\
         [[catalog.table]]\nschema = \"sales\"\nname = \"orders\"\nlocation = \"{location}\"\n"
    ));
    let landfast = Landfast::start(&config).unwrap();
    let mut client = Adbc::to(&landfast);
    client.execute("set landfast.freshness = 'strong'").unwrap();
    let mut count = || {
        let rows = client.query("select count(*) from exported.sales.orders");
        rows.only().as_i64().unwrap()
    };
    assert_eq!(count(), 3);
    python.ask(
        "append",
        json!({ "catalog": "rest", "table": table, "columns": columns() }),
    );
    assert_eq!(
        count(),
        6,
        "a commit between two queries is seen by the second"
    );
    let bucket = pair.gcs.bucket("lake").unwrap();
    let folder = location.strip_prefix("gs://lake/").unwrap();
    let half = format!("{folder}/metadata/00099-half.metadata.json");
    bucket
        .put(&half, b"{\"format-version\": 2, ".to_vec())
        .unwrap();
    assert_eq!(count(), 6, "what is half written is passed over");
    let refused = client.refused("drop table exported.sales.orders");
    assert!(refused.message.contains("only read"), "{}", refused.message);
}

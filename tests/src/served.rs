//! One Landfast for clients to try: TLS, users, a token, an issuer of tokens and certificates of clients, over local files
//! alone. Its results are cut into several endpoints from [`ENDPOINT_ROWS`] rows on.
//!
//! Its only catalog of tables is `lake`, and needs no server: schema `tpch` with four tables of [`crate::lake`], and
//! schema `types` with fixtures that have a column of every type (see [`crate::fixtures`]).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use landfast_proxy::client::{Client, Endpoint, Login, TlsFiles};

use crate::fixtures::{self, Fixture};
use crate::identities::{AUDIENCE, Identities};
use crate::lake::Lake;
use crate::landfast::{Config, ENGINEER, Landfast, PASSWORD, sha256};
use crate::process::run_dir;
use crate::stores::block_on;
use crate::world::link;

/// A bearer token of a reader; its SHA-256 is all that Landfast knows.
pub const TOKEN: &str = "a-token-of-a-nightly-report";

/// A result without an order has an endpoint for so many rows.
pub const ENDPOINT_ROWS: u32 = 20_000;

/// The tables of `lake.tpch`.
pub const TPCH: [&str; 4] = ["nation", "orders", "part", "region"];

/// The fixtures of `lake.types`, by the engine that wrote them.
pub const TYPES: [(&str, &str); 5] = [
    ("java", "java_nanoseconds"),
    ("java", "java_uuid_time_fixed"),
    ("pyiceberg", "pyiceberg_all_types"),
    ("spark", "spark_nested"),
    ("spark", "spark_types"),
];

/// Starts it and registers the tables.
///
/// # Errors
/// When it does not start, or refuses a table.
pub fn start() -> Result<Landfast> {
    let lake = Lake::get()?;
    let identities = Identities::get();
    let database = run_dir("served")?.join("lake.db");
    let mut toml = String::new();
    site(
        &mut toml,
        "here",
        &fixtures::home(),
        "lake/",
        &fixtures::PREFIXES,
    );
    site(&mut toml, "there", &lake.gs(), "", &["gs://lake/"]);
    toml.push_str(&link("there", "here", 1, 10_000, 0.0));
    let _ = writeln!(
        toml,
        "[[catalog]]\nname = \"lake\"\nkind = \"sql\"\nurl = \"sqlite://{}?mode=rwc\"\ncreate_tables = true\n\
         [[token]]\nprincipal = \"nightly\"\nrole = \"reader\"\nsha256 = \"{}\"\n\
         [[oidc]]\nissuer = \"{}\"\naudiences = [\"{AUDIENCE}\"]\nallow_http = true\n\
         [limits]\nendpoint_rows = {ENDPOINT_ROWS}\n",
        database.display(),
        sha256(TOKEN),
        identities.issuer(),
    );
    let tls = format!(
        "client_ca_file = \"{}\"\nclient_auth = \"optional\"\nclient_role = \"reader\"\n",
        identities.authority().display()
    );
    let config = Config::at("here").secured().tls(&tls).with(&toml);
    let landfast = Landfast::start(&config)?;
    let mut statements = vec![
        "CREATE SCHEMA lake.tpch".to_owned(),
        "CREATE SCHEMA lake.types".to_owned(),
    ];
    for table in TPCH {
        let metadata = newest(&lake.gs().join(format!("wh/tpch/{table}/metadata")))?;
        let uri = format!("gs://lake/wh/tpch/{table}/metadata/{metadata}");
        statements.push(format!(
            "CALL landfast.register_table('lake.tpch.{table}', '{uri}')"
        ));
    }
    for (engine, table) in TYPES {
        let fixture = fixture(engine, table)?;
        let uri = &fixture.metadata;
        statements.push(format!(
            "CALL landfast.register_table('lake.types.{table}', '{uri}')"
        ));
    }
    block_on(async {
        let files = TlsFiles {
            ca: Some(landfast.certificate()),
            ..TlsFiles::default()
        };
        let endpoint = Endpoint::new(&landfast.uri(), &files)?;
        let login = Login::Password {
            user: ENGINEER.to_owned(),
            password: PASSWORD.into(),
        };
        let mut client = Client::connect(&endpoint, login).await?;
        for statement in &statements {
            let ran = client.query(statement).await;
            ran.with_context(|| statement.clone())?;
        }
        anyhow::Ok(())
    })?;
    Ok(landfast)
}

/// A fixture by its engine and its table's name.
///
/// # Errors
/// When there is no such fixture.
pub fn fixture(engine: &str, table: &str) -> Result<Fixture> {
    let mut fixtures = Fixture::of(engine)?.into_iter();
    let found = fixtures.find(|fixture| fixture.table == table);
    found.with_context(|| format!("there is no fixture {table}"))
}

fn site(toml: &mut String, name: &str, root: &Path, at: &str, prefixes: &[&str]) {
    let _ = writeln!(
        toml,
        "[[site]]\nname = \"{name}\"\n[site.store]\nkind = \"file\"\nroot = \"{}\"",
        root.display()
    );
    for prefix in prefixes {
        let _ = writeln!(
            toml,
            "[[site.prefix]]\ncanonical = \"{prefix}\"\nat = \"{at}\"\norigin = true"
        );
    }
}

/// The last metadata file in a folder: their names count up.
fn newest(folder: &Path) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let metadata = names.filter(|name| name.ends_with(".metadata.json"));
    metadata
        .max()
        .ok_or_else(|| anyhow!("no metadata in {}", folder.display()))
}

//! The configuration's own examples, and mistakes people make.

mod access;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landfast_planner::{Groups, SessionSettings};
use landfast_sites::{AzureCredential, GoogleCredential, StoreSpec};
use secrecy::ExposeSecret;

use super::{Config, ConfigError, parse, parse_raw, raw};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

fn example(name: &str) -> String {
    std::fs::read_to_string(examples().join(name)).unwrap()
}

/// A directory with the secrets that the examples name.
fn secrets() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    for name in [
        "dc-west.key",
        "dc-east.key",
        "azure.secret",
        "catalog.password",
    ] {
        std::fs::write(dir.path().join("secrets").join(name), "hush\n").unwrap();
    }
    dir
}

fn loaded(text: &str) -> Result<Config, ConfigError> {
    let dir = secrets();
    parse(text, dir.path())
}

const SMALL: &str = r#"
[proxy]
site = "here"
insecure = true

[[site]]
name = "here"
store = { kind = "file", root = "data" }
prefix = [{ canonical = "gs://lake/", at = "", origin = true }]

[[site]]
name = "there"
store = { kind = "file", root = "/far" }
prefix = [{ canonical = "gs://lake/" }]

[[link]]
from = "there"
to = "here"
latency_ms = 40
bandwidth_mbit_per_s = 1000

[[catalog]]
name = "lake"
kind = "sql"
url = "sqlite://catalog.db?mode=rwc"
"#;

/// What is said about `SMALL` with one text replaced.
fn error(from: &str, to: &str) -> String {
    assert!(
        SMALL.contains(from),
        "the test replaces {from:?}, which is not there"
    );
    loaded(&SMALL.replacen(from, to, 1))
        .unwrap_err()
        .to_string()
}

#[test]
fn the_commented_file_loads() {
    let config = loaded(&example("landfast.toml")).unwrap();
    assert_eq!(config.sites.reader.as_str(), "dc-east");
}

/// Takes the `#` from every line that shows a default.
fn with_defaults_written_out(text: &str) -> String {
    text.lines()
        .map(|line| {
            let rest = line.strip_prefix('#').unwrap_or(line);
            let is_default = rest.starts_with(|c: char| c.is_ascii_lowercase())
                && rest.split_once(" = ").is_some_and(|(key, _)| {
                    key.chars()
                        .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
                });
            if is_default { rest } else { line }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_commented_defaults_are_the_ones_in_force() {
    let text = example("landfast.toml");
    let written = with_defaults_written_out(&text);
    assert_ne!(text, written);
    assert_eq!(
        parse_raw(&text, None).unwrap(),
        parse_raw(&written, None).unwrap()
    );
}

#[test]
fn the_defaults_of_sessions_are_the_engines() {
    let config = loaded(SMALL).unwrap();
    assert_eq!(config.defaults, SessionSettings::default());
}

/// Every key there is, from the structs themselves.
fn all_keys() -> BTreeSet<String> {
    // Values for whatever has no default; only the names of the keys matter.
    let text = r#"
        proxy = { site = "s", tls = { cert_file = "c", key_file = "k" } }
        user = [{ name = "u", password_hash = "h" }]
        token = [{ principal = "t" }]
        certificate = [{ subject = "s" }]
        oidc = [{ issuer = "i", audiences = ["a"] }]
        audit = { file = "f" }
        site = [{ name = "s", store = { kind = "file" }, prefix = [{ canonical = "c" }], simulate = { latency_ms = 1 } }]
        link = [{ from = "a", to = "b", latency_ms = 1, bandwidth_mbit_per_s = 1 }]
        catalog = [{ name = "c", kind = "rest", auth = { kind = "none" }, header = [{ name = "n" }],
                     table = [{ schema = "s", name = "t", location = "l" }] }]
    "#;
    let raw: raw::RawConfig = toml::from_str(text).unwrap();
    let mut keys = BTreeSet::new();
    let mut values = vec![serde_json::to_value(&raw).unwrap()];
    while let Some(value) = values.pop() {
        match value {
            serde_json::Value::Object(fields) => {
                for (key, inner) in fields {
                    keys.insert(key);
                    values.push(inner);
                }
            }
            serde_json::Value::Array(elements) => values.extend(elements),
            _ => {}
        }
    }
    keys
}

#[test]
fn every_key_is_documented_where_it_stands() {
    let text = example("landfast.toml");
    let documented = |key: &str| {
        text.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            line.starts_with(&format!("{key} = "))
                || line.starts_with(&format!("[{key}]"))
                || line.starts_with(&format!("[[{key}]]"))
                || line.contains(&format!(".{key}]"))
        })
    };
    let missing: Vec<String> = all_keys()
        .into_iter()
        .filter(|key| !documented(key))
        .collect();
    assert!(
        missing.is_empty(),
        "not in config/landfast.toml: {missing:?}"
    );
}

#[test]
fn the_example_of_gcs_and_two_sites_loads() {
    let config = loaded(&example("gcs-two-sites.toml")).unwrap();
    let [gcp, east, west] = &config.sites.sites[..] else {
        panic!("three sites, not {}", config.sites.sites.len())
    };
    assert!(matches!(&gcp.store, StoreSpec::Gcs(spec) if spec.endpoint.is_none()));
    assert!(
        matches!(&east.store, StoreSpec::Gcs(spec) if spec.endpoint.is_some()
        && matches!(spec.credential, GoogleCredential::TokenFile { .. }))
    );
    assert!(matches!(&west.store, StoreSpec::S3(spec) if spec.path_style));
    assert!(config.tls.is_some());
}

#[test]
fn the_example_with_azure_loads_once_its_secret_is_there() {
    // The environment is the process's own: the test gives the secret as a file instead.
    let text = example("gcs-azure-two-sites.toml").replace(
        "client_secret_env = \"OPERATIONS_CATALOG_SECRET\"",
        "client_secret_file = \"secrets/azure.secret\"",
    );
    let config = loaded(&text).unwrap();
    let azure = config
        .sites
        .sites
        .iter()
        .find(|s| s.id.as_str() == "azure")
        .unwrap();
    assert!(matches!(&azure.store, StoreSpec::Azure(spec)
        if matches!(&spec.credential, AzureCredential::ClientSecret { secret, .. } if secret.expose_secret() == "hush")));
    assert_eq!(config.members.len(), 2);

    let error = loaded(&example("gcs-azure-two-sites.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("catalog[operations].auth.client_secret_env"),
        "{error}"
    );
    assert!(error.contains("OPERATIONS_CATALOG_SECRET"), "{error}");
}

#[test]
fn the_example_without_any_cloud_loads() {
    let config = loaded(&example("on-prem-only.toml")).unwrap();
    assert!(
        config
            .sites
            .sites
            .iter()
            .all(|s| matches!(s.store, StoreSpec::S3(_) | StoreSpec::File(_)))
    );
    assert!(!format!("{config:?}").contains("hush"), "a secret shows");
}

#[test]
fn a_typo_is_refused_with_its_line_and_the_nearest_key() {
    let error = error("latency_ms = 40", "latency_mss = 40");
    assert!(error.contains(":19: link[#1].latency_mss: "), "{error}");
    assert!(error.contains("did you mean `latency_ms`?"), "{error}");
}

#[test]
fn a_typo_in_a_store_is_found_at_its_own_place() {
    let error = error("root = \"/far\"", "rot = \"/far\"");
    assert!(error.contains("site[there].store.rot: "), "{error}");
    assert!(error.contains("did you mean `root`?"), "{error}");
}

#[test]
fn an_unknown_value_names_the_known_ones() {
    let error = error("kind = \"sql\"", "kind = \"sqll\"");
    assert!(error.contains("did you mean `sql`?"), "{error}");
}

#[test]
fn a_missing_link_names_both_ends() {
    let error = error(
        "from = \"there\"\nto = \"here\"",
        "from = \"here\"\nto = \"there\"",
    );
    assert!(error.contains("from `there` to `here`"), "{error}");
}

#[test]
fn an_unknown_site_names_the_nearest() {
    let error = error("site = \"here\"", "site = \"her\"");
    assert!(error.contains(":3: proxy.site: "), "{error}");
    assert!(error.contains("did you mean `here`?"), "{error}");
}

#[test]
fn a_prefix_has_exactly_one_origin() {
    let two = error(
        "{ canonical = \"gs://lake/\" }",
        "{ canonical = \"gs://lake/\", origin = true }",
    );
    assert!(two.contains("already has its origin at `here`"), "{two}");
    let none = error("origin = true", "origin = false");
    assert!(none.contains("has no origin"), "{none}");
}

#[test]
fn a_key_of_another_kind_of_store_is_refused() {
    let error = error("root = \"/far\"", "root = \"/far\", account = \"a\"");
    assert!(
        error.contains("a store of kind \"file\" takes no `account`"),
        "{error}"
    );
}

#[test]
fn insecure_serves_loopback_only() {
    let error = error("insecure = true", "insecure = true\nlisten = \"0.0.0.0:1\"");
    assert!(error.contains("loopback"), "{error}");
}

#[test]
fn without_insecure_there_must_be_tls_and_somebody_who_may_come() {
    let no_tls = error("insecure = true", "");
    assert!(no_tls.contains("[proxy.tls]"), "{no_tls}");
    let nobody = error(
        "insecure = true",
        "tls = { cert_file = \"c\", key_file = \"k\" }",
    );
    assert!(nobody.contains("nobody could log in"), "{nobody}");
}

#[test]
fn a_password_in_a_url_is_refused_and_never_shown() {
    let error = error(
        "sqlite://catalog.db?mode=rwc",
        "postgres://me:hunter2@db/iceberg",
    );
    assert!(error.contains("password_file"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let config = parse(SMALL, Path::new("/etc/landfast")).unwrap();
    let StoreSpec::File(spec) = &config.sites.sites[0].store else {
        panic!("a file store")
    };
    assert_eq!(spec.root, Path::new("/etc/landfast/data"));
    let landfast_catalog::MemberKind::Sql(sql) = &config.members[0].kind else {
        panic!("a SQL catalog")
    };
    assert_eq!(
        sql.url.expose_secret(),
        "sqlite:///etc/landfast/catalog.db?mode=rwc"
    );
}

#[test]
fn what_is_no_toml_is_said_with_its_line() {
    let error = loaded("[proxy]\nsite = \n").unwrap_err().to_string();
    assert!(error.starts_with("configuration:2: "), "{error}");
}

#[test]
fn a_hash_that_is_none_is_refused() {
    let error = error(
        "[[catalog]]",
        "[[user]]\nname = \"ada\"\npassword_hash = \"secret\"\n\n[[catalog]]",
    );
    assert!(error.contains("user[ada].password_hash"), "{error}");
    assert!(error.contains("landfast user hash"), "{error}");
}

#[test]
fn a_default_catalog_must_be_there() {
    let error = error(
        "[[catalog]]",
        "[defaults]\ncatalog = \"lakes\"\n\n[[catalog]]",
    );
    assert!(error.contains("no [[catalog]] is named `lakes`"), "{error}");
}

#[test]
fn a_default_placement_is_one_of_the_sites() {
    let defaults = |lines: &str| format!("[defaults]\n{lines}\n\n[[catalog]]");
    let error = error("[[catalog]]", &defaults("placement = \"mars\""));
    assert!(error.contains("no [[site]] is named `mars`"), "{error}");
    let cheap = SMALL.replace("[[catalog]]", &defaults("max_egress_usd = 0.5"));
    assert_eq!(loaded(&cheap).unwrap().defaults.max_egress_usd, Some(0.5));
}

#[test]
fn the_name_of_landfasts_own_tables_is_reserved() {
    let error = error("name = \"lake\"", "name = \"landfast\"");
    assert!(error.contains("reserved"), "{error}");
}

const FOLDERS: &str = r#"
kind = "folders"
[[catalog.table]]
schema = "sales"
name = "orders"
location = "gs://lake/sales/orders/"
"#;

#[test]
fn a_catalog_of_folders_names_its_tables() {
    let sql = "kind = \"sql\"\nurl = \"sqlite://catalog.db?mode=rwc\"\n";
    let config = loaded(&SMALL.replace(sql, FOLDERS)).unwrap();
    let landfast_catalog::MemberKind::Folders(folders) = &config.members[0].kind else {
        panic!("{:?}", config.members);
    };
    let table = &folders.tables[0];
    assert_eq!(
        (table.schema.as_str(), table.table.as_str()),
        ("sales", "orders")
    );
    assert_eq!(table.location.as_str(), "gs://lake/sales/orders");
    for (from, to, says) in [
        (
            "name = \"orders\"",
            "nam = \"orders\"",
            "did you mean `name`?",
        ),
        (
            "gs://lake/sales/orders/",
            "sales/orders",
            "catalog[lake].table[orders].location: ",
        ),
        ("gs://lake/sales/orders/", "gs://lake/", "whole bucket"),
        (
            "kind = \"folders\"",
            "kind = \"folders\"\nurl = \"sqlite://a\"",
            "takes no `url`",
        ),
        (
            "kind = \"folders\"",
            "kind = \"rest\"\nuri = \"http://a\"",
            "takes no `table`",
        ),
        (
            "[[catalog.table]]",
            "[[catalog.table]]\nschema = \"sales\"\nname = \"orders\"\nlocation = \"gs://lake/a\"\n[[catalog.table]]",
            "two tables are named `sales.orders`",
        ),
    ] {
        let error = error(sql, &FOLDERS.replacen(from, to, 1));
        assert!(error.contains(says), "{error}");
    }
    let error = error(sql, "kind = \"folders\"\n");
    assert!(error.contains("[[catalog.table]]"), "{error}");
}

#[test]
fn users_and_tokens_have_groups_with_names() {
    let user = |groups: &str| {
        let hash = crate::auth::hash_password("p").unwrap();
        format!(
            "[[user]]\nname = \"ada\"\npassword_hash = \"{hash}\"\ngroups = {groups}\n\n[[token]]\nprincipal = \"robot\"\n\
             sha256 = \"{}\"\ngroups = [\"programs\"]\n\n[[catalog]]",
            "0".repeat(64)
        )
    };
    let config = loaded(&SMALL.replacen("[[catalog]]", &user("[\"west\", \"east\"]"), 1)).unwrap();
    assert_eq!(config.users[0].groups, Groups::new(["east", "west"]));
    assert!(config.tokens[0].groups.contains("programs"));
    let error = error("[[catalog]]", &user("[\"east\", \" \"]"));
    assert!(error.contains("user[ada].groups[#2]"), "{error}");
}

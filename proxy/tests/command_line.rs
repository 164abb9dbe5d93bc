//! The program from outside: what it prints, and what it ends with.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't start the program stops there"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn landfast(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_landfast"))
        .args(arguments)
        .env_remove("LANDFAST_URL")
        .env_remove("LANDFAST_USER")
        .env_remove("LANDFAST_PASSWORD")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A configuration with a site that is there, and one catalog in a file.
fn config(dir: &Path, more: &str) -> String {
    std::fs::create_dir_all(dir.join("data")).unwrap();
    let file = dir.join("landfast.toml");
    let body = format!(
        r#"
[proxy]
site = "here"
insecure = true
listen = "127.0.0.1:0"

[[site]]
name = "here"
store = {{ kind = "file", root = "data" }}
prefix = [{{ canonical = "gs://lake/", at = "", origin = true }}]

[[catalog]]
name = "lake"
kind = "sql"
url = "sqlite://catalog.db?mode=rwc"
create_tables = true
{more}
"#
    );
    std::fs::write(&file, body).unwrap();
    file.display().to_string()
}

/// A proxy that serves until it is dropped.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(config: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_landfast"))
            .args(["serve", "--config", config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = lines.find_map(|line| {
            let line = line.unwrap();
            assert!(!line.contains('\u{1b}'), "a file has no colours: {line}");
            let (_, rest) = line.split_once("flight=")?;
            Some(rest.split_whitespace().next().unwrap().to_owned())
        });
        let url = format!("grpc://{}", listening.expect("it says where it listens"));
        // What it says further is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    fn sql(&self, more: &[&str]) -> String {
        let output = landfast(&[&["sql", "--url", &self.url], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_session_begins_before_its_first_statement_and_values_of_every_kind_have_a_form() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&config(dir.path(), ""));
    let set = "SET landfast.placement = 'origin'; SHOW landfast.placement";
    let told = served.sql(&["-c", set, "--format", "csv"]);
    assert!(told.contains("origin"), "{told}");
    let nested = "SELECT 1 AS n, [1, NULL] AS list, {'a': 'x,y'} AS s, NULL AS nothing";
    assert_eq!(
        served.sql(&["-c", nested, "--format", "csv"]),
        "n,list,s,nothing\n1,\"[1,null]\",\"{\"\"a\"\":\"\"x,y\"\"}\",\n"
    );
}

#[test]
fn without_arguments_it_says_how_it_is_used() {
    let output = landfast(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Usage: landfast <COMMAND>"));
}

#[test]
fn a_wrong_argument_ends_with_2_and_a_hint() {
    let output = landfast(&["demo", "--scale-facto", "1"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("--scale-factor"), "{error}");
}

#[test]
fn a_scale_that_makes_no_sense_is_refused() {
    let output = landfast(&["demo", "--scale-factor", "-1"]);
    assert_eq!(output.status.code(), Some(2));
    let output = landfast(&["demo", "--scale-factor", "0"]);
    let error = text(&output.stderr);
    assert!(error.contains("from 0.001 to 1000"), "{error}");
}

#[test]
fn check_has_a_line_for_each_site_and_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let output = landfast(&["check", "--config", &config(dir.path(), "")]);
    let report = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{report}{}",
        text(&output.stderr)
    );
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), 3, "{report}");
    assert!(lines[0].starts_with("ok      config "), "{report}");
    assert!(lines[1].starts_with("ok      site     here: "), "{report}");
    assert!(lines[2].starts_with("ok      catalog  lake: "), "{report}");
}

#[test]
fn check_ends_with_1_when_something_is_down() {
    let dir = tempfile::tempdir().unwrap();
    let down = r#"
[[catalog]]
name = "far"
kind = "rest"
uri = "http://127.0.0.1:9/iceberg"
"#;
    let output = landfast(&["check", "--config", &config(dir.path(), down)]);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("FAILED  catalog  far: "), "{report}");
    assert!(report.contains("ok      catalog  lake: "), "{report}");
    let error = text(&output.stderr);
    assert_eq!(error.trim(), "landfast: 1 of 4 checks failed");
}

#[test]
fn check_names_the_line_of_a_typo() {
    let dir = tempfile::tempdir().unwrap();
    let output = landfast(&[
        "check",
        "--config",
        &config(dir.path(), "creat_tables = true"),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("landfast.toml:17: catalog[lake].creat_tables: "),
        "{error}"
    );
    assert!(error.contains("did you mean `create_tables`?"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_missing_configuration_is_said_in_one_line() {
    let output = landfast(&["serve", "--config", "/nowhere/landfast.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.starts_with("landfast: /nowhere/landfast.toml: can't be read: "),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_taken_port_is_said_in_one_line_before_any_work() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let output = landfast(&[
        "demo",
        "--dir",
        &lake.display().to_string(),
        "--listen",
        &address,
        "--exit",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains(&address) && error.contains("another program has it"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(
        !lake.exists(),
        "nothing is made before the address is known to be free"
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("below").display().to_string();
    let output = landfast(&["demo", "--dir", &below, "--listen", "127.0.0.1:0", "--exit"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.starts_with(&format!("landfast: {below}: can't be used: ")),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn sql_without_a_server_is_said_in_one_line() {
    let output = landfast(&["sql", "--url", "grpc://127.0.0.1:9", "-c", "SELECT 1"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.starts_with("landfast: grpc://127.0.0.1:9: no connection: "),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_url_of_another_kind_is_refused_with_the_right_ones() {
    let output = landfast(&["sql", "--url", "http://127.0.0.1:9", "-c", "SELECT 1"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("grpc+tls://host:port"), "{error}");
}

#[test]
fn a_piped_password_becomes_a_hash_that_a_configuration_takes() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_landfast"))
        .args(["user", "hash"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"correct horse\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let hash = text(&output.stdout);
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    assert!(!hash.contains("horse"), "{hash}");

    let dir = tempfile::tempdir().unwrap();
    let user = format!(
        "[[user]]\nname = \"ada\"\npassword_hash = \"{}\"\n",
        hash.trim()
    );
    let output = landfast(&["check", "--offline", "--config", &config(dir.path(), &user)]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

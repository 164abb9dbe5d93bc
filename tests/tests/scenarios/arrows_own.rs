//! Arrow's own client, at the pinned version.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use landfast_tests::scenarios::{Scenario, serve};
use landfast_tests::{parts, skipped};
use tokio::process::Command;

/// What one scenario may take: an expiration time is 5 s, and the client tries three times.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Echoing came to other implementations' clients; Go's does not have it at this version.
const NOT_IN_GO: [Scenario; 1] = [Scenario::DoExchangeEcho];

/// Three batches, in the form in which Arrow's integration tests write data down.
const BATCHES: &str = r#"{"schema": {"fields": [
    {"name": "number", "type": {"name": "int", "isSigned": true, "bitWidth": 32}, "nullable": true, "children": []},
    {"name": "word", "type": {"name": "utf8"}, "nullable": true, "children": []}]},
  "batches": [
    {"count": 3, "columns": [
      {"name": "number", "count": 3, "VALIDITY": [1, 0, 1], "DATA": [1, 0, 3]},
      {"name": "word", "count": 3, "VALIDITY": [1, 1, 0], "OFFSET": [0, 3, 3, 3], "DATA": ["ice", "", ""]}]},
    {"count": 0, "columns": [
      {"name": "number", "count": 0, "VALIDITY": [], "DATA": []},
      {"name": "word", "count": 0, "VALIDITY": [], "OFFSET": [0], "DATA": []}]},
    {"count": 1, "columns": [
      {"name": "number", "count": 1, "VALIDITY": [1], "DATA": [-4]},
      {"name": "word", "count": 1, "VALIDITY": [1], "OFFSET": [0, 5], "DATA": ["floes"]}]}]}"#;

/// Runs the client; what it said if it failed.
async fn run(client: &Path, scenario: Scenario, file: &Path) -> Result<(), String> {
    let served = serve(scenario).await.unwrap();
    let mut command = Command::new(client);
    command
        .args(["-host", "127.0.0.1", "-port", &served.port().to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match scenario {
        Scenario::Uploads => command.arg("-path").arg(file),
        named => command.args(["-scenario", named.name()]),
    };
    let Ok(ended) = tokio::time::timeout(TIMEOUT, command.output()).await else {
        return Err(format!("not done after {TIMEOUT:?}"));
    };
    let ended = ended.unwrap();
    match ended.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ended.stderr).into_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrows_own_client_passes_every_scenario_that_it_has() {
    let client = tokio::task::spawn_blocking(parts::arrow_flight_client);
    let Some(client) = client.await.unwrap().unwrap() else {
        skipped(
            "arrows_own_client_passes_every_scenario_that_it_has",
            "Go, to build Arrow's integration client",
        );
        return;
    };
    let dir = landfast_tests::process::run_dir("scenarios").unwrap();
    let file = dir.join("batches.json");
    std::fs::write(&file, BATCHES).unwrap();
    let mut failed = Vec::new();
    for scenario in Scenario::ALL {
        if NOT_IN_GO.contains(&scenario) {
            continue;
        }
        if let Err(said) = run(&client, scenario, &file).await {
            failed.push(format!("{scenario:?}: {said}"));
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn arrows_own_client_fails_where_the_answers_are_anothers() {
    let client = tokio::task::spawn_blocking(parts::arrow_flight_client);
    let Some(client) = client.await.unwrap().unwrap() else {
        skipped(
            "arrows_own_client_fails_where_the_answers_are_anothers",
            "Go, to build Arrow's integration client",
        );
        return;
    };
    let served = serve(Scenario::Ordered).await.unwrap();
    let mut command = Command::new(client);
    command
        .args(["-host", "127.0.0.1", "-port", &served.port().to_string()])
        .args(["-scenario", Scenario::PollFlightInfo.name()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(TIMEOUT, command.output()).await;
    assert!(!ended.unwrap().unwrap().status.success());
}

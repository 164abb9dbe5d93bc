use std::path::Path;

use serde_json::Value;

use super::*;
use crate::auth::{Method, Origin, Principal};

const SOON: Duration = Duration::from_secs(20);

fn spec(path: &Path, on_failure: OnFailure) -> AuditSpec {
    AuditSpec {
        target: AuditTarget::File(path.to_owned()),
        redact_literals: true,
        on_failure,
        queue_lines: 4,
    }
}

fn origin() -> Origin {
    Origin {
        method: Method::Password,
        address: Some("192.0.2.1:4000".parse().unwrap()),
        client: Some("a program".into()),
    }
}

fn log_in(audit: &Audit, name: &str) {
    audit.log_in(&LogIn {
        name: Some(name),
        principal: None,
        origin: &origin(),
        method: Some(Method::Password),
        outcome: AuthOutcome::Refused,
    });
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn names(path: &Path) -> Vec<String> {
    lines(path)
        .iter()
        .map(|line| line["principal"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits for what the writing thread does by itself, and fails when it does not.
fn until(what: &str, done: impl Fn() -> bool) {
    let since = std::time::Instant::now();
    while !done() {
        assert!(since.elapsed() < SOON, "waited for: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_line_says_who_when_from_where_and_what_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let audit = Audit::start(spec(&path, OnFailure::Refuse)).unwrap();
    log_in(&audit, "ann");
    let ann = Principal {
        name: "ann".into(),
        role: landfast_planner::Role::Engineer,
        groups: landfast_planner::Groups::new(["sales"]),
    };
    audit.denied(&Denied {
        principal: &ann,
        origin: &origin(),
        error: "permission_denied",
    });
    assert!(audit.flush(SOON));
    let lines = lines(&path);
    assert_eq!(lines.len(), 2);
    let (refused, denied) = (&lines[0], &lines[1]);
    assert_eq!(refused["event"], "login");
    assert_eq!(refused["principal"], "ann");
    assert_eq!(refused["method"], "password");
    assert_eq!(refused["peer"], "192.0.2.1:4000");
    assert_eq!(refused["client"], "a program");
    assert_eq!(refused["outcome"], "refused");
    assert!(refused["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(denied["event"], "denied");
    assert_eq!(denied["groups"], serde_json::json!(["sales"]));
    assert_eq!(denied["role"], "engineer");
    assert_eq!(audit.counts().written, 2);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_a_log_that_was_made_here() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let _audit = Audit::start(spec(&path, OnFailure::Drop)).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_is_moved_away_or_removed_is_begun_anew_and_no_line_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("audit"), dir.path().join("audit.1"));
    let audit = Audit::start(spec(&path, OnFailure::Refuse)).unwrap();
    log_in(&audit, "one");
    assert!(audit.flush(SOON));
    std::fs::rename(&path, &moved).unwrap();
    log_in(&audit, "two");
    assert!(audit.flush(SOON));
    assert_eq!(
        (names(&moved), names(&path)),
        (vec!["one".into()], vec!["two".into()])
    );
    std::fs::remove_file(&path).unwrap();
    log_in(&audit, "three");
    audit.reopen();
    log_in(&audit, "four");
    assert!(audit.flush(SOON));
    assert_eq!(names(&path), ["three", "four"]);
}

#[test]
fn while_the_log_can_not_be_written_requests_are_refused_and_what_ran_is_written_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let path = logs.join("audit");
    let audit = Audit::start(spec(&path, OnFailure::Refuse)).unwrap();
    assert_eq!(audit.check(), Ok(()));
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_dir(&logs).unwrap();
    log_in(&audit, "one");
    until("the failure is noticed", || audit.check() == Err(AuditDown));
    assert!(audit.counts().failing);
    log_in(&audit, "two");
    std::fs::create_dir(&logs).unwrap();
    until("the log is written again", || audit.check() == Ok(()));
    assert!(audit.flush(SOON));
    assert_eq!(names(&path), ["one", "two"]);
    let counts = audit.counts();
    assert_eq!((counts.written, counts.dropped, counts.waiting), (2, 0, 0));
}

#[test]
fn a_queue_that_is_full_refuses_requests_before_they_can_make_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let path = logs.join("audit");
    let audit = Audit::start(spec(&path, OnFailure::Refuse)).unwrap();
    std::fs::remove_dir_all(&logs).unwrap();
    for number in 0..6 {
        log_in(&audit, &number.to_string());
    }
    assert_eq!(audit.check(), Err(AuditDown));
    assert_eq!(audit.counts().dropped, 0, "what ran already is kept");
    std::fs::create_dir(&logs).unwrap();
    until("all lines are written", || audit.counts().written == 6);
    assert_eq!(names(&path).len(), 6);
    until("requests are served again", || audit.check() == Ok(()));
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_lines_are_dropped_and_counted_where_the_operator_wants_that() {
    let audit = Audit::start(spec(Path::new("/dev/full"), OnFailure::Drop)).unwrap();
    for name in ["one", "two", "three"] {
        log_in(&audit, name);
        assert!(audit.flush(SOON));
        assert_eq!(audit.check(), Ok(()));
    }
    let counts = audit.counts();
    assert_eq!((counts.written, counts.dropped, counts.waiting), (0, 3, 0));
    assert!(counts.failing);
}

#[cfg(target_os = "linux")]
#[test]
fn an_end_of_the_service_does_not_wait_for_a_full_disk() {
    let audit = Audit::start(spec(Path::new("/dev/full"), OnFailure::Refuse)).unwrap();
    log_in(&audit, "one");
    until("the failure is noticed", || audit.counts().failing);
    audit.close(SOON);
    assert_eq!(audit.counts().dropped, 1);
}

#[test]
fn a_log_that_can_not_be_opened_keeps_the_service_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing/audit");
    assert!(Audit::start(spec(&path, OnFailure::Drop)).is_err());
}

#[test]
fn a_statement_is_shown_as_the_operator_wants_it_and_never_at_any_length() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(&dir.path().join("audit"), OnFailure::Drop);
    let redacting = Audit::start(spec.clone()).unwrap();
    assert_eq!(redacting.shown("SELECT 'hush'"), "SELECT ?");
    spec.redact_literals = false;
    let plain = Audit::start(spec).unwrap();
    assert_eq!(plain.shown("SELECT 'hush'"), "SELECT 'hush'");
    let long = plain.shown(&"é".repeat(STATEMENT_BYTES_MAX));
    assert!(long.len() <= STATEMENT_BYTES_MAX + 3 && long.ends_with('…'));
}

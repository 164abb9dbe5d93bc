//! How does Landfast behave among real servers and real clients?
//!
//! This crate is the harness of the end-to-end tests in `tests/tests/`. It fetches what they need at pinned versions
//! ([`parts`]), runs each server as a process of its own on a free port ([`process`], [`stores`], [`catalogs`]),
//! writes a lake with PyIceberg once and keeps it ([`lake`]), puts a reverse proxy that can fail in every way in front
//! of a server ([`reverse`]), starts the `landfast` binary with a generated configuration ([`landfast`]), and drives
//! stock clients: Python's ADBC driver, PyIceberg and the JDBC driver ([`clients`]), and others that are fetched or built when
//! a test first wants one ([`drivers`], [`findings`]), against one lake of local files ([`served`]). Tables that other engines
//! wrote and answered for are read from `tests/fixtures/` ([`fixtures`], [`rendering`]). The canned answers of Arrow's own
//! integration scenarios are served by Landfast's dispatcher ([`scenarios`]).
//!
//! Invariants: a server never outlives the tests, however they end; nothing is awaited by sleeping alone, always by
//! asking until a deadline; what a machine cannot run is skipped by name on standard error, never silently.

pub mod catalogs;
pub mod clients;
pub mod drivers;
pub mod findings;
pub mod fixtures;
pub mod identities;
pub mod lake;
pub mod landfast;
pub mod pair;
pub mod parts;
pub mod process;
pub mod rendering;
pub mod reverse;
pub mod scenarios;
pub mod served;
pub mod stores;
pub mod world;

use std::io::Write;

/// Says a line to whoever runs the tests, past the test runner's capture.
pub fn tell(line: &str) {
    // Nothing sensible is left to do when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says that `test` does not run here because `what` is missing.
///
/// # Panics
/// Where `LANDFAST_REQUIRE_ALL_PARTS` is set: there nothing may be missing.
pub fn skipped(test: &str, what: &str) {
    let required = std::env::var_os("LANDFAST_REQUIRE_ALL_PARTS").is_some();
    assert!(
        !required,
        "{test} needs {what}, and LANDFAST_REQUIRE_ALL_PARTS is set"
    );
    tell(&format!("skipped: {test} needs {what}"));
}

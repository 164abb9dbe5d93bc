//! Clients of every kind, each as its users have it, against one Landfast over TLS: what they connect with, what they list,
//! which values they read, and what they can't do. `docs/clients.md` is the matrix of what is asserted here.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

mod adbc;
mod jdbc;
mod notebooks;

use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use landfast_tests::findings::Findings;
use landfast_tests::landfast::Landfast;
use landfast_tests::served;

/// One proxy for all tests here: none spoils it.
fn landfast() -> &'static Landfast {
    static LANDFAST: OnceLock<Landfast> = OnceLock::new();
    LANDFAST.get_or_init(|| served::start().unwrap())
}

/// What a program finds. One runs at a time: each is a runtime with a driver of its own, and machines are small.
fn findings(by: &str, program: &mut Command) -> Findings {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Findings::of(by, program).unwrap()
}

//! What holds of Flight SQL whatever is sent: properties over random queries and tickets, and fuzzing.
//!
//! Everything here goes over TLS to a whole service, as [`house`] starts it over the tables of `tests/fixtures/`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't set itself up stops there"
)]

mod fuzz;
mod house;
mod redeeming;
mod schemas;

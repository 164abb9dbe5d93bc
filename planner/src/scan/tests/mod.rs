//! Trap tests: what a scan of Iceberg files gets wrong first.

mod columns;
pub(super) mod lake;
mod nested;
mod pruning;
mod reading;
mod statistics;

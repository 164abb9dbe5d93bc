//! Trap tests: what a scan of Iceberg files gets wrong first.

mod columns;
mod filters;
pub(super) mod lake;
mod nested;
mod oracle;
mod pruning;
mod reading;
mod statistics;

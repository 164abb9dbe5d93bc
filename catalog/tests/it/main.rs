//! The catalog over real metadata files, SQLite databases and a REST catalog of its own.

#![allow(clippy::unwrap_used, reason = "a test's helpers assert by unwrapping")]

mod documents;
mod folders;
mod freshness;
mod lake;
mod metadata;
mod namespace;
mod rest;
mod rest_double;
mod sql;
mod views;

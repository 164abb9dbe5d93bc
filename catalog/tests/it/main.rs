//! The catalog over real metadata files, SQLite databases and a REST catalog of its own.

mod freshness;
mod lake;
mod metadata;
mod namespace;
mod rest;
mod rest_double;
mod sql;

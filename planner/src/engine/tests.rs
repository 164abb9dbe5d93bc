//! The engine over a SQLite catalog and a directory: tables without rows, and rows from `landfast.system`.

mod access;
mod commands;
mod conditions;
mod explains;
mod history;
mod hushed;
mod lake;
mod listings;
mod metadata_tables;
mod named;
mod prepared;
mod queries;
mod substrait;
mod temporary;
mod tpch;
mod versions;
mod views;

//! Where should each byte be read, and how? SQL, pruning, placement and the scan.
//!
//! A statement's way: `Engine::parse` (one statement, an allow-list) → `Engine::plan` (names resolved, one pinned
//! snapshot per table, every file placed, one physical plan) → `PlannedQuery::execute` (once) → `PlannedQuery::receipt`.
//!
//! # Invariants
//! - A query reads one pinned snapshot per table, however often it names the table.
//! - A statement has one schema: `Engine::describe` and `Engine::plan` give the same one, and every batch has it.
//! - Nothing runs that is not on the allow-list; a clause that the engine would ignore is refused, never ignored.
//! - A physical plan runs at most once.
//! - Placement can change time and cost, never an answer: it is a pure function of plain data.
//!
//! # What this crate does not know
//! Flight and gRPC; clocks; credentials; where a store is. It asks `landfast_catalog` what a table is, and
//! `landfast_sites` for bytes.

pub mod access;
mod asker;
pub mod engine;
pub mod error;
pub mod placement;
pub mod scan;
pub mod settings;
pub mod sql;
mod substrait;
pub mod types;

pub use access::{Access, AccessPolicy};
pub use asker::{Asker, Groups, Role};
pub use engine::{
    CatalogEntries, CommandOutcome, Described, Engine, EngineSpec, IfMissing, IfThere, NameColumns,
    NamesWanted, PlanRequest, PlannedQuery, Receipt, SYSTEM_CATALOG, SessionTables, SiteReceipt,
    SystemTables, TEMPORARY_SCHEMA, TableColumns, TableEntry, TableKind, TableReceipt,
    TemporarySpace, Upload, sql_type_name,
};
pub use error::{ErrorKind, PlannerError, Position};
pub use scan::{Division, DivisionLimits};
pub use settings::{Compression, KeyError, SessionSettings, SettingValue, WireTypes};
pub use sql::{Command, QueryStatement, Statement, hide_names, hide_quoted, redact};
pub use substrait::{SUBSTRAIT_MAX_VERSION, SUBSTRAIT_MIN_VERSION, substrait_text};

/// What planning and running statements gives.
pub type Result<T, E = PlannerError> = std::result::Result<T, E>;

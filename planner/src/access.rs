//! Who may do what: grants of a policy, and what they give to one asker.
//!
//! Everything that no grant gives is denied. A policy is plain data: it knows no file, no clock and no credential, and
//! whoever runs the engine hands it over whole, so that a statement is planned under one policy or another, and never
//! under a mixture.
//!
//! # Invariants
//! - Several grants never give more together than one after the other: a cell of a table is seen when some one grant
//!   gives both its column and its row.
//! - A name that no grant covers is answered like one that nobody ever made.

mod glob;
mod grant;
mod held;
mod policy;
mod row_filter;
mod selection;

pub use glob::{Glob, NamePattern};
pub use grant::{Action, Grant, Grantee};
pub use held::{Access, TableAccess};
pub use policy::AccessPolicy;
pub use row_filter::RowFilter;
pub use selection::{Part, Selection};

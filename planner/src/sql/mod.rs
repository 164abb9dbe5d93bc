//! What may be asked, and what the words in it mean.
//!
//! A statement's text becomes a [`Statement`] (exactly one, from an allow-list, nothing in it that the engine would
//! ignore); its names become tables and columns that exist; its parameters get types.

pub(crate) mod bind;
mod build;
pub(crate) mod dialect;
pub(crate) mod foreign;
mod literals;
pub(crate) mod parse;
mod redact;
pub(crate) mod refuse;
pub(crate) mod same_names;
mod shape;
pub(crate) mod statement;
mod travel;
pub(crate) mod version;

pub use redact::{hide_names, hide_quoted, redact};
pub(crate) use refuse::TABLE_FUNCTIONS;
pub use statement::{Command, QueryStatement, Statement};

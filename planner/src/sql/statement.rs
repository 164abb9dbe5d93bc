//! The statements that Landfast runs, parsed.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query};

use super::version::Version;
use crate::substrait::SubstraitPlan;

/// A parsed statement of the allow-list.
#[derive(Debug, Clone)]
pub enum Statement {
    /// It gives rows and changes nothing: a query, EXPLAIN, SHOW or DESCRIBE.
    Query(QueryStatement),
    /// It changes the session or the catalog: SET, RESET, USE, CALL, CREATE or DROP.
    Command(Command),
}

impl Statement {
    /// About what it takes in memory: a tree of words is far larger than their text.
    pub fn bytes(&self) -> usize {
        const TREE: usize = 32;
        self.written_bytes().saturating_mul(TREE)
    }

    /// How long it was as it came: a text, or a Substrait plan.
    pub fn written_bytes(&self) -> usize {
        match self {
            Self::Query(query) => query.substrait().map_or(query.text().len(), Bytes::len),
            Self::Command(command) => command.text().len(),
        }
    }

    /// Whether it changes something, so that it must run exactly once.
    pub fn is_update(&self) -> bool {
        matches!(self, Self::Command(_))
    }

    /// The statement's text as it was written; of a Substrait plan, what stands for it in records.
    pub fn text(&self) -> &str {
        match self {
            Self::Query(query) => query.text(),
            Self::Command(command) => command.text(),
        }
    }

    /// How many parameters it takes.
    pub fn parameter_count(&self) -> usize {
        match self {
            Self::Query(query) => query.parameters,
            Self::Command(command) => command.parameters,
        }
    }
}

/// A statement that gives rows.
#[derive(Debug, Clone)]
pub struct QueryStatement {
    pub(crate) text: Arc<str>,
    pub(crate) kind: QueryKind,
    pub(crate) parameters: usize,
    /// Whether planning it may need more stack than a thread has left.
    pub(crate) deep: bool,
}

impl QueryStatement {
    /// The statement's text as it was written; of a Substrait plan, what stands for it in records.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The Substrait plan that it is, as it was sent; none if it is SQL.
    pub fn substrait(&self) -> Option<&Bytes> {
        match &self.kind {
            QueryKind::Substrait(plan) => Some(plan.bytes()),
            QueryKind::Rows(_) | QueryKind::Explain { .. } | QueryKind::Show(_) => None,
        }
    }
}

/// A statement that changes the session or the catalog.
#[derive(Debug, Clone)]
pub struct Command {
    pub(crate) text: Arc<str>,
    pub(crate) kind: CommandKind,
    pub(crate) parameters: usize,
}

impl Command {
    /// The statement's text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its first words, for messages and logs.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            CommandKind::Set { .. } => "SET",
            CommandKind::Reset { .. } => "RESET",
            CommandKind::Use { .. } => "USE",
            CommandKind::RegisterTable { .. } => "CALL landfast.register_table",
            CommandKind::UnregisterTable { .. } => "CALL landfast.unregister_table",
            CommandKind::CancelQuery { .. } => "CALL landfast.cancel",
            CommandKind::CreateSchema { .. } => "CREATE SCHEMA",
            CommandKind::DropSchema { .. } => "DROP SCHEMA",
            CommandKind::DropTable { .. } => "DROP TABLE",
        }
    }

    /// Whether it takes settings back to what they are without it.
    pub fn resets_settings(&self) -> bool {
        matches!(self.kind, CommandKind::Reset { .. })
    }

    /// Whether it changes only the session's own settings, which everybody may.
    pub fn changes_settings(&self) -> bool {
        matches!(
            self.kind,
            CommandKind::Set { .. } | CommandKind::Reset { .. } | CommandKind::Use { .. }
        )
    }
}

/// What gives the rows.
#[derive(Debug, Clone)]
pub(crate) enum QueryKind {
    /// SELECT, WITH, VALUES, set operations.
    Rows(Box<Query>),
    /// EXPLAIN of a query.
    Explain {
        /// Run it, and add what was really read.
        analyze: bool,
        /// Every step of planning.
        verbose: bool,
        /// The query.
        query: Box<Query>,
    },
    /// SHOW and DESCRIBE.
    Show(Show),
    /// A plan that somebody else made.
    Substrait(Arc<SubstraitPlan>),
}

/// What SHOW and DESCRIBE list.
#[derive(Debug, Clone)]
pub(crate) enum Show {
    /// The catalogs.
    Catalogs(Like),
    /// The schemas of one catalog, or of all.
    Schemas {
        /// The catalog.
        within: Option<Ident>,
        /// The names wanted.
        like: Like,
    },
    /// The tables of one schema, one catalog or all.
    Tables {
        /// `catalog`, `schema` or `catalog.schema`.
        within: Option<ObjectName>,
        /// The names wanted.
        like: Like,
    },
    /// The columns of one table.
    Columns {
        /// The table.
        table: ObjectName,
        /// Which version of it.
        version: Option<Version>,
        /// The names wanted.
        like: Like,
    },
    /// The columns of a query's result.
    ColumnsOf(Box<Query>),
    /// One setting, or all of them.
    Settings(Option<String>),
}

/// A pattern of SHOW … LIKE.
#[derive(Debug, Clone, Default)]
pub(crate) struct Like {
    /// The pattern: `%` is any text, `_` any one character.
    pub(crate) pattern: Option<String>,
    /// Whether case counts not.
    pub(crate) any_case: bool,
}

/// What changes.
#[derive(Debug, Clone)]
pub(crate) enum CommandKind {
    /// One setting gets a value.
    Set { key: String, value: String },
    /// One setting, or all, gets back its default.
    Reset { key: Option<String> },
    /// The default catalog and schema.
    Use { name: ObjectName },
    /// A table gets into a catalog.
    RegisterTable { table: Argument, metadata: Argument },
    /// A table's entry leaves its catalog.
    UnregisterTable { table: Argument },
    /// A running query ends.
    CancelQuery { query: Argument },
    /// A schema is made.
    CreateSchema { name: ObjectName, or_keep: bool },
    /// An empty schema goes.
    DropSchema { name: ObjectName, or_ignore: bool },
    /// A table's entry leaves its catalog, by DROP TABLE.
    DropTable { name: ObjectName, or_ignore: bool },
}

/// An argument of CALL: a text, or a parameter by its number from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    /// A text.
    Text(String),
    /// A parameter.
    Parameter(usize),
}

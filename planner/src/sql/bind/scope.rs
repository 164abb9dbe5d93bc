//! Which relations and columns can be seen at a place in a query.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{Expr, Ident};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::KnownTable;
use crate::sql::refuse::place;
use crate::{PlannerError, Result};

/// A column's name, and its type where it matters: to find struct fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) data_type: Option<DataType>,
    pub(super) kind: Kind,
    /// Fields within it that can't be read: their paths from here on, and their types.
    pub(super) unreadable: Vec<(String, String)>,
}

/// Whether `*` stands for a column, and what naming it means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// It is one of the relation's columns.
    Visible,
    /// It is a metadata column of the known table at this position: there for who names it.
    Metadata(usize),
    /// Its type, here as the table has it, can't be read: naming it is an error.
    Unreadable(String),
}

impl Column {
    pub(super) fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            data_type: None,
            kind: Kind::Visible,
            unreadable: Vec::new(),
        }
    }

    /// A column that can't be read is no column to name.
    pub(super) fn check_readable(&self, at: Span) -> Result<()> {
        match &self.kind {
            Kind::Unreadable(of) => Err(unreadable(&self.name, of, at)),
            Kind::Visible | Kind::Metadata(_) => Ok(()),
        }
    }

    pub(super) fn is_visible(&self) -> bool {
        self.kind == Kind::Visible
    }
}

/// The columns of a relation, if they can be known before the engine plans it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Columns {
    Known(Vec<Column>),
    Open,
}

impl Columns {
    /// A table's columns, and after them what only who names it sees.
    pub(super) fn of(table: &KnownTable, at: usize) -> Self {
        let own = table.schema.fields().iter().map(|field| {
            let within = table.unreadable.iter().filter_map(|(path, of)| {
                let rest = path.strip_prefix(field.name().as_str())?;
                Some((rest.strip_prefix('.')?.to_string(), of.clone()))
            });
            Column {
                data_type: Some(field.data_type().clone()),
                unreadable: within.collect(),
                ..Column::named(field.name())
            }
        });
        let mut columns: Vec<Column> = own.collect();
        for (path, of) in &table.unreadable {
            let within = |column: &Column| {
                let rest = path.strip_prefix(column.name.as_str());
                rest.is_some_and(|rest| rest.starts_with('.'))
            };
            if !columns.iter().any(within) {
                columns.push(Column {
                    kind: Kind::Unreadable(of.clone()),
                    ..Column::named(path)
                });
            }
        }
        for field in table.metadata_columns.iter() {
            if !columns.iter().any(|column| column.name == *field.name()) {
                columns.push(Column {
                    data_type: Some(field.data_type().clone()),
                    kind: Kind::Metadata(at),
                    ..Column::named(field.name())
                });
            }
        }
        Self::Known(columns)
    }

    /// What `*` stands for.
    pub(super) fn visible(self) -> Self {
        match self {
            Self::Known(mut columns) => {
                columns.retain(Column::is_visible);
                Self::Known(columns)
            }
            Self::Open => Self::Open,
        }
    }

    /// These columns under a list of new names, which may be empty.
    pub(super) fn renamed(self, names: &[String]) -> Self {
        if names.is_empty() {
            return self;
        }
        let types: Vec<Option<DataType>> = match self.visible() {
            Self::Known(columns) => columns.into_iter().map(|column| column.data_type).collect(),
            Self::Open => Vec::new(),
        };
        Self::Known(
            names
                .iter()
                .enumerate()
                .map(|(n, name)| Column {
                    data_type: types.get(n).cloned().flatten(),
                    ..Column::named(name)
                })
                .collect(),
        )
    }

    pub(super) fn and(self, more: Columns) -> Self {
        match (self, more) {
            (Self::Known(mut columns), Self::Known(more)) => {
                columns.extend(more);
                Self::Known(columns)
            }
            _ => Self::Open,
        }
    }

    pub(super) fn without(self, names: &[String]) -> Self {
        match self {
            Self::Known(columns) => Self::Known(
                columns
                    .into_iter()
                    .filter(|column| !names.contains(&column.name))
                    .collect(),
            ),
            Self::Open => Self::Open,
        }
    }

    /// The columns that the name fits.
    fn fitting(&self, ident: &Ident) -> impl Iterator<Item = &Column> {
        let columns = match self {
            Self::Known(columns) => columns.as_slice(),
            Self::Open => &[],
        };
        columns.iter().filter(|column| fits(ident, &column.name))
    }

    pub(super) fn known(&self) -> &[Column] {
        match self {
            Self::Known(columns) => columns,
            Self::Open => &[],
        }
    }
}

/// Whether a name as written fits a name that exists.
pub(crate) fn fits(written: &Ident, name: &str) -> bool {
    match written.quote_style {
        Some(_) => written.value == name,
        None => written.value == name || written.value.to_lowercase() == name.to_lowercase(),
    }
}

/// A relation in a FROM clause.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// The name that qualifies its columns, as the engine will know it: an alias, or a table's name in as many parts
    /// as it was written with.
    pub(super) spelled: Vec<String>,
    /// A table's full name, by whose ends it can be qualified too; for others the same as `spelled`.
    pub(super) full: Vec<String>,
    /// Which of the known tables it is, if it is one.
    pub(super) table: Option<usize>,
    pub(super) columns: Columns,
}

impl Relation {
    pub(super) fn alias(name: &str, columns: Columns) -> Self {
        Self {
            spelled: vec![name.to_string()],
            full: vec![name.to_string()],
            table: None,
            columns,
        }
    }

    /// What has no name that one could qualify its columns by.
    pub(super) fn nameless(columns: Columns) -> Self {
        Self {
            spelled: Vec::new(),
            full: Vec::new(),
            table: None,
            columns,
        }
    }

    /// Whether a qualifier, which may be shorter than the full name, means this relation.
    fn fits(&self, qualifier: &[Ident]) -> bool {
        qualifier.len() <= self.full.len()
            && qualifier
                .iter()
                .zip(&self.full[self.full.len() - qualifier.len()..])
                .all(|(w, name)| fits(w, name))
    }

    pub(super) fn shown(&self) -> String {
        shown(&self.spelled)
    }
}

/// Names as one would write them in quotes.
pub(super) fn shown<S: AsRef<str>>(parts: &[S]) -> String {
    parts
        .iter()
        .map(|part| format!("\"{}\"", part.as_ref()))
        .collect::<Vec<_>>()
        .join(".")
}

/// What can be seen at a place: the relations there, then those around it.
#[derive(Debug)]
pub(super) struct Scope<'o> {
    pub(super) relations: Vec<Relation>,
    /// Columns that USING and NATURAL made one of, and the relation whose column stands for it: they are in several
    /// relations and yet not ambiguous.
    pub(super) merged: Vec<(String, Vec<String>)>,
    pub(super) outer: Option<&'o Scope<'o>>,
}

/// What a name of one or more parts was found to mean.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// The relation's name as the engine knows it; empty when the name is not qualified.
    pub(super) qualifier: Vec<String>,
    pub(super) column: Column,
    /// How many parts of the written name are used up; the rest are struct fields.
    pub(super) used: usize,
}

impl<'o> Scope<'o> {
    pub(super) fn new(outer: Option<&'o Scope<'o>>) -> Self {
        Self {
            relations: Vec::new(),
            merged: Vec::new(),
            outer,
        }
    }

    /// A scope of one nameless relation: what a query puts out.
    pub(super) fn of_output(columns: Columns, outer: Option<&'o Scope<'o>>) -> Self {
        Self {
            relations: vec![Relation::nameless(columns)],
            merged: Vec::new(),
            outer,
        }
    }

    /// Everything `*` stands for.
    pub(super) fn all_columns(&self) -> Columns {
        self.relations
            .iter()
            .fold(Columns::Known(Vec::new()), |all, relation| {
                all.and(relation.columns.clone().visible())
            })
    }

    /// The relation whose column stands for one that a join made one of.
    pub(super) fn merged_in(&self, name: &str) -> Option<&[String]> {
        self.merged
            .iter()
            .find(|(merged, _)| merged == name)
            .map(|(_, relation)| relation.as_slice())
    }

    pub(super) fn is_open(&self) -> bool {
        self.relations
            .iter()
            .any(|relation| relation.columns == Columns::Open)
    }

    pub(super) fn relations_fitting(&self, qualifier: &[Ident]) -> Vec<&Relation> {
        self.relations
            .iter()
            .filter(|relation| !relation.full.is_empty() && relation.fits(qualifier))
            .collect()
    }

    /// The columns here that a bare name fits: each spelling once, and how many relations have it. A metadata column is
    /// meant only where nothing else is.
    pub(super) fn columns_fitting(&self, ident: &Ident) -> Vec<(&Column, usize)> {
        let mut found: Vec<(&Column, usize)> = Vec::new();
        for relation in &self.relations {
            let mut seen: Vec<&str> = Vec::new();
            for column in relation.columns.fitting(ident) {
                if seen.contains(&column.name.as_str()) {
                    continue;
                }
                seen.push(&column.name);
                match found
                    .iter_mut()
                    .find(|(known, _)| known.name == column.name)
                {
                    // One that can't be read is an error, whatever else is called the same.
                    Some((known, count)) => {
                        *count += 1;
                        match (&known.kind, &column.kind) {
                            (_, Kind::Unreadable(_)) => *known = column,
                            // What is one of its relation's columns is meant, and that alone.
                            (Kind::Metadata(_), Kind::Visible) => (*known, *count) = (column, 1),
                            (Kind::Visible, Kind::Metadata(_)) => *count -= 1,
                            _ => {}
                        }
                    }
                    None => found.push((column, 1)),
                }
            }
        }
        only_meant(found, |(column, _)| column)
    }

    /// What a qualified name may mean here, the longest qualifier first, as the engine looks it up.
    pub(super) fn qualified(&self, parts: &[Ident]) -> Vec<Found> {
        for length in (1..parts.len().min(4)).rev() {
            let mut found = Vec::new();
            for relation in self.relations_fitting(&parts[..length]) {
                for column in relation.columns.fitting(&parts[length]) {
                    let one = Found {
                        qualifier: relation.spelled.clone(),
                        column: column.clone(),
                        used: length + 1,
                    };
                    if !found.iter().any(|f: &Found| {
                        f.qualifier == one.qualifier && f.column.name == one.column.name
                    }) {
                        found.push(one);
                    }
                }
            }
            if !found.is_empty() {
                return only_meant(found, |found| &found.column);
            }
        }
        Vec::new()
    }

    /// The column that an expression, already bound, puts out under a name one can refer to.
    pub(super) fn output_of(&self, expr: &Expr) -> Option<Column> {
        let column = self.named_by(expr)?;
        Some(Column {
            kind: Kind::Visible,
            ..column
        })
    }

    fn named_by(&self, expr: &Expr) -> Option<Column> {
        match expr {
            Expr::Nested(inner) => self.named_by(inner),
            Expr::Identifier(ident) => {
                let known = self
                    .columns_fitting(ident)
                    .first()
                    .map(|(column, _)| (*column).clone());
                Some(known.unwrap_or_else(|| Column::named(&ident.value)))
            }
            Expr::CompoundIdentifier(parts) => self
                .qualified(parts)
                .into_iter()
                .find(|found| found.used == parts.len())
                .map(|found| found.column),
            _ => None,
        }
    }
}

/// A column is named that can't be read.
pub(super) fn unreadable(column: &str, of: &str, at: Span) -> PlannerError {
    PlannerError::unsupported(format!(
        "column {column} can't be read: its type is {of}, which is not supported (leave it out; * does)"
    ))
    .at(place(at))
}

/// What a name means of what it fits: metadata columns only where nothing else fits.
fn only_meant<T>(mut found: Vec<T>, column: impl Fn(&T) -> &Column) -> Vec<T> {
    let is_metadata = |one: &T| matches!(column(one).kind, Kind::Metadata(_));
    if !found.iter().all(is_metadata) {
        found.retain(|one| !is_metadata(one));
    }
    found
}

/// The WITH queries that can be seen, the innermost last.
#[derive(Debug, Clone, Default)]
pub(super) struct Withs(Vec<(String, Columns)>);

impl Withs {
    pub(super) fn with(&self, name: &str, columns: Columns) -> Self {
        let mut all = self.0.clone();
        all.retain(|(known, _)| known != name);
        all.push((name.to_string(), columns));
        Self(all)
    }

    /// The WITH queries that the name fits.
    pub(super) fn fitting(&self, ident: &Ident) -> Vec<(&str, &Columns)> {
        self.0
            .iter()
            .filter(|(name, _)| fits(ident, name))
            .map(|(name, columns)| (name.as_str(), columns))
            .collect()
    }
}

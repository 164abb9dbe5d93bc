//! What every name in a query means, whatever its case.
//!
//! Unquoted names match whatever their case when exactly one name fits, and an error lists them when several do; quoted
//! names match exactly. The engine behind compares names exactly, so this pass walks the query with its scopes (WITH
//! queries, relations, aliases, struct fields) and rewrites every unquoted name to the one it means. A name that nothing
//! fits is left as it is: the engine's error then says what there is.
//!
//! The pass runs twice over a query: once to find which tables it names, before anything is known of them, and once
//! with their columns.

mod expr;
mod relation;
mod scope;
mod select;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, LimitClause, NamedWindowDefinition, NamedWindowExpr,
    ObjectName, OrderBy, OrderByKind, Query, Select, SetExpr, SetOperator, With,
};

use datafusion::sql::sqlparser::tokenizer::Span;

use crate::error::Position;
use crate::sql::literals::keep_long_numbers;
use crate::sql::refuse::place;
use crate::sql::version::Version;
use crate::{PlannerError, Result};
pub(crate) use scope::fits;
use scope::{Column, Columns, Scope, Withs};

/// What is known of a table that a query names.
#[derive(Debug, Clone)]
pub(crate) struct KnownTable {
    /// Its full name: catalog, schema, table.
    pub(crate) full: [String; 3],
    /// What it is called in the bound query instead of its own name, so that each version of a table is told apart.
    pub(crate) stands_as: Option<String>,
    /// Its columns.
    pub(crate) schema: SchemaRef,
    /// Columns that it has for who names them.
    pub(crate) metadata_columns: Vec<FieldRef>,
    /// Columns that can't be read, with their types; a field within a struct has its full path.
    pub(crate) unreadable: Vec<(String, String)>,
}

/// A table as a query names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NamedTable {
    /// Its name as it is written.
    pub(crate) name: ObjectName,
    /// Which version of it.
    pub(crate) version: Option<Version>,
}

/// Answers for the names of tables, by the text in which a query names them and the version it asks for.
#[derive(Debug, Default)]
pub(crate) struct KnownTables {
    tables: Vec<KnownTable>,
    /// Positions in `tables`.
    by_written: HashMap<(String, Option<Version>), usize>,
    /// Positions of tables whose metadata columns the query names.
    extended: BTreeSet<usize>,
}

impl KnownTables {
    /// Takes what is known of the table that is written like this. Tables are counted from zero, as they come.
    pub(crate) fn insert(&mut self, written: &NamedTable, table: KnownTable) {
        let key = (written.name.to_string(), written.version.clone());
        self.by_written.insert(key, self.tables.len());
        self.tables.push(table);
    }

    /// Notes that these tables have their metadata columns beside their own, where the engine sees them.
    pub(crate) fn extend(&mut self, tables: BTreeSet<usize>) {
        self.extended = tables;
    }

    fn get(&self, name: &ObjectName, version: Option<Version>) -> Option<(usize, &KnownTable)> {
        let at = *self.by_written.get(&(name.to_string(), version))?;
        Some((at, self.tables.get(at)?))
    }
}

/// The tables that a query names, each way of writing once, in the order of their first appearance.
pub(crate) fn tables_named(query: &Query) -> Result<Vec<NamedTable>> {
    let mut copy = query.clone();
    let mut binder = Binder {
        known: None,
        named: Vec::new(),
        unknown: Vec::new(),
        extended: BTreeSet::new(),
    };
    binder.query(&mut copy, None, &Withs::default())?;
    Ok(binder.named)
}

/// Where names stand that nothing fitted, to give the engine's errors a place.
#[derive(Debug, Default)]
pub(crate) struct UnknownNames(Vec<(String, Option<Position>)>);

impl UnknownNames {
    /// The place of the first unknown name that ends an error's text or stands in it as a word.
    pub(crate) fn place(&self, text: &str) -> Option<Position> {
        let word = |name: &str| {
            text.match_indices(name).any(|(at, _)| {
                let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
                edge(text[..at].chars().next_back()) && edge(text[at + name.len()..].chars().next())
            })
        };
        self.0
            .iter()
            .find(|(name, _)| word(name))
            .and_then(|(_, place)| *place)
    }
}

/// Rewrites every unquoted name of the query to the one it means. Gives the names that mean nothing, and the tables whose
/// metadata columns are named: those the engine has to see with them, and then the query is bound once more.
/// Numbers that a double would round become decimals.
pub(crate) fn bind(
    query: &mut Query,
    known: &KnownTables,
) -> Result<(UnknownNames, BTreeSet<usize>)> {
    let mut binder = Binder {
        known: Some(known),
        named: Vec::new(),
        unknown: Vec::new(),
        extended: BTreeSet::new(),
    };
    binder.query(query, None, &Withs::default())?;
    keep_long_numbers(query);
    Ok((UnknownNames(binder.unknown), binder.extended))
}

struct Binder<'k> {
    /// What is known of tables; nothing on the first pass.
    known: Option<&'k KnownTables>,
    named: Vec<NamedTable>,
    unknown: Vec<(String, Option<Position>)>,
    /// Tables whose metadata columns are named.
    extended: BTreeSet<usize>,
}

/// Binding recurses as the query nests, and its frames are large in debug builds.
fn with_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(256 << 10, 4 << 20, work)
}

/// The engine compares the two sides of EXCEPT and INTERSECT by their columns' names: of two of one name, it takes one
/// for the other.
fn told_by_name(op: SetOperator, columns: &Columns) -> Result<()> {
    let mut seen = BTreeSet::new();
    for column in columns.known().iter().filter(|column| column.is_visible()) {
        if !seen.insert(column.name.as_str()) {
            return Err(PlannerError::unsupported(format!(
                "{op} of a side with two columns {} is not supported: give each a name of its own with AS",
                column.name
            )));
        }
    }
    Ok(())
}

impl Binder<'_> {
    /// Binds a query, and gives the names of what it puts out.
    fn query(
        &mut self,
        query: &mut Query,
        outer: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<Columns> {
        with_stack(|| {
            let withs = match &mut query.with {
                Some(with) => &self.with_clause(with, outer, withs)?,
                None => withs,
            };
            let columns = match query.body.as_mut() {
                SetExpr::Select(select) => {
                    self.select(select, query.order_by.as_mut(), outer, withs)?
                }
                body => {
                    let columns = self.set_expr(body, outer, withs)?;
                    let scope = Scope::of_output(columns.clone(), outer);
                    self.order_by(query.order_by.as_mut(), &scope, None, withs)?;
                    columns
                }
            };
            let nothing = Scope::new(outer);
            match &mut query.limit_clause {
                Some(LimitClause::LimitOffset {
                    limit,
                    offset,
                    limit_by,
                }) => {
                    let exprs = limit
                        .iter_mut()
                        .chain(offset.iter_mut().map(|o| &mut o.value))
                        .chain(limit_by.iter_mut());
                    self.exprs(exprs, &nothing, None, withs)?;
                }
                Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                    self.exprs([offset, limit], &nothing, None, withs)?;
                }
                None => {}
            }
            Ok(columns)
        })
    }

    fn with_clause(
        &mut self,
        with: &mut With,
        outer: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<Withs> {
        let mut withs = withs.clone();
        for cte in &mut with.cte_tables {
            let name = cte.alias.name.value.clone();
            let renamed: Vec<String> = cte
                .alias
                .columns
                .iter()
                .map(|c| c.name.value.clone())
                .collect();
            let union = match cte.query.body.as_mut() {
                SetExpr::SetOperation {
                    op: SetOperator::Union,
                    left,
                    right,
                    ..
                } if with.recursive => Some((left, right)),
                _ => None,
            };
            let columns = match union {
                // A recursive query's own name stands for the columns of its first part.
                Some((first, rest)) if cte.query.with.is_none() => {
                    let columns = self.set_expr(first, outer, &withs)?.renamed(&renamed);
                    let inner = withs.with(&name, columns.clone());
                    self.set_expr(rest, outer, &inner)?;
                    columns
                }
                _ => self.query(&mut cte.query, outer, &withs)?.renamed(&renamed),
            };
            withs = withs.with(&name, columns);
        }
        Ok(withs)
    }

    fn set_expr(
        &mut self,
        body: &mut SetExpr,
        outer: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<Columns> {
        with_stack(|| match body {
            SetExpr::Select(select) => self.select(select, None, outer, withs),
            SetExpr::Query(query) => self.query(query, outer, withs),
            SetExpr::SetOperation {
                op, left, right, ..
            } => {
                let columns = self.set_expr(left, outer, withs)?;
                let others = self.set_expr(right, outer, withs)?;
                if *op != SetOperator::Union && self.known.is_some() {
                    told_by_name(*op, &columns)?;
                    told_by_name(*op, &others)?;
                }
                Ok(columns)
            }
            SetExpr::Values(values) => {
                let nothing = Scope::new(outer);
                let width = values.rows.first().map_or(0, |row| row.content.len());
                for row in &mut values.rows {
                    self.exprs(row.content.iter_mut(), &nothing, None, withs)?;
                }
                Ok(Columns::Known(
                    (1..=width)
                        .map(|n| Column::named(format!("column{n}")))
                        .collect(),
                ))
            }
            _ => Ok(Columns::Open),
        })
    }

    fn select(
        &mut self,
        select: &mut Select,
        order_by: Option<&mut OrderBy>,
        outer: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<Columns> {
        let mut scope = Scope::new(outer);
        for table in &mut select.from {
            self.table_with_joins(table, &mut scope, outer, withs)?;
        }
        self.exprs(select.selection.iter_mut(), &scope, None, withs)?;
        let mut columns = Columns::Known(Vec::new());
        let mut written: HashMap<String, usize> = HashMap::new();
        self.spell_out_wildcards(&mut select.projection, &scope, withs)?;
        for item in &mut select.projection {
            let found = self.select_item(item, &scope, withs)?;
            columns = columns.and(self.told_apart(item, found, &mut written));
        }
        let output = Scope::of_output(columns.clone(), None);
        if let Some(Distinct::On(exprs)) = &mut select.distinct {
            self.exprs_output_first(exprs.iter_mut(), &output, &scope, withs)?;
        }
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            self.exprs(exprs.iter_mut(), &scope, Some(&output), withs)?;
        }
        self.exprs(
            select.having.iter_mut().chain(select.qualify.iter_mut()),
            &scope,
            Some(&output),
            withs,
        )?;
        for NamedWindowDefinition(name, window) in &mut select.named_window {
            window_name(name);
            match window {
                NamedWindowExpr::NamedWindow(other) => window_name(other),
                NamedWindowExpr::WindowSpec(spec) => {
                    let orders = spec.order_by.iter_mut().map(|order| &mut order.expr);
                    self.exprs(
                        spec.partition_by.iter_mut().chain(orders),
                        &scope,
                        None,
                        withs,
                    )?;
                }
            }
        }
        self.order_by(order_by, &output, Some(&scope), withs)?;
        Ok(columns)
    }

    /// ORDER BY sees what the query puts out first, then what it reads.
    fn order_by(
        &mut self,
        order_by: Option<&mut OrderBy>,
        output: &Scope<'_>,
        scope: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<()> {
        let Some(OrderBy {
            kind: OrderByKind::Expressions(orders),
            ..
        }) = order_by
        else {
            return Ok(());
        };
        let exprs = orders.iter_mut().map(|order| &mut order.expr);
        match scope {
            Some(scope) => self.exprs_output_first(exprs, output, scope, withs),
            None => self.exprs(exprs, output, None, withs),
        }
    }

    fn exprs_output_first<'e>(
        &mut self,
        exprs: impl IntoIterator<Item = &'e mut Expr>,
        output: &Scope<'_>,
        scope: &Scope<'_>,
        withs: &Withs,
    ) -> Result<()> {
        for expr in exprs {
            // A bare name means an output column if one fits; inside an expression too, as the engine has it.
            if let Expr::Identifier(ident) = expr
                && self.bind_if_one_fits(ident, output)
            {
                continue;
            }
            self.exprs([expr], scope, Some(output), withs)?;
        }
        Ok(())
    }

    fn note(&mut self, ident: &Ident) {
        self.unknown.push((ident.value.clone(), place(ident.span)));
    }
}

/// Unquoted names of windows are the same whatever their case; the engine compares them letter by letter.
fn window_name(name: &mut Ident) {
    if name.quote_style.is_none() {
        name.value.make_ascii_lowercase();
    }
}

/// Several things fit a name.
fn ambiguous(written: &str, fitting: Vec<String>, at: Span) -> PlannerError {
    PlannerError::invalid(format!(
        "{written} could be {}: write which in quotes",
        fitting.join(" or ")
    ))
    .at(place(at))
}

/// An identifier that stands for exactly one name.
trait Exact {
    fn from_exact(name: impl Into<String>) -> Ident;
}

impl Exact for Ident {
    fn from_exact(name: impl Into<String>) -> Ident {
        Ident::with_quote('"', name)
    }
}

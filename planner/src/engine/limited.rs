//! Tables of which an asker sees some columns or some rows.
//!
//! Such a table is its own query: the granted columns of the granted rows, planned over the table in its place. Where
//! only columns are left out, the optimiser sees through it: a statement can't name what it doesn't have, and every row
//! is the asker's to know of. Where rows are left out, it stands behind a fence.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Ident, ObjectName, Query, Select, SelectItem, SetExpr,
    TableFactor,
};
use iceberg::spec::{NestedField, NestedFieldRef, Type};
use landfast_catalog::TableName;

use super::logical::Bound;
use super::tables::{Named, Resolved, Resolving, Source};
use super::{Engine, session};
use crate::access::{Access, RowFilter, Selection, TableAccess};
use crate::scan::FencedTable;
use crate::settings::WireTypes;
use crate::sql::Statement;
use crate::sql::bind::NamedTable;
use crate::sql::statement::QueryKind;
use crate::{ErrorKind, PlannerError, Result};

/// What a policy gives of a table.
#[derive(Debug)]
pub(super) struct LimitedTable {
    /// A query of the table alone.
    bound: Bound,
    /// Whether it leaves out rows, or hides values in some of them.
    rows: bool,
}

impl LimitedTable {
    /// The table itself.
    pub(super) fn inner(&self) -> Option<&Arc<Resolved>> {
        self.bound.distinct().into_iter().next()
    }

    /// Whether it leaves out rows, or hides values in some of them.
    pub(super) fn hides_rows(&self) -> bool {
        self.rows
    }
}

impl Engine {
    /// A table as far as its asker may read it.
    pub(super) fn limited(&self, table: Resolved, how: Resolving<'_>) -> Result<Resolved> {
        let name = &table.name;
        if matches!(
            table.source,
            Source::Temporary(_) | Source::System | Source::Information(_)
        ) || how.access.reads_everything()
        {
            return Ok(table);
        }
        let selection = match how.access.table(name) {
            TableAccess::Read(selection) if selection.is_whole() => return Ok(table),
            TableAccess::Read(selection) => selection,
            TableAccess::Named => {
                return Err(PlannerError::denied(format!(
                    "{} may not read {name}",
                    how.access.principal()
                )));
            }
            TableAccess::Hidden => return Err(self.no_such_table(name, how.access)),
        };
        if let Source::Metadata(about, _) = &table.source {
            return Err(PlannerError::denied(format!(
                "{}${} needs a grant on the whole table, and {} may read a part of it",
                name,
                about.name(),
                how.access.principal()
            )));
        }
        let name = name.clone();
        self.understood_limits(Arc::new(table), &selection, how)
            .map_err(|error| misfit(&name, &error))
    }

    fn understood_limits(
        &self,
        table: Arc<Resolved>,
        selection: &Selection,
        how: Resolving<'_>,
    ) -> Result<Resolved> {
        let moved = moved_columns(&table);
        let selection = &selection.without(&moved);
        let columns: Vec<&str> = table
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .filter(|column| selection.has(column))
            .collect();
        if columns.is_empty() {
            return Err(PlannerError::invalid("it has none of the granted columns"));
        }
        let query = query(&table.name, &columns, selection, how.access)?;
        let named = Named {
            written: NamedTable {
                name: object_name(&table.name),
                version: None,
            },
            called: table.name.table.clone(),
            table: Arc::clone(&table),
        };
        let rows = !selection.rows().is_empty()
            || columns
                .iter()
                .any(|column| !selection.mask(column).is_empty());
        let limited = LimitedTable {
            bound: Bound::of_one(query, named)?,
            rows,
        };
        let empties = limited.bound.empties();
        let plan = self.limited_plan(&limited, empties, &self.policys_state())?;
        check_filters(&plan, &moved)?;
        Ok(Resolved {
            name: table.name.clone(),
            schema: Arc::clone(plan.schema().inner()),
            source: Source::Limited(Arc::new(limited)),
        })
    }

    fn limited_plan(
        &self,
        limited: &LimitedTable,
        providers: Vec<Arc<dyn TableProvider>>,
        state: &SessionState,
    ) -> Result<LogicalPlan> {
        let logical = self.logical(
            state.clone(),
            &limited.bound,
            providers,
            0,
            WireTypes::Compatible,
        )?;
        Ok(logical.state.analyzer().execute_and_check(
            logical.plan,
            logical.state.config_options(),
            |_, _| {},
        )?)
    }

    /// What the policy gives of a table that can be scanned. Where it hides rows, `state` is the policy's.
    pub(super) fn limited_provider(
        &self,
        limited: &LimitedTable,
        table: &TableName,
        inner: Arc<dyn TableProvider>,
        state: &SessionState,
    ) -> Result<Arc<dyn TableProvider>> {
        let plan = self
            .limited_plan(limited, limited.bound.providers(&[inner]), state)
            .map_err(|error| misfit(table, &error))?;
        Ok(match limited.rows {
            false => Arc::new(ViewTable::new(plan, None)),
            true => Arc::new(FencedTable::new(table.clone(), plan, state.clone())),
        })
    }

    /// What filters of the policy are planned with, and views below them: no session's settings, and the present, also
    /// where a query is replayed with the time of another. Else a statement would have a say in which rows it sees.
    pub(super) fn policys_state(&self) -> SessionState {
        session::for_query(&self.template, &self.defaults, None)
    }
}

impl Resolved {
    /// The tables in it of which the asker sees only a part.
    pub(super) fn limited_names(&self) -> BTreeSet<String> {
        match &self.source {
            Source::Limited(limited) => {
                let inner = limited.inner().into_iter();
                let inner = inner.flat_map(|table| table.limited_names());
                std::iter::once(self.name.to_string())
                    .chain(inner)
                    .collect()
            }
            Source::View(view) => {
                let tables = view.bound().distinct().into_iter();
                tables.flat_map(|table| table.limited_names()).collect()
            }
            _ => BTreeSet::new(),
        }
    }
}

/// A policy that a table has grown out of: whoever keeps the policy learns why, and the asker that it is so.
fn misfit(table: &TableName, error: &PlannerError) -> PlannerError {
    if !matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::ResourceExhausted | ErrorKind::Cancelled
    ) {
        tracing::error!(%table, %error, "a grant of the policy does not fit its table, which is denied to who holds it");
        return PlannerError::of_kind(
            ErrorKind::FailedPrecondition,
            format!(
                "{table} can't be read: its columns are no longer what the policy grants by; whoever keeps the policy \
                 has to change it"
            ),
        );
    }
    error.clone()
}

/// Columns that were other ones when an older version of the table was written, though they are called the same; and
/// those that had a field within them which is another one today, or is gone.
fn moved_columns(table: &Resolved) -> BTreeSet<String> {
    let Source::Lake(snapshot) = &table.source else {
        return BTreeSet::new();
    };
    let (read, now) = (snapshot.schema(), snapshot.metadata.current_schema());
    if read.schema_id() == now.schema_id() {
        return BTreeSet::new();
    }
    let fields = read.as_struct().fields().iter();
    fields
        .filter(|field| !is_unmoved(field, now.as_struct().field_by_id(field.id)))
        .map(|field| field.name.clone())
        .collect()
}

/// Whether a field is today what it was, and all within it.
fn is_unmoved(then: &NestedField, now: Option<&NestedFieldRef>) -> bool {
    let Some(now) = now.filter(|now| now.id == then.id && now.name == then.name) else {
        return false;
    };
    match (&*then.field_type, &*now.field_type) {
        (Type::Primitive(_), Type::Primitive(_)) => true,
        (Type::Struct(then), Type::Struct(now)) => {
            let mut fields = then.fields().iter();
            fields.all(|field| is_unmoved(field, now.field_by_id(field.id)))
        }
        (Type::List(then), Type::List(now)) => {
            is_unmoved(&then.element_field, Some(&now.element_field))
        }
        (Type::Map(then), Type::Map(now)) => {
            is_unmoved(&then.key_field, Some(&now.key_field))
                && is_unmoved(&then.value_field, Some(&now.value_field))
        }
        _ => false,
    }
}

/// What a filter decides by must be the same today as it was, and the same each time that it is asked.
fn check_filters(plan: &LogicalPlan, moved: &BTreeSet<String>) -> Result<()> {
    let mut wrong = None;
    plan.apply(|node| {
        let filters = matches!(node, LogicalPlan::Filter(_));
        for expr in node.expressions() {
            if expr.is_volatile() {
                wrong = Some("a filter gives something else each time".to_string());
            }
            // The columns that are handed out as they are were looked at before.
            if !filters
                && matches!(
                    expr.clone().unalias(),
                    datafusion::logical_expr::Expr::Column(_)
                )
            {
                continue;
            }
            if let Some(column) = expr.column_refs().iter().find(|c| moved.contains(&c.name)) {
                wrong = Some(format!(
                    "column {} was another one in this version",
                    column.name
                ));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    wrong.map_or(Ok(()), |wrong| Err(PlannerError::invalid(wrong)))
}

fn object_name(table: &TableName) -> ObjectName {
    let parts = [table.catalog.as_str(), table.schema.as_str(), &table.table];
    ObjectName::from(parts.map(exact).to_vec())
}

fn exact(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// The granted columns of the granted rows, as a query.
fn query(
    table: &TableName,
    columns: &[&str],
    selection: &Selection,
    access: &Access,
) -> Result<Query> {
    let unbuilt = || PlannerError::internal("a table's limits can't be written as a query");
    let Statement::Query(skeleton) = crate::sql::parse::parse("SELECT 1 FROM t", usize::MAX)?
    else {
        return Err(unbuilt());
    };
    let QueryKind::Rows(mut query) = skeleton.kind else {
        return Err(unbuilt());
    };
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(unbuilt());
    };
    let select: &mut Select = select;
    let Some(TableFactor::Table { name, .. }) =
        select.from.first_mut().map(|from| &mut from.relation)
    else {
        return Err(unbuilt());
    };
    *name = object_name(table);
    select.selection = any_of(&selection.rows(), access);
    select.projection = columns
        .iter()
        .map(|column| {
            let value = Expr::Identifier(exact(column));
            match any_of(&selection.mask(column), access) {
                None => SelectItem::UnnamedExpr(value),
                Some(condition) => SelectItem::ExprWithAlias {
                    expr: Expr::Case {
                        case_token: AttachedToken::empty(),
                        end_token: AttachedToken::empty(),
                        operand: None,
                        conditions: vec![CaseWhen {
                            condition,
                            result: value,
                        }],
                        else_result: None,
                    },
                    alias: exact(column),
                },
            }
        })
        .collect();
    Ok(*query)
}

/// One condition that holds where one of the filters does; none where there is none.
fn any_of(filters: &[&RowFilter], access: &Access) -> Option<Expr> {
    let filters = filters
        .iter()
        .map(|filter| Expr::Nested(Box::new(filter.of(access))));
    filters.reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Or,
        right: Box::new(right),
    })
}

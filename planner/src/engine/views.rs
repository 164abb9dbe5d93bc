//! Views: a name for a query, planned in its place.
//!
//! A view's query is parsed, refused and bound by the same rules as a statement, with the view's own catalog and schema
//! in the place of the session's. It must give what the view's record says it gives: the columns take their recorded
//! names, and types that differ by more than how values are kept are an error. The snapshots that it reads are the
//! statement's, so that a table is read at one snapshot, whether by itself or through views.
//!
//! Whoever reads a view needs a grant on it and on all that it reads: a view gives nobody more than they have, since
//! nobody knows who wrote it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::sql::sqlparser::ast::{Query, TableFactor, Visit, Visitor};
use landfast_catalog::{
    CatalogName, Pin, Reading, SchemaName, TableName, View, ViewRepresentation,
};

use super::logical::Bound;
use super::stack::with_room;
use super::tables::{Resolved, Resolving, Source};
use super::{Engine, session};
use crate::access::Access;
use crate::settings::WireTypes;
use crate::sql::Statement;
use crate::sql::foreign;
use crate::sql::statement::QueryKind;
use crate::types::arrow_schema;
use crate::{ErrorKind, PlannerError, Result};

/// How deep views may read views.
const DEPTH_MAX: usize = 16;
/// How many views one statement may expand.
const VIEWS_MAX: usize = 200;
/// How many relations a view may stand for, those of the views within it included.
const RELATIONS_MAX: usize = 500;
/// The dialects whose queries run here, the best first.
const DIALECTS: [&str; 3] = ["landfast", "datafusion", "trino"];

/// How a statement came to the names that are being resolved.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Within<'a> {
    /// The views whose queries they stand in, the outermost first.
    views: &'a [TableName],
    /// What the innermost view's writer calls the catalog that it is in.
    catalog: Option<(&'a str, &'a CatalogName)>,
}

impl Within<'_> {
    /// Whether they stand in a view's query, and not in the statement itself.
    pub(super) fn is_in_view(&self) -> bool {
        !self.views.is_empty()
    }

    /// The catalog that a name means to a view's writer, where none is mounted under that name.
    pub(super) fn catalog_called(&self, name: &str) -> Option<CatalogName> {
        let (called, catalog) = self.catalog?;
        (called == name).then(|| catalog.clone())
    }
}

/// A view that can be planned.
#[derive(Debug)]
pub(super) struct ViewQuery {
    pin: Pin,
    bound: Bound,
    /// What the view's record says that it gives.
    recorded: SchemaRef,
    relations: usize,
}

impl Engine {
    /// A view of this name with its query understood, if there is one.
    pub(super) async fn view(&self, name: &TableName, how: Resolving<'_>) -> Result<Resolved> {
        let view = self.version_of(name, how).await?;
        self.understood(&view, how)
            .await
            .map_err(|error| cannot_run(name, &error, how.access))
    }

    /// The version of a view that the pins hold; without pins, the current one.
    async fn version_of(&self, name: &TableName, how: Resolving<'_>) -> Result<Arc<View>> {
        let pin = how.pins.iter();
        let pin = pin
            .clone()
            .find(|pin| pin.table == *name && !pin.is_of_table());
        let readings = [how.settings.reading(), Reading::STRONG];
        // What is known here may be older than what was pinned elsewhere.
        for reading in readings {
            let view = self.namespace.view(name, reading, how.log).await;
            let Some(view) = view.map_err(|error| self.unread(error, name, how.access))? else {
                return Err(self.no_such_table(name, how.access));
            };
            if how.pins.is_empty() {
                return Ok(view);
            }
            if let Some(pinned) = pin.and_then(|pin| view.pinned(pin)) {
                return Ok(pinned);
            }
        }
        Err(PlannerError::of_kind(
            ErrorKind::FailedPrecondition,
            format!("the view {name} is another one than when the query was planned: run it again"),
        ))
    }

    async fn understood(&self, view: &View, how: Resolving<'_>) -> Result<Resolved> {
        let name = &view.name;
        if how.within.views.contains(name) {
            return Err(PlannerError::invalid("it reads itself"));
        }
        if how.within.views.len() >= DEPTH_MAX {
            return Err(PlannerError::exhausted(format!(
                "views may read views {DEPTH_MAX} deep"
            )));
        }
        if how.resolved.views.fetch_add(1, Ordering::Relaxed) >= VIEWS_MAX {
            return Err(PlannerError::exhausted(format!(
                "a statement may read {VIEWS_MAX} views"
            )));
        }
        let query = self.parsed_view(view)?;
        let mut settings = how.settings.clone();
        let mounted = view
            .default_catalog
            .as_deref()
            .and_then(|called| CatalogName::new(called).ok())
            .filter(|catalog| self.namespace.catalogs().contains(catalog));
        settings.catalog = Some(mounted.unwrap_or_else(|| name.catalog.clone()));
        settings.schema = match view.default_namespace.as_slice() {
            [] => Some(name.schema.clone()),
            levels => Some(SchemaName::new(levels.join("."))?),
        };
        let mut views = how.within.views.to_vec();
        views.push(name.clone());
        let called = view.default_catalog.as_deref();
        let within = Within {
            views: &views,
            catalog: called.map(|called| (called, &name.catalog)),
        };
        let inner = Resolving {
            settings: &settings,
            within,
            ..how
        };
        let bound = with_room(Box::pin(self.bind(&query, inner))).await?;
        let largest = bound.distinct().iter().map(|table| table.relations()).max();
        let relations = count_relations(&query).saturating_mul(largest.unwrap_or(1).max(1));
        if relations > RELATIONS_MAX {
            return Err(PlannerError::exhausted(format!(
                "it stands for more than {RELATIONS_MAX} relations"
            )));
        }
        let query = ViewQuery {
            pin: view.pin(),
            bound,
            recorded: arrow_schema(&view.schema)?,
            relations,
        };
        if !view.unreadable.is_empty() {
            return Err(PlannerError::unsupported(format!(
                "its column {} is of type {}, which can't be read",
                view.unreadable[0].name, view.unreadable[0].type_name
            )));
        }
        let state = session::for_query(&self.template, how.settings, None);
        let plan = self.view_plan(&query, query.bound.empties(), &state)?;
        Ok(Resolved {
            name: name.clone(),
            schema: Arc::clone(plan.schema().inner()),
            source: Source::View(Arc::new(query)),
        })
    }

    /// The query of the first of [`DIALECTS`] that the view has.
    fn parsed_view(&self, view: &View) -> Result<Box<Query>> {
        let of = |dialect: &&str| -> Option<&ViewRepresentation> {
            let mut all = view.representations.iter();
            all.find(|one| one.dialect.eq_ignore_ascii_case(dialect))
        };
        let Some(chosen) = DIALECTS.iter().find_map(of) else {
            let has: Vec<&str> = view
                .representations
                .iter()
                .map(|one| one.dialect.as_str())
                .collect();
            return Err(PlannerError::unsupported(format!(
                "it is written for {}, and queries for {} are run",
                has.join(", "),
                DIALECTS.join(", ")
            )));
        };
        let Statement::Query(statement) = self.parse(&chosen.sql)? else {
            return Err(PlannerError::unsupported("it is no query"));
        };
        if statement.parameters > 0 || statement.deep {
            return Err(PlannerError::unsupported(
                "its query has parameters, or nests too deep for a view",
            ));
        }
        let QueryKind::Rows(mut query) = statement.kind else {
            return Err(PlannerError::unsupported("it is no query"));
        };
        if chosen.dialect.eq_ignore_ascii_case("trino") {
            foreign::trino(&mut query)?;
        }
        Ok(query)
    }

    /// A view's plan over these tables, its columns as they are recorded.
    fn view_plan(
        &self,
        view: &ViewQuery,
        providers: Vec<Arc<dyn TableProvider>>,
        state: &SessionState,
    ) -> Result<LogicalPlan> {
        let logical = self.logical(
            state.clone(),
            &view.bound,
            providers,
            0,
            WireTypes::Compatible,
        )?;
        let analyzed = logical.state.analyzer().execute_and_check(
            logical.plan,
            logical.state.config_options(),
            |_, _| {},
        )?;
        let (given, wanted) = (analyzed.schema().fields(), view.recorded.fields());
        if given.len() != wanted.len() {
            return Err(PlannerError::invalid(format!(
                "it has changed: {} columns are recorded, and its query gives {}",
                wanted.len(),
                given.len()
            )));
        }
        let columns = wanted.iter().enumerate().map(|(at, wanted)| {
            let given = analyzed.schema().qualified_field(at);
            let (from, to) = (given.1.data_type(), wanted.data_type());
            let column = Expr::Column(Column::from(given));
            if from.equals_datatype(to) {
                return Ok(column.alias(wanted.name()));
            }
            if kept_alike(from, to) {
                return Ok(cast(column, to.clone()).alias(wanted.name()));
            }
            Err(PlannerError::invalid(format!(
                "it has changed: column {} is recorded as {}, and its query gives {}",
                wanted.name(),
                super::sql_type_name(to),
                super::sql_type_name(from)
            )))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let plan = LogicalPlanBuilder::from(analyzed).project(columns)?;
        Ok(plan.build()?)
    }

    /// A view over tables that can be scanned.
    pub(super) fn view_provider(
        &self,
        view: &ViewQuery,
        providers: &[Arc<dyn TableProvider>],
        state: &SessionState,
    ) -> Result<Arc<dyn TableProvider>> {
        let plan = self.view_plan(view, view.bound.providers(providers), state)?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

impl ViewQuery {
    /// What its query names.
    pub(super) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Its version, and those of the views within it.
    fn pins(&self) -> Vec<Pin> {
        let within = self.bound.distinct().into_iter();
        let within = within.flat_map(|table| table.view_pins());
        std::iter::once(self.pin.clone()).chain(within).collect()
    }
}

impl Resolved {
    /// The versions of the views that it is read through.
    pub(super) fn view_pins(&self) -> Vec<Pin> {
        match &self.source {
            Source::View(view) => view.pins(),
            Source::Limited(limited) => limited
                .inner()
                .map_or_else(Vec::new, |behind| behind.view_pins()),
            _ => Vec::new(),
        }
    }

    /// How many relations stand behind it.
    fn relations(&self) -> usize {
        match &self.source {
            Source::View(view) => view.relations,
            _ => 1,
        }
    }
}

/// Whether two types hold the same values, kept differently.
fn kept_alike(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let text = |of: &T| matches!(of, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    let bytes = |of: &T| matches!(of, T::Binary | T::LargeBinary | T::BinaryView);
    match (from, to) {
        (T::Decimal128(_, from), T::Decimal128(_, to)) => from == to,
        (T::Timestamp(_, from), T::Timestamp(_, to)) => from.is_some() == to.is_some(),
        (T::Time64(_) | T::Time32(_), T::Time64(_)) => true,
        (T::Float32, T::Float64) => true,
        (from, to) => {
            (from.is_integer() && to.is_integer())
                || (text(from) && text(to))
                || (bytes(from) && bytes(to))
        }
    }
}

fn count_relations(query: &Query) -> usize {
    struct Counter(usize);
    impl Visitor for Counter {
        type Break = ();

        fn pre_visit_table_factor(
            &mut self,
            _factor: &TableFactor,
        ) -> std::ops::ControlFlow<Self::Break> {
            self.0 += 1;
            std::ops::ControlFlow::Continue(())
        }
    }
    let mut counter = Counter(0);
    // Counting never breaks off.
    let _ = query.visit(&mut counter);
    counter.0
}

/// An error within a view's query. Places in that query say nothing to who wrote the statement.
fn cannot_run(view: &TableName, error: &PlannerError, access: &Access) -> PlannerError {
    let of_its_text = matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::InvalidArgument
            | ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
    );
    if of_its_text && !access.reads_everything() {
        // What stands in a view is its writer's. Whether its names are unknown or not for this asker, is not said.
        return PlannerError::denied(format!(
            "the view {view} can't be read: its query asks for something that is not there or not supported, or not \
             for {}",
            access.principal()
        ));
    }
    let text = match error {
        PlannerError::InvalidArgument { text, .. }
        | PlannerError::Unsupported { text, .. }
        | PlannerError::NotFound { text, .. } => text.clone(),
        other => other.to_string(),
    };
    let known = format!("the view {view} can't be read: ");
    PlannerError::of_kind(error.kind(), format!("{known}{text}"))
}

//! From a query's text to a logical plan, its parameters' types and the one schema of its statement.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::{TableFunctionArgs, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result as EngineResult, TableReference, plan_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{Query, Statement as Ast};

use super::conform::statement_schema;
use super::expansion::check_expansion;
use super::parameters;
use super::tables::{Named, Resolved, ResolvedSnapshots, Resolving};
use super::temporary::Temporary;
use super::views::Within;
use super::{Engine, session};
use crate::access::Access;
use crate::settings::{SessionSettings, WireTypes};
use crate::sql::bind::{self, KnownTable, KnownTables, UnknownNames};
use crate::sql::same_names;
use crate::substrait::{PlanTable, SubstraitPlan, consume};
use crate::{PlannerError, Result};

/// A query that is understood.
pub(super) struct Logical {
    pub(super) state: SessionState,
    /// The plan, its parameters still open.
    pub(super) plan: LogicalPlan,
    pub(super) parameters: Vec<DataType>,
    /// What every batch of the statement has.
    pub(super) schema: SchemaRef,
}

/// A query as it was asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    Sql(&'a Query),
    Substrait(&'a Arc<SubstraitPlan>),
}

/// A query whose names mean what they say.
#[derive(Debug)]
pub(super) enum Meant {
    Sql {
        query: Box<Query>,
        unknown: UnknownNames,
    },
    Substrait(Arc<SubstraitPlan>),
}

/// A query whose names mean what they say, and the tables behind them.
#[derive(Debug)]
pub(super) struct Bound {
    meant: Meant,
    /// The name under which the bound query asks for each table, as the engine has it.
    references: Vec<TableReference>,
    tables: Vec<Named>,
    /// Positions in `tables` of those whose metadata columns are named.
    extended: BTreeSet<usize>,
}

impl Bound {
    /// A query of one table alone, which it names by its full name. Its names are bound here.
    pub(super) fn of_one(mut query: Query, table: Named) -> Result<Self> {
        let name = &table.table.name;
        let full = [name.catalog.as_str(), name.schema.as_str(), &name.table];
        let mut known = KnownTables::default();
        known.insert(
            &table.written,
            KnownTable {
                full: full.map(ToString::to_string),
                stands_as: None,
                schema: Arc::clone(&table.table.schema),
                metadata_columns: Vec::new(),
                unreadable: table.table.unreadable(),
            },
        );
        let (unknown, _) = bind::bind(&mut query, &known)?;
        Ok(Self {
            meant: Meant::Sql {
                query: Box::new(query),
                unknown,
            },
            references: vec![reference(&table, &table.called)],
            tables: vec![table],
            extended: BTreeSet::new(),
        })
    }

    /// A plan, and its tables under the names that it has for them, in the order of those names; and the positions of
    /// those whose metadata columns it names.
    pub(super) fn of_plan(
        plan: Arc<SubstraitPlan>,
        tables: Vec<Named>,
        extended: BTreeSet<usize>,
    ) -> Self {
        let references = tables.iter().map(|named| reference(named, &named.called));
        Self {
            meant: Meant::Substrait(plan),
            references: references.collect(),
            tables,
            extended,
        }
    }

    /// Tables of the right columns without rows, one for each of them.
    pub(super) fn empties(&self) -> Vec<Arc<dyn TableProvider>> {
        let empty = |named: &Named| named.table.empty(self.is_extended(&named.table));
        self.tables.iter().map(empty).collect()
    }

    /// Each distinct version of a table once.
    pub(super) fn distinct(&self) -> Vec<&Arc<Resolved>> {
        let mut seen: Vec<&Arc<Resolved>> = Vec::new();
        for named in &self.tables {
            if !seen.iter().any(|known| Arc::ptr_eq(known, &named.table)) {
                seen.push(&named.table);
            }
        }
        seen
    }

    /// Whether the query names metadata columns of a table.
    pub(super) fn is_extended(&self, table: &Arc<Resolved>) -> bool {
        let mut extended = self.extended.iter().filter_map(|at| self.tables.get(*at));
        extended.any(|named| Arc::ptr_eq(&named.table, table))
    }

    /// The same tables with other providers behind them, one for each of [`Self::distinct`].
    pub(super) fn providers(&self, made: &[Arc<dyn TableProvider>]) -> Vec<Arc<dyn TableProvider>> {
        let distinct = self.distinct();
        let of = |named: &Named| {
            let same = |known: &Arc<Resolved>| Arc::ptr_eq(known, &named.table);
            made.get(distinct.iter().position(|known| same(known))?)
                .cloned()
        };
        self.tables.iter().filter_map(of).collect()
    }
}

impl Engine {
    /// Resolves and binds every name of a query.
    pub(super) async fn bind(&self, query: &Query, how: Resolving<'_>) -> Result<Bound> {
        let named = bind::tables_named(query)?;
        let tables = self.resolve(&named, how).await?;
        let mut known = KnownTables::default();
        let mut references = Vec::with_capacity(tables.len());
        for (at, named) in tables.iter().enumerate() {
            let mut own = match &named.written.version {
                Some(version) => format!("{}@{version}", named.called),
                None => named.called.clone(),
            };
            // Whatever a version is called, no two tables of a query may be called the same.
            let taken = |own: &str| {
                let reference = reference(named, own);
                let mut before = references.iter().zip(&tables[..at]);
                before.any(|(known, other)| {
                    *known == reference && !Arc::ptr_eq(&other.table, &named.table)
                })
            };
            while taken(&own) {
                own.push('\'');
            }
            references.push(reference(named, &own));
            let name = &named.table.name;
            let full = [
                name.catalog.to_string(),
                name.schema.to_string(),
                named.called.clone(),
            ];
            known.insert(
                &named.written,
                KnownTable {
                    full,
                    stands_as: (own != named.called).then_some(own),
                    schema: Arc::clone(&named.table.schema),
                    metadata_columns: named.table.metadata_columns(),
                    unreadable: named.table.unreadable(),
                },
            );
        }
        let written = query;
        let mut query = written.clone();
        let (mut unknown, named) = bind::bind(&mut query, &known)?;
        let mut extended = BTreeSet::new();
        if !named.is_empty() {
            // However a table is written, the engine sees it once.
            let same = |at: &usize| {
                let other = |named: &usize| Arc::ptr_eq(&tables[*named].table, &tables[*at].table);
                named.iter().any(other)
            };
            extended = (0..tables.len()).filter(same).collect();
            known.extend(extended.clone());
            query = written.clone();
            (unknown, _) = bind::bind(&mut query, &known)?;
        }
        same_names::tell_apart(&mut query);
        Ok(Bound {
            meant: Meant::Sql {
                query: Box::new(query),
                unknown,
            },
            references,
            tables,
            extended,
        })
    }

    /// Resolves every name of a query, however it was asked.
    pub(super) async fn bind_wanted(
        &self,
        wanted: Wanted<'_>,
        how: Resolving<'_>,
    ) -> Result<Bound> {
        match wanted {
            Wanted::Sql(query) => self.bind(query, how).await,
            Wanted::Substrait(plan) => self.bind_plan(plan, how).await,
        }
    }

    /// What a query gives, with tables that have columns and no rows, and whether it reads temporary tables.
    pub(super) async fn describe_query(
        &self,
        query: Wanted<'_>,
        parameters: usize,
        settings: &SessionSettings,
        access: &Access,
        temporary: &Temporary,
    ) -> Result<(Logical, bool)> {
        let log = landfast_sites::ReadLog::new();
        let bound = self
            .bind_wanted(
                query,
                Resolving {
                    settings,
                    access,
                    pins: &[],
                    log: &log,
                    resolved: &ResolvedSnapshots::default(),
                    within: Within::default(),
                    temporary,
                },
            )
            .await?;
        let providers = bound.empties();
        let mut read = bound.distinct().into_iter();
        let reads_temporary = read.any(|table| table.temporary().is_some());
        let logical = self.logical(
            session::for_query(&self.template, settings, None),
            &bound,
            providers,
            parameters,
            settings.wire_types,
        )?;
        Ok((logical, reads_temporary))
    }

    /// Plans a bound query over these providers, one per way of writing a table's name.
    pub(super) fn logical(
        &self,
        state: SessionState,
        bound: &Bound,
        providers: Vec<Arc<dyn TableProvider>>,
        parameters: usize,
        types: WireTypes,
    ) -> Result<Logical> {
        let sources = bound.references.iter().cloned();
        let sources = sources.zip(providers.into_iter().map(provider_as_source));
        let (query, unknown) = match &bound.meant {
            Meant::Sql { query, unknown } => (query.as_ref(), unknown),
            Meant::Substrait(plan) => {
                let sources = sources.map(|(called, source)| PlanTable { called, source });
                let plan = consume(plan, sources.collect(), &state)?;
                return finished(state, plan, Vec::new(), types).map_err(PlannerError::from);
            }
        };
        let sources: HashMap<TableReference, Arc<dyn TableSource>> = sources.collect();
        let context = Context {
            state: &state,
            sources,
        };
        let plan = |types: Vec<Option<FieldRef>>| {
            let planner = SqlToRel::new(&context);
            let mut planning = PlannerContext::new().with_prepare_param_data_types(types);
            planner.sql_statement_to_plan_with_context(
                Ast::Query(Box::new(query.clone())),
                &mut planning,
            )
        };
        let placed = |error: datafusion::common::DataFusionError| {
            let error = PlannerError::from(error);
            let place = unknown.place(&error.to_string());
            error.at(place)
        };
        let (plan, parameters) = parameters::typed(parameters, plan).map_err(placed)?;
        finished(state, plan, parameters, types).map_err(placed)
    }
}

/// A logical plan with what its statement gives.
fn finished(
    state: SessionState,
    plan: LogicalPlan,
    parameters: Vec<DataType>,
    types: WireTypes,
) -> EngineResult<Logical> {
    check_expansion(&plan)?;
    let analyzed =
        state
            .analyzer()
            .execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    let schema = statement_schema(analyzed.schema().inner(), types);
    Ok(Logical {
        state,
        plan,
        parameters,
        schema,
    })
}

/// The name under which the bound query asks for a table: as many parts as were written, spelled as they are, and the
/// last as it is called in this query.
fn reference(named: &Named, own: &str) -> TableReference {
    let name = &named.table.name;
    let (catalog, schema) = (name.catalog.as_str(), name.schema.as_str());
    match named.written.name.0.len() {
        1 => TableReference::bare(own),
        2 => TableReference::partial(schema, own),
        _ => TableReference::full(catalog, schema, own),
    }
}

/// What the SQL planner may ask for: the tables of this query and the engine's functions, nothing else.
struct Context<'a> {
    state: &'a SessionState,
    sources: HashMap<TableReference, Arc<dyn TableSource>>,
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> EngineResult<Arc<dyn TableSource>> {
        self.sources
            .get(&name)
            .cloned()
            .ok_or_else(|| plan_datafusion_err!("there is no table {name}"))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> EngineResult<Arc<dyn TableSource>> {
        let function = self
            .state
            .table_functions()
            .get(name)
            .ok_or_else(|| plan_datafusion_err!("there is no table function {name}"))?;
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder()
                .with_config_options(Arc::clone(self.state.config_options()))
                .with_query_execution_start_time(
                    self.state.execution_props().query_execution_start_time,
                )
                .build(),
        );
        let nothing = DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| {
                simplifier
                    .coerce(arg, &nothing)
                    .and_then(|arg| simplifier.simplify(arg))
            })
            .collect::<EngineResult<Vec<_>>>()?;
        let provider =
            function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.state))?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(
        &self,
        name: &str,
        schema: SchemaRef,
    ) -> EngineResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(
            name, schema,
        ))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state
            .higher_order_functions()
            .keys()
            .cloned()
            .collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

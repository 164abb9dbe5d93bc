//! A planned query: its schema, what it will read, its rows, and what it really read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::future::try_join_all;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use landfast_catalog::{Pin, TableSnapshot};
use landfast_sites::{ReadLog, Sites};

use super::conform::conform;
use super::explain::Analysis;
use super::logical::Wanted;
use super::receipt::{Receipt, TableReceipt};
use super::tables::{ResolvedSnapshots, Resolving};
use super::temporary::TemporaryTable;
use super::views::Within;
use super::{Engine, PlanRequest, parameters, session};
use crate::access::Access;
use crate::error::without_files;
use crate::placement::PlacementPolicy;
use crate::scan::divided::{self, Division, DivisionLimits};
use crate::scan::{ScanContext, ScanSummary, scan_summaries};
use crate::settings::SessionSettings;
use crate::{PlannerError, Result};

/// Batches before they have the statement's schema.
type Batches = BoxStream<'static, datafusion::error::Result<RecordBatch>>;

/// A query that is planned once and runs at most once.
pub struct PlannedQuery {
    schema: SchemaRef,
    rows: Rows,
    log: ReadLog,
    tables: Vec<Arc<TableSnapshot>>,
    views: Vec<Pin>,
    temporary: TemporaryRead,
    access: Arc<Access>,
    /// What is said to be read where an error may not name files: none where it may.
    unnamed: Option<Arc<str>>,
    sites: Arc<Sites>,
    now_unix_ns: Option<i64>,
    started: AtomicBool,
}

/// The temporary tables that a query reads, and the session that has them.
#[derive(Debug, Clone, Default)]
pub(super) struct TemporaryRead {
    pub(super) tables: Vec<Arc<TemporaryTable>>,
    pub(super) session: Option<String>,
}

/// Where the rows come from.
pub(super) enum Rows {
    /// They are there already.
    Ready(Vec<RecordBatch>),
    /// A plan makes them.
    Plan {
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        ordered: bool,
        /// Whether each of its rows can be made apart from all others.
        divisible: bool,
    },
    /// EXPLAIN ANALYZE: a plan is run, and what it did is told.
    Analysis(Analysis),
}

impl std::fmt::Debug for PlannedQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedQuery")
            .field("schema", &self.schema)
            .field("pins", &self.pins())
            .finish_non_exhaustive()
    }
}

impl PlannedQuery {
    pub(super) fn of_rows(
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        access: Arc<Access>,
        sites: Arc<Sites>,
    ) -> Self {
        Self::new(
            schema,
            Rows::Ready(batches),
            ReadLog::new(),
            Vec::new(),
            access,
            sites,
        )
    }

    pub(super) fn new(
        schema: SchemaRef,
        rows: Rows,
        log: ReadLog,
        tables: Vec<Arc<TableSnapshot>>,
        access: Arc<Access>,
        sites: Arc<Sites>,
    ) -> Self {
        Self {
            schema,
            rows,
            log,
            tables,
            views: Vec::new(),
            temporary: TemporaryRead::default(),
            access,
            unnamed: None,
            sites,
            now_unix_ns: None,
            started: AtomicBool::new(false),
        }
    }

    /// The same, read through these versions of views.
    pub(super) fn through(self, views: Vec<Pin>) -> Self {
        Self { views, ..self }
    }

    /// The same, reading these tables of a session.
    pub(super) fn over(self, temporary: TemporaryRead) -> Self {
        Self { temporary, ..self }
    }

    /// Whether all that it reads is there for a session: temporary tables are for their own alone.
    pub fn is_for_session(&self, session: Option<&str>) -> bool {
        self.temporary.tables.is_empty() || self.temporary.session.as_deref() == session
    }

    fn table_receipts(&self) -> Vec<TableReceipt> {
        let tables = self.tables.iter().map(|table| TableReceipt::of(table));
        let temporary = self.temporary.tables.iter();
        let temporary = temporary.map(|table| TableReceipt::of_temporary(table.full_name()));
        tables.chain(temporary).collect()
    }

    /// The same, its errors naming no files where [`Physical::unnamed`] says so.
    pub(super) fn unnaming(self, unnamed: Option<Arc<str>>) -> Self {
        Self { unnamed, ..self }
    }

    /// What every batch has.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// What its asker might do when it was planned.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// The snapshots that it reads, sorted by table, the versions of the views that it reads them through, and the states of
    /// temporary tables: planning with them again reads the same.
    pub fn pins(&self) -> Vec<Pin> {
        let tables = self.tables.iter().map(|table| table.pin());
        let temporary = self.temporary.tables.iter().map(|table| table.pin());
        tables
            .chain(self.views.iter().cloned())
            .chain(temporary)
            .collect()
    }

    /// What it has read so far; counts go on while it runs.
    pub fn read_log(&self) -> &ReadLog {
        &self.log
    }

    /// What each scan was planned to read, and where.
    pub fn summaries(&self) -> Vec<ScanSummary> {
        match &self.rows {
            Rows::Ready(_) => Vec::new(),
            Rows::Plan { plan, .. } => scan_summaries(plan),
            Rows::Analysis(analysis) => scan_summaries(&analysis.plan),
        }
    }

    /// What its `now()` gives, in nanoseconds since 1970, where it has been planned with one.
    pub fn now_unix_ns(&self) -> Option<i64> {
        self.now_unix_ns
    }

    /// How many rows it gives, where that is known before it runs.
    pub fn rows_exact(&self) -> Option<u64> {
        let rows = match &self.rows {
            Rows::Ready(batches) => batches.iter().map(RecordBatch::num_rows).sum(),
            Rows::Plan { plan, .. } => match divided::rows(plan)? {
                Precision::Exact(rows) => rows,
                Precision::Inexact(_) | Precision::Absent => return None,
            },
            Rows::Analysis(_) => return None,
        };
        u64::try_from(rows).ok()
    }

    /// How its result should be divided into shares, each of which [`Self::execute_share`] gives; none where it is too
    /// small for that, or where its rows belong together: they are ordered, joined, aggregated, limited, or chance has a
    /// part in them.
    pub fn division(&self, limits: &DivisionLimits) -> Option<Division> {
        match &self.rows {
            Rows::Plan {
                plan,
                divisible: true,
                ..
            } => {
                let placed = scan_summaries(plan)
                    .into_iter()
                    .flat_map(|scan| scan.placed);
                let bytes = placed.map(|placed| placed.bytes).sum();
                let rows = divided::rows(plan).and_then(|rows| rows.get_value().copied());
                let rows = rows.and_then(|rows| u64::try_from(rows).ok());
                divided::divide(plan, (bytes, rows.unwrap_or_default()), limits)
            }
            _ => None,
        }
    }

    /// Whether the order of the rows matters, so that they must come in one stream.
    pub fn ordered(&self) -> bool {
        match &self.rows {
            Rows::Plan { ordered, .. } => *ordered,
            Rows::Ready(_) | Rows::Analysis(_) => true,
        }
    }

    /// What was read up to now, from where and at what price, and how old it was.
    pub fn receipt(&self) -> Receipt {
        Receipt::new(self.table_receipts(), &self.log, &self.sites)
    }

    /// Runs it: a stream of batches with exactly [`Self::schema`]. Dropping the stream cancels what it reads.
    ///
    /// # Errors
    /// `Internal` on the second call: a plan's operators keep state, and would give wrong rows.
    pub fn execute(&self) -> Result<SendableRecordBatchStream> {
        if self.started.swap(true, Ordering::AcqRel) {
            return Err(PlannerError::internal(
                "a plan runs once: plan the query again",
            ));
        }
        let stream = match &self.rows {
            Rows::Ready(batches) => stream::iter(batches.clone().into_iter().map(Ok)).boxed(),
            Rows::Plan { plan, context, .. } => self.stream(plan, context)?,
            Rows::Analysis(analysis) => {
                let analysis = analysis.clone();
                let (log, sites) = (self.log.clone(), Arc::clone(&self.sites));
                let tables = self.table_receipts();
                let told = async move { Ok(analysis.run(tables, &log, &sites).await?) };
                stream::once(told).boxed()
            }
        };
        Ok(self.conformed(stream))
    }

    /// Runs one share of it, numbered from zero: a stream as [`Self::execute`] gives. Each share may be run as often as
    /// its rows are wanted, beside others or not; all of them together are the result.
    ///
    /// # Errors
    /// `FailedPrecondition` when it isn't divided that way, as when other files are read than then.
    pub fn execute_share(
        &self,
        number: usize,
        division: &Division,
    ) -> Result<SendableRecordBatchStream> {
        match &self.rows {
            Rows::Plan {
                plan,
                context,
                divisible: true,
                ..
            } => {
                let share = divided::share(plan, number, division)?;
                Ok(self.conformed(self.stream(&share, context)?))
            }
            _ => Err(divided::other_division()),
        }
    }

    fn stream(&self, plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Batches> {
        let stream = execute_stream(Arc::clone(plan), Arc::clone(context));
        Ok(stream
            .map_err(|error| told(error, self.unnamed.as_deref()))?
            .boxed())
    }

    fn conformed(&self, stream: Batches) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let wanted = Arc::clone(&schema);
        let unnamed = self.unnamed.clone();
        let stream = stream.map_err(move |error| match &unnamed {
            Some(what) => without_files(&error, what).into(),
            None => error,
        });
        let conformed = stream.and_then(move |batch| {
            let conformed = conform(&batch, &wanted).map_err(Into::into);
            futures::future::ready(conformed)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, conformed))
    }
}

/// An error as who asked may hear it.
pub(super) fn told(error: DataFusionError, unnamed: Option<&str>) -> PlannerError {
    match unnamed {
        Some(what) => without_files(&error, &what),
        None => error.into(),
    }
}

/// A query with its physical plan, before it is decided what is done with it.
pub(super) struct Physical {
    pub(super) schema: SchemaRef,
    pub(super) logical: String,
    pub(super) optimized: String,
    pub(super) plan: Arc<dyn ExecutionPlan>,
    pub(super) context: Arc<TaskContext>,
    pub(super) ordered: bool,
    pub(super) divisible: bool,
    pub(super) now_unix_ns: Option<i64>,
    pub(super) log: ReadLog,
    pub(super) tables: Vec<Arc<TableSnapshot>>,
    pub(super) views: Vec<Pin>,
    pub(super) temporary: TemporaryRead,
    pub(super) access: Arc<Access>,
    /// Tables of which the asker sees only a part.
    pub(super) limited: BTreeSet<String>,
    /// What is said to be read where an error may not name files, as there are such tables.
    pub(super) unnamed: Option<Arc<str>>,
}

impl Engine {
    pub(super) async fn plan_rows(
        &self,
        query: Wanted<'_>,
        request: &PlanRequest<'_>,
    ) -> Result<PlannedQuery> {
        let physical = self.physical(query, request, false).await?;
        self.check_egress(&physical, request.settings)?;
        let rows = Rows::Plan {
            plan: physical.plan,
            context: physical.context,
            ordered: physical.ordered && !physical.divisible,
            divisible: physical.divisible,
        };
        let mut planned = PlannedQuery::new(
            physical.schema,
            rows,
            physical.log,
            physical.tables,
            physical.access,
            Arc::clone(&self.sites),
        )
        .through(physical.views)
        .over(physical.temporary)
        .unnaming(physical.unnamed);
        planned.now_unix_ns = physical.now_unix_ns;
        Ok(planned)
    }

    /// Refuses a query whose reads are estimated to cost more than they may, before any of them. Its metadata was read.
    pub(super) fn check_egress(
        &self,
        physical: &Physical,
        settings: &SessionSettings,
    ) -> Result<()> {
        let Some(usd_max) = settings.max_egress_usd else {
            return Ok(());
        };
        let scans = scan_summaries(&physical.plan);
        let estimate: f64 = scans.iter().map(|scan| scan.estimated_usd).sum();
        let spent = self.sites.cost_usd(&physical.log.snapshot());
        if estimate + spent <= usd_max {
            return Ok(());
        }
        Err(PlannerError::exhausted(format!(
            "the query's reads are estimated to cost {:.6} USD, and may cost {usd_max} USD (landfast.max_egress_usd): \
             EXPLAIN shows what would be read where; SET landfast.max_egress_usd to more, or to 'unlimited'",
            estimate + spent
        )))
    }

    /// Resolves, binds, plans and optimises; `telling` keeps the logical plans' texts.
    pub(super) async fn physical(
        &self,
        query: Wanted<'_>,
        request: &PlanRequest<'_>,
        telling: bool,
    ) -> Result<Physical> {
        let log = ReadLog::within(request.settings.max_egress_usd);
        let access = self.access(request.asker);
        let temporary = self.temporary_of(request.asker);
        let how = Resolving {
            settings: request.settings,
            access: &access,
            pins: request.pins,
            log: &log,
            resolved: &ResolvedSnapshots::default(),
            within: Within::default(),
            temporary: &temporary,
        };
        let bound = self.bind_wanted(query, how).await?;
        let state = session::for_query(&self.template, request.settings, request.now_unix_ns);
        let started = state.execution_props().query_execution_start_time;
        let scan = Arc::new(ScanContext {
            sites: Arc::clone(&self.sites),
            footers: Arc::clone(&self.footers),
            deletes: Arc::clone(&self.deletes),
            placement: PlacementPolicy {
                mode: request.settings.placement.clone(),
                seconds_per_usd: self.seconds_per_usd,
            },
            sort_orders: request.settings.use_sort_orders,
            log: log.clone(),
            // The time that the query's own now() gives.
            now_unix_ms: started.map_or(0, |started| started.timestamp_millis()),
            first_listing_wait: Self::first_listing_wait(),
        });
        let distinct = bound.distinct();
        let made = try_join_all(distinct.iter().map(|table| {
            let extended = bound.is_extended(table);
            self.provider(table, extended, request.asker, &scan, &state)
        }))
        .await?;
        let providers = bound.providers(&made);
        let mut tables: Vec<Arc<TableSnapshot>> = distinct
            .iter()
            .flat_map(|table| table.snapshots())
            .collect();
        let limited: BTreeSet<String> = distinct
            .iter()
            .flat_map(|table| table.limited_names())
            .collect();
        tables.sort_by(|a, b| (&a.name, &a.as_of).cmp(&(&b.name, &b.as_of)));
        tables.dedup_by(|a, b| a.name == b.name && a.as_of == b.as_of);
        let views = distinct.iter().flat_map(|table| table.view_pins());
        let mut views: Vec<Pin> = views.collect();
        views.sort_by(|a, b| a.table.cmp(&b.table));
        views.dedup();
        let temporary = TemporaryRead {
            tables: distinct
                .iter()
                .filter_map(|table| table.temporary().cloned())
                .collect(),
            session: request.asker.session.clone(),
        };
        let logical = self.logical(
            state,
            &bound,
            providers,
            request.statement.parameters,
            request.settings.wire_types,
        )?;
        let unnamed = unnamed(&limited, tables.len());
        let told = |error| told(error, unnamed.as_deref());
        let values = parameters::bound(request.parameters, &logical.parameters)?;
        let plan = if logical.parameters.is_empty() {
            logical.plan
        } else {
            logical.plan.replace_params_with_values(&values)?
        };
        let state = logical.state;
        let one_by_one = !divided::asks_for_order_or_chance(&plan)?;
        let optimized = state.optimize(&plan).map_err(told)?;
        let physical = state
            .query_planner()
            .create_physical_plan(&optimized, &state)
            .await
            .map_err(told)?;
        Ok(Physical {
            schema: logical.schema,
            logical: if telling {
                plan.display_indent().to_string()
            } else {
                String::new()
            },
            optimized: if telling {
                optimized.display_indent().to_string()
            } else {
                String::new()
            },
            ordered: physical.properties().output_ordering().is_some(),
            divisible: one_by_one && divided::is_divisible(&physical),
            now_unix_ns: started.and_then(|started| started.timestamp_nanos_opt()),
            plan: physical,
            context: state.task_ctx(),
            log,
            tables,
            views,
            temporary,
            access,
            limited,
            unnamed,
        })
    }
}

/// What errors of a query are said to be of that reads tables of which the asker sees a part: of the table, or of
/// whichever it was.
fn unnamed(limited: &BTreeSet<String>, tables: usize) -> Option<Arc<str>> {
    let first = limited.first()?;
    Some(match tables {
        1 => Arc::from(first.as_str()),
        _ => Arc::from("a table that the query reads"),
    })
}

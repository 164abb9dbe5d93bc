//! EXPLAIN: which snapshots and files a query would read, and where; with ANALYZE, what it really read.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as EngineResult, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, displayable, execute_stream,
};
use datafusion::sql::sqlparser::ast::Query;
use futures::TryStreamExt;
use landfast_sites::{ReadLog, Sites};

use super::logical::Wanted;
use super::planned::{Rows, told};
use super::receipt::{Receipt, TableReceipt};
use super::{Engine, PlanRequest, PlannedQuery};
use crate::Result;
use crate::scan::{scan_summaries, scanned_table};
use crate::sql::same_names;

/// The columns of EXPLAIN, as DataFusion has them.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("plan_type", DataType::Utf8, false),
        Field::new("plan", DataType::Utf8, false),
    ]))
}

/// A query to run, and to tell of.
#[derive(Debug, Clone)]
pub(super) struct Analysis {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    verbose: bool,
    limited: BTreeSet<String>,
    unnamed: Option<Arc<str>>,
}

impl Analysis {
    /// Runs the query, throws its rows away, and tells what it did.
    pub(super) async fn run(
        self,
        tables: Vec<TableReceipt>,
        log: &ReadLog,
        sites: &Sites,
    ) -> Result<RecordBatch> {
        let told = |error| told(error, self.unnamed.as_deref());
        let mut stream = execute_stream(Arc::clone(&self.plan), self.context).map_err(told)?;
        let (mut rows, mut batches) = (0_u64, 0_u64);
        while let Some(batch) = stream.try_next().await.map_err(told)? {
            rows += batch.num_rows() as u64;
            batches += 1;
        }
        let plan = for_display(&self.plan, &self.limited)?;
        let mut told = vec![("scans", scans(&self.plan, &self.limited))];
        told.push(("reads", Receipt::new(tables, log, sites).to_string()));
        told.push(("rows", format!("rows={rows}, batches={batches}")));
        let display = if self.verbose {
            DisplayableExecutionPlan::with_full_metrics(plan.as_ref())
        } else {
            DisplayableExecutionPlan::with_metrics(plan.as_ref())
        };
        told.push((
            "plan with metrics",
            display.indent(self.verbose).to_string(),
        ));
        batch(told)
    }
}

impl Engine {
    pub(super) async fn plan_explain(
        &self,
        query: &Query,
        analyze: bool,
        verbose: bool,
        request: &PlanRequest<'_>,
    ) -> Result<PlannedQuery> {
        let physical = self.physical(Wanted::Sql(query), request, true).await?;
        let unnamed = physical.unnamed.clone();
        let rows = if analyze {
            self.check_egress(&physical, request.settings)?;
            Rows::Analysis(Analysis {
                plan: physical.plan,
                context: physical.context,
                verbose,
                limited: physical.limited,
                unnamed: physical.unnamed,
            })
        } else {
            let plan = for_display(&physical.plan, &physical.limited)?;
            let mut told = vec![("scans", scans(&physical.plan, &physical.limited))];
            if verbose {
                told.push(("initial_logical_plan", physical.logical));
            }
            told.push(("logical_plan", physical.optimized));
            told.push((
                "physical_plan",
                displayable(plan.as_ref()).indent(verbose).to_string(),
            ));
            Rows::Ready(vec![batch(told)?])
        };
        Ok(PlannedQuery::new(
            schema(),
            rows,
            physical.log,
            physical.tables,
            physical.access,
            Arc::clone(&self.sites),
        )
        .through(physical.views)
        .over(physical.temporary)
        .unnaming(unnamed))
    }
}

/// One line per scan: the snapshot and its age, files and bytes per site, what was pruned. Of a table that the asker sees
/// only a part of, the line says no more than that.
fn scans(plan: &Arc<dyn ExecutionPlan>, limited: &BTreeSet<String>) -> String {
    let lines: Vec<String> = scan_summaries(plan)
        .iter()
        .map(|scan| match limited.contains(&scan.table) {
            true => format!(
                "table={}: its files are told of to who may read all of it",
                scan.table
            ),
            false => scan.to_string(),
        })
        .collect();
    if lines.is_empty() {
        "no table of the lake is read".to_string()
    } else {
        lines.join("\n")
    }
}

/// The plan as its asker may see it: without the files of tables that they see only a part of.
fn for_display(
    plan: &Arc<dyn ExecutionPlan>,
    limited: &BTreeSet<String>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if limited.is_empty() {
        return Ok(Arc::clone(plan));
    }
    let hidden = Arc::clone(plan).transform_up(|node| {
        let table = scanned_table(&node).filter(|table| limited.contains(*table));
        let Some(table) = table.map(ToString::to_string) else {
            return Ok(Transformed::no(node));
        };
        let shown = HiddenScan { table, scan: node };
        Ok(Transformed::yes(Arc::new(shown) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(hidden.data)
}

/// A scan of which only the table is shown. It stands in plans that are shown and never run.
#[derive(Debug)]
struct HiddenScan {
    table: String,
    scan: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for HiddenScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scan: table={}", self.table)
    }
}

impl ExecutionPlan for HiddenScan {
    fn name(&self) -> &str {
        "HiddenScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> EngineResult<SendableRecordBatchStream> {
        internal_err!("a scan that is only shown is not run")
    }
}

fn batch(told: Vec<(&str, String)>) -> Result<RecordBatch> {
    let types: StringArray = told.iter().map(|(of, _)| Some(*of)).collect();
    let plans: StringArray = told
        .iter()
        .map(|(_, text)| Some(same_names::shown_within(text)))
        .collect();
    Ok(RecordBatch::try_new(
        schema(),
        vec![Arc::new(types), Arc::new(plans)],
    )?)
}

//! EXPLAIN: which snapshots and files a query would read, and where; with ANALYZE, what it really read.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::sql::sqlparser::ast::Query;
use futures::TryStreamExt;
use landfast_sites::{ReadLog, Sites};

use super::planned::Rows;
use super::receipt::{Receipt, TableReceipt};
use super::{Engine, PlanRequest, PlannedQuery};
use crate::Result;
use crate::scan::scan_summaries;

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
}

impl Analysis {
    /// Runs the query, throws its rows away, and tells what it did.
    pub(super) async fn run(
        self,
        tables: Vec<TableReceipt>,
        log: &ReadLog,
        sites: &Sites,
    ) -> Result<RecordBatch> {
        let mut stream = execute_stream(Arc::clone(&self.plan), self.context)?;
        let (mut rows, mut batches) = (0_u64, 0_u64);
        while let Some(batch) = stream.try_next().await? {
            rows += batch.num_rows() as u64;
            batches += 1;
        }
        let mut told = vec![("scans", scans(&self.plan))];
        told.push(("reads", Receipt::new(tables, log, sites).to_string()));
        told.push(("rows", format!("rows={rows}, batches={batches}")));
        let display = if self.verbose {
            DisplayableExecutionPlan::with_full_metrics(self.plan.as_ref())
        } else {
            DisplayableExecutionPlan::with_metrics(self.plan.as_ref())
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
        let physical = self.physical(query, request, true).await?;
        let rows = if analyze {
            self.check_egress(&physical, request.settings)?;
            Rows::Analysis(Analysis {
                plan: physical.plan,
                context: physical.context,
                verbose,
            })
        } else {
            let mut told = vec![("scans", scans(&physical.plan))];
            if verbose {
                told.push(("initial_logical_plan", physical.logical));
            }
            told.push(("logical_plan", physical.optimized));
            told.push((
                "physical_plan",
                displayable(physical.plan.as_ref())
                    .indent(verbose)
                    .to_string(),
            ));
            Rows::Ready(vec![batch(told)?])
        };
        Ok(PlannedQuery::new(
            schema(),
            rows,
            physical.log,
            physical.tables,
            Arc::clone(&self.sites),
        )
        .through(physical.views))
    }
}

/// One line per scan: the snapshot and its age, files and bytes per site, what was pruned.
fn scans(plan: &Arc<dyn ExecutionPlan>) -> String {
    let lines: Vec<String> = scan_summaries(plan)
        .iter()
        .map(ToString::to_string)
        .collect();
    if lines.is_empty() {
        "no table of the lake is read".to_string()
    } else {
        lines.join("\n")
    }
}

fn batch(told: Vec<(&str, String)>) -> Result<RecordBatch> {
    let types: StringArray = told.iter().map(|(of, _)| Some(*of)).collect();
    let plans: StringArray = told.iter().map(|(_, text)| Some(text.as_str())).collect();
    Ok(RecordBatch::try_new(
        schema(),
        vec![Arc::new(types), Arc::new(plans)],
    )?)
}

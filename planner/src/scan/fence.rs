//! The fence between a table whose rows are filtered by policy and everything that a user writes.
//!
//! A user's expressions can fail, take time or be counted, and so tell of the rows that they are evaluated on. So the
//! filter of the policy is a plan of its own, optimised by itself, and what comes out of it is a source like any other:
//! - no predicate, no join's keys and no projection of the statement gets past the fence, only the columns it needs, how
//!   many rows are enough, and plain conditions where they tell of no hidden row ([`super::conditions`]);
//! - nothing of what is behind shows: no statistics, no ordering, no operators in EXPLAIN, no metric but the rows that
//!   came out;
//! - no setting of the session gets past it either: the filter means the same whoever asks;
//! - an error from behind says that there was one, and not what the value was that it stumbled on.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DataFusionError, Result, internal_err};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown,
};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::StreamExt;
use landfast_catalog::TableName;

use super::conditions::{may_pass, of_partitions, passed};
use crate::error::silent;

/// A table's rows and columns as a policy gives them.
#[derive(Debug)]
pub(crate) struct FencedTable {
    table: TableName,
    plan: LogicalPlan,
    /// What the plan was made with, and is optimised with: the policy's own.
    state: SessionState,
    /// The policy's filters, where they take or leave whole partitions.
    of_partitions: OnceLock<Option<Vec<Expr>>>,
}

impl FencedTable {
    /// What the policy gives of a table, as a plan.
    pub(crate) fn new(table: TableName, plan: LogicalPlan, state: SessionState) -> Self {
        Self {
            table,
            plan,
            state,
            of_partitions: OnceLock::new(),
        }
    }

    /// The policy's filters, if any condition may get past the fence, and which of these may.
    fn passing<'a>(&self, conditions: &[&'a Expr]) -> Option<(&[Expr], Vec<&'a Expr>)> {
        let passing = conditions
            .iter()
            .copied()
            .filter(|condition| may_pass(condition, &self.plan));
        let passing: Vec<&Expr> = passing.collect();
        if passing.is_empty() {
            return None;
        }
        let filters = self
            .of_partitions
            .get_or_init(|| of_partitions(&self.plan, &self.state));
        Some((filters.as_deref()?, passing))
    }
}

#[async_trait]
impl TableProvider for FencedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.plan.schema().inner())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Nothing is taken but to leave out files: see the module.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let passing = self.passing(filters).map(|(_, passing)| passing);
        let passing = passing.unwrap_or_default();
        let answers = filters.iter().map(|filter| match passing.contains(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        });
        Ok(answers.collect())
    }

    /// The session has no say: see the module.
    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let filters: Vec<&Expr> = filters.iter().collect();
        let plan = match self.passing(&filters) {
            Some((policys, passing)) => passed(&self.plan, &passing, policys)?,
            None => self.plan.clone(),
        };
        let mut plan = LogicalPlanBuilder::from(plan);
        if let Some(projection) = projection {
            let columns = projection
                .iter()
                .map(|at| Expr::Column(Column::from(self.plan.schema().qualified_field(*at))));
            plan = plan.project(columns.collect::<Vec<_>>())?;
        }
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        let behind = self
            .state
            .create_physical_plan(&plan.build()?)
            .await
            .map_err(|error| silenced(&self.table, &error))?;
        Ok(Arc::new(Fence::new(self.table.clone(), behind)))
    }
}

/// Hands on the rows of a plan that nobody else sees.
#[derive(Debug)]
pub(super) struct Fence {
    table: TableName,
    behind: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl Fence {
    fn new(table: TableName, behind: Arc<dyn ExecutionPlan>) -> Self {
        let known = behind.properties();
        let streams = known.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(behind.schema()),
            Partitioning::UnknownPartitioning(streams),
            known.emission_type,
            known.boundedness,
        );
        Self {
            table,
            behind,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The plan behind it, for those who count what all of it reads.
    pub(super) fn behind(&self) -> &Arc<dyn ExecutionPlan> {
        &self.behind
    }
}

impl DisplayAs for Fence {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fence: table={}", self.table)
    }
}

impl ExecutionPlan for Fence {
    fn name(&self) -> &str {
        "Fence"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// None: no rule of the optimiser may look behind.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("a fence has no children"),
        }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let behind = reset_plan_states(Arc::clone(&self.behind))?;
        Ok(Arc::new(Self::new(self.table.clone(), behind)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let table = self.table.clone();
        let stream = self
            .behind
            .execute(partition, context)
            .map_err(|error| silenced(&table, &error))?;
        let rows = MetricBuilder::new(&self.metrics).output_rows(partition);
        let stream = stream.map(move |batch| match batch {
            Ok(batch) => {
                rows.add(batch.num_rows());
                Ok(batch)
            }
            Err(error) => Err(silenced(&table, &error)),
        });
        let schema = self.behind.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// An error from behind the fence, without what it says of rows and files.
fn silenced(table: &TableName, error: &DataFusionError) -> DataFusionError {
    silent(error, table).into()
}

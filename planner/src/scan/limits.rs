//! [`LimitsHold`]: limits that nothing from above gets past.
//!
//! DataFusion moves a limit into the scan, filter or join whose rows it counts. That node then still passes on what is
//! asked from above it: dynamic filters of joins and TopK, and orders that a TopK would like. Below a limit they change
//! *which* rows it counts, and so the result: of the first hundred rows by `n`, those with the least `v` are other rows
//! than the first hundred of those whose `v` is small. A limit that stands alone passes nothing on.
//!
//! And a scan that is given a limit forgets that its rows are in order: its streams then take files from one another, and
//! some reach the limit before they have read what comes first.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::summary::lake_scan;

/// Puts a limit that stands alone above each limit within a node, where something further up may ask for less than all
/// rows, or for another order; and has scans that give an order keep it.
#[derive(Debug, Default)]
pub(super) struct LimitsHold;

impl PhysicalOptimizerRule for LimitsHold {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        held(plan, false)
    }

    fn name(&self) -> &str {
        "LimitsHold"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `asked` says whether something above may ask for less, or for another order.
fn held(plan: Arc<dyn ExecutionPlan>, asked: bool) -> Result<Arc<dyn ExecutionPlan>> {
    let below = asked || !asks_nothing(&plan);
    let children = plan.children().into_iter();
    let children: Vec<_> = children
        .map(|child| held(Arc::clone(child), below))
        .collect::<Result<_>>()?;
    let plan = in_its_order(replace_children_if_necessary(plan, children)?);
    Ok(match plan.fetch() {
        Some(fetch) if asked && !stands_alone(&plan) => Arc::new(LocalLimitExec::new(plan, fetch)),
        _ => plan,
    })
}

/// A scan that keeps the order that it says its rows are in; any other node as it is.
fn in_its_order(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match lake_scan(&plan) {
        Some((scan, _)) if !scan.output_ordering.is_empty() && !scan.preserve_order => {
            plan.with_preserve_order(true).unwrap_or(plan)
        }
        _ => plan,
    }
}

/// Nodes that have no dynamic filter and like no order. A filter's own condition went down before limits did.
fn asks_nothing(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<ProjectionExec>()
        || plan.is::<FilterExec>()
        || plan.is::<UnionExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<LocalLimitExec>()
}

/// Nodes that pass nothing on once they have a limit.
fn stands_alone(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<GlobalLimitExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
}

//! [`SortedScans`]: scans in the order that something above them asks for.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, LexRequirement};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary,
};
use datafusion_datasource::PartitionedFile;
use datafusion_datasource::file_groups::FileGroup;
use datafusion_datasource::file_scan_config::{FileScanConfig, FileScanConfigBuilder};
use datafusion_datasource::source::DataSourceExec;

use super::chains::{STREAMS_MAX, Stretch, chain};
use crate::scan::source::LakeParquetSource;

/// Scans of more files are left as they are: so many that follow each other are rare, and looking costs time.
const FILES_MAX: usize = 10_000;

/// Where something asks for rows in the order in which their files have them, has the scan give them so. What the scan
/// then promises, the rules that follow make use of: no sort is left where none is needed.
#[derive(Debug, Default)]
pub(in crate::scan) struct SortedScans;

impl PhysicalOptimizerRule for SortedScans {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let streams = config.execution.target_partitions;
        plan.transform_down(|node| {
            let wanted = wanted_orders(&node);
            let mut children: Vec<_> = node.children().into_iter().map(Arc::clone).collect();
            let mut changed = false;
            for (child, wanted) in children.iter_mut().zip(wanted) {
                let Some(wanted) = wanted else { continue };
                if let Some(sorted) = in_order(child, &wanted, streams)? {
                    *child = sorted;
                    changed = true;
                }
            }
            if !changed {
                return Ok(Transformed::no(node));
            }
            Ok(Transformed::yes(replace_children_if_necessary(
                node, children,
            )?))
        })
        .data()
    }

    fn name(&self) -> &str {
        "SortedScans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The orders that a node wants its children in, or brings them into.
fn wanted_orders(node: &Arc<dyn ExecutionPlan>) -> Vec<Option<LexRequirement>> {
    if let Some(sort) = node.downcast_ref::<SortExec>() {
        return vec![Some(LexRequirement::from(sort.expr().clone()))];
    }
    let wanted = node.required_input_ordering().into_iter();
    wanted
        .map(|wanted| wanted.map(|wanted| wanted.first().clone()))
        .collect()
}

/// The same plan over a sorted scan, if that gives what is wanted and the plan itself doesn't.
fn in_order(
    plan: &Arc<dyn ExecutionPlan>,
    wanted: &LexRequirement,
    streams: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let satisfies = |plan: &Arc<dyn ExecutionPlan>| {
        let known = plan.equivalence_properties();
        known.ordering_satisfy_requirement(wanted.iter().cloned())
    };
    let Some((scan, ordering)) = sorted_scan_below(plan) else {
        return Ok(None);
    };
    if satisfies(plan)? {
        return Ok(None);
    }
    // What isn't known of a later column is no reason to do without the earlier ones.
    for keys in (1..=ordering.len()).rev() {
        let prefix = LexOrdering::new(ordering.iter().take(keys).cloned());
        let Some(sorted) = prefix.and_then(|ordering| sorted(scan, ordering, streams)) else {
            return Ok(None);
        };
        let sorted: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(sorted);
        let plan = over(plan, sorted)?;
        if satisfies(&plan)? {
            return Ok(Some(plan));
        }
    }
    Ok(None)
}

/// The scan that a plan's rows come from in its own order, and the order of its files.
fn sorted_scan_below(plan: &Arc<dyn ExecutionPlan>) -> Option<(&FileScanConfig, &LexOrdering)> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
        let source = config.file_source().downcast_ref::<LakeParquetSource>()?;
        return Some((config, source.order()?));
    }
    match (
        plan.children().as_slice(),
        plan.maintains_input_order().as_slice(),
    ) {
        ([only], [true]) if !plan.is::<SortExec>() => sorted_scan_below(only),
        _ => None,
    }
}

/// A plan of nodes with one child each, over another leaf.
fn over(
    plan: &Arc<dyn ExecutionPlan>,
    leaf: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    match plan.children().as_slice() {
        [only] => {
            let child = over(only, leaf)?;
            replace_children_if_necessary(Arc::clone(plan), vec![child])
        }
        _ => Ok(leaf),
    }
}

/// The scan with its files dealt to streams that are in order.
fn sorted(scan: &FileScanConfig, ordering: LexOrdering, streams: usize) -> Option<FileScanConfig> {
    let parts = scan.file_groups.iter().map(FileGroup::len);
    if parts.sum::<usize>() > FILES_MAX {
        return None;
    }
    let cut = scan.file_groups.iter().flat_map(FileGroup::iter);
    let groups = dealt(cut.cloned(), &ordering, streams).or_else(|| {
        // Parts of one file overlap, as far as anybody knows: perhaps there are few enough files. Each that is listed, be
        // it twice, has one part that begins where it begins.
        let parts = scan.file_groups.iter().flat_map(FileGroup::iter);
        let first = |part: &&PartitionedFile| part.range.as_ref().is_none_or(|at| at.start == 0);
        let whole = parts.filter(first).map(|part| {
            let mut whole = part.clone();
            whole.range = None;
            whole
        });
        dealt(whole, &ordering, streams)
    });
    let mut groups = groups?;
    let source = scan.file_source().downcast_ref::<LakeParquetSource>()?;
    let source = source.claiming(ordering.clone());
    // Where there are fewer streams than threads, rows would be dealt to more of them, and lose their order.
    groups.resize_with(groups.len().max(streams), || FileGroup::new(Vec::new()));
    Some(
        FileScanConfigBuilder::from(scan.clone())
            .with_source(Arc::new(source))
            .with_file_groups(groups)
            .with_output_ordering(vec![ordering])
            .build(),
    )
}

fn dealt(
    parts: impl Iterator<Item = PartitionedFile>,
    ordering: &LexOrdering,
    streams: usize,
) -> Option<Vec<FileGroup>> {
    let first = ordering.first();
    let descending = first.options.descending;
    let at = first.expr.downcast_ref::<Column>()?.index();
    let stretches = parts.map(|part| Stretch {
        bytes: part.effective_size(),
        ends: ends(&part, at, descending),
        part,
    });
    let compare = |a: &ScalarValue, b: &ScalarValue| {
        let ascending = a.partial_cmp(b);
        if descending {
            ascending.map(Ordering::reverse)
        } else {
            ascending
        }
    };
    let touch = ordering.len() == 1;
    let streams_max = STREAMS_MAX.max(streams);
    let chains = chain(stretches.collect(), streams, streams_max, touch, compare)?;
    Some(chains.into_iter().map(FileGroup::new).collect())
}

/// Between which values of a column a file's rows are, where that is known and none is null.
fn ends(file: &PartitionedFile, at: usize, descending: bool) -> Option<(ScalarValue, ScalarValue)> {
    let known = file.statistics.as_ref()?.column_statistics.get(at)?;
    if known.null_count != Precision::Exact(0) {
        return None;
    }
    let (lower, upper) = (known.min_value.get_value()?, known.max_value.get_value()?);
    let (first, last) = if descending {
        (upper, lower)
    } else {
        (lower, upper)
    };
    Some((first.clone(), last.clone()))
}

//! Filters that joins and TopK tighten while a query runs, as they are when a file is opened.

use std::sync::{Arc, OnceLock};

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::expressions::{DynamicFilterTracking, InListExpr, Literal};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use datafusion::physical_plan::joins::HashTableLookupExpr;

use super::long_list::LongList;
use super::{Filter, is_long};

/// A filter that may say more when a file is opened than when the scan was planned.
#[derive(Debug)]
pub(super) struct Dynamic {
    filter: Filter,
    /// What it says once it doesn't change any longer.
    settled: OnceLock<Now>,
}

/// What a filter says at this moment.
#[derive(Debug, Clone)]
pub(super) struct Now {
    /// To prune by, and to evaluate. As long as the filter may change it is the filter itself, which may say more by the
    /// time that rows are read.
    pub(super) filter: Filter,
    /// Whether it says something, or still may, and says it without a large hash table.
    pub(super) worth_evaluating: bool,
}

impl Dynamic {
    pub(super) fn new(filter: &Filter) -> Self {
        Self {
            filter: Arc::clone(filter),
            settled: OnceLock::new(),
        }
    }

    /// The filter as it was pushed down.
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What it says right now. What it says in the end is worked out once: a join's list of keys may be long.
    pub(super) fn now(&self) -> Result<Now> {
        if let Some(now) = self.settled.get() {
            return Ok(now.clone());
        }
        // Asked before its value is taken, which then is the last one.
        let settled = !matches!(
            DynamicFilterTracking::classify(&self.filter),
            DynamicFilterTracking::Watching(_)
        );
        let value = snapshot_physical_expr(Arc::clone(&self.filter))?;
        let says_nothing = settled && value.is::<Literal>();
        let worth_evaluating = !says_nothing && !has_large_hash_table(&value)?;
        if !settled {
            return Ok(Now {
                filter: Arc::clone(&self.filter),
                worth_evaluating,
            });
        }
        let now = Now {
            filter: with_long_lists(value)?,
            worth_evaluating,
        };
        Ok(self.settled.get_or_init(|| now).clone())
    }
}

fn has_large_hash_table(filter: &Filter) -> Result<bool> {
    filter.exists(|node| Ok(node.is::<HashTableLookupExpr>()))
}

/// The filter with its long lists as expressions whose values nobody walks over.
fn with_long_lists(filter: Filter) -> Result<Filter> {
    let hidden = filter.transform_down(|node| {
        let list = node.downcast_ref::<InListExpr>();
        Ok(match list.filter(|list| is_long(list)) {
            Some(list) => {
                let hidden: Filter = Arc::new(LongList::new(list.expr(), &node));
                Transformed::new(hidden, true, TreeNodeRecursion::Jump)
            }
            None => Transformed::no(node),
        })
    })?;
    Ok(hidden.data)
}

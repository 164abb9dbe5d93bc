//! How many distinct values columns have, as writers estimated it: table metadata repeats what the sketches of its Puffin
//! files say, so none of these files is read.

use std::collections::HashMap;

use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use iceberg::spec::{Schema, StatisticsFile, TableMetadata};
use landfast_catalog::WantedColumn;

/// A Theta sketch of one column's values that aren't null.
const SKETCH: &str = "apache-datasketches-theta-v1";
/// The sketch's estimate.
const NDV: &str = "ndv";
/// How far back statistics are looked for. Few tables keep more snapshots, and older counts say little.
const SNAPSHOTS_MAX: usize = 1000;

/// Estimates of how many distinct values columns have, by field id.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DistinctCounts(HashMap<i32, usize>);

impl DistinctCounts {
    /// Those of a snapshot, or else of its nearest ancestor that has any. Statistics of what isn't an ancestor may be of
    /// other rows altogether.
    pub(super) fn of(metadata: &TableMetadata, snapshot_id: Option<i64>) -> Self {
        if metadata.statistics_iter().len() == 0 {
            return Self::default();
        }
        let parent = |id: &i64| metadata.snapshot_by_id(*id)?.parent_snapshot_id();
        std::iter::successors(snapshot_id, parent)
            .take(SNAPSHOTS_MAX)
            .filter_map(|id| metadata.statistics_for_snapshot(id))
            .map(Self::recorded)
            .find(|counts| !counts.0.is_empty())
            .unwrap_or_default()
    }

    fn recorded(file: &StatisticsFile) -> Self {
        let counts = file.blob_metadata.iter().filter_map(|blob| {
            let [field_id] = blob.fields[..] else {
                return None;
            };
            let count = blob.properties.get(NDV)?.parse().ok()?;
            (blob.r#type == SKETCH).then_some((field_id, count))
        });
        Self(counts.collect())
    }

    /// Adds the counts of the wanted columns to a scan's statistics. They are estimates, never more than the scan has
    /// rows.
    pub(super) fn add_to(
        &self,
        statistics: &mut Statistics,
        schema: &Schema,
        wanted: &[WantedColumn],
    ) {
        let most = statistics.num_rows.get_value().copied();
        let fields = schema.as_struct().fields();
        for (field, column) in fields.iter().zip(&mut statistics.column_statistics) {
            let known = self.0.get(&field.id);
            if let Some(count) = known.filter(|_| wanted.iter().any(|(id, _)| *id == field.id)) {
                let count = most.map_or(*count, |most| most.min(*count));
                column.distinct_count = Precision::Inexact(count);
            }
        }
    }
}

#[cfg(test)]
impl<const N: usize> From<[(i32, usize); N]> for DistinctCounts {
    fn from(counts: [(i32, usize); N]) -> Self {
        Self(counts.into())
    }
}

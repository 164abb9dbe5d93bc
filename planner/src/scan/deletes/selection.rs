//! Deleted positions of a file as what its row groups are read of.

use std::ops::Range;

use datafusion_datasource_parquet::{ParquetAccessPlan, RowGroupAccess};
use parquet::arrow::arrow_reader::RowSelection;
use parquet::file::metadata::RowGroupMetaData;
use roaring::RoaringTreemap;

/// `plan` without the deleted rows. Positions count from the file's first row, over all its row groups; those past its
/// last row delete nothing.
pub(in crate::scan) fn without(
    deleted: &RoaringTreemap,
    mut plan: ParquetAccessPlan,
    groups: &[RowGroupMetaData],
) -> ParquetAccessPlan {
    let mut first = 0_u64;
    for (at, group) in groups.iter().enumerate() {
        let rows = u64::try_from(group.num_rows()).unwrap_or_default();
        let positions = first..first + rows;
        first += rows;
        if !plan.should_scan(at) {
            continue;
        }
        match deleted.range_cardinality(positions.clone()) {
            0 => {}
            gone if gone == rows => plan.set(at, RowGroupAccess::Skip),
            _ => plan.scan_selection(at, kept(deleted, positions)),
        }
    }
    plan
}

/// The rows of one row group that are not deleted.
fn kept(deleted: &RoaringTreemap, positions: Range<u64>) -> RowSelection {
    let mut gone = deleted.iter();
    gone.advance_to(positions.start);
    let mut gone = gone.take_while(|at| *at < positions.end);
    let mut from = positions.start;
    let ranges = std::iter::from_fn(|| {
        while from < positions.end {
            let to = gone.next().unwrap_or(positions.end);
            let range = from..to;
            from = to + 1;
            if !range.is_empty() {
                return Some(offset(range.start, &positions)..offset(range.end, &positions));
            }
        }
        None
    });
    let rows = offset(positions.end, &positions);
    RowSelection::from_consecutive_ranges(ranges, rows)
}

/// A row group has fewer rows than memory has bytes.
fn offset(position: u64, within: &Range<u64>) -> usize {
    usize::try_from(position - within.start).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::file::metadata::ColumnChunkMetaData;
    use parquet::schema::types::{SchemaDescriptor, Type};
    use proptest::prelude::*;

    use super::*;

    fn groups(rows: &[i64]) -> Vec<RowGroupMetaData> {
        let leaf = Type::primitive_type_builder("n", parquet::basic::Type::INT64)
            .build()
            .unwrap();
        let root = Type::group_type_builder("root")
            .with_fields(vec![Arc::new(leaf)])
            .build()
            .unwrap();
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
        let group = |rows: &i64| {
            let column = ColumnChunkMetaData::builder(schema.column(0))
                .build()
                .unwrap();
            RowGroupMetaData::builder(Arc::clone(&schema))
                .set_num_rows(*rows)
                .add_column_metadata(column)
                .build()
                .unwrap()
        };
        rows.iter().map(group).collect()
    }

    /// The positions that a plan reads.
    fn read(plan: &ParquetAccessPlan, rows: &[i64]) -> Vec<u64> {
        let mut first = 0;
        let mut read = Vec::new();
        for (access, rows) in plan.inner().iter().zip(rows) {
            let rows = *rows as u64;
            match access {
                RowGroupAccess::Skip => {}
                RowGroupAccess::Scan => read.extend(first..first + rows),
                RowGroupAccess::Selection(selection) => {
                    let mut at = first;
                    for part in selection.iter() {
                        let next = at + part.row_count as u64;
                        if !part.skip {
                            read.extend(at..next);
                        }
                        at = next;
                    }
                    assert_eq!(at, first + rows, "a selection covers its row group");
                }
            }
            first += rows;
        }
        read
    }

    #[test]
    fn a_row_group_without_deletes_is_read_whole_and_one_with_nothing_left_is_not_read() {
        let rows = [3, 2, 4];
        let deleted = RoaringTreemap::from_iter([3, 4, 6, 100]);
        let plan = without(&deleted, ParquetAccessPlan::new_all(3), &groups(&rows));
        assert_eq!(plan.inner()[0], RowGroupAccess::Scan);
        assert_eq!(plan.inner()[1], RowGroupAccess::Skip);
        assert_eq!(read(&plan, &rows), [0, 1, 2, 5, 7, 8]);
    }

    proptest! {
        #[test]
        fn exactly_the_rows_that_are_not_deleted_are_read(
            rows in proptest::collection::vec(0_i64..40, 0..6),
            deleted in proptest::collection::btree_set(0_u64..220, 0..120),
            pruned in proptest::collection::vec(any::<bool>(), 6),
        ) {
            let mut plan = ParquetAccessPlan::new_all(rows.len());
            for (at, _) in pruned.iter().enumerate().take(rows.len()).filter(|(_, pruned)| **pruned) {
                plan.skip(at);
            }
            let before = read(&plan, &rows);
            let bitmap: RoaringTreemap = deleted.iter().copied().collect();
            let plan = without(&bitmap, plan, &groups(&rows));
            let left: Vec<u64> = before.into_iter().filter(|at| !deleted.contains(at)).collect();
            prop_assert_eq!(read(&plan, &rows), left);
        }
    }
}

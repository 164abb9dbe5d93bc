//! What may be said of files of which rows are gone.

use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::common::stats::Precision;

use super::LakeDeletes;

/// One file's statistics: bounds still hold, and a column with one value still has that one; only the rows are fewer.
pub(in crate::scan) fn of_file_with_deletes(all: &Statistics) -> Statistics {
    Statistics {
        num_rows: all.num_rows.to_inexact(),
        ..all.clone()
    }
}

/// A scan's statistics, from those of its files with all their rows. Deletion vectors leave an exact count of rows; the
/// rows of other delete files may repeat themselves, or be gone already. No value is known to be still there.
pub(in crate::scan) fn of_scan_with_deletes(
    all: Statistics,
    deletes: &[Option<Arc<LakeDeletes>>],
) -> Statistics {
    let mut gone = Precision::Exact(0_usize);
    for deletes in deletes.iter().flatten() {
        let rows = match &deletes.vector {
            Some(vector) if deletes.only_a_vector() => rows(vector.rows),
            Some(vector) => rows(vector.rows).to_inexact(),
            None => Precision::Inexact(0),
        };
        gone = gone.add(&rows);
    }
    if deletes.iter().all(Option::is_none) {
        return all;
    }
    let rows = all.num_rows.sub(&gone);
    Statistics {
        num_rows: rows,
        ..all.to_inexact()
    }
}

fn rows(rows: u64) -> Precision<usize> {
    usize::try_from(rows).map_or(Precision::Absent, Precision::Exact)
}

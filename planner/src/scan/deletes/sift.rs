//! Leaving out rows whose key an equality delete has, while their file is read.
//!
//! The reader is asked for the query's columns and the keys', the rows are sifted, and then the query's own expressions
//! are evaluated: none of them sees a row that is deleted.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_expr::projection::{ProjectionExprs, Projector};
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_plan::metrics::Count;

use super::KeyColumn;
use super::keys::{KeySet, within};
use super::read::DeletedKeys;
use crate::scan::steps::BatchStep;

/// What one file is read with.
pub(in crate::scan) struct Sieve {
    keys: Vec<FileKeys>,
    data_sequence: i64,
    projector: Projector,
    output: SchemaRef,
    removed: Count,
}

/// Keys, and where their columns are in what the reader gives.
struct FileKeys {
    deleted: DeletedKeys,
    columns: Vec<KeyColumn>,
}

/// The columns that a file is read with so that its rows can be sifted: by ascending position.
pub(in crate::scan) fn columns_to_read(
    projection: &ProjectionExprs,
    keys: &[DeletedKeys],
) -> Vec<usize> {
    let mut columns = projection.column_indices();
    let of_keys = keys.iter().flat_map(|keys| keys.columns().iter());
    columns.extend(of_keys.map(|key| key.column));
    columns.sort_unstable();
    columns.dedup();
    columns
}

impl Sieve {
    /// Sifts what is read as `columns` of `table`, and gives what `projection` makes of it.
    ///
    /// # Errors
    /// The projection asks for columns that are not read.
    pub(in crate::scan) fn new(
        keys: Vec<DeletedKeys>,
        data_sequence: i64,
        projection: &ProjectionExprs,
        columns: &[usize],
        table: &SchemaRef,
        removed: Count,
    ) -> Result<Self> {
        let read = Arc::new(table.project(columns)?);
        let place = |key: &KeyColumn| {
            let column = columns.binary_search(&key.column).ok()?;
            Some(KeyColumn {
                column,
                path: key.path.clone(),
            })
        };
        let keys = keys.into_iter().map(|deleted| {
            let columns = deleted.columns().iter().filter_map(place).collect();
            FileKeys { deleted, columns }
        });
        let output = Arc::new(projection.project_schema(table)?);
        let rebased = projection
            .clone()
            .try_map_exprs(|expr| reassign_expr_columns(expr, &read))?;
        Ok(Self {
            keys: keys.collect(),
            data_sequence,
            projector: rebased.make_projector(&read)?,
            output,
            removed,
        })
    }

    fn sift(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut stays: Option<BooleanArray> = None;
        for keys in &self.keys {
            let set: &KeySet = keys.deleted.set();
            let columns = keys.columns.iter();
            let columns: Result<Vec<ArrayRef>> = columns
                .map(|key| within(batch.column(key.column), &key.path))
                .collect();
            let these = set.stays(&columns?, self.data_sequence)?;
            stays = Some(BooleanArray::new(
                match &stays {
                    Some(stays) => stays.values() & &these,
                    None => these,
                },
                None,
            ));
        }
        let kept = match &stays {
            Some(stays) if stays.true_count() < batch.num_rows() => {
                self.removed.add(batch.num_rows() - stays.true_count());
                filter_record_batch(batch, stays)?
            }
            _ => batch.clone(),
        };
        let (_, arrays, rows) = self.projector.project_batch(&kept)?.into_parts();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let output = Arc::clone(&self.output);
        Ok(RecordBatch::try_new_with_options(output, arrays, &options)?)
    }
}

impl BatchStep for Sieve {
    fn step(&self, batch: RecordBatch) -> Result<RecordBatch> {
        self.sift(&batch)
    }
}

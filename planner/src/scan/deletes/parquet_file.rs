//! Columns of a Parquet delete file, by field id, in the types that the table has now.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchReader};
use bytes::Bytes;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion_physical_expr_adapter::PhysicalExprAdapter;
use landfast_sites::CanonicalUri;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaDataReader;

use super::corrupt;
use super::rows::RowsWanted;
use crate::scan::columns::FileColumns;
use crate::scan::footers::Footer;

/// Columns of a delete file, batch by batch.
pub(super) struct DeleteColumns {
    uri: CanonicalUri,
    reader: ParquetRecordBatchReader,
    columns: Vec<Arc<dyn PhysicalExpr>>,
}

impl DeleteColumns {
    /// Opens a whole delete file, of which these columns are to be had.
    ///
    /// # Errors
    /// The file is no Parquet file, or has no such columns.
    pub(super) fn open(uri: &CanonicalUri, bytes: Bytes, rows: &RowsWanted<'_>) -> Result<Self> {
        let broken = |error: parquet::errors::ParquetError| corrupt(uri, error);
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&bytes)
            .map_err(broken)?;
        let footer = Footer::of(metadata).map_err(broken)?;
        let schema = footer.file_schema();
        rows.refuse_positions(uri, schema.inferred)?;
        let wanted = rows.columns;
        let resolved = FileColumns::resolve(uri, wanted, schema, rows.mapping, rows.absentees);
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(resolved.file_schema()));
        let metadata =
            ArrowReaderMetadata::try_new(Arc::clone(&footer.metadata), options).map_err(broken)?;

        let fields = wanted.fields().iter().enumerate();
        let columns: Result<Vec<Arc<dyn PhysicalExpr>>> = fields
            .map(|(at, field)| resolved.rewrite(Arc::new(Column::new(field.name(), at))))
            .collect();
        let columns = columns.map_err(|error| corrupt(uri, error.strip_backtrace()))?;
        let roots = columns.iter().flat_map(collect_columns);
        let mask = ProjectionMask::roots(
            metadata.parquet_schema(),
            roots.map(|column| column.index()),
        );
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata)
            .with_projection(mask)
            .with_batch_size(super::rows::BATCH_ROWS)
            .build()
            .map_err(broken)?;
        let read = RecordBatchReader::schema(&reader);
        let columns: Result<_> = columns
            .into_iter()
            .map(|column| reassign_expr_columns(column, &read))
            .collect();
        Ok(Self {
            uri: uri.clone(),
            reader,
            columns: columns?,
        })
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let columns = self.columns.iter();
        columns
            .map(|column| column.evaluate(batch)?.into_array(batch.num_rows()))
            .collect()
    }
}

impl Iterator for DeleteColumns {
    type Item = Result<Vec<ArrayRef>>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(corrupt(&self.uri, DataFusionError::from(error)))),
        };
        let columns = self.evaluate(&batch);
        Some(columns.map_err(|error| corrupt(&self.uri, error.strip_backtrace())))
    }
}

//! Metadata columns of one file's rows, beside the columns that the file has.
//!
//! `_file` is the file's own; `_pos` is counted by the Parquet reader over the whole file; row ids and the sequence
//! numbers of changes are stored where rows moved between files, and otherwise follow from the file and the position.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, internal_err};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, case, is_not_null, lit};
use datafusion_physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use parquet::arrow::RowNumber;

use super::columns::FileColumns;
use super::metadata_columns::{FILE, LAST_UPDATED_SEQUENCE_NUMBER, POS, ROW_ID};
use super::source::LakeFile;
use crate::error::OF_DATA_FILES;
use crate::types::FIELD_ID_KEY;

/// The field ids under which files store what they keep of a row's lineage.
const STORED: [(&str, i32); 2] = [
    (ROW_ID, 2_147_483_540),
    (LAST_UPDATED_SEQUENCE_NUMBER, 2_147_483_539),
];

/// Metadata columns with the ids under which files store them; other columns as they are.
pub(super) fn with_stored_ids(columns: &SchemaRef, metadata: &Range<usize>) -> SchemaRef {
    if metadata.is_empty() {
        return Arc::clone(columns);
    }
    let fields = columns.fields().iter().enumerate().map(|(at, field)| {
        let stored = STORED.iter().find(|(name, _)| field.name() == name);
        match stored.filter(|_| metadata.contains(&at)) {
            Some((_, id)) => {
                let id = [(FIELD_ID_KEY.to_owned(), id.to_string())];
                Arc::new(Field::clone(field).with_metadata(id.into()))
            }
            None => Arc::clone(field),
        }
    });
    let fields: Vec<FieldRef> = fields.collect();
    Arc::new(Schema::new_with_metadata(
        fields,
        columns.metadata().clone(),
    ))
}

/// What asks the Parquet reader to count rows, under a name that no column has.
pub(super) fn row_number(columns: &Schema) -> FieldRef {
    let mut name = "__row_number".to_owned();
    while columns.column_with_name(&name).is_some() {
        name.insert(0, '_');
    }
    Arc::new(Field::new(name, DataType::Int64, false).with_extension_type(RowNumber))
}

/// Whether an expression has to do with columns at these positions.
pub(super) fn touches(filter: &Arc<dyn PhysicalExpr>, positions: &Range<usize>) -> bool {
    let mut touched = false;
    let looked = filter.apply(|node| {
        touched |= node
            .downcast_ref::<Column>()
            .is_some_and(|column| positions.contains(&column.index()));
        Ok(if touched {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    touched || looked.is_err()
}

/// All columns that a scan may read, as one file has them.
#[derive(Debug)]
pub(super) struct FileRows {
    columns: Arc<FileColumns>,
    /// Where metadata columns are among the scan's columns.
    metadata: Range<usize>,
    scan: SchemaRef,
    row_number: Option<FieldRef>,
    file: Arc<LakeFile>,
}

impl FileRows {
    /// `scan` are the scan's columns, of which `columns` knows where the file has them.
    pub(super) fn new(
        columns: Arc<FileColumns>,
        (scan, metadata): (&SchemaRef, &Range<usize>),
        row_number: Option<&FieldRef>,
        file: &Arc<LakeFile>,
    ) -> Self {
        Self {
            columns,
            metadata: metadata.clone(),
            scan: Arc::clone(scan),
            row_number: row_number.cloned(),
            file: Arc::clone(file),
        }
    }

    fn column(&self, column: &Column) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let at = column.index();
        let named = self.scan.fields().get(at);
        let Some(field) = named.filter(|field| field.name() == column.name()) else {
            return Ok(None);
        };
        if !self.metadata.contains(&at) {
            return Ok(None);
        }
        let stored = || self.columns.rewrite(Arc::new(column.clone()));
        let null = || lit(ScalarValue::Int64(None));
        Ok(Some(match field.name().as_str() {
            FILE => lit(ScalarValue::Utf8View(Some(
                self.file.uri.as_str().to_owned(),
            ))),
            POS => self.position()?,
            ROW_ID => match self.file.first_row_id {
                Some(first) => {
                    let first = i64::try_from(first).unwrap_or(i64::MAX);
                    let follows = BinaryExpr::new(self.position()?, Operator::Plus, lit(first));
                    stored_or(stored()?, Arc::new(follows))?
                }
                None => null(),
            },
            LAST_UPDATED_SEQUENCE_NUMBER => match self.file.first_row_id {
                Some(_) => stored_or(stored()?, lit(self.file.sequence_number))?,
                None => null(),
            },
            other => return internal_err!("{other} is no metadata column"),
        }))
    }

    /// What the reader counts comes after the file's own columns.
    fn position(&self) -> Result<Arc<dyn PhysicalExpr>> {
        match &self.row_number {
            Some(counted) => {
                let after = self.columns.file_schema().fields().len();
                Ok(Arc::new(Column::new(counted.name(), after)))
            }
            None => internal_err!("rows are not counted in this scan"),
        }
    }
}

fn stored_or(
    stored: Arc<dyn PhysicalExpr>,
    otherwise: Arc<dyn PhysicalExpr>,
) -> Result<Arc<dyn PhysicalExpr>> {
    let there = is_not_null(Arc::clone(&stored))?;
    case(None, vec![(there, stored)], Some(otherwise))
}

impl PhysicalExprAdapter for FileRows {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            Ok(Transformed::yes(match self.column(column)? {
                Some(metadata) => metadata,
                None => self.columns.rewrite(expr)?,
            }))
        })
        .data()
    }
}

/// Hands out the one adapter of one file.
#[derive(Debug)]
pub(super) struct OneFile(pub(super) Arc<FileRows>);

impl PhysicalExprAdapterFactory for OneFile {
    fn create(&self, _table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let counted = usize::from(self.0.row_number.is_some());
        if file.fields().len() != self.0.columns.file_schema().fields().len() + counted {
            let uri = &self.0.file.uri;
            let error = exec_datafusion_err!("data file {uri} changed while it was read");
            return Err(error.context(format!("{OF_DATA_FILES} {uri}")));
        }
        Ok(Arc::<FileRows>::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::metadata_columns::with_metadata_columns;
    use crate::types::field_id;

    #[test]
    fn stored_lineage_is_found_by_id_and_a_users_own_column_is_not_taken_for_it() {
        let own = Schema::new(vec![
            Field::new(ROW_ID, DataType::Utf8, true),
            Field::new("__row_number", DataType::Int64, true),
        ]);
        let columns = with_metadata_columns(&own);
        let with_ids = with_stored_ids(&columns, &(2..columns.fields().len()));
        let ids: Vec<Option<i32>> = with_ids.fields().iter().map(|f| field_id(f)).collect();
        assert_eq!(ids, [None, None, None, None, Some(2_147_483_539)]);
        assert_eq!(row_number(&columns).name(), "___row_number");
    }
}

//! Keys: identifier fields as primary keys. Iceberg knows no foreign keys.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use iceberg::spec::Schema as TableSchema;
use landfast_catalog::TableName;

use crate::flight::dispatch::PRIMARY_KEYS;
use crate::flight::fault::Fault;

/// The identifier fields of a table's schema, in the order of its columns: `(name, number from one)`.
pub(super) fn identifier_columns(schema: &TableSchema) -> Vec<(String, i32)> {
    let ids: Vec<i32> = schema.identifier_field_ids().collect();
    let names = schema
        .as_struct()
        .fields()
        .iter()
        .filter(|field| ids.contains(&field.id));
    names
        .zip(1..)
        .map(|(field, number)| (field.name.clone(), number))
        .collect()
}

/// The rows of GetPrimaryKeys.
pub(super) fn primary_keys(keys: &[(TableName, Vec<(String, i32)>)]) -> Result<RecordBatch, Fault> {
    let rows: Vec<(&TableName, &str, i32)> = keys
        .iter()
        .flat_map(|(table, columns)| {
            columns
                .iter()
                .map(move |(column, number)| (table, column.as_str(), *number))
        })
        .collect();
    let texts = |of: &dyn Fn(&TableName) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|(table, _, _)| of(table)),
        ))
    };
    let columns: Vec<ArrayRef> = vec![
        texts(&|table| table.catalog.to_string()),
        texts(&|table| table.schema.to_string()),
        texts(&|table| table.table.clone()),
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|(_, column, _)| *column),
        )),
        Arc::new(Int32Array::from_iter_values(
            rows.iter().map(|(_, _, number)| *number),
        )),
        Arc::new(StringArray::new_null(rows.len())),
    ];
    RecordBatch::try_new(PRIMARY_KEYS.clone(), columns).map_err(Fault::internal)
}

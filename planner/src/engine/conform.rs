//! A statement's one schema, and batches made to have it.
//!
//! Plans of one statement may differ in nullability, names' metadata or dictionary encoding; its schema may not: drivers
//! compare what a statement was said to give with what comes.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::settings::WireTypes;
use crate::sql::same_names;
use crate::{PlannerError, Result};

/// The schema that a statement has on every path: no metadata; and unless native types are asked for, dictionaries as
/// their values.
pub(super) fn statement_schema(schema: &Schema, types: WireTypes) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            Field::new(
                same_names::shown(field.name()),
                wire_type(field.data_type(), types),
                field.is_nullable(),
            )
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// A type without metadata at any depth, and without dictionaries or run-end encoding unless they are asked for.
fn wire_type(of: &DataType, types: WireTypes) -> DataType {
    let native = types == WireTypes::Native;
    let field = |field: &Field| {
        Arc::new(Field::new(
            field.name(),
            wire_type(field.data_type(), types),
            field.is_nullable(),
        ))
    };
    match of {
        DataType::Dictionary(keys, value) if native => {
            DataType::Dictionary(keys.clone(), Box::new(wire_type(value, types)))
        }
        DataType::Dictionary(_, value) => wire_type(value, types),
        DataType::RunEndEncoded(ends, value) if native => {
            DataType::RunEndEncoded(field(ends), field(value))
        }
        DataType::RunEndEncoded(_, value) => wire_type(value.data_type(), types),
        DataType::List(item) => DataType::List(field(item)),
        DataType::LargeList(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| field(f)).collect::<Fields>())
        }
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}

/// A type that every driver knows, for parameters.
pub(super) fn plain_type(of: &DataType) -> DataType {
    match wire_type(of, WireTypes::Compatible) {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Null => DataType::Utf8,
        other => other,
    }
}

/// A batch with exactly this schema; columns that have it already are not touched.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(PlannerError::internal(format!(
            "the plan gives {} columns, and the statement has {}",
            batch.num_columns(),
            schema.fields().len()
        )));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast_with_options(column, field.data_type(), &options)
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn dictionaries_and_metadata_leave_and_nullability_stays() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let marked = Field::new("b", DataType::Int64, false)
            .with_metadata([("PARQUET:field_id".to_string(), "1".to_string())].into());
        let inner = Fields::from(vec![Field::new("d", dictionary.clone(), true)]);
        let schema = Schema::new(vec![
            Field::new("a", dictionary, true),
            marked,
            Field::new("c", DataType::Struct(inner), true),
        ]);
        let wire = statement_schema(&schema, WireTypes::Compatible);
        assert_eq!(*wire.field(0), Field::new("a", DataType::Utf8, true));
        assert_eq!(*wire.field(1), Field::new("b", DataType::Int64, false));
        let inner = Fields::from(vec![Field::new("d", DataType::Utf8, true)]);
        assert_eq!(
            *wire.field(2),
            Field::new("c", DataType::Struct(inner), true)
        );
    }

    #[test]
    fn a_batch_takes_the_statements_types_names_and_nullability() {
        let words: DictionaryArray<Int32Type> = vec!["x", "y", "x"].into_iter().collect();
        let batch = RecordBatch::try_from_iter([
            ("t.word", Arc::new(words) as ArrayRef),
            ("n", Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef),
        ])
        .unwrap();
        let schema = Arc::new(Schema::new(vec![
            Field::new("word", DataType::Utf8, true),
            Field::new("n", DataType::Int64, false),
        ]));
        let conformed = conform(&batch, &schema).unwrap();
        assert_eq!(conformed.schema(), schema);
        assert_eq!(
            conformed.column(0).as_ref(),
            &StringArray::from(vec!["x", "y", "x"])
        );
        assert_eq!(
            conformed.column(1).as_ref(),
            &Int64Array::from(vec![1, 2, 3])
        );
    }

    #[test]
    fn a_batch_without_columns_keeps_its_rows() {
        let nothing = Arc::new(Schema::empty());
        let options = RecordBatchOptions::new().with_row_count(Some(7));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&nothing), vec![], &options).unwrap();
        assert_eq!(conform(&batch, &nothing).unwrap().num_rows(), 7);
    }
}

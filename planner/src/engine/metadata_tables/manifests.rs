//! `$manifests` and `$all_manifests`: manifests as manifest lists tell of them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, StructBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use iceberg::spec::{FieldSummary, ManifestContentType, Type};
use landfast_catalog::{ManifestCounts, ManifestSummary, TableSnapshot, decode_bound};

use super::columns::{list_type, number};
use super::values::human_of;
use crate::{PlannerError, Result};

fn summary_fields() -> Fields {
    Fields::from(vec![
        Field::new("contains_null", DataType::Boolean, true),
        Field::new("contains_nan", DataType::Boolean, true),
        Field::new("lower_bound", DataType::Utf8, true),
        Field::new("upper_bound", DataType::Utf8, true),
    ])
}

/// The columns of `$manifests`.
pub(super) fn schema() -> SchemaRef {
    fields(&[
        ("added_data_files_count", DataType::Int32),
        ("added_rows_count", DataType::Int64),
        ("existing_data_files_count", DataType::Int32),
        ("existing_rows_count", DataType::Int64),
        ("deleted_data_files_count", DataType::Int32),
        ("deleted_rows_count", DataType::Int64),
        ("partition_summaries", summaries_type()),
    ])
}

/// The columns of `$all_manifests`.
pub(super) fn schema_of_all() -> SchemaRef {
    fields(&[
        ("added_data_files_count", DataType::Int32),
        ("existing_data_files_count", DataType::Int32),
        ("deleted_data_files_count", DataType::Int32),
        ("added_delete_files_count", DataType::Int32),
        ("existing_delete_files_count", DataType::Int32),
        ("deleted_delete_files_count", DataType::Int32),
        ("partition_summaries", summaries_type()),
        ("reference_snapshot_id", DataType::Int64),
    ])
}

fn fields(more: &[(&str, DataType)]) -> SchemaRef {
    let first = [
        ("path", DataType::Utf8),
        ("length", DataType::Int64),
        ("partition_spec_id", DataType::Int32),
        ("added_snapshot_id", DataType::Int64),
    ];
    let fields = first.iter().chain(more);
    Arc::new(Schema::new(
        fields
            .map(|(name, of)| Field::new(*name, of.clone(), true))
            .collect::<Vec<_>>(),
    ))
}

fn summaries_type() -> DataType {
    list_type(DataType::Struct(summary_fields()))
}

/// A manifest, and a snapshot that has it.
pub(super) type Referenced = (ManifestSummary, i64);

/// The rows of one of the two tables, in the order given.
pub(super) fn rows(
    table: &TableSnapshot,
    manifests: &[Referenced],
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let of_all = schema.column_with_name("reference_snapshot_id").is_some();
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(table, manifests, field.name(), of_all))
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn column(
    table: &TableSnapshot,
    manifests: &[Referenced],
    name: &str,
    of_all: bool,
) -> Result<ArrayRef> {
    let all = || manifests.iter().map(|(manifest, _)| manifest);
    let longs = |of: &dyn Fn(&ManifestSummary) -> Option<i64>| -> ArrayRef {
        Arc::new(all().map(of).collect::<Int64Array>())
    };
    let rows = |of: fn(&ManifestCounts) -> Option<u64>| {
        longs(&|manifest| of(&manifest.counts).and_then(|count| i64::try_from(count).ok()))
    };
    // `$manifests` counts whatever files a manifest has; `$all_manifests` has data and delete files apart.
    let apart = match (of_all, name.contains("_delete_files_")) {
        (false, _) => None,
        (true, true) => Some(ManifestContentType::Deletes),
        (true, false) => Some(ManifestContentType::Data),
    };
    let files = |of: fn(&ManifestCounts) -> Option<u32>| -> ArrayRef {
        let counts = all().map(|manifest| match apart {
            Some(content) if content != manifest.content => Some(0),
            _ => of(&manifest.counts).and_then(|count| i32::try_from(count).ok()),
        });
        Arc::new(counts.collect::<Int32Array>())
    };
    Ok(match name {
        "path" => Arc::new(
            all()
                .map(|manifest| Some(manifest.id.uri.as_str()))
                .collect::<StringArray>(),
        ),
        "length" => {
            let lengths = all().map(|manifest| manifest.id.size.map(number).transpose());
            Arc::new(Int64Array::from(lengths.collect::<Result<Vec<_>>>()?))
        }
        "partition_spec_id" => Arc::new(
            all()
                .map(|manifest| Some(manifest.spec_id))
                .collect::<Int32Array>(),
        ),
        "added_snapshot_id" => longs(&|manifest| Some(manifest.added_snapshot_id)),
        "added_data_files_count" | "added_delete_files_count" => files(|counts| counts.added_files),
        "existing_data_files_count" | "existing_delete_files_count" => {
            files(|counts| counts.existing_files)
        }
        "deleted_data_files_count" | "deleted_delete_files_count" => {
            files(|counts| counts.deleted_files)
        }
        "added_rows_count" => rows(|counts| counts.added_rows),
        "existing_rows_count" => rows(|counts| counts.existing_rows),
        "deleted_rows_count" => rows(|counts| counts.deleted_rows),
        "reference_snapshot_id" => {
            let ids = manifests.iter().map(|(_, snapshot)| Some(*snapshot));
            Arc::new(ids.collect::<Int64Array>())
        }
        _ => summaries(table, manifests)?,
    })
}

fn summaries(table: &TableSnapshot, manifests: &[Referenced]) -> Result<ArrayRef> {
    let fields = summary_fields();
    let element = Field::new("element", DataType::Struct(fields.clone()), true);
    let rows = StructBuilder::from_fields(fields, 0);
    let mut builder = ListBuilder::new(rows).with_field(element);
    for (manifest, _) in manifests {
        for (at, summary) in manifest.partitions.iter().flatten().enumerate() {
            append(builder.values(), table, manifest.spec_id, at, summary)
                .ok_or_else(|| PlannerError::internal("a partition summary has other columns"))?;
        }
        builder.append(manifest.partitions.is_some());
    }
    Ok(Arc::new(builder.finish()))
}

fn append(
    row: &mut StructBuilder,
    table: &TableSnapshot,
    spec_id: i32,
    at: usize,
    summary: &FieldSummary,
) -> Option<()> {
    let spec = table.metadata.partition_spec_by_id(spec_id);
    let field = spec.and_then(|spec| spec.fields().get(at));
    let schema = table.metadata.current_schema();
    let of = field.and_then(|field| {
        let source = schema.field_by_id(field.source_id)?;
        match field.transform.result_type(&source.field_type).ok()? {
            Type::Primitive(of) => Some((field.transform, of)),
            _ => None,
        }
    });
    let text = |bound: Option<&[u8]>| {
        let (transform, of) = of.as_ref()?;
        human_of(*transform, &decode_bound(bound?, of)?, of)
    };
    row.field_builder::<BooleanBuilder>(0)?
        .append_value(summary.contains_null);
    row.field_builder::<BooleanBuilder>(1)?
        .append_option(summary.contains_nan);
    let bounds = [&summary.lower_bound, &summary.upper_bound];
    for (at, bound) in bounds.into_iter().enumerate() {
        let bound = bound.as_ref().map(|bytes| bytes.as_slice());
        row.field_builder::<StringBuilder>(2 + at)?
            .append_option(text(bound));
    }
    row.append(true);
    Some(())
}

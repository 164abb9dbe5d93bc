//! `$manifests`: a snapshot's manifests as its manifest list tells of them.

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

/// Its columns.
pub(super) fn schema() -> SchemaRef {
    let field = |name: &str, of: DataType| Field::new(name, of, true);
    Arc::new(Schema::new(vec![
        field("content", DataType::Int32),
        field("path", DataType::Utf8),
        field("length", DataType::Int64),
        field("partition_spec_id", DataType::Int32),
        field("added_snapshot_id", DataType::Int64),
        field("added_data_files_count", DataType::Int32),
        field("added_rows_count", DataType::Int64),
        field("existing_data_files_count", DataType::Int32),
        field("existing_rows_count", DataType::Int64),
        field("deleted_data_files_count", DataType::Int32),
        field("deleted_rows_count", DataType::Int64),
        field(
            "partition_summaries",
            list_type(DataType::Struct(summary_fields())),
        ),
    ]))
}

/// Its rows, in the order given.
pub(super) fn rows(table: &TableSnapshot, manifests: &[&ManifestSummary]) -> Result<RecordBatch> {
    let ints = |of: &dyn Fn(&ManifestSummary) -> Option<i32>| -> ArrayRef {
        Arc::new(manifests.iter().map(|m| of(m)).collect::<Int32Array>())
    };
    let longs = |of: &dyn Fn(&ManifestSummary) -> Option<i64>| -> ArrayRef {
        Arc::new(manifests.iter().map(|m| of(m)).collect::<Int64Array>())
    };
    let files = |of: fn(&ManifestCounts) -> Option<u32>| {
        ints(&|manifest| of(&manifest.counts).and_then(|count| i32::try_from(count).ok()))
    };
    let rows = |of: fn(&ManifestCounts) -> Option<u64>| {
        longs(&|manifest| of(&manifest.counts).and_then(|count| i64::try_from(count).ok()))
    };
    let lengths = manifests
        .iter()
        .map(|manifest| manifest.id.size.map(number).transpose())
        .collect::<Result<Vec<_>>>()?;
    let paths = manifests.iter().map(|m| Some(m.id.uri.as_str()));
    let columns: Vec<ArrayRef> = vec![
        ints(&|manifest| {
            Some(match manifest.content {
                ManifestContentType::Data => 0,
                ManifestContentType::Deletes => 1,
            })
        }),
        Arc::new(paths.collect::<StringArray>()),
        Arc::new(Int64Array::from(lengths)),
        ints(&|manifest| Some(manifest.spec_id)),
        longs(&|manifest| Some(manifest.added_snapshot_id)),
        files(|counts| counts.added_files),
        rows(|counts| counts.added_rows),
        files(|counts| counts.existing_files),
        rows(|counts| counts.existing_rows),
        files(|counts| counts.deleted_files),
        rows(|counts| counts.deleted_rows),
        summaries(table, manifests)?,
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn summaries(table: &TableSnapshot, manifests: &[&ManifestSummary]) -> Result<ArrayRef> {
    let fields = summary_fields();
    let element = Field::new("element", DataType::Struct(fields.clone()), true);
    let rows = StructBuilder::from_fields(fields, 0);
    let mut builder = ListBuilder::new(rows).with_field(element);
    for manifest in manifests {
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

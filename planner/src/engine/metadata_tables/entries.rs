//! `$files` and `$entries`: a row for each entry of a manifest.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    StructArray,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use iceberg::spec::{
    DataContentType, ManifestStatus, NestedField, PrimitiveType, SchemaRef as IcebergSchemaRef,
    Type,
};
use landfast_catalog::{ManifestEntry, TableSnapshot, decode_bound};
use serde_json::Value;

use super::columns::{counts, ints, list_type, longs, map_type, number, texts_by_id};
use super::partition::PartitionFields;
use super::stream::{Entries, Rows};
use super::values::{human, json};
use crate::{PlannerError, Result};

/// How many entries make a batch: each may have thousands of bounds.
const BATCH_ENTRIES: usize = 512;

/// The columns of a file, in `$files` and within `$entries`.
const FILE_COLUMNS: [&str; 17] = [
    "content",
    "file_path",
    "file_format",
    "spec_id",
    "partition",
    "record_count",
    "file_size_in_bytes",
    "column_sizes",
    "value_counts",
    "null_value_counts",
    "nan_value_counts",
    "lower_bounds",
    "upper_bounds",
    "key_metadata",
    "split_offsets",
    "equality_ids",
    "sort_order_id",
];

/// The columns of an entry before and after its file's.
const ENTRY_COLUMNS: [&str; 6] = [
    "status",
    "snapshot_id",
    "sequence_number",
    "file_sequence_number",
    "data_file",
    "readable_metrics",
];

/// Makes rows of entries.
#[derive(Debug)]
pub(super) struct EntryRows {
    /// Removed files too, and of each entry when it came and went.
    whole: bool,
    columns: Vec<&'static str>,
    partition: PartitionFields,
    /// The table's current columns.
    table: IcebergSchemaRef,
    schema: SchemaRef,
}

impl EntryRows {
    /// The rows of `$files`.
    pub(super) fn files(table: &TableSnapshot) -> Result<Self> {
        let mut columns = FILE_COLUMNS.to_vec();
        columns.push("readable_metrics");
        Self::new(table, false, columns)
    }

    /// The rows of `$entries`.
    pub(super) fn entries(table: &TableSnapshot) -> Result<Self> {
        Self::new(table, true, ENTRY_COLUMNS.to_vec())
    }

    fn new(table: &TableSnapshot, whole: bool, columns: Vec<&'static str>) -> Result<Self> {
        let mut rows = Self {
            whole,
            columns,
            partition: PartitionFields::new(table)?,
            table: Arc::clone(table.metadata.current_schema()),
            schema: Arc::new(Schema::empty()),
        };
        if rows.partition.data_type().is_none() {
            rows.columns.retain(|name| *name != "partition");
        }
        let fields = rows.columns.iter().map(|name| rows.field(name));
        rows.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(rows)
    }

    /// A table without partition fields has no column of them.
    fn partition_is_there(&self, name: &str) -> bool {
        name != "partition" || self.partition.data_type().is_some()
    }

    fn file_columns(&self) -> impl Iterator<Item = &'static str> {
        FILE_COLUMNS
            .into_iter()
            .filter(|name| self.partition_is_there(name))
    }

    fn field(&self, name: &str) -> Field {
        let counts = || map_type(DataType::Int32, DataType::Int64);
        let texts = || map_type(DataType::Int32, DataType::Utf8);
        let of = match name {
            "content" | "spec_id" | "sort_order_id" | "status" => DataType::Int32,
            "file_path" | "file_format" | "readable_metrics" => DataType::Utf8,
            "partition" => self.partition.data_type().unwrap_or(DataType::Null),
            "column_sizes" | "value_counts" | "null_value_counts" | "nan_value_counts" => counts(),
            "lower_bounds" | "upper_bounds" => texts(),
            "key_metadata" => DataType::Binary,
            "split_offsets" => list_type(DataType::Int64),
            "equality_ids" => list_type(DataType::Int32),
            "data_file" => DataType::Struct(self.file_fields()),
            _ => DataType::Int64,
        };
        Field::new(name, of, true)
    }

    fn file_fields(&self) -> Fields {
        self.file_columns().map(|name| self.field(name)).collect()
    }

    fn column(&self, name: &str, entries: &[ManifestEntry]) -> Result<ArrayRef> {
        let all = || entries.iter();
        Ok(match name {
            "content" => ids(all().map(|entry| {
                Some(match entry.content {
                    DataContentType::Data => 0,
                    DataContentType::PositionDeletes => 1,
                    DataContentType::EqualityDeletes => 2,
                })
            })),
            "status" => ids(all().map(|entry| {
                Some(match entry.status {
                    ManifestStatus::Existing => 0,
                    ManifestStatus::Added => 1,
                    ManifestStatus::Deleted => 2,
                })
            })),
            "spec_id" => ids(all().map(|entry| Some(entry.spec_id))),
            "sort_order_id" => ids(all().map(|entry| entry.sort_order_id)),
            "file_path" => texts(all().map(|entry| Some(entry.path.as_str()))),
            "file_format" => texts(all().map(|entry| Some(entry.format.as_str()))),
            "partition" => {
                let tuples = all().map(|entry| (entry.spec_id, &entry.partition));
                self.partition.array(tuples)?
            }
            "column_sizes" => counts(all().map(|entry| entry.column_sizes.as_slice()))?,
            "value_counts" => counts(all().map(|entry| entry.value_counts.as_slice()))?,
            "null_value_counts" => counts(all().map(|entry| entry.null_value_counts.as_slice()))?,
            "nan_value_counts" => counts(all().map(|entry| entry.nan_value_counts.as_slice()))?,
            "lower_bounds" => texts_by_id(all().map(|entry| self.bounds(&entry.lower_bounds)))?,
            "upper_bounds" => texts_by_id(all().map(|entry| self.bounds(&entry.upper_bounds)))?,
            "key_metadata" => {
                let keys = all().map(|entry| entry.key_metadata.as_deref());
                Arc::new(keys.collect::<BinaryArray>())
            }
            "split_offsets" => longs(all().map(|entry| entry.split_offsets.as_deref())),
            "equality_ids" => ints(all().map(|entry| entry.equality_ids.as_deref())),
            "readable_metrics" => {
                let metrics = all().map(|entry| Some(self.readable_metrics(entry)));
                Arc::new(metrics.collect::<StringArray>())
            }
            "record_count" => sizes(all().map(|entry| entry.record_count))?,
            "file_size_in_bytes" => sizes(all().map(|entry| entry.file_size_in_bytes))?,
            "snapshot_id" => numbers(all().map(|entry| entry.snapshot_id)),
            "sequence_number" => numbers(all().map(|entry| entry.sequence_number)),
            "file_sequence_number" => numbers(all().map(|entry| entry.file_sequence_number)),
            "data_file" => {
                let columns = self.file_columns().map(|name| self.column(name, entries));
                let columns = columns.collect::<Result<Vec<_>>>()?;
                Arc::new(StructArray::try_new(self.file_fields(), columns, None)?)
            }
            other => {
                return Err(PlannerError::internal(format!(
                    "no entry has a column {other}"
                )));
            }
        })
    }

    /// Bounds as people read them; those of columns that are gone are left out.
    fn bounds(&self, bounds: &[(i32, Box<[u8]>)]) -> Vec<(i32, String)> {
        let text = |id: i32, bytes: &[u8]| {
            let of = primitive(self.table.field_by_id(id)?)?;
            Some((id, human(&decode_bound(bytes, of)?, of)?))
        };
        bounds
            .iter()
            .filter_map(|(id, bytes)| text(*id, bytes))
            .collect()
    }

    /// What is recorded of each column, by its full name, as one JSON object.
    fn readable_metrics(&self, entry: &ManifestEntry) -> String {
        let mut columns: Vec<(&str, i32, &PrimitiveType)> = self
            .table
            .field_id_to_name_map()
            .iter()
            .filter_map(|(id, name)| {
                let of = primitive(self.table.field_by_id(*id)?)?;
                Some((name.as_str(), *id, of))
            })
            .collect();
        columns.sort_unstable_by_key(|(name, id, _)| (*name, *id));
        let count = |counts: &[(i32, u64)], id: i32| {
            let found = counts.iter().find(|(known, _)| *known == id);
            found.map_or(Value::Null, |(_, count)| Value::from(*count))
        };
        let bound = |bounds: &[(i32, Box<[u8]>)], id: i32, of: &PrimitiveType| {
            let found = bounds.iter().find(|(known, _)| *known == id);
            let value = found.and_then(|(_, bytes)| json(&decode_bound(bytes, of)?, of));
            value.unwrap_or(Value::Null)
        };
        let objects = columns.into_iter().map(|(name, id, of)| {
            format!(
                "{}:{{\"column_size\":{},\"value_count\":{},\"null_value_count\":{},\"nan_value_count\":{},\
                 \"lower_bound\":{},\"upper_bound\":{}}}",
                Value::from(name),
                count(&entry.column_sizes, id),
                count(&entry.value_counts, id),
                count(&entry.null_value_counts, id),
                count(&entry.nan_value_counts, id),
                bound(&entry.lower_bounds, id, of),
                bound(&entry.upper_bounds, id, of),
            )
        });
        format!("{{{}}}", objects.collect::<Vec<_>>().join(","))
    }

    fn batch(&self, entries: &[ManifestEntry], projected: &SchemaRef) -> Result<RecordBatch> {
        let columns = projected
            .fields()
            .iter()
            .map(|field| self.column(field.name(), entries))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(entries.len()));
        let schema = Arc::clone(projected);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

impl Rows for EntryRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn in_one_stream(&self) -> bool {
        false
    }

    fn stream(
        self: Arc<Self>,
        entries: Entries,
        projected: SchemaRef,
        _context: &TaskContext,
    ) -> SendableRecordBatchStream {
        let schema = Arc::clone(&projected);
        let batches = entries.each().map_ok(move |mut entries| {
            if !self.whole {
                entries.retain(|entry| entry.status != ManifestStatus::Deleted);
            }
            let (rows, projected) = (Arc::clone(&self), Arc::clone(&projected));
            let starts = (0..entries.len()).step_by(BATCH_ENTRIES);
            // One batch at a time, and none before it is asked for.
            stream::iter(starts.map(move |from| {
                let to = entries.len().min(from + BATCH_ENTRIES);
                Ok(rows.batch(&entries[from..to], &projected)?)
            }))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches.try_flatten()))
    }
}

/// The type of a column that has values rather than parts.
fn primitive(field: &Arc<NestedField>) -> Option<&PrimitiveType> {
    match field.field_type.as_ref() {
        Type::Primitive(of) => Some(of),
        _ => None,
    }
}

fn ids(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Int32Array>())
}

fn numbers(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn sizes(values: impl Iterator<Item = u64>) -> Result<ArrayRef> {
    let values = values.map(number).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Int64Array::from(values)))
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

//! `$partitions`: what a snapshot's data files say together of each partition.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use iceberg::spec::{
    DataContentType, Literal, ManifestStatus, PrimitiveLiteral, PrimitiveType, Struct, Transform,
    Type,
};
use landfast_catalog::{ManifestEntry, TableSnapshot, decode_bound};

use super::columns::number;
use super::partition::PartitionFields;
use super::stream::{Entries, Rows};
use crate::types::{arrow_type, scalar};
use crate::{PlannerError, Result};

/// How many partitions make a batch.
const BATCH_PARTITIONS: usize = 1024;

/// Makes a row of each partition.
#[derive(Debug)]
pub(super) struct PartitionRows {
    partition: PartitionFields,
    columns: Vec<DataColumn>,
    schema: SchemaRef,
}

/// A column of the table of which something may be known.
#[derive(Debug)]
struct DataColumn {
    id: i32,
    of: PrimitiveType,
    arrow: Arc<Field>,
}

/// A partition, in an order that is always the same.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    spec_id: i32,
    /// The tuple as text: values of one field are of one type, so equal texts are equal values.
    tuple: String,
}

/// What the files of one partition say together.
#[derive(Debug)]
struct Partition {
    tuple: Struct,
    records: u64,
    files: u64,
    bytes: u64,
    columns: Vec<Known>,
}

/// What is known of a column in all files seen so far; none of what one of them did not record.
#[derive(Debug, Clone)]
struct Known {
    lower: Extreme,
    upper: Extreme,
    nulls: Option<u64>,
    nans: Option<u64>,
}

/// The least or the greatest value of a column.
#[derive(Debug, Clone, PartialEq)]
enum Extreme {
    /// No file had a value yet.
    Nothing,
    /// The value.
    Value(PrimitiveLiteral),
    /// A file that has values does not say which.
    Unknown,
}

impl PartitionRows {
    pub(super) fn new(table: &TableSnapshot) -> Result<Self> {
        let partition = PartitionFields::new(table)?;
        let metadata = &table.metadata;
        let spec = metadata.partition_spec_by_id(table.default_spec_id);
        let spec = spec.unwrap_or_else(|| metadata.default_partition_spec());
        let constant = |id: i32| {
            let mut fields = spec.fields().iter();
            fields.any(|field| field.source_id == id && field.transform == Transform::Identity)
        };
        let mut columns = Vec::new();
        for field in metadata.current_schema().as_struct().fields() {
            let Type::Primitive(of) = field.field_type.as_ref() else {
                continue;
            };
            if constant(field.id) {
                continue;
            }
            let value = arrow_type(&field.field_type)?;
            let metrics = Fields::from(vec![
                Field::new("min", value.clone(), true),
                Field::new("max", value, true),
                Field::new("null_count", DataType::Int64, true),
                Field::new("nan_count", DataType::Int64, true),
            ]);
            columns.push(DataColumn {
                id: field.id,
                of: of.clone(),
                arrow: Arc::new(Field::new(&field.name, DataType::Struct(metrics), true)),
            });
        }
        let mut fields: Vec<Field> = Vec::new();
        if let Some(of) = partition.data_type() {
            fields.push(Field::new("partition", of, true));
        }
        for name in ["record_count", "file_count", "total_size"] {
            fields.push(Field::new(name, DataType::Int64, true));
        }
        if !columns.is_empty() {
            let of = columns.iter().map(|column| Arc::clone(&column.arrow));
            fields.push(Field::new("data", DataType::Struct(of.collect()), true));
        }
        Ok(Self {
            partition,
            columns,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// What a new partition takes in memory, nearly.
    fn heap_bytes(&self, key: &Key) -> usize {
        size_of::<(Key, Partition)>() + 2 * key.tuple.len() + 64 * self.columns.len()
    }

    fn add(
        &self,
        partitions: &mut BTreeMap<Key, Partition>,
        entry: ManifestEntry,
        reservation: &MemoryReservation,
    ) -> datafusion::common::Result<()> {
        if entry.status == ManifestStatus::Deleted || entry.content != DataContentType::Data {
            return Ok(());
        }
        let values: Vec<Option<&Literal>> = entry.partition.iter().collect();
        let key = Key {
            spec_id: entry.spec_id,
            tuple: format!("{values:?}"),
        };
        let partition = match partitions.entry(key) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                reservation.try_grow(self.heap_bytes(new.key()))?;
                let unknown = Known {
                    lower: Extreme::Nothing,
                    upper: Extreme::Nothing,
                    nulls: Some(0),
                    nans: Some(0),
                };
                new.insert(Partition {
                    tuple: entry.partition.clone(),
                    records: 0,
                    files: 0,
                    bytes: 0,
                    columns: vec![unknown; self.columns.len()],
                })
            }
        };
        partition.records = partition.records.saturating_add(entry.record_count);
        partition.files += 1;
        partition.bytes = partition.bytes.saturating_add(entry.file_size_in_bytes);
        for (column, known) in self.columns.iter().zip(&mut partition.columns) {
            known.add(column, &entry);
        }
        Ok(())
    }

    fn batch(&self, partitions: &[(Key, Partition)], projected: &SchemaRef) -> Result<RecordBatch> {
        let numbers = |of: fn(&Partition) -> u64| -> Result<ArrayRef> {
            let values = partitions
                .iter()
                .map(|(_, partition)| number(of(partition)));
            Ok(Arc::new(Int64Array::from(
                values.collect::<Result<Vec<_>>>()?,
            )))
        };
        let columns = projected
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "partition" => {
                    let tuples = partitions
                        .iter()
                        .map(|(key, partition)| (key.spec_id, &partition.tuple));
                    self.partition.array(tuples)
                }
                "record_count" => numbers(|partition| partition.records),
                "file_count" => numbers(|partition| partition.files),
                "total_size" => numbers(|partition| partition.bytes),
                "data" => self.data(partitions),
                other => Err(PlannerError::internal(format!(
                    "no partition has a column {other}"
                ))),
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(partitions.len()));
        let schema = Arc::clone(projected);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }

    fn data(&self, partitions: &[(Key, Partition)]) -> Result<ArrayRef> {
        let columns = self.columns.iter().enumerate().map(|(at, column)| {
            let known = || {
                partitions
                    .iter()
                    .map(|(_, partition)| &partition.columns[at])
            };
            let DataType::Struct(fields) = column.arrow.data_type() else {
                return Err(PlannerError::internal("metrics are a struct"));
            };
            let values = |of: fn(&Known) -> &Extreme| -> Result<ArrayRef> {
                let null = ScalarValue::try_new_null(fields[0].data_type())?;
                let values = known().map(|known| match of(known) {
                    Extreme::Value(value) => {
                        scalar(value, &column.of).unwrap_or_else(|| null.clone())
                    }
                    Extreme::Nothing | Extreme::Unknown => null.clone(),
                });
                Ok(ScalarValue::iter_to_array(values)?)
            };
            let counts = |of: fn(&Known) -> Option<u64>| -> Result<ArrayRef> {
                let counts = known().map(|known| of(known).map(number).transpose());
                Ok(Arc::new(Int64Array::from(
                    counts.collect::<Result<Vec<_>>>()?,
                )))
            };
            let parts = vec![
                values(|known| &known.lower)?,
                values(|known| &known.upper)?,
                counts(|known| known.nulls)?,
                counts(|known| known.nans)?,
            ];
            let there: NullBuffer = known().map(Known::is_there).collect::<Vec<bool>>().into();
            let metrics = StructArray::try_new(fields.clone(), parts, Some(there))?;
            Ok(Arc::new(metrics) as ArrayRef)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let fields = self.columns.iter().map(|column| Arc::clone(&column.arrow));
        Ok(Arc::new(StructArray::try_new(
            fields.collect(),
            columns,
            None,
        )?))
    }
}

impl Known {
    fn add(&mut self, column: &DataColumn, entry: &ManifestEntry) {
        let count = |counts: &[(i32, u64)]| {
            let found = counts.iter().find(|(id, _)| *id == column.id);
            found.map(|(_, count)| *count)
        };
        let nulls = count(&entry.null_value_counts);
        let values = count(&entry.value_counts);
        let add = |known: Option<u64>, more: Option<u64>| known.zip(more).map(|(a, b)| a + b);
        self.nulls = add(self.nulls, nulls);
        self.nans = add(self.nans, count(&entry.nan_value_counts));
        let empty = nulls.is_some() && nulls == values.or(Some(entry.record_count));
        let bound = |bounds: &[(i32, Box<[u8]>)]| {
            let (_, bytes) = bounds.iter().find(|(id, _)| *id == column.id)?;
            decode_bound(bytes, &column.of)
        };
        self.lower
            .meet(bound(&entry.lower_bounds), empty, &column.of, |new, old| {
                new < old
            });
        self.upper
            .meet(bound(&entry.upper_bounds), empty, &column.of, |new, old| {
                new > old
            });
    }

    /// Whether anything is known.
    fn is_there(&self) -> bool {
        let value = |extreme: &Extreme| matches!(extreme, Extreme::Value(_));
        value(&self.lower) || value(&self.upper) || self.nulls.is_some()
    }
}

impl Extreme {
    /// Takes in what a file has; `empty` says that it has no value but null.
    fn meet(
        &mut self,
        value: Option<PrimitiveLiteral>,
        empty: bool,
        of: &PrimitiveType,
        wins: fn(&ScalarValue, &ScalarValue) -> bool,
    ) {
        let Some(value) = value else {
            if !empty {
                *self = Self::Unknown;
            }
            return;
        };
        match self {
            Self::Unknown => {}
            Self::Nothing => *self = Self::Value(value),
            Self::Value(known) => match (scalar(&value, of), scalar(known, of)) {
                (Some(new), Some(old)) if wins(&new, &old) => *known = value,
                (Some(_), Some(_)) => {}
                _ => *self = Self::Unknown,
            },
        }
    }
}

impl Rows for PartitionRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn in_one_stream(&self) -> bool {
        true
    }

    fn stream(
        self: Arc<Self>,
        entries: Entries,
        projected: SchemaRef,
        context: &TaskContext,
    ) -> SendableRecordBatchStream {
        let reservation = MemoryConsumer::new("partitions").register(context.memory_pool());
        let schema = Arc::clone(&projected);
        let batches = async move {
            let mut partitions = BTreeMap::new();
            let mut each = Box::pin(entries.each());
            while let Some(entries) = each.try_next().await? {
                for entry in entries {
                    self.add(&mut partitions, entry, &reservation)?;
                }
            }
            let partitions: Vec<(Key, Partition)> = partitions.into_iter().collect();
            let starts = (0..partitions.len()).step_by(BATCH_PARTITIONS);
            Ok::<_, DataFusionError>(stream::iter(starts.map(move |from| {
                // What the partitions take stays reserved until the last of them is out.
                let _held = &reservation;
                let to = partitions.len().min(from + BATCH_PARTITIONS);
                Ok(self.batch(&partitions[from..to], &projected)?)
            })))
        };
        Box::pin(RecordBatchStreamAdapter::new(
            schema,
            stream::once(batches).try_flatten(),
        ))
    }
}

//! A table of events: a column that follows the rows' order (`id`, and `happened` with it), and one that doesn't (`visitor`,
//! with a Bloom filter). For queries that want a few rows, and for tables of many small files.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use arrow::array::{
    ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef, TimeUnit,
};
use futures::executor::block_on;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, ManifestWriterBuilder, NestedField, Operation, PrimitiveType, Schema, Type,
};
use landfast_proxy::demo::lake::manifest_entry;
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::{Place, avro, commit, empty, mix, snapshot_id};

/// Rows of one visitor, on average.
const ROWS_OF_A_VISITOR: u64 = 20;

const ROW_GROUP_ROWS: usize = 122_880;

/// 2025-01-01, in microseconds since 1970.
const BEGIN_US: i64 = 1_735_689_600_000_000;

/// What to write, and where.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) to: PathBuf,
    pub(crate) files: u64,
    /// Rows of each file.
    pub(crate) rows: u64,
    pub(crate) threads: usize,
}

/// Writes the table and gives its metadata's URI.
pub(crate) fn write(request: &Request) -> anyhow::Result<String> {
    let place = Place::create(&request.to)?;
    let schema = schema()?;
    let next = AtomicU64::new(0);
    let written = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let work = || -> anyhow::Result<()> {
            loop {
                let file = next.fetch_add(1, Ordering::Relaxed);
                if file >= request.files {
                    return Ok(());
                }
                let entry = data_file(&place, &schema, request, file)?;
                let mut written = written
                    .lock()
                    .map_err(|_| anyhow::anyhow!("a writer failed"))?;
                written.push((file, entry));
            }
        };
        let workers: Vec<_> = (0..request.threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a writer failed"))?
        })
    })?;
    let mut written = written.into_inner()?;
    written.sort_by_key(|(file, _)| *file);
    block_on(finish(&place, schema, request, written))
}

async fn finish(
    place: &Place,
    schema: Schema,
    request: &Request,
    written: Vec<(u64, DataFile)>,
) -> anyhow::Result<String> {
    let metadata = empty(place, schema)?;
    let id = snapshot_id(request.files ^ request.rows);
    let memory = FileIO::new_with_memory();
    let uri = place.uri("metadata/m0.avro");
    let mut writer = ManifestWriterBuilder::new(
        memory.new_output(&uri)?,
        Some(id),
        Arc::clone(metadata.current_schema()),
        metadata.default_partition_spec().as_ref().clone(),
    )
    .build_v2_data();
    for (_, entry) in written {
        writer.add_file(entry, 1)?;
    }
    let mut manifest = writer.write_manifest_file().await?;
    let packed = avro::deflate(&memory.new_input(&uri)?.read().await?)?;
    manifest.manifest_length = i64::try_from(packed.len())?;
    std::fs::write(place.path("metadata/m0.avro"), packed)?;
    commit(metadata, place, id, Operation::Append, vec![manifest]).await
}

const COLUMNS: [(&str, PrimitiveType, DataType); 6] = [
    ("id", PrimitiveType::Long, DataType::Int64),
    (
        "happened",
        PrimitiveType::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, None),
    ),
    ("visitor", PrimitiveType::Long, DataType::Int64),
    ("page", PrimitiveType::String, DataType::Utf8),
    (
        "amount",
        PrimitiveType::Decimal {
            precision: 12,
            scale: 2,
        },
        DataType::Decimal128(12, 2),
    ),
    ("token", PrimitiveType::String, DataType::Utf8),
];

fn schema() -> anyhow::Result<Schema> {
    let fields = COLUMNS
        .into_iter()
        .zip(1..)
        .map(|((name, of, _), id)| Arc::new(NestedField::required(id, name, Type::Primitive(of))));
    Ok(Schema::builder()
        .with_schema_id(0)
        .with_fields(fields)
        .build()?)
}

fn arrow_schema() -> ArrowSchemaRef {
    let fields: Vec<Field> = COLUMNS
        .into_iter()
        .zip(1..)
        .map(|((name, _, data_type), id): (_, i32)| {
            Field::new(name, data_type, false)
                .with_metadata([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())].into())
        })
        .collect();
    Arc::new(ArrowSchema::new(fields))
}

fn data_file(
    place: &Place,
    schema: &Schema,
    request: &Request,
    file: u64,
) -> anyhow::Result<DataFile> {
    let first = file * request.rows;
    let visitors = (request.files * request.rows / ROWS_OF_A_VISITOR).max(1);
    let batch = batch(first..first + request.rows, visitors)?;
    let name = format!("data/{file:05}.parquet");
    let path = place.path(&name);
    let visitor = ColumnPath::from("visitor");
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_truncate_length(None)
        .set_column_bloom_filter_enabled(visitor.clone(), true)
        .set_column_bloom_filter_max_ndv(visitor, request.rows.min(ROW_GROUP_ROWS as u64))
        .build();
    let out = File::create(&path).with_context(|| format!("{}", path.display()))?;
    let mut writer = ArrowWriter::try_new(out, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    let footer = writer.close()?;
    let bytes = std::fs::metadata(&path)?.len();
    Ok(manifest_entry(
        &place.uri(&name),
        bytes,
        None,
        schema,
        &footer,
    )?)
}

fn batch(ids: std::ops::Range<u64>, visitors: u64) -> anyhow::Result<RecordBatch> {
    let long = |of: &dyn Fn(u64) -> i64| ids.clone().map(of).collect::<Vec<i64>>();
    let text = |of: &dyn Fn(u64) -> String| {
        Arc::new(StringArray::from_iter_values(ids.clone().map(of))) as ArrayRef
    };
    let amounts = ids.clone().map(|id| i128::from(mix(id ^ 3) % 10_000_000));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(long(&|id| id.cast_signed()))),
        Arc::new(TimestampMicrosecondArray::from(long(&|id| {
            BEGIN_US + id.cast_signed() * 1_000_000 + (mix(id) % 1_000_000).cast_signed()
        }))),
        Arc::new(Int64Array::from(long(&|id| {
            (mix(id ^ 1) % visitors).cast_signed()
        }))),
        text(&|id| format!("/page/{}", mix(id ^ 2) % 1_000)),
        Arc::new(Decimal128Array::from_iter_values(amounts).with_precision_and_scale(12, 2)?),
        text(&|id| format!("{:016x}{:016x}", mix(id ^ 4), mix(id ^ 5))),
    ];
    Ok(RecordBatch::try_new(arrow_schema(), columns)?)
}

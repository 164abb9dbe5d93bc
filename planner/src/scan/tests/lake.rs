//! A small lake in a temporary directory: tables of Parquet files with field ids, at an origin and at a second site.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Int32Type, Int64Type, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::Result;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg::spec::{Datum, Literal, Struct, TableMetadata};
use landfast_catalog::{
    CatalogName, ColumnMetrics, DataFile, DeleteFile, DeleteIndex, ManifestFiles, SchemaName,
    SnapshotFiles, TableName, TableSnapshot,
};
use landfast_sites::{
    CanonicalUri, FileId, FileSpec, Holdings, Link, LinkSpec, MappingSpec, ReadLog, SiteId,
    SiteSpec, Sites, SitesSpec, StoreSpec, Timeouts,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::placement::{PlacementMode, PlacementPolicy};
use crate::scan::{
    DeleteCache, FooterCache, LakeTable, ScanContext, ScanSummary, keep_sound_dynamic_filters,
    physical_rules, scan_summaries,
};
use crate::types::FIELD_ID_KEY;

pub(super) const ROOT: &str = "gs://lake/db/t";

pub(super) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

/// Two sites: `cloud`, the origin of `gs://lake/`, and `here`, where the reader is.
pub(super) struct Lake {
    dir: TempDir,
    pub(super) sites: Arc<Sites>,
    pub(super) footers: Arc<FooterCache>,
    pub(super) deletes: Arc<DeleteCache>,
}

impl Lake {
    pub(super) fn new() -> Self {
        Self::linked(Duration::from_millis(40))
    }

    /// With a link to the origin that takes so long.
    pub(super) fn linked(latency: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["cloud", "here"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let spec = |name: &str, origin: bool| SiteSpec {
            id: site(name),
            store: StoreSpec::File(FileSpec {
                root: dir.path().join(name),
            }),
            mappings: ["gs://lake/", "gs://other/"]
                .map(|prefix| MappingSpec {
                    prefix: prefix.to_owned(),
                    at: Some(prefix.trim_start_matches("gs://").to_owned()),
                    origin,
                })
                .to_vec(),
            holdings: Holdings::Listed {
                refresh: Duration::from_secs(3600),
            },
            simulated: None,
            timeouts: Timeouts::default(),
        };
        let link = Link {
            latency,
            bandwidth_bytes_per_s: 125_000_000,
            usd_per_gib: 0.1,
        };
        let sites = Sites::new(SitesSpec {
            sites: vec![spec("cloud", true), spec("here", false)],
            links: vec![LinkSpec {
                from: site("cloud"),
                to: site("here"),
                link,
            }],
            reader: site("here"),
        });
        Self {
            dir,
            sites: sites.unwrap(),
            footers: Arc::new(FooterCache::new(64 << 20)),
            deletes: Arc::new(DeleteCache::new(64 << 20)),
        }
    }

    /// Where a site keeps a file of the lake.
    pub(super) fn path(&self, at: &str, uri: &str) -> PathBuf {
        self.dir
            .path()
            .join(at)
            .join(uri.trim_start_matches("gs://"))
    }

    /// Writes a Parquet file at the origin and says what a manifest would say of it.
    pub(super) fn write(
        &self,
        uri: &str,
        batch: &RecordBatch,
        spec_id: i32,
        partition: Vec<Option<Literal>>,
    ) -> DataFile {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(1000))
            .build();
        self.write_with(uri, batch, (spec_id, partition), properties)
    }

    pub(super) fn write_with(
        &self,
        uri: &str,
        batch: &RecordBatch,
        (spec_id, partition): (i32, Vec<Option<Literal>>),
        properties: WriterProperties,
    ) -> DataFile {
        let path = self.path("cloud", uri);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        let written = writer.close().unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        let partition: Struct = partition.into_iter().collect();
        let id = FileId::new(CanonicalUri::new(uri), Some(size));
        let mut file = DataFile::new(id, batch.num_rows() as u64, spec_id, partition);
        let offsets = written
            .row_groups()
            .iter()
            .filter_map(|group| group.file_offset());
        file.split_offsets = offsets.map(|offset| offset as u64).collect();
        file.columns = metrics(batch);
        file
    }

    /// Copies a file of the origin to the reader's site.
    pub(super) fn copy(&self, uri: &str) {
        let to = self.path("here", uri);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(self.path("cloud", uri), to).unwrap();
    }

    pub(super) fn context(&self, mode: PlacementMode) -> Arc<ScanContext> {
        Arc::new(ScanContext {
            sites: Arc::clone(&self.sites),
            footers: Arc::clone(&self.footers),
            deletes: Arc::clone(&self.deletes),
            placement: PlacementPolicy {
                mode,
                seconds_per_usd: 1.0,
            },
            sort_orders: true,
            log: ReadLog::new(),
            now_unix_ms: 1_000_000,
            first_listing_wait: Duration::from_secs(60),
        })
    }

    pub(super) fn table(&self, metadata: Value, files: Vec<DataFile>) -> Table {
        self.table_in(self.context(PlacementMode::Nearest), metadata, files)
    }

    /// A table with delete files.
    pub(super) fn table_with_deletes(
        &self,
        metadata: Value,
        files: Vec<DataFile>,
        deletes: Vec<DeleteFile>,
    ) -> Table {
        let mut table = self.table(metadata, files);
        let provider = Arc::into_inner(table.provider).unwrap();
        let index = DeleteIndex::new(provider.snapshot(), deletes.into());
        table.provider = Arc::new(provider.with_deletes(Arc::new(index)));
        table
    }

    /// Writes any file at the origin.
    pub(super) fn put(&self, uri: &str, bytes: &[u8]) -> FileId {
        let path = self.path("cloud", uri);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        FileId::new(CanonicalUri::new(uri), Some(bytes.len() as u64))
    }

    pub(super) fn table_in(
        &self,
        context: Arc<ScanContext>,
        metadata: Value,
        files: Vec<DataFile>,
    ) -> Table {
        let metadata: TableMetadata = serde_json::from_value(metadata).unwrap();
        let name = TableName::new(
            CatalogName::new("cat").unwrap(),
            SchemaName::new("db").unwrap(),
            "t",
        )
        .unwrap();
        let snapshot = TableSnapshot::new(
            name,
            CanonicalUri::new(format!("{ROOT}/metadata.json")),
            Arc::new(metadata),
        );
        let mut specs: Vec<i32> = files.iter().map(|file| file.spec_id).collect();
        specs.sort_unstable();
        specs.dedup();
        let manifests = specs.into_iter().map(|spec_id| {
            let files = files
                .iter()
                .filter(|file| file.spec_id == spec_id)
                .cloned()
                .collect();
            let id = FileId::new(CanonicalUri::new(format!("{ROOT}/m{spec_id}.avro")), None);
            Arc::new(ManifestFiles::new(id, spec_id, files))
        });
        let files = SnapshotFiles {
            manifests: manifests.collect(),
        };
        let table =
            LakeTable::new(Arc::new(snapshot), Arc::new(files), Arc::clone(&context)).unwrap();
        Table {
            provider: Arc::new(table),
            context,
        }
    }
}

/// A table, to be queried as `t`.
pub(super) struct Table {
    pub(super) provider: Arc<LakeTable>,
    pub(super) context: Arc<ScanContext>,
}

impl Table {
    pub(super) fn session(&self) -> SessionContext {
        self.session_of(4)
    }

    /// A session that runs a query in so many partitions.
    pub(super) fn session_of(&self, partitions: usize) -> SessionContext {
        let mut config = SessionConfig::new().with_target_partitions(partitions);
        keep_sound_dynamic_filters(config.options_mut());
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_physical_optimizer_rules(physical_rules());
        let context = SessionContext::new_with_state(state.build());
        context
            .register_table("t", Arc::<LakeTable>::clone(&self.provider))
            .unwrap();
        context
    }

    pub(super) async fn plan(&self, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
        self.session().sql(sql).await?.create_physical_plan().await
    }

    /// Plans and runs a query: its rows as text, and what its scans were planned to read.
    pub(super) async fn run(&self, sql: &str) -> Result<(String, Vec<ScanSummary>)> {
        self.run_in(4, sql).await
    }

    /// The same in so many partitions.
    pub(super) async fn run_in(
        &self,
        partitions: usize,
        sql: &str,
    ) -> Result<(String, Vec<ScanSummary>)> {
        let session = self.session_of(partitions);
        let plan = session.sql(sql).await?.create_physical_plan().await?;
        let summaries = scan_summaries(&plan);
        let batches = collect(plan, session.task_ctx()).await?;
        Ok((pretty_format_batches(&batches)?.to_string(), summaries))
    }

    /// The rows of a query, one text a row, values separated by a blank.
    pub(super) async fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.run(sql).await.unwrap().0)
    }

    /// The same of a query that runs in so many partitions.
    pub(super) async fn rows_in(&self, partitions: usize, sql: &str) -> Vec<String> {
        rows(&self.run_in(partitions, sql).await.unwrap().0)
    }

    pub(super) async fn error(&self, sql: &str) -> String {
        self.run(sql).await.unwrap_err().to_string()
    }

    /// How many files a query reads.
    pub(super) async fn files_read(&self, sql: &str) -> u64 {
        let summaries = scan_summaries(&self.plan(sql).await.unwrap());
        summaries
            .iter()
            .map(|scan| scan.files_total - scan.files_pruned)
            .sum()
    }
}

fn rows(table: &str) -> Vec<String> {
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(1);
    let cells = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        cells
            .iter()
            .map(|cell| if cell.is_empty() { "∅" } else { cell })
            .collect::<Vec<_>>()
            .join(" ")
    };
    lines.map(cells).collect()
}

/// A file of so many rows of `n` (field 1), from a number on, and of `s` (field 2): texts of 4 KiB, no two alike; 100 rows to
/// a row group.
pub(super) fn wide_file(lake: &Lake, uri: &str, from: i64, rows: i64) -> DataFile {
    file_of(lake, uri, from..from + rows, |n| format!("{n:04096}"))
}

/// A file of rows of `n` (field 1) and of the text `s` (field 2) that belongs to each; 100 rows to a row group.
pub(super) fn file_of(
    lake: &Lake,
    uri: &str,
    rows: Range<i64>,
    text: impl Fn(i64) -> String,
) -> DataFile {
    let text: Vec<String> = rows.clone().map(text).collect();
    let columns = vec![
        (field(1, "n", DataType::Int64), longs(rows.map(Some))),
        (
            field(2, "s", DataType::Utf8),
            texts(text.iter().map(|text| Some(text.as_str()))),
        ),
    ];
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .build();
    lake.write_with(uri, &batch(columns), (0, vec![]), properties)
}

/// A field with an id.
pub(super) fn field(id: i32, name: &str, of: DataType) -> Field {
    Field::new(name, of, true).with_metadata([(FIELD_ID_KEY.to_owned(), id.to_string())].into())
}

pub(super) fn batch(columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

pub(super) fn ints(values: impl IntoIterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int32Array>())
}

pub(super) fn longs(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

pub(super) fn doubles(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Float64Array>())
}

pub(super) fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

pub(super) fn bools(values: impl IntoIterator<Item = Option<bool>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<BooleanArray>())
}

pub(super) fn dates(values: impl IntoIterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Date32Array>())
}

/// One column of a table's schema, as metadata has it.
pub(in crate::scan) fn column(id: i32, name: &str, of: impl Into<Value>) -> Value {
    json!({"id": id, "name": name, "required": false, "type": of.into()})
}

/// A table's metadata; partition specs as lists of (source id, name, transform).
pub(in crate::scan) fn metadata(columns: Vec<Value>, specs: &[&[(i32, &str, &str)]]) -> Value {
    let mut next = 1000;
    let mut specs: Vec<Value> = specs
        .iter()
        .enumerate()
        .map(|(id, fields)| {
            let fields = fields.iter().map(|(source, name, transform)| {
                next += 1;
                json!({"source-id": source, "field-id": next - 1, "name": name, "transform": transform})
            });
            json!({"spec-id": id, "fields": fields.collect::<Vec<_>>()})
        })
        .collect();
    if specs.is_empty() {
        specs.push(json!({"spec-id": 0, "fields": []}));
    }
    json!({
        "format-version": 2, "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1", "location": ROOT,
        "last-sequence-number": 1, "last-updated-ms": 1, "last-column-id": 100,
        "current-schema-id": 0, "schemas": [{"type": "struct", "schema-id": 0, "fields": columns}],
        "default-spec-id": 0, "partition-specs": specs, "last-partition-id": next,
        "default-sort-order-id": 0, "sort-orders": [{"order-id": 0, "fields": []}], "properties": {},
    })
}

/// The same as a table of format version 3.
pub(in crate::scan) fn v3(mut metadata: Value) -> Value {
    metadata["format-version"] = json!(3);
    metadata["next-row-id"] = json!(0);
    metadata
}

/// What a writer with 16-character bounds records of top-level columns.
fn metrics(batch: &RecordBatch) -> Box<[ColumnMetrics]> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let mut known: Vec<ColumnMetrics> = columns
        .filter_map(|(field, array)| {
            let mut metrics = ColumnMetrics::new(crate::types::field_id(field)?);
            metrics.value_count = Some(array.len() as u64);
            metrics.null_count = Some(array.null_count() as u64);
            let text = array.as_string_opt::<i32>();
            let bytes = text.map_or(array.len() * 8, |text| text.value_data().len());
            metrics.size_bytes = Some(bytes as u64);
            bounds(&mut metrics, array);
            Some(metrics)
        })
        .collect();
    known.sort_by_key(|column| column.field_id);
    known.into()
}

fn bounds(metrics: &mut ColumnMetrics, array: &ArrayRef) {
    use arrow::compute::{max, max_string, min, min_string};
    let both = |lower: Option<Datum>, upper: Option<Datum>| {
        (
            lower.map(|v| v.literal().clone()),
            upper.map(|v| v.literal().clone()),
        )
    };
    (metrics.lower, metrics.upper) = match array.data_type() {
        DataType::Int32 => {
            let array = array.as_primitive::<Int32Type>();
            both(min(array).map(Datum::int), max(array).map(Datum::int))
        }
        DataType::Int64 => {
            let array = array.as_primitive::<Int64Type>();
            both(min(array).map(Datum::long), max(array).map(Datum::long))
        }
        DataType::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            both(min(array).map(Datum::date), max(array).map(Datum::date))
        }
        DataType::Float64 => {
            let values: Vec<f64> = array
                .as_primitive::<Float64Type>()
                .iter()
                .flatten()
                .collect();
            let numbers = values.iter().copied().filter(|v| !v.is_nan());
            metrics.nan_count = Some(values.iter().filter(|v| v.is_nan()).count() as u64);
            let (lower, upper) = (numbers.clone().reduce(f64::min), numbers.reduce(f64::max));
            both(lower.map(Datum::double), upper.map(Datum::double))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            let cut = |text: &str| text.chars().take(16).collect::<String>();
            let up = |text: &str| {
                let mut cut: Vec<char> = text.chars().take(16).collect();
                if text.chars().count() > 16 {
                    let last = cut.pop().unwrap();
                    cut.push(char::from_u32(last as u32 + 1).unwrap());
                }
                cut.into_iter().collect::<String>()
            };
            both(
                min_string(array).map(cut).map(Datum::string),
                max_string(array).map(up).map(Datum::string),
            )
        }
        _ => (None, None),
    };
}

/// A partition value.
pub(super) fn value(value: Datum) -> Option<Literal> {
    Some(Literal::Primitive(value.literal().clone()))
}

/// Replaces what is known of a column.
pub(super) fn set(file: &mut DataFile, id: i32, change: impl FnOnce(&mut ColumnMetrics)) {
    change(
        file.columns
            .iter_mut()
            .find(|column| column.field_id == id)
            .unwrap(),
    );
}

pub(super) fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

//! A share of a table's rows deleted, on the table's own data files: position deletes, deletion vectors or equality
//! deletes in a second snapshot. Which rows go depends on the table and the share alone, so that the three kinds of one
//! share must give the same answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use clap::ValueEnum;
use iceberg::TableIdent;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, ManifestFile,
    ManifestStatus, ManifestWriterBuilder, Operation, Struct, TableMetadata,
};
use iceberg::table::StaticTable;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{Place, commit, mix, snapshot_id, vector};

/// Reserved ids of a position delete file's columns.
const FILE_PATH_ID: i32 = i32::MAX - 101;
const POSITION_ID: i32 = i32::MAX - 102;

/// How rows are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A Parquet file of positions for each data file (format v2).
    Position,
    /// A Puffin file with a bitmap for each data file (format v3).
    Vector,
    /// A Parquet file of keys for each partition (format v2).
    Equality,
}

/// What to delete, and from which table.
#[derive(Debug)]
pub(crate) struct Request {
    /// The metadata file of the table without deletes.
    pub(crate) from: String,
    /// The folder of the new table's metadata and delete files.
    pub(crate) to: PathBuf,
    pub(crate) kind: Kind,
    /// From 0 to 1.
    pub(crate) share: f64,
    /// The columns that identify a row.
    pub(crate) key: Vec<String>,
}

/// Writes the second snapshot; gives the URI of its metadata file and the number of rows deleted.
pub(crate) async fn write(request: &Request) -> anyhow::Result<(String, u64)> {
    let io = FileIO::new_with_fs();
    let place = Place::create(&request.to)?;
    let base = Base::open(&request.from, &io).await?;
    let doomed = doomed(&base.files, request.share);
    let rows = doomed
        .iter()
        .map(|(_, positions)| positions.len() as u64)
        .sum();
    let writer = DeleteWriter {
        io,
        place,
        snapshot_id: snapshot_id(base.metadata.last_sequence_number().cast_unsigned() + 2),
    };
    let entries = match request.kind {
        Kind::Position => writer.positions(&doomed)?,
        Kind::Vector => writer.vectors(&doomed).await?,
        Kind::Equality => writer.keys(&base.metadata, &doomed, &request.key)?,
    };
    let metadata = match request.kind {
        Kind::Vector => {
            base.metadata
                .into_builder(None)
                .upgrade_format_version(FormatVersion::V3)?
                .build()?
                .metadata
        }
        Kind::Position | Kind::Equality => base.metadata,
    };
    let manifest = writer.manifest(&metadata, entries).await?;
    let mut manifests = base.manifests;
    manifests.push(manifest);
    let id = writer.snapshot_id;
    let uri = commit(metadata, &writer.place, id, Operation::Delete, manifests).await?;
    Ok((uri, rows))
}

/// The table without deletes.
struct Base {
    metadata: TableMetadata,
    manifests: Vec<ManifestFile>,
    files: Vec<DataFile>,
}

impl Base {
    async fn open(location: &str, io: &FileIO) -> anyhow::Result<Self> {
        let name = TableIdent::from_strs(["bench", "base"])?;
        let table = StaticTable::from_metadata_file(location, name, io.clone())
            .await?
            .into_table();
        let metadata = table.metadata().clone();
        let snapshot = metadata.current_snapshot().context("the table is empty")?;
        let list = table.manifest_list_reader(snapshot).load().await?;
        let mut files = Vec::new();
        for manifest in list.entries() {
            let manifest = manifest.load_manifest(io).await?;
            let live = manifest
                .entries()
                .iter()
                .filter(|entry| entry.status() != ManifestStatus::Deleted);
            files.extend(live.map(|entry| entry.data_file().clone()));
        }
        ensure!(
            files
                .iter()
                .all(|file| file.content_type() == DataContentType::Data),
            "the table has deletes already"
        );
        Ok(Self {
            metadata,
            manifests: list.entries().to_vec(),
            files,
        })
    }
}

/// The positions to delete of each file, in order; files that lose no row are left out.
fn doomed(files: &[DataFile], share: f64) -> Vec<(&DataFile, Vec<u64>)> {
    let threshold = (share * 2_f64.powi(64)) as u64;
    files
        .iter()
        .zip(0_u64..)
        .map(|(file, ordinal)| {
            let positions = (0..file.record_count())
                .filter(|position| mix((ordinal << 40) ^ position) < threshold)
                .collect();
            (file, positions)
        })
        .filter(|(_, positions): &(_, Vec<u64>)| !positions.is_empty())
        .collect()
}

type Doomed<'a> = [(&'a DataFile, Vec<u64>)];

struct DeleteWriter {
    io: FileIO,
    place: Place,
    snapshot_id: i64,
}

impl DeleteWriter {
    /// One file of positions for each data file, as Spark and Trino write them by default.
    fn positions(&self, doomed: &Doomed<'_>) -> anyhow::Result<Vec<DataFile>> {
        let schema = Arc::new(Schema::new(vec![
            field("file_path", DataType::Utf8, FILE_PATH_ID),
            field("pos", DataType::Int64, POSITION_ID),
        ]));
        let mut entries = Vec::new();
        for (number, (file, positions)) in doomed.iter().enumerate() {
            let path = file.file_path();
            let last = positions.last().copied().unwrap_or_default();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from(vec![path; positions.len()])),
                Arc::new(Int64Array::from_iter_values(
                    positions.iter().map(|position| position.cast_signed()),
                )),
            ];
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
            let name = format!("data/{number:05}-deletes.parquet");
            let bytes = write_parquet(&self.place.path(&name), &schema, &[batch])?;
            let bounds = |position: u64| {
                [
                    (FILE_PATH_ID, Datum::string(path)),
                    (POSITION_ID, Datum::long(position.cast_signed())),
                ]
            };
            let entry = DataFileBuilder::default()
                .content(DataContentType::PositionDeletes)
                .file_path(self.place.uri(&name))
                .file_format(DataFileFormat::Parquet)
                .partition(file.partition().clone())
                .record_count(positions.len() as u64)
                .file_size_in_bytes(bytes)
                .lower_bounds(bounds(positions[0]).into())
                .upper_bounds(bounds(last).into())
                .referenced_data_file(Some(path.to_owned()))
                .build()?;
            entries.push(entry);
        }
        Ok(entries)
    }

    /// One Puffin file for the whole table.
    async fn vectors(&self, doomed: &Doomed<'_>) -> anyhow::Result<Vec<DataFile>> {
        let name = "data/deletes.puffin";
        let uri = self.place.uri(name);
        let files: Vec<(String, Vec<u64>)> = doomed
            .iter()
            .map(|(file, positions)| (file.file_path().to_owned(), positions.clone()))
            .collect();
        let slices = vector::write(&self.io, &uri, &files).await?;
        let bytes = std::fs::metadata(self.place.path(name))?.len();
        let mut entries = Vec::new();
        for ((file, positions), slice) in doomed.iter().zip(slices) {
            let entry = DataFileBuilder::default()
                .content(DataContentType::PositionDeletes)
                .file_path(uri.clone())
                .file_format(DataFileFormat::Puffin)
                .partition(file.partition().clone())
                .record_count(positions.len() as u64)
                .file_size_in_bytes(bytes)
                .referenced_data_file(Some(file.file_path().to_owned()))
                .content_offset(Some(slice.offset))
                .content_size_in_bytes(Some(slice.bytes))
                .build()?;
            entries.push(entry);
        }
        Ok(entries)
    }

    /// One file of keys for each partition, as a streaming writer leaves after a checkpoint.
    fn keys(
        &self,
        metadata: &TableMetadata,
        doomed: &Doomed<'_>,
        key: &[String],
    ) -> anyhow::Result<Vec<DataFile>> {
        ensure!(!key.is_empty(), "equality deletes need --key");
        let ids = key
            .iter()
            .map(|name| {
                metadata
                    .current_schema()
                    .field_id_by_name(name)
                    .with_context(|| format!("no column {name}"))
            })
            .collect::<anyhow::Result<Vec<i32>>>()?;
        let mut partitions: BTreeMap<String, (&Struct, Vec<RecordBatch>)> = BTreeMap::new();
        for (file, positions) in doomed {
            let batches = read_keys(file, positions, key)?;
            let (_, found) = partitions
                .entry(format!("{:?}", file.partition()))
                .or_insert_with(|| (file.partition(), Vec::new()));
            found.extend(batches);
        }
        let mut entries = Vec::new();
        for (number, (partition, batches)) in partitions.into_values().enumerate() {
            let schema = batches
                .first()
                .context("a partition without keys")?
                .schema();
            let name = format!("data/{number:05}-keys.parquet");
            let bytes = write_parquet(&self.place.path(&name), &schema, &batches)?;
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let entry = DataFileBuilder::default()
                .content(DataContentType::EqualityDeletes)
                .file_path(self.place.uri(&name))
                .file_format(DataFileFormat::Parquet)
                .partition(partition.clone())
                .record_count(rows as u64)
                .file_size_in_bytes(bytes)
                .equality_ids(Some(ids.clone()))
                .build()?;
            entries.push(entry);
        }
        Ok(entries)
    }

    async fn manifest(
        &self,
        metadata: &TableMetadata,
        entries: Vec<DataFile>,
    ) -> anyhow::Result<ManifestFile> {
        let uri = self
            .place
            .uri(&format!("metadata/{}-deletes-m0.avro", self.snapshot_id));
        let builder = ManifestWriterBuilder::new(
            self.io.new_output(uri)?,
            Some(self.snapshot_id),
            Arc::clone(metadata.current_schema()),
            metadata.default_partition_spec().as_ref().clone(),
        );
        let mut writer = match metadata.format_version() {
            FormatVersion::V3 => builder.build_v3_deletes(),
            _ => builder.build_v2_deletes(),
        };
        for entry in entries {
            writer.add_file(entry, metadata.last_sequence_number() + 1)?;
        }
        Ok(writer.write_manifest_file().await?)
    }
}

/// The key columns of some rows of a data file, with their field ids.
fn read_keys(
    file: &DataFile,
    positions: &[u64],
    key: &[String],
) -> anyhow::Result<Vec<RecordBatch>> {
    let path = file.file_path().trim_start_matches("file://");
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).context(path.to_owned())?)?;
    let columns = ProjectionMask::columns(reader.parquet_schema(), key.iter().map(String::as_str));
    let rows = usize::try_from(file.record_count())?;
    let selection = RowSelection::from_consecutive_ranges(
        positions.iter().map(|&at| at as usize..at as usize + 1),
        rows,
    );
    let reader = reader
        .with_projection(columns)
        .with_row_selection(selection)
        .build()?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    for column in batches
        .iter()
        .flat_map(|batch| batch.schema().fields.to_vec())
    {
        ensure!(
            column.metadata().contains_key(PARQUET_FIELD_ID_META_KEY),
            "{path}: column {} has no field id",
            column.name()
        );
    }
    Ok(batches)
}

fn field(name: &str, data_type: DataType, id: i32) -> Field {
    Field::new(name, data_type, false)
        .with_metadata([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())].into())
}

/// Writes a Parquet file and gives its size.
fn write_parquet(path: &Path, schema: &SchemaRef, batches: &[RecordBatch]) -> anyhow::Result<u64> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(parquet::basic::ZstdLevel::try_new(1)?))
        .build();
    let file = File::create(path).with_context(|| format!("{}", path.display()))?;
    let mut writer = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties))?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.close()?;
    Ok(std::fs::metadata(path)?.len())
}

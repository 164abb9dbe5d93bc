//! The metadata of a table with one snapshot: manifests, manifest list, table metadata.

use std::collections::HashMap;

use iceberg::TableCreation;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, ManifestFile, ManifestListWriter, ManifestWriterBuilder, Operation,
    PartitionSpecRef, SchemaRef, Snapshot, Summary, TableMetadata, TableMetadataBuilder,
};

use super::data::WrittenFile;
use super::{LakeError, LakeSpec, TpchTable, create_dir, local};

/// The name of the schema that the tables' locations carry.
const SCHEMA_NAME: &str = "tpch";

/// Entries of one manifest; `lineitem` gets several, so that planning has manifests to leave out.
const MANIFEST_ENTRIES: usize = 24;

/// The first snapshot's sequence number.
const SEQUENCE_NUMBER: i64 = 1;

/// A table before it has data: its schema, its partitioning and its place.
pub(super) struct TablePlan {
    table: TpchTable,
    location: String,
    metadata: TableMetadata,
    schema: SchemaRef,
    partition_spec: PartitionSpecRef,
}

impl TablePlan {
    pub(super) fn new(spec: &LakeSpec, table: TpchTable) -> Result<Self, LakeError> {
        let location = format!("{}{}", spec.canonical, folder(table));
        let metadata = empty(table, &location).map_err(|e| fault(table, e))?;
        Ok(Self {
            table,
            location,
            schema: SchemaRef::clone(metadata.current_schema()),
            partition_spec: PartitionSpecRef::clone(metadata.default_partition_spec()),
            metadata,
        })
    }

    pub(super) fn table(&self) -> TpchTable {
        self.table
    }

    pub(super) fn location(&self) -> &str {
        &self.location
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A path of this table, below the lake's root.
    pub(super) fn relative(&self, name: &str) -> String {
        format!("{}/{name}", folder(self.table))
    }

    pub(super) fn fault(&self, source: iceberg::Error) -> LakeError {
        fault(self.table, source)
    }
}

fn folder(table: TpchTable) -> String {
    format!("{SCHEMA_NAME}/{table}")
}

fn fault(table: TpchTable, source: iceberg::Error) -> LakeError {
    LakeError::Iceberg {
        table,
        source: Box::new(source),
    }
}

fn empty(table: TpchTable, location: &str) -> iceberg::Result<TableMetadata> {
    let schema = table.iceberg_schema()?;
    let partition_spec = table.partition_spec(&schema)?;
    let creation = TableCreation::builder()
        .name(table.name().to_owned())
        .location(location.to_owned())
        .schema(schema)
        .partition_spec(partition_spec)
        .properties([(
            "write.parquet.compression-codec".to_owned(),
            "zstd".to_owned(),
        )])
        .format_version(FormatVersion::V2)
        .build();
    Ok(TableMetadataBuilder::from_table_creation(creation)?
        .build()?
        .metadata)
}

/// Writes all metadata of the table, the table metadata last, and returns its canonical URI.
pub(super) fn write(
    spec: &LakeSpec,
    plan: &TablePlan,
    files: &[WrittenFile],
) -> Result<String, LakeError> {
    // The library writes asynchronously, here into memory: nothing waits.
    let built = futures::executor::block_on(build(spec, plan, files));
    let Built { objects, location } = built.map_err(|e| plan.fault(e))?;
    for (relative, bytes) in objects {
        let path = local(&spec.root, &relative);
        if let Some(parent) = path.parent() {
            create_dir(parent)?;
        }
        std::fs::write(&path, bytes).map_err(|source| LakeError::File { path, source })?;
    }
    Ok(location)
}

/// Files to write, in order, by their path below the lake's root; and the table metadata's URI.
struct Built {
    objects: Vec<(String, Vec<u8>)>,
    location: String,
}

async fn build(spec: &LakeSpec, plan: &TablePlan, files: &[WrittenFile]) -> iceberg::Result<Built> {
    let memory = FileIO::new_with_memory();
    let commit = uuid::Uuid::new_v4();
    // As Iceberg's own: the id's halves folded into a positive number.
    let (high, low) = commit.as_u64_pair();
    let snapshot_id = ((high ^ low) & (u64::MAX >> 1)).cast_signed();
    let uri = |relative: &str| format!("{}{relative}", spec.canonical);

    let mut written = Vec::new();
    let mut manifests = Vec::new();
    for (number, part) in files.chunks(MANIFEST_ENTRIES).enumerate() {
        let relative = plan.relative(&format!("metadata/{commit}-m{number}.avro"));
        let entries = part.iter().map(|f| f.entry.clone());
        manifests.push(manifest(&memory, &uri(&relative), snapshot_id, plan, entries).await?);
        written.push(relative);
    }

    let list = plan.relative(&format!("metadata/snap-{snapshot_id}-1-{commit}.avro"));
    let output = memory.new_output(uri(&list))?;
    let mut writer =
        ManifestListWriter::v2(output.writer().await?, snapshot_id, None, SEQUENCE_NUMBER);
    writer.add_manifests(manifests.into_iter())?;
    writer.close().await?;
    written.push(list.clone());

    let snapshot = Snapshot::builder()
        .with_snapshot_id(snapshot_id)
        .with_sequence_number(SEQUENCE_NUMBER)
        .with_timestamp_ms(chrono::Utc::now().timestamp_millis())
        .with_manifest_list(uri(&list))
        .with_summary(summary(files))
        .with_schema_id(plan.schema.schema_id())
        .build();
    let metadata = plan
        .metadata
        .clone()
        .into_builder(None)
        .set_branch_snapshot(snapshot, "main")?
        .build()?
        .metadata;

    let mut objects = Vec::with_capacity(written.len() + 1);
    for relative in written {
        let bytes = memory.new_input(uri(&relative))?.read().await?;
        objects.push((relative, bytes.to_vec()));
    }
    let relative = plan.relative(&format!("metadata/00000-{commit}.metadata.json"));
    let location = uri(&relative);
    let json = serde_json::to_vec(&metadata)
        .map_err(|e| iceberg::Error::new(iceberg::ErrorKind::Unexpected, e.to_string()))?;
    objects.push((relative, json));
    Ok(Built { objects, location })
}

async fn manifest(
    memory: &FileIO,
    uri: &str,
    snapshot_id: i64,
    plan: &TablePlan,
    entries: impl Iterator<Item = DataFile>,
) -> iceberg::Result<ManifestFile> {
    let mut writer = ManifestWriterBuilder::new(
        memory.new_output(uri)?,
        Some(snapshot_id),
        SchemaRef::clone(&plan.schema),
        plan.partition_spec.as_ref().clone(),
    )
    .build_v2_data();
    for entry in entries {
        writer.add_file(entry, SEQUENCE_NUMBER)?;
    }
    writer.write_manifest_file().await
}

fn summary(files: &[WrittenFile]) -> Summary {
    let rows: u64 = files.iter().map(|f| f.file.rows).sum();
    let bytes: u64 = files.iter().map(|f| f.file.bytes).sum();
    let count = files.len();
    let entries = [
        ("added-data-files", count.to_string()),
        ("added-records", rows.to_string()),
        ("added-files-size", bytes.to_string()),
        ("total-data-files", count.to_string()),
        ("total-records", rows.to_string()),
        ("total-files-size", bytes.to_string()),
        ("total-delete-files", "0".to_owned()),
        ("total-position-deletes", "0".to_owned()),
        ("total-equality-deletes", "0".to_owned()),
        ("engine-name", "landfast".to_owned()),
    ];
    Summary {
        operation: Operation::Append,
        additional_properties: entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect::<HashMap<_, _>>(),
    }
}

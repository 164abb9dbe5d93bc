//! Iceberg tables for the benchmark: metadata written as other engines leave it, under `file://` URIs, so that every
//! engine reads the same files where they lie.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use iceberg::TableCreation;
use iceberg::io::FileIO;
use iceberg::spec::{
    FormatVersion, ManifestFile, ManifestListWriter, Operation, Schema, Snapshot, Summary,
    TableMetadata, TableMetadataBuilder,
};

pub(crate) mod avro;
pub(crate) mod deletes;
pub(crate) mod events;
pub(crate) mod planning;
pub(crate) mod vector;

/// A table's folder, and what its URIs begin with.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: PathBuf,
}

impl Place {
    /// Makes the folder, with those for metadata and data.
    pub(crate) fn create(dir: &Path) -> anyhow::Result<Self> {
        for part in ["metadata", "data"] {
            let path = dir.join(part);
            std::fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        }
        let dir = dir.canonicalize()?;
        Ok(Self { dir })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn uri(&self, name: &str) -> String {
        format!("file://{}/{name}", self.dir.display())
    }

    pub(crate) fn location(&self) -> String {
        format!("file://{}", self.dir.display())
    }
}

/// A table of format v2 without partitions and without data.
pub(crate) fn empty(place: &Place, schema: Schema) -> anyhow::Result<TableMetadata> {
    let creation = TableCreation::builder()
        .name("table".to_owned())
        .location(place.location())
        .schema(schema)
        .properties(HashMap::new())
        .format_version(FormatVersion::V2)
        .build();
    let built = TableMetadataBuilder::from_table_creation(creation)?.build()?;
    Ok(built.metadata)
}

/// Puts a snapshot of `manifests` on top of what the table has, and gives the URI of the new metadata file.
pub(crate) async fn commit(
    metadata: TableMetadata,
    place: &Place,
    snapshot_id: i64,
    operation: Operation,
    manifests: Vec<ManifestFile>,
) -> anyhow::Result<String> {
    let sequence_number = metadata.last_sequence_number() + 1;
    let parent = metadata.current_snapshot_id();
    let first_row_id = metadata.next_row_id();
    let io = FileIO::new_with_fs();
    let list = place.uri(&format!("metadata/snap-{snapshot_id}-1-list.avro"));
    let output = io.new_output(&list)?.writer().await?;
    let mut writer = match metadata.format_version() {
        FormatVersion::V3 => ManifestListWriter::v3(
            output,
            snapshot_id,
            parent,
            sequence_number,
            Some(first_row_id),
        ),
        _ => ManifestListWriter::v2(output, snapshot_id, parent, sequence_number),
    };
    writer.add_manifests(manifests.into_iter())?;
    let next_row_id = writer.next_row_id();
    writer.close().await?;

    let snapshot = Snapshot::builder()
        .with_snapshot_id(snapshot_id)
        .with_parent_snapshot_id(parent)
        .with_sequence_number(sequence_number)
        .with_timestamp_ms(now_ms()?)
        .with_manifest_list(list)
        .with_summary(Summary {
            operation,
            additional_properties: HashMap::from([(
                "engine-name".to_owned(),
                "landfast-bench".to_owned(),
            )]),
        })
        .with_schema_id(metadata.current_schema_id());
    let snapshot = match next_row_id {
        Some(next) => snapshot
            .with_row_range(first_row_id, next - first_row_id)
            .build(),
        None => snapshot.build(),
    };
    let metadata = metadata
        .into_builder(None)
        .set_location(place.location())
        .set_branch_snapshot(snapshot, "main")?
        .build()?
        .metadata;
    let name = format!("metadata/{sequence_number:05}-{snapshot_id}.metadata.json");
    std::fs::write(place.path(&name), serde_json::to_vec(&metadata)?)?;
    Ok(place.uri(&name))
}

fn now_ms() -> anyhow::Result<i64> {
    Ok(SystemTime::now()
        .duration_since(UNIX_EPOCH)?
        .as_millis()
        .try_into()?)
}

/// The splitmix64 generator's step: the same pseudo-random number for the same input, on every machine.
pub(crate) fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A positive snapshot id, the same for the same seed.
pub(crate) fn snapshot_id(seed: u64) -> i64 {
    (mix(seed) >> 1).cast_signed() | 1
}

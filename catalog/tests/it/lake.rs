//! A small lake: two sites as directories, tables written with Iceberg's own writers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, ManifestFile,
    ManifestListWriter, ManifestWriterBuilder, NestedField, PartitionSpec, PrimitiveType, Schema,
    SchemaRef, Struct, Transform, Type,
};
use landfast_catalog::{CatalogName, Clock, SchemaName, TableName};
use landfast_sites::{
    CanonicalUri, FileSpec, Holdings, Link, LinkSpec, MappingSpec, SiteId, SiteSpec, Sites,
    SitesSpec, StoreSpec, Timeouts,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The identity of the tables that [`Lake::table`] writes.
pub(crate) const UUID: &str = "9c12d441-03fe-4693-9a96-a0705ddf69c1";

/// A clock that only moves when it is told to.
#[derive(Debug)]
pub(crate) struct HandClock(Mutex<Instant>);

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    pub(crate) fn pass(&self, time: Duration) {
        *self.0.lock() += time;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Instant {
        *self.0.lock()
    }
}

/// `gs://lake/` has its origin at `cloud`; `near` is where the reader stands, and holds what was copied there.
pub(crate) struct Lake {
    dir: TempDir,
    pub(crate) sites: Arc<Sites>,
}

/// What one table is to look like.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) format_version: u8,
    /// Per manifest, the rows of its files.
    pub(crate) manifests: Vec<Vec<u64>>,
    pub(crate) deletes: bool,
    pub(crate) file_format: DataFileFormat,
    pub(crate) summary_files: Option<u64>,
    /// Tells the metadata and the manifest list of one table's snapshots apart.
    pub(crate) version: u32,
    /// Changes the document before it is written.
    pub(crate) edit: fn(&mut Value),
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            format_version: 2,
            manifests: vec![vec![10, 20], vec![30]],
            deletes: false,
            file_format: DataFileFormat::Parquet,
            summary_files: None,
            version: 1,
            edit: |_| {},
        }
    }
}

/// Where a written table's files are.
pub(crate) struct Written {
    pub(crate) metadata: CanonicalUri,
    pub(crate) list: String,
    pub(crate) manifests: Vec<String>,
}

impl Lake {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for site in ["cloud", "near"] {
            std::fs::create_dir(dir.path().join(site)).unwrap();
        }
        let site = |name: &str, origin: bool| SiteSpec {
            id: SiteId::new(name).unwrap(),
            store: StoreSpec::File(FileSpec {
                root: dir.path().join(name),
            }),
            mappings: vec![MappingSpec {
                prefix: "gs://lake/".into(),
                at: Some("lake".into()),
                origin,
            }],
            holdings: Holdings::AssumeAll,
            simulated: None,
            timeouts: Timeouts::default(),
        };
        let near = SiteId::new("near").unwrap();
        let link = Link {
            latency: Duration::from_millis(40),
            bandwidth_bytes_per_s: 1 << 27,
            usd_per_gib: 0.1,
        };
        let sites = Sites::new(SitesSpec {
            sites: vec![site("cloud", true), site("near", false)],
            links: vec![LinkSpec {
                from: SiteId::new("cloud").unwrap(),
                to: near.clone(),
                link,
            }],
            reader: near,
        })
        .unwrap();
        Self { dir, sites }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("catalog.db")
    }

    pub(crate) fn path(&self, site: &str, uri: &str) -> PathBuf {
        self.dir
            .path()
            .join(site)
            .join("lake")
            .join(uri.strip_prefix("gs://lake/").unwrap())
    }

    pub(crate) fn put(&self, site: &str, uri: &str, bytes: &[u8]) {
        let path = self.path(site, uri);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn get(&self, site: &str, uri: &str) -> Vec<u8> {
        std::fs::read(self.path(site, uri)).unwrap()
    }

    /// Copies a file from its origin to the near site.
    pub(crate) fn copy_near(&self, uri: &str) {
        self.put("near", uri, &self.get("cloud", uri));
    }

    /// Takes a site away, as an outage would.
    pub(crate) fn lose(&self, site: &str) {
        std::fs::remove_dir_all(self.dir.path().join(site)).unwrap();
    }

    /// Writes a table with one snapshot at the origin.
    pub(crate) async fn table(&self, name: &str, shape: Shape) -> Written {
        let root = format!("gs://lake/{name}");
        let snapshot_id = 3_055_729_675_574_597_004;
        let mut written = Vec::new();
        for (number, rows) in shape.manifests.iter().enumerate() {
            let uri = format!("{root}/metadata/m{number}.avro");
            written.push(
                self.manifest(&uri, &root, number, rows, snapshot_id, &shape)
                    .await,
            );
        }
        if shape.deletes {
            written.push(
                self.delete_manifest(&format!("{root}/metadata/deletes.avro"), &root, snapshot_id)
                    .await,
            );
        }
        let manifests = written
            .iter()
            .map(|manifest| manifest.manifest_path.clone())
            .collect();
        let version = shape.version;
        let list = format!("{root}/metadata/snap-{version}.avro");
        let path = self.path("cloud", &list);
        let output = FileIO::new_with_fs()
            .new_output(path.to_str().unwrap())
            .unwrap()
            .writer()
            .await
            .unwrap();
        let mut writer = match shape.format_version {
            1 => ManifestListWriter::v1(output, snapshot_id, None),
            _ => ManifestListWriter::v2(output, snapshot_id, None, 7),
        };
        writer.add_manifests(written.into_iter()).unwrap();
        writer.close().await.unwrap();
        let files = shape
            .summary_files
            .unwrap_or(shape.manifests.iter().map(|rows| rows.len() as u64).sum());
        let mut document = document(&root, shape.format_version, snapshot_id, &list, files);
        (shape.edit)(&mut document);
        let metadata = format!("{root}/metadata/0000{version}-a.metadata.json");
        self.put("cloud", &metadata, &serde_json::to_vec(&document).unwrap());
        Written {
            metadata: CanonicalUri::new(metadata),
            list,
            manifests,
        }
    }

    async fn manifest(
        &self,
        uri: &str,
        root: &str,
        number: usize,
        rows: &[u64],
        snapshot_id: i64,
        shape: &Shape,
    ) -> ManifestFile {
        let path = self.path("cloud", uri);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let output = FileIO::new_with_fs()
            .new_output(path.to_str().unwrap())
            .unwrap();
        let builder =
            ManifestWriterBuilder::new(output, Some(snapshot_id), schema(), partition_spec());
        let mut writer = if shape.format_version == 1 {
            builder.build_v1()
        } else {
            builder.build_v2_data()
        };
        for (at, rows) in rows.iter().enumerate() {
            let file = data_file(
                &format!("{root}/data/{number}-{at}.parquet"),
                *rows,
                shape.file_format,
            );
            match at {
                // Added without a number of its own, kept from before, and gone: each is inherited, kept or left out.
                0 => writer.add_file(file, -1).unwrap(),
                _ => writer.add_existing_file(file, 1, 5, Some(5)).unwrap(),
            }
        }
        let gone = data_file(
            &format!("{root}/data/{number}-gone.parquet"),
            1_000,
            shape.file_format,
        );
        writer.add_delete_file(gone, 3, Some(3)).unwrap();
        let mut manifest = writer.write_manifest_file().await.unwrap();
        manifest.manifest_path = uri.to_owned();
        manifest
    }

    async fn delete_manifest(&self, uri: &str, root: &str, snapshot_id: i64) -> ManifestFile {
        let path = self.path("cloud", uri);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let output = FileIO::new_with_fs()
            .new_output(path.to_str().unwrap())
            .unwrap();
        let builder =
            ManifestWriterBuilder::new(output, Some(snapshot_id), schema(), partition_spec());
        let mut writer = builder.build_v2_deletes();
        let file = DataFileBuilder::default()
            .content(DataContentType::PositionDeletes)
            .file_path(format!("{root}/data/deletes.parquet"))
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::from_iter([Some(Literal::date(19_000))]))
            .record_count(1)
            .file_size_in_bytes(100)
            .partition_spec_id(0)
            .build()
            .unwrap();
        writer.add_file(file, -1).unwrap();
        let mut manifest = writer.write_manifest_file().await.unwrap();
        manifest.manifest_path = uri.to_owned();
        manifest
    }
}

pub(crate) fn table_name(table: &str) -> TableName {
    TableName::new(
        CatalogName::new("lake").unwrap(),
        SchemaName::new("shop").unwrap(),
        table,
    )
    .unwrap()
}

fn schema() -> SchemaRef {
    let field = |id, name, of| Arc::new(NestedField::optional(id, name, Type::Primitive(of)));
    let fields = [
        field(1, "id", PrimitiveType::Long),
        field(2, "name", PrimitiveType::String),
        field(3, "day", PrimitiveType::Date),
    ];
    Arc::new(
        Schema::builder()
            .with_fields(fields)
            .with_schema_id(0)
            .build()
            .unwrap(),
    )
}

fn partition_spec() -> PartitionSpec {
    let builder = PartitionSpec::builder(schema()).with_spec_id(0);
    builder
        .add_partition_field("day", "day", Transform::Identity)
        .unwrap()
        .build()
        .unwrap()
}

fn data_file(path: &str, rows: u64, format: DataFileFormat) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(path.to_owned())
        .file_format(format)
        .partition(Struct::from_iter([Some(Literal::date(19_000))]))
        .record_count(rows)
        .file_size_in_bytes(rows * 100)
        .partition_spec_id(0)
        .value_counts(HashMap::from([(1, rows), (2, rows)]))
        .null_value_counts(HashMap::from([(1, 0), (2, 1)]))
        .column_sizes(HashMap::from([(1, rows * 8)]))
        .lower_bounds(HashMap::from([
            (1, Datum::long(1)),
            (2, Datum::string("a")),
        ]))
        .upper_bounds(HashMap::from([
            (1, Datum::long(rows as i64)),
            (2, Datum::string("z")),
        ]))
        .split_offsets(Some(vec![4, 50]))
        .build()
        .unwrap()
}

/// A metadata document as writers write it.
fn document(root: &str, format_version: u8, snapshot_id: i64, list: &str, files: u64) -> Value {
    let fields = json!([
        {"id": 1, "name": "id", "required": false, "type": "long"},
        {"id": 2, "name": "name", "required": false, "type": "string"},
        {"id": 3, "name": "day", "required": false, "type": "date"},
    ]);
    let spec_fields =
        json!([{"name": "day", "transform": "identity", "source-id": 3, "field-id": 1000}]);
    let mut snapshot = json!({
        "snapshot-id": snapshot_id,
        "timestamp-ms": 1_700_000_000_000_i64,
        "manifest-list": list,
        "summary": {"operation": "append", "total-data-files": files.to_string()},
        "schema-id": 0,
    });
    if format_version > 1 {
        snapshot["sequence-number"] = json!(7);
    }
    let mut document = json!({
        "format-version": format_version,
        "table-uuid": UUID,
        "location": root,
        "last-updated-ms": 1_700_000_000_000_i64,
        "last-column-id": 3,
        "schemas": [{"type": "struct", "schema-id": 0, "fields": fields}],
        "current-schema-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": spec_fields}],
        "default-spec-id": 0,
        "last-partition-id": 1000,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "default-sort-order-id": 0,
        "properties": {},
        "current-snapshot-id": snapshot_id,
        "snapshots": [snapshot],
        "snapshot-log": [{"snapshot-id": snapshot_id, "timestamp-ms": 1_700_000_000_000_i64}],
        "metadata-log": [],
    });
    match format_version {
        1 => {
            document["schema"] = json!({"type": "struct", "fields": fields});
            document["partition-spec"] = spec_fields;
        }
        _ => document["last-sequence-number"] = json!(7),
    }
    if format_version == 3 {
        document["next-row-id"] = json!(0);
    }
    document
}

//! A table with a history: three snapshots, two schemas, a branch and a tag.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, Datum, Literal, ManifestFile,
    ManifestListWriter, ManifestWriterBuilder, NestedField, PartitionSpec, PrimitiveType,
    Schema as IcebergSchema, Struct, Transform, Type,
};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::lake::Lake;
use crate::types::FIELD_ID_KEY;

/// Noon of 10, 20 and 30 January 2026.
pub(super) const NOONS: [i64; 3] = [1_768_046_400_000, 1_768_910_400_000, 1_769_774_400_000];

/// The table's root.
pub(super) const ROOT: &str = "gs://lake/events";

impl Lake {
    /// `lake.tpch.events`: snapshots 11, 22 and 33 of 10, 20 and 30 January 2026 at noon, UTC, of one file each. The first
    /// has the columns `id` and `day`, later ones `name` too. The branch `audit` is at 22, the tag `first` at 11.
    /// Partitioned by `day`.
    pub(super) async fn with_history() -> Self {
        let lake = Self::new().await;
        lake.register_history("lake.tpch.events", |_| {}).await;
        lake
    }

    /// The same table under another name, its metadata changed.
    pub(super) async fn register_history(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let store = self.store();
        let mut manifests: Vec<ManifestFile> = Vec::new();
        let mut snapshots = Vec::new();
        for (nth, id) in [11_i64, 22, 33].into_iter().enumerate() {
            manifests.push(manifest(&store, nth, id).await);
            let list = format!("{ROOT}/metadata/snap-{id}.avro");
            let output = FileIO::new_with_fs()
                .new_output(path(&store, &list))
                .unwrap();
            let parent = (nth > 0).then_some(id - 11);
            let sequence = nth as i64 + 1;
            let mut writer =
                ManifestListWriter::v2(output.writer().await.unwrap(), id, parent, sequence);
            writer.add_manifests(manifests.clone().into_iter()).unwrap();
            writer.close().await.unwrap();
            // What the next list says of these, a reader of the list has to have filled in.
            for manifest in &mut manifests {
                if manifest.sequence_number < 0 {
                    manifest.sequence_number = sequence;
                    manifest.min_sequence_number = sequence;
                }
            }
            let mut snapshot = json!({
                "snapshot-id": id, "sequence-number": sequence, "timestamp-ms": NOONS[nth], "manifest-list": list,
                "summary": {"operation": "append", "added-records": "2"}, "schema-id": nth.min(1),
            });
            if let Some(parent) = parent {
                snapshot["parent-snapshot-id"] = json!(parent);
            }
            snapshots.push(snapshot);
        }
        let mut document = document(snapshots);
        edit(&mut document);
        let uri = format!("{ROOT}/metadata/{}.metadata.json", name.replace('"', ""));
        std::fs::write(path(&store, &uri), document.to_string()).unwrap();
        self.run(&format!("CALL landfast.register_table('{name}', '{uri}')"))
            .await
            .unwrap();
    }
}

fn path(store: &Path, uri: &str) -> String {
    let path = store.join(uri.trim_start_matches("gs://"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn document(snapshots: Vec<Value>) -> Value {
    let field =
        |id, name: &str, of: &str| json!({"id": id, "name": name, "required": false, "type": of});
    let log = [11, 22, 33]
        .iter()
        .zip(NOONS)
        .map(|(id, at)| json!({"snapshot-id": id, "timestamp-ms": at}));
    json!({
        "format-version": 2, "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1", "location": ROOT,
        "last-sequence-number": 3, "last-updated-ms": NOONS[2], "last-column-id": 3, "current-schema-id": 1,
        "schemas": [
            {"type": "struct", "schema-id": 0, "fields": [field(1, "id", "long"), field(3, "day", "date")]},
            {"type": "struct", "schema-id": 1,
             "fields": [field(1, "id", "long"), field(2, "name", "string"), field(3, "day", "date")]},
        ],
        "default-spec-id": 0, "last-partition-id": 1000,
        "partition-specs": [{"spec-id": 0,
            "fields": [{"name": "day", "transform": "identity", "source-id": 3, "field-id": 1000}]}],
        "default-sort-order-id": 0, "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": {"owner": "ada", "write.format.default": "parquet"}, "current-snapshot-id": 33,
        "snapshots": snapshots, "snapshot-log": log.collect::<Vec<_>>(),
        "metadata-log": [{"metadata-file": format!("{ROOT}/metadata/v0.metadata.json"), "timestamp-ms": NOONS[1]}],
        "refs": {
            "main": {"snapshot-id": 33, "type": "branch"},
            "audit": {"snapshot-id": 22, "type": "branch", "min-snapshots-to-keep": 2},
            "first": {"snapshot-id": 11, "type": "tag", "max-ref-age-ms": 1000},
        },
    })
}

/// Days of the files' partitions.
const DAYS: [i32; 3] = [20_463, 20_473, 20_483];

/// A manifest of one file of two rows: ids 10 and 11 times the file's number from one.
async fn manifest(store: &Path, nth: usize, snapshot_id: i64) -> ManifestFile {
    let with_name = nth > 0;
    let id = |n: i64| (nth as i64 + 1) * n;
    let field = |id: i32, name: &str, of| {
        Field::new(name, of, true).with_metadata([(FIELD_ID_KEY.to_owned(), id.to_string())].into())
    };
    let mut columns: Vec<(Field, ArrayRef)> = vec![(
        field(1, "id", DataType::Int64),
        Arc::new(Int64Array::from(vec![id(10), id(11)])),
    )];
    if with_name {
        let names = StringArray::from(vec![Some(format!("n{}", id(10))), None]);
        columns.push((field(2, "name", DataType::Utf8), Arc::new(names)));
    }
    columns.push((
        field(3, "day", DataType::Date32),
        Arc::new(Date32Array::from(vec![DAYS[nth]; 2])),
    ));
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let uri = format!("{ROOT}/data/{snapshot_id}.parquet");
    let file = std::fs::File::create(path(store, &uri)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let size = std::fs::metadata(path(store, &uri)).unwrap().len();

    let of = |id, name, of| Arc::new(NestedField::optional(id, name, Type::Primitive(of)));
    let mut fields = vec![
        of(1, "id", PrimitiveType::Long),
        of(3, "day", PrimitiveType::Date),
    ];
    if with_name {
        fields.insert(1, of(2, "name", PrimitiveType::String));
    }
    let schema = IcebergSchema::builder()
        .with_fields(fields)
        .with_schema_id(nth.min(1) as i32);
    let schema = Arc::new(schema.build().unwrap());
    let spec = PartitionSpec::builder(Arc::clone(&schema)).with_spec_id(0);
    let spec = spec.add_partition_field("day", "day", Transform::Identity);
    let uri_of_manifest = format!("{ROOT}/metadata/m{nth}.avro");
    let output = FileIO::new_with_fs()
        .new_output(path(store, &uri_of_manifest))
        .unwrap();
    let builder = ManifestWriterBuilder::new(
        output,
        Some(snapshot_id),
        schema,
        spec.unwrap().build().unwrap(),
    );
    let mut writer = builder.build_v2_data();
    let mut counts = vec![(1, 2_u64), (3, 2)];
    let mut nulls = vec![(1, 0_u64), (3, 0)];
    let mut lower = vec![(1, Datum::long(id(10))), (3, Datum::date(DAYS[nth]))];
    let upper_name = Datum::string(format!("n{}", id(10)));
    let mut upper = vec![(1, Datum::long(id(11))), (3, Datum::date(DAYS[nth]))];
    if with_name {
        counts.push((2, 2));
        nulls.push((2, 1));
        lower.push((2, upper_name.clone()));
        upper.push((2, upper_name));
    }
    let file = DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(uri)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::date(DAYS[nth]))]))
        .record_count(2)
        .file_size_in_bytes(size)
        .partition_spec_id(0)
        .column_sizes(counts.iter().map(|(id, _)| (*id, 50)).collect())
        .value_counts(counts.into_iter().collect())
        .null_value_counts(nulls.into_iter().collect())
        .lower_bounds(lower.into_iter().collect())
        .upper_bounds(upper.into_iter().collect())
        .split_offsets(Some(vec![4]))
        .build()
        .unwrap();
    writer.add_file(file, nth as i64 + 1).unwrap();
    let mut manifest = writer.write_manifest_file().await.unwrap();
    manifest.manifest_path = uri_of_manifest;
    manifest
}

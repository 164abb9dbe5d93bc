//! Manifests as several writers write them, and as nobody should.

use iceberg::spec::{
    Literal, ManifestContentType, ManifestStatus, PrimitiveLiteral, PrimitiveType,
};
use landfast_sites::{CanonicalUri, FileId};
use proptest::prelude::*;

use super::*;
use crate::avro::tests::{blob, file, long};
use crate::files::{ManifestSummary, WantedColumn};

/// A manifest's schema as version 3 has it, with ids, an unknown field in each record and a partition of three fields.
fn schema_v3() -> String {
    let map = |name: &str, id: i32, value: &str| {
        format!(
            r#"{{"name": "{name}", "field-id": {id}, "type": ["null", {{"type": "array", "logicalType": "map",
            "items": {{"type": "record", "name": "k{id}", "fields": [
                {{"name": "key", "type": "int", "field-id": {}}},
                {{"name": "value", "type": "{value}", "field-id": {}}}]}}}}]}}"#,
            id + 1000,
            id + 2000
        )
    };
    let optional = |name: &str, id: i32, of: &str| {
        format!(
            r#"{{"name": "{name}", "field-id": {id}, "type": ["null", "{of}"], "default": null}}"#
        )
    };
    let fields = [
        r#"{"name": "content", "field-id": 134, "type": "int"}"#.to_owned(),
        r#"{"name": "file_path", "field-id": 100, "type": "string"}"#.to_owned(),
        r#"{"name": "file_format", "field-id": 101, "type": "string"}"#.to_owned(),
        r#"{"name": "partition", "field-id": 102, "type": {"type": "record", "name": "r102", "fields": [
            {"name": "day", "field-id": 1000, "type": ["null", {"type": "int", "logicalType": "date"}]},
            {"name": "price", "field-id": 1001, "type": [{"type": "fixed", "name": "d", "size": 3,
                "logicalType": "decimal", "precision": 6, "scale": 2}, "null"]},
            {"name": "gone", "field-id": 1002, "type": ["null", "string"]}]}}"#
            .to_owned(),
        r#"{"name": "record_count", "field-id": 103, "type": "long"}"#.to_owned(),
        r#"{"name": "file_size_in_bytes", "field-id": 104, "type": "long"}"#.to_owned(),
        r#"{"name": "later", "field-id": 999, "type": {"type": "map", "values": "double"}}"#.to_owned(),
        map("column_sizes", 108, "long"),
        map("value_counts", 109, "long"),
        map("null_value_counts", 110, "long"),
        map("nan_value_counts", 137, "long"),
        map("lower_bounds", 125, "bytes"),
        map("upper_bounds", 128, "bytes"),
        optional("key_metadata", 131, "bytes"),
        r#"{"name": "split_offsets", "field-id": 132, "type": ["null", {"type": "array", "items": "long"}]}"#
            .to_owned(),
        optional("sort_order_id", 140, "int"),
        optional("first_row_id", 142, "long"),
    ];
    format!(
        r#"{{"type": "record", "name": "manifest_entry", "fields": [
        {{"name": "status", "field-id": 0, "type": "int"}},
        {{"name": "snapshot_id", "field-id": 1, "type": ["null", "long"]}},
        {{"name": "sequence_number", "field-id": 3, "type": ["null", "long"]}},
        {{"name": "file_sequence_number", "field-id": 4, "type": ["null", "long"]}},
        {{"name": "data_file", "field-id": 2, "type": {{"type": "record", "name": "r2", "fields": [{}]}}}}]}}"#,
        fields.join(",")
    )
}

#[derive(Clone)]
struct Written {
    status: i64,
    sequence_number: Option<i64>,
    content: i64,
    path: String,
    format: &'static str,
    rows: i64,
    lower: Vec<(i32, Vec<u8>)>,
    upper: Vec<(i32, Vec<u8>)>,
    first_row_id: Option<i64>,
    encrypted: bool,
}

impl Written {
    fn new(number: usize) -> Self {
        Self {
            status: 1,
            sequence_number: None,
            content: 0,
            path: format!(
                "gs://lake/t/data/{number:05}-0-3f9c1d52-77aa-4c0e-9a53-0c1e0a1b2c3d-00001.parquet"
            ),
            format: "PARQUET",
            rows: 1000,
            lower: vec![],
            upper: vec![],
            first_row_id: None,
            encrypted: false,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let optional = |value: Option<i64>| match value {
            Some(value) => [long(1), long(value)].concat(),
            None => long(0),
        };
        let bounds = |bounds: &[(i32, Vec<u8>)]| {
            let mut bytes = long(1);
            if !bounds.is_empty() {
                bytes.extend(long(bounds.len() as i64));
            }
            for (id, bound) in bounds {
                bytes.extend(long(i64::from(*id)));
                bytes.extend(blob(bound));
            }
            bytes.extend(long(0));
            bytes
        };
        let counts = |ids: &[(i32, Vec<u8>)], count: i64| {
            let mut bytes = long(1);
            if !ids.is_empty() {
                bytes.extend(long(ids.len() as i64));
            }
            for (id, _) in ids {
                bytes.extend(long(i64::from(*id)));
                bytes.extend(long(count));
            }
            bytes.extend(long(0));
            bytes
        };
        [
            long(self.status),
            long(0),
            optional(self.sequence_number),
            optional(self.sequence_number),
            long(self.content),
            blob(self.path.as_bytes()),
            blob(self.format.as_bytes()),
            // The partition: a day, a price of -1.00, and null.
            [
                long(1),
                long(19_000),
                long(0),
                vec![0xff, 0xff, 0x9c],
                long(0),
            ]
            .concat(),
            long(self.rows),
            long(5_000_000 + self.rows * 7),
            // A map that nobody knows.
            [long(1), blob(b"a"), vec![0; 8], long(0)].concat(),
            counts(&self.lower, 40_000 + self.rows % 97),
            counts(&self.lower, self.rows),
            counts(&self.lower, 0),
            long(0),
            bounds(&self.lower),
            bounds(&self.upper),
            if self.encrypted {
                [long(1), blob(b"key")].concat()
            } else {
                long(0)
            },
            [long(1), long(1), long(4), long(0)].concat(),
            long(0),
            optional(self.first_row_id),
        ]
        .concat()
    }
}

/// A header schema that has a variant: nobody needs to understand it.
const TABLE_SCHEMA: &[u8] =
    br#"{"type": "struct", "fields": [{"id": 1, "name": "v", "type": "variant", "required": false}]}"#;

const SPEC: &[u8] =
    br#"[{"name": "day", "transform": "identity", "source-id": 1, "field-id": 1000},
    {"name": "gone", "transform": "identity", "source-id": 3, "field-id": 1002},
    {"name": "price", "transform": "identity", "source-id": 2, "field-id": 1001},
    {"name": "never", "transform": "void", "source-id": 4, "field-id": 1003}]"#;

fn manifest(codec: &str, entries: &[Written]) -> Vec<u8> {
    manifest_of_spec(codec, entries, "0")
}

fn manifest_of_spec(codec: &str, entries: &[Written], spec_id: &str) -> Vec<u8> {
    let schema = schema_v3();
    let header: [(&str, &[u8]); 6] = [
        ("avro.schema", schema.as_bytes()),
        ("schema", TABLE_SCHEMA),
        ("partition-spec", SPEC),
        ("partition-spec-id", spec_id.as_bytes()),
        ("format-version", b"3"),
        ("content", b"data"),
    ];
    let blocks = entries.chunks(100).map(|entries| {
        let block = entries.iter().flat_map(Written::encode).collect();
        (entries.len() as i64, block)
    });
    file(&header, codec, &blocks.collect::<Vec<_>>())
}

fn summary() -> ManifestSummary {
    let id = FileId::new(CanonicalUri::new("gs://lake/t/metadata/m.avro"), None);
    let mut summary = ManifestSummary::new(id, 0);
    summary.sequence_number = 9;
    summary.first_row_id = Some(500);
    summary
}

const WANTED: [WantedColumn; 2] = [(1, PrimitiveType::Long), (2, PrimitiveType::String)];

#[test]
fn a_v3_manifest_with_a_variant_in_its_schema_is_read_under_every_codec() {
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let entries: Vec<Written> = (0..250).map(Written::new).collect();
        let files = parse(&manifest(codec, &entries), &summary()).unwrap();
        assert_eq!((files.len(), files.rows_total()), (250, 250_000), "{codec}");
        for (at, entry) in entries.iter().enumerate() {
            let file = files.file(at, &WANTED);
            assert_eq!(file.id.uri.as_str(), entry.path);
            assert_eq!(&*file.split_offsets, [4]);
        }
    }
}

#[test]
fn a_manifest_of_another_partition_spec_than_listed_is_refused_and_never_shared() {
    let mut listed = summary();
    assert!(parse(&manifest_of_spec("null", &[Written::new(0)], "7"), &listed).is_err());
    let key = crate::metadata::manifest_key(&listed);
    listed.spec_id = 7;
    assert!(parse(&manifest_of_spec("null", &[Written::new(0)], "7"), &listed).is_ok());
    assert_ne!(crate::metadata::manifest_key(&listed), key);
    let key = crate::metadata::manifest_key(&listed);
    listed.content = ManifestContentType::Deletes;
    assert_ne!(crate::metadata::manifest_key(&listed), key);
}

#[test]
fn partition_values_are_typed_by_the_manifest_and_stand_in_the_specs_order() {
    let files = parse(&manifest("null", &[Written::new(0)]), &summary()).unwrap();
    let literal = |value| Some(Literal::Primitive(value));
    assert_eq!(
        files.file(0, &[]).partition.fields(),
        [
            literal(PrimitiveLiteral::Int(19_000)),
            None,
            literal(PrimitiveLiteral::Int128(-100)),
            None,
        ]
    );
}

#[test]
fn row_ids_are_given_in_order_to_live_files_that_have_none() {
    let mut entries: Vec<Written> = (0..4).map(Written::new).collect();
    entries[1].first_row_id = Some(7);
    entries[1].status = 0;
    entries[1].sequence_number = Some(3);
    entries[2].status = 2;
    entries[2].sequence_number = Some(3);
    let bytes = manifest("null", &entries);
    let files = parse(&bytes, &summary()).unwrap();
    let ids: Vec<_> = (0..3).map(|at| files.file(at, &[]).first_row_id).collect();
    assert_eq!(ids, [Some(500), Some(7), Some(1500)]);
    let numbers: Vec<_> = (0..3)
        .map(|at| files.file(at, &[]).sequence_number)
        .collect();
    assert_eq!(numbers, [9, 3, 9]);
    let whole = parse_entries(&bytes, &summary()).unwrap();
    let rows: Vec<_> = whole
        .iter()
        .map(|entry| (entry.status, entry.sequence_number, entry.first_row_id))
        .collect();
    assert_eq!(
        rows,
        [
            (ManifestStatus::Added, Some(9), Some(500)),
            (ManifestStatus::Existing, Some(3), Some(7)),
            (ManifestStatus::Deleted, Some(3), None),
            (ManifestStatus::Added, Some(9), Some(1500)),
        ]
    );
}

#[test]
fn an_existing_file_without_a_sequence_number_is_refused_by_name() {
    let mut entry = Written::new(3);
    entry.status = 0;
    let refusal = parse(&manifest("null", &[entry.clone()]), &summary()).unwrap_err();
    assert!(matches!(&refusal, Refusal::Invalid(reason) if reason.contains(&entry.path)));
    let mut first = summary();
    first.sequence_number = 0;
    let files = parse(&manifest("null", &[entry]), &first).unwrap();
    assert_eq!(files.file(0, &[]).sequence_number, 0, "as v1 has it");
}

#[test]
fn other_formats_encryption_and_deletes_among_data_are_refused() {
    let refused = |change: fn(&mut Written)| {
        let mut entry = Written::new(0);
        change(&mut entry);
        let refusal = parse(&manifest("null", &[Written::new(1), entry]), &summary());
        refusal.unwrap_err()
    };
    for format in ["ORC", "avro"] {
        let refusal = match format {
            "ORC" => refused(|entry| entry.format = "ORC"),
            _ => refused(|entry| entry.format = "avro"),
        };
        assert!(
            matches!(&refusal, Refusal::Unsupported(feature) if feature.contains(format) && feature.contains("00000-0")),
            "{refusal:?}"
        );
    }
    let refusal = refused(|entry| entry.encrypted = true);
    assert!(matches!(&refusal, Refusal::Unsupported(feature) if feature.contains("encrypted")));
    let refusal = refused(|entry| entry.content = 2);
    assert!(matches!(&refusal, Refusal::Invalid(reason) if reason.contains("00000-0")));
    let gone = |entry: &mut Written| {
        entry.status = 2;
        entry.format = "ORC";
    };
    let mut entry = Written::new(0);
    gone(&mut entry);
    assert!(
        parse(&manifest("null", &[entry]), &summary())
            .unwrap()
            .is_empty(),
        "gone"
    );
    let mut deletes = summary();
    deletes.content = ManifestContentType::Deletes;
    assert!(matches!(
        parse_deletes(&manifest("null", &[]), &deletes),
        Err(Refusal::Damaged(_))
    ));
}

#[test]
fn a_bound_that_is_no_value_of_its_column_is_ignored_alone() {
    let mut entry = Written::new(0);
    entry.lower = vec![(1, vec![1, 2, 3]), (2, vec![0xff, 0xfe])];
    entry.upper = vec![(1, 5_i64.to_le_bytes().to_vec()), (2, b"z".to_vec())];
    let files = parse(&manifest("null", &[entry]), &summary()).unwrap();
    let file = files.file(0, &WANTED);
    let (number, text) = (file.column(1).unwrap(), file.column(2).unwrap());
    assert_eq!((&number.lower, &text.lower), (&None, &None));
    assert_eq!(number.upper, Some(PrimitiveLiteral::Long(5)));
    assert_eq!(text.upper, Some(PrimitiveLiteral::String("z".into())));
    assert_eq!(number.null_count, Some(0));
}

#[test]
fn a_writer_without_field_ids_is_read_by_names() {
    let strip = |schema: &str| {
        let mut json: serde_json::Value = serde_json::from_str(schema).unwrap();
        fn without_ids(json: &mut serde_json::Value) {
            match json {
                serde_json::Value::Object(object) => {
                    object.remove("field-id");
                    object.values_mut().for_each(without_ids);
                }
                serde_json::Value::Array(items) => items.iter_mut().for_each(without_ids),
                _ => {}
            }
        }
        without_ids(&mut json);
        json.to_string()
    };
    let schema = strip(&schema_v3());
    let entries: Vec<Written> = (0..3).map(Written::new).collect();
    let block = entries.iter().flat_map(Written::encode).collect();
    let bytes = file(&[("avro.schema", schema.as_bytes())], "null", &[(3, block)]);
    let files = parse(&bytes, &summary()).unwrap();
    assert_eq!((files.len(), files.rows_total()), (3, 3000));
    assert_eq!(
        files.file(2, &[]).partition.fields().len(),
        3,
        "in the order written"
    );
}

#[test]
fn totals_are_what_all_files_have_together() {
    let entries = (0..200).map(|at| {
        let mut entry = Written::new(at);
        let number = (at as i64 * 37) % 101;
        entry.lower = vec![
            (1, number.to_le_bytes().to_vec()),
            (2, format!("k{number:03}").into_bytes()),
        ];
        entry.upper = vec![
            (1, (number + 5).to_le_bytes().to_vec()),
            (2, format!("k{number:03}~").into_bytes()),
        ];
        entry
    });
    let files = parse(
        &manifest("deflate", &entries.collect::<Vec<_>>()),
        &summary(),
    )
    .unwrap();
    let (number, text) = (files.total(&WANTED[0]), files.total(&WANTED[1]));
    assert_eq!(number.lower, Some(PrimitiveLiteral::Long(0)));
    assert_eq!(number.upper, Some(PrimitiveLiteral::Long(105)));
    assert_eq!(
        (number.null_count, number.value_count),
        (Some(0), Some(200_000))
    );
    assert_eq!(number.nan_count, None);
    assert_eq!(text.lower, Some(PrimitiveLiteral::String("k000".into())));
    assert_eq!(text.upper, Some(PrimitiveLiteral::String("k100~".into())));
    for wanted in &WANTED {
        let some = [3_usize, 64, 65, 199];
        let rows = some.map(|at| files.file(at, std::slice::from_ref(wanted)).columns[0].clone());
        let together = rows
            .into_iter()
            .reduce(|left, right| left.and(right))
            .unwrap();
        assert_eq!(files.total_of(wanted, &some), together);
        let all: Vec<usize> = (0..files.len()).collect();
        assert_eq!(files.total_of(wanted, &all), files.total(wanted));
    }
}

proptest! {
    #[test]
    fn a_damaged_manifest_is_read_or_refused_without_a_panic(
        at in any::<prop::sample::Index>(),
        bit in 0..8,
        cut in any::<prop::sample::Index>(),
    ) {
        for codec in ["null", "deflate"] {
            let entries: Vec<Written> = (0..3).map(Written::new).collect();
            let whole = manifest(codec, &entries);
            let mut flipped = whole.clone();
            let at = at.index(whole.len());
            flipped[at] ^= 1_u8 << bit;
            for bytes in [&flipped[..], &whole[..cut.index(whole.len())]] {
                let _ = parse(bytes, &summary());
                let _ = parse_entries(bytes, &summary());
                let _ = parse_deletes(bytes, &summary());
            }
        }
    }
}
#[test]
fn an_entry_of_sixteen_columns_takes_less_than_four_hundred_bytes() {
    let entry = |at: usize| {
        let mut entry = Written::new(at);
        let number = (at as i64).wrapping_mul(2_654_435_761) & 0xffff_ffff;
        for id in 1..=16 {
            let (lower, upper) = match id % 4 {
                0 => (
                    format!("customer#{:07}", number % 10_000_000),
                    format!("customer#{:06}~", number % 1_000_000),
                ),
                _ => (String::new(), String::new()),
            };
            let (lower, upper) = match id % 4 {
                0 => (lower.into_bytes(), upper.into_bytes()),
                1 => (
                    (number as i32 >> 8).to_le_bytes().to_vec(),
                    (number as i32).to_le_bytes().to_vec(),
                ),
                2 => (
                    number.to_le_bytes().to_vec(),
                    (number + 100_000).to_le_bytes().to_vec(),
                ),
                _ => (
                    (number as f64).to_le_bytes().to_vec(),
                    (number as f64 * 1.5).to_le_bytes().to_vec(),
                ),
            };
            entry.lower.push((id, lower));
            entry.upper.push((id, upper));
        }
        entry
    };
    let entries: Vec<Written> = (0..5_000).map(entry).collect();
    let files = parse(&manifest("null", &entries), &summary()).unwrap();
    let each = files.heap_bytes() / entries.len();
    assert!(each < 400, "{each} bytes an entry");
}

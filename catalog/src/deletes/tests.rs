//! The index against an oracle that applies the specification's rules to each pair of files.

use std::collections::HashSet;
use std::sync::Arc;

use iceberg::spec::{Literal, PrimitiveLiteral, PrimitiveType, Struct};
use landfast_sites::{CanonicalUri, FileId};
use proptest::prelude::*;

use super::*;
use crate::bound::decode_bound;
use crate::{CatalogErrorKind, CatalogName, ColumnMetrics, DataFile, SchemaName, TableName};

/// Specs 0 and 4 don't partition; the others have one field.
const UNPARTITIONED: [i32; 2] = [0, 4];

fn name() -> TableName {
    TableName::new(
        CatalogName::new("c").unwrap(),
        SchemaName::new("s").unwrap(),
        "t",
    )
    .unwrap()
}

fn index(files: Vec<DeleteFile>) -> DeleteIndex {
    let long = |_| Some(PrimitiveType::Long);
    DeleteIndex::of_specs(name(), files.into(), &HashSet::from(UNPARTITIONED), &long)
}

fn id(uri: &str) -> FileId {
    FileId::new(CanonicalUri::new(uri), Some(1))
}

fn data(uri: &str, sequence_number: i64, spec_id: i32, partition: Struct) -> DataFile {
    let mut file = DataFile::new(id(uri), 10, spec_id, partition);
    file.sequence_number = sequence_number;
    file
}

fn delete(uri: &str, content: DeleteContent, sequence: i64, spec: i32, of: Struct) -> DeleteFile {
    DeleteFile {
        id: id(uri),
        format: match content {
            DeleteContent::Vector { .. } => DeleteFormat::Puffin,
            _ => DeleteFormat::Parquet,
        },
        content,
        rows: 1,
        sequence_number: sequence,
        spec_id: spec,
        partition: Arc::new(of),
        spans: Box::default(),
    }
}

fn one(value: Option<Literal>) -> Struct {
    [value].into_iter().collect()
}

/// What applies, as the names of the delete files: vector, positions, keys with their columns.
#[derive(Debug, PartialEq, Eq, Default)]
struct Found {
    vector: Option<String>,
    positions: Vec<String>,
    keys: Vec<(Vec<i32>, String)>,
}

impl Found {
    fn sorted(mut self) -> Self {
        self.positions.sort();
        self.keys.sort();
        self
    }
}

fn found(index: &DeleteIndex, data: &DataFile) -> Option<Found> {
    let name = |file: &DeleteFile| file.id.uri.as_str().to_owned();
    let deletes = index.of(data).ok()?;
    let positions = deletes
        .positions
        .iter()
        .flat_map(|list| index.list(*list).map(name));
    let keys = deletes.keys.iter().flat_map(|list| {
        let field_ids = index.field_ids(*list);
        index
            .list(*list)
            .map(move |file| (field_ids.to_vec(), name(file)))
    });
    let found = Found {
        vector: deletes.vector.map(name),
        positions: positions.collect(),
        keys: keys.collect(),
    };
    Some(found.sorted())
}

/// "Scan Planning" of the specification, sentence by sentence; none where the table breaks its rules.
fn by_the_rules(files: &[DeleteFile], data: &DataFile) -> Option<Found> {
    let same_partition =
        |file: &DeleteFile| file.spec_id == data.spec_id && equal(&file.partition, &data.partition);
    let uri = |file: &DeleteFile| file.id.uri.as_str().to_owned();
    let mut found = Found::default();
    let about = files.iter().filter(
        |file| matches!(&file.content, DeleteContent::Vector { of, .. } if *of == data.id.uri),
    );
    let about: Vec<&DeleteFile> = about.collect();
    if about.len() > 1 {
        return None;
    }
    for file in about {
        if data.sequence_number <= file.sequence_number && same_partition(file) {
            found.vector = Some(uri(file));
        }
    }
    for file in files {
        match &file.content {
            DeleteContent::Positions { of } => {
                let path = of.as_ref().is_none_or(|of| *of == data.id.uri);
                let older = data.sequence_number <= file.sequence_number;
                if path && older && same_partition(file) && found.vector.is_none() {
                    found.positions.push(uri(file));
                }
            }
            DeleteContent::Equality { field_ids } => {
                let global = UNPARTITIONED.contains(&file.spec_id);
                let older = data.sequence_number < file.sequence_number;
                if older && (global || same_partition(file)) {
                    found.keys.push((field_ids.to_vec(), uri(file)));
                }
            }
            DeleteContent::Vector { .. } => {}
        }
    }
    Some(found.sorted())
}

fn equal(left: &Struct, right: &Struct) -> bool {
    use PrimitiveLiteral as L;
    let value = |value: &Option<Literal>| match value {
        Some(Literal::Primitive(L::Int(v))) => Some(L::Long(i64::from(*v))),
        Some(Literal::Primitive(L::Float(v))) => Some(L::Double(f64::from(v.0).into())),
        Some(Literal::Primitive(value)) => Some(value.clone()),
        _ => None,
    };
    let same = |left: &L, right: &L| match (left, right) {
        (L::Double(left), L::Double(right)) => {
            (left.is_nan() && right.is_nan()) || left.0.to_bits() == right.0.to_bits()
        }
        (left, right) => left == right,
    };
    let (left, right): (Vec<_>, Vec<_>) = (left.iter().collect(), right.iter().collect());
    let pair = |left: Option<&Literal>, right: Option<&Literal>| match (
        value(&left.cloned()),
        value(&right.cloned()),
    ) {
        (None, None) => true,
        (Some(left), Some(right)) => same(&left, &right),
        _ => false,
    };
    left.len() == right.len() && left.iter().zip(&right).all(|(l, r)| pair(*l, *r))
}

fn partition_value() -> impl Strategy<Value = Option<Literal>> {
    prop_oneof![
        Just(None),
        (0..3_i32).prop_map(|v| Some(Literal::int(v))),
        (0..3_i64).prop_map(|v| Some(Literal::long(v))),
        prop_oneof![
            Just(0.0),
            Just(-0.0),
            Just(f64::NAN),
            Just(-f64::NAN),
            Just(1.5)
        ]
        .prop_map(|v| Some(Literal::double(v))),
        prop_oneof![Just(0.0_f32), Just(1.5), Just(f32::NAN)].prop_map(|v| Some(Literal::float(v))),
        (0..2_i128).prop_map(|v| Some(Literal::Primitive(PrimitiveLiteral::Int128(v)))),
        "[ab]{0,2}".prop_map(|v| Some(Literal::string(v))),
    ]
}

fn place() -> impl Strategy<Value = (i32, Struct)> {
    (0..5_i32, partition_value()).prop_map(|(spec, value)| {
        let partition = if spec == 0 {
            Struct::empty()
        } else if spec == 4 {
            one(None)
        } else {
            one(value)
        };
        (spec, partition)
    })
}

fn content() -> impl Strategy<Value = DeleteContent> {
    let of = || (0..12_u8).prop_map(|n| CanonicalUri::new(format!("gs://b/{n}")));
    prop_oneof![
        3 => proptest::option::of(of()).prop_map(|of| DeleteContent::Positions { of }),
        1 => of().prop_map(|of| DeleteContent::Vector { of, offset: 4, length: 40 }),
        3 => prop_oneof![Just(vec![1]), Just(vec![2]), Just(vec![1, 2])]
            .prop_map(|field_ids| DeleteContent::Equality { field_ids: field_ids.into() }),
    ]
}

proptest! {
    #[test]
    fn each_data_file_gets_what_the_rules_say(
        deletes in proptest::collection::vec((content(), 0..4_i64, place()), 0..40),
        files in proptest::collection::vec((0..12_u8, 0..4_i64, place()), 1..12),
    ) {
        let deletes: Vec<DeleteFile> = deletes.into_iter().enumerate().map(|(at, (content, sequence, (spec, partition)))| {
            delete(&format!("gs://b/d{at}"), content, sequence, spec, partition)
        }).collect();
        let index = index(deletes.clone());
        for (n, sequence, (spec, partition)) in files {
            let file = data(&format!("gs://b/{n}"), sequence, spec, partition);
            prop_assert_eq!(found(&index, &file), by_the_rules(&deletes, &file));
        }
    }
}

#[test]
fn two_vectors_of_one_file_are_corrupt_and_named() {
    let of = CanonicalUri::new("gs://b/f");
    let vector = || DeleteContent::Vector {
        of: of.clone(),
        offset: 4,
        length: 50,
    };
    let index = index(vec![
        delete("gs://b/one.puffin", vector(), 2, 0, Struct::empty()),
        delete("gs://b/two.puffin", vector(), 3, 0, Struct::empty()),
    ]);
    let error = index
        .of(&data("gs://b/f", 1, 0, Struct::empty()))
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Corrupt);
    let text = error.to_string();
    for named in ["gs://b/f ", "gs://b/one.puffin", "gs://b/two.puffin"] {
        assert!(text.contains(named), "{text}");
    }
    assert!(
        index
            .of(&data("gs://b/g", 1, 0, Struct::empty()))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn files_of_one_partition_share_a_list_and_newer_ones_begin_later_in_it() {
    let keys = |n: i64| {
        let content = DeleteContent::Equality {
            field_ids: [1].into(),
        };
        delete(&format!("gs://b/{n}"), content, n, 0, Struct::empty())
    };
    let index = index((1..=1000).rev().map(keys).collect());
    let lists = |sequence: i64| {
        let file = data("gs://b/f", sequence, 7, one(Some(Literal::int(1))));
        index.of(&file).unwrap().keys
    };
    assert_eq!(lists(0), [DeleteList { list: 0, from: 0 }]);
    assert_eq!(lists(990), [DeleteList { list: 0, from: 990 }]);
    assert!(lists(1000).is_empty());
    let last: Vec<i64> = index
        .list(lists(998)[0])
        .map(|file| file.sequence_number)
        .collect();
    assert_eq!(last, [999, 1000]);
}

#[test]
fn an_int_partition_written_before_a_promotion_is_the_long_one_written_after() {
    let content = DeleteContent::Positions { of: None };
    let index = index(vec![delete(
        "gs://b/d",
        content,
        2,
        1,
        one(Some(Literal::long(7))),
    )]);
    let of = |value| {
        index
            .of(&data("gs://b/f", 1, 1, one(Some(value))))
            .unwrap()
            .is_empty()
    };
    assert!(!of(Literal::int(7)));
    assert!(of(Literal::int(8)));
}

#[test]
fn equal_bounds_of_the_path_name_the_only_data_file_unless_they_may_be_cut_short() {
    let of = |lower: &str, upper: &str| only_data_file(lower.as_bytes(), upper.as_bytes());
    let path = "gs://b/t/data/at=12%3A30/f 1.parquet";
    assert_eq!(of(path, path), Some(CanonicalUri::new(path)));
    assert_eq!(of(path, "gs://b/t/data/g.parquet"), None);
    assert_eq!(of("gs://b/t/data/at", "gs://b/t/data/at"), None);
    assert_eq!(only_data_file(b"\xff.parquet", b"\xff.parquet"), None);
}

/// A key of one long, null and all.
fn key() -> impl Strategy<Value = Option<i64>> {
    proptest::option::of(0_i64..30)
}

/// What a writer records of a column with these values; of some, not all.
fn span(values: &[Option<i64>], told: [bool; 3]) -> ColumnSpan {
    let present = || values.iter().flatten();
    let bytes = |value: Option<&i64>| value.map(|value| Box::from(value.to_le_bytes()));
    ColumnSpan {
        field_id: 1,
        lower: bytes(present().min()).filter(|_| told[0]),
        upper: bytes(present().max()).filter(|_| told[1]),
        null_count: told[2].then(|| (values.len() - present().count()) as u64),
    }
}

proptest! {
    #[test]
    fn no_key_that_a_data_file_has_is_left_out_by_its_bounds(
        deletes in proptest::collection::vec((proptest::collection::vec(key(), 1..4), any::<[bool; 3]>(), 0..4_i64), 1..80),
        rows in proptest::collection::vec(key(), 1..6),
        told in any::<[bool; 3]>(),
        sequence in 0..3_i64,
    ) {
        let content = DeleteContent::Equality { field_ids: [1].into() };
        let files: Vec<DeleteFile> = deletes.iter().enumerate().map(|(at, (keys, told, number))| {
            let mut file = delete(&format!("gs://b/d{at}"), content.clone(), *number, 0, Struct::empty());
            file.rows = keys.len() as u64;
            file.spans = Box::new([span(keys, *told)]);
            file
        }).collect();
        let index = index(files);
        let mut file = data("gs://b/f", sequence, 7, one(None));
        let known = span(&rows, told);
        let bound = |bytes: Option<Box<[u8]>>| decode_bound(&bytes?, &PrimitiveType::Long);
        let mut metrics = ColumnMetrics::new(1);
        metrics.lower = bound(known.lower);
        metrics.upper = bound(known.upper);
        metrics.null_count = known.null_count;
        metrics.value_count = Some(rows.len() as u64);
        file.columns = Box::new([metrics]);
        let met = deletes.iter().any(|(keys, _, number)| {
            *number > sequence && keys.iter().any(|key| rows.contains(key))
        });
        let applying = !index.of(&file).unwrap().keys.is_empty();
        prop_assert!(applying || !met);
        // Where all is told, what is far away on one side is left out.
        let far = deletes.iter().all(|(keys, told, _)| *told == [true; 3] && keys.iter().all(|key| key.is_some_and(|key| key < 10)));
        if far && told == [true; 3] && rows.iter().all(|row| row.is_some_and(|row| row > 10)) {
            prop_assert!(!applying);
        }
    }
}

#[test]
fn keys_with_nan_or_of_another_type_are_never_left_out() {
    let content = DeleteContent::Equality {
        field_ids: [1].into(),
    };
    let mut file = delete("gs://b/d", content, 2, 0, Struct::empty());
    file.spans = Box::new([ColumnSpan {
        field_id: 1,
        lower: Some(1.0_f64.to_le_bytes().into()),
        upper: Some(2.0_f64.to_le_bytes().into()),
        null_count: Some(0),
    }]);
    let applies = |of: Option<PrimitiveType>, nan_count: Option<u64>| {
        let of = |_| of.clone();
        let unpartitioned = HashSet::from(UNPARTITIONED);
        let index = DeleteIndex::of_specs(name(), vec![file.clone()].into(), &unpartitioned, &of);
        let mut data = data("gs://b/f", 1, 0, Struct::empty());
        let mut metrics = ColumnMetrics::new(1);
        metrics.lower = Some(PrimitiveLiteral::Double(8.0.into()));
        metrics.upper = Some(PrimitiveLiteral::Double(9.0.into()));
        metrics.null_count = Some(0);
        metrics.nan_count = nan_count;
        data.columns = Box::new([metrics]);
        !index.of(&data).unwrap().is_empty()
    };
    assert!(!applies(Some(PrimitiveType::Double), Some(0)));
    assert!(applies(Some(PrimitiveType::Double), Some(1)));
    assert!(applies(Some(PrimitiveType::Double), None));
    assert!(applies(None, Some(0)), "the table has no such column");
    assert!(applies(Some(PrimitiveType::Uuid), Some(0)));
}

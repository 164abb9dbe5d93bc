//! Writing Avro for tests, byte by byte, and reading it back.

use std::io::Write;

use proptest::prelude::*;

use super::*;

/// `n` as Avro writes it.
pub(crate) fn long(n: i64) -> Vec<u8> {
    let mut value = ((n << 1) ^ (n >> 63)) as u64;
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Bytes with their length before them.
pub(crate) fn blob(bytes: &[u8]) -> Vec<u8> {
    [long(bytes.len() as i64), bytes.to_vec()].concat()
}

/// A file of blocks, each with its count of values.
pub(crate) fn file(header: &[(&str, &[u8])], codec: &str, blocks: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"Obj\x01".to_vec();
    bytes.extend(long(header.len() as i64 + 1));
    for (key, value) in header.iter().chain(&[("avro.codec", codec.as_bytes())]) {
        bytes.extend(blob(key.as_bytes()));
        bytes.extend(blob(value));
    }
    bytes.push(0);
    bytes.extend([7; 16]);
    for (count, block) in blocks {
        bytes.extend(long(*count));
        bytes.extend(blob(&compress(codec, block)));
        bytes.extend([7; 16]);
    }
    bytes
}

fn compress(codec: &str, block: &[u8]) -> Vec<u8> {
    match codec {
        "deflate" => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(block).unwrap();
            encoder.finish().unwrap()
        }
        "snappy" => {
            let mut crc = flate2::Crc::new();
            crc.update(block);
            let mut bytes = snap::raw::Encoder::new().compress_vec(block).unwrap();
            bytes.extend(crc.sum().to_be_bytes());
            bytes
        }
        "zstandard" => zstd::stream::encode_all(block, 0).unwrap(),
        _ => block.to_vec(),
    }
}

fn read_all(bytes: &[u8]) -> Result<u64> {
    let container = Container::open(bytes)?;
    let mut values = 0;
    container.blocks(|count, cursor| {
        for _ in 0..count {
            cursor.skip(&container.schema)?;
            values += 1;
        }
        Ok::<_, Malformed>(())
    })?;
    Ok(values)
}

/// A record of everything that Avro has, optional fields in either order.
const EVERYTHING: &str = r#"{"type": "record", "name": "all", "namespace": "n.s", "fields": [
    {"name": "flag", "type": "boolean"},
    {"name": "whole", "type": ["long", "null"]},
    {"name": "half", "type": {"type": "float"}},
    {"name": "double", "type": "double"},
    {"name": "text", "type": ["null", "string"], "default": null},
    {"name": "colour", "type": {"type": "enum", "name": "colour", "symbols": ["RED", "BLUE"]}},
    {"name": "id", "type": {"type": "fixed", "name": "sixteen", "size": 3}},
    {"name": "again", "type": "n.s.sixteen"},
    {"name": "list", "type": {"type": "array", "items": ["null", "int"]}},
    {"name": "map", "type": {"type": "map", "values": {"type": "array", "items": "sixteen"}}},
    {"name": "inner", "type": {"type": "record", "name": "inner", "fields": []}}
]}"#;

fn everything(number: i64) -> Vec<u8> {
    [
        vec![1],
        [long(0), long(number)].concat(),
        vec![0; 4],
        vec![0; 8],
        [long(1), blob(b"text")].concat(),
        long(1),
        vec![1, 2, 3],
        vec![1, 2, 3],
        // Two blocks, one of them with its length in bytes.
        [
            long(-2),
            long(3),
            long(0),
            long(1),
            long(5),
            long(1),
            long(0),
            long(0),
        ]
        .concat(),
        [long(1), blob(b"key"), long(1), vec![9; 3], long(0), long(0)].concat(),
    ]
    .concat()
}

fn sample(codec: &str) -> Vec<u8> {
    let block = |numbers: std::ops::Range<i64>| {
        let count = numbers.end - numbers.start;
        (count, numbers.flat_map(|n| everything(n << 20)).collect())
    };
    file(
        &[("avro.schema", EVERYTHING.as_bytes())],
        codec,
        &[block(0..3), block(3..50)],
    )
}

#[test]
fn every_type_is_skipped_under_every_codec() {
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        assert_eq!(read_all(&sample(codec)), Ok(50), "{codec}");
    }
    let other = file(&[("avro.schema", b"\"int\"")], "bzip2", &[]);
    assert!(read_all(&other).unwrap_err().to_string().contains("bzip2"));
}

/// Takes rows as text, and stops after so many.
struct Texts {
    rows: Vec<String>,
    rows_max: usize,
}

impl AvroTaker for Texts {
    type Error = &'static str;

    fn row(
        &mut self,
        row: &[AvroValue<'_>],
        block_bytes: usize,
    ) -> std::result::Result<(), Self::Error> {
        assert!(block_bytes > 0);
        if self.rows.len() == self.rows_max {
            return Err("enough");
        }
        self.rows.push(format!("{row:?}"));
        Ok(())
    }
}

fn rows_of(bytes: &[u8], rows_max: usize) -> std::result::Result<Vec<String>, String> {
    let mut texts = Texts {
        rows: Vec::new(),
        rows_max,
    };
    match AvroFile::open(bytes)?.rows(&mut texts) {
        Ok(()) => Ok(texts.rows),
        Err(AvroFault::Malformed(reason)) => Err(reason),
        Err(AvroFault::Taker(why)) => Err(why.to_owned()),
    }
}

#[test]
fn a_row_has_a_value_for_each_field_and_nulls_for_a_record_that_is_not_there() {
    let schema = r#"{"type": "record", "name": "r", "fields": [
        {"name": "path", "type": "string", "field-id": 7},
        {"name": "list", "type": {"type": "array", "items": "int"}},
        {"name": "within", "type": ["null", {"type": "record", "name": "w", "fields": [
            {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}], "field-id": 8},
            {"name": "price", "type": {"type": "fixed", "name": "p", "size": 2, "logicalType": "decimal", "precision": 4, "scale": 2}}
        ]}]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}
    ]}"#;
    let list = [long(1), long(5), long(0)].concat();
    let there = [
        blob(b"a"),
        list.clone(),
        long(1),
        long(1),
        long(-3),
        vec![0xff, 0x9c],
        long(9),
    ];
    let gone = [blob(b"b"), list, long(0), long(10)];
    let block = [there.concat(), gone.concat()].concat();
    let bytes = file(
        &[("avro.schema", schema.as_bytes())],
        "deflate",
        &[(2, block)],
    );
    let opened = AvroFile::open(&bytes).unwrap();
    let fields: Vec<_> = opened
        .fields()
        .iter()
        .map(|field| (field.id, field.slot))
        .collect();
    assert_eq!(fields, [(Some(7), 0), (None, 1), (None, 2), (None, 5)]);
    assert_eq!(opened.fields()[1].of, AvroType::Unread);
    let AvroType::Record(within) = &opened.fields()[2].of else {
        panic!("a record");
    };
    assert_eq!((&within[0].of, within[0].slot), (&AvroType::Date, 3));
    let price = AvroType::Decimal {
        digits: 4,
        places: 2,
    };
    assert_eq!((&within[1].of, within[1].slot), (&price, 4));
    assert_eq!(opened.fields()[3].of, AvroType::Timestamp(AvroUnit::Micros));
    assert_eq!(
        rows_of(&bytes, 9).unwrap(),
        [
            "[Text(\"a\"), Null, Record, Whole(-3), Decimal(-100), Whole(9)]",
            "[Text(\"b\"), Null, Null, Null, Null, Whole(10)]",
        ]
    );
    assert_eq!(rows_of(&bytes, 1), Err("enough".to_owned()));
}

#[test]
fn rows_of_what_is_no_record_or_unpacks_to_too_much_are_refused() {
    let numbers = file(&[("avro.schema", b"\"long\"")], "null", &[(1, long(3))]);
    assert!(rows_of(&numbers, 9).unwrap_err().contains("records"));
    let schema = r#"{"type": "record", "name": "r", "fields": [{"name": "b", "type": "bytes"}]}"#;
    let header = [("avro.schema", schema.as_bytes())];
    let large = blob(&vec![0; 65 << 20]);
    for codec in ["deflate", "snappy", "zstandard"] {
        let bytes = file(&header, codec, &[(1, large.clone())]);
        assert!(bytes.len() < 8 << 20, "{codec}");
        assert!(rows_of(&bytes, 9).is_err(), "{codec}");
    }
}

#[test]
fn a_file_cut_anywhere_but_between_blocks_is_refused() {
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let whole = sample(codec);
        for length in 0..whole.len() {
            if let Ok(values) = read_all(&whole[..length]) {
                assert!(
                    values == 0 || values == 3,
                    "{codec} cut at {length}: {values}"
                );
            }
        }
    }
}

#[test]
fn a_wrong_checksum_is_noticed() {
    let mut damaged = sample("snappy");
    let last = damaged.len() - 17;
    damaged[last] ^= 1;
    assert!(
        read_all(&damaged)
            .unwrap_err()
            .to_string()
            .contains("checksum")
    );
}

#[test]
fn schemas_that_would_take_for_ever_are_refused() {
    let mut nested = "\"int\"".to_owned();
    for _ in 0..100 {
        nested = format!(r#"{{"type": "array", "items": {nested}}}"#);
    }
    assert!(Schema::parse(nested.as_bytes()).is_err(), "nested");
    let recursive =
        r#"{"type": "record", "name": "r", "fields": [{"name": "next", "type": ["null", "r"]}]}"#;
    assert!(Schema::parse(recursive.as_bytes()).is_err(), "recursive");
    // Each type has the one before it twice.
    let mut fields =
        vec![r#"{"name": "f", "type": {"type": "record", "name": "t0", "fields": []}}"#.to_owned()];
    for at in 1..40 {
        let before = at - 1;
        fields.push(format!(
            r#"{{"name": "f{at}", "type": {{"type": "record", "name": "t{at}", "fields": [
                {{"name": "a", "type": "t{before}"}}, {{"name": "b", "type": "t{before}"}}]}}}}"#
        ));
    }
    let doubled = format!(
        r#"{{"type": "record", "name": "r", "fields": [{}]}}"#,
        fields.join(",")
    );
    assert!(Schema::parse(doubled.as_bytes()).is_err(), "doubled");
}

#[test]
fn a_list_of_nothing_at_all_ends_whatever_its_length_claims() {
    let schema = Schema::parse(br#"{"type": "array", "items": "null"}"#).unwrap();
    let bytes = [long(i64::MAX), long(0)].concat();
    let mut cursor = Cursor::new(&bytes);
    assert_eq!(cursor.skip(&schema), Ok(()));
    assert!(cursor.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_all(&[b"Obj\x01".to_vec(), bytes.clone()].concat());
        let schema = Schema::parse(EVERYTHING.as_bytes()).unwrap();
        let _ = Cursor::new(&bytes).skip(&schema);
        for codec in ["null", "deflate", "snappy", "zstandard"] {
            let header = file(&[("avro.schema", EVERYTHING.as_bytes())], codec, &[]);
            let _ = read_all(&[header, long(3), blob(&bytes), vec![7; 16]].concat());
        }
    }

    #[test]
    fn a_flipped_bit_is_read_or_refused_without_a_panic(at in any::<prop::sample::Index>(), bit in 0..8) {
        for codec in ["null", "deflate", "snappy", "zstandard"] {
            let mut bytes = sample(codec);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let _ = read_all(&bytes);
            let _ = rows_of(&bytes, usize::MAX);
        }
    }

    #[test]
    fn numbers_come_back(number in any::<i64>(), shift in 0_u32..64) {
        let number = number >> shift;
        let bytes = long(number);
        let mut cursor = Cursor::new(&bytes);
        prop_assert_eq!(cursor.long(), Ok(number));
        prop_assert!(cursor.is_empty());
    }
}

#[test]
fn a_map_whose_pairs_take_no_bytes_is_refused_however_many_it_is_said_to_have() {
    let schema = br#"{"type": "record", "name": "r", "fields": [{"name": "m", "type":
        {"type": "array", "items": {"type": "record", "name": "none", "fields": []}}}]}"#;
    let bytes = file(&[("avro.schema", schema)], "null", &[(1, long(i64::MAX))]);
    let container = Container::open(&bytes).unwrap();
    let map = &container.schema.record().unwrap()[0].schema;
    let read = container.blocks(|_, cursor| counts(cursor, map, &mut Vec::new()));
    assert!(read.is_err());
}

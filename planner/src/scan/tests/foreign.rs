//! Parquet files as other writers leave them: old ones, odd ones, and those that know nothing of Iceberg.

use std::fs::File;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use landfast_catalog::DataFile;
use landfast_sites::{CanonicalUri, FileId};
use parquet::basic::Type;
use parquet::data_type::{
    ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
    Int96, Int96Type,
};
use parquet::file::metadata::{
    PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::lake::*;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// One leaf column's values with its definition and repetition levels.
enum Leaf {
    Text(Vec<&'static [u8]>, Vec<i16>, Vec<i16>),
    Fixed(Vec<Vec<u8>>, Vec<i16>, Vec<i16>),
    Int(Vec<i32>, Vec<i16>, Vec<i16>),
    Long(Vec<i64>, Vec<i16>, Vec<i16>),
    Int96(Vec<Int96>, Vec<i16>, Vec<i16>),
}

/// A leaf of a column that is there in every row.
fn flat<T>(values: Vec<T>, make: impl Fn(Vec<T>, Vec<i16>, Vec<i16>) -> Leaf) -> Leaf {
    let levels = vec![1; values.len()];
    make(values, levels, vec![])
}

/// Writes row groups of the message type, and knows nothing of the columns' bounds.
fn write(lake: &Lake, name: &str, message: &str, groups: Vec<Vec<Leaf>>, rows: u64) -> DataFile {
    let uri = file(name);
    let path = lake.path("cloud", &uri);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let schema = Arc::new(parse_message_type(message).unwrap());
    let out = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(out, schema, Arc::default()).unwrap();
    for leaves in groups {
        let mut group = writer.next_row_group().unwrap();
        for leaf in leaves {
            let mut column = group.next_column().unwrap().unwrap();
            match leaf {
                Leaf::Text(values, def, rep) => {
                    let values: Vec<ByteArray> = values.into_iter().map(ByteArray::from).collect();
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&values, Some(&def), levels(&rep))
                }
                Leaf::Fixed(values, def, rep) => {
                    let values: Vec<FixedLenByteArray> =
                        values.into_iter().map(FixedLenByteArray::from).collect();
                    column.typed::<FixedLenByteArrayType>().write_batch(
                        &values,
                        Some(&def),
                        levels(&rep),
                    )
                }
                Leaf::Int(values, def, rep) => {
                    column
                        .typed::<Int32Type>()
                        .write_batch(&values, Some(&def), levels(&rep))
                }
                Leaf::Long(values, def, rep) => {
                    column
                        .typed::<Int64Type>()
                        .write_batch(&values, Some(&def), levels(&rep))
                }
                Leaf::Int96(values, def, rep) => {
                    column
                        .typed::<Int96Type>()
                        .write_batch(&values, Some(&def), levels(&rep))
                }
            }
            .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    described(lake, &uri, rows)
}

fn levels(levels: &[i16]) -> Option<&[i16]> {
    (!levels.is_empty()).then_some(levels)
}

fn described(lake: &Lake, uri: &str, rows: u64) -> DataFile {
    let size = std::fs::metadata(lake.path("cloud", uri)).unwrap().len();
    let id = FileId::new(CanonicalUri::new(uri), Some(size));
    DataFile::new(id, rows, 0, std::iter::empty().collect())
}

/// Writes the file's footer anew.
fn with_footer(
    lake: &Lake,
    file: &DataFile,
    change: impl FnOnce(ParquetMetaData) -> ParquetMetaData,
) -> DataFile {
    let uri = file.id.uri.as_str().to_owned();
    let path = lake.path("cloud", &uri);
    let bytes = Bytes::from(std::fs::read(&path).unwrap());
    let metadata = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Skip)
        .parse_and_finish(&bytes)
        .unwrap();
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
    let mut kept = bytes[..bytes.len() - 8 - length as usize].to_vec();
    let metadata = change(metadata);
    ParquetMetaDataWriter::new(&mut kept, &metadata)
        .finish()
        .unwrap();
    std::fs::write(&path, kept).unwrap();
    described(lake, &uri, file.rows)
}

/// Each row group's bounds as an old writer recorded them: in the deprecated fields, whatever they are.
fn with_old_bounds(
    metadata: ParquetMetaData,
    bounds: impl Fn(usize) -> Statistics,
) -> ParquetMetaData {
    let mut builder = metadata.into_builder();
    let groups = builder.take_row_groups().into_iter().map(|group| {
        let mut builder = group.into_builder();
        let columns = builder.take_columns().into_iter().enumerate();
        let columns = columns.map(|(at, column)| {
            let builder = column
                .into_builder()
                .set_statistics(bounds(at))
                .set_column_index_offset(None)
                .set_column_index_length(None)
                .set_offset_index_offset(None)
                .set_offset_index_length(None);
            builder.build().unwrap()
        });
        let columns = columns.collect();
        builder.set_column_metadata(columns).build().unwrap()
    });
    let groups = groups.collect();
    builder.set_row_groups(groups).build()
}

async fn text_of(table: &Table, sql: &str) -> String {
    let frame = table.session().sql(sql).await.unwrap();
    let batches = frame.collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

#[tokio::test]
async fn bounds_that_an_old_writer_compared_as_signed_bytes_leave_no_row_out() {
    let lake = Lake::new();
    let message = "message m {
        optional binary s (UTF8) = 1;
        optional binary b = 2;
        optional fixed_len_byte_array(16) u (UUID) = 3;
        optional fixed_len_byte_array(3) d (DECIMAL(6, 2)) = 4;
        optional int32 n = 5;
    }";
    let uuid = |first: u8| {
        let mut bytes = vec![0; 16];
        bytes[0] = first;
        bytes
    };
    let leaves = vec![
        flat(vec!["ä".as_bytes(), b"b", b"z"], Leaf::Text),
        flat(vec![&[0xff][..], &[0x01], &[0x7f]], Leaf::Text),
        flat(vec![uuid(0xff), uuid(0x01), uuid(0x7f)], Leaf::Fixed),
        flat(
            vec![vec![0xff, 0xff, 0x38], vec![0, 0, 1], vec![0, 0, 200]],
            Leaf::Fixed,
        ),
        flat(vec![-1, 5, 9], Leaf::Int),
    ];
    let new = write(&lake, "old", message, vec![leaves], 3);
    let old = with_footer(&lake, &new, |metadata| {
        let text = |bytes: &[u8]| Some(ByteArray::from(bytes.to_vec()));
        let fixed = |bytes: Vec<u8>| Some(FixedLenByteArray::from(bytes));
        with_old_bounds(metadata, |at| match at {
            0 => Statistics::byte_array(text("ä".as_bytes()), text(b"z"), None, Some(0), true),
            1 => Statistics::byte_array(text(&[0xff]), text(&[0x7f]), None, Some(0), true),
            2 => Statistics::fixed_len_byte_array(
                fixed(uuid(0xff)),
                fixed(uuid(0x7f)),
                None,
                Some(0),
                true,
            ),
            // Compared as unsigned bytes, which decimals are not.
            3 => Statistics::fixed_len_byte_array(
                fixed(vec![0, 0, 1]),
                fixed(vec![0xff, 0xff, 0x38]),
                None,
                Some(0),
                true,
            ),
            _ => Statistics::int32(Some(-1), Some(9), None, Some(0), true),
        })
    });
    let columns = vec![
        column(1, "s", "string"),
        column(2, "b", "binary"),
        column(3, "u", "uuid"),
        column(4, "d", "decimal(6, 2)"),
        column(5, "n", "int"),
    ];
    let table = lake.table(metadata(columns, &[]), vec![old]);
    for (filter, rows) in [
        ("s = 'b'", 1),
        ("s > 'z'", 1),
        ("b = X'01'", 1),
        ("b >= X'7f'", 2),
        ("u = X'01000000000000000000000000000000'", 1),
        ("u > X'80000000000000000000000000000000'", 1),
        ("d < 0", 1),
        ("d > 1.5", 1),
        ("n = 5", 1),
        ("n > 100", 0),
    ] {
        let sql = format!("SELECT n FROM t WHERE {filter}");
        assert_eq!(table.rows(&sql).await.len(), rows, "{filter}");
    }
}

#[tokio::test]
async fn text_without_the_utf8_annotation_is_text_and_is_checked() {
    let lake = Lake::new();
    let message = "message m { optional binary s = 1; optional binary e (ENUM) = 2; optional binary j (JSON) = 3; }";
    let leaves = || {
        vec![
            flat(vec!["naïve".as_bytes(), b"z"], Leaf::Text),
            flat(vec![&b"RED"[..], b"BLUE"], Leaf::Text),
            flat(vec![&b"{}"[..], b"[]"], Leaf::Text),
        ]
    };
    let old = write(&lake, "old", message, vec![leaves()], 2);
    let columns = vec![
        column(1, "s", "string"),
        column(2, "e", "string"),
        column(3, "j", "string"),
    ];
    let table = lake.table(metadata(columns.clone(), &[]), vec![old]);
    assert_eq!(
        table
            .rows("SELECT s, e, j FROM t WHERE s > 'naïvd' ORDER BY s")
            .await,
        ["naïve RED {}", "z BLUE []"]
    );
    assert_eq!(table.rows("SELECT j FROM t WHERE e = 'RED'").await, ["{}"]);

    let broken = || flat(vec![&[b'a', 0xff][..]], Leaf::Text);
    let broken = vec![broken(), broken(), broken()];
    let broken = write(&lake, "broken", message, vec![broken], 1);
    let renamed = (1..).zip(["s", "was_e", "was_j"]);
    let renamed = renamed
        .map(|(id, name)| column(id, name, "string"))
        .collect();
    for (columns, names) in [
        (columns, ["s", "e", "j"]),
        (renamed, ["s", "was_e", "was_j"]),
    ] {
        let table = lake.table(metadata(columns, &[]), vec![broken.clone()]);
        for name in names {
            let sql = format!("SELECT {name} FROM t");
            assert!(table.run(&sql).await.is_err(), "{name}");
        }
        assert_eq!(table.rows("SELECT count(*) FROM t").await, ["1"]);
    }
}

#[tokio::test]
async fn decimals_are_read_from_every_physical_type() {
    let lake = Lake::new();
    let message = "message m {
        optional int32 a (DECIMAL(5, 2)) = 1;
        optional int64 b (DECIMAL(15, 2)) = 2;
        optional binary c (DECIMAL(12, 2)) = 3;
        optional fixed_len_byte_array(20) d (DECIMAL(12, 2)) = 4;
        optional fixed_len_byte_array(16) e (DECIMAL(38, 2)) = 5;
    }";
    let wide = |value: i128, length: usize| {
        let mut bytes = vec![if value < 0 { 0xff } else { 0 }; length - 16];
        bytes.extend(value.to_be_bytes());
        bytes
    };
    let leaves = |value: i32, short: &'static [u8]| {
        vec![
            flat(vec![value], Leaf::Int),
            flat(vec![i64::from(value)], Leaf::Long),
            flat(vec![short], Leaf::Text),
            flat(vec![wide(value.into(), 20)], Leaf::Fixed),
            flat(vec![wide(value.into(), 16)], Leaf::Fixed),
        ]
    };
    let groups = vec![leaves(-1234, &[0xfb, 0x2e]), leaves(77, &[77])];
    let old = write(&lake, "old", message, groups, 2);
    let columns = ["a", "b", "c", "d", "e"];
    for of in ["decimal(15, 2)", "decimal(38, 2)"] {
        let typed = (1..).zip(columns);
        let typed = typed.map(|(id, name)| column(id, name, of)).collect();
        let table = lake.table(metadata(typed, &[]), vec![old.clone()]);
        for name in columns {
            for (filter, rows) in [
                ("< 0", vec!["-12.34"]),
                ("= 0.77", vec!["0.77"]),
                (">= -12.34", vec!["-12.34", "0.77"]),
                ("> 0.77", vec![]),
            ] {
                let sql = format!("SELECT {name} FROM t WHERE {name} {filter} ORDER BY 1");
                assert_eq!(table.rows(&sql).await, rows, "{of}: {name} {filter}");
            }
        }
    }
}

/// A time as Spark, Hive and Impala used to write it.
fn int96(micros: i64, nanos: i64) -> Int96 {
    const DAY: i64 = 86_400_000_000;
    let day = micros.div_euclid(DAY) + 2_440_588;
    let within = micros.rem_euclid(DAY) * 1000 + nanos;
    let mut value = Int96::new();
    value.set_data(
        (within & 0xffff_ffff) as u32,
        (within >> 32) as u32,
        u32::try_from(day).unwrap(),
    );
    value
}

#[tokio::test]
async fn int96_times_are_read_in_the_unit_that_the_table_has_and_never_pruned_by_their_bounds() {
    let lake = Lake::new();
    let message = "message m { optional int96 a = 1; optional int96 b = 2; }";
    // Outside what nanoseconds can hold: the year 1000, and 1969 with half a microsecond.
    let times = [
        int96(-30_610_224_000_000_000, 0),
        int96(-1, 500),
        int96(1_700_000_000_000_001, 0),
    ];
    let near = [
        int96(-1, 500),
        int96(-1, 501),
        int96(1_700_000_000_000_001, 7),
    ];
    let groups = (0..3).map(|at| {
        vec![
            flat(vec![times[at]], Leaf::Int96),
            flat(vec![near[at]], Leaf::Int96),
        ]
    });
    let old = write(&lake, "old", message, groups.collect(), 3);
    let columns = vec![
        column(1, "a", "timestamptz"),
        column(2, "b", "timestamp_ns"),
    ];
    let table = lake.table(v3(metadata(columns, &[])), vec![old.clone()]);
    assert_eq!(
        table.rows("SELECT a, b FROM t ORDER BY a").await,
        [
            "1000-01-01T00:00:00Z 1969-12-31T23:59:59.999999500",
            "1969-12-31T23:59:59.999999Z 1969-12-31T23:59:59.999999501",
            "2023-11-14T22:13:20.000001Z 2023-11-14T22:13:20.000001007",
        ]
    );
    for (filter, rows) in [
        (
            "a < arrow_cast(-20000000000000000, 'Timestamp(Microsecond, Some(\"UTC\"))')",
            1,
        ),
        (
            "a > arrow_cast(1000000000000000, 'Timestamp(Microsecond, Some(\"UTC\"))')",
            1,
        ),
        ("b = arrow_cast(-499, 'Timestamp(Nanosecond, None)')", 1),
        ("b < arrow_cast(0, 'Timestamp(Nanosecond, None)')", 2),
    ] {
        let sql = format!("SELECT a FROM t WHERE {filter}");
        assert_eq!(table.rows(&sql).await.len(), rows, "{filter}");
    }
    let nested = vec![column(1, "a", "timestamp"), column(2, "b", "timestamptz")];
    let table = lake.table(metadata(nested, &[]), vec![old]);
    assert_eq!(
        table.rows("SELECT b FROM t ORDER BY a LIMIT 1").await,
        ["1969-12-31T23:59:59.999999Z"]
    );
}

#[tokio::test]
async fn lists_and_maps_as_old_writers_nested_them_are_read() {
    let lake = Lake::new();
    // Two levels; Hive's bag; the name that parquet-avro gives; a map whose entries are called map.
    let message = "message m {
        optional group two (LIST) = 1 { repeated int32 array = 2; }
        optional group bag (LIST) = 3 { repeated group bag { optional int32 array_element = 4; } }
        optional group avro (LIST) = 5 { repeated group list { optional int32 item = 6; } }
        optional group pairs (MAP) = 7 {
            repeated group map (MAP_KEY_VALUE) { required binary key (UTF8) = 8; optional int32 value = 9; }
        }
        optional group structs (LIST) = 10 { repeated group structs_tuple = 11 { optional int32 x = 12; } }
    }";
    // Two rows: [1, 2] and [3].
    let rep = || vec![0, 1, 0];
    let leaves = vec![
        Leaf::Int(vec![1, 2, 3], vec![2, 2, 2], rep()),
        Leaf::Int(vec![1, 3], vec![3, 2, 3], rep()),
        Leaf::Int(vec![1, 2, 3], vec![3, 3, 3], rep()),
        Leaf::Text(vec![b"a", b"b", b"c"], vec![2, 2, 2], rep()),
        Leaf::Int(vec![1, 3], vec![3, 2, 3], rep()),
        Leaf::Int(vec![1, 2, 3], vec![3, 3, 3], rep()),
    ];
    let old = write(&lake, "old", message, vec![leaves], 2);
    let list = |element: i32, of: serde_json::Value| json!({"type": "list", "element-id": element, "element-required": false, "element": of});
    let columns = vec![
        column(1, "two", list(2, json!("long"))),
        column(3, "bag", list(4, json!("int"))),
        column(5, "avro", list(6, json!("int"))),
        column(
            7,
            "pairs",
            json!({"type": "map", "key-id": 8, "key": "string", "value-id": 9, "value-required": false, "value": "long"}),
        ),
        column(
            10,
            "structs",
            list(
                11,
                json!({"type": "struct", "fields": [column(12, "y", "int"), column(13, "z", "int")]}),
            ),
        ),
    ];
    let table = lake.table(metadata(columns.clone(), &[]), vec![old]);
    assert_eq!(
        table.rows("SELECT two, bag, avro, pairs FROM t").await,
        ["[1, 2] [1, ] [1, 2] {a: 1, b: }", "[3] [3] [3] {c: 3}"]
    );
    assert!(
        text_of(&table, "SELECT structs FROM t")
            .await
            .contains("[{y: 1, z: }, {y: 2, z: }]")
    );

    // The same without ids, by name mapping.
    let bare: String = strip_ids(message);
    let leaves = vec![
        Leaf::Int(vec![1, 2, 3], vec![2, 2, 2], rep()),
        Leaf::Int(vec![1, 3], vec![3, 2, 3], rep()),
        Leaf::Int(vec![1, 2, 3], vec![3, 3, 3], rep()),
        Leaf::Text(vec![b"a", b"b", b"c"], vec![2, 2, 2], rep()),
        Leaf::Int(vec![1, 3], vec![3, 2, 3], rep()),
        Leaf::Int(vec![1, 2, 3], vec![3, 3, 3], rep()),
    ];
    let imported = write(&lake, "imported", &bare, vec![leaves], 2);
    let mut mapped = metadata(columns.clone(), &[]);
    let element = |id: i32| json!([{"field-id": id, "names": ["element"]}]);
    let mapping = json!([
        {"field-id": 1, "names": ["two"], "fields": element(2)},
        {"field-id": 3, "names": ["bag"], "fields": element(4)},
        {"field-id": 5, "names": ["avro"], "fields": element(6)},
        {"field-id": 7, "names": ["pairs"], "fields": [
            {"field-id": 8, "names": ["key"]}, {"field-id": 9, "names": ["value"]}]},
        {"field-id": 10, "names": ["structs"], "fields": [
            {"field-id": 11, "names": ["element"], "fields": [{"field-id": 12, "names": ["y", "x"]}]}]},
    ]);
    mapped["properties"] = json!({"schema.name-mapping.default": mapping.to_string()});
    let by_name = lake.table(mapped, vec![imported.clone()]);
    assert_eq!(
        by_name.rows("SELECT two, bag, avro, pairs FROM t").await,
        ["[1, 2] [1, ] [1, 2] {a: 1, b: }", "[3] [3] [3] {c: 3}"]
    );
    assert!(
        text_of(&by_name, "SELECT structs FROM t")
            .await
            .contains("[{y: 1, z: }, {y: 2, z: }]")
    );

    // And by position: lists and maps stand for the table's; a struct's fields can't be told apart.
    let fresh = |id: i32, nth: usize| {
        let mut column = columns[nth].clone();
        column["id"] = json!(id);
        for (offset, key) in (100..).zip(["element-id", "key-id", "value-id"]) {
            if !column["type"][key].is_null() {
                column["type"][key] = json!(id * 1000 + offset);
            }
        }
        column
    };
    let numbered = (1..).zip(0..columns.len());
    let numbered = numbered.map(|(id, nth)| fresh(id, nth)).collect();
    let by_position = lake.table(metadata(numbered, &[]), vec![imported]);
    assert_eq!(
        by_position
            .rows("SELECT two, bag, avro, pairs FROM t")
            .await,
        ["[1, 2] [1, ] [1, 2] {a: 1, b: }", "[3] [3] [3] {c: 3}"]
    );
    let error = by_position.error("SELECT structs FROM t").await;
    assert!(
        error.contains("'structs'") && error.contains("schema.name-mapping.default"),
        "{error}"
    );
}

fn strip_ids(message: &str) -> String {
    let mut parts = message.split(" = ");
    let mut bare = parts.next().unwrap().to_owned();
    for part in parts {
        bare.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    bare
}

#[tokio::test]
async fn a_column_that_a_writer_marked_as_always_null_is_null() {
    let lake = Lake::new();
    let message = "message m { optional int32 nothing (UNKNOWN) = 1; optional int32 n = 2; }";
    let leaves = vec![
        Leaf::Int(vec![], vec![0, 0], vec![]),
        flat(vec![1, 2], Leaf::Int),
    ];
    let old = write(&lake, "old", message, vec![leaves], 2);
    for of in [
        "string",
        "long",
        "decimal(9, 2)",
        "timestamptz",
        "uuid",
        "binary",
    ] {
        let columns = vec![column(1, "nothing", of), column(2, "n", "int")];
        let table = lake.table(metadata(columns, &[]), vec![old.clone()]);
        assert_eq!(
            table
                .rows("SELECT nothing, n FROM t WHERE nothing IS NULL ORDER BY n")
                .await,
            ["∅ 1", "∅ 2"],
            "{of}"
        );
        assert_eq!(table.rows("SELECT count(nothing) FROM t").await, ["0"]);
    }
}

#[test]
fn only_numbers_keep_bounds_that_are_deprecated() {
    let message = "message m { optional binary s (UTF8); optional int32 n; optional int32 u (UINT_32); optional int96 t; }";
    let schema = Arc::new(parse_message_type(message).unwrap());
    let schema = Arc::new(parquet::schema::types::SchemaDescriptor::new(schema));
    let bounds = |of: Type| match of {
        Type::BYTE_ARRAY => Statistics::byte_array(
            Some(ByteArray::from("a")),
            Some(ByteArray::from("b")),
            None,
            Some(7),
            true,
        ),
        Type::INT96 => {
            Statistics::int96(Some(Int96::new()), Some(Int96::new()), None, Some(7), true)
        }
        _ => Statistics::int32(Some(1), Some(2), None, Some(7), true),
    };
    let columns = schema.columns().iter().map(|column| {
        parquet::file::metadata::ColumnChunkMetaData::builder(Arc::clone(column))
            .set_statistics(bounds(column.physical_type()))
            .build()
            .unwrap()
    });
    let group = parquet::file::metadata::RowGroupMetaData::builder(Arc::clone(&schema))
        .set_column_metadata(columns.collect())
        .build()
        .unwrap();
    let file = parquet::file::metadata::FileMetaData::new(1, 1, None, None, schema, None);
    let metadata =
        crate::scan::sound_footer::sound(ParquetMetaData::new(file, vec![group])).unwrap();
    let known: Vec<_> = metadata
        .row_group(0)
        .columns()
        .iter()
        .map(|column| {
            let known = column.statistics().unwrap();
            (known.min_bytes_opt().is_some(), known.null_count_opt())
        })
        .collect();
    assert_eq!(
        known,
        [
            (false, Some(7)),
            (true, Some(7)),
            (false, Some(7)),
            (false, Some(7))
        ]
    );
}

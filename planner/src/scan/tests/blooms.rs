//! Bloom filters: what they leave out, what they cost, and what else is gained where they are asked.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Float32Array};
use arrow::datatypes::DataType;
use landfast_catalog::DataFile;
use parquet::file::properties::{BloomFilterPosition, WriterProperties};

use super::filters::ran;
use super::lake::*;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// Far from its neighbours and in no order: bounds say nothing of it.
fn id(n: i64) -> i64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 1
}

/// So many rows of `id` with a bloom filter, `s` and `more`, in four row groups with pages of 500 rows.
fn ids(lake: &Lake, name: &str, rows: i64) -> DataFile {
    let text =
        |of: &str| -> Vec<String> { (0..rows).map(|n| format!("{of}{:016x}", id(n))).collect() };
    let (s, more) = (text("s"), text("more"));
    let as_texts = |of: &[String]| texts(of.iter().map(|text| Some(text.as_str())));
    let columns = vec![
        (
            field(1, "id", DataType::Int64),
            longs((0..rows).map(|n| Some(id(n)))),
        ),
        (field(2, "s", DataType::Utf8), as_texts(&s)),
        (field(3, "more", DataType::Utf8), as_texts(&more)),
    ];
    let groups = usize::try_from(rows / 4).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(groups))
        .set_data_page_row_count_limit(500)
        .set_write_batch_size(500)
        .set_column_bloom_filter_enabled("id".into(), true)
        .set_column_bloom_filter_max_ndv("id".into(), groups as u64)
        .set_bloom_filter_position(BloomFilterPosition::End)
        .build();
    lake.write_with(&file(name), &batch(columns), (0, vec![]), properties)
}

fn table(lake: &Lake, files: Vec<DataFile>) -> Table {
    let columns = vec![
        column(1, "id", "long"),
        column(2, "s", "string"),
        column(3, "more", "string"),
    ];
    lake.table(metadata(columns, &[]), files)
}

/// Bytes and requests of what a query read, its rows, and the rows that the reader left out by itself.
async fn read(lake: &Lake, known: &DataFile, sql: &str) -> (u64, u64, usize, usize) {
    let table = table(lake, vec![known.clone()]);
    let (answer, metric) = ran(&table, sql).await;
    let sites = table.context.log.snapshot();
    let (bytes, requests) = sites.iter().fold((0, 0), |(bytes, requests), site| {
        (bytes + site.data.bytes, requests + site.data.requests)
    });
    // Three lines around the header and one below all, or nothing at all.
    let rows = answer.lines().count().saturating_sub(4);
    (bytes, requests, rows, metric("pushdown_rows_pruned"))
}

#[tokio::test]
async fn a_value_that_few_rows_have_is_looked_for_before_other_columns_are_read() {
    let lake = Lake::new();
    let known = ids(&lake, "f", 80_000);
    lake.copy(&file("f"));
    let size = known.id.size.unwrap();
    table(&lake, vec![known.clone()])
        .rows("SELECT count(id) FROM t WHERE id % 2 = 0")
        .await;
    let sql = format!("SELECT * FROM t WHERE s > 's' AND id = {}", id(12_345));
    let (bytes, _, rows, left_out) = read(&lake, &known, &sql).await;
    assert_eq!(rows, 1);
    assert!(left_out >= 19_999, "{left_out}");
    assert!(bytes < size / 3, "one row group of four: {bytes} of {size}");
    // Nothing else is read, so nothing is gained.
    let sql = format!("SELECT id FROM t WHERE id = {}", id(12_345));
    assert_eq!(read(&lake, &known, &sql).await.2, 1);
    // A limit counts the rows that are left.
    let sql = format!(
        "SELECT s FROM t WHERE id IN ({}, {}) LIMIT 1",
        id(3),
        id(70_000)
    );
    assert_eq!(read(&lake, &known, &sql).await.2, 1);
}

#[tokio::test]
async fn from_afar_a_round_trip_more_is_not_worth_it() {
    let lake = Lake::new();
    let known = ids(&lake, "far", 80_000);
    let sql = format!("SELECT * FROM t WHERE id = {}", id(12_345));
    let (_, _, rows, left_out) = read(&lake, &known, &sql).await;
    assert_eq!((rows, left_out), (1, 0));
}

#[tokio::test]
async fn a_small_file_is_read_whole_and_not_decoded_where_its_bloom_filters_rule_it_out() {
    let lake = Lake::new();
    let known = ids(&lake, "small", 2_000);
    lake.copy(&file("small"));
    let size = known.id.size.unwrap();
    assert!(size < 200_000, "{size}");
    let present = format!("SELECT * FROM t WHERE id = {}", id(1_234));
    let absent = format!("SELECT * FROM t WHERE id = {}", id(5_000));
    // With its footer, and then without.
    for _ in 0..2 {
        let (bytes, requests, rows, left_out) = read(&lake, &known, &absent).await;
        assert_eq!((bytes, requests, rows, left_out), (size, 1, 0, 0));
        let (bytes, requests, rows, left_out) = read(&lake, &known, &present).await;
        assert_eq!((bytes, requests, rows), (size, 1, 1));
        assert!(left_out >= 499, "{left_out}");
    }
    // What is little of the file is read alone.
    let (bytes, ..) = read(&lake, &known, &absent.replace('*', "id")).await;
    assert!(bytes < size / 2, "{bytes} of {size}");
}

#[tokio::test]
async fn values_of_columns_that_became_wider_are_found_by_the_bloom_filters_of_before() {
    let lake = Lake::new();
    let rows = 0..2_000;
    let reals = rows.clone().map(|n| Some(n as f32 + 0.5));
    let decimals = Decimal128Array::from_iter_values(rows.clone().map(|n| i128::from(n) * 25));
    let words: Vec<String> = rows.clone().map(|n| format!("word {n}")).collect();
    let days: Date32Array = rows.clone().map(Some).collect();
    let columns: Vec<(_, ArrayRef)> = vec![
        (field(1, "i", DataType::Int32), ints(rows.map(Some))),
        (
            field(2, "x", DataType::Float32),
            Arc::new(reals.collect::<Float32Array>()),
        ),
        (
            field(3, "d", DataType::Decimal128(7, 2)),
            Arc::new(decimals.with_precision_and_scale(7, 2).unwrap()),
        ),
        (
            field(4, "w", DataType::Utf8),
            texts(words.iter().map(|word| Some(word.as_str()))),
        ),
        (field(5, "day", DataType::Date32), Arc::new(days)),
    ];
    let properties = WriterProperties::builder()
        .set_bloom_filter_enabled(true)
        .set_bloom_filter_max_ndv(2_000)
        .build();
    let known = lake.write_with(&file("f"), &batch(columns), (0, vec![]), properties);
    lake.copy(&file("f"));
    let now = |d: &str| {
        let columns = vec![
            column(1, "i", "long"),
            column(2, "x", "double"),
            column(3, "d", d),
            column(4, "w", "string"),
            column(5, "day", "date"),
        ];
        lake.table(metadata(columns, &[]), vec![known.clone()])
    };
    for d in ["decimal(7, 2)", "decimal(12, 2)", "decimal(38, 2)"] {
        for (filter, found) in [
            ("i = 1234", 1),
            ("i IN (-1, 7, 5000000000)", 1),
            ("i = 5000000000", 0),
            ("x = 77.5", 1),
            ("x = 77.25", 0),
            ("d = 250.25", 1),
            ("d = 250.26", 0),
            ("w = 'word 19'", 1),
            ("w IN ('word 19', 'none', 'word 3')", 2),
            ("w = 'none'", 0),
            ("day = DATE '1970-02-01'", 1),
            ("i = 31 AND day = DATE '1970-02-01' AND w = 'word 31'", 1),
            ("i = 31 AND w = 'word 32'", 0),
        ] {
            let sql = format!("SELECT * FROM t WHERE {filter}");
            assert_eq!(now(d).rows(&sql).await.len(), found, "{d}: {filter}");
        }
    }
}

#[tokio::test]
async fn a_bloom_filter_leaves_row_groups_out_that_bounds_cannot() {
    let lake = Lake::new();
    // Every row group spans all values.
    let text: Vec<String> = (0..40_000).map(|n| format!("{:016x}", id(n))).collect();
    let columns = vec![
        (
            field(1, "id", DataType::Int64),
            longs((0..40_000).map(|n| Some(id(n)))),
        ),
        (
            field(2, "s", DataType::Utf8),
            texts(text.iter().map(|text| Some(text.as_str()))),
        ),
    ];
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(10_000))
        .set_bloom_filter_enabled(true)
        .set_bloom_filter_max_ndv(10_000)
        .set_bloom_filter_position(BloomFilterPosition::End)
        .build();
    let rows_of_both = batch(columns);
    let write = |name: &str| {
        let properties = properties.clone();
        lake.write_with(&file(name), &rows_of_both, (0, vec![]), properties)
    };
    let (known, far) = (write("f"), write("far"));
    lake.copy(&file("f"));
    let size = known.id.size.unwrap();
    let columns = vec![column(1, "id", "long"), column(2, "s", "string")];
    let table = || lake.table(metadata(columns.clone(), &[]), vec![known.clone()]);
    // The footer is read, and cached.
    table().rows("SELECT sum(id) % 1 FROM t").await;
    // Bloom filters of four row groups; where one is left, the column that is asked, and another.
    for (filter, rows, share, requests) in [
        (format!("id = {}", id(12_345)), 1, 2, 4 + 2),
        (format!("s = '{}'", text[12_345]), 1, 2, 4 + 1),
        (format!("id = {}", id(12_345) + 1), 0, 4, 4),
        ("s = '0123456789abcdex'".to_owned(), 0, 4, 4),
    ] {
        let table = table();
        let sql = format!("SELECT s FROM t WHERE {filter}");
        assert_eq!(table.rows(&sql).await.len(), rows, "{filter}");
        let read = &table.context.log.snapshot()[0].data;
        assert!(
            read.bytes < size / share,
            "{filter}: {} of {size}",
            read.bytes
        );
        assert_eq!(read.requests, requests, "{filter}");
    }
    // From afar, a round trip takes longer than what it may save.
    let table = lake.table(metadata(columns.clone(), &[]), vec![far]);
    let sql = format!("SELECT s FROM t WHERE id = {}", id(12_345) + 1);
    assert!(table.rows(&sql).await.is_empty());
    let bytes = table.context.log.snapshot()[0].data.bytes;
    assert!(bytes > size / 2, "{bytes} of {size}");
}

#[tokio::test]
async fn a_bloom_filter_that_is_large_beside_its_row_group_is_not_read() {
    let lake = Lake::new();
    let rows = batch(vec![(
        field(1, "id", DataType::Int64),
        longs((0..40_000).map(|n| Some(id(n)))),
    )]);
    let properties = WriterProperties::builder()
        .set_bloom_filter_enabled(true)
        .set_bloom_filter_fpp(0.000_1)
        .set_bloom_filter_max_ndv(1_000_000)
        .build();
    let known = lake.write_with(&file("f"), &rows, (0, vec![]), properties);
    lake.copy(&file("f"));
    let size = known.id.size.unwrap();
    let table = lake.table(metadata(vec![column(1, "id", "long")], &[]), vec![known]);
    let sql = format!("SELECT id FROM t WHERE id = {}", id(7) + 1);
    assert!(table.rows(&sql).await.is_empty());
    let read = table.context.log.snapshot()[0].data.bytes;
    let written = bytes::Bytes::from(std::fs::read(lake.path("here", &file("f"))).unwrap());
    let footer = parquet::file::metadata::ParquetMetaDataReader::new();
    let footer = footer.parse_and_finish(&written).unwrap();
    let blooms = footer.row_group(0).column(0).bloom_filter_length();
    let blooms = u64::try_from(blooms.unwrap()).unwrap();
    assert!(blooms > 100_000, "{blooms}");
    // The first request is for the last 64 KiB.
    assert!(read <= size - blooms + (64 << 10), "{read} of {size}");
}

//! The same rows in an Iceberg table and in memory give the same answers, however they are filtered.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use iceberg::spec::{Datum, Transform};
use iceberg::transform::create_transform_function;
use parquet::file::properties::WriterProperties;

use super::lake::*;

/// A small generator, so that a failing seed can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn maybe<T>(&mut self, value: T) -> Option<T> {
        (self.below(8) > 0).then_some(value)
    }
}

const WORDS: [&str; 8] = [
    "",
    "a",
    "aardvark and its friends",
    "aardvark and its foes",
    "b",
    "zebra",
    "ä",
    "zz\u{10ffff}",
];

fn rows(dice: &mut Dice, bucket: i64) -> RecordBatch {
    let count = 1 + dice.below(40);
    let base = i64::try_from(dice.below(50)).unwrap() - 25;
    let n = longs((0..count).map(|_| Some(bucket)));
    let day = dates((0..count).map(|_| {
        let day = i32::try_from(base).unwrap() + i32::try_from(dice.below(6)).unwrap();
        dice.maybe(day)
    }));
    let x = doubles((0..count).map(|_| {
        let value =
            [f64::NAN, 0.0, -0.0, 1.5, -7.25, 100.0][usize::try_from(dice.below(6)).unwrap()];
        dice.maybe(value)
    }));
    let words: Vec<Option<&str>> = (0..count)
        .map(|_| {
            let word = WORDS[usize::try_from(dice.below(8)).unwrap()];
            dice.maybe(word)
        })
        .collect();
    let columns: Vec<(_, ArrayRef)> = vec![
        (field(1, "n", DataType::Int64), n),
        (field(2, "day", DataType::Date32), day),
        (field(3, "x", DataType::Float64), x),
        (field(4, "s", DataType::Utf8), texts(words)),
    ];
    batch(columns)
}

fn filter(dice: &mut Dice) -> String {
    let op = ["=", "<>", "<", "<=", ">", ">="][usize::try_from(dice.below(6)).unwrap()];
    let word = WORDS[usize::try_from(dice.below(8)).unwrap()];
    let day = i64::try_from(dice.below(60)).unwrap() - 30;
    let day = format!("(DATE '1970-01-01' + INTERVAL '{day} days')::DATE");
    match dice.below(14) {
        0 => format!("n {op} {}", dice.below(6)),
        1 => format!("day {op} {day}"),
        2 => format!(
            "x {op} {}",
            ["0.0", "-0.0", "1.5", "100.0", "-1000.0"][usize::try_from(dice.below(5)).unwrap()]
        ),
        3 => format!("s {op} '{word}'"),
        4 => format!("s LIKE '{}%'", word.chars().take(2).collect::<String>()),
        5 => "day IS NULL".to_owned(),
        6 => "x IS NOT NULL".to_owned(),
        7 => format!("n NOT IN ({}, {})", dice.below(6), dice.below(6)),
        8 => format!("NOT ({} OR {})", filter(dice), filter(dice)),
        9 => format!("({} AND {})", filter(dice), filter(dice)),
        10 => format!("({} OR {})", filter(dice), filter(dice)),
        11 => format!("s IN ('{word}', 'b') AND n <> {}", dice.below(6)),
        12 => format!("x IN (0.0, 1.5, {})", dice.below(4)),
        _ => format!("day BETWEEN {day} AND {day} + INTERVAL '5 days'"),
    }
}

/// The rows as text, in an order of their own: rows that tie may come in any.
async fn answer(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let mut rows: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn random_filters_give_what_they_give_in_memory() {
    for seed in 1..=2_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let lake = Lake::new();
        let bucket = create_transform_function(&Transform::Bucket(4)).unwrap();
        let (mut files, mut batches) = (Vec::new(), Vec::new());
        for at in 0..12_i64 {
            let n = at % 6;
            let rows = rows(&mut dice, n);
            let (spec, partition) = match at % 3 {
                0 => (0, vec![value(Datum::long(n))]),
                1 => (
                    1,
                    vec![
                        bucket
                            .transform_literal(&Datum::long(n))
                            .unwrap()
                            .and_then(value),
                    ],
                ),
                _ => (2, vec![]),
            };
            // Where there are bloom filters, the reader looks for values before it reads other columns.
            let properties = WriterProperties::builder()
                .set_max_row_group_row_count(Some(16))
                .set_bloom_filter_enabled(at % 2 == 0)
                .build();
            let uri = format!("{ROOT}/data/f{at}.parquet");
            let mut file = lake.write_with(&uri, &rows, (spec, partition), properties);
            if dice.below(4) == 0 {
                file.columns = Box::default();
            }
            files.push(file);
            batches.push(rows);
        }
        let columns = vec![
            column(1, "n", "long"),
            column(2, "day", "date"),
            column(3, "x", "double"),
            column(4, "s", "string"),
        ];
        let specs: &[&[(i32, &str, &str)]] =
            &[&[(1, "n", "identity")], &[(1, "nb", "bucket[4]")], &[]];
        let table = lake.table(metadata(columns, specs), files);
        let ours = table.session();
        let theirs = SessionContext::new();
        let whole = concat_batches(&batches[0].schema(), &batches).unwrap();
        let memory = MemTable::try_new(whole.schema(), vec![vec![whole]]).unwrap();
        theirs.register_table("t", Arc::new(memory)).unwrap();
        for _ in 0..40 {
            let filter = filter(&mut dice);
            for sql in [
                format!("SELECT n, day, x, s FROM t WHERE {filter}"),
                format!(
                    "SELECT count(*), count(x), min(day), max(day), min(x), max(x), min(s), max(s) FROM t WHERE {filter}"
                ),
            ] {
                assert_eq!(
                    answer(&ours, &sql).await,
                    answer(&theirs, &sql).await,
                    "seed {seed}: {sql}"
                );
            }
        }
        for sql in [
            "SELECT count(*), count(day), min(n), max(n), min(day), max(day), min(x), max(x), min(s), max(s) FROM t",
            "SELECT n, count(x), max(s) FROM t GROUP BY n ORDER BY n",
            "SELECT x FROM t ORDER BY x DESC NULLS LAST LIMIT 5",
            "SELECT x FROM t ORDER BY x LIMIT 5",
            "SELECT s FROM t ORDER BY s DESC LIMIT 5",
            "SELECT a.day, count(*) FROM t a JOIN t b ON a.day = b.day WHERE b.n = 3 GROUP BY a.day ORDER BY a.day",
        ] {
            assert_eq!(
                answer(&ours, sql).await,
                answer(&theirs, sql).await,
                "seed {seed}: {sql}"
            );
        }
    }
}

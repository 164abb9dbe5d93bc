//! Metadata columns: which file a row is in, where, and its lineage.

use std::sync::Arc;

use arrow::datatypes::DataType;
use landfast_catalog::{DataFile, DeleteFile};
use parquet::file::properties::WriterProperties;

use super::delete_files::*;
use super::lake::*;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// `n` from a number on, 100 rows to a row group.
fn rows_of(lake: &Lake, name: &str, from: i64, rows: i64) -> DataFile {
    let numbers = longs((from..from + rows).map(Some));
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .build();
    let columns = batch(vec![(field(1, "n", DataType::Int64), numbers)]);
    lake.write_with(&file(name), &columns, (0, vec![]), properties)
}

fn table(lake: &Lake, files: Vec<DataFile>, deletes: Vec<DeleteFile>) -> Table {
    let columns = metadata(vec![column(1, "n", "long")], &[]);
    extended(lake.table_with_deletes(columns, files, deletes))
}

fn extended(mut table: Table) -> Table {
    let provider = Arc::into_inner(table.provider).unwrap();
    table.provider = Arc::new(provider.with_metadata_columns());
    table
}

async fn numbers(table: &Table, sql: &str) -> Vec<i64> {
    let rows = table.rows(sql).await;
    rows.iter().map(|row| row.parse().unwrap()).collect()
}

#[tokio::test]
async fn positions_count_over_row_groups_whatever_is_pruned_or_deleted() {
    let lake = Lake::new();
    let gone: Vec<u64> = (0..1000)
        .filter(|at| at % 3 == 0 || (300..400).contains(at))
        .collect();
    let key = batch(vec![(
        field(1, "n", DataType::Int64),
        longs([Some(5070), Some(5001)]),
    )]);
    let mut deletes = vectors(&lake, &file("v.puffin"), &[(&file("f"), &gone)]);
    deletes.push(keys(&lake, &file("k"), &key));
    let table = table(&lake, vec![rows_of(&lake, "f", 5000, 1000)], deletes);
    let left = |from: i64| {
        let rows = (from..1000).filter(|at| !gone.contains(&(*at as u64)));
        rows.filter(|at| ![70, 1].contains(at)).collect::<Vec<_>>()
    };
    for from in [0, 150, 450, 999] {
        let sql = format!("SELECT _pos FROM t WHERE n >= {} ORDER BY n", 5000 + from);
        assert_eq!(numbers(&table, &sql).await, left(from), "{sql}");
    }
    assert_eq!(
        numbers(&table, "SELECT n - _pos FROM t GROUP BY 1").await,
        [5000]
    );
    assert_eq!(
        numbers(&table, "SELECT n FROM t WHERE _pos = 401").await,
        [5401]
    );
    assert!(
        numbers(&table, "SELECT n FROM t WHERE _pos = 399")
            .await
            .is_empty()
    );
    assert_eq!(
        numbers(
            &table,
            "SELECT n FROM t WHERE _pos > 10 ORDER BY _pos DESC LIMIT 3"
        )
        .await,
        [5998, 5997, 5995]
    );
    let joined =
        "SELECT n FROM t JOIN (VALUES (4), (5), (6), (901)) AS o(p) ON _pos = p ORDER BY n";
    assert_eq!(numbers(&table, joined).await, [5004, 5005, 5901]);
    let topk = "SELECT _pos FROM t ORDER BY n DESC LIMIT 2";
    assert_eq!(numbers(&table, topk).await, [998, 997]);
}

#[tokio::test]
async fn positions_count_over_the_whole_file_however_it_is_cut() {
    let lake = Lake::new();
    let rows = 600_000_i64;
    let text: Vec<String> = (0..rows)
        .map(|n| {
            format!(
                "{:048x}",
                (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c)
            )
        })
        .collect();
    let columns = batch(vec![
        (field(1, "n", DataType::Int64), longs((0..rows).map(Some))),
        (
            field(2, "s", DataType::Utf8),
            texts(text.iter().map(|text| Some(text.as_str()))),
        ),
    ]);
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(10_000))
        .set_dictionary_enabled(false)
        .build();
    let large = lake.write_with(&file("large"), &columns, (0, vec![]), properties);
    let columns = metadata(vec![column(1, "n", "long"), column(2, "s", "string")], &[]);
    let gone: Vec<u64> = (0..rows as u64).filter(|at| at % 1000 == 17).collect();
    let deletes = vectors(&lake, &file("v.puffin"), &[(&file("large"), &gone)]);
    let table = extended(lake.table_with_deletes(columns, vec![large], deletes));
    for partitions in [1, 3, 8] {
        let session = table.session_of(partitions);
        let sql =
            "SELECT concat_ws(' ', count(*), min(n - _pos), max(n - _pos)) FROM t WHERE n >= 25000";
        let found = session.sql(sql).await.unwrap().collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&found).unwrap();
        assert!(text.to_string().contains("| 574425 0 0 "), "{text}");
    }
}

#[tokio::test]
async fn a_row_knows_its_file() {
    let lake = Lake::new();
    let odd = "at=12%3A30/f 1";
    let files = vec![rows_of(&lake, odd, 0, 3), rows_of(&lake, "g", 10, 2)];
    let table = table(&lake, files, vec![]);
    let counted = table
        .rows("SELECT _file, count(*) FROM t GROUP BY _file ORDER BY _file")
        .await;
    assert_eq!(
        counted,
        [format!("{} 3", file(odd)), format!("{} 2", file("g"))]
    );
    let of = format!("SELECT n FROM t WHERE _file = '{}' ORDER BY n", file(odd));
    assert_eq!(numbers(&table, &of).await, [0, 1, 2]);
    assert_eq!(table.files_read(&of).await, 1);
    let either = format!("_file IN ('{}', '{}x')", file("g"), file("g"));
    for (filter, files) in [
        (either.as_str(), 1),
        ("_file = 'g'", 0),
        ("_file <> 'g'", 2),
        (&format!("_file = '{}' OR n = 11", file(odd)), 2),
    ] {
        let sql = format!("SELECT count(*) FROM t WHERE {filter}");
        assert_eq!(table.files_read(&sql).await, files, "{filter}");
    }
    assert_eq!(
        table.rows("SELECT _file FROM t WHERE n = 11").await,
        [file("g")]
    );
    assert_eq!(table.rows("SELECT count(*) FROM t").await, ["5"]);
}

#[tokio::test]
async fn lineage_is_what_was_stored_or_follows_from_the_file() {
    let lake = Lake::new();
    let moved = batch(vec![
        (
            field(1, "n", DataType::Int64),
            longs([Some(0), Some(1), Some(2)]),
        ),
        (
            field(2_147_483_540, "_row_id", DataType::Int64),
            longs([Some(70), None, Some(71)]),
        ),
        (
            field(
                2_147_483_539,
                "_last_updated_sequence_number",
                DataType::Int64,
            ),
            longs([Some(1), Some(2), None]),
        ),
    ]);
    let mut moved = data_at(5, lake.write(&file("moved"), &moved, 0, vec![]));
    moved.first_row_id = Some(1000);
    let mut fresh = data_at(4, rows_of(&lake, "fresh", 10, 3));
    fresh.first_row_id = Some(500);
    let before = rows_of(&lake, "before", 20, 1);
    let deletes = vec![at(9, positions(&lake, &file("d"), &[(&file("fresh"), 1)]))];
    let table = table(&lake, vec![moved, fresh, before], deletes);
    assert_eq!(
        table
            .rows("SELECT n, _row_id, _last_updated_sequence_number FROM t ORDER BY n")
            .await,
        [
            "0 70 1",
            "1 1001 2",
            "2 71 5",
            "10 500 4",
            "12 502 4",
            "20 ∅ ∅"
        ]
    );
    assert_eq!(
        numbers(&table, "SELECT n FROM t WHERE _row_id = 502").await,
        [12]
    );
    assert_eq!(
        numbers(&table, "SELECT n FROM t WHERE _row_id IS NULL").await,
        [20]
    );
    assert_eq!(
        numbers(&table, "SELECT max(_last_updated_sequence_number) FROM t").await,
        [5]
    );
}

#[tokio::test]
async fn a_users_own_column_wins_over_a_metadata_column_of_its_name() {
    let lake = Lake::new();
    let columns = batch(vec![
        (field(1, "_pos", DataType::Int64), longs([Some(7), Some(8)])),
        (field(2, "n", DataType::Int64), longs([Some(1), Some(2)])),
    ]);
    let written = lake.write(&file("f"), &columns, 0, vec![]);
    let columns = metadata(vec![column(1, "_pos", "long"), column(2, "n", "long")], &[]);
    let table = extended(lake.table_with_deletes(columns, vec![written], vec![]));
    assert_eq!(
        numbers(&table, "SELECT _pos FROM t WHERE _pos < 8").await,
        [7]
    );
    assert_eq!(
        table.rows("SELECT n, _file FROM t WHERE n = 2").await,
        [format!("2 {}", file("f"))]
    );
}

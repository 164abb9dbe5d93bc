//! Equality deletes over ranges of files, and those that a file's bounds rule out.

use arrow::datatypes::DataType;
use datafusion_datasource::source::DataSourceExec;
use landfast_catalog::ColumnSpan;
use parquet::file::properties::WriterProperties;

use super::delete_files::*;
use super::keys::{file, k, numbers, rows_of, table};
use super::lake::*;

#[tokio::test]
async fn keys_are_left_out_of_every_range_of_a_file_in_however_many_partitions() {
    let lake = Lake::new();
    let rows = 400_000_i64;
    let text: Vec<String> = (0..rows)
        .map(|n| {
            format!(
                "{:048x}",
                (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c)
            )
        })
        .collect();
    let columns_of_file = vec![
        (field(1, "k", DataType::Int64), longs((0..rows).map(Some))),
        (
            field(2, "s", DataType::Utf8),
            texts(text.iter().map(|text| Some(text.as_str()))),
        ),
        (field(3, "v", DataType::Int64), longs((0..rows).map(Some))),
    ];
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(10_000))
        .set_dictionary_enabled(false)
        .build();
    let large = lake.write_with(
        &file("large"),
        &batch(columns_of_file),
        (0, vec![]),
        properties,
    );
    let gone = |n: &i64| n % 1000 == 17 || (20_000..30_000).contains(n);
    let numbers_gone: Vec<Option<i64>> = (0..rows).filter(gone).map(Some).collect();
    let texts_gone: Vec<&str> = (0..rows)
        .filter(|n| n % 5000 == 4)
        .map(|n| text[n as usize].as_str())
        .collect();
    let by_text = batch(vec![(
        field(2, "s", DataType::Utf8),
        texts(texts_gone.iter().map(|text| Some(*text))),
    )]);
    let deletes = vec![
        keys(&lake, &file("dk"), &k(&numbers_gone)),
        keys(&lake, &file("ds"), &by_text),
    ];
    let files = vec![large, rows_of(&lake, "small", 500_000, 50)];
    let table = table(&lake, files, deletes);
    let left = (0..rows).filter(|n| !gone(n) && n % 5000 != 4);
    let left: Vec<i64> = left.chain(500_000..500_050).collect();
    let expected = format!("| {} {} ", left.len(), left.iter().sum::<i64>());
    for partitions in [1, 2, 3, 7, 16] {
        let session = table.session_of(partitions);
        let sql = "SELECT concat_ws(' ', count(s), sum(v), count(distinct v)) FROM t";
        let found = session.sql(sql).await.unwrap().collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&found).unwrap();
        assert!(text.to_string().contains(&expected), "{partitions}: {text}");
    }
    let plan = table.plan("SELECT s FROM t").await.unwrap();
    let scan = plan.downcast_ref::<DataSourceExec>().unwrap();
    let ranges = format!("{:?}", scan.data_source())
        .matches("large.parquet:")
        .count();
    assert!(ranges > 1, "the file is cut: {ranges}");
}

#[tokio::test]
async fn keys_that_a_file_cannot_have_by_its_bounds_are_not_looked_up() {
    let lake = Lake::new();
    let spanning = |name: &str, from: i64, to: i64, nulls: u64| {
        let keys_of = k(&[Some(from), Some(to)]);
        let mut delete = keys(&lake, &file(name), &keys_of);
        delete.spans = Box::new([ColumnSpan {
            field_id: 1,
            lower: Some(from.to_le_bytes().into()),
            upper: Some(to.to_le_bytes().into()),
            null_count: Some(nulls),
        }]);
        delete
    };
    let full = |name: &str, from: i64| {
        let numbers = longs((from..from + 100).map(Some));
        let columns = vec![(field(1, "k", DataType::Int64), numbers)];
        lake.write(&file(name), &batch(columns), 0, vec![])
    };
    let files = vec![full("a", 0), full("b", 1000), full("c", 2000)];
    // Only `b` has any of it; a file that nothing is deleted from is counted without reading it.
    let table = table(&lake, files.clone(), vec![spanning("d", 1010, 1020, 0)]);
    let summary = table
        .run("SELECT k FROM t WHERE k >= 2000")
        .await
        .unwrap()
        .1;
    assert_eq!(summary[0].delete_files, 0);
    let summary = table.run("SELECT k FROM t WHERE k < 1500").await.unwrap().1;
    assert_eq!(summary[0].delete_files, 1);
    assert_eq!(table.rows("SELECT count(k) FROM t").await, ["298"]);
    // Deletes of all files together span more than any of them.
    let two = vec![spanning("d2", 5, 6, 0), spanning("d3", 2050, 2060, 0)];
    let table = super::keys::table(&lake, files.clone(), two);
    let summary = table
        .run("SELECT k FROM t WHERE k BETWEEN 1000 AND 1100")
        .await;
    assert_eq!(summary.unwrap().1[0].delete_files, 0);
    assert_eq!(table.rows("SELECT count(k) FROM t").await, ["296"]);
    // A null key is in no bounds.
    let nulls = lake.write(&file("n"), &k(&[Some(7), None]), 0, vec![]);
    let mut delete = keys(&lake, &file("dn"), &k(&[None, Some(900)]));
    delete.spans = spanning("unused", 900, 900, 1).spans;
    let table = super::keys::table(&lake, vec![nulls], vec![delete]);
    assert_eq!(numbers(&table, "SELECT k FROM t").await, [7]);
}

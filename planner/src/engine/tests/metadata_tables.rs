use super::history::ROOT;
use super::lake::{Lake, shape};
use crate::ErrorKind;

#[tokio::test]
async fn snapshots_history_and_refs_tell_of_all_versions() {
    let mut lake = Lake::with_history().await;
    for _ in 0..2 {
        assert_eq!(
            lake.rows("SELECT committed_at, snapshot_id, parent_id, operation, manifest_list FROM \"events$snapshots\"")
                .await,
            [
                format!("2026-01-10T12:00:00Z|11||append|{ROOT}/metadata/snap-11.avro"),
                format!("2026-01-20T12:00:00Z|22|11|append|{ROOT}/metadata/snap-22.avro"),
                format!("2026-01-30T12:00:00Z|33|22|append|{ROOT}/metadata/snap-33.avro"),
            ]
        );
        assert_eq!(
            lake.rows(
                "SELECT summary['added-records'] FROM \"events$snapshots\" WHERE snapshot_id = 22"
            )
            .await,
            ["2"]
        );
        assert_eq!(
            lake.rows("SELECT * FROM events$history ORDER BY 1").await,
            [
                "2026-01-10T12:00:00Z|11||true",
                "2026-01-20T12:00:00Z|22|11|true",
                "2026-01-30T12:00:00Z|33|22|true"
            ]
        );
        assert_eq!(
            lake.rows("SELECT * FROM lake.tpch.EVENTS$REFS ORDER BY name")
                .await,
            [
                "audit|BRANCH|22||2|",
                "first|TAG|11|1000||",
                "main|BRANCH|33|||"
            ]
        );
        // They tell of the table and not of a version: a session's version changes nothing.
        lake.settings.set("landfast.as_of", "ref first").unwrap();
    }
    assert_eq!(
        lake.rows("SELECT * FROM \"events$properties\"").await,
        [
            "current-snapshot-id|33",
            "format|iceberg/parquet",
            "format-version|2",
            &format!("location|{ROOT}"),
            "owner|ada",
            "provider|iceberg",
            "write.format.default|parquet"
        ]
    );
    assert_eq!(
        lake.rows("SELECT * FROM \"events$metadata_log_entries\"")
            .await,
        [
            format!("2026-01-20T12:00:00Z|{ROOT}/metadata/v0.metadata.json|22|1|2"),
            format!("2026-01-30T12:00:00Z|{ROOT}/metadata/lake.tpch.events.metadata.json|33|1|3"),
        ]
    );
}

#[tokio::test]
async fn files_entries_and_manifests_are_those_of_a_version() {
    let mut lake = Lake::with_history().await;
    let files = "SELECT content, file_path, file_format, spec_id, partition, record_count, value_counts, lower_bounds, \
                 upper_bounds, split_offsets, equality_ids FROM \"events$files\"";
    let first = format!(
        "0|{ROOT}/data/11.parquet|PARQUET|0|{{day: 2026-01-10}}|2|{{1: 2, 3: 2}}|{{1: 10, 3: 2026-01-10}}|\
         {{1: 11, 3: 2026-01-10}}|[4]|"
    );
    let second = format!(
        "0|{ROOT}/data/22.parquet|PARQUET|0|{{day: 2026-01-20}}|2|{{1: 2, 2: 2, 3: 2}}|{{1: 20, 2: n20, 3: 2026-01-20}}|\
         {{1: 22, 2: n20, 3: 2026-01-20}}|[4]|"
    );
    let of = |text: &str| -> Vec<String> {
        let cells = text.split('|').map(sorted_map);
        cells.collect()
    };
    let rows = |rows: Vec<String>| -> Vec<Vec<String>> { rows.iter().map(|row| of(row)).collect() };
    let all = rows(lake.rows(&format!("{files} ORDER BY file_path")).await);
    assert_eq!(all[..2], [of(&first), of(&second)]);
    assert_eq!(all.len(), 3);
    assert_eq!(
        rows(
            lake.rows(&format!("{files} FOR VERSION AS OF 'first'"))
                .await
        ),
        [of(&first)]
    );
    assert_eq!(
        lake.rows(
            "SELECT count(*) FROM \"events$files\" VERSION AS OF 22, \"events$files\" AS all_files"
        )
        .await,
        ["6"]
    );
    assert_eq!(
        lake.rows(
            "SELECT status, snapshot_id, sequence_number, file_sequence_number, data_file['record_count'] \
             FROM \"events$entries\" ORDER BY 2"
        )
        .await,
        ["1|11|1|1|2", "1|22|2|2|2", "1|33|3|3|2"]
    );
    assert_eq!(
        lake.rows(
            "SELECT path, partition_spec_id, added_snapshot_id, added_data_files_count, added_rows_count, \
             existing_data_files_count, partition_summaries FROM \"events$manifests\" FOR VERSION AS OF 11"
        )
        .await,
        [format!(
            "{ROOT}/metadata/m0.avro|0|11|1|2|0|[{{contains_null: false, contains_nan: false, lower_bound: 2026-01-10, \
             upper_bound: 2026-01-10}}]"
        )]
    );
    assert_eq!(
        lake.rows(
            "SELECT reference_snapshot_id, added_snapshot_id, added_data_files_count, added_delete_files_count \
             FROM events$all_manifests ORDER BY 1, 2"
        )
        .await,
        ["11|11|1|0", "22|11|1|0", "22|22|1|0", "33|11|1|0", "33|22|1|0", "33|33|1|0"]
    );
    let metrics = lake
        .rows("SELECT readable_metrics FROM \"events$files\" FOR VERSION AS OF 11")
        .await;
    let column = r#"{"column_size":50,"value_count":2,"null_value_count":0,"nan_value_count":null,"lower_bound":"2026-01-10","upper_bound":"2026-01-10"}"#;
    let number = column
        .replace("\"2026-01-10\"}", "11}")
        .replace("\"2026-01-10\"", "10");
    let nothing = r#"{"column_size":null,"value_count":null,"null_value_count":null,"nan_value_count":null,"lower_bound":null,"upper_bound":null}"#;
    assert_eq!(
        metrics,
        [format!(
            "{{\"day\":{column},\"id\":{number},\"name\":{nothing}}}"
        )]
    );
    lake.settings.set("landfast.as_of", "ref audit").unwrap();
    assert_eq!(lake.rows("SELECT count(*) FROM events$files").await, ["2"]);
    assert_eq!(
        lake.rows("SELECT count(*) FROM orders$properties").await,
        ["5"]
    );
}

/// A map's pairs in one order.
fn sorted_map(cell: &str) -> String {
    let Some(pairs) = cell
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        return cell.to_string();
    };
    let mut pairs: Vec<&str> = pairs.split(", ").collect();
    pairs.sort_unstable();
    pairs.join(", ")
}

#[tokio::test]
async fn partitions_sum_up_their_files() {
    let lake = Lake::with_history().await;
    assert_eq!(
        lake.rows(
            "SELECT partition['day'], record_count, file_count, data['id']['min'], data['id']['max'], data['id']['null_count'], \
             data['name']['min'], data['name']['null_count'], data['name']['nan_count'] FROM \"events$partitions\" ORDER BY 1"
        )
        .await,
        [
            "2026-01-10|2|1|10|11|0||| ".trim_end(),
            "2026-01-20|2|1|20|22|0|n20|1|",
            "2026-01-30|2|1|30|33|0|n30|1|"
        ]
    );
    assert_eq!(
        lake.rows("SELECT sum(record_count) AS s FROM \"events$partitions\" FOR VERSION AS OF 22")
            .await,
        ["4"]
    );
}

#[tokio::test]
async fn tables_about_tables_have_trinos_columns() {
    let lake = Lake::with_history().await;
    let columns = |table: &'static str| {
        let lake = &lake;
        async move {
            let described = lake
                .describe(&format!("SELECT * FROM \"{table}\""))
                .await
                .unwrap();
            let names = shape(&described.schema);
            names
                .iter()
                .map(|column| column.split(':').next().unwrap().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        }
    };
    assert_eq!(
        columns("events$files").await,
        "content file_path file_format spec_id partition record_count file_size_in_bytes column_sizes value_counts \
         null_value_counts nan_value_counts lower_bounds upper_bounds key_metadata split_offsets equality_ids \
         sort_order_id readable_metrics"
    );
    assert_eq!(
        columns("events$entries").await,
        "status snapshot_id sequence_number file_sequence_number data_file readable_metrics"
    );
    assert_eq!(
        columns("events$partitions").await,
        "partition record_count file_count total_size data"
    );
    // A table that was never partitioned has no partition column, and one without a snapshot no rows.
    assert_eq!(
        columns("orders$partitions").await,
        "record_count file_count total_size data"
    );
    for table in [
        "files",
        "entries",
        "partitions",
        "manifests",
        "snapshots",
        "history",
        "refs",
    ] {
        let text = format!("SELECT * FROM \"orders${table}\"");
        assert!(lake.rows(&text).await.is_empty(), "{table}");
    }
    assert!(lake.rows("SHOW TABLES LIKE '%$%'").await.is_empty());
    assert_eq!(lake.rows("DESCRIBE \"events$refs\"").await.len(), 6);
}

#[tokio::test]
async fn a_real_table_goes_before_one_about_a_table_and_an_unknown_one_is_not_found() {
    let lake = Lake::with_history().await;
    let error = lake.error("SELECT * FROM \"events$snapshot\"").await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("events$snapshots"), "{error}");
    for table in [
        "snapshots",
        "history",
        "refs",
        "properties",
        "metadata_log_entries",
    ] {
        let text = format!("SELECT * FROM \"events${table}\" FOR VERSION AS OF 11");
        let error = lake.error(&text).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}: {error}");
        assert!(
            error.to_string().contains("all versions"),
            "{text}: {error}"
        );
    }
    lake.table("lake.tpch.\"events$refs\"", &[("real", "long")])
        .await;
    let described = lake
        .describe("SELECT * FROM \"events$refs\"")
        .await
        .unwrap();
    assert_eq!(shape(&described.schema), ["real:Int64"]);
}

#[tokio::test]
async fn a_table_and_the_tables_about_it_are_of_one_snapshot() {
    let lake = Lake::with_history().await;
    let text = "SELECT e._c, f._c FROM (SELECT count(*) AS _c FROM events) e, \
                (SELECT sum(record_count) AS _c FROM \"events$files\") f, \"events$refs\" WHERE name = 'main'";
    assert_eq!(lake.rows(text).await, ["6|6"]);
    let pins = lake.plan(text, None, &[]).await.unwrap().pins();
    assert_eq!(pins.len(), 1);
    let again = lake.plan(text, None, &pins).await.unwrap();
    assert_eq!(again.pins(), pins);
}

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int8Array, Int32Array, Int64Array, LargeStringArray,
    NullArray, StringArray, StringViewArray, UnionArray,
};
use arrow::datatypes::{DataType, Field, Int8Type, Int64Type, Schema, UnionFields};
use datafusion::execution::memory_pool::GreedyMemoryPool;

use super::*;

/// Tables of all sessions in so many bytes of memory, of which they may take all.
fn space(memory: usize) -> (Arc<TemporarySpace>, Arc<dyn MemoryPool>) {
    limited(memory, usize::MAX, usize::MAX)
}

fn limited(
    memory: usize,
    session_bytes_max: usize,
    bytes_max: usize,
) -> (Arc<TemporarySpace>, Arc<dyn MemoryPool>) {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory));
    let limits = TemporaryLimits {
        session_bytes_max,
        bytes_max,
    };
    (TemporarySpace::new(limits, &pool), pool)
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn numbers(count: i64) -> RecordBatch {
    batch(vec![(
        "n",
        Arc::new(Int64Array::from_iter_values(0..count)),
    )])
}

fn texts(column: impl Array + 'static) -> RecordBatch {
    batch(vec![("t", Arc::new(column))])
}

fn put(
    tables: &Arc<SessionTables>,
    name: &str,
    rows: &RecordBatch,
    missing: IfMissing,
    there: IfThere,
) -> Result<usize> {
    let mut upload = tables.begin(name, missing, there, &rows.schema())?;
    upload.push(rows)?;
    upload.commit()
}

fn create(tables: &Arc<SessionTables>, name: &str, rows: &RecordBatch) -> Result<usize> {
    put(tables, name, rows, IfMissing::Create, IfThere::Fail)
}

fn append(tables: &Arc<SessionTables>, name: &str, rows: &RecordBatch) -> Result<usize> {
    put(tables, name, rows, IfMissing::Fail, IfThere::Append)
}

fn rows(tables: &Arc<SessionTables>, name: &str) -> Option<usize> {
    let table = tables.table(name)?;
    Some(table.batches().iter().map(RecordBatch::num_rows).sum())
}

fn all_texts(tables: &Arc<SessionTables>, name: &str) -> Vec<Option<String>> {
    let batches = tables.table(name).unwrap().batches();
    let of = |batch: &RecordBatch| {
        let column = batch.column(0).as_string_view();
        let texts = column.iter().map(|text| text.map(str::to_owned));
        texts.collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

#[test]
fn every_pair_of_options_does_what_it_says_where_the_table_is_and_where_it_is_not() {
    use IfMissing::Create;
    use IfThere::{Append, Fail, Replace};
    let not_there = [
        (Create, Fail, Ok(2)),
        (Create, Append, Ok(2)),
        (Create, Replace, Ok(2)),
        (IfMissing::Fail, Fail, Err(ErrorKind::NotFound)),
        (IfMissing::Fail, Append, Err(ErrorKind::NotFound)),
        (IfMissing::Fail, Replace, Err(ErrorKind::NotFound)),
    ];
    let is_there = [
        (Create, Fail, Err(ErrorKind::AlreadyExists)),
        (Create, Append, Ok(5)),
        (Create, Replace, Ok(2)),
        (IfMissing::Fail, Fail, Err(ErrorKind::AlreadyExists)),
        (IfMissing::Fail, Append, Ok(5)),
        (IfMissing::Fail, Replace, Ok(2)),
    ];
    for (there_before, cases) in [(false, not_there), (true, is_there)] {
        for (missing, there, expected) in cases {
            let (space, _) = space(1 << 20);
            let tables = space.open("s");
            if there_before {
                create(&tables, "t", &numbers(3)).unwrap();
            }
            let done = put(&tables, "t", &numbers(2), missing, there);
            let now = rows(&tables, "t");
            match expected {
                Ok(count) => assert_eq!((done.unwrap(), now), (2, Some(count))),
                Err(kind) => {
                    assert_eq!(done.unwrap_err().kind(), kind, "{missing:?} {there:?}");
                    assert_eq!(now, there_before.then_some(3));
                }
            }
        }
    }
}

#[test]
fn what_is_read_stays_as_it_was_and_an_upload_that_is_given_up_changes_nothing() {
    let (space, pool) = space(1 << 20);
    let tables = space.open("s");
    create(&tables, "t", &numbers(3)).unwrap();
    let held = space.now(Some("s"));
    put(&tables, "t", &numbers(1), IfMissing::Fail, IfThere::Replace).unwrap();
    assert_eq!(held.get("t").unwrap().batches()[0].num_rows(), 3);
    assert_ne!(
        held.get("t").unwrap().pin(),
        tables.table("t").unwrap().pin()
    );
    let before = pool.reserved();
    let schema = numbers(0).schema();
    let mut upload = tables
        .begin("t", IfMissing::Fail, IfThere::Append, &schema)
        .unwrap();
    upload.push(&numbers(100)).unwrap();
    assert!(pool.reserved() > before);
    drop(upload);
    assert_eq!((rows(&tables, "t"), pool.reserved()), (Some(1), before));
    assert!(space.drop_table(Some("s"), "t") && !space.drop_table(Some("s"), "t"));
    assert_eq!(rows(&tables, "t"), None);
}

#[test]
fn one_session_sees_nothing_of_anothers_and_takes_its_own_with_it() {
    let (space, pool) = space(1 << 20);
    let (one, other) = (space.open("one"), space.open("other"));
    create(&one, "t", &numbers(3)).unwrap();
    create(&other, "t", &numbers(5)).unwrap();
    assert_eq!((rows(&one, "t"), rows(&other, "t")), (Some(3), Some(5)));
    assert_eq!(space.now(None).all().count(), 0);
    assert_eq!(space.now(Some("nobody")).all().count(), 0);
    assert!(!space.drop_table(None, "t"));
    let schema = numbers(0).schema();
    let late = one.begin("u", IfMissing::Create, IfThere::Fail, &schema);
    let late = late.unwrap();
    one.end();
    assert_eq!(
        late.commit().unwrap_err().kind(),
        ErrorKind::FailedPrecondition
    );
    assert_eq!(space.now(Some("one")).all().count(), 0);
    assert_eq!(rows(&space.open("one"), "t"), None);
    other.end();
    assert_eq!((space.used_bytes(), pool.reserved()), (0, 0));
}

#[test]
fn what_a_table_holds_is_charged_until_nobody_has_it() {
    let (space, pool) = space(1 << 20);
    let tables = space.open("s");
    create(&tables, "t", &numbers(8192)).unwrap();
    let charged = pool.reserved();
    assert!((65_536..100_000).contains(&charged), "{charged}");
    assert_eq!(space.used_bytes(), charged);
    append(&tables, "t", &numbers(8192)).unwrap();
    assert!(pool.reserved() > charged + 65_536);
    put(
        &tables,
        "t",
        &numbers(8192),
        IfMissing::Fail,
        IfThere::Replace,
    )
    .unwrap();
    assert_eq!(pool.reserved(), charged);
    let held = space.now(Some("s"));
    tables.end();
    assert_eq!(pool.reserved(), charged, "a plan may still read it");
    drop(held);
    assert_eq!((pool.reserved(), space.used_bytes()), (0, 0));
}

#[test]
fn every_limit_refuses_by_its_name_and_changes_nothing() {
    let refused = |tables: &Arc<SessionTables>, rows: &RecordBatch, limit: &str| {
        let refused = put(tables, "t", rows, IfMissing::Create, IfThere::Append).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
        assert!(refused.to_string().contains(limit), "{refused}");
    };
    let (space, pool) = limited(1 << 20, 100_000, 150_000);
    let (one, other) = (space.open("one"), space.open("other"));
    create(&one, "t", &numbers(8_192)).unwrap();
    let charged = pool.reserved();
    refused(
        &one,
        &numbers(8_192),
        "a session's temporary tables may take 100000 bytes",
    );
    refused(
        &other,
        &numbers(12_000),
        "all sessions may take 150000 bytes",
    );
    assert_eq!((rows(&one, "t"), pool.reserved()), (Some(8_192), charged));
    let (small, pool) = self::space(20_000);
    refused(&small.open("s"), &numbers(8_192), "no memory");
    assert_eq!((small.used_bytes(), pool.reserved()), (0, 0));
    let (off, _) = limited(1 << 20, 0, 0);
    refused(&off.open("s"), &numbers(0), "may take 0 bytes");
}

#[test]
fn a_session_has_so_many_tables_at_most() {
    let (space, _) = space(1 << 30);
    let tables = space.open("s");
    for at in 0..TABLES_MAX {
        create(&tables, &format!("t{at}"), &numbers(0)).unwrap();
    }
    let refused = create(&tables, "one_more", &numbers(0)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    append(&tables, "t7", &numbers(1)).unwrap();
}

#[test]
fn many_small_uploads_and_messages_make_few_batches_in_their_order() {
    let (space, pool) = space(1 << 22);
    let tables = space.open("s");
    create(&tables, "t", &numbers(0)).unwrap();
    for _ in 0..20 {
        let schema = numbers(0).schema();
        let mut upload = tables
            .begin("t", IfMissing::Fail, IfThere::Append, &schema)
            .unwrap();
        for _ in 0..50 {
            upload.push(&numbers(20)).unwrap();
        }
        upload.commit().unwrap();
    }
    let batches = tables.table("t").unwrap().batches();
    assert!(batches.len() <= 4, "{}", batches.len());
    let all: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect();
    let expected: Vec<i64> = (0..1_000).flat_map(|_| 0..20).collect();
    assert_eq!(all, expected);
    assert!(pool.reserved() < 400_000, "{}", pool.reserved());
}

#[test]
fn a_large_batch_is_kept_in_parts_that_hold_no_more_than_themselves() {
    let (space, pool) = space(1 << 22);
    let tables = space.open("s");
    let long = "a text that does not fit into a view itself";
    let column = StringArray::from_iter_values((0..20_000).map(|at| format!("{long} {at}")));
    let sent = texts(column).slice(10, 19_000);
    create(&tables, "t", &sent).unwrap();
    let table = tables.table("t").unwrap();
    let counts: Vec<usize> = table.batches().iter().map(RecordBatch::num_rows).collect();
    assert_eq!(counts, [8192, 8192, 2616]);
    for batch in table.batches() {
        let bytes = batch.column(0).get_array_memory_size();
        assert!(bytes < batch.num_rows() * 80, "{bytes}");
    }
    assert!(pool.reserved() < 19_000 * 80);
    let first = all_texts(&tables, "t")[0].clone().unwrap();
    assert_eq!(first, format!("{long} 10"));
}

#[test]
fn rows_are_appended_by_their_columns_names_and_misfits_name_the_column() {
    let (space, _) = space(1 << 20);
    let tables = space.open("s");
    let number = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    create(
        &tables,
        "t",
        &batch(vec![("t", text(vec!["a"])), ("n", number(vec![1]))]),
    )
    .unwrap();
    append(
        &tables,
        "t",
        &batch(vec![("n", number(vec![2])), ("t", text(vec!["b"]))]),
    )
    .unwrap();
    assert_eq!(
        all_texts(&tables, "t"),
        [Some("a".into()), Some("b".into())]
    );
    let narrow = Arc::new(Int32Array::from(vec![1])) as ArrayRef;
    for (columns, named) in [
        (
            vec![("t", text(vec!["c"]))],
            "a column \"n\", which the rows have not",
        ),
        (
            vec![
                ("t", text(vec!["c"])),
                ("n", number(vec![3])),
                ("x", number(vec![3])),
            ],
            "no column \"x\", which the rows have",
        ),
        (
            vec![("t", text(vec!["c"])), ("n", narrow)],
            "its column \"n\" is Int64, and that of the rows is Int32",
        ),
        (
            vec![("t", text(vec!["c"])), ("N", number(vec![3]))],
            "no column \"N\"",
        ),
    ] {
        let refused = append(&tables, "t", &batch(columns)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(refused.to_string().contains(named), "{refused}");
    }
    assert_eq!(rows(&tables, "t"), Some(2));
    let nothing = batch(vec![
        ("t", Arc::new(NullArray::new(1))),
        ("n", number(vec![3])),
    ]);
    append(&tables, "t", &nothing).unwrap();
    assert_eq!(all_texts(&tables, "t")[2], None);
}

#[test]
fn texts_are_kept_alike_however_they_are_sent() {
    let (space, _) = space(1 << 20);
    let tables = space.open("s");
    let long = "a text that does not fit into a view itself";
    let values = vec![Some("a"), None, Some(long)];
    create(&tables, "t", &texts(StringArray::from(values.clone()))).unwrap();
    append(&tables, "t", &texts(LargeStringArray::from(values.clone()))).unwrap();
    append(&tables, "t", &texts(StringViewArray::from(values.clone()))).unwrap();
    let dictionary: DictionaryArray<Int8Type> = values.clone().into_iter().collect();
    append(&tables, "t", &texts(dictionary)).unwrap();
    let one: Vec<Option<String>> = values
        .into_iter()
        .map(|text| text.map(str::to_owned))
        .collect();
    assert_eq!(all_texts(&tables, "t"), vec![one; 4].concat());
    assert_eq!(
        *tables.table("t").unwrap().schema().field(0).data_type(),
        DataType::Utf8View
    );
}

#[test]
fn a_small_message_that_stands_for_much_is_charged_before_it_is_made() {
    let (space, pool) = space(1 << 20);
    let tables = space.open("s");
    let value = "x".repeat(10_000);
    let keys = Int8Array::from(vec![0; 10_000]);
    let dictionary = DictionaryArray::new(keys, Arc::new(StringArray::from(vec![value.as_str()])));
    let views = StringViewArray::from(vec![value.as_str()]);
    let views = arrow::compute::take(&views, &Int32Array::from(vec![0; 10_000]), None).unwrap();
    for sent in [texts(dictionary), batch(vec![("t", views)])] {
        assert!(sent.get_array_memory_size() < 500_000);
        let refused = create(&tables, "t", &sent).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    }
    let nothing = batch(vec![("t", Arc::new(NullArray::new(1 << 30)))]);
    let refused = create(&tables, "t", &nothing).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    assert_eq!((rows(&tables, "t"), pool.reserved()), (None, 0));
}

#[test]
fn what_can_not_be_kept_is_refused_by_the_columns_name() {
    let (space, pool) = space(1 << 20);
    let tables = space.open("s");
    let item = |of| Arc::new(Field::new("item", of, true));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let union: UnionFields = [(0, Arc::new(Field::new("a", DataType::Int64, true)))]
        .into_iter()
        .collect();
    let union = UnionArray::try_new(
        union,
        vec![0].into(),
        None,
        vec![Arc::new(Int64Array::from(vec![1])) as ArrayRef],
    )
    .unwrap();
    for (of, why) in [
        (union.data_type().clone(), "unions"),
        (DataType::List(item(dictionary)), "dictionary within"),
        (DataType::List(item(DataType::Utf8View)), "views within"),
        (DataType::FixedSizeBinary(1 << 20), "fixed size"),
        (
            DataType::FixedSizeList(item(DataType::Int64), 1 << 30),
            "fixed size",
        ),
    ] {
        let schema = Arc::new(Schema::new(vec![Field::new("odd", of, true)]));
        let refused = tables.begin("t", IfMissing::Create, IfThere::Fail, &schema);
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        let text = refused.to_string();
        assert!(text.contains("\"odd\"") && text.contains(why), "{text}");
    }
    for schema in [
        Schema::empty(),
        Schema::new(vec![Field::new("a", DataType::Int64, true); 2]),
    ] {
        let refused = tables.begin("t", IfMissing::Create, IfThere::Fail, &Arc::new(schema));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    let refused = create(&tables, "", &numbers(1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert_eq!(pool.reserved(), 0);
}

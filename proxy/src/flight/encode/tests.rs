use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, DictionaryArray, Int64Array, LargeListArray,
    StringArray, StringViewArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow_flight::utils::flight_data_to_arrow_batch;
use proptest::prelude::*;

use arrow::datatypes::SchemaRef;

use super::*;
use crate::flight::wire::wire_schema;

fn encode(batch: &RecordBatch) -> (SchemaRef, Vec<FlightData>) {
    let wire = wire_schema(&batch.schema());
    let mut encoder = Encoder::new(WireCast::new(&batch.schema(), wire.clone()).unwrap());
    let mut out = vec![];
    let step = Encoder::rows_per_message(batch);
    for at in (0..batch.num_rows()).step_by(step) {
        encoder
            .encode(&batch.slice(at, step.min(batch.num_rows() - at)), &mut out)
            .unwrap();
    }
    (wire, out)
}

fn decode(schema: &SchemaRef, messages: &[FlightData]) -> RecordBatch {
    let batches: Vec<_> = messages
        .iter()
        .map(|message| {
            flight_data_to_arrow_batch(message, schema.clone(), &Default::default()).unwrap()
        })
        .collect();
    arrow::compute::concat_batches(schema, &batches).unwrap()
}

fn weight(message: &FlightData) -> usize {
    message.data_header.len() + message.data_body.len()
}

#[test]
fn wide_and_long_results_are_cut_into_messages_of_one_to_two_mebibytes() {
    let rows = 400_000;
    let batch = RecordBatch::try_from_iter([
        (
            "n",
            Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef,
        ),
        (
            "t",
            Arc::new(StringViewArray::from_iter_values(
                (0..rows).map(|n| format!("a longer text, number {n}")),
            )) as _,
        ),
    ])
    .unwrap();
    let (schema, messages) = encode(&batch);
    assert!(messages.len() > 4);
    for message in &messages[..messages.len() - 1] {
        assert!(
            (1 << 20..=2 << 20).contains(&weight(message)),
            "{}",
            weight(message)
        );
    }
    let back = decode(&schema, &messages);
    assert_eq!(back.num_rows(), rows as usize);
    assert_eq!(
        back.column(1).as_string::<i32>().value(399_999),
        "a longer text, number 399999"
    );
}

#[test]
fn uneven_rows_never_make_a_message_above_the_limit_and_one_larger_row_goes_alone() {
    let mut texts = vec!["x".to_owned(); 5_000];
    for at in [10, 11, 12, 4_000] {
        texts[at] = "y".repeat(3 << 20);
    }
    texts[20] = "z".repeat(9 << 20);
    let batch = RecordBatch::try_from_iter([(
        "t",
        Arc::new(StringViewArray::from_iter_values(&texts)) as ArrayRef,
    )])
    .unwrap();
    let (schema, messages) = encode(&batch);
    let large: Vec<_> = messages
        .iter()
        .filter(|message| weight(message) > MESSAGE_MAX_BYTES)
        .collect();
    assert_eq!(large.len(), 1);
    assert_eq!(decode(&schema, &[large[0].clone()]).num_rows(), 1);
    let back = decode(&schema, &messages);
    assert!(
        back.column(0)
            .as_string::<i32>()
            .iter()
            .flatten()
            .eq(texts.iter().map(String::as_str))
    );
}

#[test]
fn a_value_repeated_by_a_view_is_counted_as_often_as_it_is_sent() {
    let value = StringViewArray::from_iter_values(["v".repeat(100_000)]);
    let indices = arrow::array::UInt32Array::from(vec![0; 1_000]);
    let column = arrow::compute::take(&value, &indices, None).unwrap();
    let batch = RecordBatch::try_from_iter([("t", column)]).unwrap();
    let (_, messages) = encode(&batch);
    assert!(
        messages
            .iter()
            .all(|message| weight(message) <= MESSAGE_MAX_BYTES)
    );
    assert_eq!(messages.iter().map(weight).sum::<usize>() / 100_000, 1_000);
}

#[test]
fn a_slice_sends_its_own_rows_only() {
    let whole = RecordBatch::try_from_iter([(
        "t",
        Arc::new(StringArray::from_iter_values(
            (0..100_000).map(|n| format!("{n:>40}")),
        )) as ArrayRef,
    )])
    .unwrap();
    let (schema, messages) = encode(&whole.slice(50_000, 3));
    assert_eq!(messages.len(), 1);
    assert!(weight(&messages[0]) < 1_000);
    assert_eq!(
        decode(&schema, &messages)
            .column(0)
            .as_string::<i32>()
            .value(0)
            .trim(),
        "50000"
    );
}

#[test]
fn types_that_drivers_cannot_read_are_sent_as_what_they_stand_for() {
    let lists =
        LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let words: DictionaryArray<Int32Type> = ["a", "a"].into_iter().collect();
    let batch = RecordBatch::try_from_iter([
        ("l", Arc::new(lists) as ArrayRef),
        ("d", Arc::new(words) as _),
        (
            "b",
            Arc::new(BinaryViewArray::from_iter_values([b"x", b"y"])) as _,
        ),
        (
            "o",
            Arc::new(BooleanArray::from(vec![Some(true), None])) as _,
        ),
    ])
    .unwrap();
    let (schema, messages) = encode(&batch);
    let types: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(types, ["List(Int64)", "Utf8", "Binary", "Boolean"]);
    let back = decode(&schema, &messages);
    assert_eq!(back.column(0).as_list::<i32>().value(0).len(), 2);
    assert_eq!(back.column(1).as_string::<i32>().value(1), "a");
    assert!(back.column(3).is_null(1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_sent_comes_back(texts in proptest::collection::vec(proptest::option::of(".{0,40}"), 0..300), from in 0usize..50) {
        let batch = RecordBatch::try_from_iter([("t", Arc::new(StringViewArray::from(texts.clone())) as ArrayRef)]).unwrap();
        let from = from.min(batch.num_rows());
        let (schema, messages) = encode(&batch.slice(from, batch.num_rows() - from));
        let back = decode(&schema, &messages);
        let sent: Vec<Option<&str>> = texts[from..].iter().map(Option::as_deref).collect();
        let got: Vec<Option<&str>> = back.column(0).as_string::<i32>().iter().collect();
        prop_assert_eq!(got, sent);
    }
}

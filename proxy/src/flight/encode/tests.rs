use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, DictionaryArray, Int64Array, LargeListArray,
    ListArray, StringArray, StringViewArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Int32Type, Int64Type};
use arrow_flight::utils::flight_data_to_arrow_batch;
use proptest::prelude::*;

use arrow::datatypes::SchemaRef;
use landfast_planner::WireTypes;

use super::*;
use crate::flight::wire::{wire_schema, wire_schema_in};

fn encode(batch: &RecordBatch) -> (SchemaRef, Vec<FlightData>) {
    let wire = wire_schema(&batch.schema());
    let mut encoder = Encoder::new(WireCast::new(&batch.schema(), wire.clone()).unwrap());
    let mut out = vec![];
    let step = encoder.rows_per_message(batch);
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

/// What goes over the wire in a profile, the schema first.
fn sent(batches: &[RecordBatch], types: WireTypes, with: Compression) -> Vec<FlightData> {
    let from = batches[0].schema();
    let wire = wire_schema_in(&from, types);
    let cast = WireCast::new(&from, wire).unwrap();
    let mut encoder = Encoder::compressed(cast, with).unwrap();
    let mut out = vec![encoder.schema_message()];
    for batch in batches {
        let mut at = 0;
        while at < batch.num_rows() {
            let rest = batch.slice(at, batch.num_rows() - at);
            let rows = encoder.rows_per_message(&rest).min(rest.num_rows());
            encoder.encode(&rest.slice(0, rows), &mut out).unwrap();
            at += rows;
        }
    }
    out
}

/// What a client makes of it, as one batch.
async fn received(messages: Vec<FlightData>) -> RecordBatch {
    use arrow_flight::decode::FlightRecordBatchStream;
    use futures::TryStreamExt;
    let messages = futures::stream::iter(messages.into_iter().map(Ok));
    let stream = FlightRecordBatchStream::new_from_flight_data(messages);
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn views(rows: i64) -> RecordBatch {
    let text = |n: i64| format!("a longer text that is held in a buffer, number {n}");
    let inner = StringViewArray::from_iter_values((0..2 * rows).map(text));
    let item = Arc::new(Field::new("item", DataType::Utf8View, false));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(2, rows as usize));
    let lists = ListArray::new(item, offsets, Arc::new(inner), None);
    RecordBatch::try_from_iter([
        (
            "n",
            Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef,
        ),
        (
            "t",
            Arc::new(StringViewArray::from_iter_values((0..rows).map(text))) as _,
        ),
        ("l", Arc::new(lists) as _),
    ])
    .unwrap()
}

#[tokio::test]
async fn native_views_are_sent_as_views_in_messages_of_one_to_two_mebibytes() {
    let batch = views(60_000);
    let slice = batch.slice(100, 59_000);
    let messages = sent(
        std::slice::from_ref(&slice),
        WireTypes::Native,
        Compression::None,
    );
    assert!(messages.len() > 4, "{}", messages.len());
    for message in &messages[1..messages.len() - 1] {
        let bytes = weight(message);
        assert!((1 << 20..=2 << 20).contains(&bytes), "{bytes}");
    }
    let back = received(messages).await;
    assert_eq!(back.schema(), slice.schema());
    assert_eq!(back, slice);
    let few = sent(&[batch.slice(7, 3)], WireTypes::Native, Compression::None);
    assert!(few.iter().all(|message| weight(message) < 4_000));
}

#[tokio::test]
async fn a_native_dictionary_is_sent_once_and_one_that_is_too_large_in_pieces() {
    let small: DictionaryArray<Int32Type> = (0..200_000).map(|n| ["x", "y", "z"][n % 3]).collect();
    let small = RecordBatch::try_from_iter([("d", Arc::new(small) as ArrayRef)]).unwrap();
    let halves = [small.slice(0, 100_000), small.slice(100_000, 100_000)];
    let messages = sent(&halves, WireTypes::Native, Compression::None);
    let of_dictionaries = |messages: &[FlightData]| {
        let mut count = 0;
        for message in messages {
            let header = arrow_ipc::root_as_message(&message.data_header).unwrap();
            count += usize::from(header.header_type() == arrow_ipc::MessageHeader::DictionaryBatch);
        }
        count
    };
    assert_eq!(of_dictionaries(&messages), 1);
    assert_eq!(received(messages).await, small);

    let texts: Vec<String> = (0..5_000).map(|n| format!("{n:>2000}")).collect();
    let large: DictionaryArray<Int32Type> = texts.iter().map(String::as_str).collect();
    let large = RecordBatch::try_from_iter([("d", Arc::new(large) as ArrayRef)]).unwrap();
    let messages = sent(
        std::slice::from_ref(&large),
        WireTypes::Native,
        Compression::None,
    );
    assert!(of_dictionaries(&messages) > 2);
    assert!(messages.iter().all(|m| weight(m) <= MESSAGE_MAX_BYTES));
    let back = received(messages).await;
    let plain = arrow::compute::cast(back.column(0), &DataType::Utf8).unwrap();
    let got = plain.as_string::<i32>().iter().flatten();
    assert!(got.eq(texts.iter().map(String::as_str)));
}

#[tokio::test]
async fn compressed_messages_grow_to_one_or_two_mebibytes_and_never_above_four() {
    let even = |from: i64| {
        RecordBatch::try_from_iter([(
            "t",
            Arc::new(StringViewArray::from_iter_values(
                (from..from + 400_000).map(|n| format!("a text that repeats itself {n}")),
            )) as ArrayRef,
        )])
        .unwrap()
    };
    // And then rows that can't be compressed, of pseudo-random bytes.
    let mut state = 1_u64;
    let noise: Vec<Vec<u8>> = (0..2_000)
        .map(|_| {
            let byte = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            };
            std::iter::repeat_with(byte).take(8_192).collect()
        })
        .collect();
    for codec in [Compression::Lz4, Compression::Zstd] {
        let messages = sent(
            &[even(0), even(400_000), even(800_000)],
            WireTypes::Compatible,
            codec,
        );
        let sizes: Vec<usize> = messages.iter().map(weight).collect();
        let full = sizes.iter().filter(|bytes| **bytes >= 1 << 20).count();
        assert!(full * 2 >= sizes.len(), "{sizes:?}");
        assert!(sizes.iter().all(|bytes| *bytes <= 4 << 20), "{sizes:?}");
        assert_eq!(received(messages).await.num_rows(), 1_200_000);

        let column = Arc::new(BinaryViewArray::from_iter_values(&noise)) as ArrayRef;
        let zeros = Arc::new(BinaryViewArray::from_iter_values(std::iter::repeat_n(
            vec![0_u8; 8_192],
            2_000,
        ))) as ArrayRef;
        let of = |column: ArrayRef| RecordBatch::try_from_iter([("b", column)]).unwrap();
        let messages = sent(&[of(zeros), of(column)], WireTypes::Compatible, codec);
        assert!(messages.iter().all(|m| weight(m) <= MESSAGE_MAX_BYTES));
        assert_eq!(received(messages).await.num_rows(), 4_000);
    }
}

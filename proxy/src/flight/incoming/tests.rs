use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, FixedSizeListArray, Float64Array, Int32Array, Int64Array, ListArray,
    MapBuilder, NullArray, RecordBatch, RunArray, StringArray, StringBuilder, StringViewArray,
    StructArray, TimestampNanosecondArray, UnionArray,
};
use arrow::datatypes::{Field, Int32Type, Schema, UnionFields};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::IpcWriteOptions;
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Two rows of every type that is taken.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let pairs = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
        [Some(vec![Some(1), Some(2)]), None],
        2,
    );
    let boxed = StructArray::from(vec![(
        Arc::new(Field::new("n", DataType::Int64, true)),
        numbers.clone(),
    )]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("v");
    map.append(true).unwrap();
    map.append(false).unwrap();
    // As some drivers bind parameters: a dense union of all the types there may be.
    let either = UnionFields::try_new(
        [0, 4],
        [
            Field::new("n", DataType::Int32, true),
            Field::new("s", DataType::Utf8, true),
        ],
    );
    let either = UnionArray::try_new(
        either.unwrap(),
        vec![0i8, 4].into(),
        Some(vec![0i32, 0].into()),
        vec![
            Arc::new(Int32Array::from(vec![7])),
            Arc::new(StringArray::from(vec!["x"])),
        ],
    );
    let long = "a text that is too long to be held in a view itself";
    vec![
        ("number", numbers),
        ("text", Arc::new(StringArray::from(vec![Some("x"), None]))),
        (
            "view",
            Arc::new(StringViewArray::from(vec![Some(long), Some("y")])),
        ),
        (
            "bytes",
            Arc::new(BinaryViewArray::from(vec![long.as_bytes(), b""])),
        ),
        (
            "truth",
            Arc::new(BooleanArray::from(vec![Some(true), None])),
        ),
        ("real", Arc::new(Float64Array::from(vec![1.5, f64::NAN]))),
        ("exact", Arc::new(Decimal128Array::from(vec![1, 2]))),
        (
            "at",
            Arc::new(TimestampNanosecondArray::from(vec![1, 2]).with_timezone("Europe/Oslo")),
        ),
        (
            "fixed",
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1u8, 2], [3, 4]].iter()).unwrap()),
        ),
        ("nothing", Arc::new(NullArray::new(2))),
        ("list", Arc::new(list)),
        ("pairs", Arc::new(pairs)),
        ("boxed", Arc::new(boxed)),
        ("map", Arc::new(map.finish())),
        ("either", Arc::new(either.unwrap())),
        (
            "coded",
            Arc::new(
                vec![Some("a"), None]
                    .into_iter()
                    .collect::<DictionaryArray<Int32Type>>(),
            ),
        ),
    ]
}

fn batch(columns: Vec<(&'static str, ArrayRef)>) -> RecordBatch {
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn messages(batch: RecordBatch, options: IpcWriteOptions) -> Vec<FlightData> {
    messages_of(vec![batch], options)
}

fn messages_of(batches: Vec<RecordBatch>, options: IpcWriteOptions) -> Vec<FlightData> {
    let encoder = FlightDataEncoderBuilder::new()
        .with_dictionary_handling(DictionaryHandling::Resend)
        .with_options(options)
        .build(futures::stream::iter(batches).map(Ok));
    block_on(encoder.try_collect()).unwrap()
}

/// What is read of messages that are looked through.
fn read(messages: Vec<FlightData>) -> Result<Vec<RecordBatch>, FlightError> {
    let mut incoming = Incoming::default();
    let looked = futures::stream::iter(messages).map(move |message| incoming.look_through(message));
    block_on(FlightRecordBatchStream::new_from_flight_data(looked).try_collect())
}

#[test]
fn messages_of_every_type_are_let_through_and_read_as_they_were_written() {
    let written = batch(columns());
    let found = read(messages(written.clone(), IpcWriteOptions::default())).unwrap();
    assert_eq!(found.len(), 1);
    for (column, wanted) in found[0].columns().iter().zip(written.columns()) {
        assert_eq!(column.to_data(), wanted.to_data());
    }
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    assert!(read(messages(nothing, IpcWriteOptions::default())).is_ok());
}

#[test]
fn compressed_messages_and_types_that_no_parameter_has_are_refused_by_name() {
    let lz4 = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::LZ4_FRAME))
        .unwrap();
    let error = read(messages(batch(columns()), lz4)).unwrap_err();
    assert!(error.to_string().contains("compressed"), "{error}");
    let runs = RunArray::try_new(&Int32Array::from(vec![1, 2]), &Int32Array::from(vec![7, 8]));
    let runs: ArrayRef = Arc::new(runs.unwrap());
    let error = read(messages(
        batch(vec![("runs", runs)]),
        IpcWriteOptions::default(),
    ));
    assert!(error.unwrap_err().to_string().contains("RunEndEncoded"));
}

#[test]
fn whatever_is_let_through_is_decoded_or_refused_without_a_panic() {
    let mut rng = StdRng::seed_from_u64(5);
    let all = columns();
    let mut answers = [0, 0];
    for turn in 0..6000 {
        // One column at a time is changed most: with all of them, most changes fall on what is refused first.
        let chosen = match turn % 8 {
            0 => all.clone(),
            _ => vec![all[turn % all.len()].clone()],
        };
        let mut changed = messages(batch(chosen), IpcWriteOptions::default());
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..changed.len());
            let message = &mut changed[at];
            let part = match rng.random_range(0..4) {
                0 => &mut message.data_body,
                _ => &mut message.data_header,
            };
            let mut bytes = part.to_vec();
            if bytes.is_empty() {
                continue;
            }
            let byte = rng.random_range(0..bytes.len());
            match rng.random_range(0..6) {
                0 => bytes.truncate(byte),
                1 => bytes[byte] = rng.random(),
                2 => bytes[byte] = 0,
                3 => bytes[byte] = 0xff,
                4 => bytes[byte] = bytes[byte].wrapping_add(1),
                _ => bytes[byte] ^= 1 << rng.random_range(0..8),
            }
            *part = bytes.into();
        }
        answers[usize::from(read(changed).is_ok())] += 1;
    }
    assert!(answers[0] > 500 && answers[1] > 500, "{answers:?}");
}

fn coded(words: &[&str]) -> ArrayRef {
    Arc::new(
        words
            .iter()
            .copied()
            .collect::<DictionaryArray<Int32Type>>(),
    )
}

/// Messages with a schema and so many dictionaries, and no rows.
fn dictionaries_alone(count: usize) -> Vec<FlightData> {
    let names = ["a", "b", "c"];
    let columns = names[..count].iter().map(|name| (*name, coded(&[name])));
    let mut messages = messages(batch(columns.collect()), IpcWriteOptions::default());
    messages.pop();
    assert_eq!(messages.len(), 1 + count);
    messages
}

#[test]
fn dictionaries_are_bounded_together_also_where_no_rows_come() {
    let padded = |message: &FlightData, bytes: usize| {
        let mut body = message.data_body.to_vec();
        body.resize(bytes, 0);
        FlightData {
            data_body: body.into(),
            ..message.clone()
        }
    };
    let [schema, a, b, c] = &dictionaries_alone(3)[..] else {
        panic!("a schema and three dictionaries");
    };
    let half = DICTIONARY_BYTES_MAX / 2;
    let (a, b) = (padded(a, half), padded(b, half));
    let fine = [schema, &a, &b, &a, &b, &a].map(Clone::clone);
    assert!(
        read(fine.to_vec()).unwrap().is_empty(),
        "the last of each counts alone"
    );
    let mut incoming = Incoming::default();
    for message in [schema, &a, &b, schema, &a, &b] {
        // Those of an earlier schema are gone.
        incoming.look_through(message.clone()).unwrap();
    }
    let more = [schema, &a, &b, c].map(Clone::clone);
    let fault = unreadable("the rows", read(more.to_vec()).unwrap_err());
    let Fault::Limit(limit @ LimitError::TooLarge { .. }) = fault else {
        panic!("{fault}");
    };
    assert!(limit.to_string().contains("dictionaries of"), "{limit}");
}

#[test]
fn a_delta_of_a_dictionary_is_refused_by_name() {
    let of = |words: &[&str]| batch(vec![("coded", coded(words))]);
    let options = IpcWriteOptions::default()
        .with_dictionary_handling(arrow_ipc::writer::DictionaryHandling::Delta);
    let grown = messages_of(vec![of(&["x"]), of(&["x", "y"])], options);
    let error = read(grown).unwrap_err();
    assert!(error.to_string().contains("isDelta"), "{error}");
    let whole = messages_of(
        vec![of(&["x"]), of(&["x", "y"])],
        IpcWriteOptions::default(),
    );
    assert_eq!(read(whole).unwrap().len(), 2);
}

#[test]
fn a_dictionary_holds_no_more_than_its_own_bytes() {
    let [schema, one] = &dictionaries_alone(1)[..] else {
        panic!("a schema and a dictionary");
    };
    let mut incoming = Incoming::default();
    incoming.look_through(schema.clone()).unwrap();
    let looked = incoming.look_through(one.clone()).unwrap();
    assert_eq!(looked.data_body, one.data_body);
    assert_ne!(looked.data_body.as_ptr(), one.data_body.as_ptr());
}

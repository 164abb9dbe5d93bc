use arrow::array::{AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};

use super::lake::with_rows;
use super::*;

const TYPES: &str = "SELECT 'text' AS t, arrow_cast('a word', 'Dictionary(Int32, Utf8)') AS d, \
     arrow_cast('x', 'BinaryView') AS b, [arrow_cast('in a list', 'Utf8View')] AS l, \
     arrow_cast(1.5, 'Float16') AS h, arrow_cast(['a'], 'LargeList(Utf8)') AS ll";

/// The schema of one statement, which all paths tell alike.
async fn schema_on_every_path(client: &mut Client, sql: &str) -> Schema {
    let info = client.info(sql).await.unwrap();
    let planned = info.clone().try_decode_schema().unwrap();
    let described = client.schema(&query(sql)).await.unwrap();
    assert_eq!(described, planned);
    let descriptor = FlightDescriptor::new_cmd(query(sql).as_any().encode_to_vec());
    let polled = client.poll(descriptor).await.unwrap().info.unwrap();
    assert_eq!(polled.try_decode_schema().unwrap(), planned);
    let handle = client.prepare(sql).await.unwrap();
    let dataset = arrow_ipc::convert::try_schema_from_ipc_buffer(&handle.dataset_schema).unwrap();
    assert_eq!(dataset, planned);
    let command = prepared(&handle.prepared_statement_handle);
    let of_prepared = client.info_response(&command).await.unwrap().into_inner();
    assert_eq!(of_prepared.clone().try_decode_schema().unwrap(), planned);
    for info in [&info, &of_prepared] {
        let (sent, batches) = client.fetch(ticket(info)).await.unwrap();
        assert_eq!(*sent, planned);
        assert!(batches.iter().all(|batch| *batch.schema() == planned));
    }
    planned
}

#[tokio::test]
async fn a_statement_has_one_schema_in_each_profile() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let types = |schema: &Schema| -> Vec<DataType> {
        let fields = schema.fields().iter();
        fields.map(|field| field.data_type().clone()).collect()
    };
    let plain = types(&schema_on_every_path(&mut client, TYPES).await);
    assert_eq!(plain[0], DataType::Utf8);
    assert_eq!(plain[1], DataType::Utf8);
    assert_eq!(plain[2], DataType::Binary);
    assert_eq!(plain[4], DataType::Float32);
    assert!(matches!(&plain[3], DataType::List(item) if *item.data_type() == DataType::Utf8));

    client
        .update("SET landfast.wire_types = 'native'")
        .await
        .unwrap();
    let native = types(&schema_on_every_path(&mut client, TYPES).await);
    assert!(matches!(&native[1], DataType::Dictionary(_, _)));
    assert_eq!(native[2], DataType::BinaryView);
    assert_eq!(native[4], DataType::Float16);
    assert!(matches!(&native[3], DataType::List(item) if *item.data_type() == DataType::Utf8View));
    assert!(matches!(&native[5], DataType::List(_)), "{:?}", native[5]);
    for codec in ["lz4", "zstd"] {
        let set = format!("SET landfast.compression = '{codec}'");
        client.update(&set).await.unwrap();
        assert_eq!(
            types(&schema_on_every_path(&mut client, TYPES).await),
            native
        );
    }
}

#[tokio::test]
async fn without_zones_a_timestamp_is_that_of_utc_at_any_depth_and_all_else_is_as_ever() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let zoned = "arrow_cast('2024-02-29T12:30:00', 'Timestamp(Microsecond, Some(\"+02:00\"))')";
    let sql =
        format!("SELECT {zoned} AS z, [{zoned}] AS zl, named_struct('z', {zoned}) AS zs, {TYPES}");
    let sql = sql.replacen(", SELECT", ",", 1);
    let plain = schema_on_every_path(&mut client, &sql).await;
    client
        .update("SET landfast.wire_types = 'zoneless'")
        .await
        .unwrap();
    let without = schema_on_every_path(&mut client, &sql).await;
    let naive = DataType::Timestamp(TimeUnit::Microsecond, None);
    assert_eq!(*without.field(0).data_type(), naive);
    assert!(
        matches!(without.field(1).data_type(), DataType::List(item) if *item.data_type() == naive)
    );
    assert!(
        matches!(without.field(2).data_type(), DataType::Struct(of) if *of[0].data_type() == naive)
    );
    assert_ne!(plain.fields()[..3], without.fields()[..3]);
    assert_eq!(plain.fields()[3..], without.fields()[3..]);

    let rows = client.rows(&sql).await.unwrap();
    let moment = TimestampMicrosecondArray::from(vec![1_709_202_600_000_000]);
    assert_eq!(rows[0].column(0).as_ref(), &moment);
    assert_eq!(
        rows[0].column(1).as_list::<i32>().value(0).as_ref(),
        &moment
    );
    assert_eq!(rows[0].column(2).as_struct().column(0).as_ref(), &moment);
    client
        .update("SET landfast.wire_types = 'native'")
        .await
        .unwrap();
    let native = schema_on_every_path(&mut client, &sql).await;
    assert!(matches!(
        native.field(0).data_type(),
        DataType::Timestamp(_, Some(_))
    ));
}

#[tokio::test]
async fn a_statement_keeps_the_types_it_was_prepared_with() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let handle = client.prepare(TYPES).await.unwrap();
    client
        .update("SET landfast.wire_types = 'native'")
        .await
        .unwrap();
    let dataset = arrow_ipc::convert::try_schema_from_ipc_buffer(&handle.dataset_schema).unwrap();
    let command = prepared(&handle.prepared_statement_handle);
    let info = client.info_response(&command).await.unwrap().into_inner();
    let (sent, _) = client.fetch(ticket(&info)).await.unwrap();
    assert_eq!(*sent, dataset);
}

#[tokio::test]
async fn every_profile_gives_the_same_rows_and_compressed_ones_fewer_bytes() {
    let service = with_rows(Limits::default()).await;
    let mut client = service.login("bob").await;
    let sql = "SELECT l_orderkey, l_shipmode, l_comment, l_extendedprice FROM lake.tpch.lineitem \
               ORDER BY l_orderkey, l_linenumber";
    let mut answers = vec![];
    let mut bytes = vec![];
    for (types, codec) in [
        ("compatible", "none"),
        ("native", "none"),
        ("zoneless", "none"),
        ("compatible", "lz4"),
        ("native", "zstd"),
    ] {
        let set = format!("SET landfast.wire_types = '{types}'");
        client.update(&set).await.unwrap();
        let set = format!("SET landfast.compression = '{codec}'");
        client.update(&set).await.unwrap();
        let info = client.info(sql).await.unwrap();
        let mut stream = client.get(ticket(&info)).await.unwrap();
        let mut sent = 0;
        while let Some(message) = stream.message().await.unwrap() {
            assert!(message.encoded_len() <= 4 << 20);
            sent += message.data_body.len();
        }
        bytes.push(sent);
        let rows = client.fetch(ticket(&info)).await.unwrap().1;
        answers.push((column(&rows, "l_comment"), column(&rows, "l_extendedprice")));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert!(bytes[3] < bytes[0] && bytes[4] < bytes[3], "{bytes:?}");
}

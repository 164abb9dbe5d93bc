use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetSqlInfo,
    CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
};
use tonic::Code;

use super::*;

async fn schemas(client: &mut Client) -> Vec<String> {
    let command = CommandGetDbSchemas {
        catalog: Some("lake".into()),
        db_schema_filter_pattern: Some("s%".into()),
    };
    let info = client.info_response(&command).await.unwrap().into_inner();
    column(
        &client.fetch(ticket(&info)).await.unwrap().1,
        "db_schema_name",
    )
}

#[tokio::test]
async fn a_command_runs_once_whether_or_not_its_result_is_fetched_and_how_often() {
    let service = service(Limits::default()).await;
    let mut client = service.login("ann").await;
    let create = "CREATE SCHEMA lake.s1";
    let handle = client.prepare(create).await.unwrap();
    assert!(handle.dataset_schema.is_empty());
    client.schema(&query(create)).await.unwrap();
    assert!(
        schemas(&mut client).await.is_empty(),
        "preparing and asking for the schema run nothing"
    );

    let info = client.info(create).await.unwrap();
    assert_ne!(info.total_records, -1);
    assert_eq!(
        schemas(&mut client).await,
        ["s1"],
        "GetFlightInfo alone runs it"
    );
    for _ in 0..3 {
        let (_, batches) = client.fetch(ticket(&info)).await.unwrap();
        assert!(batches.iter().all(|batch| batch.num_rows() == 0));
    }
    let again = client.info(create).await.unwrap_err();
    assert_eq!(
        again.code(),
        Code::AlreadyExists,
        "a second execution is one"
    );

    assert_eq!(client.update("CREATE SCHEMA lake.s2").await.unwrap(), 0);
    let handle = client
        .prepare("DROP SCHEMA lake.s1")
        .await
        .unwrap()
        .prepared_statement_handle;
    client.info_response(&prepared(&handle)).await.unwrap();
    assert_eq!(schemas(&mut client).await, ["s2"]);
    let ended = service.queries.list(|record| record.statement == create);
    let states: Vec<_> = ended.iter().map(|record| record.state.label()).collect();
    assert_eq!(states, ["finished", "failed"]);
}

#[tokio::test]
async fn a_query_is_no_update() {
    let service = service(Limits::default()).await;
    let mut client = service.login("ann").await;
    assert_eq!(
        client.update("SELECT 1").await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn catalog_commands_tell_one_schema_and_answer() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    macro_rules! check {
        ($command:expr, $least:expr) => {{
            let command = $command;
            let told = client.schema(&command).await.unwrap();
            let info = client.info_response(&command).await.unwrap().into_inner();
            let (stream, batches) = client.fetch(ticket(&info)).await.unwrap();
            assert_eq!((*stream).clone(), told, "{command:?}");
            assert_eq!(info.try_decode_schema().unwrap(), told, "{command:?}");
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            assert!(rows + 1 > $least, "{command:?}: {rows}");
            batches
        }};
    }
    let catalogs = check!(CommandGetCatalogs {}, 2);
    assert_eq!(column(&catalogs, "catalog_name"), ["lake", "landfast"]);
    check!(CommandGetDbSchemas::default(), 1);
    check!(CommandGetTableTypes {}, 3);
    check!(CommandGetSqlInfo { info: vec![] }, 80);
    check!(CommandGetXdbcTypeInfo { data_type: None }, 10);
    check!(
        CommandGetPrimaryKeys {
            table: "nothing".into(),
            ..Default::default()
        },
        0
    );
    let command = CommandGetTables {
        catalog: Some("landfast".into()),
        table_name_filter_pattern: Some("last_query".into()),
        include_schema: true,
        ..Default::default()
    };
    let tables = check!(command, 1);
    assert_eq!(column(&tables, "table_type"), ["SYSTEM TABLE"]);
    use arrow::array::AsArray;
    let bytes = tables[0]
        .column_by_name("table_schema")
        .unwrap()
        .as_binary::<i32>()
        .value(0)
        .to_vec();
    let schema = arrow_ipc::convert::try_schema_from_ipc_buffer(&bytes).unwrap();
    assert!(schema.field_with_name("query_id").is_ok());
}

#[tokio::test]
async fn what_is_not_offered_says_so() {
    let service = service(Limits::default()).await;
    let client = service.login("bob").await;
    let mut flight = client.flight.clone();
    for action in [
        "BeginTransaction",
        "EndTransaction",
        "BeginSavepoint",
        "EndSavepoint",
        "Nonsense",
    ] {
        let refused = flight
            .do_action(client.request(Action::new(action, "")))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{action}");
    }
    let offered = flight
        .list_actions(client.request(arrow_flight::Empty {}))
        .await
        .unwrap()
        .into_inner();
    let offered: Vec<_> = offered.try_collect().await.unwrap();
    assert_eq!(
        offered
            .iter()
            .map(|action| action.r#type.as_str())
            .collect::<Vec<_>>(),
        [
            "CreatePreparedStatement",
            "CreatePreparedSubstraitPlan",
            "ClosePreparedStatement",
            "CancelFlightInfo",
            "CancelQuery",
            "RenewFlightEndpoint",
            "SetSessionOptions",
            "GetSessionOptions",
            "CloseSession",
        ]
    );
    let in_transaction = CommandStatementQuery {
        query: "SELECT 1".into(),
        transaction_id: Some(Bytes::from_static(b"t")),
    };
    assert_eq!(
        client
            .clone()
            .info_response(&in_transaction)
            .await
            .unwrap_err()
            .code(),
        Code::Unimplemented
    );
}

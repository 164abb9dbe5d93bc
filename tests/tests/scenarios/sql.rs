use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UnionArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, ActionCreatePreparedSubstraitPlanRequest,
    ActionEndSavepointRequest, ActionEndTransactionRequest, Any, Command, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
    CommandStatementQuery, CommandStatementSubstraitPlan, CommandStatementUpdate,
    DoPutPreparedStatementResult, DoPutUpdateResult, ProstMessageExt, SqlInfo,
};
use arrow_flight::{CancelStatus, FlightDescriptor};
use bytes::Bytes;
use landfast_tests::scenarios::sql::{
    SAVEPOINT, SAVEPOINT_NAME, TRANSACTION, UPDATED, UPDATED_IN_TRANSACTION, UPDATED_PREPARED,
    UPDATED_PREPARED_IN_TRANSACTION, plan, rows_schema,
};
use landfast_tests::scenarios::{Scenario, ingesting};
use prost::Message;

use crate::client::{Client, client, command};

/// GetFlightInfo and DoGet of a command: both tell this schema.
async fn expect_flight(client: &mut Client, descriptor: FlightDescriptor, schema: &Schema) {
    let info = client.info(descriptor).await.unwrap();
    assert_eq!(info.clone().try_decode_schema().unwrap(), *schema);
    let (told, _) = client.get(&info.endpoint[0]).await.unwrap();
    assert_eq!(*told, *schema);
}

fn utf8(names: &[(&str, bool)]) -> Vec<Field> {
    let fields = names.iter();
    fields
        .map(|(name, nullable)| Field::new(*name, DataType::Utf8, *nullable))
        .collect()
}

fn foreign_keys() -> Schema {
    let mut fields = utf8(&[
        ("pk_catalog_name", true),
        ("pk_db_schema_name", true),
        ("pk_table_name", false),
        ("pk_column_name", false),
        ("fk_catalog_name", true),
        ("fk_db_schema_name", true),
        ("fk_table_name", false),
        ("fk_column_name", false),
    ]);
    fields.push(Field::new("key_sequence", DataType::Int32, false));
    fields.extend(utf8(&[("fk_key_name", true), ("pk_key_name", true)]));
    fields.push(Field::new("update_rule", DataType::UInt8, false));
    fields.push(Field::new("delete_rule", DataType::UInt8, false));
    Schema::new(fields)
}

fn tables(include_schema: bool) -> Schema {
    let mut fields = utf8(&[
        ("catalog_name", true),
        ("db_schema_name", true),
        ("table_name", false),
        ("table_type", false),
    ]);
    if include_schema {
        fields.push(Field::new("table_schema", DataType::Binary, false));
    }
    Schema::new(fields)
}

/// Each listing command with the scenario's arguments, and the shape that the protocol gives it.
fn listings() -> Vec<(Command, Schema)> {
    let some = |text: &str| Some(text.to_owned());
    let mut primary_keys = utf8(&[
        ("catalog_name", true),
        ("db_schema_name", true),
        ("table_name", false),
        ("column_name", false),
    ]);
    primary_keys.push(Field::new("key_sequence", DataType::Int32, false));
    primary_keys.push(Field::new("key_name", DataType::Utf8, true));
    vec![
        (
            Command::CommandGetCatalogs(CommandGetCatalogs {}),
            Schema::new(utf8(&[("catalog_name", false)])),
        ),
        (
            Command::CommandGetDbSchemas(CommandGetDbSchemas {
                catalog: some("catalog"),
                db_schema_filter_pattern: some("db_schema_filter_pattern"),
            }),
            Schema::new(utf8(&[("catalog_name", true), ("db_schema_name", false)])),
        ),
        (
            Command::CommandGetTables(CommandGetTables {
                catalog: some("catalog"),
                db_schema_filter_pattern: some("db_schema_filter_pattern"),
                table_name_filter_pattern: some("table_filter_pattern"),
                table_types: vec!["table".into(), "view".into()],
                include_schema: true,
            }),
            tables(true),
        ),
        (
            Command::CommandGetTableTypes(CommandGetTableTypes {}),
            Schema::new(utf8(&[("table_type", false)])),
        ),
        (
            Command::CommandGetPrimaryKeys(CommandGetPrimaryKeys {
                catalog: some("catalog"),
                db_schema: some("db_schema"),
                table: "table".into(),
            }),
            Schema::new(primary_keys),
        ),
        (
            Command::CommandGetExportedKeys(CommandGetExportedKeys {
                catalog: some("catalog"),
                db_schema: some("db_schema"),
                table: "table".into(),
            }),
            foreign_keys(),
        ),
        (
            Command::CommandGetImportedKeys(CommandGetImportedKeys {
                catalog: some("catalog"),
                db_schema: some("db_schema"),
                table: "table".into(),
            }),
            foreign_keys(),
        ),
        (
            Command::CommandGetCrossReference(CommandGetCrossReference {
                pk_catalog: some("pk_catalog"),
                pk_db_schema: some("pk_db_schema"),
                pk_table: "pk_table".into(),
                fk_catalog: some("fk_catalog"),
                fk_db_schema: some("fk_db_schema"),
                fk_table: "fk_table".into(),
            }),
            foreign_keys(),
        ),
    ]
}

#[tokio::test]
async fn listing_commands_have_the_shapes_that_arrows_implementations_share() {
    let mut client = client(Scenario::FlightSql).await;
    for (listing, shape) in listings() {
        let descriptor = FlightDescriptor::new_cmd(listing.into_any().encode_to_vec());
        expect_flight(&mut client, descriptor.clone(), &shape).await;
        assert_eq!(client.schema(descriptor).await.unwrap(), shape);
    }
    let without = command(&CommandGetTables::default());
    assert_eq!(client.schema(without).await.unwrap(), tables(false));
    let types = command(&CommandGetXdbcTypeInfo { data_type: None });
    let shape = client.schema(types.clone()).await.unwrap();
    assert_eq!(shape.fields().len(), 19);
    expect_flight(&mut client, types, &shape).await;
    let wrong = command(&CommandGetPrimaryKeys::default());
    client.info(wrong).await.unwrap_err();
}

#[tokio::test]
async fn server_infos_come_in_the_union_that_every_driver_reads() {
    let mut client = client(Scenario::FlightSqlExtension).await;
    let codes = [
        SqlInfo::FlightSqlServerSql,
        SqlInfo::FlightSqlServerSubstrait,
        SqlInfo::FlightSqlServerSubstraitMinVersion,
        SqlInfo::FlightSqlServerSubstraitMaxVersion,
        SqlInfo::FlightSqlServerTransaction,
        SqlInfo::FlightSqlServerCancel,
        SqlInfo::FlightSqlServerStatementTimeout,
        SqlInfo::FlightSqlServerTransactionTimeout,
    ];
    let asked = command(&CommandGetSqlInfo {
        info: codes.iter().map(|code| *code as u32).collect(),
    });
    let info = client.info(asked).await.unwrap();
    let (schema, batches) = client.get(&info.endpoint[0]).await.unwrap();
    let DataType::Union(members, _) = schema.field(1).data_type() else {
        panic!("the values are a union");
    };
    let names: Vec<_> = members
        .iter()
        .map(|(_, field)| field.name().as_str())
        .collect();
    assert_eq!(
        names,
        [
            "string_value",
            "bool_value",
            "bigint_value",
            "int32_bitmask",
            "string_list",
            "int32_to_int32_list_map"
        ]
    );
    assert!(members.iter().all(|(_, field)| !field.is_nullable()));
    let mut told = HashMap::new();
    for batch in &batches {
        let names = batch.column(0).as_primitive::<UInt32Type>();
        let values: &UnionArray = batch.column(1).as_any().downcast_ref().unwrap();
        for row in 0..batch.num_rows() {
            let text = arrow::util::display::array_value_to_string(&values.value(row), 0).unwrap();
            told.insert(names.value(row), (values.type_id(row), text));
        }
    }
    let expected = [
        (1, "false"),
        (1, "true"),
        (0, "min_version"),
        (0, "max_version"),
        (3, "2"),
        (1, "true"),
        (3, "42"),
        (3, "7"),
    ];
    for (code, (kind, value)) in codes.iter().zip(expected) {
        let told = &told[&(*code as u32)];
        assert_eq!((told.0, told.1.as_str()), (kind, value), "{code:?}");
    }
}

/// What runs inside a transaction, or outside of every one.
fn within(transaction: bool) -> Option<Bytes> {
    transaction.then(|| Bytes::from_static(TRANSACTION.as_bytes()))
}

fn changed(results: &[arrow_flight::PutResult]) -> i64 {
    let [result] = results else {
        panic!("an update gives one result");
    };
    let result = DoPutUpdateResult::decode(result.app_metadata.clone());
    result.unwrap().record_count
}

fn one_parameter() -> RecordBatch {
    let schema: SchemaRef = rows_schema(false);
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1]))]).unwrap()
}

async fn prepare(client: &mut Client, name: &str, request: &impl ProstMessageExt) -> Bytes {
    let body = request.as_any().encode_to_vec();
    let result = client.act_for_one(name, body).await.unwrap();
    let result: ActionCreatePreparedStatementResult =
        Any::decode(result).unwrap().unpack().unwrap().unwrap();
    result.prepared_statement_handle
}

async fn close(client: &mut Client, handle: Bytes) {
    let request = ActionClosePreparedStatementRequest {
        prepared_statement_handle: handle,
    };
    let body = request.as_any().encode_to_vec();
    let closed = client.act("ClosePreparedStatement", body).await.unwrap();
    assert!(closed.get_ref().is_empty());
}

/// Binds a row to a prepared query, fetches it and closes it.
async fn run_prepared(client: &mut Client, handle: Bytes, transaction: bool) {
    let descriptor = command(&CommandPreparedStatementQuery {
        prepared_statement_handle: handle.clone(),
    });
    let bound = client.put(descriptor.clone(), vec![one_parameter()]).await;
    let [bound] = &bound.unwrap()[..] else {
        panic!("binding gives one result");
    };
    let bound = DoPutPreparedStatementResult::decode(bound.app_metadata.clone()).unwrap();
    assert_eq!(bound.prepared_statement_handle, Some(handle.clone()));
    let schema = rows_schema(transaction);
    expect_flight(client, descriptor.clone(), &schema).await;
    assert_eq!(client.schema(descriptor).await.unwrap(), *schema);
    close(client, handle).await;
}

/// Runs a prepared update and closes it.
async fn update_prepared(client: &mut Client, handle: Bytes) -> i64 {
    let descriptor = command(&CommandPreparedStatementUpdate {
        prepared_statement_handle: handle.clone(),
    });
    let changed = changed(&client.put(descriptor, vec![]).await.unwrap());
    close(client, handle).await;
    changed
}

async fn statements(client: &mut Client, transaction: bool) {
    let schema = rows_schema(transaction);
    let query = command(&CommandStatementQuery {
        query: "SELECT STATEMENT".into(),
        transaction_id: within(transaction),
    });
    expect_flight(client, query.clone(), &schema).await;
    assert_eq!(client.schema(query).await.unwrap(), *schema);
    let update = command(&CommandStatementUpdate {
        query: "UPDATE STATEMENT".into(),
        transaction_id: within(transaction),
    });
    let updated = changed(&client.put(update, vec![]).await.unwrap());
    let statement = |query: &str| ActionCreatePreparedStatementRequest {
        query: query.into(),
        transaction_id: within(transaction),
    };
    let action = "CreatePreparedStatement";
    let handle = prepare(client, action, &statement("SELECT PREPARED STATEMENT")).await;
    run_prepared(client, handle, transaction).await;
    let handle = prepare(client, action, &statement("UPDATE PREPARED STATEMENT")).await;
    let updated_prepared = update_prepared(client, handle).await;
    assert_eq!((updated, updated_prepared), counts(transaction));
}

async fn plans(client: &mut Client, transaction: bool) {
    let schema = rows_schema(transaction);
    let descriptor = command(&CommandStatementSubstraitPlan {
        plan: Some(plan()),
        transaction_id: within(transaction),
    });
    expect_flight(client, descriptor.clone(), &schema).await;
    assert_eq!(client.schema(descriptor.clone()).await.unwrap(), *schema);
    let updated = changed(&client.put(descriptor, vec![]).await.unwrap());
    let request = ActionCreatePreparedSubstraitPlanRequest {
        plan: Some(plan()),
        transaction_id: within(transaction),
    };
    let action = "CreatePreparedSubstraitPlan";
    let handle = prepare(client, action, &request).await;
    run_prepared(client, handle, transaction).await;
    let handle = prepare(client, action, &request).await;
    let updated_prepared = update_prepared(client, handle).await;
    assert_eq!((updated, updated_prepared), counts(transaction));
}

fn counts(transaction: bool) -> (i64, i64) {
    match transaction {
        false => (UPDATED, UPDATED_PREPARED),
        true => (UPDATED_IN_TRANSACTION, UPDATED_PREPARED_IN_TRANSACTION),
    }
}

#[tokio::test]
async fn statements_and_plans_run_plain_and_prepared() {
    let mut client = client(Scenario::FlightSql).await;
    statements(&mut client, false).await;
    plans(&mut client, false).await;
}

#[tokio::test]
async fn a_query_is_cancelled_by_the_older_name_too() {
    let mut client = client(Scenario::FlightSqlExtension).await;
    let descriptor = command(&CommandStatementSubstraitPlan {
        plan: Some(plan()),
        transaction_id: None,
    });
    let info = client.info(descriptor).await.unwrap();
    let request = ActionCancelQueryRequest {
        info: info.encode_to_vec().into(),
    };
    let body = request.as_any().encode_to_vec();
    let result = client.act_for_one("CancelQuery", body).await.unwrap();
    let result: ActionCancelQueryResult = Any::decode(result).unwrap().unpack().unwrap().unwrap();
    assert_eq!(result.result, CancelStatus::Cancelled as i32);
}

#[tokio::test]
async fn transactions_and_savepoints_begin_and_end() {
    let mut client = client(Scenario::FlightSqlExtension).await;
    let begin = ActionBeginTransactionRequest {}.as_any().encode_to_vec();
    let begun = client.act_for_one("BeginTransaction", begin).await.unwrap();
    let begun: ActionBeginTransactionResult =
        Any::decode(begun).unwrap().unpack().unwrap().unwrap();
    assert_eq!(begun.transaction_id, TRANSACTION);
    let begin = ActionBeginSavepointRequest {
        transaction_id: begun.transaction_id.clone(),
        name: SAVEPOINT_NAME.into(),
    };
    let body = begin.as_any().encode_to_vec();
    let savepoint = client.act_for_one("BeginSavepoint", body).await.unwrap();
    let savepoint: ActionBeginSavepointResult =
        Any::decode(savepoint).unwrap().unpack().unwrap().unwrap();
    assert_eq!(savepoint.savepoint_id, SAVEPOINT);
    statements(&mut client, true).await;
    plans(&mut client, true).await;
    for action in [1, 2] {
        let end = ActionEndSavepointRequest {
            savepoint_id: savepoint.savepoint_id.clone(),
            action,
        };
        let body = end.as_any().encode_to_vec();
        let ended = client.act("EndSavepoint", body).await.unwrap();
        assert!(ended.get_ref().is_empty());
        let end = ActionEndTransactionRequest {
            transaction_id: begun.transaction_id.clone(),
            action,
        };
        let body = end.as_any().encode_to_vec();
        let ended = client.act("EndTransaction", body).await.unwrap();
        assert!(ended.get_ref().is_empty());
    }
}

#[tokio::test]
async fn an_ingestion_arrives_with_all_its_options_and_tells_its_rows() {
    let mut client = client(Scenario::FlightSqlIngestion).await;
    let nulls = new_null_array(&DataType::Int64, 3);
    let rows = RecordBatch::try_new(Arc::new(ingesting::schema()), vec![nulls]).unwrap();
    let descriptor = command(&ingesting::command());
    let results = client.put(descriptor, vec![rows.clone()]).await.unwrap();
    assert_eq!(changed(&results), 3);
    let another = arrow_flight::sql::CommandStatementIngest {
        temporary: false,
        ..ingesting::command()
    };
    client.put(command(&another), vec![rows]).await.unwrap_err();
}

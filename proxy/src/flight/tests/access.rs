//! A policy over Flight: names, tickets and handles, and a policy that changes in between.

use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables,
};
use landfast_planner::AccessPolicy;
use tonic::Code;

use super::*;
use crate::config::parse_policy;

/// `ann` may do everything, and `bob` what these grants give.
fn policy(grants: &str) -> AccessPolicy {
    let ann = r#"
        built_in_roles = ["engineer"]
    "#;
    parse_policy(&format!("{ann}\n{grants}"), None).unwrap()
}

pub(super) fn bob(on: &str, more: &str) -> AccessPolicy {
    policy(&format!(
        "[[grant]]\nto = [\"user:bob\"]\non = [\"{on}\"]\n{more}"
    ))
}

/// `lake.s.open` and `lake.s.secret`: `id`, which is the key, and `name`, without rows.
async fn with_tables(service: &Service) {
    let mut ann = service.login("ann").await;
    ann.update("CREATE SCHEMA lake.s").await.unwrap();
    for table in ["open", "secret"] {
        let dir = service._lake.path().join("lake").join(table);
        std::fs::create_dir_all(&dir).unwrap();
        let document = serde_json::json!({
            "format-version": 2, "table-uuid": uuid::Uuid::new_v4(), "location": format!("gs://lake/{table}"),
            "last-sequence-number": 0, "last-updated-ms": 1, "last-column-id": 2, "current-schema-id": 0,
            "schemas": [{"type": "struct", "schema-id": 0, "identifier-field-ids": [1], "fields": [
                {"id": 1, "name": "id", "required": true, "type": "long"},
                {"id": 2, "name": "name", "required": false, "type": "string"}]}],
            "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}], "last-partition-id": 999,
            "default-sort-order-id": 0, "sort-orders": [{"order-id": 0, "fields": []}],
            "properties": {}, "snapshots": [], "snapshot-log": [], "metadata-log": [],
        });
        std::fs::write(dir.join("v1.metadata.json"), document.to_string()).unwrap();
        let uri = format!("gs://lake/{table}/v1.metadata.json");
        let call = format!("CALL landfast.register_table('lake.s.{table}', '{uri}')");
        ann.update(&call).await.unwrap();
    }
}

impl Client {
    async fn listed(&mut self, command: &impl ProstMessageExt, column_name: &str) -> Vec<String> {
        let info = self.info_response(command).await.unwrap().into_inner();
        column(&self.fetch(ticket(&info)).await.unwrap().1, column_name)
    }
}

#[tokio::test]
async fn a_name_that_is_not_granted_is_unknown_wherever_it_is_asked_for() {
    let service = service(Limits::default()).await;
    with_tables(&service).await;
    service
        .core
        .engine
        .set_policy(bob("lake.s.open", "columns = [\"name\"]"));
    let mut client = service.login("bob").await;
    let sql = |table: &str| format!("SELECT * FROM lake.s.{table}");
    for (hidden, unknown) in [
        (
            client.prepare(&sql("secret")).await.err(),
            client.prepare(&sql("xecret")).await.err(),
        ),
        (
            client.info(&sql("secret")).await.err(),
            client.info(&sql("xecret")).await.err(),
        ),
        (
            client.schema(&query(&sql("secret"))).await.err(),
            client.schema(&query(&sql("xecret"))).await.err(),
        ),
    ] {
        let (hidden, unknown) = (hidden.unwrap(), unknown.unwrap());
        assert_eq!(hidden.code(), Code::NotFound, "{hidden:?}");
        // The query's id aside, every word is the same.
        let plain = |status: &Status| {
            let text = status.message().replace("xecret", "secret");
            text.split(" [query").next().unwrap().trim().to_owned()
        };
        assert_eq!(plain(&hidden), plain(&unknown));
    }
    let tables = CommandGetTables {
        include_schema: true,
        catalog: Some("lake".into()),
        db_schema_filter_pattern: Some("s".into()),
        ..CommandGetTables::default()
    };
    assert_eq!(client.listed(&tables, "table_name").await, ["open"]);
    let info = client.info_response(&tables).await.unwrap().into_inner();
    let (_, batches) = client.fetch(ticket(&info)).await.unwrap();
    let schemas = batches[0].column_by_name("table_schema").unwrap();
    let schema = arrow::array::AsArray::as_binary::<i32>(schemas)
        .value(0)
        .to_vec();
    let schema = arrow_ipc::convert::try_schema_from_ipc_buffer(&schema).unwrap();
    assert_eq!(
        schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect::<Vec<_>>(),
        ["name"]
    );
    let keys = CommandGetPrimaryKeys {
        catalog: None,
        db_schema: None,
        table: "open".into(),
    };
    assert!(
        client.listed(&keys, "column_name").await.is_empty(),
        "its key is not granted"
    );
    let keys = CommandGetPrimaryKeys {
        catalog: None,
        db_schema: None,
        table: "secret".into(),
    };
    assert!(client.listed(&keys, "column_name").await.is_empty());
    let mut ann = service.login("ann").await;
    assert_eq!(ann.listed(&keys, "column_name").await, ["id"]);
    service.core.engine.set_policy(policy(""));
    assert_eq!(
        client.listed(&CommandGetCatalogs {}, "catalog_name").await,
        ["landfast"]
    );
    let schemas = CommandGetDbSchemas {
        catalog: Some("lake".into()),
        db_schema_filter_pattern: None,
    };
    assert!(client.listed(&schemas, "db_schema_name").await.is_empty());
}

#[tokio::test]
async fn a_ticket_and_a_handle_give_no_more_than_the_policy_of_now() {
    let service = service(Limits::default()).await;
    with_tables(&service).await;
    let engine = &service.core.engine;
    engine.set_policy(bob("lake.s.open", ""));
    let mut client = service.login("bob").await;
    let sql = "SELECT id FROM lake.s.open";
    let handle = client.prepare(sql).await.unwrap().prepared_statement_handle;
    let (first, second) = (
        client.info(sql).await.unwrap(),
        client.info(sql).await.unwrap(),
    );
    client.fetch(ticket(&first)).await.unwrap();
    engine.set_policy(bob("lake.s.secret", ""));
    for kept in [&first, &second] {
        let refused = client.fetch(ticket(kept)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    }
    let refused = client.info_response(&prepared(&handle)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    // Less than before: planned again, and behind the fence.
    engine.set_policy(bob("lake.s.open", "rows = \"id > 5\""));
    client.fetch(ticket(&second)).await.unwrap();
    let info = client
        .info_response(&prepared(&handle))
        .await
        .unwrap()
        .into_inner();
    client.fetch(ticket(&info)).await.unwrap();
    // The column is gone: neither its values nor its name is given.
    engine.set_policy(bob("lake.s.open", "columns = [\"name\"]"));
    let refused = client.fetch(ticket(&info)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    engine.set_policy(bob("lake.s.open", ""));
    client.fetch(ticket(&info)).await.unwrap();
    let mut robot = service.robot();
    assert!(
        robot.fetch(ticket(&info)).await.is_err(),
        "the ticket is bob's"
    );
}

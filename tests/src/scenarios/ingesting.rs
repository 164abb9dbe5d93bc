//! `flight_sql:ingestion`: rows for a table, with every option that there is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{
    CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use futures::TryStreamExt;
use landfast_proxy::flight::dispatch::{Answer, Backend, Put};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Response, Status};

use super::Anybody;

/// The command that the scenario sends.
pub fn command() -> CommandStatementIngest {
    CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create.into(),
            if_exists: TableExistsOption::Replace.into(),
        }),
        table: "test_table".to_owned(),
        schema: Some("test_schema".to_owned()),
        catalog: Some("test_catalog".to_owned()),
        temporary: true,
        transaction_id: Some("123".into()),
        options: HashMap::from(
            [("key1", "val1"), ("key2", "val2")]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        ),
    }
}

/// The schema of its rows.
pub fn schema() -> Schema {
    Schema::new(vec![Field::new("test_field", DataType::Int64, true)])
}

/// Counts the rows of the one ingestion that it takes.
pub(super) struct Ingesting;

#[tonic::async_trait]
impl Backend for Ingesting {
    type Caller = Anybody;

    async fn receive(&self, _: &MetadataMap, _: &Extensions) -> Result<Anybody, Status> {
        Ok(())
    }

    async fn ingest(&self, (): Anybody, ingest: CommandStatementIngest, put: Put) -> Answer<i64> {
        if ingest != command() {
            return Err(Status::invalid_argument(format!(
                "another command than the scenario's: {ingest:?}"
            )));
        }
        let messages = put.into_messages().map_err(FlightError::from);
        let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
        let mut rows = 0;
        while let Some(batch) = batches.try_next().await.map_err(Status::from)? {
            if batch.schema() != Arc::new(schema()) {
                return Err(Status::invalid_argument(
                    "another schema than the scenario's",
                ));
            }
            rows += batch.num_rows();
        }
        Ok(Response::new(i64::try_from(rows).unwrap_or(i64::MAX)))
    }
}

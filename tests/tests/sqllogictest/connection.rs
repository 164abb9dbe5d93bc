//! A connection that the files' statements are sent over.

use landfast_proxy::client::{Client, ClientError, Endpoint, Login, TlsFiles};

use crate::cells;

/// One session.
pub(crate) struct Connection {
    client: Client,
}

/// What a statement gave.
pub(crate) struct Answer {
    /// A letter for each column.
    pub(crate) types: String,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Connection {
    pub(crate) async fn open(uri: &str) -> Result<Self, ClientError> {
        let endpoint = Endpoint::new(uri, &TlsFiles::default())?;
        let client = Client::connect(&endpoint, Login::Nobody).await?;
        Ok(Self { client })
    }

    pub(crate) async fn run(&mut self, sql: &str) -> Result<Answer, ClientError> {
        let (execution, batches) = self.client.query(sql).await?;
        let rows = cells::rows(&batches);
        Ok(Answer {
            types: cells::types(&execution.schema),
            rows: rows.map_err(|error| ClientError::Unreadable(error.to_string()))?,
        })
    }
}

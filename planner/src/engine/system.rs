//! The tables that the process has about itself.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use crate::{Asker, Result};

/// The tables of `landfast.system`, which whoever runs the engine provides.
#[async_trait]
pub trait SystemTables: Send + Sync {
    /// Their names and schemas; always the same.
    fn tables(&self) -> Vec<(&'static str, SchemaRef)>;

    /// The rows of one of them that this asker may see.
    async fn rows(&self, table: &str, asker: &Asker) -> Result<Vec<RecordBatch>>;
}

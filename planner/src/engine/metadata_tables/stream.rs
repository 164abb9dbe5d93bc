//! A table whose rows are made of manifests, which are read one after the other while the query runs.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{Stream, StreamExt, stream};
use landfast_catalog::{ManifestEntry, ManifestSummary, Namespace, TableSnapshot};
use landfast_sites::ReadLog;

/// How rows are made of manifests' entries.
pub(super) trait Rows: fmt::Debug + Send + Sync {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// Whether all manifests have to be seen before there is a row.
    fn in_one_stream(&self) -> bool;

    /// The rows of some manifests, with these columns of [`Self::schema`] alone.
    fn stream(
        self: Arc<Self>,
        entries: Entries,
        projected: SchemaRef,
        context: &TaskContext,
    ) -> SendableRecordBatchStream;
}

/// A table made of manifests.
#[derive(Debug)]
pub(super) struct ManifestTable {
    pub(super) namespace: Arc<Namespace>,
    pub(super) table: Arc<TableSnapshot>,
    pub(super) manifests: Vec<ManifestSummary>,
    pub(super) rows: Arc<dyn Rows>,
    pub(super) log: ReadLog,
}

#[async_trait]
impl TableProvider for ManifestTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let schema = self.rows.schema();
        let projected = match projection {
            Some(columns) => Arc::new(schema.project(columns)?),
            None => schema,
        };
        let streams = match self.rows.in_one_stream() {
            true => 1,
            false => state.config().target_partitions().min(self.manifests.len()),
        };
        let streams = (0..streams.max(1)).map(|nth| -> Arc<dyn PartitionStream> {
            let every = self.manifests.iter().skip(nth).step_by(streams.max(1));
            Arc::new(Part {
                rows: Arc::clone(&self.rows),
                entries: Entries {
                    namespace: Arc::clone(&self.namespace),
                    table: Arc::clone(&self.table),
                    manifests: every.cloned().collect(),
                    log: self.log.clone(),
                },
                projected: Arc::clone(&projected),
            })
        });
        Ok(Arc::new(StreamingTableExec::try_new(
            Arc::clone(&projected),
            streams.collect(),
            None,
            std::iter::empty(),
            false,
            limit,
        )?))
    }
}

/// The rows of some of the manifests.
#[derive(Debug)]
struct Part {
    rows: Arc<dyn Rows>,
    entries: Entries,
    projected: SchemaRef,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.projected
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (entries, projected) = (self.entries.clone(), Arc::clone(&self.projected));
        Arc::clone(&self.rows).stream(entries, projected, &context)
    }
}

/// Manifests to read.
#[derive(Debug, Clone)]
pub(super) struct Entries {
    namespace: Arc<Namespace>,
    table: Arc<TableSnapshot>,
    manifests: Vec<ManifestSummary>,
    log: ReadLog,
}

impl Entries {
    /// The entries of each manifest, one manifest at a time.
    pub(super) fn each(
        self,
    ) -> impl Stream<Item = EngineResult<Vec<ManifestEntry>>> + Send + 'static {
        let Self {
            namespace,
            table,
            manifests,
            log,
        } = self;
        stream::iter(manifests).then(move |manifest| {
            let (namespace, table) = (Arc::clone(&namespace), Arc::clone(&table));
            let log = log.clone();
            async move {
                let entries = namespace.entries(&table, &manifest, &log).await;
                entries.map_err(|error| DataFusionError::External(Box::new(error)))
            }
        })
    }
}

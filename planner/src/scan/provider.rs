//! [`LakeTable`]: one pinned snapshot as a DataFusion table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_datasource::file_groups::FileGroup;
use datafusion_datasource::file_scan_config::FileScanConfigBuilder;
use datafusion_datasource::source::DataSourceExec;
use datafusion_datasource_parquet::source::ParquetSource;
use landfast_catalog::{
    DataFile, DeleteIndex, ManifestListing, Namespace, SnapshotFiles, TableSnapshot,
};
use landfast_sites::CanonicalUri;
use object_store::memory::InMemory;

use super::ScanContext;
use super::defaults::initial_defaults;
use super::deletes::{KeyColumns, PlannedReads, TableDeletes, of_scan_with_deletes};
use super::distinct_counts::DistinctCounts;
use super::files::FileMaker;
use super::mapping::name_mapping;
use super::metadata_columns::{FILE, with_metadata_columns};
use super::placing::{Placed, Placer};
use super::prune::{Pruner, files_named};
use super::reader::RoutedReaders;
use super::scan_columns::{ScanColumns, counts};
use super::sorted::order_of;
use super::source::{LakeParquetSource, ScanPlan};
use super::statistics::StatisticsMaker;
use super::summary::ScanSummary;
use super::survivors::{Survivors, Wanted};
use crate::error::OF_DATA_FILES;
use crate::types::arrow_schema;

/// DataFusion wants a store for every scan. Nothing is ever read from this one.
const STORE: &str = "lake://files";

/// One pinned snapshot of a table.
///
/// The schema is the table's current one: a column added since the snapshot was written is there, and reads as null.
#[derive(Debug, Clone)]
pub struct LakeTable {
    table: Arc<TableSnapshot>,
    files: Files,
    context: Arc<ScanContext>,
    schema: SchemaRef,
    /// Of a table all of whose manifests were read.
    deletes: TableDeletes,
    /// What manifests are chosen by, if not by a scan's filters.
    manifests_of: Option<Arc<[Expr]>>,
}

/// Where the list of files comes from.
#[derive(Debug, Clone)]
enum Files {
    /// All manifests were read.
    Loaded(Arc<SnapshotFiles>),
    /// Each scan reads those that its filters leave.
    Listed {
        namespace: Arc<Namespace>,
        listing: Arc<ManifestListing>,
    },
}

impl LakeTable {
    /// A table all of whose manifests have been read.
    ///
    /// # Errors
    /// A column's type is none that Arrow has.
    pub fn new(
        table: Arc<TableSnapshot>,
        files: Arc<SnapshotFiles>,
        context: Arc<ScanContext>,
    ) -> Result<Self> {
        let schema = arrow_schema(table.schema())?;
        Ok(Self {
            table,
            files: Files::Loaded(files),
            context,
            schema,
            deletes: TableDeletes::default(),
            manifests_of: None,
        })
    }

    /// A table that reads, for each scan, the manifests that its filters leave: a query of one partition then costs
    /// what that partition costs, however large the table is.
    ///
    /// # Errors
    /// A column's type is none that Arrow has.
    pub fn listed(
        table: Arc<TableSnapshot>,
        namespace: Arc<Namespace>,
        listing: Arc<ManifestListing>,
        context: Arc<ScanContext>,
    ) -> Result<Self> {
        let schema = arrow_schema(table.schema())?;
        Ok(Self {
            table,
            files: Files::Listed { namespace, listing },
            context,
            schema,
            deletes: TableDeletes::default(),
            manifests_of: None,
        })
    }

    /// A table all of whose manifests were read, with its delete files.
    #[must_use]
    pub fn with_deletes(self, deletes: Arc<DeleteIndex>) -> Self {
        Self {
            deletes: TableDeletes::new(deletes),
            ..self
        }
    }

    /// The table with its metadata columns after its own.
    #[must_use]
    pub fn with_metadata_columns(self) -> Self {
        Self {
            schema: with_metadata_columns(&self.schema),
            ..self
        }
    }

    /// The table with its manifests chosen by these filters, whatever else a scan asks for.
    pub(super) fn with_manifests_of(&self, filters: &[Expr]) -> Self {
        Self {
            manifests_of: Some(filters.into()),
            ..self.clone()
        }
    }

    /// Whether filters take or leave whole partitions, where that is known before files are listed.
    pub(super) fn has_whole_partitions(&self, filters: &[Expr]) -> bool {
        match &self.files {
            Files::Loaded(_) => false,
            Files::Listed { listing, .. } => Pruner::takes_whole_partitions(
                (&self.table.metadata, self.table.schema()),
                filters,
                listing,
            ),
        }
    }

    /// How many columns the table has of its own.
    fn own_columns(&self) -> usize {
        self.table.schema().as_struct().fields().len()
    }

    /// The delete files that may apply to what the filters leave: a delete file has the partition of what it deletes
    /// from, or is of a spec without partitions, whose manifests are always kept.
    async fn deletes(&self, filters: &[Expr]) -> Result<TableDeletes> {
        let Files::Listed { namespace, listing } = &self.files else {
            return Ok(self.deletes.clone());
        };
        if listing.deletes.is_empty() {
            return Ok(TableDeletes::default());
        }
        let filters = self.manifests_of.as_deref().unwrap_or(filters);
        let pruner = Pruner::new(&self.table.metadata, self.table.schema(), filters);
        let kept = listing.deletes.iter().cloned();
        let kept = ManifestListing {
            deletes: kept
                .filter(|manifest| pruner.keeps_manifest(manifest))
                .collect(),
            ..ManifestListing::default()
        };
        let index = namespace
            .delete_index(&self.table, &kept, &self.context.log)
            .await;
        let index = index.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(TableDeletes::new(index))
    }

    /// The pinned snapshot.
    pub fn snapshot(&self) -> &Arc<TableSnapshot> {
        &self.table
    }

    fn spec_ids(&self) -> Vec<i32> {
        let mut ids: Vec<i32> = match &self.files {
            Files::Loaded(files) => files
                .manifests
                .iter()
                .map(|manifest| manifest.spec_id)
                .collect(),
            Files::Listed { listing, .. } => listing
                .manifests
                .iter()
                .map(|manifest| manifest.spec_id)
                .collect(),
        };
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Prunes manifests, then files. Where so many rows are enough, stops once there are more than enough to choose the
    /// nearest from.
    async fn survivors(
        &self,
        filters: &[Expr],
        wanted: Wanted,
        enough: Option<u64>,
    ) -> Result<Survivors> {
        let mut metadata = self.schema.fields().iter().skip(self.own_columns());
        let named = metadata.any(|field| field.name() == FILE);
        let named = named.then(|| files_named(filters)).flatten();
        let pruner = Pruner::new(&self.table.metadata, self.table.schema(), filters);
        let manifests = self.manifests_of.as_deref();
        let pruner = pruner
            .of_files(named)
            .of_manifests(manifests, self.table.schema())
            .deciding(&self.spec_ids());
        match &self.files {
            Files::Loaded(files) => {
                Survivors::of_loaded((&*self.table, &**files), pruner, wanted, enough)
            }
            Files::Listed { namespace, listing } => {
                let listed = (&*self.table, &**namespace, &**listing);
                Survivors::of_listed(listed, pruner, wanted, enough, &self.context.log).await
            }
        }
    }

    /// How many rows are enough: known only where every row of a file that is kept passes.
    fn rows_enough(&self, filters: &[Expr], limit: Option<usize>) -> Option<u64> {
        let specs = self.spec_ids();
        let decided = filters.iter().all(|filter| {
            Pruner::decides(&self.table.metadata, self.table.schema(), filter, &specs)
        });
        limit
            .filter(|_| decided)
            .and_then(|limit| u64::try_from(limit).ok())
    }

    /// Lists what the sites hold of the table, and the first time waits for that a little.
    async fn inventory(&self) -> CanonicalUri {
        let root = self.table.location.clone();
        let inventory = self.context.sites.inventory();
        inventory.watch(&root);
        inventory
            .ready(&root, self.context.first_listing_wait)
            .await;
        root
    }

    fn summary(
        &self,
        survivors: &Survivors,
        placed: &[Placed],
        deletes: &PlannedReads,
    ) -> ScanSummary {
        let committed_ms = self.table.committed_at_ms();
        let mut summary = ScanSummary {
            table: self.table.name.to_string(),
            snapshot_id: self.table.snapshot_id(),
            snapshot_committed_ms: committed_ms,
            snapshot_age_ms: committed_ms
                .map(|at| self.context.now_unix_ms.saturating_sub(at).max(0)),
            pointer_age_ms: u64::try_from(self.table.pointer_age().as_millis()).unwrap_or(u64::MAX),
            stale: self.table.stale,
            files_total: survivors.files_total,
            files_pruned: survivors.files_total - survivors.count() as u64,
            manifests_total: survivors.manifests_total,
            manifests_pruned: survivors.manifests_total - survivors.manifests_kept(),
            ..ScanSummary::default()
        };
        summary.place(
            placed
                .iter()
                .filter_map(|file| Some((file.route.first()?, file.bytes, file.usd))),
            deletes,
        );
        summary
    }

    fn scan_plan(&self, summary: ScanSummary) -> Result<ScanPlan> {
        let mapping = name_mapping(&self.table.metadata)?;
        Ok(ScanPlan {
            summary,
            mapping,
            defaults: initial_defaults(self.table.schema())?,
            columns: Arc::clone(&self.schema),
            metadata: 0..0,
            row_number: None,
            order: None,
        })
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Exact only where the partitions of all files decide a filter; else the files are pruned by it, and whoever asked
    /// still evaluates it.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let specs = self.spec_ids();
        let answers = filters.iter().map(|filter| {
            if Pruner::decides(&self.table.metadata, self.table.schema(), filter, &specs) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        });
        Ok(answers.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let enough = self.rows_enough(filters, limit);
        let deletes = self.deletes(filters).await?;
        let own = self.own_columns();
        let asked = projection.map(|asked| asked.iter().copied().filter(|at| *at < own));
        let projected: Option<Vec<usize>> = asked.map(Iterator::collect);
        let projected = projected.as_deref();
        let maker = FileMaker { table: &self.table };
        let (read, share) = maker.columns_read(projected);
        let known = StatisticsMaker::new(self.table.schema(), projected);
        let totals = known.columns();
        let wanted = Wanted {
            metrics: maker.columns_with_metrics(&totals, &deletes.key_columns()),
            totals: totals.clone(),
            read,
            files_with_metrics_max: known.files_max(),
            deletes: deletes.clone(),
        };
        let mut survivors = self.survivors(filters, wanted, enough).await?;
        let root = self.inventory().await;
        let placer = Placer::new(&self.context.sites, &self.context.placement, &root, share);
        let placed = survivors.place(&placer, enough, &totals, &deletes)?;
        let files: Vec<&DataFile> = survivors.files().collect();
        let mut keys = KeyColumns::new(&self.table, self.schema.fields().len());
        let reads = deletes.of(&files, &placer, &mut keys);
        let (deletes, reads) =
            reads.map_err(|error| error.context(format!("deletes of {OF_DATA_FILES}s")))?;
        let (hidden, defaults) = keys.into_hidden();

        let mut statistics = of_scan_with_deletes(known.of_scan(survivors.totals()), &deletes);
        DistinctCounts::of(&self.table.metadata, self.table.snapshot_id()).add_to(
            &mut statistics,
            self.table.schema(),
            &totals,
        );
        let groups = maker.groups(
            &files,
            &placed,
            &deletes,
            &known,
            state.config().target_partitions(),
        )?;
        let mut plan = self.scan_plan(self.summary(&survivors, &placed, &reads))?;
        plan.defaults = plan.defaults.iter().cloned().chain(defaults).collect();
        let columns = ScanColumns {
            visible: Arc::clone(&self.schema),
            own,
            counted: counts(&self.schema, own, projection),
            hidden,
        };
        plan.columns = columns.by_id();
        plan.metadata = columns.metadata();
        plan.row_number = columns.row_number();
        if self.context.sort_orders {
            plan.order = order_of(&self.table, &files);
        }
        self.exec(
            state,
            (groups, statistics),
            (plan, columns),
            projection,
            limit,
        )
    }
}

impl LakeTable {
    fn exec(
        &self,
        state: &dyn Session,
        (groups, statistics): (Vec<FileGroup>, Statistics),
        (plan, columns): (ScanPlan, ScanColumns),
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let store = ObjectStoreUrl::parse(STORE)?;
        let runtime = state.runtime_env();
        if runtime.object_store(&store).is_err() {
            runtime.register_object_store(store.as_ref(), Arc::new(InMemory::new()));
        }
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        // Which filters the reader evaluates, and how INT96 is read, is decided when a file is opened.
        options.global.pushdown_filters = false;
        options.global.coerce_int96 = None;
        let readers = RoutedReaders {
            context: Arc::clone(&self.context),
        };
        let parquet = ParquetSource::new(columns.table_schema())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let source = LakeParquetSource::new(
            parquet,
            Arc::new(plan),
            Arc::clone(&self.context),
            Arc::clone(&runtime.memory_pool),
        );
        let config = FileScanConfigBuilder::new(store, Arc::new(source))
            .with_file_groups(columns.known(groups))
            .with_statistics(columns.known_of_all(statistics))
            .with_projection_indices(Some(columns.projection(projection)))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

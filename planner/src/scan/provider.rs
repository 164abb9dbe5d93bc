//! [`LakeTable`]: one pinned snapshot as a DataFusion table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{Result, Statistics, plan_err};
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_datasource::file_groups::FileGroup;
use datafusion_datasource::file_scan_config::FileScanConfigBuilder;
use datafusion_datasource::source::DataSourceExec;
use datafusion_datasource_parquet::source::ParquetSource;
use landfast_catalog::{DataFile, ManifestListing, Namespace, SnapshotFiles, TableSnapshot};
use landfast_sites::CanonicalUri;
use object_store::memory::InMemory;

use super::ScanContext;
use super::defaults::initial_defaults;
use super::files::FileMaker;
use super::mapping::name_mapping;
use super::placing::{Placed, Placer};
use super::prune::Pruner;
use super::reader::RoutedReaders;
use super::source::{LakeParquetSource, ScanPlan};
use super::statistics::StatisticsMaker;
use super::summary::ScanSummary;
use crate::types::arrow_schema;

/// DataFusion wants a store for every scan. Nothing is ever read from this one.
const STORE: &str = "lake://files";

/// With a limit, the nearest files are chosen among the first so many.
const LIMIT_CHOICE_FILES: usize = 1000;

/// One pinned snapshot of a table.
///
/// The schema is the table's current one: a column added since the snapshot was written is there, and reads as null.
#[derive(Debug)]
pub struct LakeTable {
    table: Arc<TableSnapshot>,
    files: Files,
    context: Arc<ScanContext>,
    schema: SchemaRef,
}

/// Where the list of files comes from.
#[derive(Debug)]
enum Files {
    /// All manifests were read.
    Loaded(Arc<SnapshotFiles>),
    /// Each scan reads those that its filters leave.
    Listed {
        namespace: Arc<Namespace>,
        listing: Arc<ManifestListing>,
    },
}

/// The files that a scan's filters leave, and what they leave out.
#[derive(Debug, Default)]
struct Survivors {
    loaded: Arc<SnapshotFiles>,
    /// Positions in `loaded`: manifest, file.
    kept: Vec<(usize, usize)>,
    files_total: u64,
    manifests_total: u64,
}

impl Survivors {
    fn files(&self) -> impl Iterator<Item = &DataFile> {
        let file = |(at, nth): &(usize, usize)| &self.loaded.manifests[*at].files[*nth];
        self.kept.iter().map(file)
    }

    fn manifests_kept(&self) -> u64 {
        let mut manifests: Vec<usize> = self.kept.iter().map(|(at, _)| *at).collect();
        manifests.dedup();
        manifests.len() as u64
    }

    /// Places every file; where so many rows are enough, keeps the files that give them soonest.
    fn place(&mut self, placer: &Placer<'_>, enough: Option<u64>) -> Result<Vec<Placed>> {
        let placed: Result<Vec<Placed>> = self.files().map(|file| placer.place(file)).collect();
        let mut placed = placed?;
        let Some(enough) = enough else {
            return Ok(placed);
        };
        let rows: Vec<u64> = self.files().map(|file| file.rows).collect();
        let mut soonest: Vec<usize> = (0..placed.len()).collect();
        soonest.sort_by(|a, b| placed[*a].seconds.total_cmp(&placed[*b].seconds));
        let mut keep = vec![false; placed.len()];
        let mut found = 0_u64;
        for at in soonest {
            if found >= enough {
                break;
            }
            keep[at] = true;
            found = found.saturating_add(rows[at]);
        }
        let mut nth = keep.iter();
        self.kept
            .retain(|_| nth.next().copied().unwrap_or_default());
        let mut nth = keep.iter();
        placed.retain(|_| nth.next().copied().unwrap_or_default());
        Ok(placed)
    }
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
        })
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
    async fn survivors(&self, filters: &[Expr], enough: Option<u64>) -> Result<Survivors> {
        let pruner = Pruner::new(&self.table.metadata, self.table.schema(), filters);
        let mut survivors = match &self.files {
            Files::Loaded(files) => Survivors {
                loaded: Arc::clone(files),
                files_total: files.count() as u64,
                manifests_total: files.manifests.len() as u64,
                ..Survivors::default()
            },
            Files::Listed { listing, .. } if !listing.deletes.is_empty() => {
                return plan_err!(
                    "{} has delete files (merge-on-read deletes or updates)",
                    self.table.name
                );
            }
            Files::Listed { namespace, listing } => {
                let (kept, left_out): (Vec<_>, Vec<_>) = listing
                    .manifests
                    .iter()
                    .cloned()
                    .partition(|manifest| pruner.keeps_manifest(manifest));
                let loaded = namespace.load(&self.table, &kept, &self.context.log).await;
                let loaded =
                    Arc::new(loaded.map_err(|error| DataFusionError::External(Box::new(error)))?);
                let files_left_out: u64 =
                    left_out.iter().filter_map(|manifest| manifest.files).sum();
                Survivors {
                    files_total: loaded.count() as u64 + files_left_out,
                    loaded,
                    manifests_total: listing.manifests.len() as u64,
                    ..Survivors::default()
                }
            }
        };
        let mut rows = 0_u64;
        for (at, manifest) in survivors.loaded.manifests.iter().enumerate() {
            for (nth, file) in manifest.files.iter().enumerate() {
                let choice = survivors.kept.len() >= LIMIT_CHOICE_FILES;
                if choice && enough.is_some_and(|enough| rows >= enough) {
                    break;
                }
                if pruner.keeps(file) {
                    survivors.kept.push((at, nth));
                    rows = rows.saturating_add(file.rows);
                }
            }
        }
        Ok(survivors)
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

    fn summary(&self, survivors: &Survivors, placed: &[Placed]) -> ScanSummary {
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
            files_pruned: survivors.files_total - survivors.kept.len() as u64,
            manifests_total: survivors.manifests_total,
            manifests_pruned: survivors.manifests_total - survivors.manifests_kept(),
            ..ScanSummary::default()
        };
        summary.place(
            placed
                .iter()
                .filter_map(|file| Some((file.route.first()?, file.bytes, file.usd))),
        );
        summary
    }

    fn scan_plan(&self, summary: ScanSummary) -> Result<ScanPlan> {
        let mapping = name_mapping(&self.table.metadata)?;
        Ok(ScanPlan {
            summary,
            mapping,
            defaults: initial_defaults(self.table.schema())?,
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
        let mut survivors = self.survivors(filters, enough).await?;
        let root = self.inventory().await;
        let projected = projection.map(Vec::as_slice);
        let maker = FileMaker { table: &self.table };
        let (columns, share) = maker.columns_read(projected);
        let placer = Placer::new(
            &self.context.sites,
            self.context.placement,
            &root,
            columns,
            share,
        );
        let placed = survivors.place(&placer, enough)?;
        let files: Vec<&DataFile> = survivors.files().collect();

        let known = StatisticsMaker::new(self.table.schema(), projected);
        let statistics = known.of_scan(files.iter().copied());
        let groups = maker.groups(&files, &placed, &known, state.config().target_partitions())?;
        let plan = self.scan_plan(self.summary(&survivors, &placed))?;
        self.exec(state, (groups, statistics), plan, projection, limit)
    }
}

impl LakeTable {
    fn exec(
        &self,
        state: &dyn Session,
        (groups, statistics): (Vec<FileGroup>, Statistics),
        plan: ScanPlan,
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
        let parquet = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let source = LakeParquetSource::new(parquet, Arc::new(plan), Arc::clone(&self.context));
        let config = FileScanConfigBuilder::new(store, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

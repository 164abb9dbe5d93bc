//! Opening one file: footer, columns by field id, filters; then DataFusion's own Parquet opener does the rest.

mod ahead;

use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, OnceLock};

use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprSimplifier};
use datafusion::physical_optimizer::pruning::{
    FilePruner, PruningPredicate, PruningPredicateBuilder,
};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion_datasource::PartitionedFile;
use datafusion_datasource::file::FileSource;
use datafusion_datasource::file_scan_config::{FileScanConfig, FileScanConfigBuilder};
use datafusion_datasource::morsel::{MorselPlan, MorselPlanner, Morselizer};
use datafusion_datasource_parquet::source::ParquetSource;
use datafusion_datasource_parquet::{
    ParquetAccessPlan, ParquetFileMetrics, RowGroupAccessPlanFilter,
};
use datafusion_physical_expr_adapter::PhysicalExprAdapter;
use futures::future::try_join;
use landfast_sites::FileId;
use object_store::ObjectStore;

use super::ScanContext;
use super::blooms::ReadAhead;
use super::columns::{Absentees, FileColumns};
use super::deletes::{
    DeleteReader, DeletedKeys, DeletedPositions, Sieve, columns_to_read, without,
};
use super::filters::{Filters, OpenedFilters, Selective, asked_of_statistics, cannot_fail};
use super::footers::Footer;
use super::row_columns::{FileRows, OneFile};
use super::sorted::OrderCheck;
use super::source::{LakeFile, ScanPlan, all_of};
use super::steps::{BatchStep, Stepped};
use crate::error::OF_DATA_FILES;

/// What is deleted from one file, read.
#[derive(Default)]
struct Deleted {
    positions: Option<DeletedPositions>,
    keys: Vec<DeletedKeys>,
    /// The data file's own.
    sequence_number: i64,
}

/// A file whose footer is there.
struct Opening {
    footer: Arc<Footer>,
    columns: Arc<FileColumns>,
    filters: OpenedFilters,
    deleted: Deleted,
    /// Its bloom filters, or all of it, where they are asked.
    ahead: Option<Arc<ReadAhead>>,
}

/// Plans the files of one partition.
pub(super) struct LakeMorselizer(Arc<Partition>);

/// What every file of one partition is opened with.
struct Partition {
    /// Reads what the query asks for.
    parquet: ParquetSource,
    /// Reads all columns that the scan may read.
    every: ParquetSource,
    projection: ProjectionExprs,
    filters: Filters,
    /// The filters that bloom filters may answer.
    asking: Vec<Selective>,
    /// Those that few rows pass.
    rare: Vec<Selective>,
    shared: Shared,
    /// Limit and order of the scan, and nothing else: it is copied for each file.
    slim: FileScanConfig,
    /// Where rows are promised in order.
    order: Option<Arc<OrderCheck>>,
    index: usize,
    left_out: OnceLock<ParquetFileMetrics>,
    /// The opener counts row groups as well; what is counted before would come on top.
    uncounted: ParquetFileMetrics,
}

/// What all partitions of a scan share.
pub(super) struct Shared {
    pub(super) plan: Arc<ScanPlan>,
    pub(super) context: Arc<ScanContext>,
    pub(super) memory: Arc<dyn MemoryPool>,
    pub(super) store: Arc<dyn ObjectStore>,
}

impl LakeMorselizer {
    pub(super) fn new(
        every: ParquetSource,
        projection: ProjectionExprs,
        filters: Filters,
        shared: Shared,
        config: &FileScanConfig,
        index: usize,
    ) -> Result<Self> {
        // A limit counts rows that nobody has left out: what a dynamic filter from above leaves is not what it is about.
        let (filters, asking, rare) = match config.limit {
            Some(_) => (filters.without_dynamic(), Vec::new(), Vec::new()),
            None => {
                let table = every.table_schema().table_schema();
                let asking = filters.asking(table);
                let rare = filters.rare(&config.statistics());
                (filters, asking, rare)
            }
        };
        let parquet = projected(&every, &projection)?;
        let slim =
            FileScanConfigBuilder::new(config.object_store_url.clone(), Arc::new(parquet.clone()))
                .with_limit(config.limit)
                .with_preserve_order(config.preserve_order)
                .with_statistics(Default::default())
                .build();
        let ordering = config.output_ordering.first();
        let order = ordering.and_then(|ordering| OrderCheck::new(ordering, &projection));
        Ok(Self(Arc::new(Partition {
            order: order.map(Arc::new),
            parquet,
            every,
            projection,
            filters,
            asking,
            rare,
            shared,
            slim,
            index,
            left_out: OnceLock::new(),
            uncounted: ParquetFileMetrics::new(index, "", &ExecutionPlanMetricsSet::new()),
        })))
    }
}

impl Debug for LakeMorselizer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeMorselizer")
            .field("partition", &self.0.index)
            .finish_non_exhaustive()
    }
}

impl Morselizer for LakeMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        Ok(Box::new(FileToOpen {
            partition: Arc::clone(&self.0),
            file,
        }))
    }
}

/// A file before its footer is there.
struct FileToOpen {
    partition: Arc<Partition>,
    file: PartitionedFile,
}

impl Debug for FileToOpen {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileToOpen")
            .field("file", &self.file.object_meta.location)
            .finish_non_exhaustive()
    }
}

impl MorselPlanner for FileToOpen {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        if self.partition.rules_out(&self.file)? {
            return Ok(None);
        }
        Ok(Some(MorselPlan::new().with_pending_planner(async move {
            let Self { partition, file } = *self;
            let lake = partition.lake_file(&file)?;
            let (footer, deleted) =
                try_join(partition.footer(&lake), partition.deleted(&lake)).await?;
            let mut opening = Opening {
                columns: Arc::new(partition.columns(&lake, &footer)),
                filters: partition.filters.open(&lake.maybe_nan)?,
                ahead: None,
                footer,
                deleted,
            };
            if partition
                .ruled_out_ahead(&file, &lake, &mut opening)
                .await?
            {
                return Ok(Box::new(NothingToRead) as Box<dyn MorselPlanner>);
            }
            partition.open(file, &lake, opening)
        })))
    }
}

/// What is left of a file of which nothing is needed.
#[derive(Debug)]
struct NothingToRead;

impl MorselPlanner for NothingToRead {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(None)
    }
}

impl Partition {
    fn lake_file(&self, file: &PartitionedFile) -> Result<Arc<LakeFile>> {
        match file.extension::<Arc<LakeFile>>() {
            Some(lake) => Ok(Arc::clone(lake)),
            None => internal_err!("{} was not planned by Landfast", file.object_meta.location),
        }
    }

    /// Whether dynamic filters, as they are by now, leave nothing of the file: then not even its footer is read.
    fn rules_out(&self, file: &PartitionedFile) -> Result<bool> {
        if !self.filters.may_tighten() {
            return Ok(false);
        }
        let lake = self.lake_file(file)?;
        let Some(filter) = self.filters.of_statistics(&lake.maybe_nan)? else {
            return Ok(false);
        };
        let table = self.parquet.table_schema().file_schema();
        match FilePruner::try_new(filter, table, file, Count::new()) {
            Some(mut pruner) => {
                let out = pruner.should_prune()?;
                if out {
                    self.left_out().files_ranges_pruned_statistics.add_pruned(1);
                }
                Ok(out)
            }
            None => Ok(false),
        }
    }

    async fn footer(&self, lake: &LakeFile) -> Result<Arc<Footer>> {
        let id = FileId::new(lake.uri.clone(), Some(lake.size_bytes));
        let context = &self.shared.context;
        let footer = context.footers.get(&lake.at_sites(&id, context)).await;
        footer.map_err(|error| {
            DataFusionError::from(error).context(format!("footer of {OF_DATA_FILES} {}", lake.uri))
        })
    }

    /// What is deleted from the file.
    async fn deleted(&self, lake: &LakeFile) -> Result<Deleted> {
        let Some(deletes) = &lake.deletes else {
            return Ok(Deleted::default());
        };
        let plan = &self.shared.plan;
        let reader = DeleteReader {
            context: &self.shared.context,
            memory: &self.shared.memory,
            mapping: plan.mapping.as_ref(),
            defaults: &plan.defaults,
        };
        let read = try_join(reader.positions(&lake.uri, deletes), reader.keys(deletes)).await;
        let (positions, keys) = read
            .map_err(|error| error.context(format!("deletes of {OF_DATA_FILES} {}", lake.uri)))?;
        Ok(Deleted {
            positions,
            keys,
            sequence_number: deletes.sequence_number,
        })
    }

    /// The columns of the table as the file has them.
    fn columns(&self, lake: &LakeFile, footer: &Footer) -> FileColumns {
        let plan = &self.shared.plan;
        let absentees = Absentees {
            partition: &lake.constants,
            defaults: &plan.defaults,
            refused: false,
        };
        let mapping = plan.mapping.as_deref();
        let schema = footer.file_schema();
        FileColumns::resolve(&lake.uri, &plan.columns, schema, mapping, &absentees)
    }

    fn open(
        &self,
        file: PartitionedFile,
        lake: &Arc<LakeFile>,
        opening: Opening,
    ) -> Result<Box<dyn MorselPlanner>> {
        let plan = &self.shared.plan;
        let Opening {
            footer,
            columns,
            mut filters,
            deleted,
            ahead,
        } = opening;
        let mut file = file.with_arrow_schema(Arc::clone(columns.file_schema()));
        let mut config = self.slim.clone();
        let mut parquet = self.parquet.clone();
        let mut sieve = None;
        if !deleted.keys.is_empty() {
            // Rows are left out after the reader: it must not stop early, nor evaluate what may fail on a deleted row.
            config.limit = None;
            filters.rows.retain(cannot_fail);
            let read = columns_to_read(&self.projection, &deleted.keys);
            let all = self.every.table_schema().table_schema();
            parquet = projected(&self.every, &ProjectionExprs::from_indices(&read, all))?;
            sieve = Some(Arc::new(Sieve::new(
                deleted.keys,
                deleted.sequence_number,
                &self.projection,
                &read,
                all,
                self.rows_deleted_by_key(),
            )?));
        }
        let mut access = None;
        if filters.rows.is_empty() {
            parquet = parquet.with_pushdown_filters(false);
            if let Some(filter) = all_of(&filters.prune) {
                parquet = parquet.with_predicate(filter);
            }
        } else {
            access = self.access(&file, &filters, &columns, &footer)?;
            if let Some(filter) = all_of(&filters.rows) {
                parquet = parquet.with_predicate(filter).with_pushdown_filters(true);
            }
        }
        if let Some(deleted) = deleted.positions {
            let groups = footer.metadata.row_groups();
            let all = access.unwrap_or_else(|| ParquetAccessPlan::new_all(groups.len()));
            let mut own = RowGroupAccessPlanFilter::new(all);
            if let Some(range) = &file.range {
                own.prune_by_range(groups, range);
            }
            let rows = footer.metadata.file_metadata().num_rows();
            let rows = u64::try_from(rows).unwrap_or_default();
            access = Some(without(deleted.of_rows(rows)?, own.build(), groups));
        }
        if let Some(access) = access {
            file = file.with_extension(access);
        }
        match ahead {
            Some(ahead) => file = file.with_extension(ahead),
            None => parquet = parquet.with_bloom_filter_on_read(false),
        }
        let rows = FileRows::new(
            columns,
            (&plan.columns, &plan.metadata),
            plan.row_number.as_ref(),
            lake,
        );
        config.expr_adapter_factory = Some(Arc::new(OneFile(Arc::new(rows))));
        let morselizer =
            parquet.create_morselizer(Arc::clone(&self.shared.store), &config, self.index)?;
        let planner = morselizer.plan_file(file.with_extension(footer))?;
        let sieve = sieve.map(|sieve| -> Arc<dyn BatchStep> { sieve });
        let order = self.order.as_ref();
        let order = order.map(|order| -> Arc<dyn BatchStep> { Arc::new(order.of_file(&lake.uri)) });
        let steps = sieve.into_iter().chain(order);
        Ok(steps.fold(planner, |planner, step| Box::new(Stepped { planner, step })))
    }

    fn rows_deleted_by_key(&self) -> Count {
        MetricBuilder::new(self.every.metrics()).counter("rows_deleted_by_key", self.index)
    }

    /// The row groups that the pruning filters leave. Needed only when the reader is given other filters to evaluate.
    fn access(
        &self,
        file: &PartitionedFile,
        filters: &OpenedFilters,
        columns: &FileColumns,
        footer: &Footer,
    ) -> Result<Option<ParquetAccessPlan>> {
        let Some(pruning) = pruning(&filters.prune, columns)? else {
            return Ok(None);
        };
        // Only which groups are left is taken over: a group of which *these* filters hold for every row may still have
        // rows for which the reader's filters do not.
        let mut left = ParquetAccessPlan::new_none(footer.metadata.num_row_groups());
        for at in self.groups_left(file, &pruning, columns, footer) {
            left.scan(at);
        }
        Ok(Some(left))
    }

    /// The row groups of the file, or of its part, that a predicate leaves by their bounds.
    fn groups_left(
        &self,
        file: &PartitionedFile,
        pruning: &PruningPredicate,
        columns: &FileColumns,
        footer: &Footer,
    ) -> Vec<usize> {
        let groups = footer.metadata.row_groups();
        let mut access = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(groups.len()));
        if let Some(range) = &file.range {
            access.prune_by_range(groups, range);
        }
        let (schema, descriptor) = (
            columns.file_schema(),
            footer.metadata.file_metadata().schema_descr(),
        );
        access.prune_by_statistics(schema, descriptor, groups, pruning, &self.uncounted);
        access.row_group_indexes().collect()
    }

    /// The counters of what is never opened.
    fn left_out(&self) -> &ParquetFileMetrics {
        let counters = || ParquetFileMetrics::new(self.index, "", self.parquet.metrics());
        self.left_out.get_or_init(counters)
    }
}

/// What decides by the file's statistics whether these filters leave anything; none where they decide nothing.
fn pruning(
    filters: &[Arc<dyn PhysicalExpr>],
    columns: &FileColumns,
) -> Result<Option<PruningPredicate>> {
    let Some(filter) = asked_of_statistics(filters)? else {
        return Ok(None);
    };
    let schema = columns.file_schema();
    let filter: Arc<dyn PhysicalExpr> =
        PhysicalExprSimplifier::new(schema).simplify(columns.rewrite(filter)?)?;
    let pruning = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(schema))
        .try_build(filter);
    Ok(pruning.ok().filter(|pruning| !pruning.always_true()))
}

/// The source with this projection of all its columns.
fn projected(every: &ParquetSource, projection: &ProjectionExprs) -> Result<ParquetSource> {
    let source = every.try_pushdown_projection(projection)?;
    match source
        .as_ref()
        .and_then(|source| source.downcast_ref::<ParquetSource>())
    {
        Some(source) => Ok(source.clone()),
        None => internal_err!("a Parquet source became another one"),
    }
}

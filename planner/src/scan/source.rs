//! [`LakeParquetSource`]: DataFusion's Parquet source, told per file what Iceberg knows of it.

use std::cmp::Reverse;
use std::fmt::{self, Formatter};
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr, conjunction,
};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{
    DisplayFormatType, SortOrderPushdownResult, apply_expression_roots,
};
use datafusion_datasource::file::FileSource;
use datafusion_datasource::file_scan_config::FileScanConfig;
use datafusion_datasource::file_stream::FileOpener;
use datafusion_datasource::morsel::Morselizer;
use datafusion_datasource::{PartitionedFile, TableSchema};
use datafusion_datasource_parquet::source::ParquetSource;
use iceberg::spec::NameMapping;
use landfast_sites::{CanonicalUri, FileId, Route};
use object_store::ObjectStore;

use super::ScanContext;
use super::deletes::LakeDeletes;
use super::filters::Filters;
use super::footers::FileAtSites;
use super::open::{LakeMorselizer, Shared};
use super::row_columns::touches;
use super::sorted::keys_left;
use super::summary::ScanSummary;

/// What one data file is, and where its bytes are: plain data, attached to DataFusion's `PartitionedFile` as
/// `Arc<LakeFile>`.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeFile {
    /// The file's identity.
    pub uri: CanonicalUri,
    /// Its recorded size.
    pub size_bytes: u64,
    /// The sites to read it from, in order.
    pub route: Route,
    /// Values of its identity partition fields by source field id: columns that the file itself may lack.
    pub constants: Arc<[(i32, ScalarValue)]>,
    /// Positions in the table's schema of floating-point columns that may hold NaN, which Parquet's statistics leave
    /// out.
    pub maybe_nan: Arc<[usize]>,
    /// Its data sequence number.
    pub sequence_number: i64,
    /// The row id of its first row, where it has one.
    pub first_row_id: Option<u64>,
    /// What is deleted from it.
    pub deletes: Option<Arc<LakeDeletes>>,
}

impl LakeFile {
    /// The file and all that it takes to read it; `id` is its own.
    pub(super) fn at_sites<'a>(
        &'a self,
        id: &'a FileId,
        context: &'a ScanContext,
    ) -> FileAtSites<'a> {
        FileAtSites {
            sites: &context.sites,
            id,
            size: self.size_bytes,
            route: &self.route,
            log: &context.log,
        }
    }
}

/// How long reading a file, or a part of one, takes in microseconds, about.
#[derive(Debug, Clone, Copy)]
pub(super) struct PieceCost(pub(super) u64);

/// What all files of one scan have in common: plain data.
#[derive(Debug)]
pub(super) struct ScanPlan {
    pub(super) summary: ScanSummary,
    pub(super) mapping: Option<Arc<NameMapping>>,
    /// Initial defaults by field id.
    pub(super) defaults: Arc<[(i32, ScalarValue)]>,
    /// The columns that files may have, with their field ids.
    pub(super) columns: SchemaRef,
    /// Where metadata columns are among them.
    pub(super) metadata: Range<usize>,
    /// What the reader counts rows as, where it does.
    pub(super) row_number: Option<FieldRef>,
    /// The order that the rows of each file are in.
    pub(super) order: Option<LexOrdering>,
}

/// Reads the files of one Iceberg snapshot.
///
/// Wraps DataFusion's `ParquetSource`, which never sees a filter until a file is opened: then the columns are resolved
/// by field id, and it is decided which filters the reader evaluates and which only prune.
#[derive(Clone, Debug)]
pub struct LakeParquetSource {
    /// Reads all columns that the scan may read: what of them, is decided when a file is opened.
    parquet: ParquetSource,
    projection: ProjectionExprs,
    filters: Filters,
    /// The order that the scan gives its rows in, where it says that it does.
    claimed: Option<LexOrdering>,
    plan: Arc<ScanPlan>,
    context: Arc<ScanContext>,
    memory: Arc<dyn MemoryPool>,
}

impl LakeParquetSource {
    pub(super) fn new(
        parquet: ParquetSource,
        plan: Arc<ScanPlan>,
        context: Arc<ScanContext>,
        memory: Arc<dyn MemoryPool>,
    ) -> Self {
        let table = parquet.table_schema().table_schema();
        let all: Vec<usize> = (0..table.fields().len()).collect();
        Self {
            projection: ProjectionExprs::from_indices(&all, table),
            parquet,
            filters: Filters::default(),
            claimed: None,
            plan,
            context,
            memory,
        }
    }

    /// What was planned to be read from where.
    pub fn summary(&self) -> &ScanSummary {
        &self.plan.summary
    }

    /// The order that the rows of each file are in, in terms of the table's columns.
    pub(super) fn order(&self) -> Option<&LexOrdering> {
        self.plan.order.as_ref()
    }

    /// The same of a scan that says that it gives its rows in this order.
    pub(super) fn claiming(&self, ordering: LexOrdering) -> Self {
        Self {
            claimed: Some(ordering),
            ..self.clone()
        }
    }

    fn with_parquet(&self, parquet: &Arc<dyn FileSource>) -> Result<Arc<dyn FileSource>> {
        match parquet.downcast_ref::<ParquetSource>() {
            Some(parquet) => Ok(Arc::new(Self {
                parquet: parquet.clone(),
                ..self.clone()
            })),
            None => internal_err!("a Parquet source became another one"),
        }
    }
}

impl FileSource for LakeParquetSource {
    fn create_file_opener(
        &self,
        _object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        internal_err!("a scan of Iceberg files is opened by its morselizer")
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        Ok(Box::new(LakeMorselizer::new(
            self.parquet.clone(),
            self.projection.clone(),
            self.filters.clone(),
            Shared {
                plan: Arc::clone(&self.plan),
                context: Arc::clone(&self.context),
                memory: Arc::clone(&self.memory),
                store: object_store,
            },
            base_config,
            partition,
        )?))
    }

    fn table_schema(&self) -> &TableSchema {
        self.parquet.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        // `ParquetSource` gives a `ParquetSource`. Should that change, a source without a batch size opens no file,
        // which is better than one that resolves columns by name.
        let sized = self.parquet.with_batch_size(batch_size);
        self.with_parquet(&sized)
            .unwrap_or_else(|_| Arc::new(self.clone()))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.filters.all()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.parquet.metrics()
    }

    fn file_type(&self) -> &str {
        "iceberg"
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, ", {}", self.plan.summary)?;
                self.parquet.fmt_extra(t, f)?;
                self.filters.fmt(f)
            }
            DisplayFormatType::TreeRender => {
                writeln!(f, "table={}", self.plan.summary.table)?;
                for placed in &self.plan.summary.placed {
                    writeln!(f, "{}={} files", placed.site, placed.files)?;
                }
                Ok(())
            }
        }
    }

    /// Files were cut along their row groups, and spread by cost, when the scan was planned.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn repartitioned(
        &self,
        _target_partitions: usize,
        _repartition_file_min_size: usize,
        _output_ordering: Option<LexOrdering>,
        _config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        Ok(None)
    }

    /// Keeps every filter for pruning, and promises none: whoever pushed one still evaluates it.
    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let answer = vec![PushedDown::No; filters.len()];
        // The reader knows nothing of metadata columns: whoever filters by them does it alone.
        let of_files = filters.iter().flat_map(split_conjunction);
        let of_files = of_files.filter(|filter| !touches(filter, &self.plan.metadata));
        let of_files = of_files.map(Arc::clone).collect();
        let kept = self
            .filters
            .with(of_files, self.table_schema().table_schema());
        let source: Arc<dyn FileSource> = Arc::new(Self {
            filters: kept,
            ..self.clone()
        });
        Ok(
            FilterPushdownPropagation::with_parent_pushdown_result(answer)
                .with_updated_node(source),
        )
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(
            match self.parquet.try_pushdown_sort(order, eq_properties)? {
                SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact {
                    inner: self.with_parquet(&inner)?,
                },
                SortOrderPushdownResult::Inexact { inner } => SortOrderPushdownResult::Inexact {
                    inner: self.with_parquet(&inner)?,
                },
                SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
            },
        )
    }

    /// The order in which streams that share their files take them: the costliest first, so that none runs late with one
    /// of these alone, unless a TopK wants others first.
    fn reorder_files(&self, mut files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        let cost = |file: &PartitionedFile| file.extension::<PieceCost>().map(|cost| cost.0);
        files.sort_by_key(|file| Reverse(cost(file)));
        self.parquet.reorder_files(files)
    }

    /// Takes every projection but one that leaves out a column of an order that the scan says it gives: whether it does
    /// is checked on what comes out.
    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.try_merge(projection)?;
        if let Some(claimed) = &self.claimed
            && keys_left(claimed, &merged) < keys_left(claimed, &self.projection)
        {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self {
            projection: merged,
            ..self.clone()
        })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match self.filters.apply(f)? {
            TreeNodeRecursion::Stop => Ok(TreeNodeRecursion::Stop),
            _ => apply_expression_roots(self.projection.iter().map(|projected| &projected.expr), f),
        }
    }
}

/// All filters of one kind as one.
pub(super) fn all_of(filters: &[Arc<dyn PhysicalExpr>]) -> Option<Arc<dyn PhysicalExpr>> {
    (!filters.is_empty()).then(|| conjunction(filters.iter().map(Arc::clone)))
}

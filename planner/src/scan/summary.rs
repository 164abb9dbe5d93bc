//! What a scan was planned to read, for `EXPLAIN` and the receipt.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion_datasource::file_scan_config::FileScanConfig;
use datafusion_datasource::source::DataSourceExec;
use landfast_sites::SiteId;

use super::deletes::PlannedReads;
use super::fence::Fence;
use super::source::LakeParquetSource;

/// What one scan was planned to read, and from where.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ScanSummary {
    /// The table's full name.
    pub table: String,
    /// The pinned snapshot; none for a table without data.
    pub snapshot_id: Option<i64>,
    /// When it was committed, in milliseconds since 1970 by its writer's clock.
    pub snapshot_committed_ms: Option<i64>,
    /// How long before planning that was.
    pub snapshot_age_ms: Option<i64>,
    /// How long before planning the last validation of the table's pointer began.
    pub pointer_age_ms: u64,
    /// Whether the pointer is older than the query asked for.
    pub stale: bool,
    /// Files of the snapshot, where they were counted: manifests that were left out unread count only where the
    /// manifest list says how many files they have.
    pub files_total: u64,
    /// Files that the filters and the limit leave out.
    pub files_pruned: u64,
    /// Manifests of the snapshot.
    pub manifests_total: u64,
    /// Manifests none of whose files are needed.
    pub manifests_pruned: u64,
    /// Delete files that apply to what is left; each deletion vector counts as one.
    pub delete_files: u64,
    /// Where all these are to be read, by site.
    pub placed: Vec<SitePlacement>,
    /// What the reads are estimated to cost, in US dollars.
    pub estimated_usd: f64,
}

/// What one site is to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePlacement {
    /// The site.
    pub site: SiteId,
    /// Files to read there, delete files too.
    pub files: u64,
    /// Bytes to read of them, estimated from the columns that the query reads; delete files are read whole.
    pub bytes: u64,
}

impl ScanSummary {
    /// Adds up what each file, and each delete file, is placed to give.
    pub(super) fn place<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a SiteId, u64, f64)>,
        deletes: &'a PlannedReads,
    ) {
        self.delete_files = deletes.files;
        let mut sites: BTreeMap<&SiteId, (u64, u64)> = BTreeMap::new();
        for (site, (files, bytes, usd)) in &deletes.sites {
            sites.insert(site, (*files, *bytes));
            self.estimated_usd += usd;
        }
        for (site, bytes, usd) in files {
            let (files, sum) = sites.entry(site).or_default();
            *files += 1;
            *sum += bytes;
            self.estimated_usd += usd;
        }
        let placed = sites.into_iter();
        self.placed = placed
            .map(|(site, (files, bytes))| SitePlacement {
                site: site.clone(),
                files,
                bytes,
            })
            .collect();
    }
}

impl Display for ScanSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "table={}", self.table)?;
        match self.snapshot_id {
            Some(id) => write!(f, ", snapshot={id}")?,
            None => write!(f, ", snapshot=none")?,
        }
        if let Some(age_ms) = self.snapshot_age_ms {
            write!(f, ", snapshot_age_s={}", age_ms / 1000)?;
        }
        write!(f, ", pointer_age_ms={}", self.pointer_age_ms)?;
        if self.stale {
            write!(f, ", stale")?;
        }
        write!(
            f,
            ", files={} of {}",
            self.files_total - self.files_pruned,
            self.files_total
        )?;
        write!(
            f,
            ", manifests={} of {}",
            self.manifests_total - self.manifests_pruned,
            self.manifests_total
        )?;
        if self.delete_files > 0 {
            write!(f, ", delete_files={}", self.delete_files)?;
        }
        write!(f, ", placed=[")?;
        for (at, placed) in self.placed.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(
                f,
                "{comma}{}: {} files {} bytes",
                placed.site, placed.files, placed.bytes
            )?;
        }
        write!(f, "], estimated_usd={:.6}", self.estimated_usd)
    }
}

/// The scans of a plan, in the order in which `EXPLAIN` shows them, those behind a fence among them.
pub fn scan_summaries(plan: &Arc<dyn ExecutionPlan>) -> Vec<ScanSummary> {
    let mut found = Vec::new();
    collect(plan, &mut found);
    found
}

fn collect(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<ScanSummary>) {
    if let Some((_, source)) = lake_scan(plan) {
        found.push(source.summary().clone());
    }
    if let Some(fence) = plan.downcast_ref::<Fence>() {
        collect(fence.behind(), found);
    }
    for child in plan.children() {
        collect(child, found);
    }
}

/// The table that an operator reads itself, if it reads one.
pub(crate) fn scanned_table(plan: &Arc<dyn ExecutionPlan>) -> Option<&str> {
    lake_scan(plan).map(|(_, source)| source.summary().table.as_str())
}

/// The scan of a table of the lake that a plan is, if it is one.
pub(super) fn lake_scan(
    plan: &Arc<dyn ExecutionPlan>,
) -> Option<(&FileScanConfig, &LakeParquetSource)> {
    let config = plan
        .downcast_ref::<DataSourceExec>()?
        .data_source()
        .downcast_ref::<FileScanConfig>()?;
    let source = config.file_source().downcast_ref::<LakeParquetSource>()?;
    Some((config, source))
}

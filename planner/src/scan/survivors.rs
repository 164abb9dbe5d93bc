//! The files that a scan's filters leave: pruned manifest by manifest, each let go of once its survivors are known.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use landfast_catalog::{
    CatalogError, DataFile, ManifestFiles, ManifestListing, ManifestSummary, Namespace,
    SnapshotFiles, TableName, TableSnapshot, WantedColumn,
};
use landfast_sites::ReadLog;

use super::deletes::TableDeletes;
use super::placing::{Placed, Placer};
use super::prune::{Mask, Pruner};
use super::statistics::Totals;

/// With a limit, the nearest files are chosen among the first so many.
const LIMIT_CHOICE_FILES: usize = 1000;

/// The files that a scan's filters leave, and what they leave out.
#[derive(Debug, Default)]
pub(super) struct Survivors {
    kept: Vec<Survivor>,
    /// Of all that are kept together.
    totals: Totals,
    pub(super) files_total: u64,
    pub(super) manifests_total: u64,
}

/// A file that is kept.
#[derive(Debug)]
struct Survivor {
    file: DataFile,
    /// What the columns to read take, where that is recorded.
    column_bytes: Option<u64>,
    /// Its manifest's position among those that were looked at.
    manifest: u32,
}

/// What a scan needs to know of the files that it keeps.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Columns whose totals are asked for.
    pub(super) totals: Vec<WantedColumn>,
    /// Columns whose metrics each file is to have, ascending.
    pub(super) metrics: Vec<WantedColumn>,
    /// Columns that are read, nested ones too.
    pub(super) read: Vec<i32>,
    /// Files have metrics of their own only if no more than so many are kept. Totals have them always.
    pub(super) files_with_metrics_max: usize,
    /// What is deleted from them.
    pub(super) deletes: TableDeletes,
}

/// What looks through manifests, on any thread.
#[derive(Debug)]
struct Look {
    table: TableName,
    pruner: Pruner,
    wanted: Wanted,
    kept: AtomicUsize,
}

/// What was found in one manifest.
#[derive(Debug)]
struct Looked {
    files: usize,
    kept: Vec<(DataFile, Option<u64>)>,
    totals: Totals,
}

impl Look {
    fn at(&self, manifest: &ManifestFiles) -> Result<Looked> {
        let files = manifest.len();
        let mask = self.pruner.kept(manifest).map_err(|reason| {
            let table = self.table.clone();
            DataFusionError::External(Box::new(CatalogError::Corrupt { table, reason }))
        })?;
        let count = mask.count(files);
        let before = self.kept.fetch_add(count, Ordering::Relaxed);
        let metrics: &[WantedColumn] = if before + count <= self.wanted.files_with_metrics_max {
            &self.wanted.metrics
        } else {
            &[]
        };
        let read: Option<Vec<_>> = self
            .wanted
            .read
            .iter()
            .map(|id| manifest.column(*id))
            .collect();
        let column_bytes = |at: usize| -> Option<u64> {
            let sizes = read.as_ref()?.iter().map(|column| column.sizes.count(at));
            sizes.sum()
        };
        let kept = mask.positions(files);
        Ok(Looked {
            files,
            kept: kept
                .map(|at| (manifest.file(at, metrics), column_bytes(at)))
                .collect(),
            totals: self.totals(manifest, &mask),
        })
    }

    fn totals(&self, manifest: &ManifestFiles, mask: &Mask) -> Totals {
        let wanted = self.wanted.totals.iter();
        match mask {
            Mask::None => Totals::default(),
            Mask::All if manifest.is_empty() => Totals::default(),
            Mask::All => Totals {
                rows: manifest.rows_total(),
                bytes: manifest.bytes_total(),
                columns: Some(wanted.map(|column| manifest.total(column)).collect()),
            },
            mask => {
                let kept: Vec<usize> = mask.positions(manifest.len()).collect();
                let rows = kept.iter().map(|at| manifest.rows().get(*at) as u64);
                let bytes = kept.iter().filter_map(|at| manifest.sizes().count(*at));
                Totals {
                    rows: rows.sum(),
                    bytes: bytes.sum(),
                    columns: Some(wanted.map(|c| manifest.total_of(c, &kept)).collect()),
                }
            }
        }
    }
}

impl Survivors {
    /// Prunes manifests that were all read.
    pub(super) fn of_loaded(
        (table, files): (&TableSnapshot, &SnapshotFiles),
        pruner: Pruner,
        wanted: Wanted,
        enough: Option<u64>,
    ) -> Result<Self> {
        let mut gathered = Gathered::new(enough, wanted.deletes.clone());
        let look = Look {
            table: table.name.clone(),
            pruner,
            wanted,
            kept: AtomicUsize::new(0),
        };
        for manifest in &files.manifests {
            if gathered.add(look.at(manifest)?).is_break() {
                break;
            }
        }
        Ok(Self {
            files_total: files.count() as u64,
            manifests_total: files.manifests.len() as u64,
            ..gathered.survivors
        })
    }

    /// Prunes manifests by what their list says, then reads and prunes the rest. Where so many rows are enough, stops
    /// once there are more than enough to choose the nearest from.
    pub(super) async fn of_listed(
        (table, namespace, listing): (&TableSnapshot, &Namespace, &ManifestListing),
        pruner: Pruner,
        wanted: Wanted,
        enough: Option<u64>,
        log: &ReadLog,
    ) -> Result<Self> {
        let (kept, left_out): (Vec<ManifestSummary>, Vec<ManifestSummary>) = listing
            .manifests
            .iter()
            .cloned()
            .partition(|manifest| pruner.keeps_manifest(manifest));
        let mut gathered = Gathered::new(enough, wanted.deletes.clone());
        let look = Arc::new(Look {
            table: table.name.clone(),
            pruner,
            wanted,
            kept: AtomicUsize::new(0),
        });
        let looked_at = {
            let look = Arc::clone(&look);
            Arc::new(move |manifest: &ManifestFiles| look.at(manifest))
        };
        let mut failed = None;
        let mut take = |looked: Result<Looked>| match looked {
            Ok(looked) => gathered.add(looked),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        namespace
            .visit(table, &kept, log, &looked_at, &mut take)
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        if let Some(error) = failed {
            return Err(error);
        }
        let unseen = kept.iter().skip(gathered.manifests as usize);
        let unseen = unseen
            .chain(&left_out)
            .filter_map(|manifest| manifest.files);
        Ok(Self {
            files_total: gathered.files + unseen.sum::<u64>(),
            manifests_total: listing.manifests.len() as u64,
            ..gathered.survivors
        })
    }

    /// The files.
    pub(super) fn files(&self) -> impl Iterator<Item = &DataFile> {
        self.kept.iter().map(|survivor| &survivor.file)
    }

    /// How many files there are.
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    /// What is recorded of all of them together.
    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// How many manifests they are of.
    pub(super) fn manifests_kept(&self) -> u64 {
        let mut manifests: Vec<u32> = self.kept.iter().map(|kept| kept.manifest).collect();
        manifests.dedup();
        manifests.len() as u64
    }

    /// Places every file; where so many rows are enough, keeps the files that give them soonest.
    pub(super) fn place(
        &mut self,
        placer: &Placer<'_>,
        enough: Option<u64>,
        wanted: &[WantedColumn],
        deletes: &TableDeletes,
    ) -> Result<Vec<Placed>> {
        let survivors = self.kept.iter();
        let placed: Result<Vec<Placed>> = survivors
            .map(|kept| placer.place(&kept.file, kept.column_bytes))
            .collect();
        let mut placed = placed?;
        let Some(enough) = enough else {
            return Ok(placed);
        };
        let rows: Vec<u64> = self.files().map(|file| deletes.rows_left(file)).collect();
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
        if keep.iter().all(|keep| *keep) {
            return Ok(placed);
        }
        let mut nth = keep.iter();
        self.kept
            .retain(|_| nth.next().copied().unwrap_or_default());
        let mut nth = keep.iter();
        placed.retain(|_| nth.next().copied().unwrap_or_default());
        let mut totals = Totals::default();
        self.files()
            .for_each(|file| totals.add(Totals::of_file(file, wanted)));
        self.totals = totals;
        Ok(placed)
    }
}

/// Survivors, while manifests are looked at in their order.
#[derive(Debug)]
struct Gathered {
    survivors: Survivors,
    enough: Option<u64>,
    deletes: TableDeletes,
    /// Rows that are there for sure; counted only where so many may be enough.
    rows: u64,
    manifests: u32,
    files: u64,
}

impl Gathered {
    fn new(enough: Option<u64>, deletes: TableDeletes) -> Self {
        Self {
            survivors: Survivors::default(),
            enough,
            deletes,
            rows: 0,
            manifests: 0,
            files: 0,
        }
    }

    fn add(&mut self, looked: Looked) -> ControlFlow<()> {
        let survivors = &mut self.survivors;
        survivors.totals.add(looked.totals);
        for (file, column_bytes) in looked.kept {
            if self.enough.is_some() {
                self.rows = self.rows.saturating_add(self.deletes.rows_left(&file));
            }
            survivors.kept.push(Survivor {
                file,
                column_bytes,
                manifest: self.manifests,
            });
        }
        self.files += looked.files as u64;
        self.manifests += 1;
        let choice = survivors.kept.len() >= LIMIT_CHOICE_FILES;
        if choice && self.enough.is_some_and(|enough| self.rows >= enough) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

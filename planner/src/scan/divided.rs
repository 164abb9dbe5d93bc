//! Large results divided into shares that are read apart from one another: at once, in turn, again, by another process,
//! or never.
//!
//! Only a plan whose every row comes from one row of one data file, and from nothing else, is divided. Each share is a
//! plan of its own over its own files, so no share ever waits for another or holds what another needs. The same
//! statement on the same snapshots gives the same shares wherever it is planned: they are made of what manifests say of
//! the files, and of nothing that differs from site to site. A digest of them says whether it did.

use std::cmp::Reverse;
use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, ReplaceChildrenOptions, reset_plan_states,
};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning, StatisticsArgs, StatisticsContext};
use datafusion_datasource::file::FileSource;
use datafusion_datasource::file_groups::FileGroup;
use datafusion_datasource::file_scan_config::{FileScanConfig, FileScanConfigBuilder};
use datafusion_datasource::source::DataSourceExec;
use datafusion_datasource::{FileRange, PartitionedFile};
use sha2::{Digest, Sha256};

use super::summary::lake_scan;
use crate::{ErrorKind, PlannerError, Result};

/// A file is one piece for each so many bytes of it.
const PIECE_BYTES: u64 = 64 << 20;

/// Pieces of one file: of a larger one they are larger.
const PIECES_MAX: u64 = 1024;

/// When a result is divided, and into how many shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DivisionLimits {
    /// Shares of one result.
    pub shares_max: usize,
    /// Bytes that a share should read at least.
    pub share_bytes: u64,
    /// Rows that make a share, however few bytes they take.
    pub share_rows: u64,
}

/// How a result is divided: enough to find the same shares again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// How many shares there are.
    pub shares: usize,
    /// Tells one division from every other: which rows of which files are in which share.
    pub digest: [u8; 16],
}

/// Whether rows leave a logical plan independently of one another and in no order that was asked for.
pub(crate) fn asks_for_order_or_chance(plan: &LogicalPlan) -> EngineResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Sort(_))
            || node
                .expressions()
                .iter()
                .any(datafusion::logical_expr::Expr::is_volatile);
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

/// Whether every row of a plan comes from one row of one data file and from nothing else.
pub(crate) fn is_divisible(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some((config, _)) = lake_scan(plan) {
        return config.limit.is_none();
    }
    let children = plan.children();
    let row_by_row = plan.is::<ProjectionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<UnionExec>()
        || plan
            .downcast_ref::<FilterExec>()
            .is_some_and(|filter| filter.fetch().is_none())
        || plan
            .downcast_ref::<RepartitionExec>()
            .is_some_and(|dealt| matches!(dealt.partitioning(), Partitioning::RoundRobinBatch(_)));
    row_by_row && !children.is_empty() && children.into_iter().all(is_divisible)
}

/// How many rows a plan gives, as far as that is known before it runs.
pub(crate) fn rows(plan: &Arc<dyn ExecutionPlan>) -> Option<Precision<usize>> {
    let known = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
    known.ok().map(|known| known.num_rows)
}

/// The files of every scan of a plan, and which share each belongs to.
struct Dealt {
    /// For each scan, in the order of the plan: for each share, its files in as many groups as it runs in.
    scans: Vec<Vec<Vec<FileGroup>>>,
    digest: [u8; 16],
}

/// Into how many shares a plan is divided, if it should be.
pub(crate) fn divide(
    plan: &Arc<dyn ExecutionPlan>,
    (bytes, rows): (u64, u64),
    limits: &DivisionLimits,
) -> Option<Division> {
    let wanted = (bytes / limits.share_bytes.max(1)).max(rows / limits.share_rows.max(1));
    let mut scans = Vec::new();
    collect(plan, &mut scans);
    let pieces: usize = scans.iter().map(|scan| pieces(scan).len()).sum();
    let shares = usize::try_from(wanted)
        .unwrap_or(usize::MAX)
        .min(limits.shares_max)
        .min(pieces);
    (shares > 1).then(|| Division {
        shares,
        digest: deal(&scans, shares).digest,
    })
}

/// A plan of its own for one share.
///
/// # Errors
/// `FailedPrecondition` when the plan isn't divided as it was when the division was made.
pub(crate) fn share(
    plan: &Arc<dyn ExecutionPlan>,
    number: usize,
    division: &Division,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut scans = Vec::new();
    collect(plan, &mut scans);
    let dealt = deal(&scans, division.shares.max(1));
    if dealt.digest != division.digest || number >= division.shares || !is_divisible(plan) {
        return Err(other_division());
    }
    let mut of_scans = dealt
        .scans
        .into_iter()
        .map(|mut shares| shares.swap_remove(number));
    let fresh = reset_plan_states(Arc::clone(plan))?;
    Ok(with_files(&fresh, &mut of_scans)?)
}

/// The error of a share that there is not.
pub(crate) fn other_division() -> PlannerError {
    PlannerError::of_kind(
        ErrorKind::FailedPrecondition,
        "the result is not divided as it was when it was asked for: run the query again",
    )
}

fn collect<'a>(plan: &'a Arc<dyn ExecutionPlan>, found: &mut Vec<&'a FileScanConfig>) {
    if let Some((config, _)) = lake_scan(plan) {
        found.push(config);
    }
    for child in plan.children() {
        collect(child, found);
    }
}

/// The pieces of all files of a scan. How the scan itself cuts them depends on links and threads, so that counts for
/// nothing here.
fn pieces(scan: &FileScanConfig) -> Vec<PartitionedFile> {
    let parts = scan.file_groups.iter().flat_map(FileGroup::iter);
    // Each file that is listed has one part that begins where it begins.
    let first = |part: &&PartitionedFile| part.range.as_ref().is_none_or(|at| at.start == 0);
    parts.filter(first).flat_map(cut).collect()
}

/// The pieces of the file that a part begins.
fn cut(first: &PartitionedFile) -> Vec<PartitionedFile> {
    let size = first.object_meta.size;
    let length = PIECE_BYTES.max(size / PIECES_MAX);
    // The last one has what is left over.
    let count = (size / length).max(1);
    let offset = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
    let pieces = (0..count).map(|nth| {
        let mut piece = first.clone();
        let end = if nth + 1 == count {
            size
        } else {
            (nth + 1) * length
        };
        piece.range = (count > 1).then(|| FileRange {
            start: offset(nth * length),
            end: offset(end),
        });
        piece
    });
    pieces.collect()
}

/// Deals the pieces of all scans to shares of about equal bytes; depends on nothing but the pieces themselves.
fn deal(scans: &[&FileScanConfig], shares: usize) -> Dealt {
    let mut hash = Sha256::new();
    hash.update((shares as u64).to_le_bytes());
    let mut weights = vec![0_u64; shares];
    let mut dealt = Vec::with_capacity(scans.len());
    for scan in scans {
        let all = pieces(scan);
        let mut pieces: Vec<&PartitionedFile> = all.iter().collect();
        pieces.sort_by(|a, b| (Reverse(bytes(a)), place(a)).cmp(&(Reverse(bytes(b)), place(b))));
        let mut of_share: Vec<Vec<&PartitionedFile>> = vec![Vec::new(); shares];
        for piece in pieces {
            let lightest = (0..shares).min_by_key(|at| (weights[*at], of_share[*at].len(), *at));
            if let Some(at) = lightest {
                weights[at] = weights[at].saturating_add(bytes(piece));
                of_share[at].push(piece);
            }
        }
        for (at, pieces) in of_share.iter_mut().enumerate() {
            pieces.sort_by_key(|piece| place(piece));
            for piece in pieces.iter() {
                let (location, from, to) = place(piece);
                hash.update((at as u64).to_le_bytes());
                hash.update((location.len() as u64).to_le_bytes());
                hash.update(location.as_bytes());
                hash.update(from.to_le_bytes());
                hash.update(to.to_le_bytes());
            }
        }
        let groups = scan.file_groups.len().max(1);
        dealt.push(
            of_share
                .iter()
                .map(|share| grouped(share, groups))
                .collect(),
        );
        hash.update(b"scan");
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    Dealt {
        scans: dealt,
        digest,
    }
}

/// A share's pieces in at most so many groups; always at least one, which may be empty.
fn grouped(pieces: &[&PartitionedFile], groups: usize) -> Vec<FileGroup> {
    let groups = groups.min(pieces.len()).max(1);
    let mut weights = vec![0_u64; groups];
    let mut dealt: Vec<Vec<PartitionedFile>> = vec![Vec::new(); groups];
    for piece in pieces {
        let lightest = (0..groups).min_by_key(|at| (weights[*at], dealt[*at].len(), *at));
        if let Some(at) = lightest {
            weights[at] = weights[at].saturating_add(bytes(piece));
            dealt[at].push((*piece).clone());
        }
    }
    dealt.into_iter().map(FileGroup::new).collect()
}

/// Where a piece is: its file and the bytes of it, all of them as none.
fn place(piece: &PartitionedFile) -> (&str, i64, i64) {
    let (from, to) = piece
        .range
        .as_ref()
        .map_or((0, -1), |range| (range.start, range.end));
    (piece.object_meta.location.as_ref(), from, to)
}

fn bytes(piece: &PartitionedFile) -> u64 {
    let ranged = piece.range.as_ref();
    ranged.map_or(piece.object_meta.size, |range| {
        u64::try_from(range.end.saturating_sub(range.start)).unwrap_or_default()
    })
}

/// The same plan over other files: those that `of_scans` has for each scan in turn.
fn with_files(
    plan: &Arc<dyn ExecutionPlan>,
    of_scans: &mut impl Iterator<Item = Vec<FileGroup>>,
) -> EngineResult<Arc<dyn ExecutionPlan>> {
    if let Some((config, source)) = lake_scan(plan) {
        let groups = of_scans.next().unwrap_or_default();
        let unknown =
            datafusion::common::Statistics::new_unknown(source.table_schema().table_schema());
        let config = FileScanConfigBuilder::from(config.clone())
            .with_file_groups(groups)
            .with_statistics(unknown)
            .with_output_ordering(Vec::new())
            .with_output_partitioning(None)
            .build();
        return Ok(DataSourceExec::from_data_source(config));
    }
    let children = plan
        .children()
        .into_iter()
        .map(|child| with_files(child, of_scans))
        .collect::<EngineResult<Vec<_>>>()?;
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(children, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_file_cover_it_once_whatever_its_size() {
        for (size, count) in [
            (0, 1),
            (1, 1),
            (2 * PIECE_BYTES - 1, 1),
            (2 * PIECE_BYTES, 2),
            (7 * PIECE_BYTES + 5, 7),
            (1 << 50, PIECES_MAX as usize),
            (i64::MAX as u64, PIECES_MAX as usize),
        ] {
            let pieces = cut(&PartitionedFile::new("f", size));
            assert_eq!(pieces.len(), count, "{size}");
            let mut end = 0;
            for piece in &pieces {
                let (_, from, to) = place(piece);
                let to = if to < 0 { size as i64 } else { to };
                assert_eq!(from, end, "{size}");
                end = to;
            }
            assert_eq!(end, size as i64, "{size}");
        }
    }
}

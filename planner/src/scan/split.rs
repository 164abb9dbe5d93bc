//! Cutting files into ranges, and spreading the ranges over partitions.
//!
//! A range begins where a row group begins, as the manifest recorded it. Row groups are read by the range that holds
//! their first page, and the ranges of a file cover it without gaps or overlaps: whatever the recorded offsets are, each
//! row group is read exactly once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Ranges aim at so many per partition, so that a partition that runs late has little left to wait for.
const RANGES_PER_PARTITION: u64 = 4;

/// No range is cut smaller than this: opening costs more than it balances.
const RANGE_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// One file to cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cuttable<'a> {
    pub(super) size_bytes: u64,
    /// Where its row groups start, ascending; empty when not recorded.
    pub(super) row_groups: &'a [u64],
}

/// A file, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The file's position in the input.
    pub(super) file: usize,
    /// `None` for the whole file.
    pub(super) range: Option<Range<u64>>,
    pub(super) bytes: u64,
}

/// Cuts files and deals the pieces to at most `partitions` groups of about equal bytes. Always at least one group.
pub(super) fn deal(files: &[Cuttable<'_>], partitions: usize) -> Vec<Vec<Piece>> {
    let total: u64 = files.iter().map(|file| file.size_bytes).sum();
    let ranges = u64::try_from(partitions.max(1))
        .unwrap_or(u64::MAX)
        .saturating_mul(RANGES_PER_PARTITION);
    let aim = (total / ranges).max(RANGE_BYTES_MIN);
    let mut pieces: Vec<Piece> = files
        .iter()
        .enumerate()
        .flat_map(|(at, file)| cut(at, file, aim))
        .collect();
    let groups = partitions.clamp(1, pieces.len().max(1));

    pieces.sort_by_key(|piece| (Reverse(piece.bytes), piece.file, start(piece)));
    let mut dealt: Vec<Vec<Piece>> = vec![Vec::new(); groups];
    let mut lightest: BinaryHeap<Reverse<(u64, usize, usize)>> =
        (0..groups).map(|at| Reverse((0, 0, at))).collect();
    for piece in pieces {
        // There is at least one group, so there always is a lightest.
        if let Some(Reverse((bytes, count, at))) = lightest.pop() {
            let bytes = bytes.saturating_add(piece.bytes);
            lightest.push(Reverse((bytes, count + 1, at)));
            dealt[at].push(piece);
        }
    }
    let in_order = |mut group: Vec<Piece>| {
        group.sort_by_key(|piece| (piece.file, start(piece)));
        group
    };
    dealt.into_iter().map(in_order).collect()
}

fn start(piece: &Piece) -> u64 {
    piece.range.as_ref().map_or(0, |range| range.start)
}

fn cut(file: usize, cuttable: &Cuttable<'_>, aim: u64) -> Vec<Piece> {
    let size = cuttable.size_bytes;
    if size < aim.saturating_mul(2) {
        return vec![Piece {
            file,
            range: None,
            bytes: size,
        }];
    }
    let cuts: Vec<u64> = if cuttable.row_groups.is_empty() {
        (1..size / aim).map(|nth| nth * aim).collect()
    } else {
        cuts_between(cuttable.row_groups, size, aim)
    };
    if cuts.is_empty() {
        return vec![Piece {
            file,
            range: None,
            bytes: size,
        }];
    }
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain(std::iter::once(size));
    starts
        .zip(ends)
        .map(|(from, to)| Piece {
            file,
            range: Some(from..to),
            bytes: to - from,
        })
        .collect()
}

/// The row groups at which to cut, so that each range has at least `aim` bytes.
fn cuts_between(row_groups: &[u64], size: u64, aim: u64) -> Vec<u64> {
    let mut cuts = Vec::new();
    let mut from = 0;
    for at in row_groups.iter().copied().filter(|at| *at < size) {
        if at.saturating_sub(from) >= aim && size - at >= aim {
            cuts.push(at);
            from = at;
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_small_file_stays_whole_and_a_large_one_is_cut_where_row_groups_start() {
        let row_groups: Vec<u64> = (0..16).map(|at| 4 + at * 8 * MIB).collect();
        let large = Cuttable {
            size_bytes: 128 * MIB,
            row_groups: &row_groups,
        };
        let small = Cuttable {
            size_bytes: MIB,
            row_groups: &[],
        };
        let dealt = deal(&[large, small], 4);
        assert_eq!(dealt.len(), 4);
        let pieces: Vec<&Piece> = dealt.iter().flatten().collect();
        assert!(
            pieces
                .iter()
                .any(|piece| piece.file == 1 && piece.range.is_none())
        );
        let cuts = pieces.iter().filter_map(|piece| piece.range.as_ref());
        assert!(
            cuts.filter(|range| range.start > 0)
                .all(|range| row_groups.contains(&range.start))
        );
    }

    #[test]
    fn no_files_make_one_empty_group() {
        assert_eq!(deal(&[], 8), vec![Vec::new()]);
    }

    proptest! {
        #[test]
        fn pieces_cover_each_file_once(
            files in proptest::collection::vec((0_u64..1 << 32, proptest::collection::vec(0_u64..1 << 32, 0..40)), 0..12),
            partitions in 0_usize..20,
        ) {
            let sorted: Vec<(u64, Vec<u64>)> =
                files.into_iter().map(|(size, mut offsets)| { offsets.sort_unstable(); (size, offsets) }).collect();
            let cuttable: Vec<Cuttable<'_>> =
                sorted.iter().map(|(size, offsets)| Cuttable { size_bytes: *size, row_groups: offsets }).collect();
            let dealt = deal(&cuttable, partitions);
            prop_assert!(!dealt.is_empty() && dealt.len() <= partitions.max(1));
            for (at, (size, _)) in sorted.iter().enumerate() {
                let mut pieces: Vec<Range<u64>> =
                    dealt.iter().flatten().filter(|piece| piece.file == at).map(|piece| piece.range.clone().unwrap_or(0..*size)).collect();
                pieces.sort_by_key(|range| range.start);
                let mut end = 0;
                for range in &pieces {
                    prop_assert_eq!(range.start, end);
                    prop_assert!(range.end > range.start || *size == 0);
                    end = range.end;
                }
                prop_assert_eq!(end, *size);
            }
        }
    }
}

//! Cutting files into ranges, and spreading the ranges over partitions.
//!
//! A range begins where a row group begins, as the manifest recorded it. Row groups are read by the range that holds
//! their first page, and the ranges of a file cover it without gaps or overlaps: whatever the recorded offsets are, each
//! row group is read exactly once.
//!
//! What is balanced is time: round trips, bytes over the file's link, decoding, and leaving out what is deleted. So a
//! small file far away weighs more than its bytes, and a file of which a query reads one column of many less.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

/// Ranges aim at so many per partition, so that a partition that runs late has little left to wait for.
const RANGES_PER_PARTITION: u64 = 4;

/// No range is cut smaller than this: opening costs more than it balances.
const RANGE_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// What opening a file takes beside its round trips: resolving its columns, setting up its reader.
const OPENING: Duration = Duration::from_micros(200);

/// Compressed bytes that one core decodes in a second, about.
const DECODED_BYTES_PER_S: f64 = 150e6;

/// What looking up one row's key in a set of equality deletes takes, about.
const KEY_LOOKUP: Duration = Duration::from_nanos(60);

/// What leaving rows out by their position takes for each row of the file, about.
const POSITION: Duration = Duration::from_nanos(2);

/// What a query does with one file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// Bytes to read of it.
    pub(super) bytes: u64,
    /// How long they are on their way.
    pub(super) moving: Duration,
    /// How long the round trips are that come before them.
    pub(super) waiting: Duration,
    /// Its rows, where some of them may be deleted.
    pub(super) sifted_rows: u64,
    /// Sets of keys that each of these rows is looked up in.
    pub(super) key_sets: u64,
}

/// How long reading a file takes, about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cost {
    /// Once for each part of it.
    pub(super) opening_us: u64,
    /// For all parts together.
    pub(super) reading_us: u64,
}

impl Reading {
    /// What that takes.
    pub(super) fn cost(&self) -> Cost {
        let decoding = seconds(self.bytes as f64 / DECODED_BYTES_PER_S);
        let each = KEY_LOOKUP.as_nanos() as u64 * self.key_sets + POSITION.as_nanos() as u64;
        let sifting = Duration::from_nanos(self.sifted_rows.saturating_mul(each));
        Cost {
            opening_us: micros(OPENING.saturating_add(self.waiting)),
            reading_us: micros(self.moving.saturating_add(decoding).saturating_add(sifting)),
        }
    }
}

/// So many seconds, however many.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Cost {
    /// Of a part of a file that has so many bytes.
    fn of_part(&self, bytes: u64, size_bytes: u64) -> u64 {
        let share = share(self.reading_us, bytes, size_bytes);
        self.opening_us.saturating_add(share)
    }
}

/// `of × part / whole`, and all of it where there is no whole.
fn share(of: u64, part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return of;
    }
    let share = u128::from(of) * u128::from(part) / u128::from(whole);
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// One file to cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cuttable<'a> {
    pub(super) size_bytes: u64,
    /// Where its row groups start, ascending; empty when not recorded.
    pub(super) row_groups: &'a [u64],
    pub(super) cost: Cost,
}

/// A file, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The file's position in the input.
    pub(super) file: usize,
    /// `None` for the whole file.
    pub(super) range: Option<Range<u64>>,
    pub(super) cost_us: u64,
}

/// Cuts files and deals the pieces to at most `partitions` groups of about equal cost, the costliest first. Always at
/// least one group.
pub(super) fn deal(files: &[Cuttable<'_>], partitions: usize) -> Vec<Vec<Piece>> {
    let all = files.iter().map(|file| file.cost);
    let total = all.fold(0_u64, |sum, cost| {
        sum.saturating_add(cost.opening_us)
            .saturating_add(cost.reading_us)
    });
    let ranges = u64::try_from(partitions.max(1))
        .unwrap_or(u64::MAX)
        .saturating_mul(RANGES_PER_PARTITION);
    let aim_us = total / ranges;
    let mut pieces: Vec<Piece> = files
        .iter()
        .enumerate()
        .flat_map(|(at, file)| cut(at, file, aim_us))
        .collect();
    let groups = partitions.clamp(1, pieces.len().max(1));

    pieces.sort_by_key(|piece| (Reverse(piece.cost_us), piece.file, start(piece)));
    let mut dealt: Vec<Vec<Piece>> = vec![Vec::new(); groups];
    let mut lightest: BinaryHeap<Reverse<(u64, usize, usize)>> =
        (0..groups).map(|at| Reverse((0, 0, at))).collect();
    for piece in pieces {
        // There is at least one group, so there always is a lightest.
        if let Some(Reverse((cost, count, at))) = lightest.pop() {
            let cost = cost.saturating_add(piece.cost_us);
            lightest.push(Reverse((cost, count + 1, at)));
            dealt[at].push(piece);
        }
    }
    dealt
}

fn start(piece: &Piece) -> u64 {
    piece.range.as_ref().map_or(0, |range| range.start)
}

fn cut(file: usize, cuttable: &Cuttable<'_>, aim_us: u64) -> Vec<Piece> {
    let (size, cost) = (cuttable.size_bytes, cuttable.cost);
    let whole = || {
        vec![Piece {
            file,
            range: None,
            cost_us: cost.of_part(size, size),
        }]
    };
    // Parts wait side by side, but each wait is a request: a part reads for half as long as it opens at least.
    let reads_us = aim_us
        .saturating_sub(cost.opening_us)
        .max(cost.opening_us / 2)
        .max(1);
    let aim = share(size, reads_us, cost.reading_us).max(RANGE_BYTES_MIN);
    if cost.reading_us == 0 || size < aim.saturating_mul(2) {
        return whole();
    }
    let cuts: Vec<u64> = if cuttable.row_groups.is_empty() {
        (1..size / aim).map(|nth| nth * aim).collect()
    } else {
        cuts_between(cuttable.row_groups, size, aim)
    };
    if cuts.is_empty() {
        return whole();
    }
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain(std::iter::once(size));
    starts
        .zip(ends)
        .map(|(from, to)| Piece {
            file,
            range: Some(from..to),
            cost_us: cost.of_part(to - from, size),
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

    /// A file that is read whole at a site nearby.
    fn near(size_bytes: u64) -> Cost {
        let reading = Reading {
            bytes: size_bytes,
            moving: Duration::from_secs_f64(size_bytes as f64 / 1e9),
            ..Reading::default()
        };
        reading.cost()
    }

    fn costs(dealt: &[Vec<Piece>]) -> Vec<u64> {
        let groups = dealt.iter();
        groups
            .map(|group| group.iter().map(|piece| piece.cost_us).sum())
            .collect()
    }

    #[test]
    fn a_small_file_stays_whole_and_a_large_one_is_cut_where_row_groups_start() {
        let row_groups: Vec<u64> = (0..16).map(|at| 4 + at * 8 * MIB).collect();
        let large = Cuttable {
            size_bytes: 128 * MIB,
            row_groups: &row_groups,
            cost: near(128 * MIB),
        };
        let small = Cuttable {
            size_bytes: MIB,
            row_groups: &[],
            cost: near(MIB),
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
    fn a_file_of_which_little_is_read_far_away_is_not_cut() {
        let reading = Reading {
            bytes: MIB,
            moving: Duration::from_millis(8),
            waiting: Duration::from_millis(80),
            ..Reading::default()
        };
        let file = Cuttable {
            size_bytes: 128 * MIB,
            row_groups: &[],
            cost: reading.cost(),
        };
        assert_eq!(deal(&[file], 8).len(), 1);
        let whole = Cuttable {
            cost: near(128 * MIB),
            ..file
        };
        assert_eq!(deal(&[whole], 8).len(), 8);
    }

    #[test]
    fn small_files_far_away_are_spread_like_large_ones_that_take_as_long() {
        let far = Reading {
            bytes: MIB,
            moving: Duration::from_millis(10),
            waiting: Duration::from_millis(90),
            ..Reading::default()
        };
        let far = Cuttable {
            size_bytes: MIB,
            row_groups: &[],
            cost: far.cost(),
        };
        let near = Cuttable {
            size_bytes: MIB,
            row_groups: &[],
            cost: near(MIB),
        };
        // By bytes, each group would get two of the files that come first.
        let dealt = deal(&[far, far, near, near, near, near], 2);
        let far_ones = dealt.iter().map(|group| {
            let pieces = group.iter();
            pieces.filter(|piece| piece.file < 2).count()
        });
        assert_eq!(far_ones.collect::<Vec<_>>(), [1, 1]);
        assert!(
            dealt.iter().all(|group| group[0].file < 2),
            "costliest first"
        );
    }

    #[test]
    fn a_file_with_deleted_keys_takes_longer_than_one_without() {
        let with = Reading {
            bytes: MIB,
            sifted_rows: 1_000_000,
            key_sets: 2,
            ..Reading::default()
        };
        let positions = Reading {
            key_sets: 0,
            ..with
        };
        assert!(with.cost().reading_us > 10 * near(MIB).reading_us);
        assert!(positions.cost().reading_us > near(MIB).reading_us);
        assert!(positions.cost().reading_us < with.cost().reading_us);
    }

    #[test]
    fn no_files_make_one_empty_group() {
        assert_eq!(deal(&[], 8), vec![Vec::new()]);
    }

    proptest! {
        #[test]
        fn pieces_cover_each_file_once(
            files in proptest::collection::vec((0_u64..1 << 32, proptest::collection::vec(0_u64..1 << 32, 0..40), 0_u64..1 << 40, 0_u64..1 << 40), 0..12),
            partitions in 0_usize..20,
        ) {
            let sorted: Vec<(u64, Vec<u64>, Cost)> = files.into_iter().map(|(size, mut offsets, opening_us, reading_us)| {
                offsets.sort_unstable();
                (size, offsets, Cost { opening_us, reading_us })
            }).collect();
            let cuttable: Vec<Cuttable<'_>> =
                sorted.iter().map(|(size, offsets, cost)| Cuttable { size_bytes: *size, row_groups: offsets, cost: *cost }).collect();
            let dealt = deal(&cuttable, partitions);
            prop_assert!(!dealt.is_empty() && dealt.len() <= partitions.max(1));
            for (at, (size, _, cost)) in sorted.iter().enumerate() {
                let own: Vec<&Piece> = dealt.iter().flatten().filter(|piece| piece.file == at).collect();
                let reading: u64 = own.iter().map(|piece| piece.cost_us - cost.opening_us).sum();
                prop_assert!(reading <= cost.reading_us && cost.reading_us - reading < own.len() as u64);
                let mut pieces: Vec<Range<u64>> = own.iter().map(|piece| piece.range.clone().unwrap_or(0..*size)).collect();
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

        #[test]
        fn no_group_takes_longer_than_the_mean_and_the_costliest_piece(
            files in proptest::collection::vec((1_u64..1 << 34, 0_u64..200, 1_u64..100), 1..60),
            partitions in 1_usize..16,
        ) {
            let cuttable: Vec<Cuttable<'_>> = files.iter().map(|(size, waiting_ms, share)| {
                let bytes = size * share / 100;
                let waiting = Duration::from_millis(*waiting_ms);
                let reading = Reading { bytes, moving: Duration::from_secs_f64(bytes as f64 / 1e9), waiting, ..Reading::default() };
                Cuttable { size_bytes: *size, row_groups: &[], cost: reading.cost() }
            }).collect();
            let dealt = deal(&cuttable, partitions);
            let (costs, pieces) = (costs(&dealt), dealt.iter().flatten());
            let costliest = pieces.map(|piece| piece.cost_us).max().unwrap_or_default();
            let mean = costs.iter().sum::<u64>() / costs.len() as u64;
            prop_assert!(costs.iter().all(|cost| *cost <= mean + costliest + 1), "{costs:?}");
            for group in &dealt {
                prop_assert!(group.windows(2).all(|pair| pair[0].cost_us >= pair[1].cost_us));
            }
        }

        #[test]
        fn no_part_opens_for_longer_than_twice_what_it_reads(
            size in 1_u64..1 << 36,
            waiting_ms in 0_u64..500,
            share in 1_u64..100,
            partitions in 1_usize..64,
        ) {
            let bytes = size / 100 * share;
            let waiting = Duration::from_millis(waiting_ms);
            let reading = Reading { bytes, moving: Duration::from_secs_f64(bytes as f64 / 125e6), waiting, ..Reading::default() };
            let cost = reading.cost();
            let dealt = deal(&[Cuttable { size_bytes: size, row_groups: &[], cost }], partitions);
            let pieces: Vec<&Piece> = dealt.iter().flatten().collect();
            for piece in pieces.iter().filter(|piece| piece.range.is_some()) {
                prop_assert!(2 * piece.cost_us + 6 >= 3 * cost.opening_us);
            }
        }
    }
}

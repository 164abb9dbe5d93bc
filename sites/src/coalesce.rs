//! From the ranges a reader wants to the requests a store gets, and back.
//!
//! This is the only layer that merges ranges. Two ranges become one request when the bytes between them cost less
//! than another request would; a request is never larger than [`REQUEST_BYTES_MAX`], because a store's time-out
//! covers the whole body.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::link::Link;

/// The most that one request asks for.
pub(crate) const REQUEST_BYTES_MAX: u64 = 8 << 20;

/// Gaps up to this many bytes are always read through: a request costs more than they do, on any link.
pub(crate) const GAP_BYTES_MIN: u64 = 16 << 10;

/// Gaps of more than this are never read through: discarded bytes are paid for.
const GAP_BYTES_MAX: u64 = 1 << 20;

/// The largest gap worth reading through on a link.
///
/// A gap takes as long as a request's latency at `latency · bandwidth`; as requests overlap and bytes cost money,
/// a quarter of that is the bound, between 16 KiB and 1 MiB.
pub(crate) fn gap_bytes(link: &Link) -> u64 {
    let in_flight = link.latency.as_secs_f64() * link.bandwidth_bytes_per_s as f64;
    ((in_flight / 4.0) as u64).clamp(GAP_BYTES_MIN, GAP_BYTES_MAX)
}

/// The requests that cover `ranges`, in order and without overlap.
///
/// Every byte of every range is in exactly one request; what is in none of them is a gap of at most `gap_bytes`.
pub(crate) fn requests(ranges: &[Range<u64>], gap_bytes: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
    sorted.sort_by_key(|r| (r.start, r.end));
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap_bytes) => {
                last.end = last.end.max(range.end)
            }
            _ => merged.push(range),
        }
    }
    merged.into_iter().flat_map(split).collect()
}

/// Pieces of nearly one size, none above the limit, so that the last is no straggler's crumb.
fn split(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let length = range.end - range.start;
    let pieces = length.div_ceil(REQUEST_BYTES_MAX).max(1);
    let each = length.div_ceil(pieces);
    (0..pieces).map(move |i| {
        let start = range.start + i * each;
        start..(start + each).min(range.end)
    })
}

/// The wanted ranges out of the bodies of [`requests`]' requests, in the order they were asked for.
///
/// A range within one body shares its memory; only a range over several bodies is copied.
pub(crate) fn assemble(
    ranges: &[Range<u64>],
    requests: &[Range<u64>],
    bodies: &[Bytes],
) -> Vec<Bytes> {
    ranges
        .iter()
        .map(|range| assemble_one(range, requests, bodies))
        .collect()
}

fn assemble_one(range: &Range<u64>, requests: &[Range<u64>], bodies: &[Bytes]) -> Bytes {
    if range.is_empty() {
        return Bytes::new();
    }
    let first = requests.partition_point(|r| r.end <= range.start);
    let slice = |index: usize| {
        let request = &requests[index];
        let from = range.start.max(request.start) - request.start;
        let to = range.end.min(request.end) - request.start;
        bodies[index].slice(from as usize..to as usize)
    };
    if range.end <= requests[first].end {
        return slice(first);
    }
    let mut whole = BytesMut::with_capacity((range.end - range.start) as usize);
    let mut index = first;
    while index < requests.len() && requests[index].start < range.end {
        whole.extend_from_slice(&slice(index));
        index += 1;
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        let range =
            (0u64..40 << 20, 0u64..20 << 20).prop_map(|(start, length)| start..start + length);
        prop::collection::vec(range, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn requests_cover_every_wanted_byte_once_and_nothing_but_gaps(ranges in ranges(), gap in 0u64..2 << 20) {
            let requests = requests(&ranges, gap);
            for pair in requests.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            for request in &requests {
                prop_assert!(!request.is_empty());
                prop_assert!(request.end - request.start <= REQUEST_BYTES_MAX);
            }
            let covered = |at: u64| requests.iter().any(|r| r.contains(&at));
            for range in ranges.iter().filter(|r| !r.is_empty()) {
                prop_assert!(covered(range.start) && covered(range.end - 1));
                let inside: u64 = requests
                    .iter()
                    .map(|r| r.end.min(range.end).saturating_sub(r.start.max(range.start)))
                    .sum();
                prop_assert_eq!(inside, range.end - range.start);
            }
            // What was requested and not wanted lies in gaps no longer than allowed.
            let mut wanted: Vec<_> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
            wanted.sort_by_key(|r| r.start);
            let mut end = wanted.first().map_or(0, |r| r.start);
            for range in wanted {
                if range.start > end && covered(end) {
                    prop_assert!(range.start - end <= gap);
                }
                end = end.max(range.end);
            }
        }

        #[test]
        fn assembled_ranges_are_the_files_own_bytes(
            ranges in prop::collection::vec((0u64..600, 0u64..300).prop_map(|(s, l)| s..s + l), 0..10),
            cuts in prop::collection::btree_set(1u64..900, 0..8),
        ) {
            let file: Vec<u8> = (0..900u32).map(|i| (i % 251) as u8).collect();
            let mut edges: Vec<u64> = vec![0];
            edges.extend(cuts);
            edges.push(900);
            let requests: Vec<Range<u64>> = edges.windows(2).map(|w| w[0]..w[1]).collect();
            let body = |r: &Range<u64>| Bytes::copy_from_slice(&file[r.start as usize..r.end as usize]);
            let bodies: Vec<Bytes> = requests.iter().map(body).collect();
            let assembled = assemble(&ranges, &requests, &bodies);
            for (range, bytes) in ranges.iter().zip(&assembled) {
                prop_assert_eq!(bytes, &body(range));
            }
        }
    }

    #[test]
    fn a_far_link_reads_through_larger_gaps_than_a_near_one() {
        let near = Link {
            latency: Duration::from_micros(200),
            bandwidth_bytes_per_s: 125_000_000,
            usd_per_gib: 0.0,
        };
        let far = Link {
            latency: Duration::from_millis(40),
            ..near
        };
        assert_eq!(gap_bytes(&near), GAP_BYTES_MIN);
        assert_eq!(gap_bytes(&far), GAP_BYTES_MAX);
    }
}

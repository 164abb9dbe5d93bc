//! Streams of sorted files that are sorted as a whole.

use std::cmp::Ordering;

/// Streams that are merged at most: each holds what its reader fetched ahead.
pub(super) const STREAMS_MAX: usize = 32;

/// A sorted file, or a part of one.
#[derive(Debug, Clone)]
pub(super) struct Stretch<T, K> {
    pub(super) part: T,
    pub(super) bytes: u64,
    /// In the order's own direction: none of its rows comes before the first of these, nor after the second. None where
    /// that isn't known.
    pub(super) ends: Option<(K, K)>,
}

/// Deals stretches to at most `streams_max` streams, as a rule `streams` of about equal bytes, so that in each of them
/// all rows of a stretch come before those of the next. Stretches that touch are one after the other only where `touch`
/// says that rows of equal keys may come in any order.
///
/// None where more streams would be needed.
pub(super) fn chain<T, K>(
    mut stretches: Vec<Stretch<T, K>>,
    streams: usize,
    streams_max: usize,
    touch: bool,
    compare: impl Fn(&K, &K) -> Option<Ordering>,
) -> Option<Vec<Vec<T>>> {
    let before = |a: &K, b: &K| match compare(a, b) {
        Some(Ordering::Less) => true,
        Some(Ordering::Equal) => touch,
        _ => false,
    };
    stretches.sort_by(|a, b| match (&a.ends, &b.ends) {
        (Some((a, _)), Some((b, _))) => compare(a, b).unwrap_or(Ordering::Equal),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    let mut chains: Vec<Chain<T, K>> = Vec::new();
    for Stretch { part, bytes, ends } in stretches {
        let fits = |chain: &&mut Chain<T, K>| match (&chain.end, &ends) {
            (Some(end), Some((first, _))) => before(end, first),
            _ => false,
        };
        let opened = chains.len();
        let fitting = chains.iter_mut().filter(fits);
        // Until there are as many as are wanted, each goes to one of its own.
        let lightest = fitting.min_by_key(|chain| chain.bytes);
        let lightest = lightest.filter(|_| opened >= streams);
        let end = ends.map(|(_, last)| last);
        match lightest {
            Some(chain) => {
                chain.parts.push(part);
                chain.bytes = chain.bytes.saturating_add(bytes);
                chain.end = end;
            }
            None if opened >= streams_max => return None,
            None => chains.push(Chain {
                parts: vec![part],
                bytes,
                end,
            }),
        }
    }
    Some(chains.into_iter().map(|chain| chain.parts).collect())
}

struct Chain<T, K> {
    parts: Vec<T>,
    bytes: u64,
    /// Where its last part ends; none where that isn't known.
    end: Option<K>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stretch(at: usize, ends: Option<(i64, i64)>) -> Stretch<usize, i64> {
        Stretch {
            part: at,
            bytes: 10 + at as u64,
            ends,
        }
    }

    fn dealt(
        ends: &[Option<(i64, i64)>],
        streams: usize,
        streams_max: usize,
        touch: bool,
        descending: bool,
    ) -> Option<Vec<Vec<usize>>> {
        let stretches = ends.iter().enumerate().map(|(at, ends)| stretch(at, *ends));
        let compare = |a: &i64, b: &i64| Some(if descending { b.cmp(a) } else { a.cmp(b) });
        chain(stretches.collect(), streams, streams_max, touch, compare)
    }

    #[test]
    fn files_that_follow_each_other_share_streams_and_those_that_overlap_do_not() {
        let follow = [Some((20, 29)), Some((0, 9)), Some((10, 19))];
        assert_eq!(
            dealt(&follow, 1, 8, false, false),
            Some(vec![vec![1, 2, 0]])
        );
        assert_eq!(
            dealt(&follow, 2, 8, false, false),
            Some(vec![vec![1, 0], vec![2]])
        );
        let overlap = [Some((0, 9)), Some((5, 14)), None];
        assert_eq!(dealt(&overlap, 1, 8, true, false).unwrap().len(), 3);
        assert_eq!(dealt(&overlap, 1, 2, true, false), None);
        let touch = [Some((0, 9)), Some((9, 12))];
        assert_eq!(dealt(&touch, 1, 8, true, false).unwrap().len(), 1);
        assert_eq!(dealt(&touch, 1, 8, false, false).unwrap().len(), 2);
        let down = [Some((9, 5)), Some((4, 0))];
        assert_eq!(dealt(&down, 1, 8, false, true), Some(vec![vec![0, 1]]));
    }

    proptest! {
        #[test]
        fn every_stream_is_sorted_and_each_file_is_in_one(
            ends in proptest::collection::vec(proptest::option::of((0_i64..40, 0_i64..6)), 0..40),
            streams in 1_usize..6,
            touch in any::<bool>(),
            descending in any::<bool>(),
        ) {
            let ends: Vec<Option<(i64, i64)>> = ends.into_iter().map(|ends| ends.map(|(from, long)| {
                if descending { (from + long, from) } else { (from, from + long) }
            })).collect();
            let dealt = dealt(&ends, streams, usize::MAX, touch, descending).unwrap();
            let mut all: Vec<usize> = dealt.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..ends.len()).collect::<Vec<_>>());
            for pair in dealt.iter().flat_map(|stream| stream.windows(2)) {
                let (before, after) = (ends[pair[0]].unwrap().1, ends[pair[1]].unwrap().0);
                let (before, after) = if descending { (after, before) } else { (before, after) };
                prop_assert!(before < after || (touch && before == after));
            }
            // No more streams than are wanted, or than rows of one key are spread over.
            let unknown = ends.iter().filter(|ends| ends.is_none()).count();
            let spread = (0..50).map(|key| ends.iter().flatten().filter(|(a, b)| {
                let (low, high) = (a.min(b), a.max(b));
                (*low..=*high).contains(&key)
            }).count()).max().unwrap_or_default();
            prop_assert!(dealt.len() <= streams.max(spread) + unknown);
        }
    }
}

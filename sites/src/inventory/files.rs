//! What one site has of one table root, in sixteen bytes per file.

use std::hash::{DefaultHasher, Hasher};

/// Sizes by the hash of the key under the root, sorted by hash.
///
/// Two keys with one hash (one chance in 2^64 per pair) make one entry say what is true of the other; the size
/// tells most such pairs apart, and a read that finds nothing falls through.
#[derive(Debug, Default)]
pub(super) struct Files {
    sorted: Box<[(u64, u64)]>,
    bytes: u64,
}

impl Files {
    /// The size of the file with this key, where there is one.
    pub(super) fn size(&self, key: &str) -> Option<u64> {
        let hash = hash(key);
        let at = self
            .sorted
            .binary_search_by_key(&hash, |(hash, _)| *hash)
            .ok()?;
        Some(self.sorted[at].1)
    }

    pub(super) fn count(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Files as a listing yields them, up to a limit.
#[derive(Debug)]
pub(super) struct Collecting {
    files: Vec<(u64, u64)>,
    files_max: usize,
}

impl Collecting {
    pub(super) fn new(files_max: usize) -> Self {
        Self {
            files: Vec::new(),
            files_max,
        }
    }

    /// Adds a file; `false` when there are too many.
    pub(super) fn add(&mut self, key: &str, size: u64) -> bool {
        if self.files.len() >= self.files_max {
            return false;
        }
        self.files.push((hash(key), size));
        true
    }

    pub(super) fn finish(mut self) -> Files {
        self.files.sort_unstable();
        self.files.dedup_by_key(|(hash, _)| *hash);
        let bytes = self.files.iter().map(|(_, size)| size).sum();
        Files {
            sorted: self.files.into_boxed_slice(),
            bytes,
        }
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn files_are_found_with_their_sizes_and_others_are_not(
            files in prop::collection::btree_map("[a-c/%]{1,6}", 0u64..1000, 0..50),
            other in "[a-c/%]{1,6}",
        ) {
            let mut collecting = Collecting::new(usize::MAX);
            for (key, size) in &files {
                prop_assert!(collecting.add(key, *size));
            }
            let found = collecting.finish();
            let model: BTreeMap<String, u64> = files;
            prop_assert_eq!(found.count(), model.len());
            prop_assert_eq!(found.bytes(), model.values().sum::<u64>());
            for (key, size) in &model {
                prop_assert_eq!(found.size(key), Some(*size));
            }
            prop_assert_eq!(found.size(&other), model.get(&other).copied());
        }
    }

    #[test]
    fn more_files_than_the_limit_are_refused() {
        let mut collecting = Collecting::new(2);
        assert!(collecting.add("a", 1) && collecting.add("b", 1));
        assert!(!collecting.add("c", 1));
    }
}

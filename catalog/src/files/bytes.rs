//! Paths and bounds: bytes of any length, kept close together.

use std::mem::size_of_val;

use super::packed::Packed;

/// Every so many paths one can be read without those before it.
const PATHS_PER_START: usize = 16;

/// Texts in order, each as what it shares with the one before it and the rest (front coding).
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    first: Box<[u8]>,
    data: Box<[u8]>,
    /// Where each sixteenth begins, which shares with the first of all.
    starts: Box<[u32]>,
}

/// Gathers paths.
#[derive(Debug, Default)]
pub(super) struct PathsBuilder {
    first: Box<[u8]>,
    last: Vec<u8>,
    data: Vec<u8>,
    starts: Vec<u32>,
    count: usize,
}

impl PathsBuilder {
    pub(super) fn push(&mut self, path: &str) {
        let path = path.as_bytes();
        if self.count == 0 {
            self.first = path.into();
        }
        let before: &[u8] = if self.count.is_multiple_of(PATHS_PER_START) {
            self.starts.push(self.data.len() as u32);
            &self.first
        } else {
            &self.last
        };
        let shared = before.iter().zip(path).take_while(|(l, r)| l == r).count();
        let rest = &path[shared..];
        length(&mut self.data, shared);
        length(&mut self.data, rest.len());
        self.data.extend_from_slice(rest);
        self.last.clear();
        self.last.extend_from_slice(path);
        self.count += 1;
    }

    /// How many bytes were gathered.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    pub(super) fn finish(self) -> Paths {
        Paths {
            first: self.first,
            data: self.data.into(),
            starts: self.starts.into(),
        }
    }
}

impl Paths {
    /// The path at a position that there is.
    pub(super) fn get(&self, at: usize) -> String {
        let mut path = Vec::new();
        let Some(start) = self.starts.get(at / PATHS_PER_START) else {
            return String::new();
        };
        let mut rest = self.data.get(*start as usize..).unwrap_or_default();
        path.extend_from_slice(&self.first);
        for _ in 0..=at % PATHS_PER_START {
            let (shared, own) = (take_length(&mut rest), take_length(&mut rest));
            path.truncate(shared);
            let (own, after) = rest.split_at_checked(own).unwrap_or_default();
            path.extend_from_slice(own);
            rest = after;
        }
        String::from_utf8(path).unwrap_or_default()
    }

    /// Gives all paths, each with its position.
    pub(super) fn each(&self, mut take: impl FnMut(usize, &[u8])) {
        let (mut path, mut rest, mut at) = (Vec::new(), &*self.data, 0);
        while !rest.is_empty() {
            if at % PATHS_PER_START == 0 {
                path.clear();
                path.extend_from_slice(&self.first);
            }
            let (shared, own) = (take_length(&mut rest), take_length(&mut rest));
            path.truncate(shared);
            let (own, after) = rest.split_at_checked(own).unwrap_or_default();
            path.extend_from_slice(own);
            rest = after;
            take(at, &path);
            at += 1;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.first.len() + self.data.len() + size_of_val::<[u32]>(&self.starts)
    }
}

fn length(data: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        data.push(length as u8 | 0x80);
        length >>= 7;
    }
    data.push(length as u8);
}

fn take_length(data: &mut &[u8]) -> usize {
    let (mut length, mut shift) = (0_usize, 0);
    while let Some((byte, rest)) = data.split_first() {
        *data = rest;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 || shift > 56 {
            break;
        }
    }
    length
}

/// Where each item of a row of items ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ends {
    /// All are as long as each other.
    Every(u32),
    Each(Packed),
}

impl Ends {
    pub(super) fn new(ends: &[u32]) -> Self {
        let stride = ends.first().copied().unwrap_or_default();
        let even =
            |(at, end): (usize, &u32)| u64::from(*end) == (at as u64 + 1) * u64::from(stride);
        if ends.iter().enumerate().all(even) {
            return Self::Every(stride);
        }
        let ends: Vec<i64> = ends.iter().copied().map(i64::from).collect();
        Self::Each(Packed::new(&ends))
    }

    pub(super) fn range(&self, at: usize) -> std::ops::Range<usize> {
        match self {
            Self::Every(stride) => {
                let stride = *stride as usize;
                at * stride..(at + 1) * stride
            }
            Self::Each(ends) => {
                let from = if at == 0 { 0 } else { ends.get(at - 1) };
                from as usize..ends.get(at) as usize
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Every(_) => 0,
            Self::Each(ends) => ends.heap_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn paths_come_back_in_any_order(paths in proptest::collection::vec("(gs://b/|)(a|b|ä){0,200}", 0..80)) {
            let mut builder = PathsBuilder::default();
            paths.iter().for_each(|path| builder.push(path));
            let kept = builder.finish();
            for (at, path) in paths.iter().enumerate().rev() {
                prop_assert_eq!(&kept.get(at), path);
            }
        }

        #[test]
        fn ends_come_back(lengths in proptest::collection::vec(0_u32..9, 0..50)) {
            let mut end = 0;
            let ends: Vec<u32> = lengths.iter().map(|length| { end += length; end }).collect();
            let kept = Ends::new(&ends);
            for (at, length) in lengths.iter().enumerate() {
                prop_assert_eq!(kept.range(at), (ends[at] - length) as usize..ends[at] as usize);
            }
        }
    }
}

//! Which of a manifest's files are meant: a bit each, or all, or none.

/// A set of positions below a length that whoever has it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::scan) enum Mask {
    None,
    All,
    /// Bits beyond the length are 0.
    Some(Box<[u64]>),
}

impl Mask {
    /// The positions below `length` for which `is` holds.
    #[inline]
    pub(super) fn new(length: usize, is: impl FnMut(usize) -> bool) -> Self {
        let mut is = is;
        Self::of_words(length, |word| {
            let from = word * 64;
            let bits = (length - from).min(64);
            (0..bits).fold(0, |all, at| all | u64::from(is(from + at)) << at)
        })
    }

    /// As [`Mask::new`], by 64 positions at a time; bits beyond the length don't matter.
    #[inline]
    pub(super) fn of_words(length: usize, word: impl FnMut(usize) -> u64) -> Self {
        let mut words: Box<[u64]> = (0..length.div_ceil(64)).map(word).collect();
        if let Some(last) = words.last_mut()
            && !length.is_multiple_of(64)
        {
            *last &= (1 << (length % 64)) - 1;
        }
        let count: usize = words.iter().map(|word| word.count_ones() as usize).sum();
        match count {
            0 => Self::None,
            _ if count == length => Self::All,
            _ => Self::Some(words),
        }
    }

    pub(super) fn of(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, mask) | (mask, Self::All) => mask,
            (Self::Some(mut left), Self::Some(right)) => {
                let both = left.iter_mut().zip(&right);
                both.for_each(|(left, right)| *left &= right);
                if left.iter().all(|word| *word == 0) {
                    return Self::None;
                }
                Self::Some(left)
            }
        }
    }

    /// `length` is what both are below.
    pub(super) fn or(self, other: Self, length: usize) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, mask) | (mask, Self::None) => mask,
            (Self::Some(left), Self::Some(right)) => {
                Self::of_words(length, |word| left[word] | right[word])
            }
        }
    }

    pub(super) fn not(self, length: usize) -> Self {
        match self {
            Self::None => Self::All,
            Self::All => Self::None,
            Self::Some(words) => Self::of_words(length, |word| !words[word]),
        }
    }

    /// How many there are.
    pub(in crate::scan) fn count(&self, length: usize) -> usize {
        match self {
            Self::None => 0,
            Self::All => length,
            Self::Some(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }

    /// The positions, ascending.
    pub(in crate::scan) fn positions(&self, length: usize) -> impl Iterator<Item = usize> {
        let (upto, words) = match self {
            Self::None => (0, [].as_slice()),
            Self::All => (length, [].as_slice()),
            Self::Some(words) => (0, &**words),
        };
        let some = words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                Some(at * 64 + bit)
            })
        });
        (0..upto).chain(some)
    }
}

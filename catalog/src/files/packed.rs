//! Whole numbers in as few bits as they need.

use std::mem::size_of_val;

/// Whole numbers, each kept as its distance from the least one, all in the bits that the greatest distance needs.
/// Numbers that are all alike take no space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    least: i64,
    greatest: i64,
    bits: u8,
    length: u32,
    /// One word more than is needed, so that two can always be read.
    words: Box<[u64]>,
}

impl Packed {
    /// Packs numbers.
    pub(super) fn new(numbers: &[i64]) -> Self {
        let least = numbers.iter().copied().min().unwrap_or_default();
        let greatest = numbers.iter().copied().max().unwrap_or_default();
        let range = greatest.wrapping_sub(least) as u64;
        let bits = 64 - range.leading_zeros() as usize;
        let words = if bits == 0 {
            Box::default()
        } else {
            let mut words = vec![0_u64; (numbers.len() * bits).div_ceil(64) + 1];
            for (at, number) in numbers.iter().enumerate() {
                let distance = number.wrapping_sub(least) as u64;
                let (word, shift) = (at * bits / 64, at * bits % 64);
                words[word] |= distance << shift;
                words[word + 1] |= distance.unbounded_shr(64 - shift as u32);
            }
            words.into_boxed_slice()
        };
        Self {
            least,
            greatest,
            bits: bits as u8,
            length: numbers.len() as u32,
            words,
        }
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The least of the numbers; 0 where there are none.
    pub fn least(&self) -> i64 {
        self.least
    }

    /// The greatest of the numbers; 0 where there are none.
    pub fn greatest(&self) -> i64 {
        self.greatest
    }

    /// The number at a position that there is.
    #[inline]
    pub fn get(&self, at: usize) -> i64 {
        if self.bits == 0 {
            return self.least;
        }
        let bit = at * usize::from(self.bits);
        let (word, shift) = (bit / 64, bit % 64);
        let [Some(low), Some(high)] = [self.words.get(word), self.words.get(word + 1)] else {
            return self.least;
        };
        let both = (low >> shift) | (high << 1 << (63 - shift));
        let distance = both & (u64::MAX >> (64 - u32::from(self.bits)));
        self.least.wrapping_add(distance as i64)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val::<[u64]>(&self.words)
    }
}

/// Numbers of which some may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    present: Present,
    numbers: Packed,
}

/// Which positions have something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Present {
    None,
    All,
    /// A bit each.
    Some(Box<[u64]>),
}

impl Present {
    pub(super) fn new(length: usize, is: impl Fn(usize) -> bool) -> Self {
        let count = (0..length).filter(|at| is(*at)).count();
        if count == 0 {
            return Self::None;
        }
        if count == length {
            return Self::All;
        }
        let mut words = vec![0_u64; length.div_ceil(64)];
        for at in (0..length).filter(|at| is(*at)) {
            words[at / 64] |= 1 << (at % 64);
        }
        Self::Some(words.into())
    }

    #[inline]
    pub(super) fn has(&self, at: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(words) => words
                .get(at / 64)
                .is_some_and(|word| word >> (at % 64) & 1 == 1),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Some(words) => size_of_val::<[u64]>(words),
            _ => 0,
        }
    }
}

impl Sparse {
    /// Stands for an absent number while numbers are gathered.
    pub(super) const ABSENT: i64 = i64::MIN;

    /// Packs numbers; those that are [`Sparse::ABSENT`] take the place of the least.
    pub(super) fn new(mut numbers: Vec<i64>) -> Self {
        let present = Present::new(numbers.len(), |at| numbers[at] != Self::ABSENT);
        Self::of(present, &mut numbers)
    }

    /// Packs those numbers that are present.
    pub(super) fn of(present: Present, numbers: &mut [i64]) -> Self {
        if present != Present::All {
            let known = (0..numbers.len()).filter(|at| present.has(*at));
            let filler = known.map(|at| numbers[at]).min().unwrap_or_default();
            for (at, number) in numbers.iter_mut().enumerate() {
                if !present.has(at) {
                    *number = filler;
                }
            }
        }
        Self {
            present,
            numbers: Packed::new(numbers),
        }
    }

    /// The number at a position, if it is there.
    #[inline]
    pub fn get(&self, at: usize) -> Option<i64> {
        self.present.has(at).then(|| self.numbers.get(at))
    }

    /// As [`Sparse::get`], for what counts.
    pub fn count(&self, at: usize) -> Option<u64> {
        u64::try_from(self.get(at)?).ok()
    }

    /// The numbers' sum; none where one is absent or negative, or the sum doesn't fit.
    pub(super) fn sum(&self) -> Option<u64> {
        if !self.is_whole() || self.numbers.least() < 0 {
            return None;
        }
        let numbers = 0..self.numbers.len();
        if self.numbers.bits == 0 {
            return (self.numbers.least() as u64).checked_mul(numbers.len() as u64);
        }
        numbers
            .map(|at| self.numbers.get(at) as u64)
            .try_fold(0_u64, u64::checked_add)
    }

    /// Whether every number is there.
    pub fn is_whole(&self) -> bool {
        self.present == Present::All
    }

    /// Whether no number is there.
    pub fn is_absent(&self) -> bool {
        self.present == Present::None
    }

    /// Which of the 64 positions from `64 * word` on have a number, a bit each; bits beyond the end are either.
    #[inline]
    pub fn present_word(&self, word: usize) -> u64 {
        match &self.present {
            Present::None => 0,
            Present::All => u64::MAX,
            Present::Some(words) => words.get(word).copied().unwrap_or_default(),
        }
    }

    /// The numbers; where one is absent, any between the least and the greatest.
    pub fn numbers(&self) -> &Packed {
        &self.numbers
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.present.heap_bytes() + self.numbers.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back_from_any_width(numbers in proptest::collection::vec(any::<i64>(), 0..300), shift in 0_u32..64) {
            let numbers: Vec<i64> = numbers.iter().map(|number| number >> shift).collect();
            let packed = Packed::new(&numbers);
            prop_assert_eq!(packed.len(), numbers.len());
            prop_assert_eq!((0..numbers.len()).map(|at| packed.get(at)).collect::<Vec<_>>(), numbers.clone());
            prop_assert!(numbers.iter().all(|n| (packed.least()..=packed.greatest()).contains(n)));
            prop_assert!(packed.heap_bytes() <= numbers.len() * 8 + 16);
        }

        #[test]
        fn absent_numbers_stay_absent(numbers in proptest::collection::vec(proptest::option::of(-5_i64..1000), 0..200)) {
            let gathered = numbers.iter().map(|number| number.unwrap_or(Sparse::ABSENT));
            let sparse = Sparse::new(gathered.collect());
            for (at, number) in numbers.iter().enumerate() {
                prop_assert_eq!(sparse.get(at), *number);
                prop_assert_eq!(sparse.present_word(at / 64) >> (at % 64) & 1 == 1, number.is_some());
            }
            prop_assert_eq!(sparse.is_absent(), numbers.iter().all(Option::is_none));
        }
    }

    #[test]
    fn numbers_that_are_alike_take_no_space() {
        assert_eq!(Packed::new(&[7; 10_000]).heap_bytes(), 0);
        assert_eq!(Packed::new(&[]).heap_bytes(), 0);
    }
}

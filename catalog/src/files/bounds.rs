//! One column's lower or upper bounds over the files of a manifest, as bytes, undecoded.

use std::cmp::Ordering;
use std::collections::HashMap;

use iceberg::spec::{PrimitiveLiteral, PrimitiveType};

use super::bytes::Ends;
use super::packed::{Packed, Present, Sparse};
use crate::bound::{compare_bounds, decode_bound};

/// One column's lower or upper bounds over the files of a manifest: bytes in Iceberg's single-value form, whatever type
/// the column had then. Every form gives back exactly the bytes that were put in.
#[derive(Debug, Clone)]
pub struct Bounds(Form);

#[derive(Debug, Clone)]
enum Form {
    Absent,
    Numbers(Width, Sparse),
    Bytes(Box<Bytes>),
}

/// How bounds that are numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Four bytes, little-endian: int, date, float.
    Four,
    /// Eight bytes, little-endian: long, time, timestamps, double.
    Eight,
    /// Up to eight bytes, big-endian, as few as the number needs: small decimals.
    Shortest,
}

impl Width {
    fn write(self, number: i64, to: &mut Vec<u8>) {
        match self {
            Self::Four => to.extend_from_slice(&(number as i32).to_le_bytes()),
            Self::Eight => to.extend_from_slice(&number.to_le_bytes()),
            Self::Shortest => {
                to.extend_from_slice(&number.to_be_bytes()[8 - shortest(number)..]);
            }
        }
    }

    /// Whether values of a type, written so, are in the order of the numbers that the bytes are taken for.
    pub fn keeps_order(self, of: &PrimitiveType) -> bool {
        use PrimitiveType as T;
        match of {
            T::Int | T::Date => self == Self::Four,
            T::Long => self != Self::Shortest,
            T::Decimal { .. } => self == Self::Shortest,
            T::Time | T::Timestamp | T::Timestamptz | T::TimestampNs | T::TimestamptzNs => {
                self == Self::Eight
            }
            _ => false,
        }
    }
}

/// Whether values of a type compare as their bytes do.
fn plain(of: &PrimitiveType) -> bool {
    use PrimitiveType as T;
    matches!(of, T::String | T::Binary | T::Fixed(_))
}

fn valid(bytes: &[u8], of: &PrimitiveType) -> bool {
    match of {
        PrimitiveType::String => std::str::from_utf8(bytes).is_ok(),
        PrimitiveType::Fixed(length) => bytes.len() as u64 == *length,
        _ => true,
    }
}

#[derive(Debug, Clone)]
struct Bytes {
    present: Present,
    /// What all have in common at their beginning.
    prefix: Box<[u8]>,
    /// The rest of each value, one after the other.
    data: Box<[u8]>,
    ends: Ends,
    /// Which value each position has, where values repeat.
    codes: Option<Packed>,
}

impl Bounds {
    /// The bound at a position; `scratch` may be used to put it together.
    pub fn get<'a>(&'a self, at: usize, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        scratch.clear();
        match &self.0 {
            Form::Absent => return None,
            Form::Numbers(width, numbers) => {
                let number = numbers.get(at)?;
                width.write(number, scratch);
            }
            Form::Bytes(bytes) => {
                if !bytes.present.has(at) {
                    return None;
                }
                let code = bytes
                    .codes
                    .as_ref()
                    .map_or(at, |codes| codes.get(at) as usize);
                let rest = bytes.data.get(bytes.ends.range(code))?;
                if bytes.prefix.is_empty() {
                    return Some(rest);
                }
                scratch.extend_from_slice(&bytes.prefix);
                scratch.extend_from_slice(rest);
            }
        }
        Some(scratch)
    }

    /// The least or the greatest bound of the files at some positions, or of all; none where a file has none, or one that
    /// can't be compared.
    pub(super) fn extreme(
        &self,
        of: &PrimitiveType,
        files: Option<&[usize]>,
        length: usize,
        want: Ordering,
    ) -> Option<PrimitiveLiteral> {
        match &self.0 {
            Form::Absent => None,
            Form::Numbers(width, numbers) if numbers.is_whole() && width.keeps_order(of) => {
                let each = numbers.numbers();
                let number = match (files, want) {
                    (None, Ordering::Less) => Some(each.least()),
                    (None, _) => Some(each.greatest()),
                    (Some(files), Ordering::Less) => files.iter().map(|at| each.get(*at)).min(),
                    (Some(files), _) => files.iter().map(|at| each.get(*at)).max(),
                };
                let mut scratch = Vec::new();
                width.write(number?, &mut scratch);
                decode_bound(&scratch, of)
            }
            _ => {
                let all;
                let files: &mut dyn Iterator<Item = usize> = match files {
                    Some(files) => &mut files.iter().copied(),
                    None => {
                        all = 0..length;
                        &mut all.into_iter()
                    }
                };
                self.extreme_of_each(of, files, want)
            }
        }
    }

    fn extreme_of_each(
        &self,
        of: &PrimitiveType,
        files: &mut dyn Iterator<Item = usize>,
        want: Ordering,
    ) -> Option<PrimitiveLiteral> {
        let (mut scratch, mut best) = (Vec::new(), None::<(Vec<u8>, PrimitiveLiteral)>);
        for at in files {
            let bytes = self.get(at, &mut scratch)?;
            if let Some((known, _)) = &best
                && (known == bytes || (plain(of) && bytes.cmp(known) != want && valid(bytes, of)))
            {
                continue;
            }
            let value = decode_bound(bytes, of)?;
            let order = match &best {
                Some((_, best)) => compare_bounds(&value, best)?,
                None => want,
            };
            if order == want {
                best = Some((bytes.to_vec(), value));
            }
        }
        best.map(|(_, value)| value)
    }

    /// The bounds as numbers, where they were all written alike as such.
    pub fn numbers(&self) -> Option<(Width, &Sparse)> {
        match &self.0 {
            Form::Numbers(width, numbers) => Some((*width, numbers)),
            _ => None,
        }
    }

    /// Whether no file has one.
    pub fn is_absent(&self) -> bool {
        matches!(self.0, Form::Absent)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Absent => 0,
            Form::Numbers(_, numbers) => numbers.heap_bytes(),
            Form::Bytes(bytes) => {
                let codes = bytes.codes.as_ref().map_or(0, Packed::heap_bytes);
                size_of::<Bytes>()
                    + bytes.present.heap_bytes()
                    + bytes.prefix.len()
                    + bytes.data.len()
                    + bytes.ends.heap_bytes()
                    + codes
            }
        }
    }
}

/// Gathers bounds, file by file.
#[derive(Debug, Default)]
pub(super) struct BoundsBuilder {
    data: Vec<u8>,
    /// Where each file's bound ends in `data`; [`NONE`] for a file without one.
    ends: Vec<u32>,
    lengths: Lengths,
}

const NONE: u32 = u32::MAX;

/// Which lengths were met.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Lengths {
    #[default]
    Unknown,
    All(u32),
    /// None longer than eight bytes, and each as short as its number can be written.
    Shortest,
    Any,
}

impl BoundsBuilder {
    /// Takes the bound of the file at this position; those since the last one have none. The first one counts.
    #[inline]
    pub(super) fn push(&mut self, at: usize, bytes: &[u8]) {
        if self.ends.len() > at {
            return;
        }
        self.ends.resize(at, NONE);
        self.data.extend_from_slice(bytes);
        self.ends.push(self.data.len() as u32);
        let length = bytes.len() as u32;
        let lengths = match self.lengths {
            Lengths::Unknown => Lengths::All(length),
            Lengths::All(known) if known == length => return,
            Lengths::All(_) | Lengths::Shortest => Lengths::Shortest,
            Lengths::Any => return,
        };
        self.lengths = match lengths {
            // Checked when all are there.
            Lengths::Shortest if length == 0 || length > 8 => Lengths::Any,
            lengths => lengths,
        };
    }

    /// What it takes to say that the files before this position, and after the last one with a bound, have none.
    pub(super) fn padding_bytes(&self, at: usize) -> usize {
        at.saturating_sub(self.ends.len()) * size_of::<u32>()
    }

    pub(super) fn finish(mut self, files: usize) -> Bounds {
        self.ends.resize(files, NONE);
        let present = Present::new(files, |at| self.ends[at] != NONE);
        if present == Present::None {
            return Bounds(Form::Absent);
        }
        let width = match self.lengths {
            Lengths::All(4) => Some(Width::Four),
            Lengths::All(8) => Some(Width::Eight),
            Lengths::Unknown | Lengths::Any => None,
            Lengths::All(_) | Lengths::Shortest => Some(Width::Shortest),
        };
        let numbers = width.and_then(|width| {
            let numbers = self.values().map(|value| match value {
                Some(bytes) => number(bytes, width),
                None => Some(0),
            });
            Some((width, numbers.collect::<Option<Vec<i64>>>()?))
        });
        if let Some((width, mut numbers)) = numbers {
            return Bounds(Form::Numbers(width, Sparse::of(present, &mut numbers)));
        }
        Bounds(Form::Bytes(Box::new(self.bytes(present))))
    }

    fn values(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            if *end == NONE {
                return None;
            }
            let value = self.data.get(from..*end as usize);
            from = *end as usize;
            value
        })
    }

    fn bytes(&self, present: Present) -> Bytes {
        let mut known = self.values().flatten();
        let first = known.next().unwrap_or_default();
        let common = known.fold(first.len(), |common, value| {
            let same = first[..common]
                .iter()
                .zip(value)
                .take_while(|(l, r)| l == r);
            same.count()
        });
        let prefix = &first[..common];
        let (mut data, mut ends) = (Vec::new(), Vec::new());
        let codes = match self.distinct() {
            Some((distinct, codes)) => {
                for value in distinct {
                    data.extend_from_slice(&value[common..]);
                    ends.push(data.len() as u32);
                }
                Some(Packed::new(&codes))
            }
            None => {
                for value in self.values() {
                    data.extend_from_slice(value.map_or(&[][..], |value| &value[common..]));
                    ends.push(data.len() as u32);
                }
                None
            }
        };
        Bytes {
            present,
            prefix: prefix.into(),
            data: data.into(),
            ends: Ends::new(&ends),
            codes,
        }
    }

    /// The values that there are, and which of them each file has, where no more than half of them are different.
    fn distinct(&self) -> Option<(Vec<&[u8]>, Vec<i64>)> {
        let most = self.ends.len() / 2;
        let mut distinct = Vec::new();
        let mut known: HashMap<&[u8], i64> = HashMap::new();
        let mut codes = Vec::with_capacity(self.ends.len());
        for value in self.values() {
            let Some(value) = value else {
                codes.push(0);
                continue;
            };
            let next = distinct.len() as i64;
            let code = *known.entry(value).or_insert(next);
            if code == next {
                if distinct.len() >= most {
                    return None;
                }
                distinct.push(value);
            }
            codes.push(code);
        }
        Some((distinct, codes))
    }
}

fn number(bytes: &[u8], width: Width) -> Option<i64> {
    match width {
        Width::Four => Some(i64::from(i32::from_le_bytes(bytes.try_into().ok()?))),
        Width::Eight => Some(i64::from_le_bytes(bytes.try_into().ok()?)),
        Width::Shortest => {
            let negative = bytes.first()? & 0x80 != 0;
            let mut whole = [if negative { 0xff } else { 0 }; 8];
            let from = whole.len().checked_sub(bytes.len())?;
            whole[from..].copy_from_slice(bytes);
            let number = i64::from_be_bytes(whole);
            (shortest(number) == bytes.len()).then_some(number)
        }
    }
}

/// How many bytes a number takes in two's complement.
fn shortest(number: i64) -> usize {
    let magnitude = if number < 0 { !number } else { number };
    let bits = 64 - magnitude.leading_zeros() as usize;
    bits / 8 + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn built(values: &[Option<Vec<u8>>]) -> Bounds {
        let mut builder = BoundsBuilder::default();
        for (at, value) in values.iter().enumerate() {
            if let Some(value) = value {
                builder.push(at, value);
            }
        }
        builder.finish(values.len())
    }

    fn read(bounds: &Bounds, count: usize) -> Vec<Option<Vec<u8>>> {
        let mut scratch = Vec::new();
        (0..count)
            .map(|at| bounds.get(at, &mut scratch).map(<[u8]>::to_vec))
            .collect()
    }

    proptest! {
        #[test]
        fn bytes_of_any_lengths_come_back(values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..11)), 0..60)) {
            prop_assert_eq!(read(&built(&values), values.len()), values);
        }

        #[test]
        fn bytes_of_one_length_come_back(
            length in 0_usize..18,
            values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(0_u8..3, 18)), 0..60),
        ) {
            let values: Vec<_> = values.into_iter().map(|value| Some(value?[..length].to_vec())).collect();
            prop_assert_eq!(read(&built(&values), values.len()), values);
        }

        #[test]
        fn numbers_come_back_from_their_shortest_form(numbers in proptest::collection::vec((any::<i64>(), 0_u32..64), 1..40)) {
            let values = numbers.iter().map(|(n, shift)| Some(crate::bound::minimal(i128::from(n >> shift))));
            let values: Vec<_> = values.collect();
            let bounds = built(&values);
            prop_assert!(bounds.numbers().is_some());
            prop_assert_eq!(read(&bounds, values.len()), values);
        }
    }

    #[test]
    fn texts_that_repeat_or_begin_alike_are_kept_once() {
        let names = ["customer#000000001", "customer#000000002"];
        let values: Vec<_> = (0..1000)
            .map(|at| Some(names[at % 2].as_bytes().to_vec()))
            .collect();
        assert!(built(&values).heap_bytes() < 400);
        let values: Vec<_> = (0..1000)
            .map(|at| Some(format!("customer#{at:09}").into_bytes()))
            .collect();
        assert!(built(&values).heap_bytes() < 4_000);
    }
}

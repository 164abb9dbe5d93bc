//! Keys of equality deletes: sets of rows, each with the newest sequence number that deletes it.
//!
//! Values are equal as Iceberg's Java readers have it: null is null, NaN is NaN, 0.0 is not -0.0, text is bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, UInt64Array, make_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take_arrays;
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{Result, exec_err};
use hashbrown::HashTable;

/// What a key costs besides its bytes: where it ends, its number, its hash, and its place in the table.
const KEY_BYTES: usize = size_of::<usize>() + size_of::<i64>() + size_of::<u64>() + 8;

/// Keys of the same columns, and for each the newest sequence number that deletes it.
#[derive(Debug)]
pub(super) struct KeySet {
    converter: RowConverter,
    hasher: RandomState,
    /// The keys' bytes, one after the other.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    sequence_numbers: Vec<i64>,
    /// Of the keys' columns, not of their bytes: columns are hashed at once.
    hashes: Vec<u64>,
    table: HashTable<u32>,
}

/// Rows that are looked for.
struct Asked {
    columns: Vec<ArrayRef>,
    hashes: Vec<u64>,
}

impl KeySet {
    /// An empty set of keys of columns of these types.
    ///
    /// # Errors
    /// A type that can't be compared.
    pub(super) fn new<'t>(types: impl IntoIterator<Item = &'t DataType>) -> Result<Self> {
        let fields = types.into_iter().cloned().map(SortField::new).collect();
        Ok(Self {
            converter: RowConverter::new(fields)?,
            hasher: RandomState::with_seed(0),
            bytes: Vec::new(),
            ends: Vec::new(),
            sequence_numbers: Vec::new(),
            hashes: Vec::new(),
            table: HashTable::new(),
        })
    }

    /// What this holds in memory, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * KEY_BYTES
    }

    /// Adds the rows of a delete file with this sequence number.
    ///
    /// # Errors
    /// There are more keys than can be counted.
    pub(super) fn insert(&mut self, columns: &[ArrayRef], sequence_number: i64) -> Result<()> {
        let Asked { columns, hashes } = self.asked(columns)?;
        let rows = self.converter.convert_columns(&columns)?;
        for (row, hash) in rows.iter().zip(hashes) {
            self.insert_key(row.data(), hash, sequence_number)?;
        }
        Ok(())
    }

    /// Adds all keys of a set of the same columns.
    ///
    /// # Errors
    /// There are more keys than can be counted.
    pub(super) fn extend(&mut self, other: &Self, sequence_number: i64) -> Result<()> {
        for (at, hash) in other.hashes.iter().enumerate() {
            self.insert_key(other.key(at), *hash, sequence_number)?;
        }
        Ok(())
    }

    /// Gives back memory that was taken in advance.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.sequence_numbers.shrink_to_fit();
        self.hashes.shrink_to_fit();
    }

    /// For each row, whether it stays: whether no key of a sequence number greater than the data file's is equal to it.
    ///
    /// # Errors
    /// The columns are not of the set's types.
    pub(super) fn stays(&self, columns: &[ArrayRef], data_sequence: i64) -> Result<BooleanBuffer> {
        let Asked { columns, hashes } = self.asked(columns)?;
        let mut stays = BooleanBufferBuilder::new(hashes.len());
        stays.append_n(hashes.len(), true);
        // Few rows have the hash of a key, and only those are compared.
        let alike = |hash: &u64| {
            let known = self
                .table
                .find(*hash, |at| self.hashes[*at as usize] == *hash);
            known.is_some()
        };
        let alike = (0_u64..).zip(&hashes).filter(|(_, hash)| alike(hash));
        let alike: UInt64Array = alike.map(|(at, _)| at).collect();
        if alike.is_empty() {
            return Ok(stays.finish());
        }
        let rows = take_arrays(&columns, &alike, None)?;
        let rows = self.converter.convert_columns(&rows)?;
        for (row, at) in rows.iter().zip(alike.values()) {
            let at = *at as usize;
            let deleted_at = self.sequence_number(row.data(), hashes[at]);
            if deleted_at.is_some_and(|sequence| sequence > data_sequence) {
                stays.set_bit(at, false);
            }
        }
        Ok(stays.finish())
    }

    fn asked(&self, columns: &[ArrayRef]) -> Result<Asked> {
        let columns: Vec<ArrayRef> = columns.iter().map(one_nan).collect();
        let mut hashes = vec![0; columns.first().map_or(0, |column| column.len())];
        create_hashes(&columns, &self.hasher, &mut hashes)?;
        Ok(Asked { columns, hashes })
    }

    fn sequence_number(&self, key: &[u8], hash: u64) -> Option<i64> {
        let found = self.table.find(hash, |at| self.key(*at as usize) == key)?;
        self.sequence_numbers.get(*found as usize).copied()
    }

    fn insert_key(&mut self, key: &[u8], hash: u64, sequence_number: i64) -> Result<()> {
        let known = self.table.find(hash, |at| self.key(*at as usize) == key);
        if let Some(known) = known.copied() {
            let newest = &mut self.sequence_numbers[known as usize];
            *newest = sequence_number.max(*newest);
            return Ok(());
        }
        let Ok(at) = u32::try_from(self.ends.len()) else {
            return exec_err!("there are more than {} keys of equality deletes", u32::MAX);
        };
        self.bytes.extend(key);
        self.ends.push(self.bytes.len());
        self.sequence_numbers.push(sequence_number);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.table
            .insert_unique(hash, at, |at| hashes[*at as usize]);
        Ok(())
    }

    fn key(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[from..self.ends[at]]
    }
}

/// All NaN as the same NaN: their bits differ.
fn one_nan(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Arc::new(values.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v }))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Arc::new(values.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v }))
        }
        _ => Arc::clone(array),
    }
}

/// The field within structs that a path of positions leads to; null where a struct around it is.
pub(super) fn within(array: &ArrayRef, path: &[usize]) -> Result<ArrayRef> {
    let mut found = Arc::clone(array);
    for at in path {
        let Some(fields) = found.as_struct_opt() else {
            return exec_err!("a key column is no field of a struct");
        };
        let Some(child) = fields.columns().get(*at) else {
            return exec_err!("a struct lacks a key column");
        };
        let nulls = NullBuffer::union(fields.nulls(), child.nulls());
        let data = child.to_data().into_builder().nulls(nulls).build()?;
        found = make_array(data);
    }
    Ok(found)
}

/// The type at the end of a path of positions within structs.
pub(super) fn type_within<'f>(field: &'f FieldRef, path: &[usize]) -> Result<&'f DataType> {
    let mut found = field.data_type();
    for at in path {
        let DataType::Struct(fields) = found else {
            return exec_err!("a key column is no field of a struct");
        };
        let Some(child) = fields.get(*at) else {
            return exec_err!("a struct lacks a key column");
        };
        found = child.data_type();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{Float64Array, Int64Array, StringViewArray, StructArray};
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    use super::*;

    fn doubles(values: &[Option<f64>]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    #[test]
    fn null_is_null_nan_is_nan_and_the_zeros_differ() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1);
        let mut set = KeySet::new([&DataType::Float64]).unwrap();
        set.insert(&[doubles(&[None, Some(-f64::NAN), Some(0.0)])], 2)
            .unwrap();
        let asked = [None, Some(other_nan), Some(0.0), Some(-0.0), Some(1.0)];
        let stays = set.stays(&[doubles(&asked)], 1).unwrap();
        assert_eq!(
            stays.iter().collect::<Vec<_>>(),
            [false, false, false, true, true]
        );
        assert_eq!(
            set.stays(&[doubles(&asked)], 2).unwrap().count_set_bits(),
            5
        );
    }

    #[test]
    fn a_field_of_a_null_struct_is_null() {
        let child: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
        let fields = vec![Field::new("a", DataType::Int64, true)];
        let nulls = NullBuffer::from(vec![true, false, true]);
        let array: ArrayRef = Arc::new(StructArray::new(fields.into(), vec![child], Some(nulls)));
        let found = within(&array, &[0]).unwrap();
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, None]));
        assert_eq!(&found, &expected);
    }

    proptest! {
        #[test]
        fn a_row_goes_exactly_if_a_newer_delete_has_its_key(
            deletes in proptest::collection::vec((0_i64..6, proptest::option::of(0_i64..8), proptest::option::of("[ab]{0,2}")), 0..60),
            rows in proptest::collection::vec((proptest::option::of(0_i64..8), proptest::option::of("[ab]{0,2}")), 0..40),
            data_sequence in 0_i64..6,
        ) {
            let columns = |rows: &[(Option<i64>, Option<String>)]| -> Vec<ArrayRef> {
                let numbers: Int64Array = rows.iter().map(|row| row.0).collect();
                let texts: StringViewArray = rows.iter().map(|row| row.1.as_deref()).collect();
                vec![Arc::new(numbers), Arc::new(texts)]
            };
            let types = [DataType::Int64, DataType::Utf8View];
            let mut merged = KeySet::new(&types).unwrap();
            let mut newest: HashMap<(Option<i64>, Option<String>), i64> = HashMap::new();
            for (sequence, number, text) in deletes {
                let key = (number, text);
                let mut one = KeySet::new(&types).unwrap();
                one.insert(&columns(std::slice::from_ref(&key)), sequence).unwrap();
                merged.extend(&one, sequence).unwrap();
                let known = newest.entry(key).or_insert(sequence);
                *known = sequence.max(*known);
            }
            prop_assert_eq!(merged.hashes.len(), newest.len());
            let stays = merged.stays(&columns(&rows), data_sequence).unwrap();
            for (row, stays) in rows.iter().zip(stays.iter()) {
                let gone = newest.get(row).is_some_and(|sequence| *sequence > data_sequence);
                prop_assert_eq!(stays, !gone);
            }
        }
    }
}

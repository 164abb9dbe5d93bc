//! Keys of equality deletes: sets of rows, each with the newest sequence number that deletes it.
//!
//! Values are equal as Iceberg's Java readers have it: null is null, NaN is NaN, 0.0 is not -0.0, text is bytes.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, make_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, exec_err};
use hashbrown::HashTable;

/// What a key costs besides its bytes: where it ends, its number, and its place in the table.
const KEY_BYTES: usize = size_of::<usize>() + size_of::<i64>() + 8;

/// Keys of the same columns, and for each the newest sequence number that deletes it.
#[derive(Debug)]
pub(super) struct KeySet {
    converter: RowConverter,
    hasher: RandomState,
    /// The keys' bytes, one after the other.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    sequence_numbers: Vec<i64>,
    table: HashTable<u32>,
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
            table: HashTable::new(),
        })
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
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
        let rows = self.rows(columns)?;
        for row in &rows {
            self.insert_key(row.data(), sequence_number)?;
        }
        Ok(())
    }

    /// Adds all keys of a set of the same columns.
    ///
    /// # Errors
    /// There are more keys than can be counted.
    pub(super) fn extend(&mut self, other: &Self, sequence_number: i64) -> Result<()> {
        for at in 0..other.len() {
            self.insert_key(other.key(at), sequence_number)?;
        }
        Ok(())
    }

    /// Gives back memory that was taken in advance.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.sequence_numbers.shrink_to_fit();
    }

    /// For each row, whether it stays: whether no key of a sequence number greater than the data file's is equal to it.
    ///
    /// # Errors
    /// The columns are not of the set's types.
    pub(super) fn stays(&self, columns: &[ArrayRef], data_sequence: i64) -> Result<BooleanBuffer> {
        let rows = self.rows(columns)?;
        let mut stays = BooleanBufferBuilder::new(rows.num_rows());
        for row in &rows {
            let deleted_at = self.sequence_number(row.data());
            stays.append(deleted_at.is_none_or(|sequence| sequence <= data_sequence));
        }
        Ok(stays.finish())
    }

    fn rows(&self, columns: &[ArrayRef]) -> Result<Rows> {
        let columns: Vec<ArrayRef> = columns.iter().map(one_nan).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }

    fn sequence_number(&self, key: &[u8]) -> Option<i64> {
        let hash = self.hasher.hash_one(key);
        let found = self.table.find(hash, |at| self.key(*at as usize) == key)?;
        self.sequence_numbers.get(*found as usize).copied()
    }

    fn insert_key(&mut self, key: &[u8], sequence_number: i64) -> Result<()> {
        let hash = self.hasher.hash_one(key);
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
        let Self {
            table,
            bytes,
            ends,
            hasher,
            ..
        } = self;
        table.insert_unique(hash, at, |at| {
            hasher.hash_one(key_at(bytes, ends, *at as usize))
        });
        Ok(())
    }

    fn key(&self, at: usize) -> &[u8] {
        key_at(&self.bytes, &self.ends, at)
    }
}

fn key_at<'b>(bytes: &'b [u8], ends: &[usize], at: usize) -> &'b [u8] {
    let from = at.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[from..ends[at]]
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
            prop_assert_eq!(merged.len(), newest.len());
            let stays = merged.stays(&columns(&rows), data_sequence).unwrap();
            for (row, stays) in rows.iter().zip(stays.iter()) {
                let gone = newest.get(row).is_some_and(|sequence| *sequence > data_sequence);
                prop_assert_eq!(stays, !gone);
            }
        }
    }
}

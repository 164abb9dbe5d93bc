//! Rows of an Avro file that is no metadata: delete files may be in Avro.

use super::{AvroUnit, Container, Cursor, Field, Kind, Logical, Malformed, Result, Schema};
use crate::bound::signed;

/// A block's length at most once it is decompressed. Writers end a block after 64 kB or so, and after one row at the
/// latest.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// The widest decimal that Iceberg has.
const DECIMAL_DIGITS_MAX: u64 = 38;

/// An Avro file of records, whose header was read.
#[derive(Debug)]
pub struct AvroFile<'a> {
    container: Container<'a>,
    fields: Box<[AvroField]>,
    slots: usize,
}

/// A field of the file's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroField {
    /// Its name in the file.
    pub name: String,
    /// Its Iceberg field id, where the file has one.
    pub id: Option<i32>,
    /// What it holds; any field may be null.
    pub of: AvroType,
    /// Where its value is in a row. A record's fields follow it.
    pub slot: usize,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AvroType {
    /// Nothing but null.
    Null,
    /// [`AvroValue::Boolean`].
    Boolean,
    /// [`AvroValue::Whole`] of 32 bits.
    Int,
    /// [`AvroValue::Whole`].
    Long,
    /// [`AvroValue::Float`].
    Float,
    /// [`AvroValue::Double`].
    Double,
    /// [`AvroValue::Text`].
    Text,
    /// [`AvroValue::Bytes`].
    Bytes,
    /// [`AvroValue::Bytes`] of this length.
    Fixed(usize),
    /// [`AvroValue::Whole`]: days since 1970.
    Date,
    /// [`AvroValue::Whole`]: so many since midnight.
    Time(AvroUnit),
    /// [`AvroValue::Whole`]: so many since 1970.
    Timestamp(AvroUnit),
    /// [`AvroValue::Decimal`] of so many digits, of which so many are behind the point.
    Decimal {
        /// 1 to 38.
        digits: u8,
        /// No more than digits.
        places: u8,
    },
    /// [`AvroValue::Record`], and then its fields.
    Record(Box<[AvroField]>),
    /// What no row gives: lists, maps, and what Iceberg has no type for.
    Unread,
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AvroValue<'r> {
    /// Null, or of a type that isn't read.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A whole number, or what is counted in whole numbers.
    Whole(i64),
    /// A float.
    Float(f32),
    /// A double.
    Double(f64),
    /// Text.
    Text(&'r str),
    /// Bytes.
    Bytes(&'r [u8]),
    /// A decimal's digits.
    Decimal(i128),
    /// A record that is there. The fields of one that isn't are null.
    Record,
}

/// Takes the rows of a file.
pub trait AvroTaker {
    /// Why it may want no more.
    type Error;

    /// Takes a row, from a block that holds so many bytes in memory.
    ///
    /// # Errors
    /// Reading stops.
    fn row(
        &mut self,
        row: &[AvroValue<'_>],
        block_bytes: usize,
    ) -> std::result::Result<(), Self::Error>;
}

/// Why not all rows were read.
#[derive(Debug)]
pub enum AvroFault<E> {
    /// The file isn't what it should be: why.
    Malformed(String),
    /// The taker stopped.
    Taker(E),
}

impl<E> From<Malformed> for AvroFault<E> {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.to_string())
    }
}

impl<'a> AvroFile<'a> {
    /// Reads the header of a whole file.
    ///
    /// # Errors
    /// Why it is no Avro file, or none of records.
    pub fn open(bytes: &'a [u8]) -> std::result::Result<Self, String> {
        let read = || -> Result<Self> {
            let container = Container::open(bytes)?;
            let Kind::Record(record) = &container.schema.kind else {
                return Err("it holds something else than records".into());
            };
            let mut slots = 0;
            let fields = fields_of(record, &mut slots);
            Ok(Self {
                container,
                fields,
                slots,
            })
        };
        read().map_err(|malformed| malformed.to_string())
    }

    /// The fields of its records.
    pub fn fields(&self) -> &[AvroField] {
        &self.fields
    }

    /// Gives all rows, one after the other.
    ///
    /// # Errors
    /// The file is damaged, or the taker stops.
    pub fn rows<T: AvroTaker>(
        &self,
        taker: &mut T,
    ) -> std::result::Result<(), AvroFault<T::Error>> {
        let Kind::Record(record) = &self.container.schema.kind else {
            return Ok(());
        };
        self.container
            .blocks_within(BLOCK_BYTES_MAX, |count, cursor| {
                let bytes = cursor.rest().len();
                let mut row = vec![AvroValue::Null; self.slots];
                for _ in 0..count {
                    read_record(cursor, record, &self.fields, &mut row)?;
                    taker.row(&row, bytes).map_err(AvroFault::Taker)?;
                }
                Ok(())
            })
    }
}

fn fields_of(record: &[Field], slots: &mut usize) -> Box<[AvroField]> {
    let field = |field: &Field| {
        let slot = *slots;
        *slots += 1;
        AvroField {
            name: field.name.clone(),
            id: field.id,
            of: type_of(&field.schema, slots),
            slot,
        }
    };
    record.iter().map(field).collect()
}

fn type_of(schema: &Schema, slots: &mut usize) -> AvroType {
    match (&schema.kind, schema.logical) {
        (Kind::Union(branches), _) => {
            let mut present = branches
                .iter()
                .filter(|branch| !matches!(branch.kind, Kind::Null));
            match (present.next(), present.next()) {
                (None, _) => AvroType::Null,
                (Some(only), None) => type_of(only, slots),
                (Some(_), Some(_)) => AvroType::Unread,
            }
        }
        (Kind::Null, _) => AvroType::Null,
        (Kind::Boolean, _) => AvroType::Boolean,
        (Kind::Int, Some(Logical::Date)) => AvroType::Date,
        (Kind::Int | Kind::Long, Some(Logical::Time(unit))) => AvroType::Time(unit),
        (Kind::Int, _) => AvroType::Int,
        (Kind::Long, Some(Logical::Timestamp(unit))) => AvroType::Timestamp(unit),
        (Kind::Long, _) => AvroType::Long,
        (Kind::Float, _) => AvroType::Float,
        (Kind::Double, _) => AvroType::Double,
        (Kind::Bytes | Kind::Fixed(_), Some(Logical::Decimal { digits, places })) => {
            let possible = (1..=DECIMAL_DIGITS_MAX).contains(&digits) && places <= digits;
            match (u8::try_from(digits), u8::try_from(places)) {
                (Ok(digits), Ok(places)) if possible => AvroType::Decimal { digits, places },
                _ => AvroType::Unread,
            }
        }
        (Kind::Bytes, _) => AvroType::Bytes,
        (Kind::Fixed(length), _) => AvroType::Fixed(*length),
        (Kind::String, _) => AvroType::Text,
        (Kind::Record(fields), _) => AvroType::Record(fields_of(fields, slots)),
        (Kind::Enum | Kind::Array(_) | Kind::Map(_), _) => AvroType::Unread,
    }
}

fn read_record<'r>(
    cursor: &mut Cursor<'r>,
    record: &[Field],
    fields: &[AvroField],
    row: &mut [AvroValue<'r>],
) -> Result<()> {
    for (written, field) in record.iter().zip(fields) {
        if field.of == AvroType::Unread {
            cursor.skip(&written.schema)?;
            continue;
        }
        match cursor.present(&written.schema)? {
            Some(schema) => read_value(cursor, schema, field, row)?,
            None => clear(field, row),
        }
    }
    Ok(())
}

fn read_value<'r>(
    cursor: &mut Cursor<'r>,
    schema: &Schema,
    field: &AvroField,
    row: &mut [AvroValue<'r>],
) -> Result<()> {
    let value = match &field.of {
        AvroType::Null | AvroType::Unread => {
            cursor.skip(schema)?;
            AvroValue::Null
        }
        AvroType::Boolean => AvroValue::Boolean(cursor.boolean(schema)?),
        AvroType::Int | AvroType::Date => AvroValue::Whole(i64::from(cursor.int(schema)?)),
        AvroType::Long | AvroType::Time(_) | AvroType::Timestamp(_) => {
            AvroValue::Whole(cursor.integer(schema)?)
        }
        AvroType::Float => {
            let bytes = cursor.take(4)?.try_into().unwrap_or_default();
            AvroValue::Float(f32::from_le_bytes(bytes))
        }
        AvroType::Double => {
            let bytes = cursor.take(8)?.try_into().unwrap_or_default();
            AvroValue::Double(f64::from_le_bytes(bytes))
        }
        AvroType::Text => AvroValue::Text(cursor.text(schema)?),
        AvroType::Bytes | AvroType::Fixed(_) => AvroValue::Bytes(cursor.blob(schema)?),
        AvroType::Decimal { .. } => {
            let digits = signed(cursor.blob(schema)?);
            AvroValue::Decimal(digits.ok_or("a decimal has more than 16 bytes, or none")?)
        }
        AvroType::Record(fields) => {
            let Kind::Record(record) = &schema.kind else {
                return Err("a record has another type".into());
            };
            read_record(cursor, record, fields, row)?;
            AvroValue::Record
        }
    };
    if let Some(slot) = row.get_mut(field.slot) {
        *slot = value;
    }
    Ok(())
}

/// A field that is null, with all that it would hold.
fn clear(field: &AvroField, row: &mut [AvroValue<'_>]) {
    if let Some(slot) = row.get_mut(field.slot) {
        *slot = AvroValue::Null;
    }
    if let AvroType::Record(fields) = &field.of {
        fields.iter().for_each(|field| clear(field, row));
    }
}

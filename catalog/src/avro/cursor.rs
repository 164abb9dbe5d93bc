//! Values of Avro's binary encoding, one after the other.

use super::{Kind, Malformed, Result, Schema};

/// The bytes that are left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

const SHORT: &str = "it ends within a value";

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A zigzag variable-length integer.
    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64> {
        let (&first, rest) = self.rest.split_first().ok_or(SHORT)?;
        if first < 0x80 {
            self.rest = rest;
            return Ok(i64::from(first >> 1) ^ -i64::from(first & 1));
        }
        self.long_of_many()
    }

    fn long_of_many(&mut self) -> Result<i64> {
        let mut value = 0_u64;
        for (at, &byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(if self.rest.len() < 10 {
            SHORT.into()
        } else {
            "a number is longer than ten bytes".into()
        })
    }

    /// So many bytes as they are.
    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes with their length before them.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
        self.take(length)
    }

    /// The schema of the value that comes next: of a union the branch that was written, and none for null.
    #[inline]
    pub(crate) fn present<'s>(&mut self, schema: &'s Schema) -> Result<Option<&'s Schema>> {
        let written = match &schema.kind {
            Kind::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok();
                branch
                    .and_then(|branch| branches.get(branch))
                    .ok_or("a union has no such branch")?
            }
            _ => schema,
        };
        Ok((!matches!(written.kind, Kind::Null)).then_some(written))
    }

    /// An int or a long.
    #[inline]
    pub(crate) fn integer(&mut self, schema: &Schema) -> Result<i64> {
        match schema.kind {
            Kind::Int | Kind::Long => self.long(),
            _ => Err("a field that holds a number has another type".into()),
        }
    }

    /// An int or a long that fits 32 bits.
    pub(crate) fn int(&mut self, schema: &Schema) -> Result<i32> {
        i32::try_from(self.integer(schema)?).map_err(|_| "a number doesn't fit 32 bits".into())
    }

    pub(crate) fn boolean(&mut self, schema: &Schema) -> Result<bool> {
        match schema.kind {
            Kind::Boolean => Ok(self.take(1)? != [0]),
            _ => Err("a field that holds a boolean has another type".into()),
        }
    }

    /// The bytes of a string, bytes or fixed.
    #[inline]
    pub(crate) fn blob(&mut self, schema: &Schema) -> Result<&'a [u8]> {
        match schema.kind {
            Kind::Bytes | Kind::String => self.bytes(),
            Kind::Fixed(length) => self.take(length),
            _ => Err("a field that holds bytes has another type".into()),
        }
    }

    pub(crate) fn text(&mut self, schema: &Schema) -> Result<&'a str> {
        std::str::from_utf8(self.blob(schema)?).map_err(|_| "a text is not UTF-8".into())
    }

    /// The numbers of an array; nulls among them are left out.
    pub(crate) fn integers(&mut self, schema: &Schema, into: &mut Vec<i64>) -> Result<()> {
        let Kind::Array(item) = &schema.kind else {
            return Err("a list of numbers has another type".into());
        };
        loop {
            let count = self.block(item)?;
            if count == 0 {
                return Ok(());
            }
            if item.is_empty() {
                continue;
            }
            for _ in 0..count {
                if let Some(written) = self.present(item)? {
                    into.push(self.integer(written)?);
                }
            }
        }
    }

    /// How many items the next block of an array or a map has; 0 ends it.
    ///
    /// # Errors
    /// There can't be as many in what is left.
    #[inline]
    pub(crate) fn block(&mut self, item: &Schema) -> Result<u64> {
        let mut count = self.long()?;
        if count < 0 {
            // Followed by the block's length in bytes, for readers that skip it whole.
            self.long()?;
            count = count.checked_neg().ok_or("a block has too many items")?;
        }
        let count = count.unsigned_abs();
        if !item.is_empty() && count > self.rest.len() as u64 {
            return Err(Malformed::from("a block has more items than bytes"));
        }
        Ok(count)
    }

    /// Goes past a value.
    pub(crate) fn skip(&mut self, schema: &Schema) -> Result<()> {
        match &schema.kind {
            Kind::Null => Ok(()),
            Kind::Boolean => self.take(1).map(drop),
            Kind::Int | Kind::Long | Kind::Enum => self.long().map(drop),
            Kind::Float => self.take(4).map(drop),
            Kind::Double => self.take(8).map(drop),
            Kind::Bytes | Kind::String => self.bytes().map(drop),
            Kind::Fixed(length) => self.take(*length).map(drop),
            Kind::Union(_) => match self.present(schema)? {
                Some(written) => self.skip(written),
                None => Ok(()),
            },
            Kind::Record(fields) => fields.iter().try_for_each(|field| self.skip(&field.schema)),
            Kind::Array(item) => self.skip_blocks(item, false),
            Kind::Map(value) => self.skip_blocks(value, true),
        }
    }

    fn skip_blocks(&mut self, item: &Schema, keyed: bool) -> Result<()> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                let length = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
                self.take(length)?;
                continue;
            }
            if item.is_empty() && !keyed {
                continue;
            }
            // Each takes a byte at least, so that this ends with the input at the latest.
            for _ in 0..count {
                if keyed {
                    self.bytes()?;
                }
                self.skip(item)?;
            }
        }
    }
}

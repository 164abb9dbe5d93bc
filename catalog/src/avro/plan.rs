//! Finding the fields that are wanted: by field id, or by name where a file has no ids.

use std::sync::Arc;

use super::schema::Field;
use super::{Cursor, Kind, Result, Schema};

/// A record's fields in the order in which they are written, each with its id (`-1` for those that nobody knows).
#[derive(Debug, Clone, Default)]
pub(crate) struct RecordPlan {
    pub(crate) fields: Box<[(i32, Arc<Schema>)]>,
}

impl RecordPlan {
    /// Fields without an id get the one that `names` gives theirs.
    pub(crate) fn new(fields: &[Field], names: &[(&str, i32)]) -> Self {
        let id = |field: &Field| {
            let by_name = || names.iter().find(|(name, _)| *name == field.name);
            field.id.or_else(|| Some(by_name()?.1)).unwrap_or(-1)
        };
        let fields = fields
            .iter()
            .map(|field| (id(field), Arc::clone(&field.schema)));
        Self {
            fields: fields.collect(),
        }
    }

    /// The type of the field of this id.
    pub(crate) fn field(&self, id: i32) -> Option<&Arc<Schema>> {
        let found = self.fields.iter().find(|(known, _)| *known == id);
        found.map(|(_, schema)| schema)
    }
}

/// Reads a map of field ids to counts, as an array of key-value records or as a map with keys of text. Negative counts
/// are none.
pub(crate) fn counts(
    cursor: &mut Cursor<'_>,
    schema: &Schema,
    into: &mut Vec<(i32, u64)>,
) -> Result<()> {
    pairs(cursor, schema, |cursor, key, value| {
        if let Ok(count) = u64::try_from(cursor.integer(value)?) {
            into.push((key, count));
        }
        Ok(())
    })
}

/// Reads a map of field ids to bytes.
pub(crate) fn values<'a>(
    cursor: &mut Cursor<'a>,
    schema: &Schema,
    into: &mut Vec<(i32, &'a [u8])>,
) -> Result<()> {
    pairs(cursor, schema, |cursor, key, value| {
        into.push((key, cursor.blob(value)?));
        Ok(())
    })
}

fn pairs<'a>(
    cursor: &mut Cursor<'a>,
    schema: &Schema,
    mut each: impl FnMut(&mut Cursor<'a>, i32, &Schema) -> Result<()>,
) -> Result<()> {
    let wrong = "a map of columns is neither an array of pairs nor a map";
    match &schema.kind {
        Kind::Array(item) => {
            let Kind::Record(fields) = &item.kind else {
                return Err(wrong.into());
            };
            if let [key, value] = &**fields
                && key.name == "key"
                && value.name == "value"
                && !matches!(value.schema.kind, Kind::Union(_))
            {
                return in_order(cursor, (item, &key.schema, &value.schema), each);
            }
            if item.is_empty() {
                return Err(wrong.into());
            }
            loop {
                let count = cursor.block(item)?;
                if count == 0 {
                    return Ok(());
                }
                for _ in 0..count {
                    pair(cursor, fields, &mut each)?;
                }
            }
        }
        Kind::Map(value) => loop {
            let count = cursor.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                cursor.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                let key = std::str::from_utf8(cursor.bytes()?).ok();
                let key = key.and_then(|key| key.parse().ok());
                match (key, cursor.present(value)?) {
                    (Some(key), Some(written)) => each(cursor, key, written)?,
                    (None, Some(written)) => cursor.skip(written)?,
                    (_, None) => {}
                }
            }
        },
        _ => Err(wrong.into()),
    }
}

/// The pairs as all writers write them.
#[inline]
fn in_order<'a>(
    cursor: &mut Cursor<'a>,
    (item, key, value): (&Schema, &Schema, &Schema),
    mut each: impl FnMut(&mut Cursor<'a>, i32, &Schema) -> Result<()>,
) -> Result<()> {
    loop {
        let count = cursor.block(item)?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            let key = cursor.int(key)?;
            each(cursor, key, value)?;
        }
    }
}

fn pair<'a>(
    cursor: &mut Cursor<'a>,
    fields: &[Field],
    each: &mut impl FnMut(&mut Cursor<'a>, i32, &Schema) -> Result<()>,
) -> Result<()> {
    // A value may stand before its key.
    let mut key = None;
    let mut value = None;
    for field in fields {
        match (field.name.as_str(), cursor.present(&field.schema)?) {
            ("key", Some(written)) => key = Some(cursor.int(written)?),
            ("value", Some(written)) => {
                value = Some((*cursor, written));
                cursor.skip(written)?;
            }
            (_, Some(written)) => cursor.skip(written)?,
            (_, None) => {}
        }
    }
    match (key, value) {
        (Some(key), Some((mut at, written))) => each(&mut at, key, written),
        _ => Ok(()),
    }
}

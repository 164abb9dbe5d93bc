//! Avro object container files, read by hand: manifest lists and manifests are nothing else, and delete files may be.
//!
//! Avro 1.11.3, "Object Container Files". A [`Container`] gives the header and the blocks, each decompressed; a
//! [`Schema`] says what lies in them; a [`Cursor`] reads values one after the other, and skips those that nobody wants.
//! An [`AvroFile`] gives the rows of a file that is no metadata. Nothing here panics or allocates more than the input justifies, whatever the bytes are.

mod codec;
mod container;
mod cursor;
mod plan;
mod rows;
mod schema;

use std::borrow::Cow;
use std::fmt;

pub(crate) use container::Container;
pub(crate) use cursor::Cursor;
pub(crate) use plan::{RecordPlan, counts, values};
pub use rows::{AvroFault, AvroField, AvroFile, AvroTaker, AvroType, AvroValue};
pub use schema::AvroUnit;
pub(crate) use schema::{Field, Kind, Logical, Schema};

/// Why bytes aren't the Avro file that they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(Cow<'static, str>);

impl Malformed {
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&'static str> for Malformed {
    fn from(reason: &'static str) -> Self {
        Self(Cow::Borrowed(reason))
    }
}

/// The result of reading Avro.
pub(crate) type Result<T> = std::result::Result<T, Malformed>;

#[cfg(test)]
pub(crate) mod tests;

//! Rows of position and equality delete files, whatever they are encoded in.

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::{Result, internal_err};
use iceberg::spec::NameMapping;
use landfast_catalog::DeleteFormat;
use landfast_sites::CanonicalUri;

use super::parquet_file::DeleteColumns;
use super::{avro_file, corrupt};
use crate::scan::columns::Absentees;
use crate::scan::mapping::IdSource;

/// Rows decoded at once.
pub(super) const BATCH_ROWS: usize = 8192;

/// What is wanted of a delete file's rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsWanted<'a> {
    /// Columns by field id, in the types that they are wanted in.
    pub(super) columns: &'a SchemaRef,
    /// For a file without field ids.
    pub(super) mapping: Option<&'a NameMapping>,
    /// For columns that the file lacks.
    pub(super) absentees: &'a Absentees<'a>,
}

impl RowsWanted<'_> {
    /// Refuses a file whose columns could be told apart by their position alone: those of a delete file are any of the
    /// table's, in any order.
    ///
    /// # Errors
    /// The file has no field ids, and the table maps no names.
    pub(super) fn refuse_positions(&self, uri: &CanonicalUri, file: &Schema) -> Result<()> {
        match IdSource::of(file, self.mapping) {
            IdSource::Position => Err(corrupt(
                uri,
                "it has no field ids, and the table has no name mapping (property \
                 'schema.name-mapping.default')",
            )),
            IdSource::File | IdSource::Names => Ok(()),
        }
    }
}

/// Gives the columns of a whole delete file, batch by batch, each with how many bytes of memory are taken to decode it.
///
/// # Errors
/// The file isn't what it should be, has no such columns, or `each` fails.
pub(super) fn each_batch(
    (uri, format): (&CanonicalUri, DeleteFormat),
    bytes: Bytes,
    wanted: &RowsWanted<'_>,
    each: &mut dyn FnMut(&[ArrayRef], usize) -> Result<()>,
) -> Result<()> {
    match format {
        DeleteFormat::Parquet => {
            for columns in DeleteColumns::open(uri, bytes, wanted)? {
                each(&columns?, 0)?;
            }
            Ok(())
        }
        DeleteFormat::Avro => avro_file::read(uri, &bytes, wanted, each),
        DeleteFormat::Puffin => internal_err!("{uri} is read as a file of rows"),
    }
}

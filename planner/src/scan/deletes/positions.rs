//! Position delete files: rows of paths and positions.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::Result;
use iceberg::spec::{MappedField, NameMapping};
use landfast_catalog::DeleteFormat;
use landfast_sites::CanonicalUri;
use roaring::RoaringTreemap;

use super::corrupt;
use super::rows::{RowsWanted, each_batch};
use crate::scan::columns::Absentees;
use crate::types::FIELD_ID_KEY;

/// The data file's path.
const PATH: (i32, &str) = (2_147_483_546, "file_path");

/// The row's position in it, from nought.
const POSITION: (i32, &str) = (2_147_483_545, "pos");

/// What an entry of a map costs besides its key and its bitmap.
const ENTRY_BYTES: usize = 64;

/// What a position takes in a bitmap, at most and as a rule.
const ROW_BYTES: usize = 2;

/// What one position delete file deletes, by data file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PositionFile {
    by_file: HashMap<CanonicalUri, Arc<RoaringTreemap>>,
}

impl PositionFile {
    /// What is deleted from a data file, by its path as it is written.
    pub(super) fn of(&self, file: &CanonicalUri) -> Option<&Arc<RoaringTreemap>> {
        self.by_file.get(file)
    }

    /// What this holds in memory, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let files = self.by_file.iter();
        files
            .map(|(uri, bitmap)| uri.as_str().len() + ENTRY_BYTES + bitmap_bytes(bitmap))
            .sum()
    }

    /// Reads a whole position delete file. Its rows may stand in any order, repeat themselves, and name files that are
    /// gone. `watch` is told now and then about how many bytes are held so far, and may stop the reading.
    pub(super) fn read(
        (uri, format): (&CanonicalUri, DeleteFormat),
        bytes: Bytes,
        mut watch: impl FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        static WANTED: LazyLock<SchemaRef> = LazyLock::new(wanted);
        static BY_NAME: LazyLock<NameMapping> = LazyLock::new(by_name);
        let absentees = Absentees::default();
        let wanted = RowsWanted {
            columns: &WANTED,
            mapping: Some(&BY_NAME),
            absentees: &absentees,
        };
        let mut found: HashMap<String, RoaringTreemap> = HashMap::new();
        let mut held = 0;
        let mut take = |columns: &[ArrayRef], decoding: usize| {
            let [paths, positions] = columns else {
                return Err(corrupt(uri, "it has not two columns"));
            };
            if paths.null_count() + positions.null_count() > 0 {
                return Err(corrupt(uri, "a path or a position in it is null"));
            }
            let paths = paths.as_string_view();
            let positions = positions.as_primitive::<Int64Type>().values();
            let mut at = 0;
            while at < positions.len() {
                let path = paths.value(at);
                let run = (at..positions.len()).take_while(|nth| paths.value(*nth) == path);
                let end = at + run.count();
                if !found.contains_key(path) {
                    found.insert(path.to_owned(), RoaringTreemap::new());
                    held += path.len() + 2 * ENTRY_BYTES;
                }
                if let Some(bitmap) = found.get_mut(path) {
                    for position in &positions[at..end] {
                        let position = u64::try_from(*position).map_err(|_| {
                            corrupt(uri, format!("it deletes the position {position}"))
                        })?;
                        bitmap.insert(position);
                    }
                }
                at = end;
            }
            held += positions.len() * ROW_BYTES;
            watch(held + decoding)
        };
        each_batch((uri, format), bytes, &wanted, &mut take)?;
        let by_file = found.into_iter().map(|(path, mut bitmap)| {
            bitmap.optimize();
            (CanonicalUri::new(path), Arc::new(bitmap))
        });
        Ok(Self {
            by_file: by_file.collect(),
        })
    }
}

/// What a bitmap holds in memory, in bytes.
pub(super) fn bitmap_bytes(bitmap: &RoaringTreemap) -> usize {
    let of = |bitmap: &roaring::RoaringBitmap| {
        let known = bitmap.statistics();
        let values = known.n_bytes_array_containers
            + known.n_bytes_bitset_containers
            + known.n_bytes_run_containers;
        values as usize + known.n_containers as usize * ENTRY_BYTES
    };
    let bitmaps = bitmap.bitmaps();
    bitmaps.map(|(_, bitmap)| ENTRY_BYTES + of(bitmap)).sum()
}

fn wanted() -> SchemaRef {
    let field = |(id, name): (i32, &str), of| {
        let metadata = [(FIELD_ID_KEY.to_owned(), id.to_string())];
        Field::new(name, of, false).with_metadata(metadata.into())
    };
    Arc::new(Schema::new(vec![
        field(PATH, DataType::Utf8View),
        field(POSITION, DataType::Int64),
    ]))
}

/// For a file that was written without field ids.
fn by_name() -> NameMapping {
    let field = |(id, name): (i32, &str)| MappedField::new(Some(id), vec![name.to_owned()], vec![]);
    NameMapping::new(vec![field(PATH), field(POSITION)])
}

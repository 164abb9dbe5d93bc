//! Delete files as writers write them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use iceberg::spec::{Literal, Struct};
use landfast_catalog::{DataFile, DeleteContent, DeleteFile, DeleteFormat};
use landfast_sites::{CanonicalUri, FileId};
use roaring::RoaringTreemap;

use super::lake::{Lake, batch, field};
use crate::scan::deletes::encode_vector;

/// Of an unpartitioned table, with the sequence number 1.
pub(super) fn delete_file(id: FileId, content: DeleteContent, rows: u64) -> DeleteFile {
    DeleteFile {
        id,
        format: match content {
            DeleteContent::Vector { .. } => DeleteFormat::Puffin,
            _ => DeleteFormat::Parquet,
        },
        content,
        rows,
        sequence_number: 1,
        spec_id: 0,
        partition: Arc::new(Struct::empty()),
        spans: Box::default(),
    }
}

/// A position delete file with these paths and positions.
pub(super) fn positions(lake: &Lake, uri: &str, rows: &[(&str, i64)]) -> DeleteFile {
    let paths: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
    let at: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let columns = batch(vec![
        (field(2_147_483_546, "file_path", DataType::Utf8), paths),
        (field(2_147_483_545, "pos", DataType::Int64), at),
    ]);
    positions_of(lake, uri, &columns)
}

/// A position delete file with these columns.
pub(super) fn positions_of(lake: &Lake, uri: &str, columns: &RecordBatch) -> DeleteFile {
    let written = lake.write(uri, columns, 0, vec![]);
    let content = DeleteContent::Positions { of: None };
    delete_file(written.id, content, written.rows)
}

/// A Puffin file with one deletion vector for each data file.
pub(super) fn vectors(lake: &Lake, uri: &str, of: &[(&str, &[u64])]) -> Vec<DeleteFile> {
    let mut puffin = b"PFA1".to_vec();
    let mut blobs = Vec::new();
    for (data, positions) in of {
        let bitmap: RoaringTreemap = positions.iter().copied().collect();
        let blob = encode_vector(&bitmap);
        let content = DeleteContent::Vector {
            of: CanonicalUri::new(*data),
            offset: puffin.len() as u64,
            length: blob.len() as u64,
        };
        blobs.push((content, bitmap.len()));
        puffin.extend(blob);
    }
    puffin.extend(b"{}PFA1");
    let id = lake.put(uri, &puffin);
    let blobs = blobs.into_iter();
    blobs
        .map(|(content, rows)| delete_file(id.clone(), content, rows))
        .collect()
}

/// An equality delete file whose keys are the rows of a batch.
pub(super) fn keys(lake: &Lake, uri: &str, columns: &RecordBatch) -> DeleteFile {
    let written = lake.write(uri, columns, 0, vec![]);
    let schema = columns.schema();
    let mut ids: Vec<i32> = schema
        .fields()
        .iter()
        .filter_map(|field| crate::types::field_id(field))
        .collect();
    ids.sort_unstable();
    let content = DeleteContent::Equality {
        field_ids: ids.into(),
    };
    delete_file(written.id, content, written.rows)
}

/// The same, with another sequence number.
pub(super) fn at(sequence_number: i64, mut delete: DeleteFile) -> DeleteFile {
    delete.sequence_number = sequence_number;
    delete
}

/// The same, for one partition of a spec.
pub(super) fn within(spec_id: i32, of: Vec<Option<Literal>>, mut delete: DeleteFile) -> DeleteFile {
    delete.spec_id = spec_id;
    delete.partition = Arc::new(of.into_iter().collect());
    delete
}

/// A data file with another sequence number.
pub(super) fn data_at(sequence_number: i64, mut data: DataFile) -> DataFile {
    data.sequence_number = sequence_number;
    data
}

//! Deletion vectors: one Puffin file of `deletion-vector-v1` blobs, as the Puffin specification frames them.

use std::collections::HashMap;

use iceberg::io::FileIO;
use iceberg::puffin::{Blob, CompressionCodec, DELETION_VECTOR_V1, PuffinWriter};
use roaring::RoaringTreemap;

const MAGIC: [u8; 4] = [0xd1, 0xd3, 0x39, 0x64];

/// The reserved id of a row's position, which is what a vector is about.
const POSITION_FIELD_ID: i32 = i32::MAX - 2;

/// Where a data file's vector lies in the Puffin file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) offset: i64,
    pub(crate) bytes: i64,
}

/// Writes a Puffin file with one vector for each data file, and says where each lies.
pub(crate) async fn write(
    io: &FileIO,
    uri: &str,
    files: &[(String, Vec<u64>)],
) -> anyhow::Result<Vec<Slice>> {
    let mut writer = PuffinWriter::new(&io.new_output(uri)?, HashMap::new(), false).await?;
    // The magic goes first; blobs are not compressed, so that each is as long as its data.
    let mut offset = 4;
    let mut slices = Vec::with_capacity(files.len());
    for (path, positions) in files {
        let data = blob(positions)?;
        let bytes = i64::try_from(data.len())?;
        slices.push(Slice { offset, bytes });
        offset += bytes;
        let blob = Blob::builder()
            .r#type(DELETION_VECTOR_V1.to_owned())
            .fields(vec![POSITION_FIELD_ID])
            .snapshot_id(-1)
            .sequence_number(-1)
            .data(data)
            .properties(HashMap::from([
                ("referenced-data-file".to_owned(), path.clone()),
                ("cardinality".to_owned(), positions.len().to_string()),
            ]))
            .build();
        writer.add(blob, CompressionCodec::None).await?;
    }
    writer.close().await?;
    Ok(slices)
}

/// Length of magic and bitmap (big-endian), magic, the portable 64-bit bitmap, CRC-32 of both (big-endian).
fn blob(positions: &[u64]) -> anyhow::Result<Vec<u8>> {
    let bitmap: RoaringTreemap = positions.iter().copied().collect();
    let mut content = MAGIC.to_vec();
    bitmap.serialize_into(&mut content)?;
    let mut out = u32::try_from(content.len())?.to_be_bytes().to_vec();
    out.extend_from_slice(&content);
    out.extend_from_slice(&crc32fast::hash(&content).to_be_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use roaring::RoaringTreemap;

    use super::{MAGIC, blob};

    #[test]
    fn a_vector_is_framed_as_the_specification_says() {
        let positions = [0, 7, 1 << 33];
        let framed = blob(&positions).unwrap();
        let length = u32::from_be_bytes(framed[..4].try_into().unwrap()) as usize;
        assert_eq!(length + 8, framed.len());
        assert_eq!(framed[4..8], MAGIC);
        let bitmap = RoaringTreemap::deserialize_from(&framed[8..4 + length]).unwrap();
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), positions);
        assert_eq!(
            framed[4 + length..],
            crc32fast::hash(&framed[4..4 + length]).to_be_bytes()
        );
    }
}

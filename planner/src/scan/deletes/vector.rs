//! Deletion vectors: blobs of the type `deletion-vector-v1` in Puffin files.

use flate2::Crc;
use roaring::RoaringTreemap;

/// What follows the length.
const MAGIC: [u8; 4] = [0xD1, 0xD3, 0x39, 0x64];

/// The length field, and the checksum.
const WORD: usize = 4;

/// The deleted positions of a blob: the length of magic and bitmap (big-endian), the magic, a 64-bit roaring bitmap in
/// the portable format, and the CRC-32 of magic and bitmap (big-endian).
///
/// # Errors
/// Which of these isn't so.
pub(super) fn decode(blob: &[u8]) -> Result<RoaringTreemap, String> {
    let (length, rest) = word(blob).ok_or("it is too short for a deletion vector")?;
    let length = u32::from_be_bytes(length) as usize;
    if length < WORD || rest.len() != length.saturating_add(WORD) {
        return Err(format!(
            "it says that its vector has {length} bytes, and has room for {}",
            rest.len().saturating_sub(WORD)
        ));
    }
    let (checked, sum) = rest.split_at(length);
    let Some((sum, [])) = word(sum) else {
        return Err("it has no checksum".to_owned());
    };
    let (magic, mut bitmap) = word(checked).ok_or("it has no magic bytes")?;
    if magic != MAGIC {
        return Err(format!(
            "it starts with {magic:02x?}, which is no deletion vector"
        ));
    }
    if checksum(checked) != u32::from_be_bytes(sum) {
        return Err("its checksum is wrong".to_owned());
    }
    let positions = RoaringTreemap::deserialize_from(&mut bitmap)
        .map_err(|error| format!("its bitmap can't be read: {error}"))?;
    if !bitmap.is_empty() {
        return Err(format!("{} bytes follow its bitmap", bitmap.len()));
    }
    Ok(positions)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(bytes);
    sum.sum()
}

fn word(bytes: &[u8]) -> Option<([u8; WORD], &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((*word, rest))
}

/// A blob as writers write it.
#[cfg(test)]
pub(in crate::scan) fn encode(positions: &RoaringTreemap) -> Vec<u8> {
    let mut checked = MAGIC.to_vec();
    positions.serialize_into(&mut checked).unwrap();
    let mut blob = (checked.len() as u32).to_be_bytes().to_vec();
    blob.extend(&checked);
    blob.extend(checksum(&checked).to_be_bytes());
    blob
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_blob_that_the_specification_describes_is_read() {
        // One 32-bit bitmap, high bits 0: an array container of the values 1 and 5, little-endian.
        let bitmap: [u8; 32] = [
            1, 0, 0, 0, 0, 0, 0, 0, // one bitmap
            0, 0, 0, 0, // its high bits
            0x3A, 0x30, 0, 0, // without run containers
            1, 0, 0, 0, // one container
            0, 0, 1, 0, // its high bits, and its cardinality less one
            16, 0, 0, 0, // where it starts
            1, 0, 5, 0,
        ];
        let mut checked = vec![0xD1, 0xD3, 0x39, 0x64];
        checked.extend(bitmap);
        let mut blob = vec![0, 0, 0, 36];
        blob.extend(&checked);
        blob.extend(checksum(&checked).to_be_bytes());
        assert_eq!(decode(&blob).unwrap(), RoaringTreemap::from_iter([1, 5]));
    }

    #[test]
    fn what_is_wrong_with_a_blob_is_said() {
        let good = encode(&RoaringTreemap::from_iter([3, 70_000, 1 << 40]));
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut blob = good.clone();
            change(&mut blob);
            decode(&blob).unwrap_err()
        };
        assert!(with(&|blob| blob.truncate(3)).contains("too short"));
        assert!(with(&|blob| blob[3] += 1).contains("room for"));
        assert!(with(&|blob| blob[4] = 0).contains("no deletion vector"));
        assert!(with(&|blob| blob[12] ^= 1).contains("checksum"));
        assert!(with(&|blob| *blob.last_mut().unwrap() ^= 1).contains("checksum"));
        assert!(with(&|blob| blob.push(0)).contains("room for"));
        let mut longer = good[4..good.len() - 4].to_vec();
        longer.push(0);
        let mut blob = (longer.len() as u32).to_be_bytes().to_vec();
        blob.extend(&longer);
        blob.extend(checksum(&longer).to_be_bytes());
        assert!(decode(&blob).unwrap_err().contains("follow"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(positions in proptest::collection::btree_set(0_u64..1 << 34, 0..200)) {
            let bitmap: RoaringTreemap = positions.into_iter().collect();
            prop_assert_eq!(decode(&encode(&bitmap)).unwrap(), bitmap);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(blob in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&blob);
            let mut checked = MAGIC.to_vec();
            checked.extend(&blob);
            let mut framed = (checked.len() as u32).to_be_bytes().to_vec();
            framed.extend(&checked);
            framed.extend(checksum(&checked).to_be_bytes());
            let _ = decode(&framed);
        }
    }
}

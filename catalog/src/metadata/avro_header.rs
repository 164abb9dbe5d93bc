//! The key-value header of an Avro file, read without the rest of it.
//!
//! Avro 1.11, "Object Container Files": the magic bytes, then a map of strings to bytes in blocks.

use std::collections::HashMap;

/// A header's length at most, in bytes: it holds the schema, so it isn't small.
const HEADER_BYTES_MAX: usize = 64 << 20;

/// Reads the header, or says why it is none.
pub(crate) fn read(bytes: &[u8]) -> Result<HashMap<String, Vec<u8>>, String> {
    let rest = bytes.strip_prefix(b"Obj\x01").ok_or("it is no Avro file")?;
    let mut cursor = Cursor {
        rest: &rest[..rest.len().min(HEADER_BYTES_MAX)],
    };
    let mut header = HashMap::new();
    loop {
        let mut count = cursor.long()?;
        if count == 0 {
            return Ok(header);
        }
        if count < 0 {
            // A negative count is followed by the block's length in bytes.
            cursor.long()?;
            count = count.checked_neg().ok_or("its header is damaged")?;
        }
        for _ in 0..count {
            let key =
                String::from_utf8(cursor.bytes()?.to_vec()).map_err(|_| "its header is damaged")?;
            let value = cursor.bytes()?.to_vec();
            header.insert(key, value);
        }
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A zigzag variable-length long.
    fn long(&mut self) -> Result<i64, String> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or("it ends in its header")?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err("its header is damaged".into())
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.long()?).map_err(|_| "its header is damaged")?;
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or("it ends in its header")?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `n` as Avro writes it.
    fn long(n: i64) -> Vec<u8> {
        let mut value = ((n << 1) ^ (n >> 63)) as u64;
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn header(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"Obj\x01".to_vec();
        if !entries.is_empty() {
            bytes.extend(long(entries.len() as i64));
        }
        for (key, value) in entries {
            bytes.extend(long(key.len() as i64));
            bytes.extend(key.as_bytes());
            bytes.extend(long(value.len() as i64));
            bytes.extend(value);
        }
        bytes.extend(long(0));
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in proptest::collection::btree_map(".*", proptest::collection::vec(any::<u8>(), 0..200), 0..8)) {
            let entries: Vec<_> = entries.into_iter().collect();
            let read = read(&header(&entries)).unwrap();
            prop_assert_eq!(read, entries.into_iter().collect::<HashMap<_, _>>());
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut file = b"Obj\x01".to_vec();
            file.extend(bytes);
            let _ = read(&file);
        }
    }

    #[test]
    fn a_header_that_ends_early_is_refused() {
        let whole = header(&[("format-version".into(), b"2".to_vec())]);
        for length in 0..whole.len() - 1 {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }
}

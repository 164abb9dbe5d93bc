//! The file around the values: a header with the schema, then blocks.

use std::collections::HashMap;
use std::sync::Arc;

use super::codec::{BLOCK_BYTES_MAX, Codec};
use super::{Cursor, Result, Schema};

/// A header's length at most, in bytes: it holds the schema, so it isn't small.
const HEADER_BYTES_MAX: usize = 64 << 20;

/// An Avro file whose header was read.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    header: HashMap<String, &'a [u8]>,
    pub(crate) schema: Arc<Schema>,
    codec: Codec,
    marker: [u8; 16],
    body: &'a [u8],
}

impl<'a> Container<'a> {
    /// Reads the header.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self> {
        let rest = bytes.strip_prefix(b"Obj\x01").ok_or("it is no Avro file")?;
        let mut cursor = Cursor::new(&rest[..rest.len().min(HEADER_BYTES_MAX)]);
        let mut header = HashMap::new();
        loop {
            let count = cursor.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // Followed by the block's length in bytes.
                cursor.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                let key = std::str::from_utf8(cursor.bytes()?);
                let key = key.map_err(|_| "its header is damaged")?.to_owned();
                header.insert(key, cursor.bytes()?);
            }
        }
        let mut marker = [0; 16];
        marker.copy_from_slice(cursor.take(16)?);
        let read = rest.len().min(HEADER_BYTES_MAX) - cursor.rest().len();
        let schema = header.get("avro.schema").copied();
        let codec = Codec::named(header.get("avro.codec").copied())?;
        Ok(Self {
            schema: Schema::parse(schema.ok_or("its header has no schema")?)?,
            codec,
            marker,
            body: &rest[read..],
            header,
        })
    }

    /// A value of the header that is text.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        std::str::from_utf8(self.header.get(key)?).ok()
    }

    /// Gives each block's values to `each`: how many there are, and where they lie. `each` must read them all.
    ///
    /// # Errors
    /// A block is torn or damaged, or `each` fails.
    pub(crate) fn blocks<E: From<super::Malformed>>(
        &self,
        each: impl FnMut(u64, &mut Cursor<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.blocks_within(BLOCK_BYTES_MAX, each)
    }

    /// The same, of blocks of at most so many bytes once they are decompressed.
    ///
    /// # Errors
    /// A block is torn, damaged or longer, or `each` fails.
    pub(super) fn blocks_within<E: From<super::Malformed>>(
        &self,
        bytes_max: usize,
        mut each: impl FnMut(u64, &mut Cursor<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut body = Cursor::new(self.body);
        let mut plain = Vec::new();
        while !body.is_empty() {
            let (count, block) = self.next_block(&mut body)?;
            let bytes = match self.codec {
                Codec::Null => block,
                codec => {
                    codec.decompress(block, &mut plain, bytes_max)?;
                    &plain
                }
            };
            if count > bytes.len() as u64 {
                return Err(super::Malformed::from("a block has more values than bytes").into());
            }
            let mut cursor = Cursor::new(bytes);
            each(count, &mut cursor)?;
            if !cursor.is_empty() {
                return Err(super::Malformed::from("a block has bytes left over").into());
            }
        }
        Ok(())
    }

    fn next_block(&self, body: &mut Cursor<'a>) -> Result<(u64, &'a [u8])> {
        let count = body.long()?;
        let count = u64::try_from(count).map_err(|_| "a block has a negative count")?;
        let block = body.bytes()?;
        if body.take(16)? != self.marker {
            return Err("a block isn't followed by the file's marker".into());
        }
        Ok((count, block))
    }
}

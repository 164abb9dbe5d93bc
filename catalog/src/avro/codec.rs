//! The codecs that Avro blocks are compressed with.

use std::io::Read;

use libdeflater::{DecompressionError, Decompressor};

use super::{Malformed, Result};

/// A block's length at most once it is decompressed, of a metadata file.
pub(super) const BLOCK_BYTES_MAX: usize = 1 << 30;

/// Snappy says how long its output is, and no output is longer than so many times the input.
const SNAPPY_EXPANSION_MAX: usize = 64;

/// No output of deflate is longer than so many times its input: 258 bytes for two bits.
const DEFLATE_EXPANSION_MAX: usize = 1032;

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

impl Codec {
    pub(super) fn named(name: Option<&[u8]>) -> Result<Self> {
        match name {
            None | Some(b"null" | b"") => Ok(Self::Null),
            Some(b"deflate") => Ok(Self::Deflate),
            Some(b"snappy") => Ok(Self::Snappy),
            Some(b"zstandard") => Ok(Self::Zstandard),
            Some(other) => Err(Malformed::new(format!(
                "it is compressed with the codec {:?}, which is none of null, deflate, snappy and zstandard",
                String::from_utf8_lossy(other)
            ))),
        }
    }

    /// Decompresses a block into `out`, whose content is lost: `bytes_max` at most.
    pub(super) fn decompress(
        self,
        block: &[u8],
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<()> {
        out.clear();
        match self {
            Self::Null => out.extend_from_slice(block),
            Self::Deflate => inflate(block, out, bytes_max)?,
            Self::Zstandard => {
                let decoder = zstd::stream::read::Decoder::with_buffer(block)
                    .map_err(|_| "a block can't be decompressed")?;
                unpack(decoder, out, bytes_max)?;
            }
            Self::Snappy => snappy(block, out, bytes_max)?,
        }
        Ok(())
    }
}

/// Raw deflate. It doesn't say how long its output is: where there is too little room, it begins again with twice as
/// much. A file's blocks are about as long as each other, so that only the first few do.
fn inflate(block: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<()> {
    let possible = block.len().saturating_mul(DEFLATE_EXPANSION_MAX);
    let longest = possible.min(bytes_max);
    let mut room = out
        .capacity()
        .max(block.len().saturating_mul(4))
        .min(longest);
    let mut decoder = Decompressor::new();
    loop {
        out.resize(room, 0);
        match decoder.deflate_decompress(block, out) {
            Ok(length) => {
                out.truncate(length);
                return Ok(());
            }
            Err(DecompressionError::InsufficientSpace) if room < longest => {
                room = room.saturating_mul(2).min(longest);
            }
            Err(DecompressionError::InsufficientSpace) => {
                return Err("a block is longer than any writer's".into());
            }
            Err(DecompressionError::BadData) => return Err("a block can't be decompressed".into()),
        }
    }
}

/// Grows as output comes, so that memory follows what is there, not what is claimed.
fn unpack(decoder: impl Read, out: &mut Vec<u8>, bytes_max: usize) -> Result<()> {
    decoder
        .take(bytes_max as u64 + 1)
        .read_to_end(out)
        .map_err(|_| "a block can't be decompressed")?;
    if out.len() > bytes_max {
        return Err("a block is longer than any writer's".into());
    }
    Ok(())
}

/// Raw snappy, followed by the CRC-32 of what was compressed.
fn snappy(block: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<()> {
    let split = block
        .len()
        .checked_sub(4)
        .ok_or("a block has no checksum")?;
    let (compressed, checksum) = block.split_at(split);
    let length = snap::raw::decompress_len(compressed).map_err(|_| "a block is no snappy")?;
    let possible = compressed.len().saturating_mul(SNAPPY_EXPANSION_MAX);
    if length > possible.min(bytes_max) {
        return Err("a block says that it is longer than it can be".into());
    }
    out.resize(length, 0);
    let written = snap::raw::Decoder::new()
        .decompress(compressed, out)
        .map_err(|_| "a block can't be decompressed")?;
    out.truncate(written);
    let mut crc = flate2::Crc::new();
    crc.update(out);
    if crc.sum().to_be_bytes() != checksum {
        return Err("a block's checksum is wrong".into());
    }
    Ok(())
}

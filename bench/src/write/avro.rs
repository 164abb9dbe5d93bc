//! Avro containers compressed as other writers leave them: iceberg's own writer knows no codec, Java's default is gzip
//! (Avro's `deflate`).

use std::io::Write as _;

use anyhow::{Context as _, bail, ensure};
use flate2::Compression;
use flate2::write::DeflateEncoder;

const MAGIC: &[u8] = b"Obj\x01";
const SYNC_BYTES: usize = 16;
const CODEC: &[u8] = b"avro.codec";

/// The same container with its blocks deflated; blocks are joined until they hold 64,000 bytes, as Java writes them.
pub(crate) fn deflate(container: &[u8]) -> anyhow::Result<Vec<u8>> {
    const BLOCK_BYTES: usize = 64_000;
    let mut rest = container.strip_prefix(MAGIC).context("no Avro container")?;
    let mut entries = Vec::new();
    loop {
        let count = long(&mut rest)?;
        if count == 0 {
            break;
        }
        ensure!(count > 0, "a header with sized blocks");
        for _ in 0..count {
            let key = bytes(&mut rest)?;
            let value = bytes(&mut rest)?;
            if key == CODEC {
                ensure!(value == b"null", "the container is compressed already");
            } else {
                entries.push((key, value));
            }
        }
    }
    entries.push((CODEC, b"deflate"));
    let sync = take(&mut rest, SYNC_BYTES)?;

    let mut out = MAGIC.to_vec();
    put_long(&mut out, i64::try_from(entries.len())?);
    for (key, value) in entries {
        put_bytes(&mut out, key)?;
        put_bytes(&mut out, value)?;
    }
    put_long(&mut out, 0);
    out.extend_from_slice(sync);

    let (mut objects, mut block) = (0, Vec::new());
    while !rest.is_empty() {
        objects += long(&mut rest)?;
        block.extend_from_slice(bytes(&mut rest)?);
        ensure!(
            take(&mut rest, SYNC_BYTES)? == sync,
            "a block ends without its mark"
        );
        if block.len() >= BLOCK_BYTES || rest.is_empty() {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&block)?;
            put_long(&mut out, objects);
            put_bytes(&mut out, &encoder.finish()?)?;
            out.extend_from_slice(sync);
            (objects, block) = (0, Vec::new());
        }
    }
    Ok(out)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> anyhow::Result<&'a [u8]> {
    let (taken, after) = rest
        .split_at_checked(count)
        .context("the container is cut off")?;
    *rest = after;
    Ok(taken)
}

fn bytes<'a>(rest: &mut &'a [u8]) -> anyhow::Result<&'a [u8]> {
    let count = usize::try_from(long(rest)?)?;
    take(rest, count)
}

/// Zigzag, seven bits a byte, the least first.
fn long(rest: &mut &[u8]) -> anyhow::Result<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    bail!("a number of more than 64 bits")
}

fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, value: &[u8]) -> anyhow::Result<()> {
    put_long(out, i64::try_from(value.len())?);
    out.extend_from_slice(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::DeflateDecoder;

    use super::{MAGIC, bytes, deflate, long, put_bytes, put_long, take};

    #[test]
    fn numbers_come_back() {
        for value in [0, -1, 1, 63, -64, 64, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_long(&mut out, value);
            assert_eq!(long(&mut out.as_slice()).unwrap(), value);
        }
    }

    #[test]
    fn blocks_are_joined_and_say_the_same_deflated() {
        let sync = [7_u8; 16];
        let mut plain = MAGIC.to_vec();
        put_long(&mut plain, 2);
        for (key, value) in [("avro.codec", "null"), ("avro.schema", "\"long\"")] {
            put_bytes(&mut plain, key.as_bytes()).unwrap();
            put_bytes(&mut plain, value.as_bytes()).unwrap();
        }
        put_long(&mut plain, 0);
        plain.extend_from_slice(&sync);
        for part in [&[2_u8, 4][..], &[6]] {
            put_long(&mut plain, part.len() as i64);
            put_bytes(&mut plain, part).unwrap();
            plain.extend_from_slice(&sync);
        }

        let packed = deflate(&plain).unwrap();
        let mut rest = packed.strip_prefix(MAGIC).unwrap();
        assert_eq!(long(&mut rest).unwrap(), 2);
        assert_eq!(bytes(&mut rest).unwrap(), b"avro.schema");
        assert_eq!(bytes(&mut rest).unwrap(), b"\"long\"");
        assert_eq!(bytes(&mut rest).unwrap(), b"avro.codec");
        assert_eq!(bytes(&mut rest).unwrap(), b"deflate");
        assert_eq!(long(&mut rest).unwrap(), 0);
        assert_eq!(take(&mut rest, 16).unwrap(), sync);
        assert_eq!(long(&mut rest).unwrap(), 3);
        let mut block = Vec::new();
        DeflateDecoder::new(bytes(&mut rest).unwrap())
            .read_to_end(&mut block)
            .unwrap();
        assert_eq!(block, [2, 4, 6]);
        assert_eq!(take(&mut rest, 16).unwrap(), sync);
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        assert!(deflate(b"Obj\x01\x02").is_err());
        assert!(deflate(b"PAR1").is_err());
    }
}

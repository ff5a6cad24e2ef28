//! The XOR of a file with its base, compressed by zstd: the delta that most tools ship.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use crate::{Row, timed};

/// Bytes that are compressed on their own, so that all threads have work.
const PIECE: usize = 1 << 21;

/// The level that such tools choose for its speed.
const LEVEL: i32 = 1;

/// Bytes of the target behind the end of the base stay as they are.
pub fn measure(base: &[u8], target: &[u8]) -> Result<Row> {
    let pieces: Vec<(&[u8], &[u8])> = target
        .chunks(PIECE)
        .enumerate()
        .map(|(i, target)| {
            let base = base.get(i * PIECE..).unwrap_or_default();
            (&base[..base.len().min(target.len())], target)
        })
        .collect();
    let encode = |(base, target): &(&[u8], &[u8])| Ok(zstd::bulk::compress(&combined(base, target), LEVEL)?);
    let (archives, encode_s) = timed(|| pieces.par_iter().map(encode).collect::<Result<Vec<Vec<u8>>>>())?;
    let decode = |((base, target), archive): (&(&[u8], &[u8]), &Vec<u8>)| {
        Ok(combined(base, &zstd::bulk::decompress(archive, target.len())?))
    };
    let (restored, decode_s) =
        timed(|| pieces.par_iter().zip(&archives).map(decode).collect::<Result<Vec<Vec<u8>>>>())?;
    ensure!(restored.concat() == target, "xor: decoded other bytes");
    Ok(Row { method: "-1", bytes: archives.iter().map(Vec::len).sum(), encode_s, decode_s })
}

/// Returns `other`, of which the bytes that `base` has are combined with it.
fn combined(base: &[u8], other: &[u8]) -> Vec<u8> {
    let (both, rest) = other.split_at(base.len());
    both.iter().zip(base).map(|(a, b)| a ^ b).chain(rest.iter().copied()).collect()
}

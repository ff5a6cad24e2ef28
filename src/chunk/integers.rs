//! Small signed numbers as bytes: zigzag numbers are binned, and the bins are entropy coded, with
//! the number's component as their context.

use super::Scratch;
use super::tokens::{self, TokenReader};
use crate::bytes::{ByteReader, put_prefixed};
use crate::entropy::bins::{self, BINS, TOKENS};
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::cluster::cluster;
use crate::entropy::log2::{FRACTION, entropy};
use crate::entropy::rans::STRIP;
use crate::error::Result;
use crate::predict::MAX_RANK;
use crate::zigzag::{unzigzag, zigzag};

/// Writes `numbers`, component by component; each component has `length` numbers.
pub(super) fn write(payload: &mut Vec<u8>, numbers: &[i16], length: usize) {
    let zigzags: Vec<u16> = numbers.iter().map(|&n| zigzag(n as u16)).collect();
    let coded: Vec<u8> = zigzags.iter().map(|&z| bins::token(u64::from(z))).collect();
    let clusters = cluster(&histogram(&coded, length), TOKENS);
    let mut tables = contexts(0, length, numbers.len());
    tokens::table_of(&clusters).map(&mut tables);
    tokens::write(payload, &clusters, &tables, &coded);
    let mut extra = BitWriter::default();
    for (&z, &token) in zigzags.iter().zip(&coded) {
        let (least, width) = BINS[usize::from(token)];
        extra.put(u32::from(z) - least as u32, width);
    }
    put_prefixed(payload, &extra.finish());
}

/// Returns the estimated bits of the bytes that [`write()`] appends, without the frequency tables.
pub(super) fn estimate(numbers: &[i16], length: usize) -> u64 {
    let coded: Vec<u8> = numbers.iter().map(|&n| bins::token(u64::from(zigzag(n as u16)))).collect();
    let raw: u64 = coded.iter().map(|&token| u64::from(BINS[usize::from(token)].1)).sum();
    (histogram(&coded, length).chunks_exact(TOKENS).map(entropy).sum::<u64>() >> FRACTION) + raw
}

/// Counts the tokens of each component: [`TOKENS`] counts per component.
fn histogram(coded: &[u8], length: usize) -> Vec<u32> {
    let mut histogram = vec![0; coded.len().div_ceil(length) * TOKENS];
    for (component, coded) in coded.chunks(length).enumerate() {
        coded.iter().for_each(|&token| histogram[component * TOKENS + usize::from(token)] += 1);
    }
    histogram
}

/// Reads the `count` numbers that [`write()`] wrote with the same `length`.
pub(super) fn read(
    payload: &mut ByteReader<'_>,
    count: usize,
    length: usize,
    scratch: &mut Scratch,
) -> Result<Vec<i16>> {
    let mut reader = TokenReader::new(payload, &mut scratch.decoder, bins::tokens(16))?;
    let mut extra = BitReader::new(payload.prefixed()?);
    let mut numbers = Vec::with_capacity(count);
    let mut tokens = [0; STRIP];
    for start in (0..count).step_by(STRIP) {
        let mut contexts = contexts(start, length, STRIP.min(count - start));
        let tokens = &mut tokens[..contexts.len()];
        reader.strip(&mut contexts, tokens);
        numbers.extend(tokens.iter().map(|&token| {
            let (least, width) = BINS[usize::from(token)];
            unzigzag((least + extra.get_any(width)) as u16) as i16
        }));
    }
    reader.finish()?;
    extra.finish()?;
    Ok(numbers)
}

/// Returns the contexts of `count` numbers from number `start` on, which are their components.
fn contexts(start: usize, length: usize, count: usize) -> Vec<u8> {
    const { assert!(MAX_RANK <= 95) };
    let mut contexts = Vec::with_capacity(count);
    while contexts.len() < count {
        let component = (start + contexts.len()) / length;
        let end = ((component + 1) * length - start).min(count);
        contexts.resize(end, component as u8);
    }
    contexts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for (components, length) in [(1, 1), (3, 40), (64, 300), (2, 5000)] {
            let numbers: Vec<i16> = (0..components * length)
                .map(|i| match i % 11 {
                    0 => i16::MIN,
                    1 => i16::MAX,
                    _ => (i * i % 2001) as i16 / (1 + (i / length) as i16) - 30,
                })
                .collect();
            let mut payload = Vec::new();
            write(&mut payload, &numbers, length);
            assert!(estimate(&numbers, length) / 8 < payload.len() as u64);
            let mut reader = ByteReader::new(&payload);
            assert!(read(&mut reader, numbers.len(), length, &mut Scratch::default()).unwrap() == numbers);
            reader.finish().unwrap();
        }
    }
}

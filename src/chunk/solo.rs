//! A chunk of floats without a base: the leading bits of each magnitude coded, the rest raw.
//!
//! Payload: the number of raw bits, the least leading value, the tokens, the raw bits to the end.
//! A token is the leading value counted from the least one; [`ESCAPE`] stands for values too far up,
//! whose leading bits follow raw. Sign and raw bits follow every element.

use super::Scratch;
use super::tokens::{self, TokenReader};
use crate::bytes::{ByteReader, put_varint};
use crate::delta::word::Word;
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::cluster::cluster;
use crate::entropy::rans::STRIP;
use crate::error::{Error, Result};

/// The token of a leading value that has none.
const ESCAPE: u8 = 255;

/// Mantissa bits that are coded with the exponent, where the range of exponents leaves room.
const MANTISSA: u32 = 2;

/// The payload of `target`, whose length is positive.
pub(super) fn encode<W: Word>(mantissa: u32, target: &[u8]) -> Vec<u8> {
    let words: Vec<u64> = target.chunks_exact(W::BYTES).map(|bytes| W::load(bytes).widen()).collect();
    let magnitude = (1u64 << (W::BITS - 1)) - 1;
    let raw = mantissa.saturating_sub(MANTISSA);
    let (raw, least) = fit(&words, magnitude, raw);
    let token = |word: u64| {
        let leading = (word & magnitude) >> raw;
        leading.checked_sub(least).filter(|&t| t < u64::from(ESCAPE)).map_or(ESCAPE, |t| t as u8)
    };
    let tokens: Vec<u8> = words.iter().map(|&word| token(word)).collect();
    let mut histogram = vec![0; 256];
    tokens.iter().for_each(|&t| histogram[usize::from(t)] += 1);
    let mut payload = vec![raw as u8];
    put_varint(&mut payload, least);
    tokens::write(&mut payload, &cluster(&histogram, 256), &vec![0; tokens.len()], &tokens);
    let mut extra = BitWriter::default();
    for (&word, &token) in words.iter().zip(&tokens) {
        if token == ESCAPE {
            extra.put_wide(word, W::BITS);
        } else {
            extra.put_wide(word & ((1 << raw) - 1) | (word >> (W::BITS - 1)) << raw, raw + 1);
        }
    }
    payload.extend_from_slice(&extra.finish());
    payload
}

/// The number of raw bits, at least `raw`, and the least leading value, so that nearly all values
/// have a token: at most one in 4,096 is left out.
fn fit(words: &[u64], magnitude: u64, raw: u32) -> (u32, u64) {
    let mut counts = vec![0usize; (magnitude >> raw) as usize + 1];
    words.iter().for_each(|word| counts[((word & magnitude) >> raw) as usize] += 1);
    let outliers = words.len() / 8192;
    let beyond = |count: &usize, passed: &mut usize| {
        *passed += count;
        *passed > outliers
    };
    let (mut below, mut above) = (0, 0);
    let low = counts.iter().position(|count| beyond(count, &mut below)).unwrap_or(0) as u64;
    let high = counts.iter().rposition(|count| beyond(count, &mut above)).unwrap_or(0) as u64;
    let mut more = 0;
    while (high >> more) - (low >> more) >= u64::from(ESCAPE) {
        more += 1;
    }
    (raw + more, low >> more)
}

/// Restores `target` from the payload that [`encode`] made of it.
pub(super) fn decode<W: Word>(payload: &[u8], target: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let raw = u32::from(payload.u8()?);
    if raw >= W::BITS {
        return Err(Error::corrupt("raw bits of an element").figures(format_args!("below {}", W::BITS), raw));
    }
    let least = payload.varint()?;
    let count = target.len() / W::BYTES;
    let mut reader = TokenReader::new(&mut payload, &mut scratch.decoder, count)?;
    let mut extra = BitReader::new(payload.rest());
    let table = [reader.table_of[0]; STRIP];
    let mut tokens = [0; STRIP];
    for target in target.chunks_mut(STRIP * W::BYTES) {
        let tokens = &mut tokens[..target.len() / W::BYTES];
        reader.strip(&table[..tokens.len()], tokens);
        for (&token, bytes) in tokens.iter().zip(target.chunks_exact_mut(W::BYTES)) {
            let word = if token == ESCAPE {
                extra.get_wide(W::BITS)
            } else {
                let rest = extra.get_wide(raw + 1);
                let leading = least.wrapping_add(u64::from(token)) << raw;
                (rest >> raw) << (W::BITS - 1) | (leading & ((1 << (W::BITS - 1)) - 1)) | rest & ((1 << raw) - 1)
            };
            W::truncate(word).store(bytes);
        }
    }
    reader.finish()?;
    extra.finish()
}

//! The decoder: the base's words, of which the changes replace some.

use super::{DELTAS, FEW, GAPS};
use crate::bytes::ByteReader;
use crate::chunk::Scratch;
use crate::chunk::tokens::TokenReader;
use crate::delta::apply::apply;
use crate::delta::word::{self, Word};
use crate::entropy::bins::BINS;
use crate::entropy::bits::BitReader;
use crate::entropy::rans::STRIP;
use crate::error::{Error, Result};
use crate::layout::dtype::Fields;

/// Restores `target` from its base and the payload that [`encode_any`](super::encode_any())
/// returned, for words of `width` bytes.
pub(in crate::chunk) fn decode_any(
    (width, fields): (usize, Fields),
    payload: &[u8],
    base: &[u8],
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let (most, stated) = ((target.len() / width / FEW) as u64, payload.varint()?);
    if stated > most {
        let expected = format_args!("{most} at most").to_string();
        return Err(Error::corrupt("too many words of a sparse chunk change").figures(expected, stated));
    }
    let mut tokens = vec![0; 2 * stated as usize];
    read_tokens(&mut payload, &mut tokens, super::tokens(8 * width as u32), scratch)?;
    let (gaps, deltas) = tokens.split_at(stated as usize);
    let gaps = Numbers { tokens: gaps, extra: BitReader::new(payload.prefixed()?) };
    let deltas = Numbers { tokens: deltas, extra: BitReader::new(payload.rest()) };
    write((width, fields), (gaps, deltas), base, target)
}

/// Reads the tokens of all gaps, and then of as many differences.
fn read_tokens(payload: &mut ByteReader<'_>, tokens: &mut [u8], symbols: usize, scratch: &mut Scratch) -> Result<()> {
    let mut reader = TokenReader::new(payload, &mut scratch.decoder, symbols)?;
    let (mut contexts, mut gaps) = ([0; STRIP], tokens.len() / 2);
    for strip in tokens.chunks_mut(STRIP) {
        let contexts = &mut contexts[..strip.len()];
        let (own, others) = contexts.split_at_mut(gaps.min(strip.len()));
        own.fill(GAPS);
        others.fill(DELTAS);
        gaps -= own.len();
        reader.strip(contexts, strip);
    }
    reader.finish()
}

/// Numbers as tokens and raw bits.
struct Numbers<'t, 'b> {
    tokens: &'t [u8],
    extra: BitReader<'b>,
}

impl Numbers<'_, '_> {
    #[inline(always)]
    fn next(&mut self) -> Option<u64> {
        let (&token, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        let (least, width) = BINS[usize::from(token)];
        let rest = if width <= 32 { self.extra.get_any(width) } else { self.extra.get_wide(width) };
        Some(least.wrapping_add(rest))
    }
}

/// Writes the words of `base` to `target`, and those that change in their place.
fn write(
    (width, fields): (usize, Fields),
    (mut gaps, mut deltas): (Numbers<'_, '_>, Numbers<'_, '_>),
    base: &[u8],
    target: &mut [u8],
) -> Result<()> {
    // The number of words of the strips to come before the next change.
    let mut next = gaps.next();
    for (base, target) in base.chunks(STRIP * width).zip(target.chunks_mut(STRIP * width)) {
        target.copy_from_slice(base);
        let count = (target.len() / width) as u64;
        while let Some(place) = next.filter(|&place| place < count) {
            let delta = deltas.next().unwrap_or(0).wrapping_add(1);
            let word = &mut target[place as usize * width..][..width];
            for_width!(width, self::change(fields, word, delta));
            next = gaps.next().map(|gap| gap.saturating_add(place + 1));
        }
        next = next.map(|place| place - count);
    }
    if next.is_some() {
        let left = gaps.tokens.len() + 1;
        return Err(Error::corrupt("changes lie behind the end of a sparse chunk").figures(0, left));
    }
    gaps.extra.finish()?;
    deltas.extra.finish()
}

/// Changes the word in `bytes` by a difference.
#[inline(always)]
fn change<W: Word>(fields: Fields, bytes: &mut [u8], delta: u64) {
    let word = apply(fields, word::read::<W>(bytes), W::truncate(delta));
    bytes.copy_from_slice(bytemuck::bytes_of(&word.little()));
}

//! The decoder, strip by strip: contexts, tokens, and the words that they make of the base's.

use super::{Base, Coding, loader, zero_token};
use crate::bytes::ByteReader;
use crate::chunk::tokens::TokenReader;
use crate::chunk::{Matrix, Scratch, scales};
use crate::delta::apply::{apply, apply_direct};
use crate::delta::prefetch::{PARTS, prefetch};
use crate::delta::word::{self, Word};
use crate::entropy::bins::{BINS, DIRECT};
use crate::entropy::bits::BitReader;
use crate::entropy::bytes64::{Places, at_least};
use crate::entropy::rans::STRIP;
use crate::error::Result;
use crate::layout::dtype::Fields;

/// Calls [`decode`] for words of `width` bytes that have their own exponents.
pub(in crate::chunk) fn decode_any(
    (width, fields): (usize, Fields),
    matrix: Matrix,
    payload: &[u8],
    base: &[u8],
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let coding = Coding { fields, blocks: None };
    for_width!(width, self::decode(coding, matrix, payload, base, target, scratch))
}

/// Calls [`decode_alone`] for words of `width` bytes.
pub(in crate::chunk) fn decode_alone_any(
    (width, fields): (usize, Fields),
    matrix: Matrix,
    payload: &[u8],
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let coding = Coding { fields, blocks: None };
    for_width!(width, self::decode_alone(coding, matrix, payload, target, scratch))
}

/// Does the same as [`decode`] for a base whose words are all 0.
fn decode_alone<W: Word>(
    coding: Coding<'_>,
    matrix: Matrix,
    payload: &[u8],
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let zeros = Base { fill: &|_, words: &mut [W]| words.fill(W::default()), bytes: &[] };
    decode_moved(coding, matrix, payload, &zeros, target, scratch)
}

/// Restores `target` from its base and the payload that [`encode`](super::encode()) returned.
pub(in crate::chunk) fn decode<W: Word>(
    coding: Coding<'_>,
    matrix: Matrix,
    payload: &[u8],
    base: &[u8],
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    decode_moved(coding, matrix, payload, &Base { fill: &loader::<W>(base), bytes: base }, target, scratch)
}

/// Does the same as [`decode`], for a base that need not be in memory. The bytes of the next strip
/// are asked for between the stages of each strip.
pub(in crate::chunk) fn decode_moved<W: Word>(
    coding: Coding<'_>,
    matrix: Matrix,
    payload: &[u8],
    base: &Base<'_, W>,
    mut target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let count = target.len() / W::BYTES;
    let mut payload = ByteReader::new(payload);
    let model = scales::read(&mut payload, matrix, count, coding.unit(), scratch)?;
    let mut reader = TokenReader::new(&mut payload, &mut scratch.decoder, zero_token::<W>() + 1)?;
    let zeros = reader.ends_with(zero_token::<W>());
    let mut extra = BitReader::new(payload.rest());
    let (mut words, mut exponents) = ([W::default(); STRIP], [0; STRIP]);
    let (mut contexts, mut tokens) = ([0; STRIP], [0; STRIP]);
    let mut strip = Strip::default();
    for start in (0..count).step_by(STRIP) {
        let count = STRIP.min(count - start);
        let (here, next) = target.split_at_mut(count * W::BYTES);
        const { assert!(PARTS == 4) };
        let ahead = |part| {
            base.prefetch(start + STRIP, part);
            prefetch(next, STRIP * W::BYTES, part);
        };
        let (contexts, tokens) = (&mut contexts[..count], &mut tokens[..count]);
        in_words(here, &mut words[..count], |words| {
            (base.fill)(start, words);
            ahead(0);
            coding.exponents(words, start, &mut exponents[..count]);
            model.contexts(&exponents[..count], start, contexts);
            ahead(1);
            reader.strip(contexts, tokens);
            ahead(2);
            if zeros {
                strip.apply_with_zeros(coding.fields, words, tokens, &mut extra);
            } else {
                strip.apply(coding.fields, words, tokens, &mut extra);
            }
            ahead(3);
        });
        target = next;
    }
    reader.finish()?;
    extra.finish()
}

/// Fills `bytes` with the words that `compute` computes: in their places where these are aligned and
/// words are as the processor has them, and elsewhere in `buffer`, from where they are copied.
fn in_words<W: Word>(bytes: &mut [u8], buffer: &mut [W], compute: impl FnOnce(&mut [W])) {
    let (words, in_place) = match bytemuck::try_cast_slice_mut(&mut *bytes) {
        Ok(words) if cfg!(target_endian = "little") => (words, true),
        _ => (&mut *buffer, false),
    };
    compute(words);
    if !in_place {
        word::store(buffer, bytes);
    }
}

/// Buffers for the words of a strip whose tokens are not all that there is to know.
struct Strip<W> {
    places: Places,
    words: [W; STRIP],
    zeros: Vec<usize>,
}

impl<W: Word> Default for Strip<W> {
    fn default() -> Self {
        Self { places: Places::default(), words: [W::default(); STRIP], zeros: Vec::new() }
    }
}

impl<W: Word> Strip<W> {
    /// Turns `words` of the base into those of the target. Those with raw bits are computed from
    /// the base first. Then all are computed as if there were no raw bits, which takes no branch.
    fn apply(&mut self, fields: Fields, words: &mut [W], tokens: &[u8], extra: &mut BitReader<'_>) {
        self.places.find(tokens, at_least::<{ DIRECT as u8 }>);
        let places = self.places.get();
        for (word, &place) in self.words.iter_mut().zip(places) {
            let place = usize::from(place);
            let (least, width) = BINS[usize::from(tokens[place])];
            let rest = if W::BITS <= 32 { extra.get(width) } else { extra.get_wide(width) };
            *word = apply(fields, words[place], W::truncate(least.wrapping_add(rest)));
        }
        apply_direct(fields, words, tokens);
        self.words.iter().zip(places).for_each(|(&word, &place)| words[usize::from(place)] = word);
    }

    /// Does the same as [`apply`](Self::apply), for tokens that may be the one of words that became
    /// 0.
    fn apply_with_zeros(&mut self, fields: Fields, words: &mut [W], tokens: &mut [u8], extra: &mut BitReader<'_>) {
        let zero = zero_token::<W>() as u8;
        let mut zeros = std::mem::take(&mut self.zeros);
        zeros.clear();
        zeros.extend(tokens.iter().enumerate().filter(|(_, token)| **token == zero).map(|(i, _)| i));
        zeros.iter().for_each(|&i| tokens[i] = 0);
        self.apply(fields, words, tokens, extra);
        zeros.iter().for_each(|&i| words[i] = W::default());
        self.zeros = zeros;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words are computed at any address, and leave the bytes around them as they were.
    #[test]
    fn words_are_placed_at_any_address() {
        for start in 0..8 {
            let mut bytes = [9u8; 8 + 3 * 4 + 8];
            in_words(&mut bytes[start..start + 3 * 4], &mut [0u32; 3], |words: &mut [u32]| {
                words.copy_from_slice(&[0x0403_0201, 0x0807_0605, 0x0c0b_0a09]);
            });
            assert!(bytes[start..start + 12].iter().copied().eq(1..=12), "{start}");
            assert!(bytes[..start].iter().chain(&bytes[start + 12..]).all(|&byte| byte == 9), "{start}");
        }
    }
}

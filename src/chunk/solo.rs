//! A chunk of floats without a base: the leading bits of each magnitude are entropy coded, and the
//! other bits are stored raw.
//!
//! The payload holds the number of raw bits, the number of low bits that are 0 in every word if
//! there are any, the least leading value, the context model, the tokens, and to its end the raw
//! bits. Without a base there are no exponents for contexts, but a model may have the scales of
//! rows and columns.
//!
//! A token is an element's leading value, counted from the least one; the element's sign and its
//! other bits are raw. [`ESCAPE`] is the token of an element whose leading value is out of range:
//! all its bits are raw. [`ZERO`] is the token of an element whose bits are all 0: none is raw.

use super::tokens::{self, TokenReader};
use super::{Effort, Matrix, Scratch, scales};
use crate::bytes::{ByteReader, put_varint};
use crate::delta::context::{CONTEXTS, Model, Scaled, Unit};
use crate::delta::scale::ScaleMeter;
use crate::delta::word::{self, Word};
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::cluster::{Clusters, cluster};
use crate::entropy::frequency::{FrequencyTable, table_cost};
use crate::entropy::log2::FRACTION;
use crate::entropy::rans::STRIP;
use crate::error::{Error, Result};

/// The token of every leading value that is out of the range of tokens.
const ESCAPE: u8 = 255;

/// The token of a word that is 0.
const ZERO: u8 = 254;

/// The bit of the number of raw bits which says that the number of bits that are 0 follows.
const IDLE: u8 = 0x80;

/// The largest number of mantissa bits that are coded with the exponent.
const MANTISSA: u32 = 3;

/// The shift of scaled contexts: there are 16 >> `SHIFT` of them per octave.
const SHIFT: u32 = 3;

/// Words whose raw bits are read and written together, if each of them has a leading value.
const BLOCK: usize = 64;

/// A way to split the elements of a chunk into tokens and raw bits.
struct Split {
    /// Number of raw bits of a magnitude.
    raw: u32,
    /// The leading value of token 0.
    least: u64,
    /// The counts of all tokens, in one context.
    clusters: Clusters,
    /// Estimated size of tokens and raw bits, in bits.
    bits: u64,
}

/// The elements of a chunk.
struct Elements {
    words: Vec<u64>,
    /// Bits of an element.
    width: u32,
    /// Bits of an element's mantissa.
    mantissa: u32,
    /// Low bits that are 0 in every element, at most those of the mantissa.
    idle: u32,
}

/// Encodes `target`, whose length is above 0, and returns the payload. `mantissa` is the number of
/// mantissa bits of its floats.
pub(super) fn encode<W: Word>(mantissa: u32, matrix: Matrix, target: &[u8], effort: Effort) -> Vec<u8> {
    let words: Vec<u64> = word::load_all::<W>(target).into_iter().map(W::widen).collect();
    let idle = words.iter().fold(0, |any, word| any | word).trailing_zeros().min(mantissa);
    let elements = Elements { words, width: W::BITS, mantissa, idle };
    let split = elements.splits().min_by_key(|split| split.bits);
    split.map_or(Vec::new(), |split| elements.write(&split, matrix, effort))
}

impl Elements {
    /// Returns the mask of the bits of a magnitude: all but the sign.
    fn magnitude(&self) -> u64 {
        (1 << (self.width - 1)) - 1
    }

    /// Returns the splits by their numbers of raw bits. The words are counted once, by their finest
    /// leading values.
    fn splits(&self) -> impl Iterator<Item = Split> {
        let finest = self.mantissa.saturating_sub(MANTISSA);
        let magnitude = self.magnitude();
        let mut counts = vec![0u32; (magnitude >> finest) as usize + 1];
        self.words.iter().for_each(|word| counts[((word & magnitude) >> finest) as usize] += 1);
        let zeros = self.words.iter().filter(|&&word| word == 0).count() as u32;
        counts[0] -= zeros;
        (finest..=self.mantissa).map(move |raw| {
            let split = self.split(raw, &counts, zeros);
            counts = counts.chunks(2).map(|pair| pair.iter().sum()).collect();
            split
        })
    }

    /// Returns the split with `raw` raw bits per magnitude, or with as many more as it takes for
    /// the leading values to fit the tokens; at most one element in 4,096 may be left out and
    /// escaped. `counts` has the number of words with each leading value, without the `zeros`.
    fn split(&self, raw: u32, counts: &[u32], zeros: u32) -> Split {
        let outliers = (self.words.len() as u32 - zeros) / 8192;
        let beyond = |count: &u32, passed: &mut u32| {
            *passed += count;
            *passed > outliers
        };
        let (mut below, mut above) = (0, 0);
        let low = counts.iter().position(|count| beyond(count, &mut below)).unwrap_or(0);
        let high = counts.iter().rposition(|count| beyond(count, &mut above)).unwrap_or(0);
        let mut more = 0;
        while (high >> more) - (low >> more) >= usize::from(ZERO) {
            more += 1;
        }
        let least = (low >> more) as u64;
        let mut histogram = vec![0; 256];
        for (leading, &count) in counts.iter().enumerate() {
            histogram[usize::from(token((leading >> more) as u64, least))] += count;
        }
        histogram[usize::from(ZERO)] = zeros;
        let clusters = cluster(&histogram, 256);
        let escaped = u64::from(histogram[usize::from(ESCAPE)]);
        let raw = raw + more;
        let plain = self.words.len() as u64 - u64::from(zeros) - escaped;
        let bits = coded(&clusters) + escaped * u64::from(self.width) + plain * u64::from(raw + 1 - self.idle.min(raw));
        Split { raw, least, clusters, bits }
    }

    /// Returns the token of every element.
    fn tokens(&self, split: &Split) -> Vec<u8> {
        let magnitude = self.magnitude();
        let token = |word| if word == 0 { ZERO } else { token((word & magnitude) >> split.raw, split.least) };
        self.words.iter().map(|&word| token(word)).collect()
    }

    /// Returns a model with the mean magnitudes of rows and columns as scales, and the raw contexts
    /// that it gives to the elements.
    fn scaled(&self, matrix: Matrix) -> (Model, Vec<u8>) {
        let fraction = (1 << self.mantissa) - 1;
        let sizes: Vec<f32> = self.words.iter().map(|word| ((word & fraction) | (fraction + 1)) as f32).collect();
        let exponent = |word: &u64| ((word & self.magnitude()) >> self.mantissa) as u16;
        let exponents: Vec<u16> = self.words.iter().map(exponent).collect();
        let mut meter = ScaleMeter::new(matrix.columns, if self.width == 64 { Unit::WideOctave } else { Unit::Octave });
        meter.add(&sizes, &exponents);
        let measured = meter.finish();
        let model =
            Model::Scaled(Scaled { row_floor: 0, column_floor: 0, ..scales::relative(&measured, SHIFT, Unit::Octave) });
        let mut raw = vec![0; self.words.len()];
        model.contexts(&vec![0; self.words.len()], 0, &mut raw);
        (model, raw)
    }

    /// Returns the payload, with scaled contexts where `effort` and the shape allow them and they
    /// pay.
    fn write(&self, split: &Split, matrix: Matrix, effort: Effort) -> Vec<u8> {
        let tokens = self.tokens(split);
        let single = (Model::Single, vec![0; tokens.len()]);
        if effort == Effort::Fast || matrix.columns < 2 || matrix.columns * 2 > tokens.len() {
            return self.payload(split, &tokens, single, &split.clusters);
        }
        let scaled = self.scaled(matrix);
        let mut histogram = vec![0u32; CONTEXTS * 256];
        for (&raw, &token) in scaled.1.iter().zip(&tokens) {
            histogram[usize::from(raw) * 256 + usize::from(token)] += 1;
        }
        let clusters = cluster(&histogram, 256);
        if coded(&clusters) + scales::cost(&scaled.0) < coded(&split.clusters) {
            return self.payload(split, &tokens, scaled, &clusters);
        }
        self.payload(split, &tokens, single, &split.clusters)
    }

    fn payload(&self, split: &Split, tokens: &[u8], model: (Model, Vec<u8>), clusters: &Clusters) -> Vec<u8> {
        let idle = self.idle.min(split.raw);
        let mut payload = if idle > 0 { vec![split.raw as u8 | IDLE, idle as u8] } else { vec![split.raw as u8] };
        put_varint(&mut payload, split.least);
        scales::write(&mut payload, &model.0);
        let map = tokens::table_of(clusters);
        let mut tables = model.1;
        map.map(&mut tables);
        tokens::write(&mut payload, clusters, &tables, tokens);
        let mut extra = BitWriter::default();
        for (words, tokens) in self.words.chunks(BLOCK).zip(tokens.chunks(BLOCK)) {
            self.put_rests(split.raw, words, tokens, &mut extra);
        }
        payload.extend_from_slice(&extra.finish());
        payload
    }

    /// Writes the raw bits of at most a block of words.
    fn put_rests(&self, raw: u32, words: &[u64], tokens: &[u8], extra: &mut BitWriter) {
        let (sign, low, idle) = (self.width - 1, (1 << raw) - 1, self.idle.min(raw));
        let rest = |word: u64| (word & low | (word >> sign) << raw) >> idle;
        if self.width <= u32::BITS && are_leading(tokens) {
            let mut rests = [0; BLOCK];
            rests.iter_mut().zip(words).for_each(|(out, &word)| *out = rest(word) as u32);
            return extra.put_all(&rests[..words.len()], raw + 1 - idle);
        }
        for (&word, &token) in words.iter().zip(tokens) {
            match token {
                ZERO => {}
                ESCAPE => extra.put_wide(word, self.width),
                _ => extra.put_wide(rest(word), raw + 1 - idle),
            }
        }
    }
}

/// Returns true if every token is a leading value.
fn are_leading(tokens: &[u8]) -> bool {
    tokens.iter().fold(0, |most, &token| most.max(token)) < ZERO
}

/// Returns the estimated bits of tokens and tables. With so many tokens the rounding of frequencies
/// matters, so this is the cost with the actual tables and not the entropy.
fn coded(clusters: &Clusters) -> u64 {
    let bits = |counts: &Vec<u32>| FrequencyTable::from_counts(counts).cost(counts) + table_cost(counts);
    clusters.counts.iter().map(bits).sum::<u64>() >> FRACTION
}

/// Returns the token of a leading value, where `least` has token 0.
fn token(leading: u64, least: u64) -> u8 {
    leading.checked_sub(least).filter(|&token| token < u64::from(ZERO)).map_or(ESCAPE, |token| token as u8)
}

/// Restores `target` from the payload that [`encode`] returned.
pub(super) fn decode<W: Word>(matrix: Matrix, payload: &[u8], target: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let parts = Parts::read::<W>(&mut payload)?;
    let count = target.len() / W::BYTES;
    let model = scales::read(&mut payload, matrix, count, Unit::Octave, scratch)?;
    let mut reader = TokenReader::new(&mut payload, &mut scratch.decoder, 256)?;
    let mut extra = BitReader::new(payload.rest());
    let (mut contexts, mut tokens, mut words) = ([0; STRIP], [0; STRIP], [W::default(); STRIP]);
    for (i, target) in target.chunks_mut(STRIP * W::BYTES).enumerate() {
        let count = target.len() / W::BYTES;
        let (contexts, tokens, words) = (&mut contexts[..count], &mut tokens[..count], &mut words[..count]);
        // There is no base, so contexts depend only on the element's row and column.
        model.contexts(&[0; STRIP][..count], i * STRIP, contexts);
        reader.strip(contexts, tokens);
        parts.join(tokens, &mut extra, words);
        word::store(words, target);
    }
    reader.finish()?;
    extra.finish()
}

/// The parts of the words of a chunk.
struct Parts {
    /// Number of raw bits of a magnitude.
    raw: u32,
    /// Number of low bits that are 0 in every word.
    idle: u32,
    /// The leading value of token 0.
    least: u64,
}

impl Parts {
    /// Reads the parts of words of type `W` from the head of a payload.
    ///
    /// # Errors
    /// `Corrupt` for more bits than a word has.
    fn read<W: Word>(payload: &mut ByteReader<'_>) -> Result<Self> {
        let first = payload.u8()?;
        let raw = u32::from(first & !IDLE);
        if raw >= W::BITS {
            let expected = format_args!("below {}", W::BITS);
            return Err(Error::corrupt("an element has too many raw bits").figures(expected, raw));
        }
        let idle = if first & IDLE != 0 { u32::from(payload.u8()?) } else { 0 };
        if idle > raw {
            let expected = format_args!("at most {raw}");
            return Err(Error::corrupt("an element has too many bits that are 0").figures(expected, idle));
        }
        Ok(Self { raw, idle, least: payload.varint()? })
    }

    /// Computes the word of each token.
    fn join<W: Word>(&self, tokens: &[u8], extra: &mut BitReader<'_>, words: &mut [W]) {
        for (tokens, words) in tokens.chunks(BLOCK).zip(words.chunks_mut(BLOCK)) {
            if W::BITS <= u32::BITS && are_leading(tokens) {
                let mut rests = [0; BLOCK];
                let rests = &mut rests[..tokens.len()];
                extra.get_all(self.raw + 1 - self.idle, rests);
                self.join_short(tokens, rests, words);
            } else {
                tokens.iter().zip(words).for_each(|(&token, word)| *word = W::truncate(self.word::<W>(token, extra)));
            }
        }
    }

    /// Computes words of at most 32 bits, each of its token, which is a leading value, and of its
    /// other bits. Vectors of eight words are possible, since all are computed alike.
    fn join_short<W: Word>(&self, tokens: &[u8], rests: &[u32], words: &mut [W]) {
        let (raw, idle, least, sign) = (self.raw, self.idle, self.least as u32, W::BITS - 1);
        let (magnitude, low) = ((1 << sign) - 1, (1 << raw) - 1);
        for ((&token, &rest), word) in tokens.iter().zip(rests).zip(words) {
            let (leading, rest) = (least.wrapping_add(u32::from(token)) << raw, rest << idle);
            *word = W::truncate(u64::from((rest >> raw) << sign | leading & magnitude | rest & low));
        }
    }

    /// Reads the raw bits of any token, and returns its word.
    fn word<W: Word>(&self, token: u8, extra: &mut BitReader<'_>) -> u64 {
        match token {
            ZERO => 0,
            ESCAPE => extra.get_wide(W::BITS),
            _ => {
                let rest = extra.get_wide(self.raw + 1 - self.idle) << self.idle;
                let leading = self.least.wrapping_add(u64::from(token)) << self.raw;
                let (magnitude, low) = ((1 << (W::BITS - 1)) - 1, (1 << self.raw) - 1);
                (rest >> self.raw) << (W::BITS - 1) | leading & magnitude | rest & low
            }
        }
    }
}

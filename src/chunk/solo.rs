//! A chunk of floats without a base: the leading bits of each magnitude coded, the rest raw.
//!
//! Payload: the number of raw bits, the least leading value, the context model (which has no exponents
//! to go by, but the scales of rows and columns), the tokens, the raw bits to the end.
//! A token is the leading value counted from the least one; [`ESCAPE`] stands for values too far up,
//! whose leading bits follow raw. Sign and raw bits follow every element.

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

/// The token of a leading value that has none.
const ESCAPE: u8 = 255;

/// Mantissa bits that are coded with the exponent, at most.
const MANTISSA: u32 = 3;

/// Contexts per octave of scale: 16 >> `SHIFT`.
const SHIFT: u32 = 3;

/// A way to split the elements of a chunk into tokens and raw bits.
struct Split {
    /// Raw bits of a magnitude.
    raw: u32,
    /// The leading value of token 0.
    least: u64,
    clusters: Clusters,
    /// Estimated size of tokens and raw bits.
    bits: u64,
}

/// The elements of a chunk.
struct Elements {
    words: Vec<u64>,
    width: u32,
    mantissa: u32,
}

/// The payload of `target`, whose length is positive.
pub(super) fn encode<W: Word>(mantissa: u32, matrix: Matrix, target: &[u8], effort: Effort) -> Vec<u8> {
    let words = word::load_all::<W>(target).into_iter().map(W::widen).collect();
    let elements = Elements { words, width: W::BITS, mantissa };
    let splits = (mantissa.saturating_sub(MANTISSA)..=mantissa).map(|raw| elements.split(raw));
    match splits.min_by_key(|split| split.bits) {
        Some(split) => elements.write(&split, matrix, effort),
        None => Vec::new(),
    }
}

impl Elements {
    fn magnitude(&self) -> u64 {
        (1 << (self.width - 1)) - 1
    }

    /// The split that leaves `raw` bits of a magnitude, or more where nearly all values would not have
    /// a token otherwise: at most one in 4,096 is left out.
    fn split(&self, raw: u32) -> Split {
        let magnitude = self.magnitude();
        let mut counts = vec![0u32; (magnitude >> raw) as usize + 1];
        self.words.iter().for_each(|word| counts[((word & magnitude) >> raw) as usize] += 1);
        let outliers = self.words.len() as u32 / 8192;
        let beyond = |count: &u32, passed: &mut u32| {
            *passed += count;
            *passed > outliers
        };
        let (mut below, mut above) = (0, 0);
        let low = counts.iter().position(|count| beyond(count, &mut below)).unwrap_or(0);
        let high = counts.iter().rposition(|count| beyond(count, &mut above)).unwrap_or(0);
        let mut more = 0;
        while (high >> more) - (low >> more) >= usize::from(ESCAPE) {
            more += 1;
        }
        let least = (low >> more) as u64;
        let mut histogram = vec![0; 256];
        for (leading, &count) in counts.iter().enumerate() {
            histogram[usize::from(token((leading >> more) as u64, least))] += count;
        }
        let clusters = cluster(&histogram, 256);
        let escaped = u64::from(histogram[usize::from(ESCAPE)]);
        let raw = raw + more;
        let plain = self.words.len() as u64 - escaped;
        let bits = coded(&clusters) + escaped * u64::from(self.width) + plain * u64::from(raw + 1);
        Split { raw, least, clusters, bits }
    }

    fn tokens(&self, split: &Split) -> Vec<u8> {
        let magnitude = self.magnitude();
        self.words.iter().map(|&word| token((word & magnitude) >> split.raw, split.least)).collect()
    }

    /// The row and column scales of the weights themselves, and the raw contexts that they make.
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
        let mut payload = vec![split.raw as u8];
        put_varint(&mut payload, split.least);
        scales::write(&mut payload, &model.0);
        let map = tokens::table_of(clusters);
        let mut tables = model.1;
        map.map(&mut tables);
        tokens::write(&mut payload, clusters, &tables, tokens);
        let mut extra = BitWriter::default();
        for (&word, &token) in self.words.iter().zip(tokens) {
            if token == ESCAPE {
                extra.put_wide(word, self.width);
            } else {
                let sign = word >> (self.width - 1);
                extra.put_wide(word & ((1 << split.raw) - 1) | sign << split.raw, split.raw + 1);
            }
        }
        payload.extend_from_slice(&extra.finish());
        payload
    }
}

/// Bits that tokens and tables take. With so many tokens the precision of frequencies matters: what
/// counts is not the entropy, but what the tables make of it.
fn coded(clusters: &Clusters) -> u64 {
    let bits = |counts: &Vec<u32>| FrequencyTable::from_counts(counts).cost(counts) + table_cost(counts);
    clusters.counts.iter().map(bits).sum::<u64>() >> FRACTION
}

/// The token of a leading value.
fn token(leading: u64, least: u64) -> u8 {
    leading.checked_sub(least).filter(|&token| token < u64::from(ESCAPE)).map_or(ESCAPE, |token| token as u8)
}

/// Restores `target` from the payload that [`encode`] made of it.
pub(super) fn decode<W: Word>(matrix: Matrix, payload: &[u8], target: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let raw = u32::from(payload.u8()?);
    if raw >= W::BITS {
        return Err(Error::corrupt("raw bits of an element").figures(format_args!("below {}", W::BITS), raw));
    }
    let least = payload.varint()?;
    let count = target.len() / W::BYTES;
    let model = scales::read(&mut payload, matrix, count, Unit::Octave, scratch)?;
    let mut reader = TokenReader::new(&mut payload, &mut scratch.decoder, count, 256)?;
    let mut extra = BitReader::new(payload.rest());
    let (mut contexts, mut tokens, mut words) = ([0; STRIP], [0; STRIP], [W::default(); STRIP]);
    for (i, target) in target.chunks_mut(STRIP * W::BYTES).enumerate() {
        let count = target.len() / W::BYTES;
        let (contexts, tokens, words) = (&mut contexts[..count], &mut tokens[..count], &mut words[..count]);
        // There is no base: contexts come of the place alone.
        model.contexts(&[0; STRIP][..count], i * STRIP, contexts);
        reader.map(contexts);
        reader.strip(contexts, tokens);
        for (&token, word) in tokens.iter().zip(&mut *words) {
            let bits = if token == ESCAPE {
                extra.get_wide(W::BITS)
            } else {
                let rest = extra.get_wide(raw + 1);
                let leading = least.wrapping_add(u64::from(token)) << raw;
                (rest >> raw) << (W::BITS - 1) | (leading & ((1 << (W::BITS - 1)) - 1)) | rest & ((1 << raw) - 1)
            };
            *word = W::truncate(bits);
        }
        word::store(words, target);
    }
    reader.finish()?;
    extra.finish()
}

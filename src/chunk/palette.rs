//! A chunk of at most 256 distinct words: a list of them, and the index of each word as a token.
//!
//! The payload holds the number of distinct words less 1, the words in ascending order, the context
//! model, and the tokens to its end. With a base, a model may take the index of the base's word as
//! a context; without one, the scales of rows and columns.

use super::tokens::{self, TokenReader};
use super::{Effort, Matrix, Scratch, scales};
use crate::bytes::ByteReader;
use crate::delta::context::{CONTEXTS, Model, Scaled, Unit};
use crate::delta::scale::ScaleMeter;
use crate::delta::word::{self, Word};
use crate::entropy::cluster::{Clusters, cluster};
use crate::entropy::rans::STRIP;
use crate::error::{Error, Result};

/// The largest number of distinct words.
const MOST: usize = 256;

/// Number of words that are looked at before all are.
const GLANCE: usize = 2048;

/// Slots of the table in which distinct words are looked for.
const SLOTS: usize = 1024;

/// The shift of scaled contexts: there are 16 >> `SHIFT` of them per octave.
const SHIFT: u32 = 3;

/// Distinct words, and the way from a word to its index.
struct Palette<W> {
    /// The words in ascending order.
    words: Vec<W>,
}

impl<W: Word + Ord> Palette<W> {
    /// Collects the distinct words; `None` if there are more than [`MOST`].
    fn of(words: &[W]) -> Option<Self> {
        let mut slots: Vec<Option<W>> = vec![None; SLOTS];
        let mut distinct = Vec::new();
        for &word in words {
            let mut slot = (word.widen().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize;
            while let Some(found) = slots[slot]
                && found != word
            {
                slot = (slot + 1) % SLOTS;
            }
            if slots[slot].is_none() {
                if distinct.len() == MOST {
                    return None;
                }
                slots[slot] = Some(word);
                distinct.push(word);
            }
        }
        distinct.sort_unstable();
        Some(Self { words: distinct })
    }

    /// Returns the index of the last word that is not above `word`; 0 if all are.
    fn index(&self, word: W) -> u8 {
        (self.words.partition_point(|&other| other <= word).max(1) - 1) as u8
    }
}

/// A context model, the raw context of each word, and the clusters of these contexts.
struct Candidate {
    model: Model,
    raw: Vec<u8>,
    clusters: Clusters,
}

impl Candidate {
    fn new(model: Model, exponents: &[u16], indices: &[u8], width: usize) -> Self {
        let mut raw = vec![0; indices.len()];
        model.contexts(exponents, 0, &mut raw);
        let mut histogram = vec![0u32; CONTEXTS * width];
        raw.iter().zip(indices).for_each(|(&raw, &i)| histogram[usize::from(raw) * width + usize::from(i)] += 1);
        let clusters = cluster(&histogram, width);
        Self { model, raw, clusters }
    }

    /// Returns the estimated bits of model and tokens.
    fn bits(&self) -> u64 {
        self.clusters.bits + scales::cost(&self.model)
    }
}

/// Encodes `target`, whose length is above 0, and returns the payload; `None` if it has too many
/// distinct words, or if the payload would be longer than `limit` bytes by estimate.
pub(super) fn encode<W: Word + Ord>(
    matrix: Matrix,
    base: Option<&[u8]>,
    target: &[u8],
    effort: Effort,
    limit: usize,
) -> Option<Vec<u8>> {
    // Most chunks have too many distinct words at their beginning.
    Palette::of(&word::load_all::<W>(&target[..target.len().min(GLANCE * W::BYTES)]))?;
    let words = word::load_all::<W>(target);
    let palette = Palette::of(&words)?;
    let indices: Vec<u8> = words.iter().map(|&word| palette.index(word)).collect();
    let none = vec![0; words.len()];
    let mut best = Candidate::new(Model::Single, &none, &indices, palette.words.len());
    if let (Some(base), true) = (base, palette.words.len() < CONTEXTS) {
        let base: Vec<u16> = word::load_all::<W>(base).iter().map(|&word| palette.index(word).into()).collect();
        let other = Candidate::new(Model::HighBits, &base, &indices, palette.words.len());
        best = if other.bits() < best.bits() { other } else { best };
    }
    if effort != Effort::Fast && matrix.columns > 1 && matrix.columns * 2 <= words.len() {
        let other = Candidate::new(scaled(matrix, &indices, &best), &none, &indices, palette.words.len());
        best = if other.bits() < best.bits() { other } else { best };
    }
    if best.bits() / 8 > limit as u64 {
        return None;
    }
    let mut payload = vec![(palette.words.len() - 1) as u8];
    palette.words.iter().for_each(|word| payload.extend_from_slice(&word.widen().to_le_bytes()[..W::BYTES]));
    scales::write(&mut payload, &best.model);
    let mut tables = best.raw;
    tokens::table_of(&best.clusters).map(&mut tables);
    tokens::write(&mut payload, &best.clusters, &tables, &indices);
    Some(payload)
}

/// Returns a model with the mean distances of indices from the most frequent one as scales.
fn scaled(matrix: Matrix, indices: &[u8], single: &Candidate) -> Model {
    let mut totals = [0u32; MOST];
    single.clusters.counts.iter().for_each(|counts| totals.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n));
    let mode = (0..MOST).max_by_key(|&i| totals[i]).unwrap_or(0) as u8;
    let sizes: Vec<f32> = indices.iter().map(|&i| f32::from(i.abs_diff(mode))).collect();
    let mut meter = ScaleMeter::new(matrix.columns, Unit::Octave);
    meter.add(&sizes, &vec![0; indices.len()]);
    Model::Scaled(Scaled { row_floor: 0, column_floor: 0, ..scales::relative(&meter.finish(), SHIFT, Unit::Octave) })
}

/// Restores `target` from the payload that [`encode`] returned.
pub(super) fn decode<W: Word + Ord>(
    matrix: Matrix,
    payload: &[u8],
    base: Option<&[u8]>,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let distinct = usize::from(payload.u8()?) + 1;
    let palette = Palette { words: word::load_all::<W>(payload.take((distinct * W::BYTES) as u64)?) };
    if !palette.words.is_sorted_by(|a, b| a < b) {
        return Err(Error::corrupt("the words of a palette are not in ascending order"));
    }
    let count = target.len() / W::BYTES;
    let model = scales::read(&mut payload, matrix, count, Unit::Octave, scratch)?;
    let mut reader = TokenReader::new(&mut payload, &mut scratch.decoder, distinct)?;
    payload.finish()?;
    let (mut exponents, mut contexts, mut indices) = ([0; STRIP], [0; STRIP], [0; STRIP]);
    let mut words = [W::default(); STRIP];
    for (i, target) in target.chunks_mut(STRIP * W::BYTES).enumerate() {
        let count = target.len() / W::BYTES;
        let (contexts, indices, words) = (&mut contexts[..count], &mut indices[..count], &mut words[..count]);
        if let (Some(base), true) = (base, !matches!(model, Model::Single | Model::Scaled(_))) {
            word::load(&base[i * STRIP * W::BYTES..][..target.len()], words);
            exponents.iter_mut().zip(&*words).for_each(|(e, &word)| *e = palette.index(word).into());
        }
        model.contexts(&exponents[..count], i * STRIP, contexts);
        reader.strip(contexts, indices);
        words.iter_mut().zip(&*indices).for_each(|(word, &i)| *word = palette.words[usize::from(i)]);
        word::store(words, target);
    }
    reader.finish()
}

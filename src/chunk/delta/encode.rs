//! The encoder: the choice of a context model, and the payload.

use super::{Coding, zero_token};
use crate::chunk::{Effort, Matrix, scales, tokens};
use crate::delta::context::{CONTEXTS, Model};
use crate::delta::scale::{ScaleMeter, Scales};
use crate::delta::word::{self, Word};
use crate::entropy::bins::{self, BINS};
use crate::entropy::bits::BitWriter;
use crate::entropy::cluster::{Clusters, cluster};
use crate::entropy::log2::{FRACTION, entropy};
use crate::entropy::rans::STRIP;
use crate::layout::dtype::Fields;

/// Number of words that became 0 from which on their token is used.
const FEW: usize = 64;

/// Integers are coded with and without the token of zeros where one word in this many became 0: for
/// them, a difference often says as much.
const TRY_ZEROS: usize = 16;

/// A context model, the raw context of each element, and the clusters of these contexts.
struct Candidate {
    model: Model,
    raw: Vec<u8>,
    clusters: Clusters,
}

/// The tokens and exponents of a chunk's elements.
struct Elements {
    tokens: Vec<u8>,
    exponents: Vec<u16>,
    /// The deltas whose tokens are bins, in order.
    binned: Vec<u64>,
    /// The mean changes of rows and columns, where they are wanted.
    scales: Option<Scales>,
}

impl Elements {
    /// Reads the chunk in one pass, a strip at a time, so that each strip's deltas and exponents
    /// are still in the cache when they are used. `scaled` asks for the scales, and `zeros` for the
    /// token of words that became 0.
    fn new<W: Word>(
        coding: Coding<'_>,
        matrix: Matrix,
        (base, target): (&[u8], &[u8]),
        scaled: bool,
        zeros: bool,
    ) -> Self {
        let count = base.len() / W::BYTES;
        let (tokens, exponents) = (Vec::with_capacity(count), vec![0; count]);
        let mut elements = Self { tokens, exponents, binned: Vec::new(), scales: None };
        let mut meter = scaled.then(|| ScaleMeter::new(matrix.columns, coding.unit()));
        let (mut words, mut deltas, mut steps) = ([W::default(); STRIP], [W::default(); STRIP], [0f32; STRIP]);
        let mut zeroed = Vec::new();
        let strips = base.chunks(STRIP * W::BYTES).zip(target.chunks(STRIP * W::BYTES));
        for (i, (base, target)) in strips.enumerate() {
            let count = base.len() / W::BYTES;
            let (words, deltas, steps) = (&mut words[..count], &mut deltas[..count], &mut steps[..count]);
            word::load(base, words);
            word::load(target, deltas);
            if zeros {
                zeroed.clear();
                zeroed.extend((0..count).filter(|&i| deltas[i] == W::default() && words[i] != W::default()));
            }
            word::deltas(coding.fields, words, deltas);
            // What became 0 does not tell how far the other words moved.
            zeroed.iter().for_each(|&i| deltas[i] = W::default());
            let exponents = &mut elements.exponents[i * STRIP..i * STRIP + count];
            coding.exponents(words, i * STRIP, exponents);
            if let Some(meter) = &mut meter {
                word::steps(deltas, steps);
                meter.add(steps, exponents);
            }
            elements.push_tokens(deltas);
            zeroed.iter().for_each(|&j| elements.tokens[i * STRIP + j] = zero_token::<W>() as u8);
        }
        elements.scales = meter.map(ScaleMeter::finish);
        elements
    }

    /// Appends the tokens of `deltas`, and the deltas whose tokens are bins.
    fn push_tokens<W: Word>(&mut self, deltas: &[W]) {
        let start = self.tokens.len();
        if W::BITS <= 16 {
            self.tokens.extend(deltas.iter().map(|delta| bins::token_narrow(delta.widen() as u32)));
        } else {
            self.tokens.extend(deltas.iter().map(|delta| bins::token(delta.widen())));
        }
        bins::for_each_binned(&self.tokens[start..], |i| self.binned.push(deltas[i].widen()));
    }
}

/// Calls [`encode`] for words of `width` bytes that have their own exponents.
pub(in crate::chunk) fn encode_any(
    (width, fields): (usize, Fields),
    matrix: Matrix,
    base: &[u8],
    target: &[u8],
    effort: Effort,
) -> Vec<u8> {
    let coding = Coding { fields, blocks: None };
    for_width!(width, self::encode(coding, matrix, base, target, effort))
}

/// Encodes `target` against `base` and returns the payload. Both have the same length, above 0.
pub(in crate::chunk) fn encode<W: Word>(
    coding: Coding<'_>,
    matrix: Matrix,
    base: &[u8],
    target: &[u8],
    effort: Effort,
) -> Vec<u8> {
    let count = base.len() / W::BYTES;
    let matrix_like = matrix.columns > 1 && matrix.columns * 2 <= count;
    let scaled = coding.has_exponents() && effort != Effort::Fast && matrix_like;
    let with = |zeros| write(coding, &Elements::new::<W>(coding, matrix, (base, target), scaled, zeros), effort);
    let zeroed = count_zeroed::<W>(base, target);
    if coding.fields == Fields::Integer {
        let plain = with(false);
        let other = (zeroed >= FEW.max(count / TRY_ZEROS)).then(|| with(true));
        return other.filter(|other| other.len() < plain.len()).unwrap_or(plain);
    }
    with(zeroed >= FEW)
}

/// Returns the number of words that are 0, and were not in the base.
fn count_zeroed<W: Word>(base: &[u8], target: &[u8]) -> usize {
    let (mut before, mut after) = ([W::default(); STRIP], [W::default(); STRIP]);
    let strips = base.chunks(STRIP * W::BYTES).zip(target.chunks(STRIP * W::BYTES));
    let count = |(base, target): (&[u8], &[u8])| {
        let count = base.len() / W::BYTES;
        let (before, after) = (&mut before[..count], &mut after[..count]);
        word::load(&base[..count * W::BYTES], before);
        word::load(&target[..count * W::BYTES], after);
        let zeroed = |(before, after): (&W, &W)| u16::from(*before != W::default()) & u16::from(*after == W::default());
        usize::from(before.iter().zip(&*after).map(zeroed).sum::<u16>())
    };
    strips.map(count).sum()
}

/// Calls [`estimate`] for words of `width` bytes.
pub(in crate::chunk) fn estimate_any((width, fields): (usize, Fields), base: &[u8], target: &[u8]) -> u64 {
    let coding = Coding { fields, blocks: None };
    for_width!(width, self::estimate(coding, base, target))
}

/// Returns the estimated bits of the deltas with the base's exponents as contexts, without the
/// frequency tables.
fn estimate<W: Word>(coding: Coding<'_>, base: &[u8], target: &[u8]) -> u64 {
    let zeros = coding.fields != Fields::Integer && count_zeroed::<W>(base, target) >= FEW;
    let elements = Elements::new::<W>(coding, Matrix { columns: 1 }, (base, target), false, zeros);
    let (counts, width) = elements.histogram(&elements.exponent_model(), 1, None);
    let coded: u64 = counts.chunks_exact(width).map(entropy).sum();
    let raw = elements.binned.iter().map(|&delta| u64::from(BINS[usize::from(bins::token(delta))].1));
    (coded >> FRACTION) + raw.sum::<u64>()
}

/// Chooses a context model and returns the payload of `elements`.
fn write(coding: Coding<'_>, elements: &Elements, effort: Effort) -> Vec<u8> {
    let best = choose(coding, elements, effort);
    let mut payload = Vec::new();
    scales::write(&mut payload, &best.model);
    let map = tokens::table_of(&best.clusters);
    let mut tables = best.raw;
    map.map(&mut tables);
    tokens::write(&mut payload, &best.clusters, &tables, &elements.tokens);
    let mut extra = BitWriter::default();
    for &delta in &elements.binned {
        let (least, width) = BINS[usize::from(bins::token(delta))];
        extra.put_wide(delta - least, width);
    }
    payload.extend_from_slice(&extra.finish());
    payload
}

/// Returns the candidate with the smallest estimated size of all models that `effort` allows.
fn choose(coding: Coding<'_>, elements: &Elements, effort: Effort) -> Candidate {
    if !coding.has_exponents() {
        return smallest(vec![Model::Single, Model::HighBits], elements);
    }
    let mut models = vec![elements.exponent_model()];
    if let Some(scales) = &elements.scales {
        let shifts: &[u32] = if effort == Effort::Max { &[3, 2] } else { &[3] };
        models.extend(shifts.iter().map(|&shift| Model::Scaled(scales::relative(scales, shift, coding.unit()))));
    }
    smallest(models, elements)
}

/// Returns the candidate of the model with the smallest estimate. Large chunks are estimated from a
/// sample of their strips.
fn smallest(mut models: Vec<Model>, elements: &Elements) -> Candidate {
    let every = if elements.tokens.len() >= SAMPLED { SAMPLE_EVERY } else { 1 };
    let mut least = (u64::MAX, 0);
    if models.len() > 1 {
        for (i, model) in models.iter().enumerate() {
            let clusters = elements.clusters(model, every, None);
            least = least.min((clusters.bits * every as u64 + scales::cost(model), i));
        }
    }
    let model = models.swap_remove(least.1);
    let mut raw = vec![0; elements.tokens.len()];
    let clusters = elements.clusters(&model, 1, Some(&mut raw));
    Candidate { model, raw, clusters }
}

/// The number of elements from which on models are compared by a sample.
const SAMPLED: usize = 64 * STRIP;

/// A sample holds one of this many strips.
const SAMPLE_EVERY: usize = 8;

impl Elements {
    /// Returns the model whose contexts are the base's exponents. The highest [`CONTEXTS`]
    /// exponents are told apart, and all lower ones share a context.
    fn exponent_model(&self) -> Model {
        let highest = u32::from(self.exponents.iter().copied().max().unwrap_or(0));
        Model::Exponent { first: (highest + 1).saturating_sub(CONTEXTS as u32) }
    }

    /// Clusters the [`histogram`](Self::histogram) of the same arguments.
    fn clusters(&self, model: &Model, every: usize, raw: Option<&mut [u8]>) -> Clusters {
        let (counts, width) = self.histogram(model, every, raw);
        cluster(&counts, width)
    }

    /// Counts the tokens in each raw context, in one of `every` strips. Returns the counts, context
    /// by context, and the number of counts per context. Writes the contexts to `raw` if it is
    /// given.
    fn histogram(&self, model: &Model, every: usize, mut raw: Option<&mut [u8]>) -> (Vec<u32>, usize) {
        let mut counter = Counter::new(usize::from(self.tokens.iter().copied().max().unwrap_or(0)) + 1);
        let mut unkept = [0; STRIP];
        let strips = self.exponents.chunks(STRIP).zip(self.tokens.chunks(STRIP)).enumerate();
        for (i, (exponents, tokens)) in strips.step_by(every) {
            let place = i * STRIP;
            let contexts = match &mut raw {
                Some(raw) => &mut raw[place..place + tokens.len()],
                None => &mut unkept[..tokens.len()],
            };
            model.contexts(exponents, place, contexts);
            counter.add(contexts, tokens);
        }
        let [mut counts, other] = counter.banks;
        counts.iter_mut().zip(other).for_each(|(count, more)| *count += more);
        (counts, counter.width)
    }
}

/// Counts of the tokens in each context. There are two banks that take turns, since adding to the
/// same counter twice in a row would have to wait for the first addition.
struct Counter {
    width: usize,
    banks: [Vec<u32>; 2],
}

impl Counter {
    /// Makes a counter of tokens below `width`.
    fn new(width: usize) -> Self {
        Self { width, banks: [vec![0; CONTEXTS * width], vec![0; CONTEXTS * width]] }
    }

    fn add(&mut self, raw: &[u8], tokens: &[u8]) {
        let width = self.width;
        let [even, odd] = &mut self.banks;
        let (pairs, last) = raw.as_chunks::<2>();
        for (raw, tokens) in pairs.iter().zip(tokens.as_chunks::<2>().0) {
            even[usize::from(raw[0]) * width + usize::from(tokens[0])] += 1;
            odd[usize::from(raw[1]) * width + usize::from(tokens[1])] += 1;
        }
        if let ([raw], Some(&token)) = (last, tokens.last()) {
            even[usize::from(*raw) * width + usize::from(token)] += 1;
        }
    }
}

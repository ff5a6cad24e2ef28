//! The elements of a chunk as the encoder sees them, read strip by strip.

use super::{Base, Coding, zero_token};
use crate::chunk::Matrix;
use crate::delta::context::{CONTEXTS, Model};
use crate::delta::scale::{ScaleMeter, Scales};
use crate::delta::word::{self, Word};
use crate::entropy::bins::{self, BINS};
use crate::entropy::bits::BitWriter;
use crate::entropy::cluster::{Clusters, cluster};
use crate::entropy::rans::STRIP;

/// The tokens and exponents of a chunk's elements.
pub(super) struct Elements {
    pub(super) tokens: Vec<u8>,
    exponents: Vec<u16>,
    pub(super) rest: Rest,
}

/// All that the elements of a chunk have beside tokens and exponents.
#[derive(Default)]
pub(super) struct Rest {
    /// The raw bits of the deltas whose tokens are bins, in order.
    pub(super) extra: BitWriter,
    /// The mean changes of rows and columns, where they are wanted.
    pub(super) scales: Option<Scales>,
    /// The number of words that became 0.
    pub(super) zeroed: usize,
    pub(super) highest_token: u8,
    pub(super) highest_exponent: u16,
}

impl Rest {
    /// Returns the model whose contexts are the base's exponents. The highest [`CONTEXTS`]
    /// exponents are told apart, and all lower ones share a context.
    pub(super) fn exponent_model(&self) -> Model {
        Model::Exponent { first: (u32::from(self.highest_exponent) + 1).saturating_sub(CONTEXTS as u32) }
    }
}

/// Returns the highest number, or 0 without any. Unlike [`Iterator::max`], it takes vectors.
#[inline(always)]
fn highest<T: Copy + Ord + Default>(numbers: &[T]) -> T {
    numbers.iter().fold(T::default(), |highest, &number| if number > highest { number } else { highest })
}

/// The words of a strip, and what they make.
pub(super) struct Strip<'a, W> {
    /// The words of the base.
    pub(super) words: &'a mut [W],
    /// The target's words, which are replaced by the deltas.
    pub(super) deltas: &'a mut [W],
    pub(super) exponents: &'a mut [u16],
    pub(super) tokens: &'a mut [u8],
    /// A buffer for the steps that words moved by.
    pub(super) steps: &'a mut [f32],
    /// The places of the words that became 0, where they have a token of their own.
    pub(super) zeroed: Option<&'a mut Vec<usize>>,
    pub(super) meter: Option<&'a mut ScaleMeter>,
}

/// Reads a chunk in one pass, a strip at a time, and calls `keep` with the tokens and the exponents
/// of each strip, which are still in the cache. `meter` takes the steps that the words moved by;
/// `zeros` asks for the token of words that became 0.
pub(super) fn read<W: Word>(
    coding: Coding<'_>,
    (base, target): (&Base<'_, W>, &[u8]),
    mut meter: Option<ScaleMeter>,
    zeros: bool,
    keep: &mut dyn FnMut(&[u8], &[u16]),
) -> Rest {
    let count = target.len() / W::BYTES;
    let mut rest = Rest::default();
    let (mut words, mut deltas) = ([W::default(); STRIP], [W::default(); STRIP]);
    let (mut exponents, mut tokens, mut steps) = ([0; STRIP], [0; STRIP], [0f32; STRIP]);
    let mut zeroed = Vec::new();
    for start in (0..count).step_by(STRIP) {
        let count = STRIP.min(count - start);
        let target = &target[start * W::BYTES..][..count * W::BYTES];
        let mut strip = Strip {
            words: &mut words[..count],
            deltas: &mut deltas[..count],
            exponents: &mut exponents[..count],
            tokens: &mut tokens[..count],
            steps: &mut steps[..count],
            zeroed: zeros.then_some(&mut zeroed),
            meter: meter.as_mut(),
        };
        (base.fill)(start, strip.words);
        word::load(target, strip.deltas);
        rest.zeroed += strip.compute(coding, start);
        bins::for_each_binned(strip.tokens, |i| {
            let (least, width) = BINS[usize::from(strip.tokens[i])];
            rest.extra.put_wide(strip.deltas[i].widen() - least, width);
        });
        let zero = zero_token::<W>() as u8;
        zeroed.iter().for_each(|&j: &usize| tokens[j] = zero);
        let (tokens, exponents) = (&tokens[..count], &exponents[..count]);
        rest.highest_token = rest.highest_token.max(highest(tokens));
        rest.highest_exponent = rest.highest_exponent.max(highest(exponents));
        keep(tokens, exponents);
    }
    rest.scales = meter.map(ScaleMeter::finish);
    rest
}

impl Elements {
    /// Reads a chunk. `scaled` asks for the scales, and `zeros` for the token of words that became
    /// 0.
    pub(super) fn new<W: Word>(
        coding: Coding<'_>,
        matrix: Matrix,
        base: &Base<'_, W>,
        target: &[u8],
        scaled: bool,
        zeros: bool,
    ) -> Self {
        let count = target.len() / W::BYTES;
        let (mut tokens, mut exponents) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let meter = scaled.then(|| ScaleMeter::new(matrix.columns, coding.unit()));
        let rest = read(coding, (base, target), meter, zeros, &mut |own_tokens, own_exponents| {
            tokens.extend_from_slice(own_tokens);
            exponents.extend_from_slice(own_exponents);
        });
        Self { tokens, exponents, rest }
    }

    /// Clusters the [`histogram`](Self::histogram) of the same arguments.
    pub(super) fn clusters(&self, model: &Model, every: usize, raw: Option<&mut Vec<u8>>) -> Clusters {
        let (counts, width) = self.histogram(model, every, raw);
        cluster(&counts, width)
    }

    /// Counts the tokens in each raw context, in one of `every` strips. Returns the counts, context
    /// by context, and the number of counts per context. Appends the contexts to `raw` if it is
    /// given.
    pub(super) fn histogram(&self, model: &Model, every: usize, mut raw: Option<&mut Vec<u8>>) -> (Vec<u32>, usize) {
        let mut counter = Counter::new(CONTEXTS, usize::from(self.rest.highest_token) + 1);
        let mut contexts = [0; STRIP];
        let strips = self.exponents.chunks(STRIP).zip(self.tokens.chunks(STRIP)).enumerate();
        for (i, (exponents, tokens)) in strips.step_by(every) {
            let contexts = &mut contexts[..tokens.len()];
            model.contexts(exponents, i * STRIP, contexts);
            counter.add(contexts, tokens);
            if let Some(raw) = &mut raw {
                raw.extend_from_slice(contexts);
            }
        }
        (counter.counts(), counter.width)
    }
}

impl<W: Word> Strip<'_, W> {
    /// Replaces the words of the target by their deltas, writes exponents and tokens, and adds the
    /// deltas to the meter. `start` is the number of the first word. Returns the number of words
    /// that became 0.
    fn compute(&mut self, coding: Coding<'_>, start: usize) -> usize {
        #[cfg(target_arch = "x86_64")]
        if let Some(zeroed) = super::avx2::compute(self, coding, start) {
            return zeroed;
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        if let Some(zeroed) = super::simd128::compute(self, coding) {
            return zeroed;
        }
        self.compute_portably(coding, start)
    }

    #[inline(always)]
    pub(super) fn compute_portably(&mut self, coding: Coding<'_>, start: usize) -> usize {
        let (words, deltas) = (&mut *self.words, &mut *self.deltas);
        let is_zeroed = |before: W, after: W| (before != W::default()) & (after == W::default());
        let zeroed = words.iter().zip(&*deltas).map(|(&b, &a)| u16::from(is_zeroed(b, a))).sum::<u16>();
        if let Some(places) = &mut self.zeroed {
            places.clear();
            places.extend((0..deltas.len()).filter(|&i| is_zeroed(words[i], deltas[i])));
        }
        word::deltas(coding.fields, words, deltas);
        // What became 0 does not tell how far the other words moved.
        self.zeroed.iter().flat_map(|places| places.iter()).for_each(|&i| deltas[i] = W::default());
        coding.exponents(words, start, self.exponents);
        if let Some(meter) = &mut self.meter {
            word::steps(deltas, self.steps);
            meter.add(self.steps, self.exponents);
        }
        let pairs = self.tokens.iter_mut().zip(&*deltas);
        if W::BITS <= 16 {
            pairs.for_each(|(token, delta)| *token = bins::token_narrow(delta.widen() as u32));
        } else {
            pairs.for_each(|(token, delta)| *token = bins::token(delta.widen()));
        }
        usize::from(zeroed)
    }
}

/// The number of banks of a [`Counter`].
const BANKS: usize = 8;

/// Counts of the tokens in each context. There are [`BANKS`] that take turns, since adding to the
/// same counter twice in a row would have to wait for the first addition.
pub(super) struct Counter {
    pub(super) width: usize,
    /// The counts of all banks, by context and token.
    banks: Vec<[u32; BANKS]>,
    places: [u16; STRIP],
}

impl Counter {
    /// Makes a counter of tokens below `width` in so many contexts. The product is at most 2^16.
    pub(super) fn new(contexts: usize, width: usize) -> Self {
        debug_assert!(contexts * width <= 1 << 16);
        Self { width, banks: vec![[0; BANKS]; contexts * width], places: [0; STRIP] }
    }

    /// Counts the tokens of a strip.
    pub(super) fn add(&mut self, raw: &[u8], tokens: &[u8]) {
        let Self { banks, places, width } = self;
        let (places, width) = (&mut places[..tokens.len()], *width as u16);
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let done = super::simd128::places(raw, tokens, width, places);
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        let done = 0;
        for ((place, &raw), &token) in places[done..].iter_mut().zip(&raw[done..]).zip(&tokens[done..]) {
            *place = u16::from(raw) * width + u16::from(token);
        }
        let (rounds, last) = places.as_chunks::<BANKS>();
        for &[a, b, c, d, e, f, g, h] in rounds {
            // The turns are written out, since a loop stays a loop where the size counts.
            banks[usize::from(a)][0] += 1;
            banks[usize::from(b)][1] += 1;
            banks[usize::from(c)][2] += 1;
            banks[usize::from(d)][3] += 1;
            banks[usize::from(e)][4] += 1;
            banks[usize::from(f)][5] += 1;
            banks[usize::from(g)][6] += 1;
            banks[usize::from(h)][7] += 1;
        }
        last.iter().for_each(|&place| banks[usize::from(place)][0] += 1);
    }

    /// Returns the sums of all banks.
    fn counts(&self) -> Vec<u32> {
        self.banks.iter().map(|banks| banks.iter().sum()).collect()
    }

    /// Returns the counts of the tokens below `width` in a context.
    pub(super) fn counts_of(&self, context: usize, width: usize) -> impl Iterator<Item = u32> {
        self.banks[context * self.width..][..width].iter().map(|banks| banks.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::dtype::Fields;

    fn kernel_agrees<W: Word>(coding: Coding<'_>) {
        for count in [1, 31, 32, 33, 1000, STRIP] {
            let mut seed = count as u64;
            let mut word = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if seed >> 61 == 0 { W::default() } else { W::truncate(seed >> (64 - W::BITS)) }
            };
            let (words, target): (Vec<W>, Vec<W>) = (0..count).map(|_| (word(), word())).unzip();
            let results = [false, true].map(|portable| {
                let (mut words, mut deltas) = (words.clone(), target.clone());
                let (mut exponents, mut tokens, mut steps) = (vec![0; count], vec![0; count], vec![0.0; count]);
                let (mut zeroed, mut meter) = (Vec::new(), ScaleMeter::new(17, coding.unit()));
                let mut strip = Strip {
                    words: &mut words,
                    deltas: &mut deltas,
                    exponents: &mut exponents,
                    tokens: &mut tokens,
                    steps: &mut steps,
                    zeroed: Some(&mut zeroed),
                    meter: Some(&mut meter),
                };
                let found = if portable { strip.compute_portably(coding, 0) } else { strip.compute(coding, 0) };
                assert_eq!(found, zeroed.len());
                let deltas: Vec<u64> = deltas.iter().map(|delta| delta.widen()).collect();
                let scales = meter.finish();
                (deltas, exponents, tokens, zeroed, (scales.rows, scales.columns))
            });
            assert!(results[0] == results[1], "{} bits, {count}", W::BITS);
        }
    }

    #[test]
    fn kernels_agree() {
        let blocks: Vec<u16> = (0..STRIP as u16).map(|i| i * 7 % 128).collect();
        let coding = |fields| Coding { fields, blocks: None };
        kernel_agrees::<u8>(coding(Fields::Float { mantissa: 3 }));
        kernel_agrees::<u8>(Coding { blocks: Some(&blocks), ..coding(Fields::Integer) });
        kernel_agrees::<u16>(coding(Fields::Float { mantissa: 7 }));
        kernel_agrees::<u16>(coding(Fields::Integer));
        kernel_agrees::<u32>(coding(Fields::Float { mantissa: 23 }));
        kernel_agrees::<u64>(coding(Fields::Float { mantissa: 52 }));
    }

    #[test]
    fn every_token_is_counted() {
        for count in [0, 1, 7, 8, 1001] {
            let raw: Vec<u8> = (0..count).map(|i| (i * i % 96) as u8).collect();
            let tokens: Vec<u8> = (0..count).map(|i| (i * 7 % 5) as u8).collect();
            let mut counter = Counter::new(CONTEXTS, 5);
            counter.add(&raw, &tokens);
            let mut want = vec![0; 96 * 5];
            raw.iter().zip(&tokens).for_each(|(&c, &t)| want[usize::from(c) * 5 + usize::from(t)] += 1);
            assert_eq!(counter.counts(), want);
        }
    }
}

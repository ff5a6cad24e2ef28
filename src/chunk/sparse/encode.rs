//! The encoder: it finds the words that change, and counts the gaps between them.

use super::{DELTAS, FEW, GAPS};
use crate::bytes::{put_prefixed, put_varint};
use crate::chunk::tokens;
use crate::delta::word::{self, Word};
use crate::entropy::bins::{self, BINS, TOKENS};
use crate::entropy::bits::BitWriter;
use crate::entropy::cluster::cluster;
use crate::entropy::log2::{FRACTION, entropy};
use crate::entropy::rans::STRIP;
use crate::layout::dtype::Fields;

/// The encoder takes chunks of which one word in so many changes at most: other methods then take
/// more steps, one for each word.
const LIGHT: usize = 8;

/// Number of words that became 0 from which on their differences say little.
const ZEROED: usize = 64;

/// Calls [`encode`] for words of `width` bytes.
pub(in crate::chunk) fn encode_any((width, fields): (usize, Fields), base: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    for_width!(width, self::encode(fields, base, target))
}

/// Encodes `target` against `base`, which has the same length, and returns the payload. Returns
/// `None` if no words change, or too many, or if many became 0, or if the size of a weight tells
/// whether it changes.
fn encode<W: Word>(fields: Fields, base: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    const { assert!(LIGHT >= FEW) };
    if depends_on_exponents::<W>(fields, base, target) {
        return None;
    }
    let changes = find::<W>(base, target, target.len() / W::BYTES / LIGHT)?;
    if changes.iter().filter(|change| change.after == W::default()).count() >= ZEROED {
        return None;
    }
    let (mut gaps, mut deltas) = (List::default(), List::default());
    let mut next = 0;
    for Change { place, before, after } in changes {
        gaps.push(u64::from(place - next));
        deltas.push(word::delta(fields, before, after).widen() - 1);
        next = place + 1;
    }
    Some(payload(gaps, deltas))
}

/// Returns the word at a place.
#[inline(always)]
fn at<W: Word>(bytes: &[u8], place: usize) -> W {
    word::read(&bytes[place * W::BYTES..][..W::BYTES])
}

/// Number of exponents of any words.
const EXPONENTS: usize = 2048;

/// Words of a run of a sample.
const RUN: usize = 64;

/// Words of a sample: one in [`EVERY`], but at least and at most so many.
const SAMPLE: [usize; 2] = [1 << 12, 1 << 14];

/// The part of the words that a sample has, between its bounds.
const EVERY: usize = 32;

/// Bits that the share of changes of an exponent would take: without them, the chance of a sample
/// passes for a rule.
const SHARE: u64 = 8;

/// Returns true if contexts by the base's exponent, as those of deltas, would save more than a
/// sixteenth of the bits that tell which words change, by a sample.
fn depends_on_exponents<W: Word>(fields: Fields, base: &[u8], target: &[u8]) -> bool {
    let Fields::Float { mantissa } = fields else { return false };
    let magnitude = W::truncate(u64::MAX >> (65 - W::BITS));
    let (mut counts, mut all) = (vec![[0u32; 2]; EXPONENTS], [0; 2]);
    let runs = base.chunks(RUN * W::BYTES).zip(target.chunks(RUN * W::BYTES));
    let words = base.len() / W::BYTES;
    let sample = (words / EVERY).clamp(SAMPLE[0], SAMPLE[1]);
    for (base, target) in runs.step_by((words / sample).max(1)) {
        for place in 0..base.len() / W::BYTES {
            let (before, after) = (at::<W>(base, place), at(target, place));
            let changes = usize::from(before != after);
            counts[usize::from(before.field(magnitude, mantissa))][changes] += 1;
            all[changes] += 1;
        }
    }
    let own = counts.iter().filter(|counts| counts[1] > 0);
    let apart: u64 = own.map(|counts| entropy(counts) + (SHARE << FRACTION)).sum();
    apart / 15 * 16 < entropy(&all)
}

/// Bytes that are compared at a time.
const BLOCK: usize = 32;

/// The places of a strip, and room for a few that are written for nothing.
pub(super) const ROOM: usize = STRIP + 8;

/// The places of the words of a strip that differ.
pub(super) type Places = [u32; ROOM];

/// A word that changes.
struct Change<W> {
    place: u32,
    before: W,
    after: W,
}

/// Returns the words that change; `None` if there are none, or more than `most`.
fn find<W: Word>(base: &[u8], target: &[u8], most: usize) -> Option<Vec<Change<W>>> {
    let (mut changes, mut own) = (Vec::new(), [0; ROOM]);
    let strips = base.chunks(STRIP * W::BYTES).zip(target.chunks(STRIP * W::BYTES));
    for (start, strip) in (0..).step_by(STRIP).zip(strips) {
        let count = find_in::<W>(strip, start, &mut own);
        // The words of the strip are in the fastest cache still.
        changes.extend(own[..count].iter().map(|&place| {
            let here = (place - start) as usize;
            Change { place, before: at(strip.0, here), after: at(strip.1, here) }
        }));
        if changes.len() > most {
            return None;
        }
    }
    (!changes.is_empty()).then_some(changes)
}

/// Writes the places of words of a strip that differ, and returns their number. `start` is the
/// place of the first word.
fn find_in<W: Word>(strip: (&[u8], &[u8]), start: u32, places: &mut Places) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some(count) = super::avx2::places::<W>(strip, start, places) {
        return count;
    }
    find_portably::<W>(strip, start, places)
}

/// Does the same as [`find_in`] on any processor.
pub(super) fn find_portably<W: Word>((base, target): (&[u8], &[u8]), mut start: u32, places: &mut Places) -> usize {
    let (base, base_rest) = base.as_chunks::<BLOCK>();
    let (target, target_rest) = target.as_chunks::<BLOCK>();
    let mut count = 0;
    for (base, target) in base.iter().zip(target) {
        if base != target {
            count = list::<W>((base, target), start, places, count);
        }
        start += (BLOCK / W::BYTES) as u32;
    }
    list::<W>((base_rest, target_rest), start, places, count)
}

/// Appends the places of words that differ to the first `count` of `places`, and returns their
/// number. `start` is the place of the first word. No branch depends on the words.
#[inline(always)]
pub(super) fn list<W: Word>(
    (base, target): (&[u8], &[u8]),
    start: u32,
    places: &mut Places,
    mut count: usize,
) -> usize {
    for place in 0..base.len() / W::BYTES {
        places[count % STRIP] = start + place as u32;
        count += usize::from(at::<W>(base, place) != at(target, place));
    }
    count
}

/// Numbers as tokens and raw bits.
#[derive(Default)]
struct List {
    tokens: Vec<u8>,
    extra: BitWriter,
}

impl List {
    #[inline]
    fn push(&mut self, number: u64) {
        let token = bins::token(number);
        let (least, width) = BINS[usize::from(token)];
        self.extra.put_wide(number - least, width);
        self.tokens.push(token);
    }
}

/// Returns the payload of these gaps and differences.
fn payload(gaps: List, deltas: List) -> Vec<u8> {
    let mut payload = Vec::new();
    put_varint(&mut payload, gaps.tokens.len() as u64);
    let mut tables = vec![GAPS; gaps.tokens.len()];
    tables.resize(2 * gaps.tokens.len(), DELTAS);
    let tokens = [gaps.tokens, deltas.tokens].concat();
    let mut histogram = vec![0; 2 * TOKENS];
    for (&context, &token) in tables.iter().zip(&tokens) {
        histogram[usize::from(context) * TOKENS + usize::from(token)] += 1;
    }
    let clusters = cluster(&histogram, TOKENS);
    tokens::table_of(&clusters).map(&mut tables);
    tokens::write(&mut payload, &clusters, &tables, &tokens);
    put_prefixed(&mut payload, &gaps.extra.finish());
    payload.extend(deltas.extra.finish());
    payload
}

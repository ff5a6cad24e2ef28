//! Bytes as copies from a base of any length, or from earlier bytes of the chunk, and literals.
//!
//! The *window* is the base and the bytes of the chunk behind it. A *sequence* inserts literals and
//! then copies from the window, at a distance before the place that is written. The payload holds
//! the numbers of sequences and of literals, one list of tokens, and to its end the raw bits of the
//! sequences.

mod anchors;
mod distance;
mod finder;
mod parse;
mod prices;

use super::tokens::{self, TokenReader};
use super::{Effort, Scratch};
use crate::bytes::{ByteReader, put_varint};
use crate::entropy::bins::{self, BINS, TOKENS};
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::cluster::cluster;
use crate::entropy::rans::STRIP;
use crate::entropy::zstd::writer::{self, Sequence};
use crate::error::{Error, Result};
use distance::Recent;

/// The largest base.
pub(crate) const MOST_BASE: usize = 16 << 20;

/// The shortest copy.
const SHORTEST: usize = 3;

/// The lists of tokens: insert lengths, copy lengths, distances, literals.
const KINDS: usize = 4;

/// The first context of literals. Each other list has one context, its number.
const LITERALS: usize = 3;

/// Contexts of literals: those of each of so many parts of the list, from its beginning to its end.
const PARTS: usize = 64;

/// Encodes `target` against `base`, which has at most [`MOST_BASE`] bytes and may be empty.
pub(super) fn encode(base: &[u8], target: &[u8], effort: Effort) -> Vec<u8> {
    write(base.len(), target, &parse::parse(base, target, effort))
}

/// Encodes `target` without a base, as a patch and as a zstd frame of the same copies.
pub(super) fn encode_alone(target: &[u8], effort: Effort) -> (Vec<u8>, Vec<u8>) {
    let sequences = parse::parse(&[], target, effort);
    (write(0, target, &sequences), writer::write(target, &sequences))
}

/// Bytes of a target that are tried.
const SAMPLE: usize = 1 << 14;

/// Returns true if a patch of a sample of `target` promises fewer than `limit` bytes for all of it.
pub(super) fn pays(target: &[u8], limit: usize) -> bool {
    let start = target.len().saturating_sub(SAMPLE) / 2;
    let sample = &target[start..target.len().min(start + SAMPLE)];
    encode(&[], sample, Effort::Fast).len() as u128 * target.len() as u128 * 33
        < limit as u128 * sample.len() as u128 * 32
}

/// Returns the payload of these sequences; the literals behind the last one are implied.
fn write(base: usize, target: &[u8], sequences: &[Sequence]) -> Vec<u8> {
    let mut lists: [Vec<u8>; KINDS] = Default::default();
    let mut extra = BitWriter::default();
    let (mut recent, mut place) = (Recent::new(base), 0);
    let mut put = |list: &mut Vec<u8>, value: usize| {
        let token = bins::token(value as u64);
        let (least, width) = BINS[usize::from(token)];
        list.push(token);
        extra.put_wide(value as u64 - least, width);
    };
    let mut distances = BitWriter::default();
    for sequence in sequences {
        put(&mut lists[0], sequence.inserted);
        put(&mut lists[1], sequence.copied - SHORTEST);
        let code = recent.code(sequence.distance);
        recent.push(sequence.distance);
        lists[2].push(code.token);
        distances.put(code.rest, code.width);
        lists[3].extend_from_slice(&target[place..place + sequence.inserted]);
        place += sequence.inserted + sequence.copied;
    }
    lists[3].extend_from_slice(&target[place..]);
    let mut payload = Vec::new();
    put_varint(&mut payload, sequences.len() as u64);
    put_varint(&mut payload, lists[3].len() as u64);
    write_lists(&mut payload, &lists);
    crate::bytes::put_prefixed(&mut payload, &extra.finish());
    payload.extend(distances.finish());
    payload
}

/// Appends the tokens of all lists, one list after the other.
fn write_lists(payload: &mut Vec<u8>, lists: &[Vec<u8>; KINDS]) {
    let mut histogram = vec![0u32; (LITERALS + PARTS) * 256];
    let mut contexts: Vec<u8> = Vec::new();
    for (kind, list) in lists.iter().enumerate() {
        let context = |at| if kind < LITERALS { kind as u8 } else { of_literal(at, list.len()) };
        contexts.extend((0..list.len()).map(context));
    }
    for (&context, &token) in contexts.iter().zip(lists.iter().flatten()) {
        histogram[usize::from(context) * 256 + usize::from(token)] += 1;
    }
    let clusters = cluster(&histogram, 256);
    tokens::table_of(&clusters).map(&mut contexts);
    tokens::write(payload, &clusters, &contexts, &lists.concat());
}

/// The context of literal `at` of `count`.
fn of_literal(at: usize, count: usize) -> u8 {
    (LITERALS + at * PARTS / count) as u8
}

/// Restores `target` from its base and the payload that [`encode`] returned.
///
/// The time is linear in the length of the target, whatever the base.
pub(super) fn decode(payload: &[u8], base: &[u8], target: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let mut count = |most: usize| match payload.varint()? {
        count if count > most as u64 => {
            Err(Error::corrupt("a patch restores more than its chunk").figures(format_args!("{most} at most"), count))
        }
        count => Ok(count as usize),
    };
    let sequences = count(target.len() / SHORTEST)?;
    let literals = count(target.len())?;
    let tokens = read_lists(&mut payload, sequences, literals, scratch)?;
    let (lengths, rest) = tokens.split_at(2 * sequences);
    let (distances, literals) = rest.split_at(sequences);
    let (inserts, copies) = lengths.split_at(sequences);
    let mut restored = Restored { base, target, place: 0, literals };
    let mut recent = Recent::new(base.len());
    let mut extra = BitReader::new(payload.prefixed()?);
    let mut extra_distances = BitReader::new(payload.rest());
    for ((&insert, &copy), &distance) in inserts.iter().zip(copies).zip(distances) {
        restored.insert(length(insert, &mut extra)?)?;
        let copied = length(copy, &mut extra)?.saturating_add(SHORTEST);
        let distance = recent.read(distance, &mut extra_distances)?;
        restored.copy(copied, distance)?;
    }
    restored.finish()?;
    extra.finish()?;
    extra_distances.finish()
}

/// Reads the tokens that [`write_lists`] appended.
fn read_lists(
    payload: &mut ByteReader<'_>,
    sequences: usize,
    literals: usize,
    scratch: &mut Scratch,
) -> Result<Vec<u8>> {
    let mut tokens = vec![0; 3 * sequences + literals];
    let mut reader = TokenReader::new(payload, &mut scratch.decoder, 256)?;
    let mut contexts = [0; STRIP];
    for (i, strip) in tokens.chunks_mut(STRIP).enumerate() {
        let contexts = &mut contexts[..strip.len()];
        let context_of = |place: usize| match place.checked_sub(3 * sequences) {
            Some(at) => of_literal(at, literals),
            None => (place / sequences) as u8,
        };
        // Most strips have one context.
        let (first, last) = (context_of(i * STRIP), context_of(i * STRIP + strip.len() - 1));
        match first == last {
            true => contexts.fill(first),
            false => (i * STRIP..).zip(&mut *contexts).for_each(|(place, context)| *context = context_of(place)),
        }
        reader.strip(contexts, strip);
    }
    reader.finish()?;
    Ok(tokens)
}

/// Reads a length, given its token.
fn length(token: u8, extra: &mut BitReader<'_>) -> Result<usize> {
    if usize::from(token) >= TOKENS {
        return Err(Error::corrupt("a length of a patch has an unknown token").figures(TOKENS - 1, token));
    }
    let (least, width) = BINS[usize::from(token)];
    Ok(usize::try_from(least.wrapping_add(extra.get_wide(width))).unwrap_or(usize::MAX))
}

/// The target, as far as it is restored.
struct Restored<'a> {
    base: &'a [u8],
    target: &'a mut [u8],
    /// Number of bytes that are restored.
    place: usize,
    /// Literals that are left.
    literals: &'a [u8],
}

impl Restored<'_> {
    fn insert(&mut self, length: usize) -> Result<()> {
        let split = self.literals.split_at_checked(length);
        let (inserted, rest) = split.ok_or_else(|| Error::corrupt("a patch inserts more literals than it has"))?;
        let room = self.target[self.place..].get_mut(..length);
        room.ok_or_else(|| Error::corrupt("a patch inserts beyond the end of its chunk"))?.copy_from_slice(inserted);
        self.literals = rest;
        self.place += length;
        Ok(())
    }

    /// Copies bytes that begin `distance` before the place. What a copy writes, it may read.
    fn copy(&mut self, length: usize, distance: usize) -> Result<()> {
        if length > self.target.len() - self.place {
            return Err(Error::corrupt("a patch copies beyond the end of its chunk"));
        }
        if distance == 0 || distance > self.base.len() + self.place {
            return Err(Error::corrupt("a patch copies from outside of its window"));
        }
        let end = self.place + length;
        if distance > self.place {
            let start = self.base.len() + self.place - distance;
            let count = length.min(self.base.len() - start);
            self.target[self.place..self.place + count].copy_from_slice(&self.base[start..start + count]);
            self.place += count;
        }
        while self.place < end {
            let start = self.place - distance;
            let count = distance.min(end - self.place);
            self.target.copy_within(start..start + count, self.place);
            self.place += count;
        }
        Ok(())
    }

    /// Inserts the literals that are left.
    fn finish(mut self) -> Result<()> {
        self.insert(self.literals.len())?;
        match self.target.len() - self.place {
            0 => Ok(()),
            missing => Err(Error::corrupt("a patch ends before its chunk does").figures(0, missing)),
        }
    }
}

#[cfg(test)]
mod tests;

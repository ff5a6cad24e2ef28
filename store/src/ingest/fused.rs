//! Tensors that are one in the new file and several in a stored file, or the other way round, such
//! as experts and projections that are fused.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitx::distance::Sketch;
use bitx::layout::Dtype;

use super::Ingest;
use super::file::Surveyed;
use super::local::LocalFile;
use super::parts::Part;
use super::relatives::Chosen;
use super::sketches::{LEAST, Sheet, closest};
use crate::codec::Form;
use crate::error::Result;
use crate::keys::ObjectId;
use crate::manifest::Item;

/// The maximum number of lengths of stored pieces that are tried at one place of a fused tensor.
const MOST_LENGTHS: usize = 8;
/// The maximum length of a stored piece that holds a tensor, as a multiple of the tensor's length.
/// The whole piece is decoded whenever the tensor is.
const MOST_TIMES: u64 = 16;
/// The least number of words that must be compared before a stored piece counts as one that holds a
/// tensor.
const LEAST_WORDS: u64 = 6;
/// The share of differing bits of these words up to which it does, as a divisor: three tenths.
const MOST_DIFFERING: (u64, u64) = (3, 10);

impl Ingest<'_> {
    /// Cuts the items that have found no base anew, each into parts that resemble stored pieces, if
    /// all of its bytes do.
    pub(super) async fn recut(
        &self,
        file: &Arc<LocalFile>,
        items: &mut [Item],
        surveyed: Vec<Surveyed>,
        near: &[Arc<Sheet>],
    ) -> Result<Vec<Surveyed>> {
        let mut open = BTreeSet::new();
        for part in surveyed.iter().filter(|part| !near.is_empty() && is_open(part, near)) {
            open.insert(part.part.item);
        }
        let mut recut: Vec<Surveyed> = Vec::with_capacity(surveyed.len());
        let mut rest = surveyed.into_iter().peekable();
        while let Some(first) = rest.next() {
            let item = first.part.item;
            let mut parts = vec![first];
            while let Some(part) = rest.next_if(|part| part.part.item == item) {
                parts.push(part);
            }
            if open.contains(&item)
                && items[item].name.is_some()
                && let Some(new) = self.chain(file, &parts, near).await?
            {
                items[item].blake3.get_or_insert(parts[0].digest);
                parts = new;
            }
            recut.append(&mut parts);
        }
        Ok(recut)
    }

    /// The parts of one item as a chain of parts that resemble stored pieces.
    async fn chain(
        &self,
        file: &Arc<LocalFile>,
        parts: &[Surveyed],
        near: &[Arc<Sheet>],
    ) -> Result<Option<Vec<Surveyed>>> {
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(None) };
        let (part, end) = (first.part.clone(), last.part.range.end);
        let (file, near) = (file.clone(), near.to_vec());
        let row = row(&part);
        let lengths: BTreeSet<u64> = near.iter().flat_map(|sheet| sheet.lengths(part.dtype)).collect();
        let lengths: Vec<u64> = lengths.into_iter().rev().filter(|length| length.is_multiple_of(row)).collect();
        let chained = self.store.compute(move || {
            let (mut chain, mut start): (Vec<Surveyed>, u64) = (Vec::new(), part.range.start);
            while start < end {
                let fitting = lengths.iter().filter(|length| **length <= end - start).take(MOST_LENGTHS);
                let Some(next) = next(&file, start, fitting, &part, chain.len(), &near)? else { return Ok(None) };
                start = next.part.range.end;
                chain.push(next);
            }
            let length = chain.first().map_or(0, Surveyed::length);
            chain.iter_mut().for_each(|part| part.part.first = length);
            Ok((chain.len() > 1).then_some(chain))
        });
        chained.await
    }

    /// Looks for stored pieces that hold the parts without a base. Returns for each part the piece
    /// that seems to hold the same bytes, with their offset in it.
    pub(super) async fn look_within(
        &self,
        file: &Arc<LocalFile>,
        surveyed: &[Surveyed],
        near: &[Arc<Sheet>],
        bases: &mut [Vec<Chosen>],
    ) -> Result<Vec<Option<Held>>> {
        let mut equal = vec![None; surveyed.len()];
        for ((part, bases), equal) in surveyed.iter().zip(bases).zip(&mut equal) {
            let length = part.length();
            let holds = |other: u64| other > length && other.is_multiple_of(length) && other / length <= MOST_TIMES;
            let any = || near.iter().any(|sheet| sheet.lengths(part.part.dtype).any(holds));
            if !bases.is_empty() || part.sketch.is_none() || !any() {
                continue;
            }
            let (file, near, own) = (file.clone(), near.to_vec(), part.part.clone());
            let found = self.store.compute(move || {
                let bytes = file.read(own.range.clone())?;
                let found = holder(&bytes, own.dtype, &near);
                file.give_back(bytes);
                Ok::<_, crate::Error>(found)
            });
            let Some((held, form, is_equal)) = found.await? else { continue };
            *equal = is_equal.then_some(held);
            bases.push(Chosen { base: held.piece, form: Some(form) });
        }
        Ok(equal)
    }
}

/// Returns `true` if a part is large enough for a base and none of the pieces resembles it.
fn is_open(part: &Surveyed, near: &[Arc<Sheet>]) -> bool {
    let sketch = part.sketch.as_ref();
    sketch.is_some_and(|sketch| closest(near.iter().map(|sheet| &**sheet), sketch).is_none())
}

/// The length in bytes of a row of a part, or of its unit if it has one dimension.
fn row(part: &Part) -> u64 {
    let row = part.shape.last().filter(|_| part.shape.len() > 1);
    row.and_then(|row| part.dtype.tensor_bytes(&[*row])).unwrap_or(part.dtype.block().1).max(1)
}

/// The part at `start` that resembles a stored piece of one of these lengths, as part `number` of
/// the item of `part`.
fn next<'l>(
    file: &LocalFile,
    start: u64,
    lengths: impl Iterator<Item = &'l u64>,
    part: &Part,
    number: usize,
    near: &[Arc<Sheet>],
) -> Result<Option<Surveyed>> {
    for length in lengths {
        let sketch = sampled(file, part.dtype, start, *length)?;
        if sketch.is_none_or(|sketch| closest(near.iter().map(|sheet| &**sheet), &sketch).is_none()) {
            continue;
        }
        let (range, rows) = (start..start + length, length / row(part));
        let bytes = file.read(range.clone())?;
        let shape = match part.shape[..] {
            [.., _, columns] => vec![rows, columns],
            _ => vec![rows * part.dtype.block().0],
        };
        let new = Surveyed::of(Part { number, shape, range, ..part.clone() }, true, &bytes);
        file.give_back(bytes);
        return Ok(Some(new));
    }
    Ok(None)
}

/// The sketch of `length` bytes of a file, of which it reads no others than the sampled words.
fn sampled(file: &LocalFile, dtype: Dtype, start: u64, length: u64) -> Result<Option<Sketch>> {
    let blank = vec![0; Sketch::size(dtype, length)];
    let Ok(blank) = Sketch::from_bytes(dtype, length, blank) else { return Ok(None) };
    let mut samples = Vec::with_capacity(blank.bytes().len());
    for place in blank.places() {
        let word = file.read(start + place.start..start + place.end)?;
        samples.extend_from_slice(&word);
        file.give_back(word);
    }
    Ok(Sketch::from_bytes(dtype, length, samples).ok())
}

/// The place of a tensor in a stored piece that holds more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) piece: ObjectId,
    /// The offset in the piece, in bytes.
    pub(super) offset: u64,
}

/// The place in a stored piece that holds a tensor with these bytes at a multiple of its length,
/// judged by the words of its sketch that are in the tensor's place. Also returns the form of the
/// piece, and `true` if all of these words are equal.
fn holder(bytes: &[u8], dtype: Dtype, near: &[Arc<Sheet>]) -> Option<(Held, Form, bool)> {
    let length = bytes.len() as u64;
    let mut best: Option<(u64, u64, Held, &Sheet)> = None;
    for sheet in near {
        let lengths: BTreeSet<u64> = sheet.lengths(dtype).filter(|other| is_holder(*other, length)).collect();
        for (id, sketch) in lengths.iter().flat_map(|other| sheet.sketched(dtype, *other)) {
            for offset in (0..sketch.length()).step_by(bytes.len()) {
                let (differing, bits) = differing(bytes, offset, sketch);
                let is_better = best.is_none_or(|(d, b, ..)| differing * b < d * bits);
                if is_better && differing * MOST_DIFFERING.1 <= bits * MOST_DIFFERING.0 && bits > 0 {
                    best = Some((differing, bits, Held { piece: *id, offset }, sheet));
                }
            }
        }
    }
    let (differing, _, held, sheet) = best?;
    Some((held, sheet.form(&held.piece, true)?, differing == 0))
}

fn is_holder(other: u64, length: u64) -> bool {
    length >= LEAST && other > length && other.is_multiple_of(length) && other / length <= MOST_TIMES
}

/// The number of differing bits, and of all bits, of the words of a sketch that are in the place of
/// a tensor at `offset`. Both are 0 if they are too few.
fn differing(bytes: &[u8], offset: u64, sketch: &Sketch) -> (u64, u64) {
    let (mut differing, mut words, mut at) = (0, 0, 0);
    let mut width = 0;
    for place in sketch.places() {
        width = (place.end - place.start) as usize;
        let sample = &sketch.bytes()[at..at + width];
        at += width;
        let within = place.start.checked_sub(offset).map(|start| start as usize);
        let Some(own) = within.and_then(|start| bytes.get(start..start + width)) else { continue };
        differing += sample.iter().zip(own).map(|(a, b)| u64::from((a ^ b).count_ones())).sum::<u64>();
        words += 1;
    }
    if words < LEAST_WORDS { (0, 0) } else { (differing, words * width as u64 * 8) }
}

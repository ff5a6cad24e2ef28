//! The indices of a chunk, strip by strip: what is left of them where others are expected, and back.

use super::expect::{Expected, Strip};
use super::{number, residue};
use crate::bytes::ByteReader;
use crate::chunk::Scratch;
use crate::chunk::list::Reader;
use crate::entropy::rans::STRIP;
use crate::error::Result;

/// A chunk of indices that are expected in strips of [`STRIP`], of which the last one may be shorter.
pub(super) trait Strips {
    /// Bytes of a strip.
    fn bytes(&self) -> usize;

    /// Indices in so many bytes.
    fn count(&self, bytes: usize) -> usize;

    /// Finds what is expected of `count` indices from index `start` on.
    fn expect<'s>(&self, start: usize, count: usize, strip: &'s mut Strip) -> &'s mut Expected;

    /// Reads the indices in some bytes.
    fn read(&self, bytes: &[u8], indices: &mut [u8]);

    /// Writes indices, which are not needed any more, into their bytes.
    fn write(&self, indices: &mut [u8], bytes: &mut [u8]);
}

/// Returns what is left of the indices of `target`, and their contexts.
pub(super) fn residues(strips: &impl Strips, target: &[u8]) -> (Vec<u16>, Vec<u8>) {
    let count = strips.count(target.len());
    let (mut residues, mut contexts) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut strip, mut own) = (Strip::default(), [0; STRIP]);
    for (i, target) in target.chunks(strips.bytes()).enumerate() {
        let own = &mut own[..strips.count(target.len())];
        strips.read(target, own);
        let expected = strips.expect(i * STRIP, own.len(), &mut strip);
        let expectations = expected.numbers.iter().zip(&expected.signs);
        let pairs = own.iter().zip(expectations);
        residues.extend(pairs.map(|(&index, (&near, &sign))| residue(index.into(), near, sign)));
        contexts.extend_from_slice(&expected.contexts);
    }
    (residues, contexts)
}

/// Restores the indices of `target`, of which the list of what is left ends the payload.
pub(super) fn decode(
    strips: &impl Strips,
    mut payload: ByteReader<'_>,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let mut reader = Reader::new(&mut payload, scratch)?;
    payload.finish()?;
    let (mut strip, mut residues, mut own) = (Strip::default(), [0; STRIP], [0; STRIP]);
    for (i, target) in target.chunks_mut(strips.bytes()).enumerate() {
        let count = strips.count(target.len());
        let expected = strips.expect(i * STRIP, count, &mut strip);
        let (residues, own) = (&mut residues[..count], &mut own[..count]);
        reader.strip(&mut expected.contexts, residues);
        let expectations = expected.numbers.iter().zip(&expected.signs);
        for ((index, &residue), (&near, &sign)) in own.iter_mut().zip(&*residues).zip(expectations) {
            *index = number(residue, near, sign) as u8;
        }
        strips.write(own, target);
    }
    reader.finish()
}

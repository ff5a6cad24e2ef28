//! A chunk of packed numbers of four bits: the difference of each half byte to the base's, in the
//! context of the base's half byte.
//!
//! The payload is one list of the zigzag differences, modulo 16, low half of each byte first.

use super::Scratch;
use super::list::{self, List};
use crate::bytes::ByteReader;
use crate::error::Result;

/// The halves of bytes, the low one first.
fn halves(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().flat_map(|byte| [byte & 15, byte >> 4])
}

/// Encodes `target` against `base`, which has the same length, and returns the payload.
pub(super) fn encode(base: &[u8], target: &[u8]) -> Vec<u8> {
    let residue = |(base, target): (u8, u8)| {
        let difference = target.wrapping_sub(base) & 15;
        u16::from(if difference < 8 { 2 * difference } else { 31 - 2 * difference })
    };
    let residues = halves(base).zip(halves(target)).map(residue).collect();
    let mut payload = Vec::new();
    List::new(residues, halves(base).collect()).write(&mut payload);
    payload
}

/// Restores `target` from its base and the payload that [`encode`] returned.
pub(super) fn decode(payload: &[u8], base: &[u8], target: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let residues = list::read(&mut payload, halves(base).collect(), scratch)?;
    payload.finish()?;
    let half = |(base, residue): (u8, u16)| {
        let difference = (residue >> 1) ^ (residue & 1).wrapping_neg();
        base.wrapping_add(difference as u8) & 15
    };
    let mut restored = halves(base).zip(residues).map(half);
    for byte in target {
        let low = restored.next().unwrap_or(0);
        *byte = low | restored.next().unwrap_or(0) << 4;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_nibbles_comes_back() {
        let base: Vec<u8> = (0..=255).flat_map(|byte| [byte; 256]).collect();
        let target: Vec<u8> = (0..256).flat_map(|_| 0..=255).collect();
        let payload = encode(&base, &target);
        let mut restored = vec![0; target.len()];
        decode(&payload, &base, &mut restored, &mut Scratch::default()).unwrap();
        assert!(restored == target);
    }
}

//! pcodec over the 16-bit words of paired tensors: their XOR, and their difference in the order of
//! the numbers.

use anyhow::{Result, ensure};
use pco::ChunkConfig;
use pco::standalone::{simple_compress, simple_decompress_into};
use rayon::prelude::*;
use safetensors::SafeTensors;

use crate::{Row, timed};

/// Words that are coded on their own; pcodec's own chunks are no larger.
const PIECE: usize = 1 << 18;

/// The same part of one tensor in both models.
struct Piece {
    base: Vec<u16>,
    target: Vec<u16>,
}

pub fn measure(base: &[u8], target: &[u8]) -> Result<Vec<Row>> {
    let pieces = pieces(&SafeTensors::deserialize(base)?, &SafeTensors::deserialize(target)?)?;
    let xor = |a, b| a ^ b;
    Ok(vec![
        measure_method("xor", &pieces, xor, xor)?,
        measure_method("delta", &pieces, ordered_difference, undo_ordered_difference)?,
    ])
}

/// Cuts every tensor of the target, each with its namesake in the base, or with zeros where there
/// is none.
fn pieces(base: &SafeTensors<'_>, target: &SafeTensors<'_>) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for (name, tensor) in target.iter() {
        ensure!(tensor.data().len() % 2 == 0, "{name} is not made of 16-bit words");
        let words = words(tensor.data());
        let partner = base.tensor(name).ok().filter(|partner| partner.data().len() == tensor.data().len());
        let partner = partner.map_or_else(|| vec![0; words.len()], |partner| self::words(partner.data()));
        let parts = partner.chunks(PIECE).zip(words.chunks(PIECE));
        pieces.extend(parts.map(|(base, target)| Piece { base: base.to_vec(), target: target.to_vec() }));
    }
    Ok(pieces)
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]])).collect()
}

/// `difference(target, base)` is what pcodec gets to see, and `undo(difference, base)` gives the
/// target back.
fn measure_method(
    method: &'static str,
    pieces: &[Piece],
    difference: impl Fn(u16, u16) -> u16 + Sync,
    undo: impl Fn(u16, u16) -> u16 + Sync,
) -> Result<Row> {
    let config = ChunkConfig::default();
    let encode = |piece: &Piece| {
        let both = piece.target.iter().zip(&piece.base);
        let numbers: Vec<u16> = both.map(|(&target, &base)| difference(target, base)).collect();
        Ok(simple_compress(&numbers, &config)?)
    };
    let (archives, encode_s) = timed(|| pieces.par_iter().map(encode).collect::<Result<Vec<Vec<u8>>>>())?;
    let mut outputs: Vec<Vec<u16>> = pieces.iter().map(|piece| vec![0; piece.target.len()]).collect();
    let decode = |((piece, archive), output): ((&Piece, &Vec<u8>), &mut Vec<u16>)| -> Result<()> {
        simple_decompress_into(archive, output)?;
        for (word, &base) in output.iter_mut().zip(&piece.base) {
            *word = undo(*word, base);
        }
        Ok(())
    };
    let ((), decode_s) = timed(|| pieces.par_iter().zip(&archives).zip(&mut outputs).try_for_each(decode))?;
    let identical = pieces.iter().zip(&outputs).all(|(piece, output)| piece.target == *output);
    ensure!(identical, "pco {method}: decoded other words");
    Ok(Row { method, bytes: archives.iter().map(Vec::len).sum(), encode_s, decode_s })
}

/// Bits of a float as an integer in the order of the numbers.
fn ordered(bits: u16) -> u16 {
    if bits >> 15 == 1 { !bits } else { bits | 0x8000 }
}

/// Moved to the middle of the range, so that small steps up and down are neighbours for pcodec.
fn ordered_difference(target: u16, base: u16) -> u16 {
    ordered(target).wrapping_sub(ordered(base)) ^ 0x8000
}

fn undo_ordered_difference(difference: u16, base: u16) -> u16 {
    let ordered = (difference ^ 0x8000).wrapping_add(ordered(base));
    if ordered >> 15 == 1 { ordered & 0x7fff } else { !ordered }
}

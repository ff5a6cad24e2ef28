//! The words of tensors that a new version changes, kept until the version is known to be right.

use std::io;

use bitx::io::ReadAt;

use crate::input::{Tensors, Words};

/// The bytes of a word of a change.
const WORD: usize = 4;

/// The bytes of a block: as many words as a mask has bits.
const BLOCK: usize = 32 * WORD;

/// The bytes that are compared at a time: few enough to stay in the fastest cache.
const PIECE: usize = 128 * BLOCK;

/// The changes of a version. They take as much memory as the words that change, and little more.
#[derive(Default)]
pub struct Changes {
    stretches: Vec<Stretch>,
}

/// The changes of consecutive bytes.
struct Stretch {
    offset: u64,
    length: usize,
    changed: Changed,
}

enum Changed {
    Sparse(Sparse),
    /// All bytes.
    Whole(Vec<u8>),
}

/// The numbers of the blocks that change, a mask of the words in each that do, and these words.
#[derive(Default)]
struct Sparse {
    blocks: Vec<(u32, u32)>,
    words: Vec<[u8; WORD]>,
}

impl Sparse {
    fn size(&self) -> usize {
        size_of_val(self.blocks.as_slice()) + size_of_val(self.words.as_slice())
    }

    /// Adds the words of block `number` that change.
    fn record(&mut self, number: u32, old: &[u8; BLOCK], new: &[u8; BLOCK]) {
        if old == new {
            return;
        }
        let (old, new) = (old.as_chunks::<WORD>().0, new.as_chunks::<WORD>().0);
        let mask = mask_of(&std::array::from_fn(|i| u8::from(old[i] != new[i])));
        self.blocks.push((number, mask));
        self.words.extend(places(mask).map(|i| new[i]));
    }
}

/// Returns the mask whose bit `i` is the lowest bit of byte `i`, all of whose other bits are zeros.
fn mask_of(bits: &[u8; 32]) -> u32 {
    // The product gathers the bits of eight bytes in the highest byte.
    let gathered = |eight: &[u8; 8]| (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32;
    bits.as_chunks::<8>().0.iter().rev().fold(0, |mask, eight| mask << 8 | gathered(eight))
}

/// The numbers of the words in a mask, in order.
fn places(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        place
    })
}

/// Returns the block at the beginning of `bytes`, which may be short: zeros follow it.
fn block(bytes: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let length = bytes.len().min(BLOCK);
    block[..length].copy_from_slice(&bytes[..length]);
    block
}

impl Changes {
    /// Adds `new`, the bytes at `offset` of the new version; `tensors` have those of the old one.
    pub fn record(&mut self, tensors: &Tensors, offset: u64, new: &[u8]) -> io::Result<()> {
        let (mut sparse, mut old) = (Sparse::default(), [0; PIECE]);
        for (piece, new) in new.chunks(PIECE).enumerate() {
            let old = &mut old[..new.len()];
            tensors.read_at(offset + (piece * PIECE) as u64, old)?;
            for (i, (old, new)) in old.chunks(BLOCK).zip(new.chunks(BLOCK)).enumerate() {
                let number = (piece * (PIECE / BLOCK) + i) as u32;
                match (old.first_chunk(), new.first_chunk()) {
                    (Some(old), Some(new)) => sparse.record(number, old, new),
                    _ => sparse.record(number, &block(old), &block(new)),
                }
            }
        }
        let size = sparse.size();
        if size > 0 {
            let changed = if size < new.len() { Changed::Sparse(sparse) } else { Changed::Whole(new.to_vec()) };
            self.stretches.push(Stretch { offset, length: new.len(), changed });
        }
        Ok(())
    }

    /// Writes the words that change to the tensors, and no others.
    pub fn write_to(&self, tensors: &Tensors) -> io::Result<()> {
        let mut words = tensors.words();
        for Stretch { offset, length, changed } in &self.stretches {
            match changed {
                Changed::Whole(new) => tensors.write_at(*offset, new)?,
                Changed::Sparse(sparse) => write_sparse(&mut words, *offset, *length, sparse)?,
            }
        }
        Ok(())
    }
}

/// Replaces the words that change among the `length` bytes at `offset`.
fn write_sparse(writer: &mut Words<'_>, offset: u64, length: usize, sparse: &Sparse) -> io::Result<()> {
    let mut words = sparse.words.iter();
    for &(number, mask) in &sparse.blocks {
        for (place, word) in places(mask).zip(&mut words) {
            let at = number as usize * BLOCK + place * WORD;
            match length - at {
                ..WORD => writer.write_at(offset + at as u64, &word[..length - at])?,
                _ => writer.write_word(offset + at as u64, *word)?,
            }
        }
    }
    Ok(())
}

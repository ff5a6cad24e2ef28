//! The words of tensors that a new version changes, kept until the version is known to be right.

use std::io;

use bitx::io::ReadAt;

use crate::input::Tensors;

/// The bytes of a word of a change.
const WORD: usize = 4;

/// The bytes of a block: as many words as a mask has bits.
const BLOCK: usize = 32 * WORD;

/// The bytes that are compared or changed at a time: few enough to stay in the fastest cache.
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
        let new = new.as_chunks::<WORD>().0;
        let pairs = old.as_chunks::<WORD>().0.iter().zip(new).enumerate();
        let mask = pairs.fold(0, |mask, (i, (old, new))| mask | u32::from(old != new) << i);
        self.blocks.push((number, mask));
        self.words.extend(places(mask).map(|i| new[i]));
    }
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

    /// Writes the changes to the tensors.
    pub fn write_to(&self, tensors: &Tensors) -> io::Result<()> {
        for Stretch { offset, length, changed } in &self.stretches {
            match changed {
                Changed::Whole(new) => tensors.write_at(*offset, new)?,
                Changed::Sparse(sparse) => write_sparse(tensors, *offset, *length, sparse)?,
            }
        }
        Ok(())
    }
}

/// Replaces the words that change among the `length` bytes at `offset`, piece by piece.
fn write_sparse(tensors: &Tensors, offset: u64, length: usize, sparse: &Sparse) -> io::Result<()> {
    let (mut words, mut bytes) = (sparse.words.iter(), [0; PIECE]);
    for blocks in sparse.blocks.chunk_by(|(a, _), (b, _)| piece_of(*a) == piece_of(*b)) {
        let start = piece_of(blocks[0].0) * PIECE;
        let bytes = &mut bytes[..PIECE.min(length - start)];
        tensors.read_at(offset + start as u64, bytes)?;
        for &(number, mask) in blocks {
            let block = number as usize * BLOCK - start;
            for (place, word) in places(mask).zip(&mut words) {
                let place = &mut bytes[block + place * WORD..];
                let length = place.len().min(WORD);
                place[..length].copy_from_slice(&word[..length]);
            }
        }
        tensors.write_at(offset + start as u64, bytes)?;
    }
    Ok(())
}

/// The number of the piece that has a block.
fn piece_of(block: u32) -> usize {
    block as usize / (PIECE / BLOCK)
}

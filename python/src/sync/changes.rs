//! The words of tensors that a new version changes, kept until the version is known to be right.

use std::io;

use bitx::io::ReadAt;

use crate::input::{Tensors, Words};

/// The bytes of a word of a change.
const WORD: usize = 4;

/// The bytes that are compared first: few of them have a word that changes.
const BLOCK: usize = 8 * WORD;

/// The bytes that are compared at a time: few enough to stay in the fastest cache.
const PIECE: usize = 512 * BLOCK;

/// The words of a piece.
const WORDS: usize = PIECE / WORD;

/// The changes of a version. They take as much memory as the words that change, and their places.
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
    /// The numbers of the words that change, and these words.
    Sparse(Vec<(u32, [u8; WORD])>),
    /// All bytes.
    Whole(Vec<u8>),
}

/// The words of a piece that change.
struct Piece {
    words: [(u32, [u8; WORD]); WORDS],
    count: usize,
}

impl Piece {
    /// Adds the words of a block that change. `number` is that of the first word.
    #[inline(always)]
    fn record(&mut self, number: u32, old: &[u8; BLOCK], new: &[u8; BLOCK]) {
        if old == new {
            return;
        }
        let words = old.as_chunks::<WORD>().0.iter().zip(new.as_chunks::<WORD>().0);
        // Every word is written, and kept if it changes: a branch could not be predicted.
        for (number, (old, new)) in (number..).zip(words) {
            self.words[self.count % WORDS] = (number, *new);
            self.count += usize::from(old != new);
        }
    }
}

/// Returns the block at the beginning of `bytes`, which may be short: zeros follow it.
fn block(bytes: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let length = bytes.len().min(BLOCK);
    block[..length].copy_from_slice(&bytes[..length]);
    block
}

impl Changes {
    /// Adds `new`, the bytes at `offset` of the new version; `tensors` have those of the old one,
    /// which are read unless they are `known`.
    pub fn record(&mut self, tensors: &Tensors, offset: u64, new: &[u8], known: Option<&[u8]>) -> io::Result<()> {
        let (mut sparse, mut read) = (Vec::new(), [0; PIECE]);
        let mut changed = Piece { words: [(0, [0; WORD]); WORDS], count: 0 };
        for (piece, new) in new.chunks(PIECE).enumerate() {
            let old = match known {
                Some(known) => &known[piece * PIECE..][..new.len()],
                None => {
                    tensors.read_at(offset + (piece * PIECE) as u64, &mut read[..new.len()])?;
                    &read[..new.len()]
                }
            };
            changed.count = 0;
            let (old_blocks, old_rest) = old.as_chunks();
            let (new_blocks, new_rest) = new.as_chunks();
            let numbers = ((piece * WORDS) as u32..).step_by(BLOCK / WORD);
            let blocks = old_blocks.iter().zip(new_blocks);
            numbers.zip(blocks).for_each(|(number, (old, new))| changed.record(number, old, new));
            let last = piece * WORDS + new_blocks.len() * (BLOCK / WORD);
            changed.record(last as u32, &block(old_rest), &block(new_rest));
            sparse.extend_from_slice(&changed.words[..changed.count]);
        }
        let size = size_of_val(sparse.as_slice());
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
fn write_sparse(writer: &mut Words<'_>, offset: u64, length: usize, words: &[(u32, [u8; WORD])]) -> io::Result<()> {
    for &(number, word) in words {
        let at = number as usize * WORD;
        match length - at {
            ..WORD => writer.write_at(offset + at as u64, &word[..length - at])?,
            _ => writer.write_word(offset + at as u64, word)?,
        }
    }
    Ok(())
}

//! The words of tensors that a new version changes, kept until the version is known to be right.

use std::io;

use bitx::io::ReadAt;

use crate::input::Tensors;

/// The bytes of a word of a change.
const WORD: usize = 4;

/// The bytes of a block: as many words as a mask has bits.
const BLOCK: usize = 32 * WORD;

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
    /// The numbers of the blocks that change, a mask of the words in each that do, and these words.
    Sparse { blocks: Vec<(u32, u32)>, words: Vec<[u8; WORD]> },
    /// All bytes.
    Whole(Vec<u8>),
}

impl Changes {
    /// Adds `new`, the bytes at `offset` of the new version; `tensors` have those of the old one.
    pub fn record(&mut self, tensors: &Tensors, offset: u64, new: &[u8]) -> io::Result<()> {
        let mut old = vec![0; new.len()];
        tensors.read_at(offset, &mut old)?;
        let (mut blocks, mut words) = (Vec::new(), Vec::new());
        for (number, (old, new)) in old.chunks(BLOCK).zip(new.chunks(BLOCK)).enumerate() {
            if old == new {
                continue;
            }
            let mut mask = 0u32;
            for (i, (old, new)) in old.chunks(WORD).zip(new.chunks(WORD)).enumerate() {
                if old != new {
                    mask |= 1 << i;
                    let mut word = [0; WORD];
                    word[..new.len()].copy_from_slice(new);
                    words.push(word);
                }
            }
            blocks.push((number as u32, mask));
        }
        let size = size_of_val(blocks.as_slice()) + size_of_val(words.as_slice());
        if size > 0 {
            let sparse = size < new.len();
            let changed = if sparse { Changed::Sparse { blocks, words } } else { Changed::Whole(new.to_vec()) };
            self.stretches.push(Stretch { offset, length: new.len(), changed });
        }
        Ok(())
    }

    /// Writes the changes to the tensors.
    pub fn write_to(&self, tensors: &Tensors) -> io::Result<()> {
        let mut bytes = Vec::new();
        for Stretch { offset, length, changed } in &self.stretches {
            match changed {
                Changed::Whole(new) => tensors.write_at(*offset, new)?,
                Changed::Sparse { blocks, words } => {
                    bytes.resize(*length, 0);
                    tensors.read_at(*offset, &mut bytes)?;
                    patch(&mut bytes, blocks, words);
                    tensors.write_at(*offset, &bytes)?;
                }
            }
        }
        Ok(())
    }
}

/// Replaces the words of `bytes` that change.
fn patch(bytes: &mut [u8], blocks: &[(u32, u32)], words: &[[u8; WORD]]) {
    let mut words = words.iter();
    for &(number, mask) in blocks {
        let mut left = mask;
        while left != 0 {
            let start = number as usize * BLOCK + left.trailing_zeros() as usize * WORD;
            let place = &mut bytes[start..];
            let length = place.len().min(WORD);
            if let Some(word) = words.next() {
                place[..length].copy_from_slice(&word[..length]);
            }
            left &= left - 1;
        }
    }
}

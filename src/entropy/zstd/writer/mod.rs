//! Writes a zstd frame of copies that were chosen elsewhere. zrip's best level looks for copies in few
//! places, and cannot be told them.

mod fse;
mod huffman;
mod sequences;

use super::frame::MAX_BLOCK;
use sequences::{Coded, Recent, SHORTEST};

/// Literals, and the copy behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) inserted: usize,
    pub(crate) copied: usize,
    pub(crate) distance: usize,
}

const MAGIC: u32 = 0xfd2f_b528;

/// Bytes of a block's header.
const HEADER: usize = 3;

/// The flag of a frame whose window is its content.
const SINGLE_SEGMENT: u8 = 1 << 5;

/// Halvings of a block that are tried: its parts may have frequencies of their own.
const HALVINGS: u32 = 4;

/// The least number of copies in half of a block.
const LEAST_HALF: usize = 64;

/// Writes `content`, which has less than 2^32 bytes, as one frame. All copies are from the content
/// itself; the literals behind the last one are implied.
pub(crate) fn write(content: &[u8], sequences: &[Sequence]) -> Vec<u8> {
    let mut written: Vec<Written> = Vec::new();
    let mut start = 0;
    for block in Cutter::cut(content.len(), sequences) {
        let recent = written.last().map_or_else(Recent::new, |last| last.recent);
        let bytes = &content[start..start + block.length];
        start += block.length;
        written.extend(block.write(bytes, recent, HALVINGS));
    }
    let mut frame = header(content.len());
    for (number, block) in written.iter().enumerate() {
        let last = u32::from(number + 1 == written.len());
        frame.extend_from_slice(&((block.bytes.len() as u32) << 3 | block.kind << 1 | last).to_le_bytes()[..3]);
        frame.extend_from_slice(&block.bytes);
    }
    frame
}

/// The bytes of a block that has been written.
#[derive(Debug)]
struct Written {
    kind: u32,
    bytes: Vec<u8>,
    /// The distances behind it.
    recent: Recent,
}

fn header(length: usize) -> Vec<u8> {
    let (flag, field) = match length {
        0..256 => (0, vec![length as u8]),
        256..65_792 => (1, ((length - 256) as u16).to_le_bytes().to_vec()),
        _ => (2, (length as u32).to_le_bytes().to_vec()),
    };
    [&MAGIC.to_le_bytes()[..], &[flag << 6 | SINGLE_SEGMENT], &field].concat()
}

/// A part of the content that has tables of its own.
#[derive(Debug, Default)]
struct Block {
    length: usize,
    sequences: Vec<Sequence>,
}

impl Block {
    /// Writes the block, whose content is `bytes`, or both of its halves if they are shorter.
    fn write(&self, bytes: &[u8], recent: Recent, halvings: u32) -> Vec<Written> {
        let mut after = recent;
        let sections = self.sections(bytes, &mut after);
        // Distances of a block that is stored as bytes are not read.
        let whole = match sections.len() < bytes.len() {
            true => Written { kind: 2, bytes: sections, recent: after },
            false => Written { kind: 0, bytes: bytes.to_vec(), recent },
        };
        if halvings == 0 || self.sequences.len() < 2 * LEAST_HALF {
            return vec![whole];
        }
        let (first, second) = self.halves();
        let (left, right) = bytes.split_at(first.length);
        let mut halves = first.write(left, recent, halvings - 1);
        let between = halves.last().map_or(recent, |last| last.recent);
        halves.extend(second.write(right, between, halvings - 1));
        let length: usize = halves.iter().map(|half| HEADER + half.bytes.len()).sum();
        if length < HEADER + whole.bytes.len() { halves } else { vec![whole] }
    }

    fn halves(&self) -> (Self, Self) {
        let (first, second) = self.sequences.split_at(self.sequences.len() / 2);
        let length = first.iter().map(|sequence| sequence.inserted + sequence.copied).sum();
        let rest = self.length - length;
        (Self { length, sequences: first.to_vec() }, Self { length: rest, sequences: second.to_vec() })
    }

    /// The sections of the block, whose content is `bytes`.
    fn sections(&self, bytes: &[u8], recent: &mut Recent) -> Vec<u8> {
        let (mut literals, mut place) = (Vec::new(), 0);
        let mut coded = Vec::with_capacity(self.sequences.len());
        for &Sequence { inserted, copied, distance } in &self.sequences {
            literals.extend_from_slice(&bytes[place..place + inserted]);
            coded.push(Coded::new(inserted, copied, distance, recent));
            place += inserted + copied;
        }
        literals.extend_from_slice(&bytes[place..]);
        [huffman::section(&literals), sequences::section(&coded)].concat()
    }
}

/// Cuts sequences where blocks end.
struct Cutter {
    blocks: Vec<Block>,
    /// Literals of the last block behind its last copy.
    pending: usize,
}

impl Cutter {
    /// The blocks of a content of so many bytes.
    fn cut(length: usize, sequences: &[Sequence]) -> Vec<Block> {
        let mut cutter = Self { blocks: vec![Block::default()], pending: 0 };
        let mut left = length;
        for sequence in sequences {
            cutter.insert(sequence.inserted);
            cutter.copy(sequence.copied, sequence.distance);
            left -= sequence.inserted + sequence.copied;
        }
        cutter.insert(left);
        cutter.blocks
    }

    /// The bytes that the last block has room for.
    fn room(&self) -> usize {
        self.blocks.last().map_or(0, |block| MAX_BLOCK - block.length)
    }

    fn next_block(&mut self) {
        self.blocks.push(Block::default());
        self.pending = 0;
    }

    fn insert(&mut self, mut count: usize) {
        while count > 0 {
            if self.room() == 0 {
                self.next_block();
            }
            let part = count.min(self.room());
            if let Some(block) = self.blocks.last_mut() {
                block.length += part;
            }
            self.pending += part;
            count -= part;
        }
    }

    /// Adds a copy, of which a part goes on in the next block where there is no room for it.
    fn copy(&mut self, mut copied: usize, distance: usize) {
        loop {
            let room = self.room();
            let part = if copied <= room { copied } else { room.min(copied - SHORTEST) };
            if part >= SHORTEST {
                let inserted = std::mem::take(&mut self.pending);
                if let Some(block) = self.blocks.last_mut() {
                    block.length += part;
                    block.sequences.push(Sequence { inserted, copied: part, distance });
                }
                copied -= part;
            }
            if copied == 0 {
                return;
            }
            self.next_block();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Decoder;
    use super::*;

    /// Sequences that a search for the last place of each three bytes finds.
    fn sequences(content: &[u8]) -> Vec<Sequence> {
        let (mut last, mut found) = (std::collections::HashMap::new(), Vec::new());
        let (mut place, mut done) = (0, 0);
        while place + 3 <= content.len() {
            let earlier = last.insert(&content[place..place + 3], place);
            let Some(earlier) = earlier else {
                place += 1;
                continue;
            };
            let copied = (place..content.len()).take_while(|&i| content[i] == content[i - place + earlier]).count();
            found.push(Sequence { inserted: place - done, copied, distance: place - earlier });
            place += copied;
            done = place;
        }
        found
    }

    fn noise(count: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    fn round_trip(content: &[u8]) -> usize {
        let frame = write(content, &sequences(content));
        let mut restored = Vec::new();
        Decoder::default().decode(&frame, content.len(), &mut restored).unwrap();
        assert!(restored == content, "{} bytes", content.len());
        frame.len()
    }

    #[test]
    fn frames_of_every_length_are_decoded() {
        let (noise, text) = (noise(300_000, 1), include_bytes!("sequences.rs").repeat(90));
        let skewed: Vec<u8> = noise.iter().map(|byte| byte & byte.rotate_left(3) & 0x9f).collect();
        let few: Vec<u8> = noise.iter().map(|byte| byte & 3).collect();
        let mixed: Vec<u8> = noise.chunks(5000).flat_map(|chunk| [chunk, &text[..3000], &[7; 200]].concat()).collect();
        let runs: Vec<u8> = noise.iter().flat_map(|&byte| vec![byte & 1; 1 + usize::from(byte)]).collect();
        for content in [noise, text, skewed, few, mixed, runs, vec![0; 700_000]] {
            let lengths = [0, 1, 2, 3, 31, 32, 255, 256, 1023, 1024, 4095, 4096, 16_384, 65_791, 65_792];
            for length in lengths.into_iter().chain([131_071, 131_072, 131_073, 200_000, content.len()]) {
                round_trip(&content[..length.min(content.len())]);
            }
        }
    }

    #[test]
    fn skewed_literals_and_repeats_are_small() {
        let text = include_bytes!("sequences.rs");
        assert!(round_trip(text) * 2 < text.len());
        let skewed: Vec<u8> = noise(100_000, 2).iter().map(|byte| byte & byte.rotate_left(4) & 0x77).collect();
        assert!(round_trip(&skewed) * 10 < skewed.len() * 7);
        assert!(round_trip(&text.repeat(100)) < text.len());
    }
}

//! Huffman coded literals (RFC 8878, section 4.2).

use super::fse::{Coder, Table, close};
use crate::entropy::bits::BitWriter;

/// The longest code.
const LONGEST: u32 = 11;

/// The most states of the table that codes weights, as a power of two.
const WEIGHTS_LOG: u32 = 6;

/// The most weights that may be stored as half bytes.
const DIRECT: usize = 128;

/// Literals from which on there are four streams.
const FOUR: usize = 1024;

/// A code for each byte.
#[derive(Debug)]
struct Codes {
    lengths: [u8; 256],
    codes: [u16; 256],
    /// The number of symbols up to the last one that occurs.
    symbols: usize,
}

/// The section of literals of a block, coded in the shortest way.
pub(super) fn section(literals: &[u8]) -> Vec<u8> {
    let count = literals.len() as u32;
    let header = |kind: u32| match count {
        0..32 => vec![(count << 3 | kind) as u8],
        32..4096 => (count << 4 | 1 << 2 | kind).to_le_bytes()[..2].to_vec(),
        _ => (count << 4 | 3 << 2 | kind).to_le_bytes()[..3].to_vec(),
    };
    if let [first, rest @ ..] = literals
        && rest.iter().all(|byte| byte == first)
    {
        return [header(1), vec![*first]].concat();
    }
    let raw = || [&header(0)[..], literals].concat();
    coded(literals).filter(|coded| coded.len() < literals.len()).unwrap_or_else(raw)
}

/// The section with codes; `None` if there are no codes that can be stored.
fn coded(literals: &[u8]) -> Option<Vec<u8>> {
    let codes = Codes::new(literals)?;
    let description = codes.description()?;
    let four = literals.len() >= FOUR;
    let content = match four {
        false => [description, codes.stream(literals)].concat(),
        true => {
            let parts = literals.chunks(literals.len().div_ceil(4));
            let streams: Vec<Vec<u8>> = parts.map(|part| codes.stream(part)).collect();
            let lengths: Vec<u8> = streams[..3].iter().flat_map(|stream| (stream.len() as u16).to_le_bytes()).collect();
            [description, lengths, streams.concat()].concat()
        }
    };
    let (restored, stored) = (literals.len() as u64, content.len() as u64);
    let (format, width) = match restored.max(stored) {
        0..1024 => (u64::from(four), 10),
        1024..16_384 => (2, 14),
        _ => (3, 18),
    };
    let format = if width == 10 || four { format } else { return None };
    let header = 2 | format << 2 | restored << 4 | stored << (4 + width);
    Some([&header.to_le_bytes()[..(4 + 2 * width) / 8], &content].concat())
}

impl Codes {
    /// The shortest codes of the bytes; `None` if there are fewer than two of them.
    fn new(literals: &[u8]) -> Option<Self> {
        let mut counts = [0u32; 256];
        literals.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
        let symbols = counts.iter().rposition(|&count| count > 0)? + 1;
        let lengths = lengths(&counts)?;
        let mut codes = [0; 256];
        let mut code = 0;
        // The longest codes are the least numbers.
        for length in (1..=LONGEST as u8).rev() {
            for symbol in (0..256).filter(|&symbol| lengths[symbol] == length) {
                codes[symbol] = code;
                code += 1;
            }
            code >>= 1;
        }
        Some(Self { lengths, codes, symbols })
    }

    /// The weights of all symbols but the last one, whose weight follows from the others.
    fn weights(&self) -> Vec<u8> {
        let longest = self.lengths.iter().max().copied().unwrap_or(0);
        let weight = |&length: &u8| if length == 0 { 0 } else { longest + 1 - length };
        self.lengths[..self.symbols - 1].iter().map(weight).collect()
    }

    /// The bytes that describe the codes; `None` if they cannot be described.
    fn description(&self) -> Option<Vec<u8>> {
        let weights = self.weights();
        let direct = (weights.len() <= DIRECT).then(|| {
            let pair = |pair: &[u8]| pair[0] << 4 | pair.get(1).unwrap_or(&0);
            [vec![127 + weights.len() as u8], weights.chunks(2).map(pair).collect()].concat()
        });
        let coded = coded_weights(&weights).filter(|coded| coded.len() < 128);
        let coded = coded.map(|coded| [vec![coded.len() as u8], coded].concat());
        direct.into_iter().chain(coded).min_by_key(Vec::len)
    }

    /// The codes of some bytes, to be read from the end on.
    fn stream(&self, literals: &[u8]) -> Vec<u8> {
        let mut bits = BitWriter::default();
        for &byte in literals.iter().rev() {
            bits.put(self.codes[usize::from(byte)].into(), self.lengths[usize::from(byte)].into());
        }
        close(bits)
    }
}

/// Weights as symbols of two coders that take turns; `None` if all weights are the same.
fn coded_weights(weights: &[u8]) -> Option<Vec<u8>> {
    let mut counts = [0u32; LONGEST as usize + 2];
    weights.iter().for_each(|&weight| counts[usize::from(weight)] += 1);
    if counts.iter().filter(|&&count| count > 0).count() < 2 || weights.len() < 3 {
        return None;
    }
    let table = Table::new(&counts, WEIGHTS_LOG);
    let mut bits = BitWriter::default();
    let mut coders: [Option<Coder<'_>>; 2] = [None, None];
    for (i, &weight) in weights.iter().enumerate().rev() {
        match &mut coders[i % 2] {
            Some(coder) => coder.put(weight, &mut bits),
            none => *none = Some(Coder::new(&table, weight)),
        }
    }
    coders.into_iter().rev().flatten().for_each(|coder| coder.finish(&mut bits));
    Some([table.description(), close(bits)].concat())
}

/// The lengths of the best codes of at most [`LONGEST`] bits, by merging packages; `None` for fewer
/// than two symbols.
fn lengths(counts: &[u32; 256]) -> Option<[u8; 256]> {
    let symbols = (0..=255u8).filter(|&symbol| counts[usize::from(symbol)] > 0);
    let mut single: Vec<(u64, Vec<u8>)> =
        symbols.map(|symbol| (u64::from(counts[usize::from(symbol)]), vec![symbol])).collect();
    if single.len() < 2 {
        return None;
    }
    single.sort_by_cached_key(|(weight, symbols)| (*weight, symbols[0]));
    let mut packages = single.clone();
    for _ in 1..LONGEST {
        let pairs = packages.chunks_exact(2).map(|pair| (pair[0].0 + pair[1].0, [&pair[0].1[..], &pair[1].1].concat()));
        packages = pairs.chain(single.iter().cloned()).collect();
        packages.sort_by_cached_key(|(weight, symbols)| (*weight, symbols.len()));
    }
    let mut lengths = [0; 256];
    let chosen = packages.iter().take(2 * single.len() - 2);
    chosen.flat_map(|(_, symbols)| symbols).for_each(|&symbol| lengths[usize::from(symbol)] += 1);
    Some(lengths)
}

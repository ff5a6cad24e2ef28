//! Lists of coded symbols: tables and streams.

use super::fields::{Bits, Fields, unzigzag};
use super::{Result, check};

/// The tables of a list.
struct Tables {
    /// Frequencies per table.
    frequencies: Vec<Vec<u32>>,
    /// The table of each context.
    of: [usize; 128],
    /// The number of the list's shape.
    shape: u64,
}

impl Tables {
    fn read(bytes: &[u8], most: u64) -> Result<Self> {
        let mut bits = Bits::new(bytes);
        let count = bits.gamma()? as usize + 1;
        check(count <= 64, "too many tables")?;
        let shape = bits.field(2)?;
        let mut of = [count - 1; 128];
        let (mut frequencies, mut next) = (Vec::new(), 0);
        for table in 0..count {
            if table + 1 < count {
                let end = next + bits.gamma()? as usize + 1;
                check(end <= 95, "too many contexts")?;
                of[next..end].fill(table);
                next = end;
            }
            frequencies.push(read_table(&mut bits, most)?);
        }
        bits.finish()?;
        Ok(Self { frequencies, of, shape })
    }
}

fn read_table(bits: &mut Bits, most: u64) -> Result<Vec<u32>> {
    let symbols = bits.field(8)? + 1;
    check(symbols <= most, "symbols that there are not")?;
    let (mut frequencies, mut length) = (vec![0], 6);
    for _ in 1..symbols {
        length += unzigzag(bits.gamma()?);
        check((0..=12).contains(&length), "bits of a frequency")?;
        frequencies.push(match length as u32 {
            0 => 0,
            length => (1 << (length - 1)) + bits.field(length - 1)? as u32,
        });
    }
    let others = frequencies.iter().sum::<u32>();
    check(others <= 2048, "sum of the frequencies")?;
    frequencies[0] = 2048 - others;
    check(frequencies.last() != Some(&0), "a table's last symbol")?;
    Ok(frequencies)
}

/// A stream: its states, and the words that are left.
struct Stream {
    states: Vec<u32>,
    words: std::vec::IntoIter<u16>,
}

impl Stream {
    fn new(bytes: &[u8], states: usize) -> Result<Self> {
        check(bytes.len() >= 4 * states && bytes.len().is_multiple_of(2), "length of a stream")?;
        let (words, tail) = bytes.split_at(bytes.len() - 4 * states);
        let states: Vec<u32> = tail.chunks(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect();
        check(states.iter().all(|state| (1 << 15..1 << 31).contains(state)), "a state is out of range")?;
        let words: Vec<u16> = words.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        Ok(Self { states, words: words.into_iter() })
    }

    fn symbol(&mut self, state: usize, frequencies: &[u32]) -> Result<u8> {
        let x = self.states[state];
        let r = x % 2048;
        let (mut symbol, mut below) = (0, 0);
        while below + frequencies[symbol] <= r {
            below += frequencies[symbol];
            symbol += 1;
        }
        let mut x = frequencies[symbol] * (x / 2048) + r - below;
        if x < 1 << 15 {
            x = x << 16 | u32::from(self.words.next().ok_or("a stream runs out of words")?);
        }
        self.states[state] = x;
        Ok(symbol as u8)
    }

    fn finish(mut self) -> Result<()> {
        check(self.words.next().is_none(), "words are left in a stream")?;
        check(self.states.iter().all(|&state| state == 1 << 15), "states at the end of a stream")
    }
}

/// Reads a list of symbols, of which there are so many, in these contexts.
pub fn read(fields: &mut Fields, contexts: &[usize], most: u64) -> Result<Vec<u8>> {
    let tables = Tables::read(fields.string()?, most)?;
    let certain = |frequencies: &Vec<u32>| frequencies.last() == Some(&2048);
    let (streams, states) = match tables.shape {
        0 => (1, 1),
        1 => (1, 8),
        2 => (4, 8),
        _ => return Err("shape of a list".into()),
    };
    let streams = if tables.frequencies.iter().all(certain) { 0 } else { streams };
    let mut streams: Vec<Stream> =
        (0..streams).map(|_| Stream::new(fields.string()?, states)).collect::<Result<_>>()?;
    let mut symbols = Vec::new();
    for strip in contexts.chunks(4096) {
        let mut turn = 0;
        for &context in strip {
            let frequencies = &tables.frequencies[tables.of[context]];
            if certain(frequencies) {
                symbols.push((frequencies.len() - 1) as u8);
                continue;
            }
            symbols.push(streams[turn / states].symbol(turn % states, frequencies)?);
            turn = (turn + 1) % (streams.len() * states);
        }
    }
    streams.into_iter().try_for_each(Stream::finish)?;
    Ok(symbols)
}

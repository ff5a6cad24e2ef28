//! Chunks: how a region is cut, and what each method makes of a payload.

use std::ops::Range;

use super::base::Region;
use super::head::Q8_0;
use super::predicted::{self, Factors};
use super::quant;
use super::{Result, blocks, check, grid, integers, narrow, patch, view, words, zstd};

/// The coding of words: their width, and for floats the width of the mantissa.
#[derive(Clone, Copy)]
pub struct Coding {
    pub width: u32,
    pub mantissa: Option<u32>,
}

impl Coding {
    pub fn of(dtype: u8) -> Self {
        let (width, mantissa) = match dtype {
            7 | 9 => (8, Some(3)),
            6 | 10 => (8, Some(2)),
            13 => (16, Some(10)),
            14 => (16, Some(7)),
            17 | 18 => (32, Some(23)),
            19 => (64, Some(52)),
            11 | 12 => (16, None),
            15 | 16 => (32, None),
            20 | 21 => (64, None),
            _ => (8, None),
        };
        Self { width, mantissa }
    }

    /// Bytes of a word.
    pub fn bytes(self) -> usize {
        self.width as usize / 8
    }
}

/// The division of a region into chunks.
pub struct Geometry {
    pub columns: usize,
    pub words: usize,
    chunk: usize,
    length: usize,
}

impl Geometry {
    pub fn new(region: &Region) -> Self {
        let (unit, bytes) = match quant::format(region.dtype) {
            Some(format) => (format.weights, format.bytes),
            None => (1, Coding::of(region.dtype).bytes()),
        };
        let words = region.length / bytes * unit;
        let mut columns = 1u128;
        for &extent in region.shape.iter().skip(1).rev() {
            if columns < 32 {
                columns *= u128::from(extent);
            }
        }
        if columns <= 1 || columns > words as u128 || columns > 1 << 20 {
            columns = words.clamp(1, 1 << 20) as u128;
        }
        let columns = columns as usize;
        let most = if region.dtype == 4 && region.name.is_empty() { 1 << 23 } else { 1 << 20 };
        Self { columns, words, chunk: most / columns * columns / unit * bytes, length: region.length }
    }

    /// The bytes of each chunk.
    pub fn chunks(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = (0..self.length).step_by(self.chunk);
        starts.map(|start| start..(start + self.chunk).min(self.length))
    }

    /// The number of chunks that these bytes are in, of which there is one at least.
    pub fn chunks_of(&self, start: usize, end: usize) -> usize {
        (end - 1) / self.chunk - start / self.chunk + 1
    }
}

/// A chunk of `length` bytes from its payload.
pub fn decode(
    method: u8,
    dtype: u8,
    columns: usize,
    payload: &[u8],
    (base, weights): (Option<&[u8]>, bool),
    factors: Option<&Factors>,
    length: usize,
) -> Result<Vec<u8>> {
    let coding = Coding::of(dtype);
    let needed = || base.ok_or("the method needs a base");
    match method {
        0 => {
            check(payload.len() == length, "stored bytes")?;
            Ok(payload.to_vec())
        }
        1 => zstd(payload, length),
        10 if weights && view::is_integer(dtype) => integers::grid(dtype, columns, payload, needed()?),
        _ if weights && view::is_integer(dtype) => {
            decode(method, dtype, columns, payload, (None, false), factors, length)
        }
        2 | 3 | 11 | 12 if weights => Err("differences to weights".to_owned()),
        2 => {
            check(payload.is_empty(), "a copied chunk with a payload")?;
            Ok(needed()?.to_vec())
        }
        3 if dtype == Q8_0 => blocks::delta(columns, payload, needed()?),
        3 | 4 | 8 | 12 if quant::format(dtype).is_some() => Err("blocks on their own".to_owned()),
        3 => words::delta(coding, columns, payload, needed()?),
        4 if coding.mantissa.is_none() => words::delta(coding, columns, payload, &vec![0; length]),
        4 => words::solo(coding, columns, payload, length),
        7 => narrow::decode(dtype, columns, payload, base, factors, length),
        8 => words::palette(coding, columns, payload, base, length),
        10 => {
            let format = quant::format(dtype).ok_or("a grid without blocks")?;
            grid::grid(format, payload, needed()?, weights, length)
        }
        13 => {
            let format = quant::format(dtype).filter(|_| !weights).ok_or("moved words that are no blocks")?;
            predicted::blocks(format, columns, payload, needed()?, factors.ok_or("no factors")?)
        }
        11 => grid::nibbles(payload, needed()?),
        12 => words::sparse(coding, payload, needed()?),
        9 => patch::decode(payload, base.unwrap_or(&[]), length),
        6 => predicted::decode(dtype, columns, payload, needed()?, factors.ok_or("no factors")?),
        _ => Err("unknown method".to_owned()),
    }
}

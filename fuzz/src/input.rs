//! Reading of a target's input: numbers from its front, then bytes.

use crate::archive::PREDICTED;
use crate::reference::base::NAMES;
use crate::reference::chunk::Coding;
use crate::reference::head::{self, Q8_0};

/// The next byte, 0 past the end.
pub fn byte(data: &mut &[u8]) -> u8 {
    data.split_off_first().copied().unwrap_or(0)
}

/// The next 16 bits.
pub fn short(data: &mut &[u8]) -> usize {
    usize::from(u16::from_le_bytes([byte(data), byte(data)]))
}

/// A 16-bit length, and that many bytes or what there is.
pub fn prefixed<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let length = short(data).min(data.len());
    data.split_off(..length).unwrap_or(&[])
}

/// Writes the bytes that [`prefixed`] reads; `bytes` must be shorter than 64 KiB.
pub fn put_prefixed(data: &mut Vec<u8>, bytes: &[u8]) {
    data.extend((bytes.len() as u16).to_le_bytes());
    data.extend(bytes);
}

/// The method of a chunk. Of copies and zstd frames there is nothing to know here.
pub fn method(data: &mut &[u8]) -> u8 {
    METHODS[usize::from(byte(data)) % METHODS.len()]
}

/// Delta, solo, predicted and sparse.
pub const METHODS: [u8; 4] = [3, 4, PREDICTED, 12];

/// A safetensors file of one tensor `w`.
pub fn model(dtype: &str, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let json = format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[0,{}]}}}}"#, data.len());
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), data].concat()
}

/// A GGUF file of one tensor `w` of `Q8_0`.
fn blocks(shape: &[u64], data: &[u8]) -> Vec<u8> {
    let mut file = [&b"GGUF"[..], &3u32.to_le_bytes()].concat();
    file.extend([1, 0, 1].map(u64::to_le_bytes).concat());
    file.extend([&b"w"[..], &(shape.len() as u32).to_le_bytes()].concat());
    shape.iter().rev().for_each(|extent| file.extend(extent.to_le_bytes()));
    file.extend([&8u32.to_le_bytes()[..], &[0; 8]].concat());
    file.resize(file.len().next_multiple_of(32), 0);
    [file, data.to_vec()].concat()
}

/// A tensor's type and shape: two dimensions, up to 8,256 elements.
pub struct Type {
    pub dtype: u8,
    pub shape: [u64; 2],
}

impl Type {
    /// Reads four bytes.
    pub fn read(data: &mut &[u8]) -> Self {
        let dtype = byte(data) % 23;
        let columns = u64::from(byte(data));
        let columns = if dtype == Q8_0 { 32 * (1 + columns % 4) } else { 1 + columns % 64 };
        let rows = short(data) as u64 % 129;
        // A whole number of bytes for types of less than one.
        let rows = if dtype < 4 { rows / 4 * 4 } else { rows };
        Self { dtype, shape: [rows, columns] }
    }

    pub fn write(&self) -> [u8; 4] {
        let columns = if self.dtype == Q8_0 { self.shape[1] / 32 } else { self.shape[1] };
        [self.dtype, columns as u8 - 1, self.shape[0] as u8, 0]
    }

    /// The layout of a base file with such a tensor.
    pub fn layout(&self) -> u8 {
        if self.dtype == Q8_0 { 2 } else { 1 }
    }

    /// Bytes of the tensor.
    pub fn length(&self) -> usize {
        head::length(self.dtype, &self.shape).unwrap()
    }

    /// A file that holds a tensor of this type.
    pub fn file(&self, data: &[u8]) -> Vec<u8> {
        match NAMES.get(usize::from(self.dtype)) {
            Some(name) => model(name, &self.shape, data),
            None => blocks(&self.shape, data),
        }
    }

    /// Weights for the tensor that follow from `seed`.
    pub fn weights(&self, seed: u8) -> Vec<u8> {
        let mut state = u32::from(seed);
        let mut bytes: Vec<u8> = (0..self.length())
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        // Exponents are much alike, those of the scales of blocks too.
        let (width, top) = match self.dtype {
            Q8_0 => (34, 1),
            dtype => (Coding::of(dtype).bytes(), Coding::of(dtype).bytes() - 1),
        };
        bytes.chunks_exact_mut(width).for_each(|word| word[top] = word[top] & 0x83 | 0x38);
        bytes
    }
}

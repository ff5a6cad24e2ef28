//! Blocks of quantised weights: the fields of a block, and its weights.

use super::cast;

/// A plane: the byte where it begins, the bits of an index, the weights of a run.
type Plane = (usize, u32, usize);

/// A list of small numbers: its name in the document, and where it begins.
type List = (char, usize);

/// A dtype of blocks.
pub struct Format {
    pub dtype: u8,
    pub bytes: usize,
    pub weights: usize,
    pub group: usize,
    planes: &'static [Plane],
    /// The index of the level 0; 255 for the book.
    pub zero: u8,
    pub scale: usize,
    pub minimum: Option<usize>,
    pub s: Option<List>,
    pub n: Option<List>,
}

pub const BOOK: [i32; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

const fn small(dtype: u8, bytes: usize, zero: u8, minimum: Option<usize>, planes: &'static [Plane]) -> Format {
    Format { dtype, bytes, weights: 32, group: 32, planes, zero, scale: 0, minimum, s: None, n: None }
}

pub static FORMATS: [Format; 12] = [
    small(22, 34, 128, None, &[(2, 8, 32)]),
    small(23, 18, 8, None, &[(2, 4, 16)]),
    small(24, 20, 0, Some(2), &[(4, 4, 16)]),
    small(25, 22, 16, None, &[(6, 4, 16), (2, 1, 1)]),
    small(26, 24, 0, Some(2), &[(8, 4, 16), (4, 1, 1)]),
    Format {
        weights: 256,
        group: 16,
        scale: 80,
        s: Some(('l', 0)),
        n: Some(('h', 0)),
        ..small(27, 84, 0, Some(82), &[(16, 2, 32)])
    },
    Format {
        weights: 256,
        group: 16,
        scale: 108,
        s: Some(('A', 96)),
        ..small(28, 110, 4, None, &[(32, 2, 32), (0, 1, 32)])
    },
    Format { weights: 256, s: Some(('B', 4)), n: Some(('C', 4)), ..small(29, 144, 0, Some(2), &[(16, 4, 32)]) },
    Format {
        weights: 256,
        s: Some(('B', 4)),
        n: Some(('C', 4)),
        ..small(30, 176, 0, Some(2), &[(48, 4, 32), (16, 1, 32)])
    },
    Format {
        weights: 256,
        group: 16,
        scale: 208,
        s: Some(('8', 192)),
        ..small(31, 210, 32, None, &[(0, 4, 64), (128, 2, 32)])
    },
    small(32, 18, 255, None, &[(2, 4, 16)]),
    Format { weights: 256, s: Some(('D', 2)), ..small(33, 136, 255, None, &[(8, 4, 16)]) },
];

/// The format of a dtype, if it is one of blocks.
pub fn format(dtype: u8) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.dtype == dtype)
}

/// The fields of one block.
#[derive(Clone, Default)]
pub struct Block {
    pub d: u16,
    pub m: u16,
    pub s: Vec<i32>,
    pub n: Vec<i32>,
    pub i: Vec<u8>,
}

/// The bits of number `j` of a list: byte, first bit, number of bits; low bits first.
fn places((list, at): List, j: usize) -> Vec<(usize, u32, u32)> {
    let part = |byte: usize, from: usize, bits: u32| (at + byte, from as u32, bits);
    match list {
        'l' => vec![part(j, 0, 4)],
        'h' => vec![part(j, 4, 4)],
        '8' => vec![part(j, 0, 8)],
        'A' => vec![part(j % 8, 4 * (j / 8), 4), part(8 + j % 4, 2 * (j / 4), 2)],
        'B' if j < 4 => vec![part(j, 0, 6)],
        'B' => vec![part(j + 4, 0, 4), part(j - 4, 6, 2)],
        'C' if j < 4 => vec![part(j + 4, 0, 6)],
        'C' => vec![part(j + 4, 4, 4), part(j, 6, 2)],
        _ => vec![part(2 + j / 2, 4 * (j % 2), 4), part(j / 4, 2 * (j % 4), 2)],
    }
}

/// The least and the greatest number of a list.
pub fn range((list, _): List) -> (i32, i32) {
    match list {
        'l' | 'h' => (0, 15),
        '8' => (-128, 127),
        'A' | 'D' => (-32, 31),
        _ => (0, 63),
    }
}

fn get(block: &[u8], list: List, j: usize) -> i32 {
    let (mut number, mut shift) = (0, 0);
    for (byte, from, bits) in places(list, j) {
        number |= i32::from(block[byte] >> from) % (1 << bits) << shift;
        shift += bits;
    }
    match list.0 {
        'A' | 'D' => number - 32,
        '8' => i32::from(number as u8 as i8),
        _ => number,
    }
}

fn put(block: &mut [u8], list: List, j: usize, number: i32) {
    let mut left = if matches!(list.0, 'A' | 'D') { number + 32 } else { number };
    for (byte, from, bits) in places(list, j) {
        block[byte] |= (left.rem_euclid(1 << bits) << from) as u8;
        left >>= bits;
    }
}

impl Format {
    pub fn groups(&self) -> usize {
        self.weights / self.group
    }

    fn place(&self, (at, bits, run): Plane, weight: usize) -> (usize, u32) {
        let (k, per_byte) = (weight / run, 8 / bits as usize);
        (at + k / per_byte * run + weight % run, (k % per_byte) as u32 * bits)
    }

    pub fn parse(&self, block: &[u8]) -> Block {
        let word = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        let list = |list: Option<List>| {
            list.map_or(Vec::new(), |list| (0..self.groups()).map(|j| get(block, list, j)).collect())
        };
        let index = |weight: usize| {
            let (mut index, mut shift) = (0, 0);
            for &plane in self.planes {
                let (byte, bit) = self.place(plane, weight);
                index |= (u16::from(block[byte]) >> bit & ((1 << plane.1) - 1)) << shift;
                shift += plane.1;
            }
            if self.dtype == 22 { index as u8 ^ 0x80 } else { index as u8 }
        };
        let i = (0..self.weights).map(index).collect();
        Block { d: word(self.scale), m: self.minimum.map_or(0, word), s: list(self.s), n: list(self.n), i }
    }

    pub fn write(&self, fields: &Block) -> Vec<u8> {
        let mut block = vec![0; self.bytes];
        block[self.scale..self.scale + 2].copy_from_slice(&fields.d.to_le_bytes());
        if let Some(at) = self.minimum {
            block[at..at + 2].copy_from_slice(&fields.m.to_le_bytes());
        }
        for (list, numbers) in [(self.s, &fields.s), (self.n, &fields.n)] {
            if let Some(list) = list {
                numbers.iter().enumerate().for_each(|(j, &number)| put(&mut block, list, j, number));
            }
        }
        for (weight, &index) in fields.i.iter().enumerate() {
            let mut left = u16::from(if self.dtype == 22 { index ^ 0x80 } else { index });
            for &plane in self.planes {
                let (byte, bit) = self.place(plane, weight);
                block[byte] |= ((left & ((1 << plane.1) - 1)) << bit) as u8;
                left >>= plane.1;
            }
        }
        block
    }

    pub fn level(&self, index: u8) -> f32 {
        (if self.zero == 255 { BOOK[usize::from(index % 16)] } else { i32::from(index) - i32::from(self.zero) }) as f32
    }

    /// The last level's index.
    pub fn last(&self) -> u8 {
        let bits: u32 = self.planes.iter().map(|plane| plane.1).sum();
        ((1u32 << bits) - 1) as u8
    }

    /// The numbers *a* and *c* of a group.
    pub fn affine(&self, block: &Block, group: usize) -> (f32, f32) {
        let (d, m) = (value(block.d), value(block.m));
        let a = if self.s.is_some() { d * block.s[group] as f32 } else { d };
        let c = match (self.minimum, self.n) {
            (None, _) => 0.0,
            (Some(_), None) => m,
            (Some(_), Some(_)) => -(m * block.n[group] as f32),
        };
        (a, c)
    }

    /// The weights of whole blocks, as bytes of `F32`.
    pub fn weights_of(&self, bytes: &[u8]) -> Vec<u8> {
        let weights = |block: &[u8]| {
            let fields = self.parse(block);
            let weight = |w: usize| {
                let (a, c) = self.affine(&fields, w / self.group);
                a * self.level(fields.i[w]) + c
            };
            (0..self.weights).map(weight).collect::<Vec<f32>>()
        };
        bytes.chunks(self.bytes).flat_map(weights).flat_map(f32::to_le_bytes).collect()
    }
}

/// The value of an `F16`; infinities and NaNs are NaNs.
pub fn value(bits: u16) -> f32 {
    if bits / 1024 % 32 == 31 {
        return f32::NAN;
    }
    f32::from_le_bytes(cast::cast(&bits.to_le_bytes(), 13, 17).try_into().unwrap())
}

/// The nearest `F16`.
pub fn half(number: f32) -> u16 {
    u16::from_le_bytes(cast::cast(&number.to_le_bytes(), 17, 13).try_into().unwrap())
}

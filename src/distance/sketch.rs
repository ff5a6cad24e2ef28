//! A few words of a tensor, at places that follow from its length alone.

use std::ops::Range;

use super::BitDistance;
use crate::error::{Error, Result};
use crate::layout::Dtype;

/// Bytes of samples per MiB of a tensor.
const PER_MIB: u64 = 64;

/// Fewest bytes of samples, and most.
const LEAST: u64 = 32;
const MOST: u64 = 4096;

/// Words of a tensor, sampled: as many bytes as [`Sketch::size`] says, whole tensors where they are no larger.
///
/// The places are part of what is stored: they follow from the dtype and the length, and never change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sketch {
    dtype: Dtype,
    length: u64,
    samples: Vec<u8>,
}

impl Sketch {
    /// The sketch of a whole tensor.
    pub fn of(dtype: Dtype, bytes: &[u8]) -> Self {
        let mut sketcher = Sketcher::new(dtype, bytes.len() as u64);
        sketcher.update(bytes);
        sketcher.sketch
    }

    /// The sketch whose [`bytes`](Self::bytes) were stored, of a tensor of `length` bytes.
    ///
    /// # Errors
    /// `Corrupt` where they are not as many as such a tensor's.
    pub fn from_bytes(dtype: Dtype, length: u64, bytes: Vec<u8>) -> Result<Self> {
        match Self::size(dtype, length) {
            size if size == bytes.len() => Ok(Self { dtype, length, samples: bytes }),
            size => Err(Error::corrupt("size of a sketch").figures(size, bytes.len())),
        }
    }

    /// Bytes of a sketch of a tensor of `length` bytes: 64 per MiB, at least 32 and at most 4,096.
    pub fn size(dtype: Dtype, length: u64) -> usize {
        let width = dtype.words().0 as u64;
        let wanted = (u128::from(length) * u128::from(PER_MIB) >> 20).clamp(u128::from(LEAST), u128::from(MOST));
        ((wanted as u64).min(length) / width * width) as usize
    }

    /// The samples, in the order of their places.
    pub fn bytes(&self) -> &[u8] {
        &self.samples
    }

    /// The tensor's dtype.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The tensor's length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// About the bit distance of the two tensors: that of their samples.
    ///
    /// # Errors
    /// `InvalidArgument` where dtypes or lengths differ, since then the samples are of other places.
    pub fn distance(&self, other: &Self) -> Result<BitDistance> {
        self.check_comparable(other)?;
        let mut distance = BitDistance::default();
        distance.update(self.dtype, &self.samples, &other.samples)?;
        Ok(distance)
    }

    pub(super) fn check_comparable(&self, other: &Self) -> Result<()> {
        let type_of = |sketch: &Self| format!("{} in {} bytes", sketch.dtype.name(), sketch.length);
        if (self.dtype, self.length) == (other.dtype, other.length) {
            return Ok(());
        }
        Err(Error::invalid_argument("sketches of different types of tensor").figures(type_of(self), type_of(other)))
    }

    /// The range of the tensor that the sample of that number is.
    ///
    /// Of as many equal parts of the tensor as there are samples, each has one, so that they are spread over rows and
    /// columns alike, and come in the order in which a tensor is read.
    fn place(&self, sample: u64) -> Range<u64> {
        let width = self.dtype.words().0 as u64;
        let (elements, count) = (self.length / width, Self::size(self.dtype, self.length) as u64 / width);
        let part = |i: u64| (u128::from(elements) * u128::from(i) / u128::from(count)) as u64;
        let (start, end) = (part(sample), part(sample + 1));
        let element = start + mix(elements ^ sample.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % (end - start);
        element * width..(element + 1) * width
    }
}

/// A tensor's sketch in the making, while the tensor passes by.
#[derive(Debug)]
pub struct Sketcher {
    sketch: Sketch,
    /// Bytes of the sketch, and of the tensor that went by.
    size: usize,
    passed: u64,
}

impl Sketcher {
    /// Of a tensor of `length` bytes.
    pub fn new(dtype: Dtype, length: u64) -> Self {
        let size = Sketch::size(dtype, length);
        Self { sketch: Sketch { dtype, length, samples: Vec::with_capacity(size) }, size, passed: 0 }
    }

    /// Takes the tensor's next bytes, as many as there are.
    pub fn update(&mut self, bytes: &[u8]) {
        let width = self.sketch.dtype.words().0;
        let end = self.passed + bytes.len() as u64;
        while self.sketch.samples.len() < self.size {
            let (sample, taken) = (self.sketch.samples.len() / width, self.sketch.samples.len() % width);
            let place = self.sketch.place(sample as u64);
            let next = place.start + taken as u64..place.end.min(end);
            if next.is_empty() {
                break;
            }
            let range = (next.start - self.passed) as usize..(next.end - self.passed) as usize;
            self.sketch.samples.extend_from_slice(&bytes[range]);
        }
        self.passed = end;
    }

    /// The sketch.
    ///
    /// # Errors
    /// `InvalidArgument` where other than the announced number of bytes went by.
    pub fn finish(self) -> Result<Sketch> {
        let length = self.sketch.length;
        if self.passed != length {
            return Err(Error::invalid_argument("length of a sketched tensor").figures(length, self.passed));
        }
        Ok(self.sketch)
    }
}

/// A number that looks random: the finaliser of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        (0..length as u64).map(|i| mix(i) as u8).collect()
    }

    #[test]
    fn sizes_keep_within_their_bounds() {
        let size = |dtype, length| Sketch::size(dtype, length);
        assert_eq!((size(Dtype::BF16, 0), size(Dtype::BF16, 6), size(Dtype::F64, 20)), (0, 6, 16));
        assert_eq!((size(Dtype::F32, 32), size(Dtype::F32, 1 << 19), size(Dtype::F32, 1 << 22)), (32, 32, 256));
        assert_eq!((size(Dtype::U8, 100 << 20), size(Dtype::U8, u64::MAX)), (4096, 4096));
        // A hub's index: at most 100 bytes per MB of tensors that are large enough to matter.
        assert!((1 << 20..80 << 20).step_by(99_991).all(|n| size(Dtype::BF16, n) as f64 <= n as f64 / 1e6 * 100.0));
    }

    #[test]
    fn samples_are_words_of_the_tensor_in_order_and_never_move() {
        for (dtype, width, length) in [(Dtype::BF16, 2, 3_000_002), (Dtype::F64, 8, 1_000_000), (Dtype::Q8_0, 1, 3400)]
        {
            let sketch = Sketch::of(dtype, &noise(length));
            let places: Vec<_> = (0..(sketch.samples.len() / width) as u64).map(|i| sketch.place(i)).collect();
            assert!(places.is_sorted_by(|a, b| a.end <= b.start) && places.last().unwrap().end <= length as u64);
            let last = places[places.len() - 1].start as usize;
            assert_eq!(sketch.bytes()[(places.len() - 1) * width..], noise(length)[last..last + width]);
        }
        // Sketches that are stored stay comparable with those that a later release makes.
        let starts = |length| [0, 1, 100].map(|i| Sketch::of(Dtype::U8, &noise(length)).place(i).start);
        assert_eq!(starts(2 << 20), [16_101, 27_755, 1_649_844]);
    }

    #[test]
    fn stretches_make_the_same_sketch() {
        let tensor = noise(1_200_000);
        for dtype in [Dtype::I8, Dtype::BF16, Dtype::F32, Dtype::F64] {
            let whole = Sketch::of(dtype, &tensor);
            for stretch in [1, 3, 4096, 1_199_999] {
                let mut sketcher = Sketcher::new(dtype, tensor.len() as u64);
                tensor.chunks(stretch).for_each(|bytes| sketcher.update(bytes));
                assert_eq!(sketcher.finish().unwrap(), whole);
            }
        }
        let mut sketcher = Sketcher::new(Dtype::F32, 100);
        sketcher.update(&tensor[..96]);
        sketcher.finish().unwrap_err();
    }

    #[test]
    fn only_tensors_of_one_type_are_comparable() {
        let sketch = |dtype, length| Sketch::of(dtype, &noise(length));
        let a = sketch(Dtype::BF16, 5000);
        assert_eq!(a.distance(&a).unwrap().unchanged_share(), 1.0);
        a.distance(&sketch(Dtype::F16, 5000)).unwrap_err();
        a.distance(&sketch(Dtype::BF16, 5002)).unwrap_err();
        assert_eq!(Sketch::from_bytes(Dtype::BF16, 5000, a.bytes().to_vec()).unwrap(), a);
        Sketch::from_bytes(Dtype::BF16, 5000, vec![0; 31]).unwrap_err();
    }
}

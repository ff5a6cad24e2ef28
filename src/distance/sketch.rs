//! Sketches: a few words of a tensor, at places that depend only on its dtype and length.

use std::ops::Range;

use super::BitDistance;
use crate::error::{Error, Result};
use crate::layout::Dtype;

/// The bytes of samples per MiB of a tensor.
const PER_MIB: u64 = 64;

/// The least number of bytes of samples, but for smaller tensors.
const LEAST: u64 = 32;

/// The largest number of bytes of samples.
const MOST: u64 = 4096;

/// A sample of a tensor's words: [`Sketch::size`] bytes, or all words of a tensor that is no
/// larger.
///
/// The places of the words depend only on the tensor's dtype and length. They never change between
/// releases, so stored sketches stay comparable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sketch {
    dtype: Dtype,
    length: u64,
    samples: Vec<u8>,
}

impl Sketch {
    /// Makes the sketch of a whole tensor.
    pub fn of(dtype: Dtype, bytes: &[u8]) -> Self {
        let mut sketcher = Sketcher::new(dtype, bytes.len() as u64);
        sketcher.update(bytes);
        sketcher.sketch
    }

    /// Restores a sketch of a tensor of `length` bytes from its stored [`bytes`](Self::bytes).
    ///
    /// # Errors
    /// `Corrupt` if the sketch of such a tensor has another [`size`](Self::size).
    pub fn from_bytes(dtype: Dtype, length: u64, bytes: Vec<u8>) -> Result<Self> {
        match Self::size(dtype, length) {
            size if size == bytes.len() => Ok(Self { dtype, length, samples: bytes }),
            size => Err(Error::corrupt("a sketch has a wrong size").figures(size, bytes.len())),
        }
    }

    /// Returns the bytes of the sketch of a tensor of `length` bytes: 64 per MiB, at least 32 and
    /// at most 4,096, rounded down to whole words; no more than the tensor has.
    pub fn size(dtype: Dtype, length: u64) -> usize {
        let width = dtype.words().0 as u64;
        let wanted = (u128::from(length) * u128::from(PER_MIB) >> 20).clamp(u128::from(LEAST), u128::from(MOST));
        ((wanted as u64).min(length) / width * width) as usize
    }

    /// Returns the sampled words, in the order of their places.
    pub fn bytes(&self) -> &[u8] {
        &self.samples
    }

    /// Returns the tensor's dtype.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Returns the tensor's length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the bit distance of the sampled words, an estimate of that of the two tensors.
    ///
    /// # Errors
    /// `InvalidArgument` if the tensors differ in dtype or length, since then the places differ.
    pub fn distance(&self, other: &Self) -> Result<BitDistance> {
        self.check_comparable(other)?;
        let mut distance = BitDistance::default();
        distance.update(self.dtype, &self.samples, &other.samples)?;
        Ok(distance)
    }

    /// Checks that the tensors of both sketches have the same dtype and length.
    pub(super) fn check_comparable(&self, other: &Self) -> Result<()> {
        let type_of = |sketch: &Self| format!("{} in {} bytes", sketch.dtype.name(), sketch.length);
        if (self.dtype, self.length) == (other.dtype, other.length) {
            return Ok(());
        }
        let message = "the sketches are of tensors that differ in dtype or length";
        Err(Error::invalid_argument(message).figures(type_of(self), type_of(other)))
    }

    /// Returns the byte ranges of the tensor that the sampled words have, in their order.
    pub fn places(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let width = self.dtype.words().0;
        (0..(self.samples.len() / width) as u64).map(|sample| self.place(sample))
    }

    /// Returns the byte range of the tensor that is sample number `sample`.
    ///
    /// The tensor is cut into as many equal parts as there are samples, and each part holds one at
    /// a place that looks random. So samples spread over rows and columns alike, and are in the
    /// order of the tensor.
    fn place(&self, sample: u64) -> Range<u64> {
        let width = self.dtype.words().0 as u64;
        let (elements, count) = (self.length / width, Self::size(self.dtype, self.length) as u64 / width);
        let part = |i: u64| (u128::from(elements) * u128::from(i) / u128::from(count)) as u64;
        let (start, end) = (part(sample), part(sample + 1));
        let element = start + mix(elements ^ sample.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % (end - start);
        element * width..(element + 1) * width
    }
}

/// A builder of a [`Sketch`] that takes the tensor in stretches.
#[derive(Debug)]
pub struct Sketcher {
    sketch: Sketch,
    /// The bytes of the finished sketch.
    size: usize,
    /// The bytes of the tensor that were taken.
    passed: u64,
}

impl Sketcher {
    /// Makes a sketcher for a tensor of `length` bytes.
    pub fn new(dtype: Dtype, length: u64) -> Self {
        let size = Sketch::size(dtype, length);
        Self { sketch: Sketch { dtype, length, samples: Vec::with_capacity(size) }, size, passed: 0 }
    }

    /// Takes the next bytes of the tensor, in any number.
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

    /// Returns the sketch.
    ///
    /// # Errors
    /// `InvalidArgument` if the bytes taken are not as many as [`new`](Self::new) was told.
    pub fn finish(self) -> Result<Sketch> {
        let length = self.sketch.length;
        if self.passed != length {
            let message = "the sketched tensor does not have the announced length";
            return Err(Error::invalid_argument(message).figures(length, self.passed));
        }
        Ok(self.sketch)
    }
}

/// Returns a number that looks random and depends only on `x`, by the finaliser of SplitMix64.
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
        // The index of a hub takes at most 100 bytes per MB of tensors that are large enough to
        // matter.
        assert!((1 << 20..80 << 20).step_by(99_991).all(|n| size(Dtype::BF16, n) as f64 <= n as f64 / 1e6 * 100.0));
    }

    #[test]
    fn samples_are_words_of_the_tensor_in_order_and_never_move() {
        for (dtype, width, length) in [(Dtype::BF16, 2, 3_000_002), (Dtype::F64, 8, 1_000_000), (Dtype::Q8_0, 1, 3400)]
        {
            let sketch = Sketch::of(dtype, &noise(length));
            let places: Vec<_> = sketch.places().collect();
            assert_eq!(places.len() * width, sketch.bytes().len());
            assert!(places.is_sorted_by(|a, b| a.end <= b.start) && places.last().unwrap().end <= length as u64);
            let last = places[places.len() - 1].start as usize;
            assert_eq!(sketch.bytes()[(places.len() - 1) * width..], noise(length)[last..last + width]);
        }
        // Stored sketches stay comparable with those of a later release.
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

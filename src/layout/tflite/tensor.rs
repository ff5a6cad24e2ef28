//! A tensor of a model, and its scales and zero points.

use super::flatbuffer::{File, MOST, Stop, Table, Vector};
use crate::layout::{Dtype, MAX_RANK, Region};

/// Numbers of the fields of `Tensor`.
const SHAPE: usize = 0;
const TYPE: usize = 1;
pub(super) const BUFFER: usize = 2;
const NAME: usize = 3;
const QUANTIZATION: usize = 4;

/// Numbers of the fields of `QuantizationParameters`.
const SCALE: usize = 2;
const ZERO_POINT: usize = 3;
const SCHEME: usize = 4;
const DETAILS: usize = 5;
const DIMENSION: usize = 6;

/// The number of `BlockwiseQuantization` among the schemes, and those of its fields.
const BLOCKWISE: u64 = 2;
const SCALES: usize = 0;
const ZERO_POINTS: usize = 1;

/// The longest name in bytes that a region has.
const LONGEST_NAME: u64 = 512;

/// Minimum length in bytes of a tensor of 8 bits, and of 4 bits, whose scales are regions. Those of
/// shorter ones are cheaper as part of the bytes between: numbers of 8 bits tell their steps.
const LEAST_BYTES: u64 = 32 * 1024;
const LEAST_NIBBLES: u64 = 1024;

/// The number of `TensorType` for two numbers in a byte.
const INT4: u64 = 17;

/// The type of a tensor and its place.
#[derive(Debug)]
pub(super) struct Tensor {
    /// Empty if the tensor has no name that a region may have.
    pub(super) name: String,
    kind: u64,
    shape: Vec<u64>,
    quantization: Option<Quantization>,
}

/// The scales of a tensor.
#[derive(Debug)]
enum Quantization {
    /// Those of the whole tensor, or of the numbers of one dimension.
    Affine {
        scales: Vector,
        /// The place and the value of the only zero point.
        zero: Option<(u64, u64)>,
        dimension: usize,
    },
    /// Those of blocks of numbers: the number of the tensor that has them.
    Blocks(u64),
}

impl Tensor {
    /// Reads what a table says of a tensor of so many bytes.
    pub(super) fn read(file: &mut File, table: &Table, length: u64) -> Result<Self, Stop> {
        let name = file.vector(table, NAME, 1)?;
        let name = match name.count {
            1..=LONGEST_NAME => String::from_utf8(file.bytes(name.at, name.count)?.to_vec()).unwrap_or_default(),
            _ => String::new(),
        };
        let shape = file.vector(table, SHAPE, 4)?;
        let shape = match shape.count {
            0..=MOST_EXTENTS => extents(file.bytes(shape.at, shape.count * 4)?),
            _ => Vec::new(),
        };
        let kind = file.field::<1>(table, TYPE)?;
        let least = if kind == INT4 { LEAST_NIBBLES } else { LEAST_BYTES };
        let quantization = match file.inner(table, QUANTIZATION)? {
            Some(quantization) if length >= least => Quantization::read(file, &quantization)?,
            _ => None,
        };
        Ok(Self { name, kind, shape, quantization })
    }

    /// The region of the tensor's data, and the regions of its scales and its zero point. Data that
    /// is longer or shorter than the shape says, as that of sparse tensors, has one extent; texts
    /// are bytes.
    pub(super) fn regions(self, offset: u64, length: u64) -> (Region, Vec<Region>) {
        let Self { name, kind, shape, quantization } = self;
        let halved = || match shape.split_last() {
            Some((columns, rows)) if kind == INT4 => Some((Dtype::U8, [rows, &[columns.div_ceil(2)]].concat())),
            _ => None,
        };
        let typed = dtype(kind).map(|dtype| (dtype, shape.clone())).or_else(halved);
        let is_typed = |(dtype, shape): &(Dtype, Vec<u64>)| dtype.tensor_bytes(shape) == Some(length);
        let (is_whole, flat) = (typed.as_ref().is_some_and(is_typed), |dtype: Dtype| vec![length / dtype.block().1]);
        let (dtype, stored) = match typed {
            Some(typed) if is_whole => typed,
            Some((dtype, _)) if length.is_multiple_of(dtype.block().1) => (dtype, flat(dtype)),
            _ => (Dtype::U8, vec![length]),
        };
        let region = Region { name, dtype, shape: stored, offset, length };
        let companions = quantization.filter(|_| is_whole).and_then(|of| of.regions(&region, kind, &shape));
        (region, companions.unwrap_or_default())
    }

    /// The number of the tensor with the scales of blocks of numbers.
    pub(super) fn blocks(&self) -> Option<u64> {
        match self.quantization {
            Some(Quantization::Blocks(scales)) => Some(scales),
            _ => None,
        }
    }
}

/// The most extents that a region has.
const MOST_EXTENTS: u64 = MAX_RANK as u64;

const _: () = assert!(MOST_EXTENTS * 4 <= MOST && LONGEST_NAME <= MOST);

/// Extents, which are numbers of 4 bytes. A negative one is that of no tensor with data.
fn extents(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|extent| u64::from(u32::from_le_bytes(*extent))).collect()
}

impl Quantization {
    /// Reads a table of scales. `None` if it has none, or those of another scheme.
    fn read(file: &mut File, table: &Table) -> Result<Option<Self>, Stop> {
        if let Some(details) = file.inner(table, DETAILS)? {
            let scheme = file.field::<1>(table, SCHEME)?;
            let (scales, zeros) = (file.field::<4>(&details, SCALES)?, file.field::<4>(&details, ZERO_POINTS)?);
            // Without zero points, their number is -1 or missing.
            let has_zeros = zeros as u32 as i32 > 0;
            return Ok((scheme == BLOCKWISE && !has_zeros).then_some(Self::Blocks(scales)));
        }
        let scales = file.vector(table, SCALE, 4)?;
        let zeros = file.vector(table, ZERO_POINT, 8)?;
        let zero = match zeros.count {
            1 => file.bytes(zeros.at, 8)?.first_chunk().map(|bytes| (zeros.at, u64::from_le_bytes(*bytes))),
            _ => None,
        };
        let dimension = file.field::<4>(table, DIMENSION)? as usize;
        Ok((scales.count > 0).then_some(Self::Affine { scales, zero, dimension }))
    }

    /// The regions of the scales and of the zero point of a region of numbers of a tensor of this
    /// type and shape. `None` if the scales are not those of the tensor or of one of its
    /// dimensions.
    fn regions(self, of: &Region, kind: u64, shape: &[u64]) -> Option<Vec<Region>> {
        let Self::Affine { scales: Vector { at, count }, zero, dimension } = self else { return None };
        let value = zero.map_or(0, |(_, value)| value);
        let zero = match of.dtype {
            // Without a zero point, it is not known what numbers without a sign stand for.
            Dtype::U8 if kind != INT4 => Some(zero?),
            Dtype::I8 => zero.filter(|_| value != 0),
            Dtype::U8 if value == 0 => None,
            _ => return None,
        };
        let mut extents = vec![1; shape.len()];
        if count > 1 {
            *extents.get_mut(dimension).filter(|_| shape[dimension] == count)? = count;
        }
        let region = |end: &str, dtype: Dtype, shape: Vec<u64>, offset: u64, length: u64| Region {
            name: [&of.name, end].concat(),
            dtype,
            shape,
            offset,
            length,
        };
        let scales = region(super::SCALE, Dtype::F32, extents, at, count * 4);
        // The lowest byte of the number tells it.
        let zero = zero.map(|(at, _)| region(super::ZERO_POINT, of.dtype, vec![1], at, 1));
        Some(std::iter::once(scales).chain(zero).collect())
    }
}

/// The dtype of a `TensorType`; `None` for unknown ones, and for those that are no words.
fn dtype(kind: u64) -> Option<Dtype> {
    Some(match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::I32,
        3 => Dtype::U8,
        4 => Dtype::I64,
        6 => Dtype::BOOL,
        7 => Dtype::I16,
        8 => Dtype::C64,
        9 => Dtype::I8,
        10 => Dtype::F64,
        12 => Dtype::U64,
        15 => Dtype::U32,
        16 => Dtype::U16,
        18 => Dtype::BF16,
        21 => Dtype::F8_E4M3,
        22 => Dtype::F8_E5M2,
        _ => return None,
    })
}

//! One `TensorProto`, without its data.

use std::ops::Range;

use super::external::External;
use super::field::{Field, NotOnnx, varint};
use crate::layout::{Dtype, Region};

/// Fields of `TensorProto` by their numbers.
pub(super) const DIMS: u64 = 1;
pub(super) const DATA_TYPE: u64 = 2;
pub(super) const NAME: u64 = 8;
pub(super) const RAW_DATA: u64 = 9;
pub(super) const EXTERNAL_DATA: u64 = 13;
pub(super) const DATA_LOCATION: u64 = 14;

/// The `data_location` of a tensor that lies in another file.
const EXTERNAL: u64 = 1;

/// Fields of `StringStringEntryProto`.
const KEY: u64 = 1;
const VALUE: u64 = 2;

/// A tensor as far as it is read.
#[derive(Debug, Default)]
pub(super) struct Tensor {
    external: External,
    pub(super) raw: Option<Range<u64>>,
    place: u64,
}

impl Tensor {
    /// Takes a field of a few bytes.
    pub(super) fn take(&mut self, field: &Field, bytes: &[u8]) -> Result<(), NotOnnx> {
        match (field.number, field.is_message) {
            (NAME, true) => self.external.name = text(bytes)?,
            (DATA_TYPE, false) => self.external.dtype = dtype(field.value),
            (DATA_LOCATION, false) => self.place = field.value,
            (EXTERNAL_DATA, true) => self.take_entry(bytes)?,
            (DIMS, false) => self.external.shape.push(field.value),
            (DIMS, true) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (extent, length) = varint(rest)?.ok_or(NotOnnx)?;
                    self.external.shape.push(extent);
                    rest = &rest[length..];
                }
            }
            _ => {}
        }
        // No tensor has so many; a forged file would.
        if self.external.shape.len() > 64 { Err(NotOnnx) } else { Ok(()) }
    }

    /// Takes a key and its value, of those that say where the data is.
    fn take_entry(&mut self, mut rest: &[u8]) -> Result<(), NotOnnx> {
        let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
        while !rest.is_empty() {
            let field = Field::read(rest, rest.len() as u64)?.ok_or(NotOnnx)?;
            let (body, end) = (field.header as usize, (field.header + field.length) as usize);
            match field.number {
                KEY => key = &rest[body..end],
                VALUE => value = &rest[body..end],
                _ => {}
            }
            rest = &rest[end..];
        }
        let part = match key {
            b"location" => &mut self.external.location,
            b"offset" => &mut self.external.offset,
            b"length" => &mut self.external.length,
            _ => return Ok(()),
        };
        *part = text(value)?;
        Ok(())
    }

    /// Whether its data is in another file.
    pub(super) fn is_external(&self) -> bool {
        self.place == EXTERNAL
    }

    /// What it says of that.
    pub(super) fn external(self) -> External {
        self.external
    }

    /// Its data, if that is in this file and raw.
    pub(super) fn region(self) -> Option<Region> {
        let External { name, dtype, shape, .. } = self.external;
        let raw = self.raw.filter(|raw| !raw.is_empty() && !name.is_empty())?;
        let length = raw.end - raw.start;
        let typed = dtype.filter(|dtype| dtype.tensor_bytes(&shape) == Some(length));
        let (dtype, shape) = typed.map_or((Dtype::U8, vec![length]), |dtype| (dtype, shape));
        Some(Region { name, dtype, shape, offset: raw.start, length })
    }
}

fn text(bytes: &[u8]) -> Result<String, NotOnnx> {
    String::from_utf8(bytes.to_vec()).map_err(|_| NotOnnx)
}

/// The dtype of a `TensorProto.DataType`; none of those that are packed more tightly than bytes.
fn dtype(kind: u64) -> Option<Dtype> {
    Some(match kind {
        1 => Dtype::F32,
        2 => Dtype::U8,
        3 => Dtype::I8,
        4 => Dtype::U16,
        5 => Dtype::I16,
        6 => Dtype::I32,
        7 => Dtype::I64,
        9 => Dtype::BOOL,
        10 => Dtype::F16,
        11 => Dtype::F64,
        12 => Dtype::U32,
        13 => Dtype::U64,
        14 => Dtype::C64,
        16 => Dtype::BF16,
        17 => Dtype::F8_E4M3,
        18 => Dtype::F8_E4M3FNUZ,
        19 => Dtype::F8_E5M2,
        20 => Dtype::F8_E5M2FNUZ,
        _ => return None,
    })
}

//! A single `TensorProto`, without its data.

use std::ops::Range;

use super::external::External;
use super::field::{Field, NotOnnx, varint};
use crate::layout::{Dtype, Region};

/// Numbers of the fields of `TensorProto`.
const DIMS: u64 = 1;
const DATA_TYPE: u64 = 2;
const FLOAT_DATA: u64 = 4;
const INT32_DATA: u64 = 5;
const INT64_DATA: u64 = 7;
const NAME: u64 = 8;
const RAW_DATA: u64 = 9;
const DOUBLE_DATA: u64 = 10;
const UINT64_DATA: u64 = 11;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;

/// Tells whether field `number` holds elements, as raw bytes or packed.
pub(super) fn is_data(number: u64) -> bool {
    matches!(number, FLOAT_DATA | INT32_DATA | INT64_DATA | RAW_DATA | DOUBLE_DATA | UINT64_DATA)
}

/// Tells whether field `number` describes the tensor and is short.
pub(super) fn is_part(number: u64) -> bool {
    matches!(number, DIMS | DATA_TYPE | NAME | EXTERNAL_DATA | DATA_LOCATION)
}

/// The `data_location` of a tensor whose data lies in another file.
const EXTERNAL: u64 = 1;

/// Numbers of the fields of `StringStringEntryProto`.
const KEY: u64 = 1;
const VALUE: u64 = 2;

/// The fields of a tensor that have been read so far.
#[derive(Debug, Default)]
pub(super) struct Tensor {
    external: External,
    /// The number and the content of the field that holds the elements.
    data: Option<(u64, Range<u64>)>,
    place: u64,
}

impl Tensor {
    /// Takes a field whose content is `bytes`.
    pub(super) fn take(&mut self, field: &Field, bytes: &[u8]) -> Result<(), NotOnnx> {
        match (field.number, field.is_message) {
            (NAME, true) => self.external.name = text(bytes)?.into(),
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
        // No real tensor has so many extents; a forged file may.
        if self.external.shape.len() > 64 { Err(NotOnnx) } else { Ok(()) }
    }

    /// Takes one entry of `external_data`: a key and its value, which locate the data.
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
        match key {
            b"location" => self.external.location = text(value)?.into(),
            b"offset" => self.external.offset = text(value)?,
            b"length" => self.external.length = text(value)?,
            _ => {}
        }
        Ok(())
    }

    /// Takes the place of a field that holds elements. If there are several, the first one that is
    /// not empty counts.
    pub(super) fn take_data(&mut self, number: u64, range: Range<u64>) {
        if self.data.is_none() && !range.is_empty() {
            self.data = Some((number, range));
        }
    }

    /// Replaces the name by the one that `name` makes of it.
    pub(super) fn rename(&mut self, name: impl FnOnce(&str) -> String) {
        self.external.name = name(&self.external.name).into();
    }

    /// Tells whether the tensor's data is in another file.
    pub(super) fn is_external(&self) -> bool {
        self.place == EXTERNAL
    }

    /// The description of the tensor's external data.
    pub(super) fn external(self) -> External {
        self.external
    }

    /// The region of the tensor's data, if the data is in this file and the tensor has a name.
    pub(super) fn region(self) -> Option<Region> {
        let External { name, dtype, shape, .. } = self.external;
        let (field, range) = self.data.filter(|_| !name.is_empty())?;
        let length = range.end - range.start;
        let (dtype, width) = match (field, dtype) {
            (FLOAT_DATA, Some(Dtype::C64)) => (Some(Dtype::C64), 8),
            (FLOAT_DATA, _) => (Some(Dtype::F32), 4),
            (DOUBLE_DATA, _) => (Some(Dtype::F64), 8),
            (RAW_DATA, dtype) => (dtype, 0),
            _ => (None, 0),
        };
        let (dtype, shape) = match dtype {
            Some(dtype) if dtype.tensor_bytes(&shape) == Some(length) => (dtype, shape),
            // A type of two numbers per element, or one that was cast.
            Some(dtype) if width > 0 && length.is_multiple_of(width) => (dtype, vec![length / width]),
            _ => (Dtype::U8, vec![length]),
        };
        Some(Region { name: name.to_string(), dtype, shape, offset: range.start, length })
    }
}

fn text(bytes: &[u8]) -> Result<String, NotOnnx> {
    String::from_utf8(bytes.to_vec()).map_err(|_| NotOnnx)
}

/// The dtype of a `TensorProto.DataType`; `None` for unknown ones and those that pack several
/// elements into a byte.
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

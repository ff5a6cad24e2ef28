//! The beginnings of MessagePack's items, and the arrays that flax keeps in extensions.
//!
//! Format: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use crate::layout::{Dtype, MAX_RANK};

/// An item's content, behind its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Bytes of no interest.
    Skipped(u64),
    Text(u64),
    /// An extension of this type and length.
    Extension(u8, u64),
    /// Items that follow.
    List(u64),
    /// Pairs of items that follow.
    Map(u64),
}

/// The number of the first bytes of an item, and its content; `None` if `bytes` ends within them.
/// Any byte but 0xc1, which `Err` stands for, begins an item.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(u64, Content)>, ()> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    let number = |width: usize| number(rest, width);
    let sized =
        |width: usize, content: fn(u64) -> Content| number(width).map(|length| (1 + width as u64, content(length)));
    let extension = |length: Option<u64>, width: usize| {
        length.zip(rest.get(width)).map(|(length, &kind)| (2 + width as u64, Content::Extension(kind, length)))
    };
    Ok(match kind {
        0x80..=0x8f => Some((1, Content::Map(u64::from(kind & 15)))),
        0x90..=0x9f => Some((1, Content::List(u64::from(kind & 15)))),
        0xa0..=0xbf => Some((1, Content::Text(u64::from(kind & 31)))),
        0x00..=0x7f | 0xe0.. | 0xc0 | 0xc2 | 0xc3 => Some((1, Content::Skipped(0))),
        0xc1 => return Err(()),
        0xc4..=0xc6 => sized(1 << (kind - 0xc4), Content::Skipped),
        0xc7..=0xc9 => extension(number(1 << (kind - 0xc7)), 1 << (kind - 0xc7)),
        0xca | 0xcb => Some((1, Content::Skipped(4 << (kind - 0xca)))),
        0xcc..=0xcf => Some((1, Content::Skipped(1 << (kind - 0xcc)))),
        0xd0..=0xd3 => Some((1, Content::Skipped(1 << (kind - 0xd0)))),
        0xd4..=0xd8 => extension(Some(1 << (kind - 0xd4)), 0),
        0xd9..=0xdb => sized(1 << (kind - 0xd9), Content::Text),
        0xdc | 0xdd => sized(2 << (kind - 0xdc), Content::List),
        0xde | 0xdf => sized(2 << (kind - 0xde), Content::Map),
    })
}

/// The big-endian number of `width` bytes at the start of `bytes`.
fn number(bytes: &[u8], width: usize) -> Option<u64> {
    bytes.get(..width).map(|bytes| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// An array: its dtype and shape, and the number of bytes before its elements.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Array {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
    pub(super) start: u64,
}

/// The array that fills an extension of `length` bytes, which begins with `bytes`: a list of its
/// shape, the name of its dtype, and its elements. `None` for anything else.
pub(super) fn array(bytes: &[u8], length: u64) -> Option<Array> {
    let mut at = 0usize;
    let mut next = || {
        let (first, content) = read(bytes.get(at..)?).ok()??;
        at += first as usize;
        Some((content, at))
    };
    if next()?.0 != Content::List(3) {
        return None;
    }
    let (Content::List(rank), mut behind) = next()? else { return None };
    if rank > MAX_RANK as u64 {
        return None;
    }
    let mut shape = Vec::new();
    for _ in 0..rank {
        let (extent, width) = extent(bytes.get(behind..)?)?;
        shape.push(extent);
        behind += width;
    }
    let bytes = &bytes[behind..];
    let (first, Content::Text(name)) = read(bytes).ok()?? else { return None };
    let dtype = dtype(bytes.get(first as usize..)?.get(..name as usize)?)?;
    let elements = first as usize + name as usize;
    let (first, Content::Skipped(stored)) = read(bytes.get(elements..)?).ok()?? else { return None };
    let start = (behind + elements) as u64 + first;
    (dtype.tensor_bytes(&shape) == Some(stored) && start.checked_add(stored) == Some(length)).then_some(Array {
        dtype,
        shape,
        start,
    })
}

/// A whole number that is not negative, and its bytes.
fn extent(bytes: &[u8]) -> Option<(u64, usize)> {
    match *bytes.first()? {
        small @ 0..=0x7f => Some((small.into(), 1)),
        kind @ 0xcc..=0xcf => number(&bytes[1..], 1 << (kind - 0xcc)).map(|number| (number, 1 + (1 << (kind - 0xcc)))),
        _ => None,
    }
}

/// The dtype that numpy calls `name`.
fn dtype(name: &[u8]) -> Option<Dtype> {
    Some(match name {
        b"float64" => Dtype::F64,
        b"float32" => Dtype::F32,
        b"float16" => Dtype::F16,
        b"bfloat16" => Dtype::BF16,
        b"float8_e4m3fn" => Dtype::F8_E4M3,
        b"float8_e5m2" => Dtype::F8_E5M2,
        b"int64" => Dtype::I64,
        b"uint64" => Dtype::U64,
        b"int32" => Dtype::I32,
        b"uint32" => Dtype::U32,
        b"int16" => Dtype::I16,
        b"uint16" => Dtype::U16,
        b"int8" => Dtype::I8,
        b"uint8" => Dtype::U8,
        b"bool" => Dtype::BOOL,
        _ => return None,
    })
}

//! The header of NumPy's `.npy` files: a magic, a version, and a dictionary as text.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::{Dtype, Kind, Layout, MAX_RANK, Region};

const MAGIC: &[u8] = b"\x93NUMPY";

/// The name of the array in a file of its own.
const NAME: &str = "array";

/// The type of an array, and the length of the header before its elements.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dtype: Dtype,
    /// Extents, outermost first: for an array in Fortran's order, in reverse.
    pub(super) shape: Vec<u64>,
    pub(super) length: u64,
}

/// The layout of a file that begins with `head`, if it is an array.
pub(super) fn layout(head: &[u8], file_length: u64) -> Option<Layout> {
    let Header { dtype, shape, length: offset } = header(head)?;
    let length = dtype.tensor_bytes(&shape).filter(|length| *length > 0)?;
    let is_whole = offset.checked_add(length).is_some_and(|end| end <= file_length);
    let regions = vec![Region { name: NAME.to_owned(), dtype, shape, offset, length }];
    is_whole.then_some(Layout { kind: Kind::Places, file_length, regions, ..Layout::default() })
}

/// Reads the header at the start of `bytes`; `None` if it is malformed, if `bytes` ends within it,
/// or if no [`Dtype`] is the array's.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (text, start) = match rest.first()? {
        1 => (usize::from(u16::from_le_bytes(*rest.get(2..)?.first_chunk()?)), MAGIC.len() + 4),
        2 | 3 => (u32::from_le_bytes(*rest.get(2..)?.first_chunk()?) as usize, MAGIC.len() + 6),
        _ => return None,
    };
    let end = start.checked_add(text)?;
    let text = std::str::from_utf8(bytes.get(start..end)?).ok()?;
    let dtype = dtype(value(text, "descr")?.strip_prefix(['\'', '"'])?)?;
    let mut shape = extents(value(text, "shape")?)?;
    if value(text, "fortran_order")?.starts_with("True") {
        shape.reverse();
    }
    Some(Header { dtype, shape, length: end as u64 })
}

/// The text behind the key `key` of the dictionary.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let behind = &text[text.find(key)? + key.len()..];
    Some(behind.strip_prefix(['\'', '"'])?.trim_start().strip_prefix(':')?.trim_start())
}

/// The extents at the start of `text`, a tuple of numbers.
fn extents(text: &str) -> Option<Vec<u64>> {
    let (tuple, _) = text.strip_prefix('(')?.split_once(')')?;
    let numbers = tuple.split(',').map(str::trim).filter(|number| !number.is_empty());
    let shape: Option<Vec<u64>> = numbers.take(MAX_RANK + 1).map(|number| number.parse().ok()).collect();
    shape.filter(|shape| shape.len() <= MAX_RANK)
}

/// The dtype whose description `text` begins with, the closing quote included. Arrays of
/// `bfloat16` have the description of two opaque bytes.
fn dtype(text: &str) -> Option<Dtype> {
    let (name, _) = text.split_once(['\'', '"'])?;
    Some(match name {
        "|b1" => Dtype::BOOL,
        "|u1" => Dtype::U8,
        "|i1" => Dtype::I8,
        "<u2" => Dtype::U16,
        "<i2" => Dtype::I16,
        "<f2" => Dtype::F16,
        "<V2" | "|V2" => Dtype::BF16,
        "<u4" => Dtype::U32,
        "<i4" => Dtype::I32,
        "<f4" => Dtype::F32,
        "<u8" => Dtype::U64,
        "<i8" => Dtype::I64,
        "<f8" => Dtype::F64,
        "<c8" => Dtype::C64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: u8, text: &str) -> Option<Header> {
        let length = (text.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        header(&[MAGIC, &[version, 0], length, text.as_bytes(), &[0; 8]].concat())
    }

    #[test]
    fn headers_give_dtype_and_order() {
        let c = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n";
        let want = |dtype, shape: &[u64], length| Some(Header { dtype, shape: shape.to_vec(), length });
        assert_eq!(read(1, c), want(Dtype::F32, &[3, 4], 10 + c.len() as u64));
        assert_eq!(read(3, c), want(Dtype::F32, &[3, 4], 12 + c.len() as u64));
        let fortran = "{\"shape\":(3,4),\"descr\" : \"<i8\",'fortran_order':True}";
        assert_eq!(read(2, fortran), want(Dtype::I64, &[4, 3], 12 + fortran.len() as u64));
        for (tuple, shape) in [("()", &[][..]), ("(7,)", &[7])] {
            let text = c.replace("(3, 4)", tuple).replace("<f4", "|V2");
            assert_eq!(read(1, &text), want(Dtype::BF16, shape, 10 + text.len() as u64));
        }
    }

    #[test]
    fn other_headers_are_none() {
        let c = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
        for (old, new) in [
            ("<f4", ">f4"),
            ("'<f4'", "[('a', '<f4')]"),
            ("<f4'", "<f4"),
            ("(3, 4)", "(3, -4)"),
            ("(3, 4)", "(3, 4"),
            ("(3, 4)", "(18446744073709551616,)"),
            ("shape", "sharp"),
            ("':", "'"),
        ] {
            assert_eq!(read(1, &c.replace(old, new)), None, "{new}");
        }
        let many = c.replace("(3, 4)", &format!("({})", "1,".repeat(65)));
        assert_eq!((read(1, &many), read(4, c), header(b"\x93NUMPY\x01\0\xff\xff{")), (None, None, None));
    }

    #[test]
    fn a_file_is_an_array_if_it_holds_all_of_it() {
        let text = "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }";
        let head = [MAGIC, &[1, 0], &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
        let start = head.len() as u64;
        let found = layout(&head, start + 48).unwrap();
        let array = &found.regions[0];
        assert_eq!(
            (array.type_name(), array.range(), found.kind),
            ("F32[4, 3]".into(), start..start + 48, Kind::Places)
        );
        assert_eq!((layout(&head, start + 47), layout(&head[..20], 1 << 20)), (None, None));
        let forged = |shape: &str| {
            let text = text.replace("(3, 4)", shape);
            let head = [MAGIC, &[1, 0], &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
            layout(&head, u64::MAX)
        };
        assert_eq!(forged("(4294967296, 4294967296)"), None, "more elements than a number counts");
        assert_eq!(forged("(4611686018427387903,)"), None, "an end that no number has");
        assert_eq!(forged("(0,)"), None, "no elements");
    }
}

//! Fields of protocol buffers: tags, lengths and numbers.

/// The reason why parsing ends early: the file is not an ONNX model.
#[derive(Debug)]
pub(super) struct NotOnnx;

/// The header of a field, and its value if it is a number.
pub(super) struct Field {
    pub(super) number: u64,
    /// `true` if the field is a message, a string or bytes.
    pub(super) is_message: bool,
    /// Length of the header in bytes; that of a number includes its value.
    pub(super) header: u64,
    /// Length in bytes of the content behind the header; 0 for a number.
    pub(super) length: u64,
    pub(super) value: u64,
}

impl Field {
    /// Reads the field at the start of `bytes`, in a message of which `left` bytes remain. Returns
    /// `None` if `bytes` ends within the field's header.
    pub(super) fn read(bytes: &[u8], left: u64) -> Result<Option<Self>, NotOnnx> {
        let Some((tag, tag_length)) = varint(bytes)? else { return Ok(None) };
        let (number, wire) = (tag >> 3, tag & 7);
        let (value, value_length) = match wire {
            0 | 2 => match varint(&bytes[tag_length..])? {
                Some(found) => found,
                None => return Ok(None),
            },
            1 => (0, 8),
            5 => (0, 4),
            _ => return Err(NotOnnx),
        };
        let header = (tag_length + value_length) as u64;
        let length = if wire == 2 { value } else { 0 };
        let fits = header.checked_add(length).is_some_and(|all| all <= left);
        if number == 0 || !fits {
            return Err(NotOnnx);
        }
        Ok(Some(Self { number, is_message: wire == 2, header, length, value }))
    }
}

/// Reads a number of 7 bits per byte, and returns it and its length in bytes; `None` if `bytes`
/// ends within it.
pub(super) fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, NotOnnx> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            return Ok(Some((value, i + 1)));
        }
    }
    if bytes.len() < 10 { Ok(None) } else { Err(NotOnnx) }
}

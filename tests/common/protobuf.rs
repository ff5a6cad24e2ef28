//! Protocol buffers, as far as small ONNX models need them.

/// A number of 7 bits per byte.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of bytes, a string or a message.
pub fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 2), varint(body.len() as u64), body.to_vec()].concat()
}

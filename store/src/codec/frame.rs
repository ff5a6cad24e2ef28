//! Frames: safetensors files that hold tensors which are coded together.

use bitx::layout::Dtype;

/// The header of a safetensors file of tensors with these names, dtypes and shapes, one behind the
/// other.
pub(super) fn header<'a>(tensors: impl Iterator<Item = (String, Dtype, &'a [u64], u64)>) -> Vec<u8> {
    let (mut start, mut texts) = (0u64, Vec::new());
    for (name, dtype, shape, length) in tensors {
        let (name, dtype, end) = (serde_json::Value::from(name), dtype.name(), start.saturating_add(length));
        let shape = shape.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        texts.push(format!("{name}:{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{start},{end}]}}"));
        start = end;
    }
    let mut header = format!("{{{}}}", texts.join(","));
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

//! Small GGUF files.

/// A GGUF file of `(name, innermost extent first, ggml type, bytes)`, aligned to 64 bytes.
pub fn gguf(tensors: &[(&str, &[u64], u32, &[u8])]) -> Vec<u8> {
    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    let mut file = [&b"GGUF"[..], &3u32.to_le_bytes()].concat();
    file.extend([tensors.len() as u64, 2].map(u64::to_le_bytes).concat());
    text(&mut file, "general.alignment");
    file.extend([4u32, 64].map(u32::to_le_bytes).concat());
    text(&mut file, "nested");
    file.extend(
        [&[9, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], &[8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]].concat(),
    );
    text(&mut file, "token");
    let mut data = Vec::new();
    for (name, extents, kind, bytes) in tensors {
        text(&mut file, name);
        file.extend((extents.len() as u32).to_le_bytes());
        extents.iter().for_each(|extent| file.extend(extent.to_le_bytes()));
        file.extend(kind.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        data.extend(*bytes);
        data.resize(data.len().next_multiple_of(64), 0);
    }
    file.resize(file.len().next_multiple_of(64), 0);
    [file, data].concat()
}

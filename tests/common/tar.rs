//! Tar files, as far as tests need them.

/// Bytes of a header.
pub const BLOCK: usize = 512;

/// The header of a member of that type, with a name and a length in octal digits.
pub fn header(name: &str, kind: u8, length: usize) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..136].copy_from_slice(format!("{length:011o}\0").as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block
}

/// A file of members, each a name and its data.
pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    for (name, data) in members {
        file.extend(header(name, b'0', data.len()));
        file.extend_from_slice(data);
        file.resize(file.len().next_multiple_of(BLOCK), 0);
    }
    file.resize(file.len() + 2 * BLOCK, 0);
    file
}

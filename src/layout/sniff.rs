//! Recognises files that people hand over by mistake, so that the error can name them.

/// The first bytes of a kind of file, and its description.
type Known = (&'static [u8], &'static str);

/// Files that a server or git sends in place of the requested one.
const DOWNLOADS: [Known; 4] = [
    (b"<!doctype", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file that it points to"),
    (b"# xet version", "a xet pointer, not the file that it points to"),
];

/// Files of other kinds that people hand over by mistake.
const OTHERS: [Known; 6] = [
    (b"<?xml", "an XML document"),
    (b"BITXv", "a .bitx archive"),
    (b"GGUF", "a GGUF model"),
    (b"PK\x03\x04", "a zip archive, such as a PyTorch checkpoint"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"{", "a JSON document"),
];

/// A description of the file with the first bytes `head`, if it is one of the usual mistakes.
pub(crate) fn mistaken_for(head: &[u8]) -> Option<&'static str> {
    download_mistake(head).or_else(|| found(&OTHERS, head))
}

/// A description of a file that a server or git sent in place of the requested one: an HTML page,
/// or a pointer of git-lfs or xet.
pub(crate) fn download_mistake(head: &[u8]) -> Option<&'static str> {
    found(&DOWNLOADS, head)
}

fn found(known: &[Known], head: &[u8]) -> Option<&'static str> {
    let text = head.trim_ascii_start();
    let starts = |prefix: &[u8]| text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix);
    known.iter().find(|(prefix, _)| starts(prefix)).map(|(_, name)| *name)
}

/// The error message for a file that should have been a `wanted`.
pub(crate) fn not_a(wanted: &str, head: &[u8]) -> String {
    match mistaken_for(head) {
        Some(kind) => format!("not a {wanted}: this is {kind}"),
        None if looks_like_safetensors(head) => format!("not a {wanted}: this is a safetensors model"),
        None => format!("not a {wanted}"),
    }
}

/// Tells whether `head` can be the start of a safetensors file: a header length below 2^40, and
/// `{`.
pub(crate) fn looks_like_safetensors(head: &[u8]) -> bool {
    head.len() > 8 && head[8] == b'{' && head[5..8] == [0; 3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_usual_mistakes() {
        assert_eq!(not_a(".bitx archive", b"\n<!DOCTYPE html>"), "not a .bitx archive: this is an HTML page");
        assert!(not_a("safetensors model", b"version https://git-lfs.github.com/spec/v1").contains("git-lfs pointer"));
        assert!(not_a(".bitx archive", b"\x05\0\0\0\0\0\0\0{}   ").contains("safetensors model"));
        assert_eq!(not_a("safetensors model", b"\x00\x01"), "not a safetensors model");
    }
}

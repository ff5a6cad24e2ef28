//! Files that are handed over in place of a model: pointers, error pages, indexes and archives.

use std::path::Path;

use bitx::io::ReadAt;

use crate::args::Global;
use crate::files::Input;
use crate::warning::warn;
use crate::words;

/// The number of bytes at the start of a file that tell a mistake.
const HEAD: u64 = 4096;

/// The length in bytes from which a file is no error page.
const LONGEST_PAGE: u64 = 1 << 20;

/// A description of `file`, if it is one of the files that are mistaken for a model.
pub fn of(file: &dyn ReadAt) -> Option<&'static str> {
    let mut head = vec![0; file.len().min(HEAD) as usize];
    file.read_at(0, &mut head).ok()?;
    if head.starts_with(b"BITXv") {
        return Some("a .bitx archive");
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii();
    pointer(text).or_else(|| (file.len() < LONGEST_PAGE).then(|| page(text)).flatten()).or_else(|| index(text))
}

/// Warns about each of `inputs` that is mistaken for a model.
pub fn warn_of<'a>(inputs: impl IntoIterator<Item = &'a Input>, global: &Global) {
    for input in inputs {
        if let Some(kind) = of(&input.file) {
            warn(global, &format!("{}: this is {kind}, not a model", words::input(&input.path)));
        }
    }
}

/// A description of a file that is added to a store, if it is a mistake under its name. Pages,
/// indexes and documents are no mistakes under names of their own.
pub fn under_a_name(path: &Path, file: &dyn ReadAt) -> Option<&'static str> {
    let kind = of(file)?;
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let own: &[&str] = match kind {
        ARCHIVE => &["bitx"],
        HTML => &["html", "htm", "xhtml", "md", "txt"],
        XML => &["xml", "svg", "html", "xhtml"],
        INDEX | JSON_ERROR => &["json"],
        TEXT_ERROR => &["txt", "md"],
        _ => &[],
    };
    (!own.contains(&extension.as_str())).then_some(kind)
}

const ARCHIVE: &str = "a .bitx archive";
const HTML: &str = "an HTML page";
const XML: &str = "an XML document";
const INDEX: &str = "the index of a model that is split into shards";
const JSON_ERROR: &str = "the error message of a server";
const TEXT_ERROR: &str = "the error text of a server";

fn pointer(text: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 5] = [
        (b"version https://git-lfs", "a git-lfs pointer"),
        (b"version https://hawser", "a git-lfs pointer"),
        (b"# xet version", "a xet pointer"),
        (b"/annex/objects/", "a git-annex pointer"),
        (b"outs:\n- md5:", "a DVC pointer"),
    ];
    known.iter().find(|(start, _)| text.starts_with(start)).map(|(_, kind)| *kind)
}

fn page(text: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 8] = [
        (b"<!doctype html", HTML),
        (b"<html", HTML),
        (b"<head", HTML),
        (b"<?xml", XML),
        (b"<error>", XML),
        (b"entry not found", TEXT_ERROR),
        (b"repository not found", TEXT_ERROR),
        (b"invalid username or password", TEXT_ERROR),
    ];
    let starts = |start: &[u8]| text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    let object = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    let error = object.is_some_and(|object| object.starts_with(b"\"error\"") || object.starts_with(b"\"detail\""));
    known.iter().find(|(start, _)| starts(start)).map(|(_, kind)| *kind).or(error.then_some(JSON_ERROR))
}

fn index(text: &[u8]) -> Option<&'static str> {
    let names = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    (text.starts_with(b"{") && names(b"\"weight_map\"")).then_some(INDEX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_recognised_by_their_content() {
        for (text, kind) in [
            ("BITXv002", ARCHIVE),
            ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a git-lfs pointer"),
            ("# xet version 0\nfilename = 'a'\n", "a xet pointer"),
            ("\u{feff}\n <!DOCTYPE HTML>", HTML),
            ("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", XML),
            ("{\n \"error\": \"Repository not found\" }", JSON_ERROR),
            ("Entry not found", TEXT_ERROR),
            ("{\"metadata\": {\"total_size\": 1}, \"weight_map\": {}}", INDEX),
        ] {
            assert_eq!(of(&text.as_bytes()), Some(kind), "{text}");
        }
        for text in ["", "{}", "{\"errors\": 3}", "plain", "GGUF"] {
            assert_eq!(of(&text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn names_of_their_own_excuse_pages_and_indexes_but_not_pointers() {
        let (page, index, pointer) = ("<html>", "{\"weight_map\": {}}", "version https://git-lfs.github.com/spec/v1");
        let mistaken = |name: &str, text: &str| under_a_name(Path::new(name), &text.as_bytes());
        assert_eq!((mistaken("card.html", page), mistaken("model.bin", page)), (None, Some(HTML)));
        assert_eq!((mistaken("m.index.json", index), mistaken("m.safetensors", index)), (None, Some(INDEX)));
        assert!(mistaken("README.md", pointer).is_some() && mistaken("pointer.json", pointer).is_some());
    }
}

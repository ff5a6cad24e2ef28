//! Words for people: names that a terminal shows and does not obey, texts that are not too long,
//! and sizes.

use std::borrow::Cow;
use std::path::Path;

use bitx::quoted::is_obeyed;
use indicatif::DecimalBytes;

/// The maximum length of a name in a table or a message, in characters.
const LONGEST_NAME: usize = 200;

/// The maximum length of a message, in characters.
const LONGEST_MESSAGE: usize = 1200;

/// A name of a tensor or a file, as tables and messages show it: cut, and with all characters
/// escaped that a terminal would obey.
pub fn name(name: &str) -> String {
    escaped(&cut(name, LONGEST_NAME)).into_owned()
}

/// A message in one line, cut, and with all characters escaped that a terminal would obey.
pub fn message(text: &str) -> String {
    escaped(&cut(text, LONGEST_MESSAGE)).into_owned()
}

/// The name of an input in messages.
pub fn input(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
}

/// A shape as tables show it, such as `[384, 384]`. Extents beyond the eighth are left out.
pub fn shape(shape: &[u64]) -> String {
    const SHOWN: usize = 8;
    match shape.len() {
        0..=SHOWN => format!("{shape:?}"),
        rank => format!("{:?}, ... ({rank} extents)", &shape[..SHOWN]),
    }
}

/// A number of bytes in decimal units, such as `45.44 MB`.
pub fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// The start and the end of a text that has more than `most` characters.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    let start = |count: usize| text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    if start(most) == text.len() {
        return text.into();
    }
    let end = text.char_indices().nth_back(most / 4).map_or(0, |(at, _)| at);
    format!("{} [...] {}", &text[..start(most - most / 4)], &text[end..]).into()
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return text.into();
    }
    let escape = |c: char| if is_obeyed(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(escape).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_a_terminal_obeys_are_escaped() {
        assert_eq!(name("layer.0/w é 霸"), "layer.0/w é 霸");
        assert_eq!(name("a\x1b[2Jb\nc\u{202e}d\u{9b}"), r"a\u{1b}[2Jb\u{a}c\u{202e}d\u{9b}");
    }

    #[test]
    fn long_names_keep_their_start_and_end() {
        let long = format!("begin{}end", "é".repeat(5000));
        let shown = name(&long);
        assert!(shown.starts_with("begin") && shown.ends_with("end") && shown.contains(" [...] "), "{shown}");
        assert!(shown.chars().count() < LONGEST_NAME + 20);
        assert_eq!(name(&"x".repeat(LONGEST_NAME)), "x".repeat(LONGEST_NAME));
    }

    #[test]
    fn long_shapes_are_cut() {
        assert_eq!(shape(&[2, 3]), "[2, 3]");
        assert_eq!(shape(&[1; 1000]), "[1, 1, 1, 1, 1, 1, 1, 1], ... (1000 extents)");
    }
}

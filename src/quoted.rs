//! Names and texts of inputs as messages show them.

use std::fmt::{self, Write as _};

/// A text in quotes. Quotes, backslashes and [characters that a terminal obeys](is_obeyed) are
/// escaped, so that a name from a file can neither end the quotes nor move the cursor.
///
/// `Debug` of a `str` does nearly this, but needs tables of all characters that cannot be printed,
/// which are 2 % of what a page downloads.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') || is_obeyed(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        f.write_char('"')
    }
}

/// Tells whether a terminal may obey a character instead of showing it: controls, line and
/// paragraph separators, marks that turn the direction of text, and invisible characters.
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_ended_and_characters_are_shown() {
        assert_eq!(Quoted("layer.0/w é 霸 'a'").to_string(), "\"layer.0/w é 霸 'a'\"");
        assert_eq!(Quoted("a\"b\\c\n\x1b[2J\u{202e}\u{200b}").to_string(), r#""a\"b\\c\n\u{1b}[2J\u{202e}\u{200b}""#);
    }
}

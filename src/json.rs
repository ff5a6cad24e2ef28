//! A reader of JSON, value by value, for texts whose fields are known: headers, manifests and
//! configurations.
//!
//! They have strings, whole numbers and a few short fractions. A general parser turns any fraction
//! into the nearest float, and floats into text, and every page would download its tables.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// A place in a JSON text. The methods that read or skip a value skip white space before it.
pub(crate) struct Json<'a> {
    /// The name of the text in errors.
    name: &'static str,
    text: &'a str,
    at: usize,
    /// The offset of the text in its file.
    origin: u64,
}

impl<'a> Json<'a> {
    /// Begins to read a text that begins at byte `origin` of its file.
    pub(crate) fn new(name: &'static str, text: &'a str, origin: u64) -> Self {
        Self { name, text, at: 0, origin }
    }

    /// The error for a text that does not have here what is `expected`.
    #[cold]
    pub(crate) fn fault(&self, expected: &str) -> Error {
        let error = Error::corrupt(format!("{} is not valid: expected {expected}", self.name));
        error.at(self.origin + self.at as u64)
    }

    /// Reads an object. `member` is called with the name of each member and reads its value.
    pub(crate) fn object(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<()>) -> Result<()> {
        self.begin_object()?;
        let mut first = true;
        while let Some(name) = self.member(first)? {
            member(self, name)?;
            first = false;
        }
        Ok(())
    }

    /// Takes the beginning of an object.
    pub(crate) fn begin_object(&mut self) -> Result<()> {
        self.take(b'{', "an object")
    }

    /// Reads the name of the next member of an object, whose value follows; `None` at the object's
    /// end. The name is the `first`, or follows a value.
    pub(crate) fn member(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        let name = self.string()?;
        self.take(b':', "a colon")?;
        Ok(Some(name))
    }

    /// Reads an array of whole numbers from 0 to 2^64 - 1.
    pub(crate) fn numbers(&mut self) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        self.array(|json| {
            numbers.push(json.number()?);
            Ok(())
        })?;
        Ok(numbers)
    }

    /// Reads an array. `element` is called to read each of its elements.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.take(b'[', "an array")?;
        let mut first = true;
        while self.more(first, b']')? {
            element(self)?;
            first = false;
        }
        Ok(())
    }

    /// Reads a whole number from 0 to 2^64 - 1.
    pub(crate) fn number(&mut self) -> Result<u64> {
        self.peek();
        let number = self.whole()?.parse();
        number.map_err(|_| self.fault("a number below 2^64"))
    }

    /// Takes a number of any kind, and returns its text.
    pub(crate) fn number_text(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.skip_number()?;
        Ok(&self.text[start..self.at])
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.take(b'"', "a string")?;
        let mut text = Cow::Borrowed(self.plain());
        while self.byte() != Some(b'"') {
            let escaped = self.escape()?;
            text.to_mut().push(escaped);
            text.to_mut().push_str(self.plain());
        }
        self.at += 1;
        Ok(text)
    }

    /// Skips an object.
    pub(crate) fn skip_object(&mut self) -> Result<()> {
        if self.peek() == Some(b'{') { self.skip() } else { Err(self.fault("an object")) }
    }

    /// Skips a value, however deep it is.
    pub(crate) fn skip(&mut self) -> Result<()> {
        // The ends of the objects and arrays around this place.
        let mut ends = Vec::new();
        loop {
            let mut first = true;
            match self.peek() {
                Some(b'{') => ends.push(b'}'),
                Some(b'[') => ends.push(b']'),
                _ => first = false,
            }
            if first {
                self.at += 1
            } else {
                self.skip_scalar()?
            }
            loop {
                let Some(&end) = ends.last() else { return Ok(()) };
                if self.more(first, end)? {
                    if end == b'}' {
                        self.skip_string()?;
                        self.take(b':', "a colon")?;
                    }
                    break;
                }
                ends.pop();
                first = false;
            }
        }
    }

    /// Checks that only white space follows.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.fault("its end")) }
    }

    /// Tells whether an object or array with this `end` has a further element, which is the `first`
    /// or follows a comma. Otherwise, takes the end.
    fn more(&mut self, first: bool, end: u8) -> Result<bool> {
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(false);
        }
        if !first {
            self.take(b',', "a comma")?;
        }
        Ok(true)
    }

    fn skip_scalar(&mut self) -> Result<()> {
        match self.byte() {
            Some(b'"') => self.skip_string(),
            Some(b'-' | b'0'..=b'9') => self.skip_number(),
            _ => {
                let rest = self.rest();
                let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word));
                self.at += word.ok_or_else(|| self.fault("a value"))?.len();
                Ok(())
            }
        }
    }

    fn skip_number(&mut self) -> Result<()> {
        self.skip_one_of(b"-");
        self.whole()?;
        if self.skip_one_of(b".") {
            self.digits()?;
        }
        if self.skip_one_of(b"eE") {
            self.skip_one_of(b"+-");
            self.digits()?;
        }
        Ok(())
    }

    /// Skips a string. Its escapes need not be characters.
    fn skip_string(&mut self) -> Result<()> {
        self.take(b'"', "a string")?;
        self.plain();
        while self.byte() != Some(b'"') {
            if self.rest().starts_with("\\u") {
                self.unit()?;
            } else {
                self.escape()?;
            }
            self.plain();
        }
        self.at += 1;
        Ok(())
    }

    /// Takes digits without leading zeros.
    fn whole(&mut self) -> Result<&'a str> {
        let digits = self.digits()?;
        if digits.len() > 1 && digits.starts_with('0') { Err(self.fault("no leading zero")) } else { Ok(digits) }
    }

    fn digits(&mut self) -> Result<&'a str> {
        let digits = self.until(|byte| !byte.is_ascii_digit());
        if digits.is_empty() { Err(self.fault("a digit")) } else { Ok(digits) }
    }

    /// Takes the characters of a string that stand for themselves.
    fn plain(&mut self) -> &'a str {
        self.until(|byte| byte < b' ' || matches!(byte, b'"' | b'\\'))
    }

    /// Takes an escaped character.
    fn escape(&mut self) -> Result<char> {
        let mut bytes = self.rest().bytes();
        let char = match (bytes.next(), bytes.next()) {
            (Some(b'\\'), Some(b'u')) => return self.unicode(),
            (Some(b'\\'), Some(byte @ (b'"' | b'\\' | b'/'))) => char::from(byte),
            (Some(b'\\'), Some(b'b')) => '\u{8}',
            (Some(b'\\'), Some(b'f')) => '\u{c}',
            (Some(b'\\'), Some(b'n')) => '\n',
            (Some(b'\\'), Some(b'r')) => '\r',
            (Some(b'\\'), Some(b't')) => '\t',
            _ => return Err(self.fault("the end of a string, or an escaped character")),
        };
        self.at += 2;
        Ok(char)
    }

    /// Takes a character of one unit of UTF-16, or of two that are escaped each.
    fn unicode(&mut self) -> Result<char> {
        let first = self.unit()?;
        let is_pair = matches!(first, 0xd800..0xdc00) && self.rest().starts_with("\\u");
        let second = if is_pair { Some(self.unit()?) } else { None };
        let char = char::decode_utf16([first].into_iter().chain(second)).next();
        char.and_then(|char| char.ok()).ok_or_else(|| self.fault("both halves of a character"))
    }

    /// Takes an escaped unit of UTF-16: two characters, and four hexadecimal digits.
    fn unit(&mut self) -> Result<u16> {
        let digits = self.rest().get(2..6).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.fault("four hexadecimal digits"))?;
        self.at += 6;
        Ok(unit)
    }

    fn take(&mut self, wanted: u8, expected: &str) -> Result<()> {
        if self.peek() != Some(wanted) {
            return Err(self.fault(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Skips white space, and returns the byte behind it, by which the next value begins.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.until(|byte| !matches!(byte, b' ' | b'\n' | b'\t' | b'\r'));
        self.byte()
    }

    fn skip_one_of(&mut self, bytes: &[u8]) -> bool {
        let found = self.byte().is_some_and(|byte| bytes.contains(&byte));
        self.at += usize::from(found);
        found
    }

    /// Takes the text before the first byte that `ends` it, which is not inside a character.
    fn until(&mut self, ends: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.bytes().position(ends).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn byte(&self) -> Option<u8> {
        self.rest().bytes().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

/// The value of a number of JSON. It is the nearest float if its digits are a number below 2^53,
/// and the power of ten with which they count is at most 22, as in every number that a person
/// writes. Other values may be off by some units in the last place.
pub(crate) fn value_of(number: &str) -> f64 {
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let endless = if exponent.starts_with('-') { -ENDLESS } else { ENDLESS };
    let mut power = exponent.parse::<i64>().unwrap_or(endless).clamp(-ENDLESS, ENDLESS);
    let (mut significand, mut full, mut fraction) = (0u64, false, false);
    for byte in digits.bytes() {
        fraction |= byte == b'.';
        if !byte.is_ascii_digit() {
            continue;
        }
        let longer = significand.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(byte - b'0')));
        full |= longer.is_none();
        significand = longer.filter(|_| !full).unwrap_or(significand);
        power += i64::from(full) - i64::from(fraction);
    }
    let (mut value, mut left) = (significand as f64, power.unsigned_abs().min(400));
    while left > 0 {
        let scale = (0..left.min(EXACT)).fold(1.0, |scale, _| scale * 10.0);
        value = if power < 0 { value / scale } else { value * scale };
        left = left.saturating_sub(EXACT);
    }
    if number.starts_with('-') { -value } else { value }
}

/// The most powers of ten whose product a float holds exactly.
const EXACT: u64 = 22;

/// An exponent that no text has enough digits to make up for.
const ENDLESS: i64 = 1 << 40;

#[cfg(test)]
mod tests;

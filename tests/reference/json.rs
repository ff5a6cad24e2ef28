//! A parser of the part of JSON that headers of valid models need.

use super::{Result, check};

pub enum Value {
    Text(String),
    Number(u64),
    /// A literal, or a number that is no count.
    Other,
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Self::Object(entries) = self else { return None };
        entries.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub fn numbers(&self, name: &str) -> Result<Vec<u64>> {
        let Some(Self::List(values)) = self.get(name) else { return Err(format!("no list {name}")) };
        let number = |value: &Value| match value {
            Self::Number(number) => Ok(*number),
            _ => Err(format!("{name} is no list of numbers")),
        };
        values.iter().map(number).collect()
    }
}

/// The entries of the one object that `bytes` are.
pub fn object(bytes: &[u8]) -> Result<Vec<(String, Value)>> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let mut parser = Parser { rest: text };
    let value = parser.value()?;
    parser.space();
    check(parser.rest.is_empty(), "text behind the header")?;
    let Value::Object(entries) = value else { return Err("the header is no object".to_owned()) };
    Ok(entries)
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Takes `token` if it is next.
    fn next_is(&mut self, token: char) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self) -> Result<Value> {
        if self.next_is('{') {
            return self.entries();
        }
        if self.next_is('[') {
            return self.list();
        }
        if self.next_is('"') {
            return Ok(Value::Text(self.text()?));
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
        let (literal, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let other = ["true", "false", "null"].contains(&literal) || literal.parse::<f64>().is_ok();
        let number = literal.parse().map(Value::Number);
        number.or(if other { Ok(Value::Other) } else { Err(format!("{literal:?} is no value")) })
    }

    fn list(&mut self) -> Result<Value> {
        let mut values = Vec::new();
        while !self.next_is(']') {
            check(values.is_empty() || self.next_is(','), "no comma in a list")?;
            values.push(self.value()?);
        }
        Ok(Value::List(values))
    }

    fn entries(&mut self) -> Result<Value> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        while !self.next_is('}') {
            check(entries.is_empty() || self.next_is(','), "no comma in an object")?;
            check(self.next_is('"'), "no name in an object")?;
            let name = self.text()?;
            check(self.next_is(':'), "no colon in an object")?;
            check(entries.iter().all(|(other, _)| *other != name), "a name appears twice")?;
            entries.push((name, self.value()?));
        }
        Ok(Value::Object(entries))
    }

    /// The rest of a string behind its first quote.
    fn text(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.char()? {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                char => text.push(char),
            }
        }
    }

    fn char(&mut self) -> Result<char> {
        let mut chars = self.rest.chars();
        let char = chars.next().ok_or("the header ends in a string")?;
        self.rest = chars.as_str();
        Ok(char)
    }

    fn escape(&mut self) -> Result<char> {
        Ok(match self.char()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let first = self.unit()?;
                let units = if (0xd800..0xdc00).contains(&first) {
                    check(self.char()? == '\\' && self.char()? == 'u', "half a surrogate pair")?;
                    vec![first, self.unit()?]
                } else {
                    vec![first]
                };
                String::from_utf16(&units).map_err(|e| e.to_string())?.chars().next().ok_or("an empty escape")?
            }
            other => other,
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16> {
        let digits = self.rest.get(..4).ok_or("an escape ends too early")?;
        self.rest = &self.rest[4..];
        u16::from_str_radix(digits, 16).map_err(|e| e.to_string())
    }
}

//! Who may read and write what: bearer tokens, of which only digests are kept.

use std::path::Path;

use axum::http::HeaderMap;
use bitx_store::{Digest, ModelName};
use headers::authorization::Bearer;
use headers::{Authorization, HeaderMapExt};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::errors::{Code, Failure, Result};

/// What the holder of a token may do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// BLAKE3 of the token; none for requests without one.
    blake3: Option<Digest>,
    /// For logs.
    #[serde(default)]
    name: String,
    #[serde(default)]
    read: Vec<Pattern>,
    #[serde(default)]
    write: Vec<Pattern>,
}

/// Names of models: one, or all with a beginning (`org/*`, `*`).
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Pattern {
    start: String,
    open: bool,
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(pattern: String) -> Result<Self, String> {
        let (start, open) = pattern.strip_suffix('*').map_or((&*pattern, false), |start| (start, true));
        let valid = match start.strip_suffix('/').filter(|_| open) {
            Some(org) => !org.contains('/') && org.parse::<ModelName>().is_ok(),
            None => (open && start.is_empty()) || start.parse::<ModelName>().is_ok(),
        };
        if valid { Ok(Self { start: start.to_owned(), open }) } else { Err(format!("not models' names: {pattern:?}")) }
    }
}

impl Pattern {
    fn matches(&self, name: &ModelName) -> bool {
        if self.open { name.as_str().starts_with(&self.start) } else { name.as_str() == self.start }
    }
}

/// The tokens of a server.
#[derive(Debug, Clone)]
pub struct Tokens(Vec<Entry>);

impl Default for Tokens {
    /// Everybody may read, nobody may write.
    fn default() -> Self {
        let all = Pattern { start: String::new(), open: true };
        Self(vec![Entry { blake3: None, name: String::new(), read: vec![all], write: Vec::new() }])
    }
}

impl Tokens {
    /// The tokens that a file lists.
    ///
    /// # Errors
    /// A file that cannot be read, or lists anything else.
    pub fn load(path: &Path) -> std::io::Result<Self> {
        Self::parse(&std::fs::read(path)?).map_err(std::io::Error::other)
    }

    /// The tokens that a JSON text lists.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let entries: Vec<Entry> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        if entries.iter().filter(|entry| entry.blake3.is_none()).count() > 1 {
            return Err("two entries are without a token".to_owned());
        }
        Ok(Self(entries))
    }

    /// What a request with these headers may do.
    ///
    /// # Errors
    /// `Unauthorized` for a token that is not listed, or no token where nothing is allowed without one.
    pub(crate) fn access(&self, headers: &HeaderMap) -> Result<Access> {
        let failed = |message: &str| Failure::new(Code::Unauthorized, message);
        let found = if headers.contains_key(axum::http::header::AUTHORIZATION) {
            let bearer = headers.typed_get::<Authorization<Bearer>>();
            let token = bearer.ok_or_else(|| failed("the authorization is no bearer token"))?;
            self.holder(token.token()).ok_or_else(|| failed("the token is not known"))?
        } else {
            let open = self.0.iter().position(|entry| entry.blake3.is_none());
            open.ok_or_else(|| failed("this needs a token"))?
        };
        Ok(Access { entry: self.0[found].clone(), number: found })
    }

    /// The entry of a token. All are compared, so that time tells nothing.
    fn holder(&self, token: &str) -> Option<usize> {
        let digest = Digest::of(token.as_bytes());
        let mut found = None;
        for (number, entry) in self.0.iter().enumerate() {
            let Some(other) = &entry.blake3 else { continue };
            if bool::from(digest.as_bytes().ct_eq(other.as_bytes())) {
                found = Some(number);
            }
        }
        found
    }
}

/// What one request may do.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    entry: Entry,
    number: usize,
}

impl Access {
    /// Which entry it is by: uploads belong to whoever began them.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn name(&self) -> &str {
        &self.entry.name
    }

    pub(crate) fn may_read(&self, name: &ModelName) -> bool {
        self.entry.read.iter().any(|pattern| pattern.matches(name))
    }

    /// # Errors
    /// `Forbidden`, or `Unauthorized` where a token might help. Says nothing of what there is.
    pub(crate) fn check_write(&self, name: &ModelName) -> Result<()> {
        if self.entry.write.iter().any(|pattern| pattern.matches(name)) {
            return Ok(());
        }
        Err(match self.entry.blake3 {
            Some(_) => Failure::new(Code::Forbidden, format!("the token does not allow to write {name}")),
            None => Failure::new(Code::Unauthorized, format!("to write {name} needs a token")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_and_nothing_more() {
        let matches = |pattern: &str, name: &str| {
            Pattern::try_from(pattern.to_owned()).map(|pattern| pattern.matches(&name.parse().unwrap()))
        };
        assert_eq!(matches("*", "org/model"), Ok(true));
        assert_eq!(matches("org/*", "org/model"), Ok(true));
        assert_eq!(matches("org/*", "organ/model"), Ok(false));
        assert_eq!(matches("org/*", "org"), Ok(false));
        assert_eq!(matches("org/model", "org/model-2"), Ok(false));
        assert_eq!(matches("org/mo*", "org/model"), Ok(true));
        for pattern in ["", "/", "a/b/*", "../*", "*/*", "**", "/*"] {
            assert!(Pattern::try_from(pattern.to_owned()).is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn files_of_tokens_are_taken_strictly() {
        assert!(Tokens::parse(br#"[{ "name": "all", "read": ["*"] }]"#).is_ok());
        for json in ["{}", r#"[{"reed": ["*"]}]"#, r#"[{}, {}]"#, r#"[{"blake3": "secret"}]"#, r#"[{"read": ["a b"]}]"#]
        {
            assert!(Tokens::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}

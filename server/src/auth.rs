//! Bearer tokens and their permissions. The server knows only the digests of tokens.

use std::path::Path;

use axum::http::HeaderMap;
use bitx_store::{Digest, ModelName};
use headers::authorization::Bearer;
use headers::{Authorization, HeaderMapExt};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::errors::{Code, Failure, Result};

/// The text before a token's digest in the digest that stands for the token.
const OWNER: &[u8] = b"owner of uploads to bitx: ";

/// The permissions of a token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The BLAKE3 digest of the token. `None` in the entry for requests without a token.
    blake3: Option<Digest>,
    /// The name of the holder in logs.
    #[serde(default)]
    name: String,
    #[serde(default)]
    read: Vec<Pattern>,
    #[serde(default)]
    write: Vec<Pattern>,
}

/// A pattern for names of models: a name, or the beginning of names with a star (`org/*`,
/// `org/mo*`, `*`).
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
        if valid {
            return Ok(Self { start: start.to_owned(), open });
        }
        Err(format!("not a pattern for names of models: {pattern:?}; use a name, or a beginning with `*`"))
    }
}

impl Pattern {
    fn matches(&self, name: &ModelName) -> bool {
        if self.open { name.as_str().starts_with(&self.start) } else { name.as_str() == self.start }
    }
}

/// The tokens of a server, with their permissions.
#[derive(Debug, Clone)]
pub struct Tokens(Vec<Entry>);

impl Default for Tokens {
    /// Permissions without tokens: everybody may read, nobody may write.
    fn default() -> Self {
        let all = Pattern { start: String::new(), open: true };
        Self(vec![Entry { blake3: None, name: String::new(), read: vec![all], write: Vec::new() }])
    }
}

impl Tokens {
    /// Reads tokens from a JSON file.
    ///
    /// # Errors
    /// A file that cannot be read; those of [`parse`](Self::parse).
    pub fn load(path: &Path) -> std::io::Result<Self> {
        Self::parse(&std::fs::read(path)?).map_err(std::io::Error::other)
    }

    /// Parses tokens from a JSON text.
    ///
    /// # Errors
    /// A message, if the text is not a list of tokens, or has two entries for the same token or
    /// without one.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let entries: Vec<Entry> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        if entries.iter().filter(|entry| entry.blake3.is_none()).count() > 1 {
            return Err("more than one entry has no `blake3`, and so applies to requests without a token".to_owned());
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = entries.iter().filter_map(|entry| entry.blake3).find(|digest| !seen.insert(*digest)) {
            return Err(format!("two entries have the same `blake3`, {twice}"));
        }
        Ok(Self(entries))
    }

    /// Returns the permissions of a request with these headers.
    ///
    /// # Errors
    /// `Unauthorized`, if the token is not listed, or if there is none and nothing is allowed
    /// without one.
    pub(crate) fn access(&self, headers: &HeaderMap) -> Result<Access> {
        let failed = |message: &str| Failure::new(Code::Unauthorized, message);
        let found = if headers.contains_key(axum::http::header::AUTHORIZATION) {
            let bearer = headers.typed_get::<Authorization<Bearer>>();
            let token = bearer.ok_or_else(|| failed("the Authorization header is not a bearer token"))?;
            self.holder(token.token()).ok_or_else(|| failed("the token is unknown"))?
        } else {
            let open = self.0.iter().position(|entry| entry.blake3.is_none());
            open.ok_or_else(|| failed("this server requires a token"))?
        };
        Ok(Access { entry: self.0[found].clone() })
    }

    /// The number of the token's entry. All entries are compared in constant time, so that the
    /// duration reveals nothing.
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

/// The permissions of one request.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    entry: Entry,
}

impl Access {
    /// A digest that stands for the token, and is the same on every server. Uploads belong to the
    /// token that began them.
    pub(crate) fn owner(&self) -> Digest {
        let token = self.entry.blake3.as_ref().map_or(&[][..], |digest| digest.as_bytes());
        Digest::of(&[OWNER, token].concat())
    }

    /// The name of the token's holder, for logs.
    pub(crate) fn name(&self) -> &str {
        &self.entry.name
    }

    /// Returns `true` if the request may read the model.
    pub(crate) fn may_read(&self, name: &ModelName) -> bool {
        self.entry.read.iter().any(|pattern| pattern.matches(name))
    }

    /// Checks that the request may write the model. The answer does not depend on the existence of
    /// the model.
    ///
    /// # Errors
    /// `Forbidden`; `Unauthorized` for a request without a token, since a token might allow it.
    pub(crate) fn check_write(&self, name: &ModelName) -> Result<()> {
        if self.entry.write.iter().any(|pattern| pattern.matches(name)) {
            return Ok(());
        }
        Err(match self.entry.blake3 {
            Some(_) => Failure::new(Code::Forbidden, format!("the token does not permit writing {name}")),
            None => Failure::new(Code::Unauthorized, format!("writing {name} requires a token")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_only_the_names_that_they_state() {
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
    fn lists_of_tokens_are_parsed_strictly() {
        assert!(Tokens::parse(br#"[{ "name": "all", "read": ["*"] }]"#).is_ok());
        for json in ["{}", r#"[{"reed": ["*"]}]"#, r#"[{}, {}]"#, r#"[{"blake3": "secret"}]"#, r#"[{"read": ["a b"]}]"#]
        {
            assert!(Tokens::parse(json.as_bytes()).is_err(), "{json}");
        }
        let twice = format!(r#"[{{"blake3": "{0}", "read": ["*"]}}, {{"blake3": "{0}"}}]"#, Digest::of(b"token"));
        assert!(Tokens::parse(twice.as_bytes()).unwrap_err().contains("same"));
    }
}

//! Parts of a store, into which a check or a collection can be split: each covers the keys whose
//! digests are in a range, and all parts together cover every key once.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::Error;
use crate::keys::{self, Kind};

/// A part of a store: the keys whose digests are in the range with the number `number`, of `count`
/// ranges of the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The number, from 1 to `count`.
    number: u32,
    count: u32,
}

impl Default for Part {
    /// The whole store.
    fn default() -> Self {
        Self { number: 1, count: 1 }
    }
}

impl Part {
    /// The part with this number, of so many.
    ///
    /// # Errors
    /// `Argument`, if there is no such part.
    pub fn new(number: u32, count: u32) -> Result<Self, Error> {
        match (number, count) {
            (_, 0) => Err(Error::Argument("a store has at least one part: use 1/1".to_owned())),
            (1.., _) if number <= count => Ok(Self { number, count }),
            _ => Err(Error::Argument(format!("there is no part {number}/{count}: use 1/{count} to {count}/{count}"))),
        }
    }

    /// Returns `true` for the first part, which also covers what has no digest.
    pub(crate) fn is_first(self) -> bool {
        self.number == 1
    }

    /// Returns `true` if this is the whole store.
    pub(crate) fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Returns `true` if the digest is in the range of the part.
    pub(crate) fn has(self, digest: &Digest) -> bool {
        self.has_position(position(digest))
    }

    /// Returns `true` if the part covers the object that collections may remove under this key: by
    /// the digest in the key, by that of a kept archive's target, or by the bits of a signature.
    pub(crate) fn covers(self, key: &str) -> bool {
        let object = || Kind::ALL.into_iter().find_map(|kind| kind.parse(key)).map(|id| position(&id.digest));
        let archive = || keys::archive(key).map(|(target, _)| position(&target));
        let signature = || keys::signed(key).map(|(bits, _)| bits);
        object().or_else(archive).or_else(signature).is_some_and(|position| self.has_position(position))
    }

    /// The folders that hold all keys of the part in the folder of a kind of objects.
    pub(crate) fn folders(self, folder: &str) -> Vec<String> {
        // Only the objects of these kinds are in folders by the first byte of their digests.
        let by_digest = [Kind::Pieces, Kind::Files, Kind::Sketches].iter().any(|kind| kind.folder() == folder);
        if self.is_whole() || !by_digest {
            return vec![folder.to_owned()];
        }
        let holds = |first: &u64| {
            let (least, most) = (first << 56, first << 56 | u64::MAX >> 8);
            self.of(least) <= self.number && self.of(most) >= self.number
        };
        (0..256).filter(holds).map(|first| format!("{folder}/{first:02x}")).collect()
    }

    fn has_position(self, position: u64) -> bool {
        self.of(position) == self.number
    }

    /// The number of the part that has this position.
    fn of(self, position: u64) -> u32 {
        // The product is below `count` times 2^64.
        (u128::from(position) * u128::from(self.count) >> 64) as u32 + 1
    }
}

/// The place of a digest among all digests, which its first bytes decide.
fn position(digest: &Digest) -> u64 {
    digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Argument(format!("not a part of a store: {text:?}; use K/N, such as 1/4 to 4/4"));
        let (number, count) = text.split_once('/').ok_or_else(wrong)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = |text: &str| text.parse().ok().filter(|_| digits(text));
        Self::new(parsed(number).ok_or_else(wrong)?, parsed(count).ok_or_else(wrong)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::ObjectId;

    #[test]
    fn every_key_is_in_one_part_and_in_a_folder_of_it() {
        for count in [1, 2, 3, 7, 256, 1000, u32::MAX] {
            for number in 0..200u32 {
                let digest = Digest::of(&number.to_le_bytes());
                let id = ObjectId { digest, epoch: number };
                let of = Part { number: 1, count }.of(position(&digest));
                let part = Part::new(of, count).unwrap();
                let others = [of - 1, of + 1].map(|other| Part::new(other, count));
                assert!(others.into_iter().flatten().all(|other| !other.has(&digest)));
                for key in [
                    Kind::Pieces.key(&id),
                    Kind::Files.key(&id),
                    format!("archives/{digest}.{}.bitx", Digest::of(b"base")),
                    keys::signature(position(&digest), &ObjectId { digest: Digest::of(b"file"), epoch: 0 }),
                ] {
                    assert!(part.has(&digest) && part.covers(&key), "{key} is not in {part}");
                }
                let key = Kind::Files.key(&id);
                let folders = part.folders(Kind::Files.folder());
                assert!(folders.iter().any(|folder| key.starts_with(&format!("{folder}/"))), "{key}: {folders:?}");
                assert!(!part.covers("models/a/b.json") && !part.covers("files/ab"));
            }
        }
        let all = |count: u32| (1..=count).flat_map(move |number| Part::new(number, count).unwrap().folders("files"));
        assert_eq!((all(1).count(), all(256).count()), (1, 256));
    }

    #[test]
    fn parts_are_parsed_and_those_that_are_not_there_named() {
        assert_eq!("3/4".parse::<Part>().unwrap(), Part { number: 3, count: 4 });
        assert_eq!(Part::new(3, 4).unwrap().to_string(), "3/4");
        for wrong in ["", "1", "/", "1/", "/1", "1/2/3", "-1/2", "+1/2", "1/ 2", "a/b", "1/99999999999"] {
            assert!(wrong.parse::<Part>().unwrap_err().to_string().contains("K/N"), "{wrong:?}");
        }
        for (wrong, choices) in [("0/3", "1/3 to 3/3"), ("4/3", "1/3 to 3/3"), ("1/0", "1/1")] {
            assert!(wrong.parse::<Part>().unwrap_err().to_string().contains(choices), "{wrong}");
        }
    }
}

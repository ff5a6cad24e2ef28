//! The keys of uploads, which are built and parsed only here.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::{Form, Transfer};
use crate::digest::Digest;

/// The folder of all uploads.
pub(crate) const UPLOADS: &str = "uploads";
/// The folder of the records of open uploads.
pub(super) const OPEN: &str = "uploads/open";
/// The folder of received bytes.
pub(super) const PARTS: &str = "uploads/parts";
/// The name of the form of files that are sent as they are.
const RAW: &str = "raw";
/// The name of the form of archives without a base.
const ALONE: &str = "alone";
/// The beginning of the name of a receipt.
const CHECKED: &str = "checked";

/// A record of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// The announced files.
    Plan,
    /// A sign of life.
    Beat,
    /// The answer to the request that has published the upload.
    Answer,
}

impl Record {
    const ALL: [Self; 3] = [Self::Plan, Self::Beat, Self::Answer];

    fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan.json",
            Self::Beat => "beat",
            Self::Answer => "answer.json",
        }
    }

    pub(super) fn key(self, id: Uuid) -> String {
        format!("{}/{}", records(id), self.name())
    }

    pub(super) fn parse(key: &str) -> Option<(Uuid, Self)> {
        let (id, name) = key.strip_prefix(OPEN)?.strip_prefix('/')?.split_once('/')?;
        let record = Self::ALL.into_iter().find(|record| record.name() == name)?;
        let id = id.parse().ok()?;
        (record.key(id) == key).then_some((id, record))
    }
}

/// Bytes that were received for a file of an upload. The key holds their place and digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) transfer: Transfer,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) digest: Digest,
}

/// The statement that the bytes of a transfer are the announced file, which has so many tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) transfer: Transfer,
    pub(super) tensors: usize,
}

/// An object that was received for a file of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    Part(Part),
    Receipt(Receipt),
}

impl Received {
    pub(super) fn key(&self, id: Uuid, file: usize) -> String {
        let folder = file_folder(id, file);
        match self {
            Self::Part(Part { transfer, start, end, digest }) => format!("{folder}/{transfer}/{start}.{end}.{digest}"),
            Self::Receipt(Receipt { transfer, tensors }) => format!("{folder}/{transfer}/{CHECKED}.{tensors}"),
        }
    }

    /// The upload and the number of the file that an object was received for, and the object.
    pub(super) fn parse(key: &str) -> Option<(Uuid, usize, Self)> {
        let rest = key.strip_prefix(PARTS)?.strip_prefix('/')?;
        let [id, file, transfer, name] = rest.split('/').collect::<Vec<_>>()[..] else { return None };
        let (id, file, transfer) = (id.parse().ok()?, file.parse().ok()?, transfer.parse().ok()?);
        let received = match name.split('.').collect::<Vec<_>>()[..] {
            [CHECKED, tensors] => Self::Receipt(Receipt { transfer, tensors: tensors.parse().ok()? }),
            [start, end, digest] => {
                let (start, end, digest) = (start.parse().ok()?, end.parse().ok()?, digest.parse().ok()?);
                Self::Part(Part { transfer, start, end, digest })
            }
            _ => return None,
        };
        let is_within = match &received {
            Self::Part(part) => part.start < part.end && part.end <= transfer.total,
            Self::Receipt(_) => true,
        };
        (is_within && received.key(id, file) == key).then_some((id, file, received))
    }
}

/// The folder of the records of an upload.
pub(super) fn records(id: Uuid) -> String {
    format!("{OPEN}/{id}")
}

/// The folder of everything that was received for an upload.
pub(super) fn folder(id: Uuid) -> String {
    format!("{PARTS}/{id}")
}

/// The folder of what was received for a file of an upload.
pub(super) fn file_folder(id: Uuid, file: usize) -> String {
    format!("{PARTS}/{id}/{file}")
}

/// Returns `true` if this is the key of an object of an upload.
pub(crate) fn is_own(key: &str) -> bool {
    Record::parse(key).is_some() || Received::parse(key).is_some()
}

/// Returns `true` if this is a folder of uploads.
pub(crate) fn is_folder(key: &str) -> bool {
    let is_id = |id: &str| id.parse::<Uuid>().is_ok_and(|parsed| parsed.to_string() == id);
    let is_number = |file: &str| file.parse::<usize>().is_ok_and(|number| number.to_string() == file);
    let is_transfer = |name: &str| name.parse::<Transfer>().is_ok();
    match key.split('/').collect::<Vec<_>>()[..] {
        [UPLOADS] | [UPLOADS, "open" | "parts"] => true,
        [UPLOADS, "open" | "parts", id] => is_id(id),
        [UPLOADS, "parts", id, file] => is_id(id) && is_number(file),
        [UPLOADS, "parts", id, file, transfer] => is_id(id) && is_number(file) && is_transfer(transfer),
        _ => false,
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.write_str(RAW),
            Self::Archive(None) => f.write_str(ALONE),
            Self::Archive(Some(base)) => base.fmt(f),
        }
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.form, self.total)
    }
}

impl FromStr for Transfer {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (form, total) = text.split_once('.').ok_or(())?;
        let form = match form {
            RAW => Form::Raw,
            ALONE => Form::Archive(None),
            base => Form::Archive(Some(base.parse().map_err(drop)?)),
        };
        let transfer = Self { form, total: total.parse().map_err(drop)? };
        if transfer.to_string() == text { Ok(transfer) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_built_and_parsed() {
        let (id, digest) = (Uuid::new_v4(), Digest::of(b"bytes"));
        for record in Record::ALL {
            let key = record.key(id);
            assert_eq!(Record::parse(&key), Some((id, record)));
            assert!(is_own(&key) && is_folder(&records(id)) && is_folder(OPEN));
        }
        for form in [Form::Raw, Form::Archive(None), Form::Archive(Some(digest))] {
            let transfer = Transfer { form, total: u64::MAX };
            for received in [
                Received::Part(Part { transfer, start: 0, end: u64::MAX, digest }),
                Received::Receipt(Receipt { transfer, tensors: 7 }),
            ] {
                let key = received.key(id, 12);
                assert_eq!(Received::parse(&key), Some((id, 12, received)));
                assert!(is_own(&key));
                let mut folder = key.as_str();
                while let Some((parent, _)) = folder.rsplit_once('/') {
                    assert!(is_folder(parent), "{parent}");
                    folder = parent;
                }
            }
        }
    }

    #[test]
    fn forged_keys_are_not_parsed() {
        let (id, digest) = (Uuid::new_v4(), Digest::of(b"bytes"));
        let simple = id.simple();
        for key in [
            format!("{PARTS}/{id}/0/raw.5/5.5.{digest}"),
            format!("{PARTS}/{id}/0/raw.5/4.6.{digest}"),
            format!("{PARTS}/{id}/0/raw.5/3.1.{digest}"),
            format!("{PARTS}/{id}/0/raw.5/+3.4.{digest}"),
            format!("{PARTS}/{id}/00/raw.5/3.4.{digest}"),
            format!("{PARTS}/{id}/0/raw.05/3.4.{digest}"),
            format!("{PARTS}/{simple}/0/raw.5/3.4.{digest}"),
            format!("{PARTS}/{id}/0/raw.5/3.99999999999999999999.{digest}"),
            format!("{PARTS}/{id}/0/raw.5/checked.-1"),
            format!("{PARTS}/{id}/0/cooked.5/checked.1"),
            format!("{PARTS}/{id}/../0/raw.5/checked.1"),
            format!("{OPEN}/{simple}/plan.json"),
            format!("{OPEN}/{id}/plan.json/plan.json"),
            format!("{OPEN}/{id}/plan"),
            format!("{UPLOADS}/{id}/beat"),
        ] {
            assert!(!is_own(&key) && !is_folder(&key), "{key}");
        }
    }
}

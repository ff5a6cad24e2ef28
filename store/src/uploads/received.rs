//! The bytes that were received for the files of an upload, in parts, each of which is an object.
//!
//! Two servers may receive bytes of one file at the same time, so parts may overlap.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use uuid::Uuid;

use super::key::{self, Part, Receipt};
use super::{Form, Transfer, Uploads};
use crate::backend::{Backend, Listed};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::gc::record;

/// The number of parts that are read at a time.
const AHEAD: usize = 2;

/// The objects that were received for a file of an upload.
#[derive(Debug, Clone)]
pub struct Received {
    id: Uuid,
    file: usize,
    /// The parts, ordered by their beginning.
    parts: Vec<Part>,
    receipt: Option<Receipt>,
}

impl Received {
    /// Nothing, as it was received for an empty file.
    pub fn none(id: Uuid, file: usize) -> Self {
        Self::new(id, file, [])
    }

    fn new(id: Uuid, file: usize, listed: impl IntoIterator<Item = (key::Received, u64)>) -> Self {
        let mut received = Self { id, file, parts: Vec::new(), receipt: None };
        for (object, bytes) in listed {
            match object {
                // A part of another length is damaged, and so counts as missing.
                key::Received::Part(part) if bytes == part.end - part.start => received.parts.push(part),
                key::Received::Part(_) => {}
                key::Received::Receipt(receipt) => received.receipt = Some(receipt),
            }
        }
        received.parts.sort_by_key(|part| (part.start, part.end));
        received
    }

    /// The transfer that was found to be the announced file, and the number of tensors in that.
    pub fn checked(&self) -> Option<(Transfer, usize)> {
        let whole = self.receipt.filter(|receipt| self.reaches(receipt.transfer) == receipt.transfer.total);
        whole.map(|receipt| (receipt.transfer, receipt.tensors))
    }

    /// The number of bytes of a transfer that are there without a gap.
    pub fn reaches(&self, transfer: Transfer) -> u64 {
        self.chain(transfer, 0).last().map_or(0, |part| part.end)
    }

    /// The number of bytes that are there without a gap, of the furthest transfer in this form.
    pub fn furthest(&self, form: Form) -> u64 {
        let mut transfers: Vec<Transfer> = self.parts.iter().map(|part| part.transfer).collect();
        transfers.retain(|transfer| transfer.form == form);
        transfers.dedup();
        transfers.into_iter().map(|transfer| self.reaches(transfer)).max().unwrap_or(0)
    }

    /// The parts of a transfer that together have all bytes from `start` on, as far as there is no
    /// gap.
    fn chain(&self, transfer: Transfer, start: u64) -> Vec<Part> {
        let (mut chain, mut at, mut furthest): (Vec<Part>, u64, Option<Part>) = (Vec::new(), start, None);
        let mut parts = self.parts.iter().filter(|part| part.transfer == transfer).peekable();
        loop {
            while let Some(part) = parts.next_if(|part| part.start <= at) {
                furthest = furthest.filter(|furthest| furthest.end >= part.end).or(Some(*part));
            }
            let Some(next) = furthest.filter(|furthest| furthest.end > at) else { return chain };
            chain.push(next);
            at = next.end;
        }
    }

    /// The parts that have the bytes in `range`, each with the range of its own bytes. Bytes behind a
    /// gap are left out.
    fn within(&self, transfer: Transfer, range: Range<u64>) -> Vec<(Part, Range<usize>)> {
        let mut at = range.start;
        let chain = self.chain(transfer, at).into_iter().take_while(|part| part.start < range.end);
        let wanted = chain.map(|part| {
            let (from, to) = (at.min(range.end), part.end.min(range.end));
            at = to;
            (part, (from - part.start) as usize..(to - part.start) as usize)
        });
        wanted.filter(|(_, own)| !own.is_empty()).collect()
    }
}

impl Uploads<'_> {
    /// Lists what was received for a file of an upload.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn received(&self, id: Uuid, file: usize) -> Result<Received> {
        let listed = self.store.backend().list(&key::file_folder(id, file)).await?;
        let own = listed.into_iter().filter_map(|listed| parsed(id, &listed)).filter(|(other, _)| *other == file);
        Ok(Received::new(id, file, own.map(|(_, object)| object)))
    }

    /// Lists what was received for an upload, by the numbers of its files.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn all_received(&self, id: Uuid) -> Result<BTreeMap<usize, Received>> {
        let mut files: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for listed in self.store.backend().list(&key::folder(id)).await? {
            if let Some((file, object)) = parsed(id, &listed) {
                files.entry(file).or_default().push(object);
            }
        }
        Ok(files.into_iter().map(|(file, objects)| (file, Received::new(id, file, objects))).collect())
    }

    /// Stores bytes of a transfer, of which the first has the offset `start`. Bytes that are stored
    /// already are no error.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn store_part(
        &self,
        id: Uuid,
        file: usize,
        transfer: Transfer,
        start: u64,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<()> {
        let part = Part { transfer, start, end: start + bytes.len() as u64, digest };
        let key = key::Received::Part(part).key(id, file);
        self.store.backend().create(&key, bytes).await.map(drop)
    }

    /// Notes that the bytes of a transfer are the announced file, which has so many tensors.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn store_receipt(&self, id: Uuid, file: usize, transfer: Transfer, tensors: usize) -> Result<()> {
        let key = key::Received::Receipt(Receipt { transfer, tensors }).key(id, file);
        self.store.backend().create(&key, "").await.map(drop)
    }

    /// Streams the bytes in `range` of a transfer, in order, up to the first gap. A part that is
    /// damaged is removed, so that its bytes can be sent again.
    ///
    /// # Errors
    /// Those of the storage; `Damaged`, if a part is damaged; `NotFound`, if one was removed.
    pub fn read(
        &self,
        received: &Received,
        transfer: Transfer,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let (backend, id, file) = (self.store.backend().clone(), received.id, received.file);
        let read = move |(part, own): (Part, Range<usize>)| {
            let backend = backend.clone();
            async move {
                let key = key::Received::Part(part).key(id, file);
                match read_part(&backend, &key, &part).await {
                    Ok(Some(bytes)) => Ok(bytes.slice(own)),
                    Ok(None) => Err(Error::NotFound(format!("part {key}"))),
                    Err(error) if error.is_of_object() => backend.delete(&key).await.and(Err(error)),
                    Err(error) => Err(error),
                }
            }
        };
        stream::iter(received.within(transfer, range)).map(read).buffered(AHEAD)
    }

    /// Removes what was received for a file, but for the parts of the transfer `but`.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn forget(&self, received: &Received, but: Option<Transfer>) -> Result<()> {
        let receipts = received.receipt.iter().map(|receipt| key::Received::Receipt(*receipt));
        let parts = received.parts.iter().filter(|part| Some(part.transfer) != but);
        let objects = receipts.chain(parts.map(|part| key::Received::Part(*part)));
        let keys = objects.map(|object| object.key(received.id, received.file)).collect::<Vec<_>>();
        record::remove(self.store.backend(), keys).await
    }
}

/// The number of the file that a listed object of the upload was received for, the object, and its
/// size.
fn parsed(id: Uuid, listed: &Listed) -> Option<(usize, (key::Received, u64))> {
    let (other, file, object) = key::Received::parse(&listed.key)?;
    (other == id).then_some((file, (object, listed.bytes)))
}

/// The bytes of a part, or `None` if it is gone.
///
/// # Errors
/// `Damaged`.
pub(super) async fn read_part(backend: &Backend, key: &str, part: &Part) -> Result<Option<Bytes>> {
    let Some(bytes) = backend.get(key).await? else { return Ok(None) };
    if bytes.len() as u64 != part.end - part.start || Digest::of(&bytes) != part.digest {
        return Err(Error::damaged(key, "the received bytes do not match their length and digest"));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSFER: Transfer = Transfer { form: Form::Raw, total: 100 };

    fn received(parts: &[(u64, u64)]) -> Received {
        let part = |&(start, end)| Part { transfer: TRANSFER, start, end, digest: Digest::of(&[]) };
        let parts = parts.iter().map(part).map(|part| (key::Received::Part(part), part.end - part.start));
        Received::new(Uuid::nil(), 0, parts)
    }

    #[test]
    fn parts_may_overlap_in_any_way_and_gaps_end_them() {
        for (parts, reaches) in [
            (&[][..], 0),
            (&[(1, 100)], 0),
            (&[(0, 10), (10, 30), (31, 40)], 30),
            (&[(20, 50), (0, 30), (0, 10), (5, 8)], 50),
            (&[(0, 10), (0, 60), (10, 20), (20, 30), (60, 100)], 100),
            (&[(0, 5), (3, 4), (4, 9), (4, 7), (9, 9 + 1), (12, 100)], 10),
        ] {
            let received = received(parts);
            assert_eq!(received.reaches(TRANSFER), reaches, "{parts:?}");
            assert_eq!(received.furthest(Form::Raw), reaches, "{parts:?}");
            assert_eq!(received.furthest(Form::Archive(None)), 0);
            // Each range is read once and in order.
            for start in 0..reaches {
                for end in start..=reaches {
                    let mut at = start;
                    for (part, own) in received.within(TRANSFER, start..end) {
                        assert_eq!(part.start + own.start as u64, at);
                        at = part.start + own.end as u64;
                        assert!(at <= part.end);
                    }
                    assert_eq!(at, end, "{parts:?} {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn parts_of_another_length_are_missing() {
        let part = Part { transfer: TRANSFER, start: 0, end: 10, digest: Digest::of(&[]) };
        for (bytes, reaches) in [(9, 0), (10, 10), (11, 0)] {
            let received = Received::new(Uuid::nil(), 0, [(key::Received::Part(part), bytes)]);
            assert_eq!(received.reaches(TRANSFER), reaches);
        }
    }
}

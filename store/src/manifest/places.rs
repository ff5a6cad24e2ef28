//! The places of short items in the packs of a file.

use std::ops::Range;

use super::{FileManifest, Item};

/// The place of an item in a pack.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) item: &'a Item,
    /// The offset of the item in the file, in bytes.
    pub(crate) offset: u64,
    /// The number of the pack.
    pub(crate) pack: usize,
    /// The range of the item's bytes in the pack.
    pub(crate) range: Range<u64>,
}

/// An iterator over the places of a file. It ends early if an item does not fit into a pack.
#[derive(Debug)]
pub(super) struct Places<'a> {
    file: &'a FileManifest,
    /// The number of the next item, and its offset in the file.
    item: usize,
    offset: u64,
    /// The place of the next item: the number of its pack, and its offset in the pack.
    pack: usize,
    at: u64,
}

impl<'a> Places<'a> {
    pub(super) fn of(file: &'a FileManifest) -> Self {
        Self { file, item: 0, offset: 0, pack: 0, at: 0 }
    }

    /// Returns `true` if the items without pieces fill the packs, each in one of them.
    pub(super) fn fit(file: &'a FileManifest) -> bool {
        let mut places = Self::of(file);
        let placed = places.by_ref().count();
        let is_full = |pack: &super::PieceRef| places.at == pack.length;
        let ended = match file.packs.split_last() {
            Some((last, _)) => places.pack + 1 == file.packs.len() && is_full(last),
            None => true,
        };
        ended && placed == file.items.iter().filter(|item| item.is_packed()).count()
    }
}

impl<'a> Iterator for Places<'a> {
    type Item = Place<'a>;

    fn next(&mut self) -> Option<Place<'a>> {
        loop {
            let item = self.file.items.get(self.item)?;
            let (offset, length) = (self.offset, item.length());
            if item.is_packed() {
                if self.at == self.file.packs.get(self.pack)?.length {
                    (self.pack, self.at) = (self.pack + 1, 0);
                }
                let end = self.at.checked_add(length)?;
                let pack = self.file.packs.get(self.pack)?;
                if end > pack.length {
                    return None;
                }
                let range = self.at..end;
                (self.item, self.offset, self.at) = (self.item + 1, offset + length, end);
                return Some(Place { item, offset, pack: self.pack, range });
            }
            (self.item, self.offset) = (self.item + 1, offset.saturating_add(length));
        }
    }
}

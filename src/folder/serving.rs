//! The choice of the base files that a file of a model is compressed against.

use std::collections::BTreeSet;

use crate::adapter::Merge;
use crate::layout::{Kind, Layout};
use crate::plan::BaseSet;

/// The end of the name of an index, which names the shards of a model.
pub const INDEX: &str = ".index.json";

/// The length in bytes from which a tensor must have a counterpart by name.
const LEAST: u64 = 256;

/// The number of the base file at `path`, or else the only one of its name. A base of one file is
/// at every path. An index has no base: that of the base changes when the base is sharded in
/// another way.
pub fn counterpart(base: &[&str], path: &str) -> Option<usize> {
    if path.ends_with(INDEX) {
        return None;
    }
    if base.len() == 1 {
        return Some(0);
    }
    let name = |path: &str| path.rfind('/').map_or(0, |at| at + 1);
    base.iter().position(|file| *file == path).or_else(|| {
        let mut named = (0..base.len()).filter(|&i| base[i][name(base[i])..] == path[name(path)..]);
        named.next().filter(|_| named.next().is_none())
    })
}

/// The files of a base that have tensors.
#[derive(Debug)]
pub struct Models {
    numbers: Vec<usize>,
    adapters: Vec<usize>,
    set: BaseSet,
}

impl Models {
    /// Takes the layouts of the base's files in their order. Files without tensors are left out.
    pub fn new(layouts: impl IntoIterator<Item = Layout>) -> Self {
        let (mut numbers, mut adapters, mut models) = (Vec::new(), Vec::new(), Vec::new());
        for (number, layout) in layouts.into_iter().enumerate() {
            if layout.kind == Kind::Bytes {
                continue;
            }
            if Merge::is_adapter(&layout) {
                adapters.push(number);
            }
            numbers.push(number);
            models.push(layout);
        }
        Self { numbers, adapters, set: BaseSet::new(models) }
    }

    /// The numbers of the files.
    pub fn numbers(&self) -> &[usize] {
        &self.numbers
    }

    /// The numbers of the base files that a file with this layout is compressed against: those that
    /// have all its large tensors by name and type, and the adapters, or else all files with
    /// tensors. The file `same` comes first if it is among them. It serves alone for a file without
    /// tensors, and for one whose tensors are guessed if there is one.
    pub fn serving(&self, layout: &Layout, same: Option<usize>) -> Vec<usize> {
        if layout.kind == Kind::Bytes || layout.is_guessed && same.is_some() {
            return same.into_iter().collect();
        }
        let mut numbers = self.having(layout);
        if let Some(at) = numbers.iter().position(|number| Some(*number) == same) {
            numbers[..=at].rotate_right(1);
        }
        numbers
    }

    fn having(&self, layout: &Layout) -> Vec<usize> {
        let mut found = BTreeSet::new();
        for region in layout.regions.iter().filter(|region| region.length >= LEAST) {
            match self.set.partner(region) {
                Some(place) => found.insert(self.numbers[place.base]),
                None => return self.numbers.clone(),
            };
        }
        if found.is_empty() {
            return self.numbers.clone();
        }
        // An adapter may have been merged into the target.
        found.extend(&self.adapters);
        found.into_iter().collect()
    }
}

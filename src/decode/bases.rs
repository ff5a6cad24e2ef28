//! The base files that a host gives, and those that an archive was made against: a model may have
//! been sharded in another way since, or its files may come in another order.

use crate::archive::v2::{BaseFile, Directory};
use crate::layout::Kind;
use crate::plan::Recorded;

/// The kind to read each of the given files with: that of the recorded file with the same length,
/// or with the same place if no length is the same.
pub(super) fn kinds(recorded: &[BaseFile], lengths: &[u64]) -> Vec<Kind> {
    let kind = |(i, &length): (usize, &u64)| {
        let own = recorded.get(i).filter(|file| file.length == length);
        let same = own.or_else(|| recorded.iter().find(|file| file.length == length));
        same.or_else(|| recorded.get(i)).or_else(|| recorded.first()).map_or(Kind::Bytes, |file| file.kind)
    };
    lengths.iter().enumerate().map(kind).collect()
}

/// The recorded files, each with the given file of the same length, or of the same place if no
/// length is the same. A given file is taken once.
pub(super) fn recorded(directory: &Directory, lengths: &[u64]) -> Vec<Recorded> {
    let files = directory.head.bases.iter().zip(&directory.index.bases);
    let mut taken = vec![false; lengths.len()];
    let mut recorded = Vec::new();
    for (i, (file, &digest)) in files.enumerate() {
        let free = |given: &usize| lengths.get(*given) == Some(&file.length) && !taken[*given];
        let given = Some(i).filter(free).or_else(|| (0..lengths.len()).find(free)).unwrap_or(i);
        if let Some(taken) = taken.get_mut(given) {
            *taken = true;
        }
        recorded.push(Recorded { length: file.length, digest, given });
    }
    recorded
}

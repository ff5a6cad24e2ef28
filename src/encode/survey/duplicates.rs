//! Regions of the target that equal an earlier one.

use std::collections::{HashMap, VecDeque};

use super::STEP;
use crate::io::{Read, Source};
use crate::layout::Layout;

type Digest = [u8; 32];

/// The digests of the regions that may equal another one.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    /// The regions whose starts were read, and the digests of the starts.
    starts: Vec<(usize, Digest)>,
    /// The region that each queued read belongs to, and whether it is the region's last one.
    queue: VecDeque<(usize, bool)>,
    hasher: blake3::Hasher,
    /// The regions that were read as a whole, in order, and their digests.
    digests: Vec<(usize, Digest)>,
}

impl Duplicates {
    /// Takes the start of a region.
    pub(super) fn start(&mut self, region: usize, bytes: &[u8]) {
        self.starts.push((region, *blake3::hash(bytes).as_bytes()));
    }

    /// Plans to read the regions whose start and length equal those of another one.
    pub(super) fn reads(&mut self, target: &Layout) -> Vec<Read> {
        let mut alike: HashMap<(u64, Digest), Vec<usize>> = HashMap::new();
        for &(region, digest) in &self.starts {
            alike.entry((target.regions[region].length, digest)).or_default().push(region);
        }
        let mut wanted: Vec<usize> = alike.into_values().filter(|group| group.len() > 1).flatten().collect();
        wanted.sort_unstable();
        let mut reads = Vec::new();
        for region in wanted {
            let range = target.regions[region].range();
            for start in range.clone().step_by(STEP as usize) {
                let end = (start + STEP).min(range.end);
                reads.push(Read::new(Source::Target, start..end));
                self.queue.push_back((region, end == range.end));
            }
        }
        reads
    }

    /// Takes the bytes of the next read.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Some((region, last)) = self.queue.pop_front() else { return };
        self.hasher.update(bytes);
        if last {
            self.digests.push((region, *self.hasher.finalize().as_bytes()));
            self.hasher.reset();
        }
    }

    /// Returns the earlier region that each of `count` regions equals.
    pub(super) fn finish(self, count: usize) -> Vec<Option<usize>> {
        let mut earlier = vec![None; count];
        let mut first_of: HashMap<Digest, usize> = HashMap::new();
        for (region, digest) in self.digests {
            match first_of.get(&digest) {
                Some(&first) => earlier[region] = Some(first),
                None => drop(first_of.insert(digest, region)),
            }
        }
        earlier
    }
}

//! The survey of the inputs before a v2 archive is planned: it reads the bytes between regions, and
//! the content of regions that may equal others.
//!
//! Only regions that can match another one are read: first a sample of each, and then all of those
//! whose samples are equal.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use crate::archive::v2::longest_span;
use crate::io::{Read, Source};
use crate::layout::{Dtype, Layout, Region};
use crate::plan::{BaseSet, Place};

/// Bytes of a region's sample.
const SAMPLE: u64 = 1024;

/// Minimum length in bytes of a region to match; shorter ones are not worth a read.
const LEAST: u64 = 256;

/// Maximum number of bytes of a read.
const STEP: u64 = 8 << 20;

/// The results of the survey.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) target: Layout,
    pub(super) bases: BaseSet,
    /// The spans of the target that the head can hold, by their offsets.
    pub(super) spans: HashMap<u64, Vec<u8>>,
    /// The base region of each region of the target, if it has one.
    pub(super) partners: Vec<Option<Place>>,
    /// The earlier region of the target that each region equals, if there is one.
    pub(super) earlier: Vec<Option<usize>>,
}

/// A region of any input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Target(usize),
    /// Index of the base file, and index of the region in it.
    Base(usize, usize),
}

/// The purpose of one read.
#[derive(Debug)]
enum Probe {
    Span(u64),
    Sample(Subject),
    /// A section of a region that is hashed; `last` marks the region's last one.
    Digest {
        subject: Subject,
        last: bool,
    },
}

type Digest = [u8; 32];

/// The state of the survey: its findings so far, and the reads that are queued.
#[derive(Debug)]
pub(super) struct Survey {
    findings: Findings,
    queue: VecDeque<(Read, Probe)>,
    samples: Vec<(Subject, Digest)>,
    digests: HashMap<Subject, Digest>,
    hasher: blake3::Hasher,
    sampled: bool,
}

impl Survey {
    pub(super) fn new(target: Layout, bases: BaseSet) -> Self {
        let partners: Vec<_> = target.regions.iter().map(|region| bases.partner(region)).collect();
        let earlier = vec![None; partners.len()];
        let findings = Findings { target, bases, spans: HashMap::new(), partners, earlier };
        let mut survey = Self {
            findings,
            queue: VecDeque::new(),
            samples: Vec::new(),
            digests: HashMap::new(),
            hasher: blake3::Hasher::new(),
            sampled: false,
        };
        survey.queue_spans();
        survey.queue_samples();
        survey.advance();
        survey
    }

    pub(super) fn wants(&self) -> Option<Read> {
        self.queue.front().map(|(read, _)| *read)
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Some((_, probe)) = self.queue.pop_front() else { return };
        match probe {
            Probe::Span(offset) => drop(self.findings.spans.insert(offset, bytes.to_vec())),
            Probe::Sample(subject) => self.samples.push((subject, *blake3::hash(bytes).as_bytes())),
            Probe::Digest { subject, last } => {
                self.hasher.update(bytes);
                if last {
                    self.digests.insert(subject, *self.hasher.finalize().as_bytes());
                    self.hasher.reset();
                }
            }
        }
        self.advance();
    }

    pub(super) fn finish(self) -> Findings {
        self.findings
    }

    /// Moves on if the queue is empty: from samples to digests, and then to matching.
    fn advance(&mut self) {
        if !self.queue.is_empty() {
            return;
        }
        if !self.sampled {
            self.sampled = true;
            self.queue_digests();
        }
        if self.queue.is_empty() {
            self.match_digests();
        }
    }

    fn queue_spans(&mut self) {
        for span in spans(&self.findings.target) {
            if span.end - span.start <= longest_span(span.start) {
                self.queue.push_back((Read::new(Source::Target, span.clone()), Probe::Span(span.start)));
            }
        }
    }

    fn region(&self, subject: Subject) -> (Source, &Region) {
        match subject {
            Subject::Target(region) => (Source::Target, &self.findings.target.regions[region]),
            Subject::Base(base, region) => (Source::Base(base), self.findings.bases.region(Place { base, region })),
        }
    }

    /// Queues samples of target regions that share dtype and length with another one or have no
    /// partner, and of base regions that an unpaired target region may equal.
    fn queue_samples(&mut self) {
        let mut kinds: HashMap<(Dtype, u64), (usize, bool)> = HashMap::new();
        for (region, partner) in self.findings.target.regions.iter().zip(&self.findings.partners) {
            let kind = kinds.entry((region.dtype, region.length)).or_default();
            *kind = (kind.0 + 1, kind.1 || partner.is_none());
        }
        let mut subjects = Vec::new();
        for (i, region) in self.findings.target.regions.iter().enumerate() {
            if kinds.get(&(region.dtype, region.length)).is_some_and(|&(count, unpaired)| count > 1 || unpaired) {
                subjects.push(Subject::Target(i));
            }
        }
        for (base, layout) in self.findings.bases.layouts().iter().enumerate() {
            for (i, region) in layout.regions.iter().enumerate() {
                if kinds.get(&(region.dtype, region.length)).is_some_and(|&(_, unpaired)| unpaired) {
                    subjects.push(Subject::Base(base, i));
                }
            }
        }
        for subject in subjects {
            let (source, region) = self.region(subject);
            if region.length >= LEAST {
                let sample = region.offset..region.offset + region.length.min(SAMPLE);
                self.queue.push_back((Read::new(source, sample), Probe::Sample(subject)));
            }
        }
    }

    /// Queues all bytes of the regions whose sample, dtype and length equal those of another
    /// region.
    fn queue_digests(&mut self) {
        let mut alike: HashMap<(Dtype, u64, Digest), Vec<Subject>> = HashMap::new();
        for &(subject, digest) in &self.samples {
            let region = self.region(subject).1;
            alike.entry((region.dtype, region.length, digest)).or_default().push(subject);
        }
        let mut wanted: Vec<Subject> = alike.into_values().filter(|group| group.len() > 1).flatten().collect();
        wanted.sort_by_cached_key(|&subject| {
            let (source, region) = self.region(subject);
            (source, region.offset)
        });
        for subject in wanted {
            let (source, Range { mut start, end }) = (self.region(subject).0, self.region(subject).1.range());
            while start < end {
                let stop = (start + STEP).min(end);
                let probe = Probe::Digest { subject, last: stop == end };
                self.queue.push_back((Read::new(source, start..stop), probe));
                start = stop;
            }
        }
    }

    fn match_digests(&mut self) {
        let mut first_of: HashMap<(Digest, u64), usize> = HashMap::new();
        let mut base_of: HashMap<(Digest, Dtype, u64), Place> = HashMap::new();
        for (base, layout) in self.findings.bases.layouts().iter().enumerate() {
            for (region, found) in layout.regions.iter().enumerate() {
                if let Some(&digest) = self.digests.get(&Subject::Base(base, region)) {
                    base_of.entry((digest, found.dtype, found.length)).or_insert(Place { base, region });
                }
            }
        }
        for (i, region) in self.findings.target.regions.iter().enumerate() {
            let Some(&digest) = self.digests.get(&Subject::Target(i)) else { continue };
            match first_of.get(&(digest, region.length)) {
                Some(&earlier) => self.findings.earlier[i] = Some(earlier),
                None => drop(first_of.insert((digest, region.length), i)),
            }
            if self.findings.partners[i].is_none() {
                self.findings.partners[i] = base_of.get(&(digest, region.dtype, region.length)).copied();
            }
        }
    }
}

/// The spans of a file that no region covers: its header, its holes and its trailing bytes.
pub(super) fn spans(layout: &Layout) -> Vec<Range<u64>> {
    let header = 0..layout.header_length;
    let trailing = layout.data_end()..layout.file_length;
    let all = std::iter::once(header).chain(layout.holes()).chain(std::iter::once(trailing));
    all.filter(|span| !span.is_empty()).collect()
}

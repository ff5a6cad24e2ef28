//! Regions that consist of several others: fused matrices, stacked experts, grown vocabularies; and
//! regions that are parts of one.
//!
//! A chain begins at the first weight of a region, the *whole*. It looks among the regions of the
//! other side for the one whose start is alike, its *part*. The chain goes on behind the part,
//! until no part is found. The last part may be longer than what is left of the whole: then another
//! whole may begin with the rest of it, as the partitions of an optimizer do.
//!
//! A part whose start tells nothing, such as a bias that fine-tuning changed, is *assumed*: the
//! region that follows the last part in its file comes next, if a part is found behind it.

use std::collections::HashMap;

use super::signature::Likeness;
use super::{Class, LEAST_WEIGHTS as LEAST, Models, Signature, Subject, columns, weights};
use crate::layout::Kind;
use crate::plan::Place;

/// Comparisons of signatures, at most, in all chains.
const COMPARISONS: usize = 1 << 26;

/// The share of a whole, as one part of so many, that may have no part while the others are right.
const REST: u64 = 8;

/// Parts that may be assumed one after the other.
const ASSUMED: usize = 8;

/// Weights of a part, which a whole has from the weight `at` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) at: u64,
    pub(crate) part: Subject,
    /// The first weight of the part, and the number of weights.
    pub(crate) from: u64,
    pub(crate) count: u64,
}

/// The chains of all regions that have no partner.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    chains: Vec<Chain>,
    /// The possible parts of wholes of the target, and of the base.
    parts: [Vec<Subject>; 2],
    compared: usize,
    /// The parts that were cut by the end of a whole, and the weight behind the cut.
    cuts: Vec<(Subject, u64)>,
    /// The number of cuts that were wanted.
    asked: usize,
}

/// The parts of one region, as far as they are found.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) whole: Subject,
    /// The parts, in order.
    pub(crate) parts: Vec<Link>,
    /// The weight behind the last part.
    at: u64,
    /// The number of the last parts that are assumed.
    assumed: usize,
    ended: bool,
}

impl Chains {
    /// Creates the chains of the regions of the target without a partner, and of the base regions
    /// that such a region may be a part of.
    pub(crate) fn new(models: &Models, pairs: &[Option<Place>]) -> Self {
        let alone = |target: &Subject| matches!(target, Subject::Target(i) if pairs[*i].is_none());
        let large = |subject: &Subject| models.measure(*subject).1 >= LEAST;
        let targets: Vec<Subject> = models.targets().filter(alone).filter(large).collect();
        let bases: Vec<Subject> = models.base_regions().filter(large).collect();
        // Bytes of no tensor are not made of words: they resemble those of the base.
        if targets.is_empty() || models.target.kind == Kind::Bytes {
            return Self::default();
        }
        let chain = |&whole: &Subject| Chain { whole, parts: Vec::new(), at: 0, assumed: 0, ended: false };
        let chains = targets.iter().chain(&bases).map(chain).collect();
        let mut chains = Self { chains, parts: [bases, targets], ..Self::default() };
        for i in 0..chains.chains.len() {
            let start = models.start(chains.chains[i].whole);
            chains.advance(models, i, start);
        }
        chains
    }

    /// The chains that go on, each with the region and the weight whose signature it needs next.
    pub(crate) fn wanted(&self) -> Vec<(usize, Subject, u64)> {
        let open = self.chains.iter().enumerate().filter(|(_, chain)| !chain.ended);
        open.map(|(i, chain)| (i, chain.whole, chain.at)).collect()
    }

    /// The region whose parts a chain looks for.
    pub(crate) fn whole(&self, chain: usize) -> Subject {
        self.chains[chain].whole
    }

    /// Takes the signature that a chain needs next.
    pub(crate) fn advance(&mut self, models: &Models, chain: usize, signature: Signature) {
        let part = self.find(models, chain, signature);
        let chain = &mut self.chains[chain];
        match part {
            Some(part) => {
                chain.assumed = 0;
                self.cuts.extend(chain.add(models, part, 0));
            }
            None => chain.assume(models),
        }
    }

    /// The cuts whose rest was not wanted yet, with their parts and places.
    pub(crate) fn wanted_rests(&mut self) -> Vec<(usize, Subject, u64)> {
        let first = std::mem::replace(&mut self.asked, self.cuts.len());
        (first..).zip(&self.cuts[first..]).map(|(cut, &(part, at))| (cut, part, at)).collect()
    }

    /// Takes the signature of the rest behind a cut: the chain whose whole begins like it begins
    /// with it.
    pub(crate) fn rest(&mut self, models: &Models, cut: usize, signature: Signature) {
        let (part, from) = self.cuts[cut];
        let is_base = matches!(part, Subject::Base(_));
        self.compared += self.chains.len();
        if self.compared > COMPARISONS {
            return;
        }
        let share = |chain: &Chain| {
            let other = matches!(chain.whole, Subject::Target(_)) == is_base;
            let open = other && chain.ended && chain.parts.is_empty();
            let fits = || models.measure(chain.whole).0 == models.measure(part).0 && models.may_pair(chain.whole, part);
            let likeness = models.start(chain.whole).likeness(&signature);
            likeness.related_share().filter(|_| open && fits())
        };
        let found = self.chains.iter_mut().filter_map(|chain| Some((share(chain)?, chain)));
        if let Some((_, chain)) = found.min_by(|a, b| a.0.total_cmp(&b.0)) {
            let cut = chain.add(models, part, from);
            self.cuts.extend(cut);
        }
    }

    /// Finds the part whose start is like the signature, and that fits into the whole.
    fn find(&mut self, models: &Models, chain: usize, signature: Signature) -> Option<Subject> {
        let chain = &self.chains[chain];
        let (class, units) = models.measure(chain.whole);
        let parts = &self.parts[usize::from(matches!(chain.whole, Subject::Base(_)))];
        self.compared += parts.len();
        if self.compared > COMPARISONS {
            return None;
        }
        let longest = if chain.at > 0 { u64::MAX } else { units };
        let mut found: Option<(f32, Subject)> = None;
        for &part in parts {
            let (other, count): (Class, u64) = models.measure(part);
            if other != class || count > longest || !models.may_pair(chain.whole, part) {
                continue;
            }
            let likeness = models.start(part).likeness(&signature);
            if let (Likeness::Share(share), true) = (likeness, likeness.is_related())
                && found.is_none_or(|(least, _)| share < least)
            {
                found = Some((share, part));
            }
        }
        found.map(|(_, part)| part)
    }

    /// The parts of all regions that have chains, in order, as far as they are found.
    pub(crate) fn parts(&self) -> HashMap<Subject, &[Link]> {
        self.chains.iter().map(|chain| (chain.whole, &*chain.parts)).collect()
    }

    /// The chains that found a part. Those whose parts are much less than their whole may be rows
    /// of several matrices, mixed: only the first of them were compared.
    pub(crate) fn finish(self) -> impl Iterator<Item = Chain> {
        self.chains.into_iter().filter(|chain| !chain.parts.is_empty())
    }
}

impl Chain {
    /// Adds a part from its weight `from` on. Returns the place at which the end of the whole cuts
    /// it.
    fn add(&mut self, models: &Models, part: Subject, from: u64) -> Option<(Subject, u64)> {
        let room = models.measure(self.whole).1 - self.at;
        let left = models.measure(part).1 - from;
        let count = left.min(room);
        self.parts.push(Link { at: self.at, part, from, count });
        self.at += count;
        self.ended = room < count + LEAST;
        (count + LEAST <= left).then_some((part, from + count))
    }

    /// Adds the region behind the last part in its file, and else ends the chain.
    fn assume(&mut self, models: &Models) {
        let next = self.parts.last().filter(|_| self.assumed < ASSUMED).and_then(|link| {
            let next = models.next(link.part).filter(|_| link.from + link.count == models.measure(link.part).1)?;
            let (class, count) = models.measure(next);
            let fits = class == models.measure(self.whole).0 && count <= models.measure(self.whole).1 - self.at;
            (fits && count > 0 && models.may_pair(self.whole, next)).then_some(next)
        });
        match next {
            Some(next) => {
                self.assumed += 1;
                self.add(models, next, 0);
                if self.ended {
                    self.end();
                }
            }
            None => self.end(),
        }
    }

    /// Ends the chain behind the last part that is not assumed.
    fn end(&mut self) {
        self.parts.truncate(self.parts.len() - self.assumed);
        self.at = self.parts.last().map_or(0, |link| link.at + link.count);
        (self.assumed, self.ended) = (0, true);
    }

    /// Returns true if the parts are much less than their whole.
    pub(crate) fn is_partial(&self, models: &Models) -> bool {
        let weights = models.measure(self.whole).1;
        weights - self.at > weights / REST
    }

    /// Returns true if the whole is a matrix that has more rows than its only part, or fewer.
    pub(crate) fn is_resized(&self, models: &Models) -> bool {
        let [Link { part, from: 0, .. }] = self.parts[..] else { return false };
        let [whole, part] = [self.whole, part].map(|subject| models.region(subject).1);
        columns(whole).is_some() && columns(whole) == columns(part) && weights(whole) != weights(part)
    }
}

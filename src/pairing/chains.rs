//! Regions that consist of several others: fused matrices, stacked experts, grown vocabularies; and
//! regions that are parts of one.
//!
//! A chain begins at the first weight of a region, the *whole*. It looks among the regions of the
//! other side for the one whose start is alike, its *part*. The chain goes on behind the part,
//! until no part is found.

use super::signature::Likeness;
use super::{Class, Models, Signature, Subject};
use crate::layout::Kind;
use crate::plan::Place;

/// Comparisons of signatures, at most, in all chains.
const COMPARISONS: usize = 1 << 26;

/// Minimum number of weights of a whole and of its parts.
const LEAST: u64 = 64;

/// The share of a whole, as one part of so many, that may have no part while the others are right.
const REST: u64 = 8;

/// The chains of all regions that have no partner.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    chains: Vec<Chain>,
    /// The possible parts of wholes of the target, and of the base.
    parts: [Vec<Subject>; 2],
    compared: usize,
}

/// The parts of one region, as far as they are found.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) whole: Subject,
    /// The parts and the weights at which they begin, in order.
    pub(crate) parts: Vec<(u64, Subject)>,
    /// The weight behind the last part.
    at: u64,
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
        let chain = |&whole: &Subject| Chain { whole, parts: Vec::new(), at: 0, ended: false };
        let chains = targets.iter().chain(&bases).map(chain).collect();
        let mut chains = Self { chains, parts: [bases, targets], compared: 0 };
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
        let (_, units) = models.measure(chain.whole);
        if let Some(part) = part {
            chain.parts.push((chain.at, part));
            chain.at = chain.at.saturating_add(models.measure(part).1);
        }
        chain.ended = part.is_none() || chain.at + LEAST > units;
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
        let mut found: Option<(f32, Subject)> = None;
        for &part in parts {
            let (other, count): (Class, u64) = models.measure(part);
            if other != class || count > units - chain.at || !models.may_pair(chain.whole, part) {
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

    /// The chains that found a part. Those whose parts are much less than their whole may be rows
    /// of several matrices, mixed: only the first of them were compared.
    pub(crate) fn finish(self) -> impl Iterator<Item = Chain> {
        self.chains.into_iter().filter(|chain| !chain.parts.is_empty())
    }
}

impl Chain {
    /// Returns true if the parts are much less than their whole.
    pub(crate) fn is_partial(&self, models: &Models) -> bool {
        let weights = models.measure(self.whole).1;
        weights - self.at > weights / REST
    }
}

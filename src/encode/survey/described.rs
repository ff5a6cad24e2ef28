//! Floats of a target of no known layout, described by the tensors of the base that they are.

use std::collections::HashSet;

use super::Survey;
use crate::layout::{Layout, Region};
use crate::pairing::{Chains, Link, Models, Subject, weights};
use crate::plan::Place;

impl Survey {
    /// Gives regions that were guessed the names and shapes of their counterparts in the base, and
    /// begins anew with these. Returns false if there is nothing to describe, or it was done.
    pub(super) fn describe(&mut self) -> bool {
        if self.is_described || !self.models.target.is_guessed {
            return false;
        }
        let regions = describe(&self.models, &self.pairs, &self.chains);
        let target = Layout { regions, ..self.models.target.clone() };
        if target == self.models.target {
            return false;
        }
        let (bases, adapters) = (std::mem::take(&mut self.models.bases), std::mem::take(&mut self.adapters));
        *self = Self::of_layout(target, bases, adapters, true);
        true
    }
}

/// The target's regions, those with counterparts as these describe them.
fn describe(models: &Models, pairs: &[Option<Place>], chains: &Chains) -> Vec<Region> {
    let (chained, mut found, mut names) = (chains.parts(), Vec::new(), HashSet::new());
    for (i, region) in models.target.regions.iter().enumerate() {
        let pair = pairs[i].map(|place| Link { at: 0, part: Subject::Base(place), from: 0, count: weights(region) });
        let links = match &pair {
            Some(pair) => std::slice::from_ref(pair),
            None => chained.get(&Subject::Target(i)).copied().unwrap_or_default(),
        };
        found.extend(parts(models, region, links, &mut names));
    }
    found
}

/// The parts of a region that `links` describe, and the rest behind them. A region whose
/// counterparts are guessed as well stays whole.
fn parts(models: &Models, region: &Region, links: &[Link], names: &mut HashSet<String>) -> Vec<Region> {
    let is_guessed = |link: &Link| match link.part {
        Subject::Base(place) => models.bases.layouts()[place.base].is_guessed,
        Subject::Target(_) => true,
    };
    if links.is_empty() || links.iter().any(is_guessed) {
        let name = Some(region.name.clone()).filter(|name| names.insert(name.clone())).unwrap_or_default();
        return vec![Region { name, ..region.clone() }];
    }
    let width = region.dtype.words().0 as u64;
    let mut found = Vec::new();
    let mut add = |at: u64, count: u64, name: &str, shape: Vec<u64>| {
        // A region whose name is taken has none.
        let candidates = [name.to_owned(), format!("{}.{}", region.name, found.len()), String::new()];
        let mut fresh = candidates.into_iter().filter(|name| name.is_empty() || names.insert(name.clone()));
        let name = fresh.next().unwrap_or_default();
        let (offset, length) = (region.offset + at * width, count * width);
        found.push(Region { name, dtype: region.dtype, shape, offset, length });
    };
    for link in links {
        let other = models.region(link.part).1;
        let is_whole = link.from == 0 && link.count == weights(other);
        let shape = if is_whole && !other.shape.is_empty() { other.shape.clone() } else { vec![link.count] };
        add(link.at, link.count, &other.name, shape);
    }
    let end = links.last().map_or(0, |link| link.at + link.count);
    if end < weights(region) {
        add(end, weights(region) - end, &region.name, vec![weights(region) - end]);
    }
    found
}

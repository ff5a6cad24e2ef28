//! Floats of a file of no known layout, described by the tensors of the other model that they are.

use std::collections::HashSet;
use std::ops::Range;

use super::{LEAST, Probe, Survey};
use crate::io::Source;
use crate::layout::Region;
use crate::pairing::{Chains, Link, Models, Seek, Sought, Subject, weights};
use crate::plan::{BaseSet, Place};

impl Survey {
    /// Returns true if the layout of a file was guessed.
    fn is_guessed(&self) -> bool {
        let Models { target, bases, .. } = &self.models;
        target.is_guessed || bases.layouts().iter().any(|layout| layout.is_guessed)
    }

    /// Queues the bytes in which a tensor is sought in floats that were guessed.
    pub(super) fn queue_seek(&mut self) {
        if self.is_described || !self.is_guessed() {
            return;
        }
        let (models, pairs, chains) = (&self.models, &self.pairs, &self.chains);
        let seeks = self.seeks.get_or_insert_with(|| seeks(models, pairs, chains));
        let read = seeks.iter_mut().enumerate().find_map(|(index, seek)| Some((index, seek.wants(models)?)));
        self.queue.extend(read.map(|(index, read)| (read, Probe::Seek(index))));
    }

    /// Gives regions that were guessed the names and shapes of their counterparts in the other
    /// model, and begins anew with these. Returns false if there is nothing to describe, or it was
    /// done.
    pub(super) fn describe(&mut self) -> bool {
        if self.is_described || !self.is_guessed() {
            return false;
        }
        let Models { target, bases, .. } = &self.models;
        let (mut target, mut layouts) = (target.clone(), bases.layouts().to_vec());
        let seeks = self.seeks.take().unwrap_or_default();
        if target.is_guessed {
            target.regions = describe(&self.models, &self.pairs, &self.chains, seeks.first());
        }
        for seek in &seeks {
            if let Source::Base(base) = seek.file() {
                layouts[base].regions = of_base(&self.models, base, &self.chains, seek);
            }
        }
        if target == self.models.target && layouts == bases.layouts() {
            return false;
        }
        let adapters = std::mem::take(&mut self.adapters);
        *self = Self::of_layout(target, BaseSet::new(layouts), adapters, true);
        true
    }
}

/// The searches in the target, if it was guessed, and else in the base files that were, for tensors
/// of the target that have no counterpart.
fn seeks(models: &Models, pairs: &[Option<Place>], chains: &Chains) -> Vec<Seek> {
    let chained = chains.parts();
    let is_left = |subject: Subject| {
        let covered = chained.get(&subject).map_or(0, |links| chain_end(links));
        weights(models.region(subject).1) > covered
    };
    let is_alone = |region: usize| pairs[region].is_none() && is_left(Subject::Target(region));
    if models.target.is_guessed {
        return vec![Seek::new(models, (Source::Target, 1), models.base_regions(), is_alone)];
    }
    let taken: HashSet<Place> = pairs.iter().flatten().copied().collect();
    let is_guessed = |base: &usize| models.bases.layouts()[*base].is_guessed;
    let bases: Vec<usize> = (0..models.bases.layouts().len()).filter(is_guessed).collect();
    let seek = |&base: &usize| {
        let alone = models.targets().filter(|target| matches!(target, Subject::Target(i) if is_alone(*i)));
        Seek::new(models, (Source::Base(base), bases.len() as u64), alone, |region| {
            let place = Place { base, region };
            !taken.contains(&place) && is_left(Subject::Base(place))
        })
    };
    bases.iter().map(seek).collect()
}

/// The regions of a guessed base file, with the tensors that were found in them.
fn of_base(models: &Models, base: usize, chains: &Chains, seek: &Seek) -> Vec<Region> {
    let (chained, mut names) = (chains.parts(), HashSet::new());
    let regions = models.bases.layouts()[base].regions.iter().enumerate();
    let split = |(i, region): (usize, &Region)| {
        let links = chained.get(&Subject::Base(Place { base, region: i })).copied().unwrap_or_default();
        more_than(models, i, seek, links)
            .map_or_else(|| vec![region.clone()], |tensors| tensors_of(models, (i, region), seek, tensors, &mut names))
    };
    apart(regions.flat_map(split).collect())
}

/// The target's regions, those with counterparts as these describe them.
fn describe(models: &Models, pairs: &[Option<Place>], chains: &Chains, seek: Option<&Seek>) -> Vec<Region> {
    let (chained, mut found, mut names) = (chains.parts(), Vec::new(), HashSet::new());
    for (i, region) in models.target.regions.iter().enumerate() {
        let pair = pairs[i].map(|place| Link { at: 0, part: Subject::Base(place), from: 0, count: weights(region) });
        let links = match &pair {
            Some(pair) => std::slice::from_ref(pair),
            None => chained.get(&Subject::Target(i)).copied().unwrap_or_default(),
        };
        found.extend(match seek.and_then(|seek| Some((seek, more_than(models, i, seek, links)?))) {
            Some((seek, tensors)) => tensors_of(models, (i, region), seek, tensors, &mut names),
            None => parts(models, region, links, &mut names),
        });
    }
    apart(found)
}

/// The regions without the words at their starts that the regions before them have.
fn apart(regions: Vec<Region>) -> Vec<Region> {
    let mut end = 0u64;
    let cut = |region: Region| {
        let width = region.dtype.words().0 as u64;
        let taken = end.saturating_sub(region.offset).div_ceil(width);
        end = end.max(region.range().end);
        if taken == 0 {
            return Some(region);
        }
        let (count, offset) = ((region.length / width).saturating_sub(taken), region.offset + taken * width);
        (count * width >= LEAST).then(|| Region { shape: vec![count], offset, length: count * width, ..region })
    };
    regions.into_iter().filter_map(cut).collect()
}

/// The weight behind the last part of a chain.
fn chain_end(links: &[Link]) -> u64 {
    links.last().map_or(0, |link| link.at + link.count)
}

/// The tensors that were found in a region, if they are more of it than its chain.
fn more_than<'a>(models: &Models, region: usize, seek: &'a Seek, links: &[Link]) -> Option<&'a [Sought]> {
    let tensors = seek.found().get(&region)?;
    let found: u64 = tensors.iter().map(|tensor| weights(models.region(tensor.part).1)).sum();
    (found > chain_end(links)).then_some(tensors)
}

/// The tensors that were found in a region, and what is left of it between them and behind them, if
/// that is worth a region.
fn tensors_of(
    models: &Models,
    (index, region): (usize, &Region),
    seek: &Seek,
    tensors: &[Sought],
    names: &mut HashSet<String>,
) -> Vec<Region> {
    let (dtype, width, mut at) = (region.dtype, region.dtype.words().0 as u64, region.offset);
    let mut found = Vec::new();
    let rest = |range: Range<u64>, number: usize| {
        let count = range.end.saturating_sub(range.start) / width;
        let name = format!("{}.{number}", region.name);
        let rest = Region { name, dtype, shape: vec![count], offset: range.start, length: count * width };
        (rest.length >= LEAST).then_some(rest)
    };
    for &Sought { offset, part } in tensors {
        found.extend(rest(at..offset, found.len()));
        let (other, length) = (models.region(part).1, seek.length(models, index, part));
        let name = Some(other.name.clone()).filter(|name| names.insert(name.clone())).unwrap_or_default();
        found.push(Region { name, dtype, shape: other.shape.clone(), offset, length });
        at = offset + length;
    }
    found.extend(rest(at..region.range().end, found.len()));
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
    let end = chain_end(links);
    if end < weights(region) {
        add(end, weights(region) - end, &region.name, vec![weights(region) - end]);
    }
    found
}

//! The views of regions that consist of base regions, or are parts of one.

use std::collections::{BTreeMap, HashSet};

use super::alignment::{Group, group};
use crate::archive::v2::{Run, View, units};
use crate::chunk::unit;
use crate::layout::Region;
use crate::pairing::{Chain, Link, Models, Subject, bytes_of};
use crate::plan::Place;

/// Makes the views of all regions that have chains.
pub(super) fn view(models: &Models, chains: &[Chain], views: &mut [Option<View>]) {
    let mut pieces: BTreeMap<usize, Vec<(Place, Link)>> = BTreeMap::new();
    for chain in chains {
        match chain.whole {
            Subject::Target(region) => views[region] = of_parts(models, region, &chain.parts),
            Subject::Base(place) => {
                for link in &chain.parts {
                    if let Subject::Target(region) = link.part {
                        pieces.entry(region).or_default().push((place, *link));
                    }
                }
            }
        }
    }
    for (region, mut pieces) in pieces {
        if views[region].is_none() {
            pieces.sort_by_cached_key(|(_, link)| (link.from, u64::MAX - link.count));
            views[region] = of_pieces(models, region, &pieces);
        }
    }
}

/// The groups of the target's matrices that may be made of rows of several base matrices, or be
/// spread over one: a chain found a part of them, but not the rest. Of a matrix that has other rows
/// than its only part, those behind the first ones may be others, and of one without any part, the
/// first ones may be new.
pub(super) fn mixed(models: &Models, chains: &[Chain], is_alone: impl Fn(usize) -> bool) -> HashSet<Group> {
    let partial = chains.iter().filter(|chain| chain.is_partial(models) || chain.is_resized(models));
    let targets = partial.flat_map(|chain| match chain.whole {
        Subject::Target(_) => vec![chain.whole],
        Subject::Base(_) => chain.parts.iter().map(|link| link.part).collect(),
    });
    let alone = (0..models.target.regions.len()).filter(|region| is_alone(*region)).map(Subject::Target);
    targets.chain(alone).filter_map(|target| group(models, target)).collect()
}

/// The view of a region of the target that consists of base regions, as far as these end between
/// its units.
fn of_parts(models: &Models, region: usize, parts: &[Link]) -> Option<View> {
    let target = &models.target.regions[region];
    let mut view = View::default();
    for link in parts {
        let Subject::Base(place) = link.part else { continue };
        if add(models, region, &mut view, place, (link.from, link.count)).is_none() {
            break;
        }
    }
    ended(target, view)
}

/// The view of a region of the target whose pieces are in base regions, in the order of the pieces.
fn of_pieces(models: &Models, region: usize, pieces: &[(Place, Link)]) -> Option<View> {
    let target = &models.target.regions[region];
    let mut view = View::default();
    let mut at = 0;
    for (place, link) in pieces {
        let Some(gap) = link.from.checked_sub(at) else { continue };
        let gap = bytes_of(target, gap)? / unit(target.dtype).1;
        view.runs.extend((gap > 0).then_some(Run { units: gap, from: None }));
        if add(models, region, &mut view, *place, (link.at, link.count)).is_none() {
            break;
        }
        at = link.from + link.count;
    }
    ended(target, view)
}

/// Adds a run of so many weights of a base region, from one on; `None` if they are no whole units.
fn add(models: &Models, region: usize, view: &mut View, place: Place, (from, count): (u64, u64)) -> Option<()> {
    let (target, base) = (&models.target.regions[region], models.bases.region(place));
    let units = bytes_of(target, count)? / unit(target.dtype).1;
    let start = bytes_of(base, from)? / unit(base.dtype).1;
    view.runs.push(Run { units, from: Some((view.origins.len() as u32, start)) });
    view.origins.push(models.bases.origin(place));
    Some(())
}

/// Ends a view with a run that has no base, as far as the region goes on; `None` if no run has one.
fn ended(target: &Region, mut view: View) -> Option<View> {
    let covered: u64 = view.runs.iter().map(|run| run.units).sum();
    let left = units(target).checked_sub(covered)?;
    view.runs.extend((left > 0).then_some(Run { units: left, from: None }));
    (!view.origins.is_empty()).then_some(view)
}

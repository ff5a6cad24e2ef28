//! The views of regions that consist of base regions, or are parts of one.

use std::collections::HashSet;

use super::alignment::{Group, group};
use crate::archive::v2::{Run, View, units};
use crate::chunk::unit;
use crate::pairing::{Chain, Models, Subject, bytes_of};
use crate::plan::Place;

/// Makes the views of all regions that have chains.
pub(super) fn view(models: &Models, chains: &[Chain], views: &mut [Option<View>]) {
    for chain in chains {
        match chain.whole {
            Subject::Target(region) => views[region] = of_parts(models, region, &chain.parts),
            Subject::Base(place) => view_parts_of(models, place, &chain.parts, views),
        }
    }
}

/// The groups of the target's matrices that may be made of rows of several base matrices, or be
/// spread over one: a chain found a part of them, but not the rest.
pub(super) fn mixed(models: &Models, chains: &[Chain]) -> HashSet<Group> {
    let partial = chains.iter().filter(|chain| chain.is_partial(models));
    let targets = partial.flat_map(|chain| match chain.whole {
        Subject::Target(_) => vec![chain.whole],
        Subject::Base(_) => chain.parts.iter().map(|&(_, part)| part).collect(),
    });
    targets.filter_map(|target| group(models, target)).collect()
}

/// The view of a region of the target that consists of base regions; `None` if they do not end
/// between its units.
fn of_parts(models: &Models, region: usize, parts: &[(u64, Subject)]) -> Option<View> {
    let target = &models.target.regions[region];
    let mut view = View::default();
    let mut left = units(target);
    for &(_, part) in parts {
        if let Subject::Base(place) = part {
            let units = bytes_of(target, models.measure(part).1)? / unit(target.dtype).1;
            view.runs.push(Run { units, from: Some((view.origins.len() as u32, 0)) });
            view.origins.push(models.bases.origin(place));
            left = left.checked_sub(units)?;
        }
    }
    if left > 0 {
        view.runs.push(Run { units: left, from: None });
    }
    Some(view)
}

/// Makes the views of regions of the target that are parts of one base region.
fn view_parts_of(models: &Models, place: Place, parts: &[(u64, Subject)], views: &mut [Option<View>]) {
    let base = models.bases.region(place);
    for &(at, part) in parts {
        if let (Subject::Target(region), Some(start)) = (part, bytes_of(base, at))
            && views[region].is_none()
        {
            let from = Some((0, start / unit(base.dtype).1));
            let run = Run { units: units(&models.target.regions[region]), from };
            let origins = vec![models.bases.origin(place)];
            views[region] = Some(View { origins, runs: vec![run], ..View::default() });
        }
    }
}

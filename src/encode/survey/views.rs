//! The views that follow from the survey's pairs, chains, corners and alignments.

use super::{Probe, Stage, Survey};
use crate::archive::v2::{MAX_RUNS, Run, View, units};
use crate::chunk::{is_integer, unit};
use crate::layout::{Dtype, Region};
use crate::pairing::{Subject, bytes_of};
use crate::plan::Place;

impl Survey {
    /// Makes views of all pairs and chains, and queues the matrices whose rows must be aligned.
    pub(super) fn after_parts(&mut self) -> Stage {
        for (view, (region, pair)) in self.views.iter_mut().zip(self.models.target.regions.iter().zip(&self.pairs)) {
            *view = pair.map(|place| View::whole(region, self.models.bases.origin(place)));
        }
        for chain in std::mem::take(&mut self.chains).finish() {
            match chain.whole {
                Subject::Target(region) => self.views[region] = self.view_of_parts(region, &chain.parts),
                Subject::Base(place) => self.view_parts_of(place, &chain.parts),
            }
        }
        for (region, place, transposed) in std::mem::take(&mut self.corners).finish(&self.models) {
            let origin = self.models.bases.origin(place);
            self.views[region] = Some(View::transposed(&self.models.target.regions[region], origin, transposed));
        }
        let is_open = |region: usize| self.views[region].as_ref().is_none_or(|view| view.transposed.is_none());
        let reads = self.alignments.plan(&self.models, &self.pairs, &self.second_rows, is_open);
        self.queue.extend(reads.into_iter().map(|read| (read, Probe::Rows)));
        Stage::Rows
    }

    /// The view of a region of the target that consists of base regions; `None` if they do not end
    /// between its units.
    fn view_of_parts(&self, region: usize, parts: &[(u64, Subject)]) -> Option<View> {
        let target = &self.models.target.regions[region];
        let mut view = View::default();
        let mut left = units(target);
        for &(_, part) in parts {
            if let Subject::Base(place) = part {
                let units = bytes_of(target, self.models.measure(part).1)? / unit(target.dtype).1;
                view.runs.push(Run { units, from: Some((view.origins.len() as u32, 0)) });
                view.origins.push(self.models.bases.origin(place));
                left = left.checked_sub(units)?;
            }
        }
        if left > 0 {
            view.runs.push(Run { units: left, from: None });
        }
        Some(view)
    }

    /// Makes the views of regions of the target that are parts of one base region.
    fn view_parts_of(&mut self, place: Place, parts: &[(u64, Subject)]) {
        let base = self.models.bases.region(place);
        for &(at, part) in parts {
            if let (Subject::Target(region), Some(start)) = (part, bytes_of(base, at))
                && self.views[region].is_none()
            {
                let run = Run {
                    units: units(&self.models.target.regions[region]),
                    from: Some((0, start / unit(base.dtype).1)),
                };
                let origins = vec![self.models.bases.origin(place)];
                self.views[region] = Some(View { origins, runs: vec![run], ..View::default() });
            }
        }
    }

    /// Replaces views by those of aligned rows, unless these cover much less of the region. A view
    /// by parts rests on their first words, but every row of an alignment was compared.
    pub(super) fn view_rows(&mut self) {
        let covered = |view: &View| view.runs.iter().filter(|run| run.from.is_some()).map(|run| run.units).sum::<u64>();
        let mut left = MAX_RUNS / 2;
        for (region, place, runs) in std::mem::take(&mut self.alignments).finish() {
            let view = View { origins: vec![self.models.bases.origin(place)], runs, ..View::default() };
            let unrelated = self.pairs[region].is_some();
            let before = self.views[region].as_ref().filter(|_| !unrelated).map_or(0, covered);
            if let (true, Some(rest)) = (covered(&view) * 2 > before, left.checked_sub(view.runs.len() as u64)) {
                self.views[region] = Some(view);
                left = rest;
            }
        }
    }
}

/// Returns true for floats of 8 bits whose view casts wider ones. If they have scales, the cast
/// words are others.
pub(super) fn is_cast(region: &Region, view: &View) -> bool {
    let bytes = |dtype: Dtype| unit(dtype).1;
    let wide = |view: &View| view.origins.iter().all(|origin| bytes(origin.dtype) > 1);
    bytes(region.dtype) == 1 && !is_integer(region.dtype) && view.merge.is_none() && wide(view)
}

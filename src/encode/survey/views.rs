//! The views that follow from the survey's pairs, chains, corners and alignments.

use super::{Probe, Stage, Survey, parts};
use crate::archive::v2::{MAX_RUNS, MAX_USES, Origin, View};
use crate::chunk::{is_integer, unit};
use crate::layout::{Dtype, Region};
use crate::pairing::{Chain, Models, Subject, is_like, strips};
use crate::transposed::Transposed;

impl Survey {
    /// Makes views of all pairs and chains, and queues the matrices whose rows must be aligned.
    pub(super) fn after_parts(&mut self) -> Stage {
        for (view, (region, pair)) in self.views.iter_mut().zip(self.models.target.regions.iter().zip(&self.pairs)) {
            *view = pair.map(|place| View::whole(region, self.models.bases.origin(place)));
        }
        let chains: Vec<Chain> = std::mem::take(&mut self.chains).finish().collect();
        parts::view(&self.models, &chains, &mut self.views);
        for (region, place, transposed) in std::mem::take(&mut self.corners).finish() {
            let (origin, target) = (self.models.bases.origin(place), &self.models.target.regions[region]);
            let view = transposed_view(target, origin, transposed);
            self.views[region] = view.or(self.views[region].take());
        }
        self.arrange();
        self.view_moved();
        let is_open = |region: usize| {
            self.views[region].as_ref().is_none_or(|view| view.transposed.is_none() && view.arranged.is_none())
        };
        let mut reads = self.alignments.plan(&self.models, &self.pairs, &self.second_rows, is_open);
        let mixed = parts::mixed(&self.models, &chains, |region| self.views[region].is_none());
        reads.extend(self.alignments.plan_pools(&self.models, &self.pairs, &mixed, is_open));
        self.queue.extend(reads.into_iter().map(|read| (read, Probe::Rows)));
        Stage::Rows
    }

    /// Makes views of guessed floats whose words are elsewhere in the base, unless these cover much
    /// less of the region.
    fn view_moved(&mut self) {
        let mut left = MAX_RUNS / 8;
        for (region, view) in std::mem::take(&mut self.moved).finish(&self.models, &self.pairs) {
            let before = self.views[region].as_ref().map_or(0, View::covered);
            self.replace(region, view, before, &mut left);
        }
    }

    /// Replaces the view of a region, which covers `before` units, unless the new one covers half
    /// of them at most, or has more runs than are `left`.
    fn replace(&mut self, region: usize, view: View, before: u64, left: &mut u64) {
        if let (true, Some(rest)) = (view.covered() * 2 > before, left.checked_sub(view.count())) {
            self.views[region] = Some(view);
            *left = rest;
        }
    }

    /// Makes views of regions that are side by side with others in one matrix, or consist of such
    /// ones, or have other columns than the base region of their name.
    fn arrange(&mut self) {
        let (mut left, mut uses_left) = (MAX_RUNS / 4, MAX_USES / 2);
        let crops = std::mem::take(&mut self.crops).finish();
        for (region, places, arranged) in std::mem::take(&mut self.sides).finish().into_iter().chain(crops) {
            let target = &self.models.target.regions[region];
            // Columns of the most similar name do not outweigh corners that were found.
            let is_named = places.iter().any(|place| self.models.bases.region(*place).name == target.name);
            let count = arranged.rectangles.len().max(places.len()) as u64;
            let origins: Vec<Origin> = places.into_iter().map(|place| self.models.bases.origin(place)).collect();
            let dtypes: Vec<Dtype> = origins.iter().map(|origin| origin.dtype).collect();
            let free = self.views[region]
                .as_ref()
                .is_none_or(|view| view.transposed.is_none() && (view.arranged.is_none() || is_named));
            if !free || arranged.check(target, &dtypes).is_err() {
                continue;
            }
            let rest = (left.checked_sub(count), uses_left.checked_sub(arranged.uses(target)));
            if let (Some(runs), Some(uses)) = rest {
                self.views[region] = Some(View::arranged(target, origins, arranged));
                (left, uses_left) = (runs, uses);
            }
        }
    }

    /// Replaces views by those of aligned rows, unless these cover much less of the region. A view
    /// by parts rests on their first words, but every row of an alignment was compared.
    pub(super) fn view_rows(&mut self) {
        let mut left = MAX_RUNS / 2;
        for (region, view) in std::mem::take(&mut self.alignments).finish(&self.models, &self.pairs) {
            let pair = self.pairs[region];
            let unrelated = pair.is_some() && !is_like(&self.models, Subject::Target(region), pair);
            let before = self.views[region].as_ref().filter(|_| !unrelated).map_or(0, View::covered);
            self.replace(region, view, before, &mut left);
        }
    }
}

/// The view of a region of transposed matrices of the base, if these are not too large.
fn transposed_view(target: &Region, origin: Origin, transposed: Transposed) -> Option<View> {
    if transposed.check(target, origin.dtype).is_ok() {
        return Some(View::transposed(target, origin, transposed));
    }
    let arranged = strips(transposed, target, unit(origin.dtype).1)?;
    arranged.check(target, &[origin.dtype]).ok()?;
    Some(View::arranged(target, vec![origin], arranged))
}

/// Returns true if packed numbers have no view of the base, or one that casts floats without their
/// scales.
pub(super) fn is_open(models: &Models, views: &[Option<View>], region: usize) -> bool {
    views[region].as_ref().is_none_or(|view| is_cast(&models.target.regions[region], view))
}

/// Returns true for numbers of 8 bits whose view casts wider floats. If they have scales, the cast
/// words are others.
fn is_cast(region: &Region, view: &View) -> bool {
    let bytes = |dtype: Dtype| unit(dtype).1;
    let wide = |view: &View| view.origins.iter().all(|origin| bytes(origin.dtype) > 1);
    bytes(region.dtype) == 1 && view.merge.is_none() && wide(view)
}

/// Returns true for a view that casts floats of 8 bits. If they have scales, the weights are others.
pub(super) fn is_cast_up(view: &View) -> bool {
    let narrow = |dtype: Dtype| unit(dtype).1 == 1 && !is_integer(dtype);
    view.merge.is_none() && view.origins.iter().all(|origin| narrow(origin.dtype))
}

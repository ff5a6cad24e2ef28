//! Views of weights that words were made from: those of one base region, or runs of several.

use super::view::{Run, View, units};
use super::{Head, Origin};
use crate::bytes::ByteReader;
use crate::chunk::geometry;
use crate::derived::Derived;
use crate::error::{Error, Result};
use crate::layout::{Dtype, Region};
use crate::steps;

/// Words of a run, at least, in an item that is derived in runs.
const IN_RUNS: u64 = 2;

impl View {
    /// Creates the view of the first weights of a base region, which the words were made from.
    pub(crate) fn derived(region: &Region, origin: Origin, derived: Derived) -> Self {
        let runs = whole(region, &derived);
        Self { origins: vec![origin], runs, derived: Some(derived), ..Self::default() }
    }

    /// Creates the view of runs of weights, which the words were made from.
    pub(crate) fn derived_of(origins: Vec<Origin>, runs: Vec<Run>, derived: Derived) -> Self {
        Self { origins, runs, derived: Some(derived), ..Self::default() }
    }

    /// Returns true if the words were made from the first weights of one base region.
    pub(super) fn is_of_one(&self, region: &Region, derived: &Derived) -> bool {
        self.origins.len() == 1 && self.runs == whole(region, derived)
    }

    /// Writes the only origin of a view, and the order of its weights.
    pub(super) fn write_derived(&self, raw: &mut Vec<u8>, region: &Region, derived: Derived) {
        self.origins.iter().for_each(|origin| origin.write_typed(raw, &region.name));
        derived.write(raw, derived.run > 1);
    }

    /// Reads what [`write_derived`](Self::write_derived) wrote, of runs of several words only
    /// `in_runs`.
    pub(super) fn read_derived(
        reader: &mut ByteReader<'_>,
        head: &Head,
        region: &Region,
        in_runs: bool,
    ) -> Result<Self> {
        let origin = Origin::read_typed(reader, head, &region.name)?;
        let derived = Derived::read(reader, in_runs.then_some(IN_RUNS))?;
        derived.check(region, origin.dtype)?;
        Ok(Self::derived(region, origin, derived))
    }

    /// Writes the order of the weights, and the runs that they are.
    pub(super) fn write_derived_of(&self, raw: &mut Vec<u8>, region: &Region, derived: Derived) {
        derived.write(raw, true);
        // A view that was made or read has as many weights.
        weights(region, &derived).iter().for_each(|weights| self.write(raw, weights));
    }

    /// Reads what [`write_derived_of`](Self::write_derived_of) wrote, of which there may be `most`
    /// origins and runs.
    pub(super) fn read_derived_of(
        reader: &mut ByteReader<'_>,
        head: &Head,
        region: &Region,
        most: u64,
    ) -> Result<Self> {
        let derived = Derived::read(reader, Some(1))?;
        let weights = weights(region, &derived)
            .ok_or_else(|| Error::limit("the words are made from too many weights").figures("below 2^62", "more"))?;
        let view = Self::read(reader, head, &weights, (most, false))?;
        if view.origins.is_empty() {
            return Err(Error::corrupt("the words are made from weights of no base"));
        }
        view.origins.iter().try_for_each(|origin| {
            steps::add(1);
            derived.check(region, origin.dtype)
        })?;
        Ok(Self::derived_of(view.origins, view.runs, derived))
    }

    /// The number of times that chunks of the region need one of the runs: each chunk counts all
    /// that it needs.
    pub(super) fn uses_of_runs(&self, region: &Region, derived: &Derived) -> u64 {
        let (geometry, width) = (geometry::of(region), region.length / units(region).max(1));
        let (mut start, mut uses) = (0, 0u64);
        for run in &self.runs {
            steps::add(1);
            let words = derived.needing(&(start..start + run.units));
            let last = (words.end * width).min(region.length).saturating_sub(1);
            uses = uses.saturating_add(geometry.chunk_at(last) - geometry.chunk_at(words.start * width) + 1);
            start += run.units;
        }
        uses
    }
}

/// The run of all weights of a region, from the first one of an origin on.
fn whole(region: &Region, derived: &Derived) -> Vec<Run> {
    match derived.weights_of(units(region)) {
        None | Some(0) => Vec::new(),
        Some(units) => vec![Run { units, from: Some((0, 0)) }],
    }
}

/// The weights that the words of a region were made from, as a region of their own; `None` if no
/// file can have as many.
fn weights(region: &Region, derived: &Derived) -> Option<Region> {
    let count = derived.weights_of(units(region))?;
    let length = count.checked_mul(4).filter(|&length| length <= i64::MAX as u64)?;
    Some(Region { name: region.name.clone(), dtype: Dtype::F32, shape: vec![count], offset: 0, length })
}

//! Views that are joined from runs of several base regions.

use std::collections::HashMap;

use super::Models;
use crate::archive::v2::{Run, View};
use crate::plan::Place;

/// A view to which runs are added, in the order of the target's units.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    view: View,
    origins: HashMap<Place, u32>,
    end: u64,
}

impl Joined {
    /// The unit behind the last run.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Adds a run without a base, up to the unit `end`.
    pub(crate) fn skip_to(&mut self, end: u64) {
        if end > self.end {
            self.view.runs.push(Run { units: end - self.end, from: None });
            self.end = end;
        }
    }

    /// Adds a run of the base's region at `place`, from its unit `first` on.
    pub(crate) fn add(&mut self, models: &Models, place: Place, first: u64, units: u64) {
        let origin = *self.origins.entry(place).or_insert_with(|| {
            self.view.origins.push(models.bases.origin(place));
            self.view.origins.len() as u32 - 1
        });
        self.view.runs.push(Run { units, from: Some((origin, first)) });
        self.end += units;
    }

    /// The view of a region of so many units.
    pub(crate) fn finish(mut self, units: u64) -> View {
        self.skip_to(units);
        self.view
    }
}

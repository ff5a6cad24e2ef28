//! Views of words that were made from weights, which are runs of base regions themselves.

use std::borrow::Cow;
use std::ops::Range;

use super::{BaseView, Located, Relation};
use crate::chunk::unit;
use crate::derived::{Derived, Gives};
use crate::error::Result;
use crate::io::{Inputs, Read};
use crate::layout::Dtype;
use crate::steps;

impl BaseView {
    /// Creates the view of a region of a dtype with so many units, whose words were made from the
    /// weights in these runs.
    pub(crate) fn derived(
        (dtype, units): (Dtype, u64),
        derived: Derived,
        origins: Vec<Located>,
        runs: impl Iterator<Item = (u64, Option<(u32, u64)>)>,
    ) -> Self {
        let first = origins.first().map_or(Dtype::F32, |origin| origin.dtype);
        let is_first = |origin: &Located| {
            steps::add(1);
            origin.dtype == first
        };
        // Weights of several dtypes are cast to singles where they are gathered.
        let of_weights = if origins.iter().all(is_first) { first } else { Dtype::F32 };
        let own = (units > 0).then_some((units, None));
        let relation = if derived.gives == Gives::Weights { Relation::Numbers } else { Relation::Words };
        let named = origins.first().copied().into_iter().collect();
        let weights = Self::new(of_weights, origins, runs);
        Self { derived: Some(Box::new((derived, weights))), relation, ..Self::new(dtype, named, own.into_iter()) }
    }

    /// The reads of the weights that a range of bytes of the region needs; `None` if its words were
    /// not made from weights.
    pub(super) fn weights_of(&self, range: &Range<u64>) -> Option<Vec<Read>> {
        let (derived, weights) = self.derived.as_deref()?;
        let mut reads = Vec::new();
        weights.reads(self.needed(derived, weights, range), &mut reads);
        Some(reads)
    }

    /// The bytes of the weights' view that a range of bytes of the region needs.
    fn needed(&self, derived: &Derived, weights: &Self, range: &Range<u64>) -> Range<u64> {
        let (needs, width) = (derived.needs(&self.units(range), self.all()), unit(weights.dtype).1);
        needs.start * width..needs.end * width
    }

    /// Makes the words of a range of bytes of the region from their weights.
    pub(super) fn derive(
        &self,
        (derived, weights): &(Derived, Self),
        range: &Range<u64>,
        inputs: &Inputs,
    ) -> Result<Vec<u8>> {
        let needed = self.needed(derived, weights, range);
        let length = (needed.end - needed.start) as usize;
        let found = weights.gather_runs(needed, inputs)?.unwrap_or_else(|| Cow::Owned(vec![0; length]));
        Ok(derived.take(&self.units(range), self.all(), (weights.dtype, &found), self.dtype))
    }
}

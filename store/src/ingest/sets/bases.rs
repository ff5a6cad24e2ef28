//! The bases of sets: the floats that were quantised, found by their values, and the counterparts
//! in the sets of another file.

use std::sync::Arc;

use bitx::layout::Dtype;
use futures::{StreamExt, TryStreamExt, stream};

use super::super::Ingest;
use super::super::file::Surveyed;
use super::super::local::LocalFile;
use super::super::relatives::Chosen;
use super::super::sketches::Sheet;
use super::super::values;
use super::{Found, partners};
use crate::codec::{Form, Member};
use crate::error::Result;
use crate::keys::ObjectId;
use crate::manifest::Item;

/// The least length in bytes of a set that has no floats as its base. In a shorter one, what the
/// numbers gain from their companions is less than what a set costs.
const LEAST: u64 = 128 << 10;
/// The name of floats in frames, by which the codec finds them.
const FLOATS: &str = "w.weight";

/// A base of a set: a piece, and the tensors that it consists of.
pub(super) type SetBase = (ObjectId, Vec<Member>);

/// Returns `true` if the numbers of a set are smaller with their companions than alone, without the
/// floats. Floats of 8 bits are as small alone.
fn gains(found: &Found, surveyed: &[Surveyed]) -> bool {
    let is_float = matches!(found.numbers(surveyed).part.dtype, Dtype::F8_E4M3 | Dtype::F8_E5M2);
    found.length(surveyed) >= LEAST && !is_float
}

impl Ingest<'_> {
    /// Chooses the sets that are worth it, with their bases. Left out are those whose numbers are
    /// stored alone, or are smaller alone.
    pub(super) async fn set_bases(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        (surveyed, bases): (&[Surveyed], &[Vec<Chosen>]),
        near: &[Arc<Sheet>],
        all: Vec<Found>,
    ) -> Result<Vec<(Found, Vec<SetBase>)>> {
        let floats = all.iter().map(|found| self.floats(file, found, surveyed, near));
        let floats: Vec<Option<SetBase>> = stream::iter(floats).buffered(self.store.width()).try_collect().await?;
        let partners = partners::nearest(near, items, surveyed, &all);
        let mut sets = Vec::with_capacity(all.len());
        for ((found, floats), partner) in all.into_iter().zip(floats).zip(partners) {
            if self.store.find_piece(self.run, &found.numbers(surveyed).digest).await?.is_some() {
                continue;
            }
            let (has_floats, gains) = (floats.is_some(), gains(&found, surveyed));
            let of_set: Vec<SetBase> = floats.into_iter().chain(partner).collect();
            let alone: Vec<Chosen> = bases[found.parts[0]].iter().filter(|base| base.form.is_none()).cloned().collect();
            let pays = match (&of_set[..], &alone[..]) {
                ([], []) => gains,
                ([], _) => false,
                (_, []) => has_floats || gains,
                _ => self.is_smaller(file, items, surveyed, (&found, &of_set), alone).await?,
            };
            if pays {
                sets.push((found, of_set));
            }
        }
        Ok(sets)
    }

    /// Returns `true` if a set is smaller against these bases than its numbers against those that
    /// they have `alone`.
    async fn is_smaller(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        surveyed: &[Surveyed],
        (found, of_set): (&Found, &[SetBase]),
        alone: Vec<Chosen>,
    ) -> Result<bool> {
        let set = self.read_set(file, items, surveyed, found).await?;
        let set = self.code_set(set, of_set).await.map(|coded| coded.length());
        let numbers = self.code(file, found.numbers(surveyed), alone).await.map(|coded| coded.length());
        match (set, numbers) {
            (Err(error), _) | (_, Err(error)) if !error.is_of_object() => Err(error),
            (set, numbers) => Ok(set.is_ok_and(|set| numbers.is_ok_and(|numbers| set < numbers))),
        }
    }

    /// The stored floats whose weights are most like those of a set.
    async fn floats(
        &self,
        file: &Arc<LocalFile>,
        found: &Found,
        surveyed: &[Surveyed],
        near: &[Arc<Sheet>],
    ) -> Result<Option<SetBase>> {
        let count = found.numbers(surveyed).weights.unwrap_or(0);
        if near.iter().all(|sheet| sheet.samples(count).is_empty()) {
            return Ok(None);
        }
        let near = near.to_vec();
        let closest = self.with_weights(file, found, surveyed, move |weights| {
            values::closest_floats(count, |places| weights.at(places), near.iter().map(|sheet| &**sheet))
        });
        Ok(match closest.await?.flatten() {
            Some((id, Form::Tensor { dtype, shape, .. })) => {
                let floats = Member { name: FLOATS.to_owned(), dtype, shape };
                floats.fits().then(|| (id, vec![floats]))
            }
            _ => None,
        })
    }
}

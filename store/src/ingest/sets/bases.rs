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
use super::super::{matrices, values};
use super::{Found, partners};
use crate::codec::{Form, Member, Run};
use crate::error::Result;
use crate::keys::ObjectId;
use crate::manifest::Item;

/// The least length in bytes of a set that has no floats as its base. In a shorter one, what the
/// numbers gain from their companions is less than what a set costs.
const LEAST: u64 = 128 << 10;
/// The name of floats in frames, by which the codec finds them.
const FLOATS: &str = "w.weight";

/// A base of a set: a piece or a part of several, and the tensors that it consists of.
#[derive(Debug, Clone)]
pub(super) struct SetBase {
    /// The id of the piece, or of the first one.
    pub(super) id: ObjectId,
    pub(super) run: Option<Run>,
    pub(super) members: Vec<Member>,
}

/// A set or a part of one, with its bases.
pub(super) type Based = (Found, Vec<SetBase>);

/// Returns `true` if the numbers of a set are smaller with their companions than alone, without the
/// floats. Floats of 8 bits are as small alone.
fn gains(parts: &[Based]) -> bool {
    let is_float = |(found, _): &Based| matches!(found.tensors[0].dtype, Dtype::F8_E4M3 | Dtype::F8_E5M2);
    parts.iter().map(|(found, _)| found.length()).sum::<u64>() >= LEAST && !parts.iter().any(is_float)
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
        all: Vec<Vec<Found>>,
    ) -> Result<Vec<Based>> {
        let floats = all.iter().flatten().map(|found| self.floats(file, found, near));
        let floats: Vec<Option<SetBase>> = stream::iter(floats).buffered(self.store.width()).try_collect().await?;
        let mut of_parts = floats.into_iter().zip(partners::nearest(near, items, &all));
        let mut sets = Vec::with_capacity(all.len());
        for parts in all {
            let (mut based, mut has_floats) = (Vec::with_capacity(parts.len()), false);
            for (found, (floats, partner)) in parts.into_iter().zip(of_parts.by_ref()) {
                has_floats |= floats.is_some();
                based.push((found, floats.into_iter().chain(partner).collect::<Vec<_>>()));
            }
            if self.pays(file, items, (surveyed, bases), &based, has_floats).await? {
                sets.append(&mut based);
            }
        }
        Ok(sets)
    }

    /// Returns `true` if a set of these parts is worth it.
    async fn pays(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        (surveyed, bases): (&[Surveyed], &[Vec<Chosen>]),
        parts: &[Based],
        has_floats: bool,
    ) -> Result<bool> {
        let Some((first, of_set)) = parts.iter().find(|(_, bases)| !bases.is_empty()).or(parts.first()) else {
            return Ok(false);
        };
        if self.store.find_piece(self.run, &first.numbers(surveyed).digest).await?.is_some() {
            return Ok(false);
        }
        let alone = bases[first.numbers].iter().filter(|base| base.form.is_none());
        let alone: Vec<Chosen> = alone.cloned().collect();
        match (&of_set[..], &alone[..]) {
            ([], []) => Ok(gains(parts)),
            ([], _) => Ok(false),
            (_, []) => Ok(has_floats || gains(parts)),
            _ => self.is_smaller(file, items, surveyed, (first, of_set), alone).await,
        }
    }

    /// Returns `true` if a set is smaller against these bases than its numbers against those that
    /// they have `alone`. A part of a set stands for all of it, as does a part of its numbers.
    async fn is_smaller(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        surveyed: &[Surveyed],
        (found, of_set): (&Found, &[SetBase]),
        alone: Vec<Chosen>,
    ) -> Result<bool> {
        let (set, numbers) = (self.read_set(file, items, found).await?, found.numbers(surveyed));
        let set = self.code_set(set, of_set).await.map(|coded| coded.length() as u128);
        let alone = self.code(file, numbers, alone).await.map(|coded| coded.length() as u128);
        // Both as if they were as long as the numbers of the other one.
        let (of_set, of_numbers) = (found.tensors[0].length(), numbers.length());
        match (set, alone) {
            (Err(error), _) | (_, Err(error)) if !error.is_of_object() => Err(error),
            (Ok(set), Ok(alone)) => Ok(set * u128::from(of_numbers) < alone * u128::from(of_set)),
            _ => Ok(false),
        }
    }

    /// The stored floats whose weights are most like those of a set, or a part of them.
    async fn floats(&self, file: &Arc<LocalFile>, found: &Found, near: &[Arc<Sheet>]) -> Result<Option<SetBase>> {
        let place = found.place.clone();
        let count = place.range.end - place.range.start;
        let is_open = |sheet: &Arc<Sheet>| !sheet.samples(count).is_empty() || !sheet.matrices(place.of).is_empty();
        if !near.iter().any(is_open) {
            return Ok(None);
        }
        let near = near.to_vec();
        let closest = self.with_weights(file, found, move |weights| {
            let (at, sheets) = (|places: &[u64]| weights.at(places), || near.iter().map(|sheet| &**sheet));
            let piece = values::closest_floats(count, at, sheets());
            piece.map(Closest::Piece).or_else(|| matrices::closest(&place, at, sheets()).map(Closest::Part))
        });
        let base = match closest.await?.flatten() {
            Some(Closest::Piece((id, Form::Tensor { dtype, shape, .. }))) => (id, None, dtype, shape),
            Some(Closest::Part(matrices::Part { run, dtype, shape })) if run.fits() => {
                (run.pieces[0], Some(run), dtype, shape)
            }
            _ => return Ok(None),
        };
        let (id, run, dtype, shape) = base;
        let floats = Member { name: FLOATS.to_owned(), dtype, shape };
        Ok(floats.fits().then(|| SetBase { id, run, members: vec![floats] }))
    }
}

/// The floats that are most like a set: a piece, or a part of a matrix of several.
enum Closest {
    Piece((ObjectId, Form)),
    Part(matrices::Part),
}

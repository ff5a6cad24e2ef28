//! The order of a plan: each family's root first, and then the models that are stored against it.

use std::collections::BTreeSet;

use super::families::{self, spread};
use super::sample::Sample;
use super::similar::{Bases, saving};
use super::survey::Survey;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ingest::{Kept, LEAST_SKETCHED, Seen};

/// The maximum number of waves. All models that are left are in the last one.
const MOST_WAVES: u32 = 8;
/// The maximum number of members of a family that are tried as its root, and that each of them is
/// compared with.
const ROOTS: usize = 16;
const JUDGES: usize = 64;
/// The maximum number of files that are named as bases of a model.
pub(super) const MOST_BASES: usize = 16;

/// A model of a plan in the making.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) survey: Survey,
    /// For each sample, whether it has a base.
    covered: Vec<bool>,
    /// The files that hold these bases.
    pub(super) bases: BTreeSet<Digest>,
    pub(super) wave: Option<u32>,
}

impl Candidate {
    pub(super) fn new(survey: Survey) -> Self {
        let covered = vec![false; survey.samples.len()];
        Self { survey, covered, bases: BTreeSet::new(), wave: None }
    }

    /// The samples without a base, with their numbers.
    pub(super) fn uncovered(&self) -> impl Iterator<Item = (usize, &Sample)> {
        self.survey.samples.iter().enumerate().filter(|(number, _)| !self.covered[*number])
    }

    /// Notes the bases that stored files offer.
    pub(super) fn cover_by_stored(&mut self, files: &[Kept]) {
        self.cover(|seen| {
            let sketch = &seen.sketch;
            let stored = files
                .iter()
                .flat_map(|file| file.sketches(sketch.dtype(), sketch.length()).map(|sketch| (sketch, file.digest())));
            saving(stored, sketch).map(|(_, digest)| digest)
        });
    }

    /// Notes the bases that `best` finds, each by the file that holds it.
    fn cover(&mut self, best: impl Fn(&Seen) -> Option<Digest>) {
        let found: Vec<(usize, Digest)> =
            self.uncovered().filter_map(|(number, sample)| Some((number, best(&sample.seen)?))).collect();
        // Small pieces follow the file that serves the large ones.
        let follows = |sample: &Sample| !found.is_empty() && sample.seen.sketch.length() < LEAST_SKETCHED;
        for (covered, sample) in self.covered.iter_mut().zip(&self.survey.samples) {
            *covered |= follows(sample);
        }
        for (number, digest) in found {
            self.covered[number] = true;
            if self.bases.len() < MOST_BASES {
                self.bases.insert(digest);
            }
        }
    }

    /// The bytes that bases save of the samples without a base.
    fn saved_by(&self, bases: &Bases<'_>) -> f64 {
        let share = |sample: &Sample| bases.best(&sample.seen).map_or(0.0, |(share, _)| share);
        self.uncovered().map(|(_, sample)| share(sample) * sample.seen.sketch.length() as f64).sum()
    }
}

/// Puts all models into waves. In each wave, the root of a family is placed, and the others wait
/// with the parts that it offers no base for. A model without relatives among those that wait is
/// placed at once.
///
/// # Errors
/// `Stopped`.
pub(super) fn place(models: &mut [Candidate], stop: &(dyn Fn() -> bool + Sync)) -> Result<()> {
    for wave in 0..MOST_WAVES {
        let open: Vec<usize> = (0..models.len()).filter(|model| models[*model].wave.is_none()).collect();
        let is_last = wave + 1 == MOST_WAVES;
        for family in families::of(models, &open) {
            let root = if is_last || family.len() == 1 { None } else { root(models, &family, stop)? };
            let placed = root.as_ref().map_or(&family[..], std::slice::from_ref);
            placed.iter().for_each(|model| models[*model].wave = Some(wave));
            if let Some(root) = root {
                cover_by(models, root, &family, stop)?;
            }
        }
    }
    Ok(())
}

/// The member of a family that saves the most as the base of the others. `None` if none saves
/// anything.
fn root(models: &[Candidate], family: &[usize], stop: &(dyn Fn() -> bool + Sync)) -> Result<Option<usize>> {
    let mut best: Option<(f64, usize)> = None;
    for root in spread(family, ROOTS) {
        check(stop)?;
        let bases = Bases::of(&models[root].survey.samples);
        let others = spread(family, JUDGES).filter(|model| *model != root);
        let saved: f64 = others.map(|model| models[model].saved_by(&bases)).sum();
        if saved > best.map_or(0.0, |(most, _)| most) {
            best = Some((saved, root));
        }
    }
    Ok(best.map(|(_, root)| root))
}

/// Notes the bases that the root of a family offers to its other members.
fn cover_by(models: &mut [Candidate], root: usize, family: &[usize], stop: &(dyn Fn() -> bool + Sync)) -> Result<()> {
    let Survey { samples, files, .. } = models[root].survey.clone();
    let bases = Bases::of(&samples);
    for model in family.iter().filter(|model| **model != root) {
        check(stop)?;
        models[*model].cover(|seen| bases.best(seen).map(|(_, file)| files[file].blake3));
    }
    Ok(())
}

/// Fails if the work is to stop.
pub(super) fn check(stop: &(dyn Fn() -> bool + Sync)) -> Result<()> {
    if stop() { Err(Error::Stopped) } else { Ok(()) }
}

//! Files that are compressed in two ways, by their tensors, and as bytes that belong to no tensor:
//! short files of tiny tensors, each of whose records may take more than the tensor does, and files
//! whose tensors were guessed.

use super::super::survey::Findings;
use super::piece::Work;
use super::{Compress, Effort};
use crate::bytes::{ByteReader, put_prefixed};
use crate::chunk;
use crate::error::{Error, Result};
use crate::io::{Inputs, Read, Source, coalesce};
use crate::job::{Apart, Plan};
use crate::layout::{Dtype, Kind, Layout};
use crate::parallel::Runner;
use crate::plan::BaseSet;
use crate::report::Report;

/// The largest target, and the most bytes of all base files.
const MOST: u64 = 1 << 20;

/// The least number of regions.
const REGIONS: usize = 16;

/// Bytes of a region, on average, below which its record may decide.
const TINY: u64 = 4096;

/// The share of the archive by tensors that the other one must save: one byte in so many. With that
/// archive alone, a tensor can be restored on its own.
const SAVED: usize = 64;

/// The largest target of guessed floats, and the most bytes of all base files.
const MOST_GUESSED: u64 = 16 << 20;

/// The share of such a target, one byte in so many, that must have no counterpart.
const ALONE: u64 = 16;

/// Bytes of a guessed file that are patched first, and the share of them, in percent, that a patch
/// may take: copies of all bytes take much longer than floats.
const SAMPLE: u64 = 1 << 16;
const PATCHED: usize = 75;

/// The file as bytes that belong to no tensor, if that may be shorter: if it is a short one of tiny
/// tensors, or if much of it was guessed and has no counterpart, but may lie elsewhere in the base.
pub(super) fn as_bytes(findings: &Findings) -> Option<Findings> {
    let Findings { target, bases, .. } = findings;
    let base_bytes: u64 = bases.layouts().iter().map(|base| base.file_length).sum();
    let most = match (target.is_guessed, base_bytes > 0) {
        (true, true) if bytes_alone(findings) >= target.file_length / ALONE => MOST_GUESSED,
        _ if is_tiny(target) => MOST,
        _ => return None,
    };
    if target.file_length > most || base_bytes > most {
        return None;
    }
    let bytes = |length: u64| Layout::of_tensor(Kind::Bytes, Dtype::U8, &[length], length);
    let bases = bases.layouts().iter().map(|base| bytes(base.file_length)).collect();
    Some(Findings::alone(bytes(target.file_length), BaseSet::new(bases)))
}

/// Returns true if the tensors of a file are tiny on average.
fn is_tiny(target: &Layout) -> bool {
    let bytes: u64 = target.regions.iter().map(|region| region.length).sum();
    target.regions.len() >= REGIONS && bytes < target.regions.len() as u64 * TINY
}

/// The bytes of the regions that have no counterpart.
fn bytes_alone(findings: &Findings) -> u64 {
    let partners = findings.views.iter().zip(&findings.earlier);
    let regions = findings.target.regions.iter().zip(partners);
    let alone = regions.filter(|(_, (view, earlier))| view.is_none() && earlier.is_none());
    alone.map(|(region, _)| region.length).sum()
}

/// The plan that becomes the shortest of several, in a single window. The first one is kept where
/// others are hardly shorter.
#[derive(Debug)]
pub(super) struct Shortest {
    plans: Vec<Compress>,
    /// The tensors of the first plan were guessed.
    is_guessed: bool,
    /// The plan that was the shortest.
    chosen: usize,
}

impl Shortest {
    pub(super) fn new(plans: Vec<Compress>, is_guessed: bool) -> Self {
        Self { plans, is_guessed, chosen: 0 }
    }
}

impl Compress {
    /// Returns true if this plan, for bytes of no tensor, may be shorter than that of the tensors
    /// that were guessed: a sample of the longest chunk without a counterpart tells.
    fn is_worth_it(&self, tensors: &Self, inputs: &Inputs) -> Result<bool> {
        let places = tensors.pieces.iter().filter(|piece| piece.view.is_none()).filter_map(|piece| match &piece.work {
            Work::Chunk(range) => Some(piece.target(range)),
            Work::Factors { .. } => None,
        });
        let Some(place) = places.max_by_key(|place| place.end - place.start) else { return Ok(false) };
        let start = (place.start + place.end).saturating_sub(SAMPLE) / 2;
        let sample = start.max(place.start)..(start + SAMPLE).min(place.end);
        for piece in &self.pieces {
            if let Work::Chunk(range) = &piece.work
                && piece.target(range).contains(&sample.start)
                && let Some(base) = piece.base(range, inputs)?
            {
                let sample = inputs.slice(Source::Target, sample)?;
                let patched = chunk::patched(&base, sample, Effort::Fast);
                return Ok(patched.saturating_mul(100) < sample.len().saturating_mul(PATCHED));
            }
        }
        Ok(false)
    }

    /// Codes all windows and returns what [`join`](Apart::join) takes for each.
    fn code_all(&mut self, inputs: &Inputs, runner: &dyn Runner) -> Result<Vec<Vec<u8>>> {
        let mut carried = Vec::new();
        let mut windows = Vec::new();
        for window in 0..self.windows() {
            let next = self.search(window, inputs, runner)?;
            let mut coded = Vec::new();
            self.code(window, inputs, &carried, runner, &mut coded)?;
            carried = next.unwrap_or(carried);
            windows.push(coded);
        }
        Ok(windows)
    }
}

impl Plan for Shortest {
    fn windows(&self) -> usize {
        1
    }

    fn output_length(&self) -> Option<u64> {
        None
    }

    fn progress(&self, count: usize) -> u64 {
        let plan = &self.plans[self.chosen];
        if count == 0 { 0 } else { plan.progress(plan.windows()) }
    }

    fn reads(&self, _: usize) -> Vec<Read> {
        let reads = |plan: &Compress| (0..plan.windows()).flat_map(|window| plan.reads(window)).collect::<Vec<_>>();
        coalesce(self.plans.iter().flat_map(reads).collect())
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        let mut coded = Vec::new();
        self.code(window, inputs, &[], runner, &mut coded)?;
        self.digest(window, inputs)?;
        self.join(window, &coded, output)
    }

    fn apart(&mut self) -> Option<&mut dyn Apart> {
        Some(self)
    }

    fn report(&self) -> Report {
        self.plans[self.chosen].report()
    }
}

impl Apart for Shortest {
    fn search(&mut self, _: usize, _: &Inputs, _: &dyn Runner) -> Result<Option<Vec<u8>>> {
        Ok(Some(Vec::new()))
    }

    /// Codes every plan, and keeps the shortest: its number, and its windows.
    fn code(&mut self, _: usize, inputs: &Inputs, _: &[u8], runner: &dyn Runner, coded: &mut Vec<u8>) -> Result<()> {
        let mut least = usize::MAX;
        let is_worth_it = !self.is_guessed || self.plans[1].is_worth_it(&self.plans[0], inputs)?;
        let count = if is_worth_it { self.plans.len() } else { 1 };
        for (number, plan) in self.plans[..count].iter_mut().enumerate() {
            let windows = plan.code_all(inputs, runner)?;
            let length = plan.head.write()?.len() + windows.iter().map(Vec::len).sum::<usize>();
            if length < least {
                least = if number == 0 { length - length / SAVED } else { length };
                *coded = vec![number as u8];
                windows.iter().for_each(|window| put_prefixed(coded, window));
            }
        }
        Ok(())
    }

    fn digest(&mut self, _: usize, inputs: &Inputs) -> Result<()> {
        let digest = |plan: &mut Compress| (0..plan.windows()).try_for_each(|window| plan.digest(window, inputs));
        self.plans.iter_mut().try_for_each(digest)
    }

    fn join(&mut self, _: usize, coded: &[u8], output: &mut Vec<u8>) -> Result<()> {
        let mut reader = ByteReader::new(coded);
        self.chosen = usize::from(reader.u8()?);
        let missing = || Error::corrupt("a short file was coded by an unknown plan");
        let plan = self.plans.get_mut(self.chosen).ok_or_else(missing)?;
        output.clear();
        let mut part = Vec::new();
        for window in 0..plan.windows() {
            plan.join(window, reader.prefixed()?, &mut part)?;
            output.extend_from_slice(&part);
        }
        reader.finish()
    }
}

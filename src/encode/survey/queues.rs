//! The reads that pair regions by their content, once the starts of all regions are known.

use super::{Probe, Stage, Survey, signed_bytes};
use crate::io::Read;
use crate::pairing::{Corners, Crops, Moved, Sides, Subject, WORDS, bytes_of, columns};

/// Words that tell second rows apart.
const SECOND_ROW: usize = WORDS / 4;

impl Survey {
    /// Queues the second rows of matrices and of their partners: they tell whether all rows are in
    /// the same order. The first rows of heads stay where they are when their halves take turns.
    pub(super) fn queue_second_rows(&mut self) {
        for (i, pair) in self.pairs.iter().enumerate() {
            let (target, Some(place)) = (&self.models.target.regions[i], *pair) else { continue };
            let base = self.models.bases.region(place);
            if columns(base) != columns(target) {
                continue;
            }
            for subject in [Subject::Target(i), Subject::Base(place)] {
                let (source, region) = self.models.region(subject);
                let Some(row) = columns(region).and_then(|columns| bytes_of(region, columns)) else { continue };
                let start = region.offset + row;
                let end = (start + signed_bytes(region, SECOND_ROW).min(row)).min(region.offset + region.length);
                if start < end {
                    self.queue.push_back((Read::new(source, start..end), Probe::SecondRow(subject)));
                }
            }
        }
    }

    /// Queues the corners of matrices that may be transposed.
    pub(super) fn queue_corners(&mut self) {
        self.corners = Corners::new(&self.models, &self.pairs);
        let reads = self.corners.reads(&self.models);
        self.queue.extend(reads.into_iter().map(|(read, subject, stack)| (read, Probe::Corner(subject, stack))));
    }

    /// Queues the corners of matrices that may stand side by side, and the first rows of those that
    /// may have other columns.
    pub(super) fn queue_sides(&mut self) {
        self.sides = Sides::new(&self.models, &self.pairs);
        let reads = self.sides.reads(&self.models);
        self.queue.extend(reads.into_iter().map(|(read, rows)| (read, Probe::Side(rows))));
        self.crops = Crops::new(&self.models, &self.pairs);
        self.queue.extend(self.crops.reads(&self.models).into_iter().map(|read| (read, Probe::Crop)));
    }

    /// Queues the reads that the chains need next, and those of rows whose columns were aligned.
    pub(super) fn queue_parts(&mut self) {
        let rests = self.chains.wanted_rests().into_iter();
        let rests = rests.map(|(cut, part, at)| (Probe::Rest(cut, part), part, at));
        let parts = self.chains.wanted().into_iter().map(|(chain, whole, at)| (Probe::Part(chain), whole, at));
        for (probe, subject, at) in parts.chain(rests) {
            let (source, region) = self.models.region(subject);
            let start = region.offset + bytes_of(region, at).unwrap_or(region.length);
            let end = (start + signed_bytes(region, WORDS)).min(region.offset + region.length);
            self.queue.push_back((Read::new(source, start..end), probe));
        }
        let rows = self.crops.wanted_rows(&self.models);
        self.queue.extend(rows.into_iter().map(|read| (read, Probe::CropRows)));
        let ends = self.moved.wanted_ends(&self.models);
        self.queue.extend(ends.into_iter().map(|(read, segment, behind)| (read, Probe::MovedEnd(segment, behind))));
    }

    /// Queues the reads that find the floats of packed numbers, and then those of samples of scales.
    pub(super) fn queue_floats(&mut self) -> Stage {
        let mut reads = self.quantised.wanted(&self.models);
        let next = if reads.is_empty() { Stage::Scales } else { Stage::Floats };
        if next == Stage::Scales {
            reads = self.quantised.plan(&self.models, &self.views);
        }
        self.queue.extend(reads.into_iter().map(|read| (read, Probe::Scales)));
        next
    }

    /// Queues all words of floats that were guessed in both models.
    pub(super) fn queue_moved(&mut self) {
        let reads = Moved::reads(&self.models).into_iter();
        self.queue.extend(reads.map(|(read, subject, start)| (read, Probe::Moved(subject, start))));
    }
}

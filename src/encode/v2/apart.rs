//! Windows that several jobs code apart from each other, and one job joins: the bytes that travel
//! between these jobs. All of them are instances of one build, so the bytes have no version.

use std::ops::Range;

use super::{Coded, Compress, Factors, Task};
use crate::archive::v2::{FactorsEntry, RECORD_HEAD, Record};
use crate::bytes::{ByteReader, put_prefixed, put_varint};
use crate::chunk::search::Prediction;
use crate::error::Result;
use crate::io::Inputs;
use crate::job::Apart;
use crate::parallel::Runner;

impl Compress {
    /// The region that goes on behind a window, and whether it began in the window.
    fn going_on(&self, window: &Range<usize>) -> Option<(usize, bool)> {
        let next = self.pieces.get(window.end)?.region;
        let own = &self.pieces[window.clone()];
        own.last().filter(|last| last.region == next)?;
        let begins = window.start == 0 || self.pieces[window.start - 1].region != next;
        Some((next, begins))
    }
}

impl Apart for Compress {
    fn search(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner) -> Result<Option<Vec<u8>>> {
        let pieces = self.windows[window].clone();
        let predictions = self.predict(&self.pieces[pieces.clone()], inputs, runner)?;
        self.predictions.extend(predictions);
        let carried = |region| self.predictions.get(&region).map(Prediction::to_bytes).unwrap_or_default();
        Ok(match self.going_on(&pieces) {
            Some((_, false)) => None,
            Some((region, true)) => Some(carried(region)),
            None => Some(Vec::new()),
        })
    }

    fn code(
        &mut self,
        window: usize,
        inputs: &Inputs,
        carried: &[u8],
        runner: &dyn Runner,
        coded: &mut Vec<u8>,
    ) -> Result<()> {
        let pieces = self.windows[window].clone();
        if let Some(piece) = self.pieces[pieces.clone()].first().filter(|_| !carried.is_empty()) {
            let prediction = Prediction::from_bytes(carried, piece.matrix)?;
            self.predictions.insert(piece.region, prediction);
        }
        let done = self.code_pieces(&pieces, Vec::new(), inputs, runner)?;
        self.predictions.clear();
        coded.clear();
        done.write(coded);
        Ok(())
    }

    fn digest(&mut self, window: usize, inputs: &Inputs) -> Result<()> {
        let mut hashers = (std::mem::take(&mut self.target), std::mem::take(&mut self.bases));
        for task in self.digests(window, &mut hashers, inputs)? {
            if let Task::Digest(hasher, bytes) = task {
                hasher.update(bytes);
            }
        }
        (self.target, self.bases) = hashers;
        Ok(())
    }

    fn join(&mut self, window: usize, coded: &[u8], output: &mut Vec<u8>) -> Result<()> {
        self.begin(window, output)?;
        self.append(&self.windows[window].clone(), Coded::read(coded)?, output)?;
        self.end(window, output);
        Ok(())
    }
}

impl Coded {
    fn write(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.factors.len() as u64);
        for factors in &self.factors {
            let Some(Factors { entry, record }) = factors else {
                put_prefixed(bytes, &[]);
                continue;
            };
            put_prefixed(bytes, record);
            bytes.push(entry.rank);
            put_varint(bytes, entry.saved);
        }
        put_varint(bytes, self.chunks.len() as u64);
        self.chunks.iter().for_each(|(_, record)| put_prefixed(bytes, record));
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = ByteReader::new(bytes);
        let count = reader.varint()?;
        let factors = (0..count).map(|_| Factors::read(&mut reader)).collect::<Result<_>>()?;
        let count = reader.varint()?;
        let mut chunk = || {
            let record = reader.prefixed()?;
            Ok((Record::parse(record)?.method, record.to_vec()))
        };
        let chunks = (0..count).map(|_| chunk()).collect::<Result<_>>()?;
        reader.finish()?;
        Ok(Self { factors, chunks })
    }
}

impl Factors {
    fn read(reader: &mut ByteReader<'_>) -> Result<Option<Self>> {
        let record = reader.prefixed()?.to_vec();
        if record.is_empty() {
            return Ok(None);
        }
        let (length, rank, saved) = (record.len() as u64 - RECORD_HEAD, reader.u8()?, reader.varint()?);
        Ok(Some(Self { entry: FactorsEntry { length: length as u32, rank, saved }, record }))
    }
}

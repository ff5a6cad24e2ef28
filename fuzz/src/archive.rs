//! BITXv002 archives, taken apart and put together with the checksums that they should have.

use crate::reference::{self, xxh3};

/// The method of factors.
pub const FACTORS: u8 = 5;

/// The method of chunks that go by them.
pub const PREDICTED: u8 = 6;

/// The parts of an archive that are neither checksums nor lengths.
pub struct Parts {
    /// The head's content.
    pub head: Vec<u8>,
    pub records: Vec<u8>,
}

impl Parts {
    /// The parts of a valid archive.
    pub fn of(archive: &[u8]) -> Self {
        let number = |at: usize| u64::from_le_bytes(archive[at..at + 8].try_into().unwrap()) as usize;
        let head = &archive[16..16 + number(8)];
        let varint = head.iter().position(|&byte| byte < 0x80).unwrap() + 1;
        let length = head[..varint].iter().rev().fold(0, |n, &byte| n << 7 | usize::from(byte & 0x7f));
        let head = reference::zstd(&head[varint..], length).unwrap();
        let records = archive[24 + number(8)..number(archive.len() - 48)].to_vec();
        Self { head, records }
    }

    /// An archive of these parts against `bases` files; its digests of files are zeros.
    pub fn archive(&self, bases: usize) -> Vec<u8> {
        let mut head = Vec::new();
        put_varint(&mut head, self.head.len() as u64);
        head.extend(frame(&self.head));
        let mut archive = b"BITXv002".to_vec();
        archive.extend((head.len() as u64).to_le_bytes());
        archive.extend(&head);
        archive.extend(xxh3(&archive).to_le_bytes());
        archive.extend(&self.records);
        let mut index = Vec::new();
        for (method, payload) in self.payloads() {
            index.push(method);
            put_varint(&mut index, payload.len() as u64);
            if method == FACTORS {
                index.extend([payload.first().copied().unwrap_or(0), 0]);
            }
        }
        index.extend(vec![0; 32 * (1 + bases)]);
        index.extend(xxh3(&index).to_le_bytes());
        let offset = archive.len() as u64;
        archive.extend(&index);
        archive.extend(offset.to_le_bytes());
        archive.extend((index.len() as u64).to_le_bytes());
        archive.extend(blake3::hash(&archive).as_bytes());
        archive
    }

    /// Methods and payloads of the records, as far as they go.
    fn payloads(&self) -> Vec<(u8, &[u8])> {
        let (mut rest, mut payloads) = (self.records.as_slice(), Vec::new());
        while let Some((head, behind)) = rest.split_at_checked(21) {
            let length = u32::from_le_bytes(head[1..5].try_into().unwrap()) as usize;
            let Some((payload, behind)) = behind.split_at_checked(length) else { break };
            payloads.push((head[0], payload));
            rest = behind;
        }
        payloads
    }
}

/// A record with the checksums of `target` and `base`.
pub fn record(method: u8, payload: &[u8], base: Option<&[u8]>, target: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    let sums = [xxh3(target), base.map_or(0, xxh3)].map(u64::to_le_bytes).concat();
    [&[method][..], &length, &sums, payload].concat()
}

/// Corrects the checksums of an archive wherever it has the place for them.
pub fn repair(archive: &mut [u8]) {
    let number = |archive: &[u8], at: usize| {
        let bytes = archive.get(at..at.checked_add(8)?)?;
        usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    if let Some(end) = number(archive, 8).and_then(|length| length.checked_add(16)) {
        repair_sum(archive, 0, end);
    }
    let Some(root) = archive.len().checked_sub(32) else { return };
    if let (Some(offset), Some(end)) = (root.checked_sub(16).and_then(|at| number(archive, at)), root.checked_sub(24)) {
        repair_sum(archive, offset, end);
    }
    let digest = *blake3::hash(&archive[..root]).as_bytes();
    archive[root..].copy_from_slice(&digest);
}

/// Writes the checksum of the bytes from `start` to `end` behind them.
fn repair_sum(archive: &mut [u8], start: usize, end: usize) {
    let Some(sum) = archive.get(start..end).map(xxh3) else { return };
    if let Some(place) = end.checked_add(8).and_then(|behind| archive.get_mut(end..behind)) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

pub fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A zstd frame of raw blocks.
fn frame(content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    frame.extend((content.len() as u64).to_le_bytes());
    let blocks = content.len().div_ceil(1 << 17).max(1);
    for i in 0..blocks {
        let block = &content[i << 17..content.len().min((i + 1) << 17)];
        let header = (block.len() as u32) << 3 | u32::from(i + 1 == blocks);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

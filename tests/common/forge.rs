//! Archives of BITXv002 that nobody's writer made, with the checksums that they should have.

pub use super::protobuf::varint;

pub fn string(bytes: &[u8]) -> Vec<u8> {
    [&varint(bytes.len() as u64), bytes].concat()
}

pub fn xxh3(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// A record, and what the index says of it besides the length of its payload.
pub struct Record {
    pub method: u8,
    pub payload: Vec<u8>,
    /// Of what the record restores to, and of its base range.
    pub sums: [u64; 2],
    pub indexed: Vec<u8>,
}

impl Record {
    /// A record of a chunk whose checksums are zeros.
    pub fn new(method: u8, payload: &[u8]) -> Self {
        let indexed = [vec![method], varint(payload.len() as u64)].concat();
        Self { method, payload: payload.to_vec(), sums: [0; 2], indexed }
    }

    /// A record of factors whose numbers are all zeros, `rank` components of so many columns.
    pub fn zero_factors(rank: u8, columns: usize) -> Self {
        let count = usize::from(rank) * columns;
        let payload = [&[rank][..], &1f32.to_le_bytes(), &vec![0; usize::from(rank)], &zeros(), &[0]].concat();
        let indexed = [vec![5], varint(payload.len() as u64), vec![rank, 0]].concat();
        Self { method: 5, payload, sums: [xxh3(&vec![0; 2 * count]), 0], indexed }
    }
}

/// A list of any number of symbols, all of them 0.
pub fn zeros() -> Vec<u8> {
    certain(0)
}

/// A list of any number of symbols that are all the same: one table, in which no other has a
/// frequency, and no stream.
pub fn certain(symbol: u8) -> Vec<u8> {
    // One table and shape 0.
    let mut bits = vec![true, false, false];
    bits.extend((0..8).map(|i| symbol >> i & 1 == 1));
    // Of the frequencies from the second one on, all but the last are 0, whose bits follow from 6.
    // The last one has 12 bits, of which the lower ones are zeros. The gamma codes are those of 11
    // and 24, or 12.
    let gamma = |value: u32| {
        let k = (value + 1).ilog2();
        [vec![false; k as usize], vec![true], (0..k).map(|i| (value + 1) >> i & 1 == 1).collect()].concat()
    };
    match symbol {
        0 => {}
        1 => bits.extend(gamma(12)),
        _ => bits.extend([gamma(11), vec![true; usize::from(symbol) - 2], gamma(24)].concat()),
    }
    bits.extend(vec![false; if symbol > 0 { 11 } else { 0 }]);
    let tables = bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit)));
    string(&tables.collect::<Vec<_>>())
}

/// An archive of a head's content and records.
pub fn archive(head: &[u8], records: &[Record]) -> Vec<u8> {
    let frame = zrip::compress(head, 3).unwrap();
    archive_of(head[1], &[varint(head.len() as u64), frame].concat(), records)
}

/// An archive against so many base files of a head as it is stored.
pub fn archive_of(bases: u8, head: &[u8], records: &[Record]) -> Vec<u8> {
    let mut archive = [&b"BITXv002"[..], &(head.len() as u64).to_le_bytes(), head].concat();
    archive.extend(xxh3(&archive).to_le_bytes());
    let mut index = Vec::new();
    for Record { method, payload, sums, indexed } in records {
        archive.push(*method);
        archive.extend((payload.len() as u32).to_le_bytes());
        archive.extend(sums.map(u64::to_le_bytes).concat());
        archive.extend(payload);
        index.extend(indexed);
    }
    index.extend(vec![0; 32 * (1 + usize::from(bases))]);
    index.extend(xxh3(&index).to_le_bytes());
    let place = [archive.len() as u64, index.len() as u64].map(u64::to_le_bytes).concat();
    archive.extend([index, place].concat());
    archive.extend(blake3::hash(&archive).as_bytes());
    archive
}

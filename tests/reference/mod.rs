//! A slow decoder of BITXv002, written from `docs/FORMAT.md` alone: what the document says, in the
//! words of the document, and nothing of the crate under test.

mod arranged;
pub mod base;
mod blocks;
pub mod cast;
pub mod chunk;
pub mod context;
mod derived;
pub mod fields;
mod gguf;
mod grid;
pub mod head;
mod integers;
mod json;
pub mod levels;
mod merge;
mod narrow;
pub mod packed;
mod patch;
pub mod predicted;
pub mod quant;
mod symbols;
mod unpacked;
pub mod view;
pub mod words;

use chunk::{Coding, Geometry};
use fields::Fields;
use head::{Content, Head};
use predicted::Factors;
use view::Partner;

pub type Result<T> = std::result::Result<T, String>;

/// Fails with `message` unless `condition` holds.
pub fn check(condition: bool, message: &str) -> Result<()> {
    if condition { Ok(()) } else { Err(message.to_owned()) }
}

pub fn xxh3(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// The content of one zstd frame that decodes to `length` bytes.
pub fn zstd(frame: &[u8], length: usize) -> Result<Vec<u8>> {
    use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
    let mut rest = frame;
    let mut decoder = FrameDecoder::new();
    decoder.reset(&mut rest).map_err(|e| e.to_string())?;
    while !decoder.is_finished() {
        decoder.decode_blocks(&mut rest, BlockDecodingStrategy::UptoBytes(1 << 20)).map_err(|e| e.to_string())?;
        check(decoder.can_collect() <= length, "a frame holds too much")?;
    }
    let content = decoder.collect().unwrap_or_default();
    check(rest.is_empty(), "bytes behind a frame")?;
    check(content.len() == length, "length of a frame")?;
    Ok(content)
}

/// One chunk's record.
struct Record<'a> {
    method: u8,
    output: u64,
    base: u64,
    payload: &'a [u8],
}

/// Restores the target of `archive` against `bases`.
pub fn restore(bases: &[&[u8]], archive: &[u8]) -> Result<Vec<u8>> {
    let (covered, root) = split_end(archive, 32)?;
    check(archive.starts_with(b"BITXv002"), "magic")?;
    check(blake3::hash(covered).as_bytes() == root, "root digest")?;
    let (rest, head) = read_head(covered)?;
    let front = covered.len() - rest.len();
    check(bases.len() >= head.bases.len(), "fewer base files than the archive has")?;
    let files = bases.iter().zip(&head.bases);
    let bases: Vec<_> =
        files.map(|(file, &(_, layout))| Ok((*file, base::regions(file, layout)?, layout))).collect::<Result<_>>()?;

    let derived = head.items.iter().map(|item| match item {
        Content::Chunks(kind, Some(Partner::View(view))) => view.weights(kind),
        _ => 0,
    });
    let most = 8 * bases.iter().map(|(file, ..)| file.len() as u128).sum::<u128>();
    check(derived.sum::<u128>() <= most, "too many weights of derived items")?;

    let (_, place) = split_end(covered, 16)?;
    let mut place = Fields::new(place);
    let (offset, length) = (place.u64()? as usize, place.u64()? as usize);
    check(offset >= front && offset.checked_add(length) == Some(covered.len() - 16), "place of the index")?;
    let most = 40 + 32 * head.bases.len() + head.chunks().map(|chunks| 17 + 6 * chunks).sum::<usize>();
    check(length <= most, "length of the index")?;
    let indexed = read_index(&covered[offset..offset + length], head.chunks(), head.bases.len())?;
    let mut records = Fields::new(&covered[front..offset]);
    let mut indexed = indexed.into_iter().peekable();
    let stored = head.items.iter().map(|item| Stored::read(item, &mut records, &mut indexed));
    let stored: Vec<Stored> = stored.collect::<Result<_>>()?;
    records.finish()?;
    // Packed items need their companions, wherever these are.
    let mut items: Vec<Vec<u8>> = vec![Vec::new(); head.items.len()];
    for packed in [false, true] {
        for (i, item) in head.items.iter().enumerate() {
            let entry = head.packed.iter().find(|entry| entry.item == i);
            if let Content::Chunks(kind, partner) = item
                && entry.is_some() == packed
            {
                items[i] = restore_region(&head, &bases, (kind, partner.as_ref()), &stored[i], (entry, &items))?;
            }
        }
    }
    let bytes = head.items.iter().enumerate().map(|(i, item)| match item {
        Content::Span(bytes) => bytes,
        Content::Earlier(_, earlier) => &items[*earlier],
        Content::Chunks(..) => &items[i],
    });
    Ok(bytes.flatten().copied().collect())
}

/// The records of an item.
#[derive(Default)]
struct Stored<'a> {
    factors: Option<Factors>,
    records: Vec<Record<'a>>,
}

impl<'a> Stored<'a> {
    fn read(
        item: &Content,
        records: &mut Fields<'a>,
        indexed: &mut std::iter::Peekable<std::vec::IntoIter<Entry>>,
    ) -> Result<Self> {
        let mut stored = Self::default();
        let Content::Chunks(kind, _) = item else { return Ok(stored) };
        let geometry = Geometry::new(kind);
        for range in geometry.chunks() {
            if let (0, Some(entry)) = (range.start, indexed.next_if(|entry| entry.method == FACTORS)) {
                let record = read_record(records, Some(&entry))?;
                check(record.payload.len() <= range.len(), "factors longer than the chunk")?;
                stored.factors = Some(read_factors(&record, &entry, &geometry)?);
            }
            let record = read_record(records, indexed.next().as_ref())?;
            check(record.payload.len() <= range.len(), "a payload longer than its chunk")?;
            stored.records.push(record);
        }
        Ok(stored)
    }
}

/// Restores a region of chunks. The items that are restored so far have the companions of a packed
/// one.
fn restore_region(
    head: &Head,
    bases: &[view::Base<'_>],
    (kind, partner): (&base::Region, Option<&Partner>),
    stored: &Stored,
    (packed, items): (Option<&packed::Packed>, &[Vec<u8>]),
) -> Result<Vec<u8>> {
    let base = match partner {
        Some(Partner::View(view)) => Some(view.words(kind, bases)?),
        _ => None,
    };
    let format = quant::format(kind.dtype);
    let of_weights = matches!(partner, Some(Partner::View(view)) if view.gives_weights(kind));
    let numbers = match partner {
        Some(Partner::View(view)) => view.numbers_per_run(),
        _ => None,
    };
    let place = |at: usize| match format {
        _ if let Some((weights, words)) = numbers => at / Coding::of(kind.dtype).bytes() / words * weights * 4,
        Some(format) if of_weights => at / format.bytes * format.weights * 4,
        None if of_weights => at * 4,
        _ => at,
    };
    let resembled = match partner {
        Some(Partner::Bytes(file, range)) => {
            Some(bases[*file].0.get(range.clone()).ok_or("a base file that is too short")?)
        }
        _ => None,
    };
    let mut target = Vec::new();
    let geometry = Geometry::new(kind);
    for (range, record) in geometry.chunks().zip(&stored.records) {
        let given = place(range.start)..place(range.end);
        let known = base.as_ref().filter(|(_, known)| known[given.clone()].contains(&true));
        let base = known.map(|(words, _)| &words[given]).or(resembled);
        let grid = packed.filter(|_| record.method == GRID && resembled.is_none() && !of_weights);
        let output = match grid {
            Some(packed) => {
                let place = (base, range.start, numbers.is_some());
                unpack(head, bases, packed, record.payload, place, (items, range.len()))
            }
            None => {
                check(record.method != GRID || numbers.is_none(), "a grid of weights without companions")?;
                let used = numbers.is_none() && (resembled.is_none() || record.method == PATCH);
                let given = (base.filter(|_| used), of_weights);
                let (columns, factors) = (geometry.columns, stored.factors.as_ref());
                chunk::decode(record.method, kind.dtype, columns, record.payload, given, factors, range.len())
            }
        };
        target.extend(checked(record, base, output)?);
    }
    Ok(target)
}

/// Decodes a chunk of packed numbers.
fn unpack(
    head: &Head,
    bases: &[view::Base<'_>],
    packed: &packed::Packed,
    payload: &[u8],
    (base, start, weights): (Option<&[u8]>, usize, bool),
    (items, length): (&[Vec<u8>], usize),
) -> Result<Vec<u8>> {
    let companions = packed.companions();
    let of_base = |&item: &usize| match &head.items[item] {
        Content::Chunks(kind, Some(Partner::View(view)))
            if !view.gives_weights(kind) && view.numbers_per_run().is_none() =>
        {
            view.words(kind, bases).map(|(words, _)| words)
        }
        _ => Ok(vec![0; items[item].len()]),
    };
    let of_base = companions.iter().map(of_base).collect::<Result<Vec<_>>>()?;
    let of_target: Vec<Vec<u8>> = companions.iter().map(|&item| items[item].clone()).collect();
    let base = base.ok_or("the method needs a base")?;
    packed.decode(head, payload, (base, start, weights), length, [&of_base, &of_target])
}

fn split_end(bytes: &[u8], length: usize) -> Result<(&[u8], &[u8])> {
    let start = bytes.len().checked_sub(length).ok_or("the archive is too short")?;
    Ok(bytes.split_at(start))
}

/// Reads magic, head and checksum; returns what follows.
fn read_head(archive: &[u8]) -> Result<(&[u8], Head)> {
    let mut fields = Fields::new(archive);
    fields.take(8)?;
    let length = fields.u64()?;
    let stored = fields.take(length as usize)?;
    let sum = fields.u64()?;
    check(xxh3(&archive[..16 + length as usize]) == sum, "checksum of the head")?;
    let mut stored = Fields::new(stored);
    let length = stored.varint()? as usize;
    let content = zstd(stored.rest(), length)?;
    Ok((fields.rest(), Head::read(&content)?))
}

/// The method of factors.
const FACTORS: u8 = 5;

/// The method of distances in the grid.
const GRID: u8 = 10;
const PATCH: u8 = 9;

/// The index's entry for a record.
struct Entry {
    method: u8,
    length: u64,
    rank: u8,
}

/// Reads the index of an archive whose regions have so many chunks.
fn read_index(index: &[u8], regions: impl Iterator<Item = usize>, bases: usize) -> Result<Vec<Entry>> {
    let (covered, sum) = split_end(index, 8)?;
    check(xxh3(covered).to_le_bytes() == sum, "checksum of the index")?;
    let mut fields = Fields::new(covered);
    let mut entries = Vec::new();
    for chunks in regions {
        let mut left = chunks;
        while left > 0 {
            let (method, length) = (fields.byte()?, fields.varint()?);
            check(method <= 13, "unknown method")?;
            check(method != FACTORS || left == chunks, "factors in the wrong place")?;
            let rank = if method == FACTORS { fields.byte()? } else { 0 };
            if method == FACTORS {
                fields.varint()?;
                check(entries.last().is_none_or(|last: &Entry| last.method != FACTORS), "factors twice")?;
            } else {
                left -= 1;
            }
            entries.push(Entry { method, length, rank });
        }
    }
    fields.take(32 * (1 + bases))?;
    fields.finish()?;
    Ok(entries)
}

fn read_record<'a>(fields: &mut Fields<'a>, indexed: Option<&Entry>) -> Result<Record<'a>> {
    let (method, length) = (fields.byte()?, fields.u32()?);
    let same = |entry: &Entry| entry.method == method && entry.length == u64::from(length);
    check(indexed.is_some_and(same), "a record other than the index says")?;
    let (output, base) = (fields.u64()?, fields.u64()?);
    Ok(Record { method, output, base, payload: fields.take(length as usize)? })
}

fn read_factors(record: &Record, entry: &Entry, geometry: &Geometry) -> Result<Factors> {
    let factors = Factors::read(record.payload, geometry.columns, geometry.words)?;
    check(factors.rank == usize::from(entry.rank), "a rank other than the index says")?;
    check(xxh3(&factors.bytes()) == record.output && record.base == 0, "checksums of factors")?;
    Ok(factors)
}

/// Checks what a chunk decoded to.
fn checked(record: &Record, base: Option<&[u8]>, output: Result<Vec<u8>>) -> Result<Vec<u8>> {
    if let Ok(bytes) = &output
        && xxh3(bytes) == record.output
    {
        return output;
    }
    check(base.map_or(0, xxh3) == record.base, "a wrong base")?;
    output.and(Err("checksum of a chunk".to_owned()))
}

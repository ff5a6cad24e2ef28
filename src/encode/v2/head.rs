//! Plans the head: the items of the target, decided before a byte is coded.

use std::ops::Range;

use crate::archive::v2::{BaseFile, Content, Head, Item, MAX_STRETCH, Origin, Packed, Partner, Stretch, View};
use crate::archive::v2::{RECORD_HEAD, longest_span};
use crate::chunk::{self, Effort};
use crate::encode::survey::{Findings, LEAST_HEADER, header_of_kind, spans};
use crate::layout::{Dtype, Kind, Layout, Region};
use crate::quant::packed::PACKINGS;

/// Describes the target as items, front to back.
pub(super) fn plan(findings: &Findings) -> Head {
    let head = of_spans(findings);
    with_patched_header(findings, &head).unwrap_or(head)
}

/// The bytes that a header must save as a region of its own, if that takes a base of safetensors:
/// its header is then needed as it is, so that the base serves in no other sharding.
const SAVED: usize = 4 << 10;

/// The bytes of a record, and of its entry in the index.
const RECORD: usize = RECORD_HEAD as usize + 4;

/// The head with the header of the file as a region that is patched, if that is smaller than a
/// span. The fastest patches tell.
fn with_patched_header(findings: &Findings, head: &Head) -> Option<Head> {
    let Some(Item::Span(header)) = head.items.first().filter(|header| header.length() >= LEAST_HEADER) else {
        return None;
    };
    let length = header.len() as u64;
    let patched = |stretch: Option<Stretch>| {
        let region = Region { name: String::new(), dtype: Dtype::U8, shape: vec![length], offset: 0, length };
        let mut patched = head.clone();
        patched.items[0] = Item::Region { region, content: Content::Chunks(stretch.map(Partner::Bytes)) };
        let (base, least) = match stretch {
            Some(_) if findings.target.kind == Kind::Safetensors => (&findings.base_header[..], SAVED),
            Some(_) => (&findings.base_header[..], 0),
            None => (&[][..], 0),
        };
        let stored = patched.write().ok()?.len() + RECORD + chunk::patched(base, header, Effort::Fast);
        Some((stored + least, patched))
    };
    let base = header_of_kind(&findings.target, &findings.bases).filter(|_| !findings.base_header.is_empty());
    let stretch = base.map(|(base, range)| Stretch { base, offset: range.start, length: range.end });
    let candidates = [patched(None), stretch.and_then(|stretch| patched(Some(stretch)))];
    let (least, smallest) = candidates.into_iter().flatten().min_by_key(|(stored, _)| *stored)?;
    (least < head.write().ok()?.len()).then_some(smallest)
}

/// A part of the target: its first byte, the number of its region unless it is a span, and its
/// range.
type Part = (u64, Option<usize>, Range<u64>);

/// The target as items, of which those that the head can hold are spans.
fn of_spans(findings: &Findings) -> Head {
    let mut parts: Vec<Part> = spans(&findings.target).into_iter().map(|span| (span.start, None, span)).collect();
    let regions = findings.target.regions.iter().enumerate();
    parts.extend(regions.map(|(i, region)| (region.offset, Some(i), region.range())));
    // An empty region precedes the part that begins at the same offset.
    parts.sort_by_cached_key(|(start, _, range)| (*start, range.end));
    let longest = longest_stretch(findings, &parts);
    let mut item_of = vec![0; findings.target.regions.len()];
    let mut items = Vec::with_capacity(parts.len());
    for (_, region, range) in parts {
        if let Some(region) = region {
            item_of[region] = items.len();
        }
        match region {
            Some(region) if resembles(findings, region) => items.extend(bytes_items(findings, range, longest)),
            Some(region) => items.push(region_item(findings, region, &item_of)),
            None => items.extend(span_items(findings, range, longest)),
        }
    }
    let base = |layout: &Layout| BaseFile { length: layout.file_length, kind: layout.kind };
    let bases = findings.bases.layouts().iter().map(base).collect();
    let mut head = Head { bases, items, packed: Vec::new() };
    head.packed = packed(findings, &head, &item_of);
    head
}

/// The items of packed numbers, as far as their companions are what they should be.
fn packed(findings: &Findings, head: &Head, item_of: &[usize]) -> Vec<Packed> {
    // A region that equals an earlier one is restored from that one's chunks.
    let item = |region: usize| item_of[findings.earlier[region].unwrap_or(region)];
    let known = findings.packed.iter().filter(|known| findings.earlier[known.region].is_none());
    let known = known.map(|known| Packed {
        item: item(known.region),
        packing: known.packing,
        tiles: known.tiles,
        scales: item(known.scales),
        zeros: known.zeros.map(item),
        factor: known.factor.map(item),
        groups: known.groups.filter(|_| PACKINGS[usize::from(known.packing)].grouped).map(item),
        offsets: known.offsets.unwrap_or_default(),
    });
    let viewed = |packed: &Packed| {
        let Item::Region { region, content: Content::Chunks(Some(Partner::View(view))) } = &head.items[packed.item]
        else {
            return false;
        };
        view.derived.is_some() || view.origins.iter().all(|origin| origin.dtype == region.dtype)
    };
    let mut packed: Vec<Packed> = known.filter(|packed| viewed(packed) && packed.check(head).is_ok()).collect();
    packed.sort_unstable_by_key(|packed| packed.item);
    packed.dedup_by_key(|packed| packed.item);
    let items: Vec<usize> = packed.iter().map(|packed| packed.item).collect();
    packed.retain(|packed| packed.companions().all(|item| items.binary_search(&item).is_err()));
    packed
}

/// Leaves out the base files that no item takes anything from. Returns the former numbers of those
/// that stay.
pub(super) fn keep_used(head: &mut Head) -> Vec<usize> {
    let mut used = vec![false; head.bases.len()];
    bases_of(&mut head.items).for_each(|base| used[*base] = true);
    let kept: Vec<usize> = (0..used.len()).filter(|&base| used[base]).collect();
    let mut number = vec![0; used.len()];
    kept.iter().enumerate().for_each(|(new, &old)| number[old] = new);
    bases_of(&mut head.items).for_each(|base| *base = number[*base]);
    head.bases = kept.iter().map(|&base| head.bases[base]).collect();
    kept
}

/// The numbers of base files in all items.
fn bases_of(items: &mut [Item]) -> impl Iterator<Item = &mut usize> {
    items.iter_mut().flat_map(|item| -> Vec<&mut usize> {
        match item {
            Item::Region { content: Content::Chunks(Some(Partner::View(view))), .. } => {
                let factors = view.merge.iter_mut().flat_map(|merge| [&mut merge.a, &mut merge.b]);
                view.origins.iter_mut().chain(factors).map(|origin| &mut origin.base).collect()
            }
            Item::Region { content: Content::Chunks(Some(Partner::Bytes(stretch))), .. } => vec![&mut stretch.base],
            Item::Span(_) | Item::Region { .. } => Vec::new(),
        }
    })
}

fn region_item(findings: &Findings, i: usize, item_of: &[usize]) -> Item {
    let region = findings.target.regions[i].clone();
    let content = match findings.earlier[i] {
        Some(earlier) => Content::Earlier(item_of[earlier]),
        None => Content::Chunks(findings.views[i].clone().map(Partner::View)),
    };
    Item::Region { region, content }
}

/// The items of a span: its bytes if the head can hold them, or else regions of bytes.
fn span_items(findings: &Findings, range: Range<u64>, longest: u64) -> Vec<Item> {
    let length = range.end - range.start;
    if let Some(region) = twin_item(findings, &range) {
        return vec![region];
    }
    if let (Some(bytes), true) = (findings.spans.get(&range.start), length <= longest_span(range.start)) {
        return vec![Item::Span(bytes.clone())];
    }
    bytes_items(findings, range, longest)
}

/// Bytes between regions from which on they are paired with those at their place in the base.
const TWIN: u64 = 4 << 10;

/// The region of bytes between those of a file of places, paired with the bytes at the same place
/// of such a base of the same length: quantised weights are such bytes, between guessed floats.
fn twin_item(findings: &Findings, range: &Range<u64>) -> Option<Item> {
    let (target, length) = (&findings.target, range.end - range.start);
    let (base, _) = base_of_kind(findings).filter(|(_, base)| {
        let both = target.kind == Kind::Places && base.kind == Kind::Places;
        both && base.file_length == target.file_length && length > TWIN
    })?;
    let region = Region { name: String::new(), dtype: Dtype::U8, shape: vec![length], offset: range.start, length };
    let origin = Origin { base, name: range.start.to_string(), dtype: Dtype::U8 };
    let view = View::whole(&region, origin);
    Some(Item::Region { region, content: Content::Chunks(Some(Partner::View(view))) })
}

/// Returns true if the region is an opaque file that may resemble an opaque base.
fn resembles(findings: &Findings, region: usize) -> bool {
    let alone = findings.views[region].is_none() && findings.earlier[region].is_none();
    alone && findings.target.kind == Kind::Bytes && base_of_kind(findings).is_some()
}

/// The first base file of the target's kind, if its bytes may be relied on: those of safetensors
/// may not, since such a base serves in any sharding. A target of bytes may contain any other file.
fn base_of_kind(findings: &Findings) -> Option<(usize, &Layout)> {
    let kind = findings.target.kind;
    let bases = || findings.bases.layouts().iter().enumerate().filter(|(_, base)| base.file_length > 0);
    let same = bases().find(|(_, base)| base.kind == kind && kind != Kind::Safetensors);
    same.or_else(|| bases().next().filter(|_| kind == Kind::Bytes))
}

/// Bytes of a region that resembles the bytes around the same place of a long base.
const PIECE: u64 = MAX_STRETCH / 2;

/// Bytes that all regions of bytes together may resemble, for each byte of all files: each region
/// searches all of its own.
const SEARCHED: u64 = 2;

/// The most base bytes that a region of bytes may resemble, if these parts are the target.
fn longest_stretch(findings: &Findings, parts: &[Part]) -> u64 {
    let is_searched = |(start, region, range): &&Part| match *region {
        Some(region) => resembles(findings, region),
        None => range.end - range.start > longest_span(*start),
    };
    let count = parts.iter().filter(is_searched).count().max(1) as u64;
    let bases = findings.bases.layouts().iter().map(|base| base.file_length);
    let bytes = bases.fold(findings.target.file_length, u64::saturating_add);
    (bytes.saturating_mul(SEARCHED) / count).clamp(1, MAX_STRETCH)
}

/// Regions of bytes that cover `range`, each with at most `longest` base bytes around the same
/// place.
fn bytes_items(findings: &Findings, range: Range<u64>, longest: u64) -> Vec<Item> {
    let base = base_of_kind(findings);
    let is_long = base.is_some_and(|(_, base)| counterpart(findings, &range, base).0 > MAX_STRETCH);
    let step = if is_long { PIECE } else { range.end - range.start };
    let piece = |start: u64| {
        let length = step.min(range.end - start);
        let region = Region { name: String::new(), dtype: Dtype::U8, shape: vec![length], offset: start, length };
        let stretch = base.map(|(i, base)| stretch(findings, start..start + length, (i, base), longest));
        Item::Region { region, content: Content::Chunks(stretch.map(Partner::Bytes)) }
    };
    range.clone().step_by(step.max(1) as usize).map(piece).collect()
}

/// At most `longest` base bytes around the place that corresponds to `range`: the beginnings of
/// both files correspond, and so do their ends.
fn stretch(findings: &Findings, range: Range<u64>, (index, base): (usize, &Layout), longest: u64) -> Stretch {
    let (of, within) = counterpart(findings, &range, base);
    let length = of.min(longest);
    let middle = u128::from(range.start + range.end) / 2 * u128::from(of) / u128::from(within.max(1));
    let offset = (middle as u64).saturating_sub(length / 2).min(of - length);
    Stretch { base: index, offset, length }
}

/// The length of the base's bytes that correspond to the target's bytes around `range`, and the
/// length of these: of the headers, or of the files.
fn counterpart(findings: &Findings, range: &Range<u64>, base: &Layout) -> (u64, u64) {
    let target = &findings.target;
    match range.end <= target.header_length && base.header_length > 0 {
        true => (base.header_length, target.header_length),
        false => (base.file_length, target.file_length),
    }
}

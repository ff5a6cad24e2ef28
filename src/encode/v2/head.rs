//! Plans the head: the items of the target, decided before a byte is coded.

use std::ops::Range;

use crate::archive::v2::{BaseFile, Content, Head, Item, longest_span};
use crate::encode::survey::{Findings, spans};
use crate::layout::{Dtype, Layout, Region};

/// Describes the target as items, front to back.
pub(super) fn plan(findings: &Findings) -> Head {
    let mut parts: Vec<(u64, Option<usize>, Range<u64>)> =
        spans(&findings.target).into_iter().map(|span| (span.start, None, span)).collect();
    let regions = findings.target.regions.iter().enumerate();
    parts.extend(regions.map(|(i, region)| (region.offset, Some(i), region.range())));
    // An empty region precedes the part that begins at the same offset.
    parts.sort_by_cached_key(|(start, _, range)| (*start, range.end));
    let mut item_of = vec![0; findings.target.regions.len()];
    let mut items = Vec::with_capacity(parts.len());
    for (_, region, range) in parts {
        if let Some(region) = region {
            item_of[region] = items.len();
        }
        items.push(match region {
            Some(region) => region_item(findings, region, &item_of),
            None => span_item(findings, range),
        });
    }
    let base = |layout: &Layout| BaseFile { length: layout.file_length, kind: layout.kind };
    Head { bases: findings.bases.layouts().iter().map(base).collect(), items }
}

fn region_item(findings: &Findings, i: usize, item_of: &[usize]) -> Item {
    let region = findings.target.regions[i].clone();
    let content = match findings.earlier[i] {
        Some(earlier) => Content::Earlier(item_of[earlier]),
        None => Content::Chunks(findings.views[i].clone()),
    };
    Item::Region { region, content }
}

/// The item of a span: its bytes if the head can hold them, or else a region of bytes.
fn span_item(findings: &Findings, range: Range<u64>) -> Item {
    let length = range.end - range.start;
    if let (Some(bytes), true) = (findings.spans.get(&range.start), length <= longest_span(range.start)) {
        return Item::Span(bytes.clone());
    }
    let region = Region { name: String::new(), dtype: Dtype::U8, shape: vec![length], offset: range.start, length };
    Item::Region { region, content: Content::Chunks(None) }
}

//! The division of the short parts of a file into packs.

use super::super::file::Surveyed;
use super::LONGEST;
use super::partners::Partner;
use crate::codec::Segment;

/// The least length of a pack in bytes, unless it is the last one. A pack of at least this length
/// ends where that of the counterparts does.
const LEAST: u64 = 1 << 20;

/// The parts that become one pack.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) parts: Vec<&'a Surveyed>,
    pub(super) segments: Vec<Segment>,
    /// The number of the base, a pack of the file that the counterparts are in.
    pub(super) base: Option<usize>,
}

/// Divides parts, each with its counterpart if it has one, into packs. A file whose parts have
/// their counterparts in the same order has packs with the same bounds, so that each has one base.
pub(super) fn of<'a>(parts: &[&'a Surveyed], partners: &[Option<Partner>]) -> Vec<Group<'a>> {
    let (mut groups, mut begin, mut length) = (Vec::new(), 0, 0);
    let mut pack = None;
    for (end, (part, partner)) in parts.iter().zip(partners).enumerate() {
        let next = partner.as_ref().map(|partner| partner.pack);
        let is_elsewhere = pack.is_some() && next.is_some() && next != pack;
        if length + part.length() > LONGEST || length >= LEAST && is_elsewhere {
            groups.push(group(&parts[begin..end], &partners[begin..end]));
            (begin, length, pack) = (end, 0, None);
        }
        length += part.length();
        pack = next.or(pack);
    }
    if begin < parts.len() {
        groups.push(group(&parts[begin..], &partners[begin..]));
    }
    groups
}

fn group<'a>(parts: &[&'a Surveyed], partners: &[Option<Partner>]) -> Group<'a> {
    let base = most_frequent(partners);
    let mut segments = Vec::new();
    for (part, partner) in parts.iter().zip(partners) {
        let (dtype, length) = (Segment::word(part.part.dtype), part.length());
        let partner = partner.filter(|partner| Some(partner.pack) == base);
        let covered = partner.map_or(0, |partner| partner.covered);
        if let Some(partner) = partner {
            let base = Some((Segment::word(partner.dtype), partner.start));
            Segment { dtype, length: covered, base }.append(&mut segments);
        }
        if covered < length {
            Segment { dtype, length: length - covered, base: None }.append(&mut segments);
        }
    }
    Group { parts: parts.to_vec(), segments, base }
}

/// The number of the pack that most bytes have their counterparts in.
fn most_frequent(partners: &[Option<Partner>]) -> Option<usize> {
    let mut votes = std::collections::BTreeMap::<usize, u64>::new();
    partners.iter().flatten().for_each(|partner| *votes.entry(partner.pack).or_default() += partner.covered);
    votes.into_iter().max_by_key(|&(_, bytes)| bytes).map(|(pack, _)| pack)
}

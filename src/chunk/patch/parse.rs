//! The choice of sequences: the cheapest way through a stretch of the target, by the prices of
//! tokens that the stretches before it used.

use super::anchors::{self, Anchor};
use super::distance::Recent;
use super::finder::{Finder, LITERAL, Match};
use super::prices::{Counts, PRICE, Prices};
use super::{Effort, MOST_BASE, SHORTEST};
use crate::entropy::zstd::writer::Sequence;

/// Bytes of the target whose ways are compared at once.
const STRETCH: usize = 4096;

/// Length from which on a match is taken at once.
const LONG: usize = 192;

/// Number of stretches after which prices are computed anew.
const EVERY: usize = 8;

/// Length of a run of literals up to which distances around the latest are tried.
const CLOSE: usize = 24;

/// Bytes of the target, and the most bytes of a base, that are parsed twice at `default`.
const WARM: usize = 1 << 17;

/// The cheapest known way to a place.
#[derive(Debug, Clone, Copy)]
struct Node {
    price: u32,
    /// Literals before the place, since the last copy.
    literals: usize,
    /// The copy that ends at the place; its length is 0 where a literal does.
    last: Match,
    recent: Recent,
}

const FAR: Node = Node {
    price: u32::MAX,
    literals: 0,
    last: Match { length: 0, distance: 0, least: 0 },
    recent: Recent([0; super::distance::RECENT]),
};

/// Returns the sequences of `target`.
pub(super) fn parse(base: &[u8], target: &[u8], effort: Effort) -> Vec<Sequence> {
    debug_assert!(base.len() <= MOST_BASE);
    let window = [base, target].concat();
    let mut counts = Counts::guess(target);
    let mut sequences = Vec::new();
    // The first pass finds the prices of the second one.
    let first = match effort {
        Effort::Fast => 0,
        Effort::Default if base.len() > WARM => 0,
        Effort::Default => target.len().min(WARM),
        Effort::Max => target.len(),
    };
    let passes = [first, target.len()].map(|length| &window[..base.len() + length]);
    for window in passes.into_iter().skip(usize::from(first == 0)) {
        // At `max`, each copy is compared with others.
        let anchors = if effort == Effort::Max { Vec::new() } else { anchors::find(window, base.len()) };
        let finder = Finder::new(window, base.len(), &anchors, effort);
        let mut parser = Parser {
            window,
            base: base.len(),
            finder,
            prices: counts.prices(),
            counts,
            nodes: vec![FAR; STRETCH + LONG + 1],
            sequences: Vec::new(),
            recent: Recent::new(base.len()),
            done: base.len(),
            stretches: 0,
        };
        parser.run(&anchors);
        (counts, sequences) = (parser.counts, parser.sequences);
    }
    sequences
}

struct Parser<'a> {
    window: &'a [u8],
    base: usize,
    finder: Finder<'a>,
    counts: Counts,
    prices: Prices,
    nodes: Vec<Node>,
    sequences: Vec<Sequence>,
    /// The distances behind the last sequence.
    recent: Recent,
    /// The place behind the last sequence.
    done: usize,
    /// Number of stretches so far.
    stretches: usize,
}

impl Parser<'_> {
    /// Finds the sequences of the target, which include most of the anchors.
    fn run(&mut self, anchors: &[Anchor]) {
        let mut place = self.base;
        for anchor in anchors {
            if anchor.place.saturating_sub(place) > LITERAL {
                place = self.stretches(place, anchor.place);
            }
            let start = anchor.place.max(place);
            let end = anchor.place + anchor.length;
            if end >= start + SHORTEST {
                self.sequence(start, Match { length: end - start, distance: anchor.distance, least: SHORTEST });
                // Closer than the base, which has the same bytes.
                if end - place <= STRETCH {
                    self.finder.pass(place..end);
                }
                place = end;
            }
        }
        self.stretches(place, self.window.len());
    }

    /// Finds the sequences from `place` up to `end` or beyond, and returns the place behind them.
    fn stretches(&mut self, mut place: usize, end: usize) -> usize {
        while place < end {
            place = self.stretch(place, STRETCH.min(end - place));
            self.stretches += 1;
            if self.stretches.is_multiple_of(EVERY) || self.stretches < EVERY {
                self.counts.fade();
                self.prices = self.counts.prices();
            }
        }
        place
    }

    /// Finds the sequences of the next stretch and returns the place behind it.
    fn stretch(&mut self, start: usize, length: usize) -> usize {
        self.nodes[..=length + LONG].fill(FAR);
        self.nodes[0] = Node { price: 0, literals: start - self.done, recent: self.recent, ..FAR };
        let mut found = Vec::new();
        for i in 0..length {
            let (place, node) = (start + i, self.nodes[i]);
            let close = node.literals <= CLOSE;
            self.finder.find(place, &node.recent, close, &mut found);
            if let Some(long) = self.long(&found, &node.recent) {
                self.take(start, i);
                self.sequence(place, long);
                let end = place + long.length;
                (place + 1..end).step_by(if long.length > STRETCH { 4 } else { 1 }).for_each(|i| self.finder.add(i));
                return end;
            }
            self.relax_literal(i, node, self.window[place]);
            found.iter().for_each(|&found| self.relax(i, node, found));
        }
        self.take(start, length);
        start + length
    }

    /// The match to take at once, if any is long: a byte more is worth a bit of its distance's
    /// price.
    fn long(&self, found: &[Match], recent: &Recent) -> Option<Match> {
        let long = found.iter().filter(|found| found.length >= LONG);
        let worth =
            |found: &&Match| (found.length << PRICE) as i64 - i64::from(self.prices.distance(recent, found.distance));
        long.max_by_key(worth).copied()
    }

    fn relax_literal(&mut self, i: usize, node: Node, byte: u8) {
        let price = (node.price + self.prices.literal(byte)).saturating_add_signed(self.prices.longer(node.literals));
        if price < self.nodes[i + 1].price {
            self.nodes[i + 1] = Node { price, literals: node.literals + 1, last: FAR.last, ..node };
        }
    }

    fn relax(&mut self, i: usize, node: Node, found: Match) {
        let continues =
            i == 0 && node.literals == 0 && !self.sequences.is_empty() && found.distance == node.recent.0[0] as usize;
        let price = match continues {
            true => 0,
            false => node.price + self.prices.empty() + self.prices.distance(&node.recent, found.distance),
        };
        let mut recent = node.recent;
        recent.push(found.distance);
        for length in found.least..=found.length {
            let price = if continues { 0 } else { price + self.prices.copy(length) };
            let next = &mut self.nodes[i + length];
            if price < next.price {
                *next = Node { price, literals: 0, last: Match { length, ..found }, recent };
            }
        }
    }

    /// Appends the sequences of the way to node `end`.
    fn take(&mut self, start: usize, mut end: usize) {
        let mut copies = Vec::new();
        while end > 0 {
            let last = self.nodes[end].last;
            if last.length > 0 {
                copies.push((start + end - last.length, last));
            }
            end -= last.length.max(1);
        }
        copies.into_iter().rev().for_each(|(place, found)| self.sequence(place, found));
    }

    /// Appends a sequence whose copy is at `place`.
    fn sequence(&mut self, place: usize, found: Match) {
        let done = self.done;
        if let Some(last) = self.sequences.last_mut()
            && (place, last.distance) == (done, found.distance)
        {
            // A copy that a stretch's end has cut.
            last.copied += found.length;
            self.done += found.length;
            return;
        }
        let sequence = Sequence { inserted: place - done, copied: found.length, distance: found.distance };
        self.counts.add(&sequence, &self.recent, &self.window[done..place]);
        self.recent.push(found.distance);
        self.done = place + found.length;
        self.sequences.push(sequence);
    }
}

//! The bits that tokens are likely to take, by which the parser chooses.

use super::distance::{CODES, Recent};
use super::{KINDS, SHORTEST};
use crate::entropy::bins::{self, BINS, TOKENS};
use crate::entropy::log2::{FRACTION, log2};
use crate::entropy::zstd::writer::Sequence;

/// Fraction bits of a price.
pub(super) const PRICE: u32 = 8;

/// Lengths whose prices are in a table.
const SHORT: usize = 512;

/// Literals that are more than their recent frequencies need.
const MANY: u32 = 1 << 15;

/// Counts of the tokens of every kind.
#[derive(Debug, Clone)]
pub(super) struct Counts([[u32; 256]; KINDS]);

/// Prices in 1/256 of a bit, raw bits included.
#[derive(Debug)]
pub(super) struct Prices {
    literals: [u32; 256],
    inserts: Vec<u32>,
    copies: Vec<u32>,
    distances: [u32; CODES],
}

impl Counts {
    /// Guesses the counts of a target before anything is known of its sequences.
    pub(super) fn guess(target: &[u8]) -> Self {
        let mut counts = [[0; 256]; KINDS];
        let [inserts, copies, ..] = &mut counts;
        for (token, (insert, copy)) in (0..TOKENS as u32).zip(inserts.iter_mut().zip(copies)) {
            (*insert, *copy) = (200 / (token * token + 1), 200 / (token + 8));
        }
        counts[2][..3].copy_from_slice(&[125, 25, 15]);
        counts[2][3..CODES].iter_mut().enumerate().for_each(|(i, count)| *count = if i < 76 { 1 } else { 6 });
        target.iter().step_by((target.len() >> 14).max(1)).for_each(|&byte| counts[3][usize::from(byte)] += 1);
        Self(counts)
    }

    /// Adds a sequence with its literals, given the distances before it.
    pub(super) fn add(&mut self, sequence: &Sequence, recent: &Recent, literals: &[u8]) {
        self.0[0][usize::from(bins::token(sequence.inserted as u64))] += 1;
        self.0[1][usize::from(bins::token((sequence.copied - SHORTEST) as u64))] += 1;
        self.0[2][usize::from(recent.code(sequence.distance).token)] += 1;
        literals.iter().for_each(|&byte| self.0[3][usize::from(byte)] += 1);
    }

    /// Halves the counts of literals where there are many: their frequencies differ from part to
    /// part.
    pub(super) fn fade(&mut self) {
        if self.0[3].iter().sum::<u32>() > MANY {
            self.0[3].iter_mut().for_each(|count| *count /= 2);
        }
    }

    pub(super) fn prices(&self) -> Prices {
        let prices = self.0.each_ref().map(|counts| {
            let total = log2(counts.iter().sum::<u32>() + 128);
            counts.map(|count| (total.saturating_sub(log2(2 * count + 1)) + (1 << FRACTION)) >> (FRACTION - PRICE))
        });
        let raw = |token: usize| BINS[token].1 << PRICE;
        let lengths = |kind: usize| {
            let price = |length: usize| {
                let token = usize::from(bins::token(length as u64));
                prices[kind][token] + raw(token)
            };
            (0..SHORT).map(price).collect()
        };
        let mut distances = [0; CODES];
        distances.iter_mut().enumerate().for_each(|(token, price)| *price = prices[2][token]);
        Prices { literals: prices[3], inserts: lengths(0), copies: lengths(1), distances }
    }
}

impl Prices {
    pub(super) fn literal(&self, byte: u8) -> u32 {
        self.literals[usize::from(byte)]
    }

    /// Returns the price of one more literal in a run of `length` of them, without the literal's.
    pub(super) fn longer(&self, length: usize) -> i32 {
        if length + 1 >= SHORT {
            return 0;
        }
        self.inserts[length + 1] as i32 - self.inserts[length] as i32
    }

    /// Returns the price of an empty run of literals.
    pub(super) fn empty(&self) -> u32 {
        self.inserts[0]
    }

    pub(super) fn copy(&self, length: usize) -> u32 {
        self.copies[(length - SHORTEST).min(SHORT - 1)]
    }

    pub(super) fn distance(&self, recent: &Recent, distance: usize) -> u32 {
        let code = recent.code(distance);
        self.distances[usize::from(code.token)] + (code.width << PRICE)
    }
}

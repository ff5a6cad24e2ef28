//! Families: models that are connected by parts with similar signatures.

use std::collections::{BTreeMap, HashMap};

use super::similar::is_near;
use super::waves::Candidate;
use crate::ingest::Signature;

/// The numbers of bits by which a signature is shifted for each of its keys, and the bits of a key.
/// Two signatures are compared if one key is the same.
const SHIFTS: [u32; 3] = [0, 21, 42];
const KEY: u64 = (1 << 21) - 1;
/// The maximum number of signatures under a key that others are compared with.
const MOST: usize = 16;

/// The families of the models of these numbers, by their parts without a base. A model without
/// relatives is a family of its own. The families, and the models in each, are in order.
pub(super) fn of(models: &[Candidate], open: &[usize]) -> Vec<Vec<usize>> {
    let mut sets = Sets((0..open.len()).collect());
    let mut keys: HashMap<(u32, u64), Vec<(usize, Signature)>> = HashMap::new();
    for (number, model) in open.iter().enumerate() {
        let signatures = models[*model].uncovered().filter_map(|(_, sample)| sample.seen.signature);
        for (signature, shift) in signatures.flat_map(|signature| SHIFTS.map(|shift| (signature, shift))) {
            let known = keys.entry((shift, signature.bits() >> shift & KEY)).or_default();
            let near = known.iter().filter(|(_, other)| is_near(other, &signature));
            let near: Vec<usize> = near.map(|(other, _)| *other).collect();
            near.iter().for_each(|other| sets.join(number, *other));
            if near.is_empty() && known.len() < MOST {
                known.push((number, signature));
            }
        }
    }
    let mut families: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, model) in open.iter().enumerate() {
        families.entry(sets.first(number)).or_default().push(*model);
    }
    families.into_values().collect()
}

/// Up to `most` of the members of a family, at equal distances.
pub(super) fn spread(family: &[usize], most: usize) -> impl Iterator<Item = usize> + '_ {
    let count = family.len().min(most);
    (0..count).map(move |number| family[number * family.len() / count])
}

/// Disjoint sets of numbers, each named by its smallest one.
struct Sets(Vec<usize>);

impl Sets {
    fn first(&mut self, mut number: usize) -> usize {
        while self.0[number] != number {
            self.0[number] = self.0[self.0[number]];
            number = self.0[number];
        }
        number
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}

//! Pairs of whole regions.

use std::collections::HashMap;

use super::signature::Likeness;
use super::{Class, Models, Subject};
use crate::chunk::is_integer;
use crate::plan::Place;

/// Comparisons of signatures, at most. They take about half a second, and forged models of many
/// equal shapes must not take longer.
const COMPARISONS: usize = 1 << 26;

/// Renamed prefixes that are tried for regions which are too small to recognise.
const PREFIXES: usize = 16;

/// Returns the base region that each region of the target is paired with as a whole.
pub(crate) fn whole_pairs(models: &Models) -> Vec<Option<Place>> {
    let mut by_measure: HashMap<(Class, u64), Vec<Place>> = HashMap::new();
    for subject in models.base_regions() {
        if let Subject::Base(place) = subject {
            by_measure.entry(models.measure(subject)).or_default().push(place);
        }
    }
    let mut left = COMPARISONS;
    let mut pairs: Vec<Option<Place>> =
        models.targets().map(|target| best(models, target, &by_measure, &mut left)).collect();
    pair_renamed(models, &mut pairs);
    pairs
}

/// Returns the base region for one region of the target: that of its name, unless another one is
/// clearly more alike.
fn best(
    models: &Models,
    target: Subject,
    by_measure: &HashMap<(Class, u64), Vec<Place>>,
    left: &mut usize,
) -> Option<Place> {
    let region = models.region(target).1;
    let measure = models.measure(target);
    let weights = is_integer(region.dtype).then_some((Class::Weights, measure.1));
    let likeness = |place: Place| models.start(target).likeness(&models.start(Subject::Base(place)));
    let fits = |place: &Place| {
        let base = Subject::Base(*place);
        let same = models.measure(base) == measure || weights == Some(models.measure(base));
        same && models.may_pair(target, base)
    };
    let named = models.bases.partner(region);
    let named = named.or_else(|| names(&region.name).flat_map(|name| models.bases.named(name)).copied().find(fits));
    if let Some(named) = named.filter(|&place| !likeness(place).is_unrelated()) {
        return Some(named);
    }
    let known = [Some(measure), weights].into_iter().flatten().filter_map(|measure| by_measure.get(&measure));
    let candidates: Vec<Place> = known.flatten().copied().collect();
    *left = left.saturating_sub(candidates.len());
    if *left == 0 {
        return named;
    }
    let mut found: Option<(f32, usize, Place)> = None;
    for place in candidates.into_iter().filter(|place| models.may_pair(target, Subject::Base(*place))) {
        let Likeness::Share(share) = likeness(place) else { continue };
        if likeness(place).is_related() && found.is_none_or(|(least, _, _)| share <= least) {
            let common = common_suffix(&region.name, &models.bases.region(place).name);
            if found.is_none_or(|(least, longest, _)| share < least || common > longest) {
                found = Some((share, common, place));
            }
        }
    }
    found.map(|(_, _, place)| place).or(named)
}

/// The ending of a tensor's name that onnxruntime's quantisers add.
const QUANTISED: &str = "_quantized";

/// The names under which a region's partner is looked for.
fn names(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once(name).chain(name.strip_suffix(QUANTISED))
}

/// Pairs the regions that are too small to recognise, by the prefixes that were renamed in other
/// pairs.
fn pair_renamed(models: &Models, pairs: &mut [Option<Place>]) {
    let mut votes: HashMap<(&str, &str), usize> = HashMap::new();
    for (region, place) in models.target.regions.iter().zip(&*pairs) {
        let Some(place) = place else { continue };
        let other = &models.bases.region(*place).name;
        let common = common_suffix(&region.name, other);
        let prefixes = (&region.name[..region.name.len() - common], &other[..other.len() - common]);
        if prefixes.0 != prefixes.1 {
            *votes.entry(prefixes).or_default() += 1;
        }
    }
    let mut renamed: Vec<((&str, &str), usize)> = votes.into_iter().collect();
    renamed.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    renamed.truncate(PREFIXES);
    let renamed: Vec<(String, String)> = renamed.iter().map(|((from, to), _)| ((*from).into(), (*to).into())).collect();
    for (i, region) in models.target.regions.iter().enumerate().filter(|(_, region)| region.length > 0) {
        if pairs[i].is_some() {
            continue;
        }
        let names =
            renamed.iter().filter_map(|(from, to)| Some([to, region.name.strip_prefix(from.as_str())?].concat()));
        let target = Subject::Target(i);
        let measure = models.measure(target);
        let mut places = names.flat_map(|name| models.bases.named(&name).to_vec());
        pairs[i] = places.find(|&place| {
            let base = Subject::Base(place);
            models.measure(base) == measure && models.may_pair(target, base)
        });
    }
}

/// Returns the length in bytes of the longest suffix of whole characters that both names have.
pub(super) fn common_suffix(a: &str, b: &str) -> usize {
    a.chars().rev().zip(b.chars().rev()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

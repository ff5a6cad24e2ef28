//! The similarity of samples: the share of a part that a delta against another one is likely to
//! save. Only an order is derived from it, so it is cheap and rough.

use std::collections::HashMap;

use bitx::distance::{Sketch, predict};
use bitx::layout::Dtype;

use super::sample::Sample;
use crate::ingest::{NEAR, Seen, Signature};

/// The share of differing bits up to which a delta pays for sure, and from which it does not. The
/// size is predicted between the two.
const SURE: f64 = 0.2;
const STRANGE: f64 = 0.45;
/// The shares that a base of more bits and one of fewer bits save, if one is the cast of the other.
const CAST: [f64; 2] = [0.8, 0.4];
/// The share of the common rows that a base with another number of rows saves.
const RESIZED: f64 = 0.7;
/// The floats that can be cast into each other.
const FLOATS: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::BF16];

/// The samples of a model, as bases.
#[derive(Debug)]
pub(super) struct Bases<'a> {
    samples: &'a [Sample],
    sketches: HashMap<(Dtype, u64), Vec<&'a Sample>>,
}

impl<'a> Bases<'a> {
    pub(super) fn of(samples: &'a [Sample]) -> Self {
        let mut sketches: HashMap<_, Vec<_>> = HashMap::new();
        for sample in samples {
            let sketch = &sample.seen.sketch;
            sketches.entry((sketch.dtype(), sketch.length())).or_default().push(sample);
        }
        Self { samples, sketches }
    }

    /// The share of `target` that the best base saves, and the number of its file. `None` if no
    /// base helps.
    pub(super) fn best(&self, target: &Seen) -> Option<(f64, usize)> {
        let sketch = &target.sketch;
        let alike = self.sketches.get(&(sketch.dtype(), sketch.length())).into_iter().flatten();
        let alike = saving(alike.map(|sample| (&sample.seen.sketch, sample.file)), sketch);
        alike.or_else(|| self.kin(target))
    }

    /// The best base of another dtype or number of rows.
    fn kin(&self, target: &Seen) -> Option<(f64, usize)> {
        let signature = target.signature?;
        let near = self.samples.iter().filter(|base| base.seen.signature.is_some_and(|own| is_near(&own, &signature)));
        let shares = near.filter_map(|base| Some((kinship(&base.seen.sketch, &target.sketch)?, base.file)));
        shares.max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Returns `true` if two signatures are likely to be of related tensors.
pub(super) fn is_near(a: &Signature, b: &Signature) -> bool {
    (a.bits() ^ b.bits()).count_ones() <= NEAR
}

/// The share of a tensor that the closest of several bases saves, with what stands beside that
/// base.
pub(super) fn saving<'s, T>(bases: impl Iterator<Item = (&'s Sketch, T)>, target: &Sketch) -> Option<(f64, T)> {
    let bits = (8 * target.bytes().len()) as f64;
    let near = bases.filter_map(|(base, beside)| {
        let distance = base.distance(target).ok()?;
        Some((distance.per_word() * distance.words() as f64 / bits.max(1.0), base, beside))
    });
    let (share, base, beside) = near.min_by(|a, b| a.0.total_cmp(&b.0))?;
    if share <= SURE {
        return Some((1.0 - 2.0 * share, beside));
    }
    let predicted = (share < STRANGE).then(|| predict(base, target).ok())??;
    predicted.delta_pays().then_some((predicted.alone_ratio - predicted.delta_ratio, beside))
}

/// The share that a base of another dtype or length saves, whose signature is near.
fn kinship(base: &Sketch, target: &Sketch) -> Option<f64> {
    let width = |sketch: &Sketch| sketch.dtype().block().1;
    if base.dtype() == target.dtype() {
        let common = base.length().min(target.length()) as f64 / target.length().max(1) as f64;
        return (base.length() != target.length()).then_some(RESIZED * common);
    }
    let are_floats = FLOATS.contains(&base.dtype()) && FLOATS.contains(&target.dtype());
    let are_equal = base.length() / width(base) == target.length() / width(target);
    let [wide, narrow] = CAST;
    (are_floats && are_equal).then_some(if width(base) > width(target) { wide } else { narrow })
}

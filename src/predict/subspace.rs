//! The search for the directions along which a change lies, by randomised subspace iteration.
//!
//! Source: N. Halko, P. G. Martinsson, J. A. Tropp, <https://arxiv.org/abs/0909.4061>.

use super::change::{Change, Weights};
use super::linear::{Dense, Rows, eigen};
use crate::layout::Dtype;

/// The components of a change, the strongest first.
#[derive(Debug)]
pub(crate) struct Components {
    /// The direction of each component: rows of length 1.
    pub(crate) directions: Dense,
    /// The singular value of each component: the length of the change along its direction.
    pub(crate) strengths: Vec<f64>,
    /// The sum of the squares of the change.
    pub(crate) energy: f64,
    /// The number of elements of the change.
    pub(crate) elements: usize,
    /// The weights of the change's elements, if not all count the same.
    pub(crate) weights: Option<Weights>,
}

/// The settings of a search for components.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    /// The largest number of components to find.
    pub(crate) rank: usize,
    /// The number of further directions, which make the components more exact.
    pub(crate) oversampling: usize,
    pub(crate) iterations: usize,
}

/// The number of rows that tell whether a search is worth its time.
const GLANCE: usize = 128;

/// Returns the rows, of `all`, whose change tells whether a search [is worth its
/// time](is_worth_trying).
pub(crate) fn glance(all: usize) -> impl Iterator<Item = usize> + Clone {
    (0..GLANCE.min(all)).map(move |i| i * all / GLANCE.min(all))
}

/// Returns true if much of a change is likely to lie along a few directions, given the change of
/// the rows of a [`glance`]. The test compares the strongest components of these rows with those
/// that noise would have.
pub(crate) fn is_worth_trying(Change { matrix: rows, .. }: &Change) -> bool {
    const COMPONENTS: usize = 8;
    /// The least mean share of the energy per component, in units of the largest share that a
    /// component of noise has. Fine-tunes of every weight have 3.7 and more, and those that moved
    /// few weights 2.9 and less.
    const EXCESS: f64 = 3.0;
    /// The same bound for the first component alone: there the figures are 9 and 7.2.
    const EXCESS_OF_FIRST: f64 = 8.0;
    let energy = rows.energy();
    if energy == 0.0 {
        return false;
    }
    let search = Search { rank: COMPONENTS, oversampling: 0, iterations: 1 };
    let (_, strengths) = strongest(rows, search);
    let (m, n) = (rows.rows() as f64, rows.columns as f64);
    // The largest share that a component of noise has, after V. A. Marchenko and L. A. Pastur.
    let noise = (m.sqrt() + n.sqrt()) * (m.sqrt() + n.sqrt()) / (m * n);
    let share = |count: usize| strengths[..count].iter().map(|s| s * s).sum::<f64>() / energy / count as f64;
    share(strengths.len()) > EXCESS * noise || share(1) > EXCESS_OF_FIRST * noise
}

impl Components {
    /// Finds the components of `change`, whose energy is not 0.
    pub(crate) fn find(dtype: Dtype, change: &Change, search: Search) -> Self {
        let rank = search.rank.min(change.matrix.rows()).min(change.matrix.columns);
        let (energy, elements) = (change.matrix.energy(), change.matrix.data.len());
        let (found, strengths) = strongest(&change.matrix, Search { rank, ..search });
        let explained: f64 = strengths.iter().map(|s| s * s).sum();
        let residual = ((energy - explained) / change.matrix.data.len() as f64).max(0.0);
        let Some(weights) = Weights::new(dtype, change, residual) else {
            return Self { directions: found, strengths, energy, elements, weights: None };
        };
        let (directions, strengths) = refine(change, &weights, &found);
        Self { directions, strengths, energy, elements, weights: Some(weights) }
    }
}

/// Returns the directions and strengths of the strongest components of `matrix`.
fn strongest(matrix: &Dense, search: Search) -> (Dense, Vec<f64>) {
    let count = (search.rank + search.oversampling).min(matrix.rows()).min(matrix.columns);
    let mut directions = noise(count, matrix.columns);
    for _ in 0..search.iterations {
        let mut along = transposed(&matrix.times_transposed(&directions));
        along.orthonormalise();
        directions = transposed(&along).transposed_times(matrix);
        directions.orthonormalise();
    }
    rotate(&directions, &transposed(&matrix.times_transposed(&directions)), search.rank)
}

/// Fits the components once more, to the change after its elements are pulled towards them by
/// weight.
fn refine(change: &Change, weights: &Weights, directions: &Dense) -> (Dense, Vec<f64>) {
    let mut along = Dense::zeros(change.matrix.rows(), directions.rows());
    let mut pulled = Vec::new();
    let mut run = Vec::new();
    for (i, (rows, exponents)) in runs(change).enumerate() {
        run.resize(rows.count() * along.columns, 0.0);
        rows.times_transposed(directions.all(), &mut run);
        pull(weights, (rows, exponents), &run, directions, &mut pulled);
        let start = i * TOGETHER * along.columns;
        let along = &mut along.data[start..start + run.len()];
        Rows { data: &pulled, ..rows }.times_transposed(directions.all(), along);
    }
    let mut basis = transposed(&along);
    basis.orthonormalise();
    let basis = transposed(&basis);
    let mut rows = Dense::zeros(basis.columns, directions.columns);
    let alongs = along.all().runs(TOGETHER).zip(basis.all().runs(TOGETHER));
    for (run, (along, basis)) in runs(change).zip(alongs) {
        pull(weights, run, along.data, directions, &mut pulled);
        basis.add_transposed_times(Rows { data: &pulled, ..run.0 }, &mut rows.data);
    }
    // These rows are the change along the basis; they are then turned to where the change is
    // strongest.
    let gram = rows.times_transposed(&rows);
    let (values, vectors) = eigen_of(&gram);
    rows = vectors.times(&rows);
    for (row, value) in rows.data.chunks_exact_mut(rows.columns).zip(&values) {
        let scale = if *value > 0.0 { (1.0 / value.sqrt()) as f32 } else { 0.0 };
        row.iter_mut().for_each(|x| *x *= scale);
    }
    (rows, values.iter().map(|value| value.max(0.0).sqrt()).collect())
}

/// Rows of a change that are pulled together, so that they stay in the cache.
const TOGETHER: usize = 8;

/// Returns runs of [`TOGETHER`] rows of a change with exponents, and their exponents.
fn runs(change: &Change) -> impl Iterator<Item = (Rows<'_>, &[u8])> {
    change.matrix.all().runs(TOGETHER).zip(change.exponents.chunks(TOGETHER * change.matrix.columns))
}

/// Replaces `pulled` by rows of a change that are pulled towards their components: `along`, times
/// the directions.
fn pull(weights: &Weights, run: (Rows<'_>, &[u8]), along: &[f32], directions: &Dense, pulled: &mut Vec<f32>) {
    let (rows, exponents) = run;
    pulled.resize(rows.data.len(), 0.0);
    Rows { columns: directions.rows(), data: along }.times(directions.all(), pulled);
    weights.pull(rows.data, exponents, pulled);
}

/// Turns `directions` to where a change is strongest, and returns the first `rank` of them with
/// their strengths. Each row of `along` holds the change along one direction.
fn rotate(directions: &Dense, along: &Dense, rank: usize) -> (Dense, Vec<f64>) {
    let (values, vectors) = eigen_of(&along.times_transposed(along));
    let rank = rank.min(values.len());
    let strengths = values[..rank].iter().map(|value| value.max(0.0).sqrt()).collect();
    (vectors.truncated(rank).times(directions), strengths)
}

fn eigen_of(gram: &Dense) -> (Vec<f64>, Dense) {
    let n = gram.columns;
    let (values, vectors) = eigen(gram.data.iter().map(|&x| f64::from(x)).collect(), n);
    (values, Dense { columns: n, data: vectors.iter().map(|&x| x as f32).collect() })
}

fn transposed(matrix: &Dense) -> Dense {
    let mut transposed = Dense::zeros(matrix.columns, matrix.rows());
    for (i, row) in matrix.data.chunks_exact(matrix.columns.max(1)).enumerate() {
        row.iter().enumerate().for_each(|(j, &x)| transposed.data[j * matrix.rows() + i] = x);
    }
    transposed
}

/// Returns a matrix of random signs, the same ones every time.
fn noise(rows: usize, columns: usize) -> Dense {
    let mut seed = 1u64;
    let mut next = || {
        // SplitMix64: G. Steele, D. Lea, C. Flood, <https://doi.org/10.1145/2660193.2660195>.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        if (z ^ z >> 31) & 1 == 0 { 1.0 } else { -1.0 }
    };
    Dense { columns, data: (0..rows * columns).map(|_| next()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a change along `rank` directions, where direction `i` has the strength `2^-i`, with
    /// noise of that `level`.
    fn change(rank: usize, rows: usize, columns: usize, level: f32) -> Change {
        let (u, v, other) = (noise(rows, rank + 1), noise(rank + 7, columns), noise(rows + 3, columns));
        let mut data: Vec<f32> = other.data[3 * columns..].iter().map(|x| x * level).collect();
        for (i, x) in data.iter_mut().enumerate() {
            let product = |k: usize| u.row(i / columns)[k] * v.row(k + 7)[i % columns] / (1 << k) as f32;
            *x += (0..rank).map(product).sum::<f32>();
        }
        Change { matrix: Dense { columns, data }, exponents: Vec::new() }
    }

    #[test]
    fn directions_of_a_change_are_found() {
        let change = change(3, 200, 96, 0.01);
        assert!(is_worth_trying(&change.rows(glance(200))));
        let components = Components::find(Dtype::F32, &change, Search { rank: 3, oversampling: 4, iterations: 1 });
        let explained: f64 = components.strengths.iter().map(|s| s * s).sum();
        assert!(explained > components.energy * 0.998, "{explained} of {}", components.energy);
        for row in components.directions.data.chunks_exact(96) {
            assert!((super::super::linear::dot(row, row) - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn noise_and_zeros_are_not_worth_trying() {
        assert!(!is_worth_trying(&change(0, 300, 384, 1.0).rows(glance(300))));
        assert!(!is_worth_trying(&change(0, 300, 384, 0.0).rows(glance(300))));
    }
}

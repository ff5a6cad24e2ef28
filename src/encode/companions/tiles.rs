//! The tiles of packed numbers, as far as the shapes of the numbers and of their scales tell them.

use crate::quant::packed::Tiles;

/// The tiles of numbers, so many in a word, whose scales have the extents of one dimension and else
/// 1, or are those of blocks in each row.
pub(super) fn of_dimension(shape: &[u64], scales: &[u64], per_word: u64) -> Option<Tiles> {
    let product = |extents: &[u64]| extents.iter().try_fold(1u64, |all, extent| all.checked_mul(*extent));
    let (&[ref outer @ .., last], runs) = (shape, |run: u64| Tiles { width: run, rows: 1, columns: run }) else {
        return None;
    };
    let (columns, rows) = (last.checked_mul(per_word)?, product(outer)?);
    let mut extents = scales.iter().enumerate().filter(|(_, extent)| **extent > 1);
    match (extents.next(), extents.next()) {
        (None, _) => Some(Tiles { width: columns, rows, columns }),
        (Some((dimension, &extent)), None) if dimension == outer.len() && extent == columns => {
            Some(Tiles { width: columns, rows, columns: 1 })
        }
        (Some((dimension, _)), None) if dimension < outer.len() && product(&outer[..dimension])? == 1 => {
            Some(runs(product(&outer[dimension + 1..])?.checked_mul(columns)?))
        }
        _ => {
            let (&blocks, above) = scales.split_last()?;
            (above == outer && blocks > 0 && columns.is_multiple_of(blocks)).then(|| runs(columns / blocks))
        }
    }
}

/// The tiles of a matrix, or of a stack of matrices, with scales of this shape; both have words.
pub(super) fn tiles_of(shape: &[u64], scales: &[u64]) -> Option<Tiles> {
    let &[ref outer @ .., columns] = shape else { return None };
    let rows: u64 = outer.iter().product();
    let words: u64 = scales.iter().product();
    if words == 1 {
        return Some(Tiles { width: columns, rows, columns });
    }
    let across = match scales {
        [_] if words == columns && words != rows => words,
        [_] => 1,
        [.., across] => *across,
        [] => return None,
    };
    // The tiles of each matrix of a stack begin anew.
    let (rows, down) = match (outer, scales) {
        (&[stack, rows], &[same, down, _]) if stack == same => (rows, down),
        _ => (rows, words / across),
    };
    let tiles = Tiles { width: columns, rows: tile(rows, down)?, columns: tile(columns, across)? };
    let count = outer.iter().product::<u64>() * columns;
    (tiles.count(count) == words).then_some(tiles)
}

/// The extent of tiles of which there are `count` in an extent: all of it, 1, or a power of two.
fn tile(extent: u64, count: u64) -> Option<u64> {
    let powers = std::iter::once(128).chain((1..16).rev().map(|power| 1 << power));
    let mut extents = [extent, 1].into_iter().chain(powers).filter(|&tile| tile > 0);
    extents.find(|tile| extent.div_ceil(*tile) == count)
}

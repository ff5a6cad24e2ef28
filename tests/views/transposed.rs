//! Targets with the rows of the base's matrices as columns.

use super::*;

/// The words of each matrix, column by column.
pub(super) fn transposed(words: &[u8], [count, rows, columns]: [usize; 3], width: usize) -> Vec<u8> {
    let places = (0..count).flat_map(|matrix| {
        let word = move |row, column| ((matrix * rows + row) * columns + column) * width;
        (0..columns).flat_map(move |column| (0..rows).map(move |row| word(row, column)))
    });
    places.flat_map(|start| &words[start..start + width]).copied().collect()
}

#[test]
fn transposed_matrices_are_found() {
    let (rows, columns) = (480, COLUMNS);
    let (weights, shape) = (weights(1, rows * columns), [rows as u64, columns as u64]);
    let tuned = bf16(&tuned(&weights, 2));
    let turned = transposed(&tuned, [1, rows, columns], 2);
    let base = model(&[("a", "BF16", &shape, &bf16(&weights))]);
    let same = share(&base, &model(&[("a", "BF16", &shape, &tuned)]));
    let [long, short] = [rows as u64, columns as u64];
    for (name, shape) in [("a", vec![short, long]), ("other", vec![short, long]), ("a", vec![short, 1, long, 1])] {
        let share = share(&base, &model(&[(name, "BF16", &shape, &turned)]));
        assert!(share < same + 0.01, "{name} {shape:?}: {share} against {same}");
    }
    let wide = reference::cast::cast(&turned, 14, 17);
    assert!(share(&base, &model(&[("wide", "F32", &[short, long], &wide)])) < same);
    let own = transposed(&bf16(&weights), [1, rows, columns], 2);
    assert!(share(&base, &model(&[("b", "BF16", &[short, long], &own)])) < 0.02);
}

/// Matrices above 32 MiB are strips of columns.
#[test]
fn large_transposed_matrices_are_found() {
    let (rows, columns) = (2800, 3000);
    let words = f32(&weights(1, rows * columns));
    let base = model(&[("w", "F32", &[rows as u64, columns as u64], &words)]);
    let other = transposed(&words, [1, rows, columns], 4);
    let target = model(&[("w", "F32", &[columns as u64, rows as u64], &other)]);
    let archive = compress(&base, &target, Format::V2 { effort: Effort::Fast }).unwrap();
    assert!(archive.len() < 2000, "{}", archive.len());
    assert!(restore(&base, &archive).unwrap() == target);
}

/// A matrix with as many rows as columns has the name, dtype and shape of its partner.
#[test]
fn transposed_squares_and_stacks_are_found() {
    let base = weights(1, 4 * 48 * 48);
    let tuned = bf16(&tuned(&base, 2));
    for shape in [[1, 96, 96], [4, 48, 48], [6, 48, 32]] {
        let [count, rows, columns] = shape.map(|extent| extent as u64);
        let file = |extents: &[u64], words: &[u8]| model(&[("w", "BF16", extents, words)]);
        let base = file(&[count, rows, columns], &bf16(&base));
        let same = share(&base, &file(&[count, rows, columns], &tuned));
        let share = share(&base, &file(&[count, columns, rows], &transposed(&tuned, shape, 2)));
        assert!(share < same + 0.01, "{shape:?}: {share} against {same}");
    }
}

/// Kernels of convolutions and of attention have neighbouring extents that move together, and some of
/// a few elements.
#[test]
fn kernels_in_another_order_are_found() {
    let file = |extents: &[usize], words: &[u8]| {
        let extents: Vec<u64> = extents.iter().map(|&extent| extent as u64).collect();
        model(&[("w", "BF16", &extents, words)])
    };
    let kernels: [(&[usize], [usize; 3], &[usize]); 6] = [
        (&[48, 32, 3, 3], [48, 32, 9], &[48, 3, 3, 32]),
        (&[400, 1, 3, 3], [1, 400, 9], &[3, 3, 400, 1]),
        (&[96, 3, 7, 7], [96, 3, 49], &[96, 7, 7, 3]),
        (&[128, 64], [1, 128, 64], &[64, 8, 16]),
        (&[64, 128], [1, 64, 128], &[8, 16, 64]),
        (&[3, 64, 96], [3, 64, 96], &[3, 8, 12, 64]),
    ];
    for (extents, stack, turned) in kernels {
        let base = weights(1, extents.iter().product());
        let tuned = bf16(&tuned(&base, 2));
        let base = file(extents, &bf16(&base));
        let same = share(&base, &file(extents, &tuned));
        let share = share(&base, &file(turned, &transposed(&tuned, stack, 2)));
        assert!(share < same + 0.02, "{turned:?}: {share} against {same}");
    }
}

/// A matrix of several chunks, each of which needs all rows of the base.
#[test]
fn chunks_of_transposed_matrices_are_restored_apart() {
    let (rows, columns) = (3000, 1000);
    let base = weights(1, rows * columns);
    let turned = transposed(&bf16(&tuned(&base, 2)), [1, rows, columns], 2);
    let base = model(&[("a", "BF16", &[rows as u64, columns as u64], &bf16(&base))]);
    let target = model(&[("a", "BF16", &[columns as u64, rows as u64], &turned)]);
    assert!(share(&base, &target) < 0.45);
    let archive = compress(&base, &target, Format::V2 { effort: Effort::Fast }).unwrap();
    assert!(restore_tensor(&base, &archive, "a") == turned);
}

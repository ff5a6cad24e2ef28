//! Targets whose words come from rectangles of the base's matrices.

use std::ops::Range;
use std::slice::from_ref;

use bitx::ErrorKind;

use super::common::forge::{self, Record, varint};
use super::*;

/// A matrix of so many columns.
#[derive(Clone)]
struct Matrix {
    columns: usize,
    weights: Vec<f32>,
}

impl Matrix {
    fn new(seed: u32, rows: usize, columns: usize) -> Self {
        Self { columns, weights: weights(seed, rows * columns) }
    }

    fn rows(&self) -> usize {
        self.weights.len() / self.columns
    }

    fn tuned(&self, seed: u32) -> Self {
        Self { weights: tuned(&self.weights, seed), ..*self }
    }

    fn transposed(&self) -> Self {
        let word = |row: usize, column: usize| self.weights[row * self.columns + column];
        let words = (0..self.columns).flat_map(|column| (0..self.rows()).map(move |row| word(row, column)));
        Self { columns: self.rows(), weights: words.collect() }
    }

    /// The columns of all matrices, row by row.
    fn beside(matrices: &[Self]) -> Self {
        let row = |row: usize| matrices.iter().flat_map(move |of| &of.weights[row * of.columns..][..of.columns]);
        let columns = matrices.iter().map(|of| of.columns).sum();
        Self { columns, weights: (0..matrices[0].rows()).flat_map(row).copied().collect() }
    }

    /// The first columns of all matrices, then the second ones, and so on.
    fn in_turn(matrices: &[Self]) -> Self {
        let first: Vec<f32> = matrices[0].weights.clone();
        let words = (0..first.len()).flat_map(|word| matrices.iter().map(move |of| of.weights[word]));
        Self { columns: matrices[0].columns * matrices.len(), weights: words.collect() }
    }

    fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let row = |row: usize| &self.weights[row * self.columns..][columns.clone()];
        Self { columns: columns.len(), weights: rows.flat_map(row).copied().collect() }
    }

    fn shape(&self) -> [u64; 2] {
        [self.rows() as u64, self.columns as u64]
    }
}

/// A model of matrices, which are called by a prefix and their numbers.
fn file(prefix: &str, matrices: &[Matrix]) -> Vec<u8> {
    let tensors: Vec<(String, [u64; 2], Vec<u8>)> = matrices
        .iter()
        .enumerate()
        .map(|(i, matrix)| (format!("{prefix}{i}"), matrix.shape(), bf16(&matrix.weights)))
        .collect();
    let tensors: Vec<_> =
        tensors.iter().map(|(name, shape, words)| (name.as_str(), "BF16", &shape[..], words.as_slice())).collect();
    model(&tensors)
}

/// Checks that both models find each other in this form, and take no more than as matrices.
fn check(what: &str, matrices: &[Matrix], form: impl Fn(&[Matrix]) -> Vec<u8>) {
    let tuned: Vec<Matrix> = matrices.iter().zip(70..).map(|(matrix, seed)| matrix.tuned(seed)).collect();
    let (base, target) = (file("m", matrices), file("m", &tuned));
    let same = share(&base, &target);
    let shares = [share(&base, &form(&tuned)), share(&form(matrices), &target)];
    assert!(shares.iter().all(|&share| share < same + 0.03), "{what}: {shares:?} against {same}");
    assert!(share(&base, &form(matrices)) < 0.03, "{what}");
}

fn all(matrices: &[Matrix], form: impl Fn(&Matrix) -> Matrix) -> Vec<Matrix> {
    matrices.iter().map(form).collect()
}

/// Queries, keys and values that are columns of one matrix, of which keys and values have fewer
/// heads.
#[test]
fn fused_matrices_of_columns_are_found() {
    let matrices = [Matrix::new(1, 96, 96), Matrix::new(2, 32, 96), Matrix::new(3, 32, 96)];
    let fused = |matrices: &[Matrix]| file("c_attn", &[Matrix::beside(&all(matrices, Matrix::transposed))]);
    check("transposed", &matrices, fused);
    let matrices = all(&matrices, Matrix::transposed);
    check("as they are", &matrices, |matrices| file("c_attn", &[Matrix::beside(matrices)]));
    let wide = |matrices: &[Matrix]| {
        let fused = Matrix::beside(matrices);
        model(&[("wide", "F32", &fused.shape(), &reference::cast::cast(&bf16(&fused.weights), 14, 17))])
    };
    assert!(share(&file("m", &matrices), &wide(&matrices)) < 0.03);
}

#[test]
fn columns_that_take_turns_are_found() {
    let matrices = [Matrix::new(1, 96, 64), Matrix::new(2, 96, 64)];
    let turned = |matrices: &[Matrix]| file("gate_up", &[Matrix::in_turn(&all(matrices, Matrix::transposed))]);
    check("transposed", &matrices, turned);
    check("as they are", &matrices, |matrices| file("gate_up", &[Matrix::in_turn(matrices)]));
}

/// Two experts in one tensor, whose matrices are transposed and have the columns of two others.
#[test]
fn stacks_of_experts_are_found() {
    let matrices: Vec<Matrix> = (0..4).map(|seed| Matrix::new(seed, 80, 64)).collect();
    let stack = |matrices: &[Matrix]| {
        let expert = |pair: &[Matrix]| bf16(&Matrix::in_turn(&all(pair, Matrix::transposed)).weights);
        model(&[("experts", "BF16", &[2, 64, 160], &matrices.chunks(2).flat_map(expert).collect::<Vec<_>>())])
    };
    check("experts", &matrices, stack);
}

/// Layers in one tensor, along its first or its second extent.
#[test]
fn stacks_of_layers_are_found() {
    let matrices: Vec<Matrix> = (0..3).map(|seed| Matrix::new(seed, 80, 64)).collect();
    let first = |matrices: &[Matrix]| {
        let words = |matrix: &Matrix| bf16(&matrix.transposed().weights);
        model(&[("layers", "BF16", &[3, 64, 80], &matrices.iter().flat_map(words).collect::<Vec<_>>())])
    };
    check("first", &matrices, first);
    let second = |matrices: &[Matrix]| {
        let words = bf16(&Matrix::beside(&all(matrices, Matrix::transposed)).weights);
        model(&[("layers", "BF16", &[64, 3, 80], &words)])
    };
    check("second", &matrices, second);
}

/// Keras has the kernels of convolutions with the channels behind the places, and the outputs last.
#[test]
fn kernels_of_places_inputs_and_outputs_are_found() {
    let (outputs, inputs, places) = (64, 48, 9);
    let kernel = [Matrix::new(1, outputs, inputs * places)];
    let order = |matrices: &[Matrix]| {
        let words = &matrices[0].weights;
        let place = |place: usize, input: usize, output: usize| words[(output * inputs + input) * places + place];
        let of_place = |at: usize| (0..inputs).flat_map(move |i| (0..outputs).map(move |o| place(at, i, o)));
        let words: Vec<f32> = (0..places).flat_map(of_place).collect();
        model(&[("kernel", "BF16", &[3, 3, inputs as u64, outputs as u64], &bf16(&words))])
    };
    let tuned = kernel[0].tuned(2);
    let usual =
        |matrix: &Matrix| model(&[("k", "BF16", &[outputs as u64, inputs as u64, 3, 3], &bf16(&matrix.weights))]);
    let same = share(&usual(&kernel[0]), &usual(&tuned));
    let shares = [share(&usual(&kernel[0]), &order(from_ref(&tuned))), share(&order(&kernel), &usual(&tuned))];
    assert!(shares.iter().all(|&share| share < same + 0.03), "{shares:?} against {same}");
}

/// Shards that are the columns of one matrix each.
#[test]
fn shards_of_columns_are_found() {
    let whole = [Matrix::new(1, 100, 160), Matrix::new(2, 100, 64)];
    let shards = |matrices: &[Matrix]| {
        let halves = |matrix: &Matrix| {
            let (rows, columns) = (matrix.rows(), matrix.columns);
            [matrix.part(0..rows, 0..columns / 2), matrix.part(0..rows, columns / 2..columns)]
        };
        file("shard", &matrices.iter().flat_map(halves).collect::<Vec<_>>())
    };
    check("shards", &whole, shards);
}

/// Models of the same names whose layers are narrower, wider, without some heads, or with heads in
/// another order.
#[test]
fn columns_may_be_added_removed_and_moved() {
    let base = Matrix::new(1, 128, 160);
    let tuned = base.tuned(2);
    let narrow = |matrix: &Matrix| matrix.part(0..96, 0..120);
    let heads = |matrix: &Matrix| {
        let part = |columns: Range<usize>| matrix.part(0..128, columns);
        Matrix::beside(&[part(0..32), part(64..160)])
    };
    let share_of = |base: &Matrix, target: &Matrix| share(&file("m", from_ref(base)), &file("m", from_ref(target)));
    let same = share_of(&base, &tuned);
    assert!(share_of(&base, &narrow(&tuned)) < same + 0.04);
    assert!(share_of(&base, &heads(&tuned)) < same + 0.04);
    let both = |matrix: &Matrix| {
        let part = |rows: Range<usize>| matrix.part(rows, 0..120).weights;
        Matrix { columns: 120, weights: [part(0..72), part(96..128)].concat() }
    };
    assert!(share_of(&base, &both(&tuned)) < same + 0.04);
    let moved = |matrix: &Matrix| {
        let part = |columns: Range<usize>| matrix.part(0..128, columns);
        Matrix::beside(&[part(96..160), part(32..64), part(0..32), part(64..96)])
    };
    assert!(share_of(&base, &moved(&tuned)) < same + 0.04);
    let wide = Matrix::beside(&[tuned.clone(), Matrix::new(3, 128, 8)]);
    assert!(share_of(&base, &wide) < same + 0.08);
    // The same under another name.
    for target in [narrow(&tuned), both(&tuned)] {
        let share = share(&file("layer.m", from_ref(&base)), &file("model.layer.m", from_ref(&target)));
        assert!(share < same + 0.04, "{share} against {same}");
    }
}

/// Rows of several tensors side by side, so that chunks begin and end within a row of the whole.
#[test]
fn chunks_of_rectangles_are_restored_apart() {
    let matrices: Vec<Matrix> = (0..3).map(|seed| Matrix::new(seed, 1000, 700)).collect();
    let words = |matrices: &[Matrix]| bf16(&Matrix::beside(&all(matrices, Matrix::transposed)).weights);
    let base = file("m", &matrices);
    let tuned: Vec<Matrix> = matrices.iter().zip(70..).map(|(matrix, seed)| matrix.tuned(seed)).collect();
    let own = words(&tuned);
    let target = model(&[("layers", "BF16", &[700, 3, 1000], &own)]);
    assert!(share(&base, &target) < 0.45);
    let archive = compress(&base, &target, Format::V2 { effort: Effort::Fast }).unwrap();
    assert!(restore_tensor(&base, &archive, "layers") == own);
}

/// A head with a base file of no known layout, and words of `U8` with these rectangles of it.
fn forged(shape: [u64; 2], rectangles: &[Vec<u64>]) -> Vec<u8> {
    let numbers = |numbers: &[u64]| numbers.iter().flat_map(|&number| varint(number)).collect::<Vec<_>>();
    let front = [&[0, 1][..], &varint(BASE), &[3, 1, 11, 1, b'w', 4, 2], &numbers(&shape)].concat();
    let counts = numbers(&[shape[1], rectangles.len() as u64]);
    [front, vec![1, 0, 2, b'0', 4], counts, numbers(&rectangles.concat())].concat()
}

const BASE: u64 = 32 << 20;

/// The reference decoder's error for these rectangles, of which the last one is too many. The crate
/// refuses them as well.
fn too_many(shape: [u64; 2], rectangles: &[Vec<u64>]) -> String {
    assert!(reference::head::Head::read(&forged(shape, &rectangles[1..])).is_ok());
    let head = forged(shape, rectangles);
    let archive = forge::archive(&head, &[Record::new(2, &[])]);
    assert_eq!(restore(&vec![0; BASE as usize], &archive).unwrap_err().kind(), ErrorKind::Limit);
    reference::head::Head::read(&head).err().unwrap_or_default()
}

/// The words of rectangles that chunks need are limited, and so is the number of rectangles.
#[test]
fn chunks_need_few_words_and_few_rectangles() {
    // The first and the last word of the base, one pair below the other.
    let pair = |row: u64| vec![0, row, 1, 0, 2, 1, 0, 0, BASE - 1];
    let pairs: Vec<_> = (0..5).map(pair).collect();
    assert_eq!(too_many([5, 2], &pairs), "words of all rectangles");
    // Columns of words that are the same one, in as many chunks as there are rows.
    let (rows, columns) = (1 << 13, 1 << 20);
    let column = vec![0, 0, rows, 0, 1, 1, 0, 0, 0];
    assert_eq!(too_many([rows, columns], &vec![column; 513]), "rectangles and runs that chunks need");
}

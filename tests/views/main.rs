//! Targets whose tensors are not the base's, name by name and shape by shape: every one comes back,
//! from the crate and from the reference decoder, and takes what its content takes.
#![cfg(not(target_arch = "wasm32"))]

mod arranged;
#[path = "../common/mod.rs"]
mod common;
mod opaque;
mod partitions;
#[path = "../reference/mod.rs"]
mod reference;
mod transposed;

use bitx::drive::Sources;
use bitx::io::ReadAt;
use bitx::parallel::Sequential;
use bitx::{Compress, Effort, Format, Job, Restore};
use common::gguf::gguf;
use common::{compress, model, restore};
use transposed::transposed;

/// Weights of a seed.
fn weights(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    (0..count).map(|_| (next() + next() + next()) * 0.04).collect()
}

/// The weights, moved a little.
fn tuned(weights: &[f32], seed: u32) -> Vec<f32> {
    weights.iter().zip(self::weights(seed, weights.len())).map(|(weight, change)| weight + change * 0.01).collect()
}

fn f32(weights: &[f32]) -> Vec<u8> {
    weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

fn bf16(weights: &[f32]) -> Vec<u8> {
    reference::cast::cast(&f32(weights), 17, 14)
}

const COLUMNS: usize = 64;

/// Compresses `target`, checks that both decoders restore it, and returns its share.
fn share(base: &[u8], target: &[u8]) -> f64 {
    let archive = compress(base, target, Format::V2 { effort: Effort::Default }).unwrap();
    assert!(restore(base, &archive).unwrap() == target);
    assert!(reference::restore(&[base], &archive).unwrap() == target);
    archive.len() as f64 / target.len() as f64
}

/// A base of two matrices and a vector, and their fine-tune.
fn pair() -> ([Vec<f32>; 3], [Vec<f32>; 3]) {
    let base = [weights(1, 200 * COLUMNS), weights(2, 100 * COLUMNS), weights(3, 300)];
    let tuned = [0, 1, 2].map(|i| tuned(&base[i], 10 + i as u32));
    (base, tuned)
}

fn named(names: [&str; 3], tensors: &[Vec<f32>; 3], dtype: &str, bytes: fn(&[f32]) -> Vec<u8>) -> Vec<u8> {
    let [a, b, c] = [0, 1, 2].map(|i| bytes(&tensors[i]));
    let columns = COLUMNS as u64;
    model(&[
        (names[0], dtype, &[200, columns], &a),
        (names[1], dtype, &[100, columns], &b),
        (names[2], dtype, &[300], &c),
    ])
}

const NAMES: [&str; 3] = ["a", "b", "c"];

#[test]
fn other_names_and_shapes_cost_nothing() {
    let (base, tuned) = pair();
    let (base, plain) = (named(NAMES, &base, "BF16", bf16), named(NAMES, &tuned, "BF16", bf16));
    let same = share(&base, &plain);
    let renamed = share(&base, &named(["model.a", "model.b", "model.c"], &tuned, "BF16", bf16));
    assert!(renamed < same + 0.005, "{renamed} against {same}");
    let [a, b, c] = [0, 1, 2].map(|i| bf16(&tuned[i]));
    let shapes = model(&[("a", "BF16", &[64, 200], &a), ("b", "BF16", &[100, 8, 8], &b), ("c", "BF16", &[300], &c)]);
    assert!(share(&base, &shapes) < same * 1.1);
    // The names of two tensors of one shape were exchanged.
    let [x, y, u, v] = [(20, 0), (21, 0), (20, 5), (21, 5)].map(|(seed, change)| {
        let weights = weights(seed, 50 * COLUMNS);
        bf16(&if change == 0 { weights } else { self::tuned(&weights, change) })
    });
    let shape: &[u64] = &[50, COLUMNS as u64];
    let base = model(&[("x", "BF16", shape, &x), ("y", "BF16", shape, &y)]);
    assert!(share(&base, &model(&[("x", "BF16", shape, &v), ("y", "BF16", shape, &u)])) < 0.45);
}

#[test]
fn other_dtypes_are_cast() {
    let (base, tuned) = pair();
    let base16 = named(NAMES, &base, "BF16", bf16);
    let widened = |weights: &[f32]| reference::cast::cast(&bf16(weights), 14, 17);
    assert!(share(&base16, &named(NAMES, &base, "F32", widened)) < 0.02);
    let base32 = named(NAMES, &base, "F32", f32);
    assert!(share(&base32, &base16) < 0.02);
    let plain = share(&base16, &named(NAMES, &tuned, "BF16", bf16));
    assert!(share(&base32, &named(NAMES, &tuned, "BF16", bf16)) < plain * 1.05);
    let f16 = |weights: &[f32]| reference::cast::cast(&f32(weights), 17, 13);
    assert!(share(&base32, &named(NAMES, &base, "F16", f16)) < 0.02);
}

#[test]
fn fused_and_split_tensors_find_their_parts() {
    let (base, tuned) = pair();
    let rows = |tensors: &[Vec<f32>; 3]| bf16(&[&tensors[0][..], &tensors[1][..]].concat());
    let fused = |tensors| model(&[("ab", "BF16", &[300, COLUMNS as u64], &rows(tensors))]);
    let split = named(NAMES, &base, "BF16", bf16);
    assert!(share(&split, &fused(&base)) < 0.02);
    assert!(share(&split, &fused(&tuned)) < 0.45);
    assert!(share(&fused(&base), &named(NAMES, &tuned, "BF16", bf16)) < 0.45);
    // The first part alone is found, too.
    let grown = bf16(&[&tuned[0][..], &weights(9, 20 * COLUMNS)].concat());
    assert!(share(&split, &model(&[("w", "BF16", &[220, COLUMNS as u64], &grown)])) < 0.5);
}

#[test]
fn rows_may_be_added_removed_and_moved() {
    let base = weights(1, 400 * COLUMNS);
    let tuned = tuned(&base, 2);
    let matrix = |rows: &[&[f32]]| {
        let words = bf16(&rows.concat());
        model(&[("w", "BF16", &[words.len() as u64 / 2 / COLUMNS as u64, COLUMNS as u64], &words)])
    };
    let new = weights(3, 10 * COLUMNS);
    let base = matrix(&[&base]);
    let same = share(&base, &matrix(&[&tuned]));
    let (head, tail) = tuned.split_at(150 * COLUMNS);
    for rows in [[&tuned[..], &new], [&new, &tuned], [tail, head]] {
        let share = share(&base, &matrix(&rows));
        assert!(share < same + 0.04, "{share} against {same}");
    }
    assert!(share(&base, &matrix(&[head, &new, tail])) < same + 0.04);
    assert!(share(&base, &matrix(&[&tuned[..40 * COLUMNS], &tuned[90 * COLUMNS..]])) < same + 0.04);
    // The same under another name.
    let words = weights(1, 400 * COLUMNS);
    let base = model(&[("embed", "BF16", &[400, COLUMNS as u64], &bf16(&words))]);
    for rows in [&[&new[..], &tuned][..], &[head, &new, tail], &[head, &tail[50 * COLUMNS..]]] {
        let share = share(&base, &matrix(rows));
        assert!(share < same + 0.04, "{share} against {same}");
    }
}

/// The row of a matrix with halves of heads that is at `row` when the halves are interleaved.
fn of_halves(row: usize, head: usize) -> usize {
    row / head * head + row % head % 2 * (head / 2) + row % head / 2
}

/// GGUF, and Meta's checkpoints, store the heads of queries and keys with the two halves of their
/// rows interleaved. The first rows of all heads stay where they are.
#[test]
fn tensors_with_permuted_rows_are_aligned() {
    let (rows, head, columns) = (128, 16, 256);
    let base = weights(1, rows * columns);
    let tuned = tuned(&base, 2);
    let halves = |row: usize| of_halves(row, head);
    let turns = |row: usize| row / head * head + row % (head / 2) * 2 + row % head / (head / 2);
    let matrix = |name, words: &[f32]| model(&[(name, "BF16", &[rows as u64, columns as u64], &bf16(words))]);
    let base = matrix("q_proj", &base);
    let same = share(&base, &matrix("q_proj", &tuned));
    for place in [&halves as &dyn Fn(usize) -> usize, &turns] {
        let permuted: Vec<f32> = (0..rows).flat_map(|row| &tuned[place(row) * columns..][..columns]).copied().collect();
        for name in ["attn_q", "q_proj"] {
            let share = share(&base, &matrix(name, &permuted));
            assert!(share < same + 0.02, "{name}: {share} against {same}");
        }
    }
}

/// Rows of heads are two rectangles for each head: runs of single rows would be too many in large
/// models.
#[test]
fn permuted_rows_take_few_bytes() {
    let (rows, head, columns) = (1 << 13, 64, 128);
    let base = weights(1, rows * columns);
    let permuted: Vec<f32> =
        (0..rows).flat_map(|row| &base[of_halves(row, head) * columns..][..columns]).copied().collect();
    let matrix = |words: &[f32]| model(&[("q_proj", "BF16", &[rows as u64, columns as u64], &bf16(words))]);
    let archive = compress(&matrix(&base), &matrix(&permuted), Format::V2 { effort: Effort::Fast }).unwrap();
    assert!(archive.len() < 4000, "{}", archive.len());
}

/// New rows are whole weights where others moved along a few directions, which are still found.
#[test]
fn new_rows_do_not_hide_directions() {
    let (rows, base) = (384, weights(1, 384 * COLUMNS));
    let directions = [2, 3, 4].map(|seed| (weights(seed, rows), weights(seed + 10, COLUMNS)));
    let moved = |i: usize| {
        let change = directions.iter().map(|(left, right)| left[i / COLUMNS] * right[i % COLUMNS]);
        base[i] + 3.0 * change.sum::<f32>()
    };
    let tuned: Vec<f32> = (0..base.len()).map(moved).collect();
    let matrix =
        |words: &[f32]| model(&[("w", "BF16", &[(words.len() / COLUMNS) as u64, COLUMNS as u64], &bf16(words))]);
    let grown = [&tuned[..100 * COLUMNS], &weights(5, 40 * COLUMNS), &tuned[100 * COLUMNS..]].concat();
    let (same, grown) = (share(&matrix(&base), &matrix(&tuned)), share(&matrix(&base), &matrix(&grown)));
    assert!(grown < same + 0.12, "{grown} against {same}");
}

/// GPT-NeoX stores the queries, keys and values of each head one after the other in one matrix.
/// Experts have their matrices in one tensor of three extents, one after the other or row by row.
#[test]
fn rows_of_several_matrices_may_be_mixed() {
    let base = [1, 2, 3].map(|seed| weights(seed, 128 * COLUMNS));
    let tuned = [0, 1, 2].map(|i| tuned(&base[i], 10 + i as u32));
    for (rows, shape) in [(8, &[384, 64][..]), (32, &[4, 96, 64]), (1, &[4, 24, 256])] {
        let columns = *shape.last().unwrap();
        let split = |[q, k, v]: &[Vec<f32>; 3]| {
            let [q, k, v] = [q, k, v].map(|words| bf16(words));
            let shape: &[u64] = &[q.len() as u64 / 2 / columns, columns];
            model(&[("q", "BF16", shape, &q), ("k", "BF16", shape, &k), ("v", "BF16", shape, &v)])
        };
        let mixed = |matrices: &[Vec<f32>; 3]| {
            let length = rows * columns as usize;
            let run = |i: usize| matrices.each_ref().map(|words| &words[i * length..][..length]).concat();
            let words: Vec<f32> = (0..base[0].len() / length).flat_map(run).collect();
            model(&[("qkv", "BF16", shape, &bf16(&words))])
        };
        let same = share(&split(&base), &split(&tuned));
        for (base, target) in [(split(&base), mixed(&tuned)), (mixed(&base), split(&tuned))] {
            let share = share(&base, &target);
            assert!(share < same + 0.03, "{share} against {same}, {rows} rows as {shape:?}");
        }
        assert!(share(&split(&base), &mixed(&base)) < 0.04);
    }
}

/// A list of words as a tokenizer has them: text that is found again at another place.
#[test]
fn edited_text_costs_its_edits() {
    let entry = |i: u32| format!("    \"{}{}\": {i},\n", i.wrapping_mul(2_654_435_761) % 9973, i % 7);
    let base: String = (0..30_000).map(entry).collect();
    let added: String = (0..20).map(|i| format!("  {{ \"id\": {i}, \"content\": \"<extra_{i}>\" }},\n")).collect();
    let target = [&base[..1000], &added, &base[1000..]].concat();
    assert!(share(base.as_bytes(), target.as_bytes()) < 0.002);
    // A file of several pieces of which each resembles another place of the base.
    let base = base.repeat(9);
    let target = [added.as_str(), &base].concat();
    assert!(target.len() > 4 << 20 && share(base.as_bytes(), target.as_bytes()) < 0.002);
}

/// Runs a job over several base files and one other file.
fn run(mut job: Job, base: &[&[u8]], other: &[u8]) -> bitx::Result<Vec<u8>> {
    let base: Vec<&dyn ReadAt> = base.iter().map(|file| file as &dyn ReadAt).collect();
    let sources = Sources { base: &base, delta: Some(&other), target: Some(&other), ..Sources::default() };
    common::run(&mut job, &sources, &Sequential)
}

/// Restores one tensor of an archive, with none of its other chunks.
fn restore_tensor(base: &[u8], archive: &[u8], name: &str) -> Vec<u8> {
    let mut job = Restore::new(&[base.len() as u64], archive.len() as u64).tensor(name).job();
    let sources = Sources { base: &[&base], delta: Some(&archive), ..Sources::default() };
    common::run(&mut job, &sources, &Sequential).unwrap()
}

/// The base is recognised by its tensors, however they are spread over files.
#[test]
fn a_base_may_be_sharded_anew() {
    let (base, tuned) = pair();
    let columns = COLUMNS as u64;
    let [a, b, c] = [0, 1, 2].map(|i| bf16(&base[i]));
    let one = named(NAMES, &base, "BF16", bf16);
    let [a, b, c] = [
        model(&[("a", "BF16", &[200, columns], &a)]),
        model(&[("b", "BF16", &[100, columns], &b)]),
        model(&[("c", "BF16", &[300], &c)]),
    ];
    let target = named(NAMES, &tuned, "BF16", bf16);
    let sets: [&[&[u8]]; 3] = [&[&one], &[&a, &b, &c], &[&c, &a, &b]];
    for made in sets {
        let lengths: Vec<u64> = made.iter().map(|file| file.len()).collect();
        let job = Compress::new(&lengths, target.len() as u64, Format::default()).unwrap().job();
        let archive = run(job, made, &target).unwrap();
        for given in sets {
            let lengths: Vec<u64> = given.iter().map(|file| file.len()).collect();
            let job = Restore::new(&lengths, archive.len() as u64).job();
            assert!(run(job, given, &archive).unwrap() == target);
        }
        let error = run(Restore::new(&[a.len() as u64], archive.len() as u64).job(), &[&a], &archive).unwrap_err();
        assert_eq!(error.kind(), bitx::ErrorKind::BaseMismatch);
        assert!(error.to_string().contains("\"b\"") && error.to_string().contains("BLAKE3"), "{error}");
    }
}

/// The weights over scales, as quantisers for ONNX make integers of them.
fn integers(weights: &[f32], scale: impl Fn(usize) -> f32, zero: f32) -> Vec<u8> {
    let words = weights.iter().enumerate();
    words.map(|(i, weight)| ((weight / scale(i)).round_ties_even() + zero).clamp(0.0, 255.0) as u8).collect()
}

#[test]
fn integers_find_the_weights_that_they_were_quantised_from() {
    let (rows, columns) = (150, COLUMNS);
    let weights = weights(1, rows * columns);
    let shape = [rows as u64, columns as u64];
    let [wide, narrow] = [f32(&weights), bf16(&weights)];
    let base = model(&[("w", "F32", &shape, &wide), ("other", "F32", &[300], &f32(&self::weights(3, 300)))]);
    let half = model(&[("w", "BF16", &shape, &narrow)]);
    let most = |words: &mut dyn Iterator<Item = f32>| words.fold(0f32, |most, weight| most.max(weight.abs()));
    let whole = most(&mut weights.iter().copied()) / 127.0;
    let of_column = |column: usize| most(&mut weights.iter().copied().skip(column).step_by(columns)) / 127.0;
    let of_columns: Vec<f32> = (0..columns).map(of_column).collect();
    let unsigned = integers(&weights, |_| whole, 128.0);
    let signed: Vec<u8> = integers(&weights, |i| of_columns[i % columns], 128.0).iter().map(|q| q ^ 0x80).collect();
    for (name, dtype, words) in [
        ("w_quantized", "U8", &unsigned),
        ("w", "U8", &unsigned),
        ("renamed", "U8", &unsigned),
        ("w_int8", "I8", &signed),
    ] {
        let target = model(&[(name, dtype, &shape, words)]);
        assert!(share(&base, &target) < 0.05, "{name}: {}", share(&base, &target));
        assert!(share(&half, &target) < 0.1, "{name}: {}", share(&half, &target));
    }
    let turned = transposed(&signed, [1, rows, columns], 1);
    assert!(share(&base, &model(&[("w", "I8", &[shape[1], shape[0]], &turned)])) < 0.05);
}

#[test]
fn tensors_without_words_may_have_any_extent() {
    let most = u64::MAX;
    let shapes: [&[u64]; 4] = [&[0, most], &[most, 0], &[0, most, 1024], &[most, 0, 64]];
    let words = bf16(&weights(9, 64 * 64));
    let file = |prefix: &str, dtype: &str| {
        let names: Vec<String> = (0..shapes.len()).map(|i| format!("{prefix}{i}")).collect();
        let empty = names.iter().zip(shapes).map(|(name, shape)| (name.as_str(), dtype, shape, &[][..]));
        let other = ("other", "BF16", &[64, 64][..], words.as_slice());
        model(&empty.chain([other]).collect::<Vec<_>>())
    };
    let dtypes = ["BF16", "F32", "U8", "I8", "F8_E4M3"];
    for (dtype, other) in dtypes.iter().flat_map(|dtype| dtypes.map(|other| (dtype, other))) {
        for prefix in ["a", "b"] {
            let (base, target) = (file("a", dtype), file(prefix, other));
            let archive = compress(&base, &target, Format::default()).unwrap();
            assert_eq!(restore(&base, &archive).unwrap(), target, "{dtype} {other} {prefix}");
        }
    }
    // The rows of one are compared with those of the other only if both have words.
    let rows = [[0, most / 2], [1, 0]].map(|shape| gguf(&[("w", &[shape[1], shape[0]], 8, &[])]));
    let wide = model(&[("w", "F32", &[0, 1 << 62], &[]), ("v", "BF16", &[64, 64], &words)]);
    for target in rows.iter().chain([&wide]) {
        for base in rows.iter().chain([&wide]) {
            let archive = compress(base, target, Format::default()).unwrap();
            assert!(restore(base, &archive).unwrap() == *target);
        }
    }
}

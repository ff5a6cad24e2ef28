//! NF4 with nested scales, against the weights that it was quantised from and against NF4.

use super::*;
use reference::levels::dynamic;

/// The nearest number of the dynamic map.
fn place(x: f32) -> u8 {
    let distance = |place: u8| (dynamic(place) - x).abs();
    (0..=255).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap()
}

/// NF4 whose scales are places in the dynamic map, times a scale for each 256 of them, plus an offset.
pub fn double_quantised(weights: &[f32], name: &str) -> Vec<Tensor> {
    let mut tensors = nf4(weights, name);
    let (scale, mut numbers) = (tensors.pop().unwrap(), tensors.pop().unwrap());
    numbers.2 = vec![numbers.3.len() as u64, 1];
    let scales: Vec<f32> = scale.3.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
    let offset = scales.iter().sum::<f32>() / scales.len() as f32;
    let moved: Vec<f32> = scales.iter().map(|scale| scale - offset).collect();
    let nested: Vec<f32> = moved.chunks(256).map(largest).collect();
    let places = moved.iter().enumerate().map(|(i, scale)| place(scale / nested[i / 256])).collect();
    let state = format!("{{\"quant_type\": \"nf4\", \"nested_offset\": {offset}}}").into_bytes();
    let nested = nested.iter().flat_map(|scale| scale.to_le_bytes()).collect::<Vec<_>>();
    let weight = format!("{name}.weight");
    vec![
        numbers,
        tensor(&format!("{weight}.absmax"), "U8", [scales.len(), 1], places),
        tensor(&format!("{weight}.nested_absmax"), "F32", [nested.len() / 4, 1], nested),
        tensor(&format!("{weight}.quant_state.bitsandbytes__nf4"), "U8", [state.len(), 1], state),
    ]
}

/// A model of two matrices: one has whole runs of 256 scales, and the other one has not.
fn quantised(tune: impl Fn(f32, usize) -> f32) -> Vec<u8> {
    let tuned = |i: u64, length: usize| -> Vec<f32> {
        weights(i).into_iter().take(length).enumerate().map(|(at, weight)| tune(weight, at)).collect()
    };
    let whole = double_quantised(&tuned(0, 64 * 256), "a");
    file(&[whole, double_quantised(&tuned(1, OUTER * INNER), "b")].concat())
}

fn floats() -> Vec<u8> {
    let tensor =
        |name: &str, i: u64, rows: usize| tensor(name, "BF16", [rows, INNER], words(&weights(i)[..rows * INNER]));
    file(&[tensor("a.weight", 0, 64), tensor("b.weight", 1, OUTER)])
}

#[test]
fn nested_scales_follow_from_the_weights() {
    let (base, target) = (floats(), quantised(|weight, _| weight));
    for effort in EFFORTS {
        let archive = compress(&base, &target, Format::V2 { effort }).unwrap();
        check(&base, &target, &archive);
        let method = |name: &str| {
            let report = inspect(&archive).unwrap();
            report.tensors.iter().find(|tensor| tensor.name == name).unwrap().method.name()
        };
        assert_eq!([method("a.weight"), method("b.weight")], ["grid"; 2], "{effort:?}");
        assert_eq!([method("a.weight.absmax"), method("a.weight.nested_absmax")], ["copy-base"; 2], "{effort:?}");
        assert!(archive.len() * 20 < target.len(), "{} of {}", archive.len(), target.len());
    }
}

/// Numbers were quantised with scales that were not quantised yet, so that stored ones tell little more
/// than the numbers alone.
#[test]
fn nested_scales_cost_nothing_against_their_own_format() {
    let tuned = |weight: f32, i: usize| rounded(weight + ((i * 7919) % 100) as f32 * 2e-5);
    let (base, target) = (quantised(|weight, _| weight), quantised(tuned));
    let renamed = |file: &[u8]| {
        let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
        let header = String::from_utf8(file[8..8 + length].to_vec()).unwrap().replace("absmax", "a_smax");
        [&file[..8], header.as_bytes(), &file[8 + length..]].concat()
    };
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
    let without = compress(&renamed(&base), &renamed(&target), Format::default()).unwrap();
    assert!(archive.len() <= without.len() + 64, "{}, and {} without companions", archive.len(), without.len());
}

/// Weights that are no numbers, places and scales of any bits, offsets that are missing or no numbers.
#[test]
fn any_nested_scales_come_back() {
    let mut random = random(9);
    for rare in [1, 16, 255] {
        for of_floats in [true, false] {
            let mut base = if of_floats { floats() } else { quantised(|weight, _| weight) };
            let mut target = quantised(|weight, _| weight);
            for file in [&mut base, &mut target] {
                scramble(file, rare, &mut random);
            }
            let archive = compress(&base, &target, Format::default()).unwrap();
            check(&base, &target, &archive);
        }
    }
}

/// Chunks end within a run of 256 scales, whose scale follows from all of them; and the last run is short.
#[test]
fn places_follow_from_whole_runs() {
    const ROWS: usize = 1100;
    const COLUMNS: usize = 1000;
    const CHUNK: usize = (1 << 20) / COLUMNS * COLUMNS;
    const OFFSET: f32 = 0.0625;
    let (pool, count) = (weights(3), ROWS * COLUMNS);
    let weights: Vec<f32> =
        (0..count).map(|i| rounded(pool[i % pool.len()] * (1.0 + (i / 97) as f32 * 1e-3))).collect();
    let borders: Vec<f32> = (0..255u8).map(|place| (dynamic(place) + dynamic(place + 1)) / 2.0).collect();
    let places = |run: &[f32]| -> Vec<u8> {
        let moved: Vec<f32> = run.iter().map(|weight| weight.abs() - OFFSET).collect();
        let scale = largest(&moved);
        moved.iter().map(|number| borders.partition_point(|&border| border < number / scale) as u8).collect()
    };
    let target = weights.chunks(256).flat_map(places).collect::<Vec<u8>>();
    let base = model(&[("w", "BF16", &[count as u64], &words(&weights))]);
    let shape = [varint(ROWS as u64), varint(COLUMNS as u64)].concat();
    // A matrix of one element of one weight, and words of one weight each.
    let derived = [&[1, 1, 1, 1, 6][..], &OFFSET.to_le_bytes()].concat();
    let head = [&[0, 1, 0, 1, 1, 8, 1, b'w', 4, 2][..], &shape, &[0, 0, 14], &derived].concat();
    let record = |chunk: &[u8]| Record { sums: [forge::xxh3(chunk); 2], ..Record::new(2, &[]) };
    let archive = forge::archive(&head, &target.chunks(CHUNK).map(record).collect::<Vec<_>>());
    check(&base, &target, &archive);
}

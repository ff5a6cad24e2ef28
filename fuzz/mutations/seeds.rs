//! Small valid files of every layout, and archives of both versions between them.

use bitx::drive::Sources;
use bitx::parallel::Sequential;
use bitx::{Compress, Effort, Format};

use crate::common::protobuf::field;
use crate::common::tflite::{self, Tensor};
use crate::common::{compress, model, run};
use crate::random::Random;

/// A base, a target, and an archive that restores the target.
pub struct Seed {
    pub base: Vec<u8>,
    pub target: Vec<u8>,
    pub archive: Vec<u8>,
}

/// The seeds. Each pair is compressed in every format that takes it.
pub fn all() -> Vec<Seed> {
    let random = &mut Random::new(7);
    let mut pairs = Vec::new();
    for dtype in ["BF16", "F16", "F32", "F64", "I8", "I64", "F8_E4M3", "U16"] {
        let width = match dtype {
            "F64" | "I64" => 8,
            "F32" => 4,
            "I8" | "F8_E4M3" => 1,
            _ => 2,
        };
        pairs.push(safetensors(random, dtype, width));
    }
    for kind in [(1, 2), (0, 4), (30, 2)] {
        pairs.push(gguf(random, (kind.0, 64 * 32 * kind.1, 32)));
    }
    for (kind, bytes) in [(2, 18), (3, 20), (6, 22), (7, 24), (8, 34), (20, 18)] {
        pairs.push(gguf(random, (kind, 64 * bytes, 32)));
    }
    for (kind, bytes) in [(10, 84), (11, 110), (12, 144), (13, 176), (14, 210), (23, 136)] {
        pairs.push(gguf(random, (kind, 8 * bytes, 256)));
    }
    pairs.push(moved());
    pairs.push(packed(random));
    pairs.push(derived(random));
    pairs.push(dequantised(random));
    pairs.push(floats(random));
    pairs.push(fused(random));
    pairs.push(arranged(random));
    pairs.push(opaque(random));
    pairs.push(onnx(random));
    pairs.push(tensorflow_lite(random));
    pairs.push((b"plain bytes, no model".repeat(9), b"plain bytes, a model?".repeat(9)));
    pairs.push((Vec::new(), b"something from nothing".to_vec()));
    let mut seeds: Vec<Seed> = pairs.into_iter().flat_map(|(base, target)| archives(&base, &target)).collect();
    seeds.extend(merged(random));
    seeds
}

/// Archives of a matrix that an adapter was merged into. Base and adapter are one file.
fn merged(random: &mut Random) -> impl Iterator<Item = Seed> {
    const CONFIG: &[u8] = b"{\"peft_type\": \"LORA\", \"lora_alpha\": 1}";
    let mut numbers = |count: usize, scale: f32| -> Vec<f32> {
        (0..count).map(|_| (random.next() as u8 as f32 - 128.0) * scale).collect()
    };
    let (weights, a, b) = (numbers(40 * 36, 0.01), numbers(36, 0.01), numbers(40, 0.0003));
    let moved = weights.iter().enumerate().map(|(i, weight)| weight + b[i / 36] * a[i % 36]).collect();
    let bytes = |numbers: &Vec<f32>| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let [weights, moved, a, b] = [&weights, &moved, &a, &b].map(bytes);
    let (first, second) = ("w.lora_A.weight", "w.lora_B.weight");
    let matrix: &[u64] = &[40, 36];
    let base =
        model(&[("w.weight", "F32", matrix, &weights), (first, "F32", &[1, 36], &a), (second, "F32", &[40, 1], &b)]);
    let target = model(&[("w.weight", "F32", matrix, &moved)]);
    [Effort::Fast, Effort::Default, Effort::Max].into_iter().map(move |effort| {
        let compress = Compress::new(&[base.len() as u64], target.len() as u64, Format::V2 { effort }).unwrap();
        let mut job = compress.with_adapter(0, CONFIG).unwrap().job();
        let (file, model) = (base.as_slice(), target.as_slice());
        let sources = Sources { base: &[&file], target: Some(&model), ..Sources::default() };
        let archive = run(&mut job, &sources, &Sequential).unwrap();
        assert!(archive.len() < 900, "the matrix was not seen to be merged");
        Seed { base: base.clone(), target: target.clone(), archive }
    })
}

fn archives(base: &[u8], target: &[u8]) -> Vec<Seed> {
    let formats = [
        Format::V1 { level: 3 },
        Format::V2 { effort: Effort::Fast },
        Format::V2 { effort: Effort::Default },
        Format::V2 { effort: Effort::Max },
    ];
    let archives = formats.into_iter().filter_map(|format| compress(base, target, format).ok());
    archives.map(|archive| Seed { base: base.to_vec(), target: target.to_vec(), archive }).collect()
}

/// Bytes, and others that differ a little.
fn weights(random: &mut Random, length: usize) -> [Vec<u8>; 2] {
    let base: Vec<u8> = (0..length).map(|i| if i % 2 == 1 { 0x3c } else { random.next() as u8 }).collect();
    let change = |(i, byte): (usize, &u8)| byte ^ (random.next() as u8 & u8::from(i % 2 == 0));
    let target = base.iter().enumerate().map(change).collect();
    [base, target]
}

/// A matrix large enough for factors, a copy of it, a vector, and a scalar.
fn safetensors(random: &mut Random, dtype: &str, width: usize) -> (Vec<u8>, Vec<u8>) {
    let [matrices, vectors] = [32 * 32, 40].map(|words| weights(random, words * width));
    let file = |side: usize| {
        let (matrix, vector) = (&matrices[side], &vectors[side]);
        model(&[
            ("w", dtype, &[32, 32], matrix),
            ("copy", dtype, &[32, 32], matrix),
            ("v", dtype, &[40], vector),
            ("empty", dtype, &[0, 3], &[]),
            ("scalar", "U8", &[], &[side as u8]),
        ])
    };
    (file(0), file(1))
}

/// Packed numbers of AWQ, of NVFP4, of integers and of MLX, each with its companions.
fn packed(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    const TENSORS: [(&str, &str, &[u64], usize); 11] = [
        ("a.qweight", "I32", &[64, 4], 1024),
        ("a.scales", "F16", &[2, 32], 128),
        ("a.qzeros", "I32", &[2, 4], 32),
        ("b.weight", "U8", &[16, 32], 512),
        ("b.weight_scale", "F8_E4M3", &[16, 4], 64),
        ("b.weight_scale_2", "F32", &[], 4),
        ("c_quantized", "I8", &[16, 32], 512),
        ("c_scale", "F32", &[32], 128),
        ("d.weight", "U32", &[16, 16], 1024),
        ("d.scales", "F16", &[16, 2], 64),
        ("d.biases", "F16", &[16, 2], 64),
    ];
    let data = TENSORS.map(|(_, _, _, length)| weights(random, length));
    let file = |side: usize| {
        let tensor = |i: usize| (TENSORS[i].0, TENSORS[i].1, TENSORS[i].2, &*data[i][side]);
        model(&std::array::from_fn::<_, 11, _>(tensor))
    };
    (file(0), file(1))
}

/// Packed numbers and their scales, and the weights that they were quantised from: in words of
/// eight rows, in runs, and in runs of numbers that go on in the next word.
fn derived(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let [bytes, _] = weights(random, 64 * 64 * 2);
    let words: Vec<f32> =
        bytes.as_chunks().0.iter().map(|word| f32::from_bits(u32::from(u16::from_le_bytes(*word)) << 16)).collect();
    let largest = |run: usize, divisor: f32| -> Vec<u8> {
        let largest = |run: &[f32]| run.iter().fold(0f32, |most, weight| most.max(weight.abs()));
        words.chunks(run).flat_map(|run| (largest(run) / divisor).to_le_bytes()).collect()
    };
    let [numbers, others] = weights(random, 64 * 64 / 2);
    let (columns, runs) = (largest(64, 7.5), largest(32, 7.0));
    let base = model(&["a.weight", "b.weight", "c.weight"].map(|name| (name, "BF16", &[64, 64][..], &bytes[..])));
    let target = model(&[
        ("a.qweight", "I32", &[8, 64], &numbers),
        ("a.scales", "F32", &[1, 64], &columns),
        ("b.q_weight", "U32", &[64, 8], &others),
        ("b.q_scale", "F32", &[64, 2], &runs),
        ("c.weight", "U32", &[64, 6], &others[..64 * 24]),
        ("c.scales", "F32", &[64, 1], &columns),
        ("c.biases", "F32", &[64, 1], &columns),
    ]);
    (base, target)
}

/// Models of TensorFlow Lite: numbers of 4 bits of the base's floats, numbers with a zero point,
/// and floats whose buffer another tensor shares.
fn tensorflow_lite(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let [floats, moved] = weights(random, 64 * 64 * 4);
    let [nibbles, _] = weights(random, 64 * 32);
    let numbers = weights(random, 128 * 256);
    let scales: Vec<f32> = (0..64u8).map(|row| 0.01 + f32::from(row) * 1e-4).collect();
    let float = |name, data| Tensor { name, shape: &[64, 64], data, ..Tensor::default() };
    let number = |scale, data| Tensor {
        name: "numbers",
        kind: 3,
        shape: &[128, 256],
        data,
        scales: scale,
        zero: 120,
        ..Tensor::default()
    };
    let quantised = Tensor { name: "a", kind: 17, shape: &[64, 64], data: &nibbles, ..Tensor::default() };
    let base = [float("a", &floats), float("b", &floats), number(&scales[..1], &numbers[0])];
    let target = [Tensor { scales: &scales, ..quantised }, float("b", &moved), number(&scales[1..2], &numbers[1])];
    (tflite::model(&base), tflite::model(&target))
}

/// Floats that are near the weights of packed numbers of the base: of GPTQ whose rows were sorted,
/// of NF4, and of MXFP4 that is transposed.
fn dequantised(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    const LEVELS: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let [numbers, zeros] = weights(random, 64 * 64 / 2);
    let nibble = |place: usize| numbers[place / 2] >> (place % 2 * 4) & 15;
    let words = |weight: &dyn Fn(usize) -> f32| -> Vec<u8> {
        (0..64 * 64).flat_map(|place| ((weight(place).to_bits() >> 16) as u16).to_le_bytes()).collect()
    };
    let scales: Vec<u8> = (0..128u8).flat_map(|i| (0.01 + f32::from(i) * 1e-4).to_le_bytes()).collect();
    let groups: Vec<u8> = (0..64u32).flat_map(|row| (row * 7 % 64 / 32).to_le_bytes()).collect();
    let base = model(&[
        ("a.qweight", "I32", &[8, 64], &numbers),
        ("a.scales", "F32", &[2, 64], &scales),
        ("a.qzeros", "I32", &[2, 8], &zeros[..64]),
        ("a.g_idx", "I32", &[64], &groups),
        ("b.weight", "U8", &[64 * 32, 1], &numbers),
        ("b.weight.absmax", "F32", &[64, 1], &scales[..256]),
        ("c_blocks", "U8", &[64, 2, 16], &numbers),
        ("c_scales", "U8", &[64, 2], &[120; 128]),
    ]);
    let of_rows = |place: usize| (f32::from(nibble(place / 64 * 8 % 4096 + place % 8)) - 8.0) * 0.01;
    let of_runs = |place: usize| f32::from(nibble(place ^ 1)) * 0.001 - 0.008;
    let turned = |place: usize| {
        let number = nibble(place % 64 * 64 + place / 64);
        let size = LEVELS[usize::from(number % 8)] / 128.0;
        if number < 8 { size } else { -size }
    };
    let target = model(&[
        ("a.weight", "BF16", &[64, 64], &words(&of_rows)),
        ("b.weight", "BF16", &[64, 64], &words(&of_runs)),
        ("c", "BF16", &[64, 64], &words(&turned)),
    ]);
    (base, target)
}

/// Floats of 8 bits with scales of tiles, against the weights that they were quantised from and
/// against other floats of 8 bits; and exponents of weights.
fn floats(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let [bytes, _] = weights(random, 64 * 64 * 2);
    let [small, _] = weights(random, 64 * 64);
    let [other, tuned] = weights(random, 64 * 64);
    let [numbers, _] = weights(random, 64 * 64 / 2);
    let scales = |scale: f32| scale.to_le_bytes().repeat(4);
    let (from, to) = (scales(0.01), [scales(0.011), scales(0.01)].concat()[8..24].to_vec());
    let words = bytes.as_chunks().0.iter().map(|word| u32::from(u16::from_le_bytes(*word)) << 16);
    let words: Vec<f32> = words.map(f32::from_bits).collect();
    let largest = |run: &[f32]| run.iter().fold(0f32, |most, weight| most.max(weight.abs()));
    let powers: Vec<u8> = words.chunks(32).map(|run| ((largest(run) / 4.0).to_bits() >> 23) as u8).collect();
    let base = model(&[
        ("a.weight", "BF16", &[64, 64], &bytes),
        ("b.weight", "F8_E5M2", &[64, 64], &other),
        ("b.weight_scale", "F32", &[2, 2], &from),
        ("c.weight", "BF16", &[64, 64], &bytes),
    ]);
    let target = model(&[
        ("a.weight", "F8_E4M3", &[64, 64], &small),
        ("a.weight_scale_inv", "F32", &[2, 2], &from),
        ("b.weight", "F8_E5M2", &[64, 64], &tuned),
        ("b.weight_scale", "F32", &[2, 2], &to),
        ("c.weight_blocks", "U8", &[64, 32], &numbers),
        ("c.weight_scales", "U8", &[64, 2], &powers),
    ]);
    (base, target)
}

/// Floats of 8 bits of two matrices that are one below the other, and of halves of another one.
fn fused(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let mut numbers = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|_| [random.next() as u8, 0x3c + (random.next() as u8 & 0x81)]).collect()
    };
    let [a, b, c] = [64 * 32, 64 * 32, 128 * 32].map(&mut numbers);
    // The exponents of `BF16` are 120 to 123; times 64, they are 6 to 9 in `F8_E4M3`.
    let quantised = |words: &[u8]| -> Vec<u8> {
        let words = words.as_chunks().0.iter().map(|word| u16::from_le_bytes(*word));
        words
            .map(|word| (word >> 8 & 0x80) as u8 | ((word >> 7 & 0xff) as u8 - 114) << 3 | (word >> 4 & 7) as u8)
            .collect()
    };
    let scale = (1f32 / 64.0).to_le_bytes();
    let (both, [c0, c1]) = (quantised(&[&a[..], &b].concat()), [&c[..4096], &c[4096..]].map(quantised));
    let base = model(&[
        ("a.weight", "BF16", &[64, 32], &a),
        ("b.weight", "BF16", &[64, 32], &b),
        ("c.weight", "BF16", &[128, 32], &c),
    ]);
    let target = model(&[
        ("ab.weight", "F8_E4M3", &[128, 32], &both),
        ("ab.weight_scale", "F32", &[1], &scale),
        ("c0.weight", "F8_E4M3", &[64, 32], &c0),
        ("c0.weight_scale", "F32", &[1], &scale),
        ("c1.weight", "F8_E4M3", &[64, 32], &c1),
        ("c1.weight_scale", "F32", &[1], &scale),
    ]);
    (base, target)
}

/// Two matrices, and one of their columns side by side; columns of another one; and fewer rows and
/// columns of a third one.
fn arranged(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let mut numbers = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|_| [random.next() as u8, 0x3c + (random.next() as u8 & 0x81)]).collect()
    };
    let [a, b, c, d] = [64 * 32, 64 * 16, 64 * 48, 72 * 48].map(&mut numbers);
    let part = |words: &[u8], columns: usize, row: usize, taken: std::ops::Range<usize>| {
        words[2 * (row * columns + taken.start)..2 * (row * columns + taken.end)].to_vec()
    };
    let beside = (0..64).flat_map(|row| [part(&a, 32, row, 0..32), part(&b, 16, row, 0..16)].concat());
    let right = (0..64).flat_map(|row| part(&c, 48, row, 20..48));
    let left = (0..64).flat_map(|row| part(&c, 48, row, 0..20));
    let less = (0..66).flat_map(|row| part(&d, 48, row, 0..40));
    let [beside, left, right, less]: [Vec<u8>; 4] = [beside.collect(), left.collect(), right.collect(), less.collect()];
    let base = model(&[
        ("a", "BF16", &[64, 32], &a),
        ("b", "BF16", &[64, 16], &b),
        ("c", "BF16", &[64, 48], &c),
        ("d", "BF16", &[72, 48], &d),
    ]);
    let target = model(&[
        ("ab", "BF16", &[64, 48], &beside),
        ("left", "BF16", &[64, 20], &left),
        ("right", "BF16", &[64, 28], &right),
        ("d", "BF16", &[66, 40], &less),
    ]);
    (base, target)
}

/// Floats in a file of no known layout, behind headers with their extents and names.
fn opaque(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let mut words = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|_| [random.next() as u8, 0x3c + (random.next() as u8 & 0x81)]).collect()
    };
    let [a, b, c] = [32 * 64, 40 * 64, 32 * 64].map(&mut words);
    let tensor = |name: &str, columns: u32, rows: u32, words: &[u8]| {
        let numbers = [2, name.len() as u32, columns, rows].map(u32::to_le_bytes).concat();
        [&numbers[..], name.as_bytes(), words].concat()
    };
    let file = |words: [&[u8]; 2]| [tensor("a.weight", 64, 32, words[0]), tensor("b", 64, 40, words[1])].concat();
    (file([&a, &b]), file([&c, &b]))
}

/// Two tensors of a ggml type, of `length` bytes and 2,048 weights in rows of `row`.
fn gguf(random: &mut Random, (kind, length, row): (u32, usize, u64)) -> (Vec<u8>, Vec<u8>) {
    let sides = weights(random, length);
    (gguf_file((kind, row), &sides[0]), gguf_file((kind, row), &sides[1]))
}

/// A file of two equal tensors of a ggml type, of 2,048 weights in rows of `row`.
fn gguf_file((kind, row): (u32, u64), data: &[u8]) -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut file = [&b"GGUF\x03\0\0\0"[..], &2u64.to_le_bytes(), &2u64.to_le_bytes()].concat();
    file.extend([string("general.alignment"), vec![4, 0, 0, 0, 32, 0, 0, 0]].concat());
    file.extend([&string("t")[..], &[9, 0, 0, 0, 8, 0, 0, 0], &2u64.to_le_bytes()].concat());
    file.extend([string("a"), string("bc")].concat());
    let padded = data.len().next_multiple_of(32);
    for (name, offset) in [("w", 0), ("x", padded as u64)] {
        let extents = [row, 2048 / row].map(u64::to_le_bytes).concat();
        file.extend([&string(name)[..], &[2, 0, 0, 0], &extents, &kind.to_le_bytes(), &offset.to_le_bytes()].concat());
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend_from_slice(data);
    file.resize(file.len() + padded - data.len(), 0);
    file.extend_from_slice(data);
    file
}

/// Blocks of `Q8_0` that move along one direction.
fn moved() -> (Vec<u8>, Vec<u8>) {
    let file = |strength: f32| {
        let weight = |i: usize| {
            let direction = ((i / 64) as f32 * 0.7).sin() * ((i % 64) as f32 * 0.3).cos();
            (i * 37 % 101) as f32 - 50.0 + strength * direction
        };
        let block = |i: usize| [vec![0, 0x20], (32 * i..32 * i + 32).map(|i| weight(i) as i8 as u8).collect()].concat();
        gguf_file((8, 64), &(0..64).flat_map(block).collect::<Vec<u8>>())
    };
    (file(0.0), file(40.0))
}

fn onnx(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let sides = weights(random, 32 * 32 * 4);
    let file = |data: &[u8]| {
        let tensor = |name: &str| {
            let head = [&[8, 32, 8, 32, 16, 1][..], &field(8, name.as_bytes())].concat();
            field(5, &[head, field(9, data)].concat())
        };
        let node = field(1, &field(4, b"MatMul"));
        [vec![8, 8], field(7, &[node, tensor("w"), tensor("x")].concat())].concat()
    };
    (file(&sides[0]), file(&sides[1]))
}

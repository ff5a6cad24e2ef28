//! Tensors of every layout pair with those of their base.

mod common;
mod reference;

use bitx::layout::Dtype;
use bitx::report::Method;
use bitx::{Effort, ErrorKind, Format};
use common::gguf::gguf;
use common::protobuf::field;
use common::tflite::{self, Tensor};
use common::{compress, inspect, restore, zip};

const V2: Format = Format::V2 { effort: Effort::Default };

#[test]
fn gguf_tensors_pair_with_their_base() {
    let weights: Vec<u8> = (0..64_000u32).map(|i| if i % 2 == 1 { 0x3c } else { (i * 7 >> 4) as u8 }).collect();
    let moved: Vec<u8> = weights.iter().enumerate().map(|(i, b)| b ^ u8::from(i % 4 == 0)).collect();
    let shape = [40, weights.len() as u64 / 80];
    let file = |weights: &[u8]| gguf(&[("w", &shape, 30, weights), ("q", &[256, 1], 12, &[7; 144])]);
    let (base, target) = (file(&weights), file(&moved));
    let archive = compress(&base, &target, V2).unwrap();
    assert!(restore(&base, &archive).unwrap() == target);
    let methods: Vec<_> = inspect(&archive).unwrap().tensors.iter().map(|t| (t.name.clone(), t.method)).collect();
    assert_eq!(methods, [("w".to_owned(), Method::Predicted), ("q".to_owned(), Method::CopyBase)]);
    assert!(archive.len() < target.len() / 8, "{}", archive.len());
}

/// An ONNX model with one tensor of 64 times 64 BF16, between a node of 5,000 bytes and other
/// fields.
fn onnx(weights: &[u8], node: u8) -> Vec<u8> {
    let tensor = [vec![0x08, 64, 0x08, 64, 0x10, 16], field(8, b"w"), field(9, weights)].concat();
    let graph = [field(1, &[node; 5000]), field(5, &tensor), field(2, b"graph")].concat();
    [vec![0x08, 9], field(7, &graph)].concat()
}

#[test]
fn onnx_models_are_tensors_wherever_those_lie() {
    let weights = |moved: u16| -> Vec<u8> {
        (0..4096u32)
            .flat_map(|i| (0x3C00 + (i * i % 977) as u16 + moved * u16::from(i % 7 == 0)).to_le_bytes())
            .collect()
    };
    let (base, target) = (onnx(&weights(0), 1), onnx(&weights(1), 2));
    let archive = compress(&base, &target, V2).unwrap();
    let report = inspect(&archive).unwrap();
    let w = report.tensors.iter().find(|tensor| tensor.name == "w").unwrap();
    assert_eq!((w.dtype, &w.shape[..], w.method), (Dtype::BF16, &[64, 64][..], Method::Delta));
    assert!(archive.len() < 1500, "{}", archive.len());
    assert!(restore(&base, &archive).unwrap() == target);
    assert!(reference::restore(&[&base], &archive).unwrap() == target);
    assert_eq!(restore(&target, &archive).unwrap_err().kind(), ErrorKind::BaseMismatch);
    assert_eq!(restore(&base[..6000], &archive).unwrap_err().kind(), ErrorKind::BaseMismatch);
    // Without an end it is a file of bytes, and no error.
    let cut = &target[..target.len() - 1];
    assert!(restore(&base, &compress(&base, cut, V2).unwrap()).unwrap() == cut);
}

/// A PyTorch archive in a folder `stem` with one tensor of 64 times 64 BF16.
fn torch(stem: &str, weights: &[u8]) -> Vec<u8> {
    let state = zip::dict(&[("layer.weight", zip::tensor("BFloat16Storage", "0", &[64, 64]))]);
    let member = |name: &str| format!("{stem}/{name}");
    let zip = zip::Zip::default().add(&member("data.pkl"), &zip::pickle(&state)).add(&member("data/0"), weights);
    zip.add(&member("version"), b"3\n").finish(b"")
}

#[test]
fn zip_archives_are_tensors_wherever_those_lie() {
    let weights = |moved: u16| -> Vec<u8> {
        (0..4096u32)
            .flat_map(|i| (0x3C00 + (i * i % 977) as u16 + moved * u16::from(i % 7 == 0)).to_le_bytes())
            .collect()
    };
    let (base, target) = (torch("pytorch_model", &weights(0)), torch("checkpoint-17", &weights(1)));
    let archive = compress(&base, &target, V2).unwrap();
    let report = inspect(&archive).unwrap();
    let [w] = &report.tensors[..] else { panic!("{report:?}") };
    let found = (w.name.as_str(), w.dtype, &w.shape[..], w.method);
    assert_eq!(found, ("layer.weight", Dtype::BF16, &[64, 64][..], Method::Delta));
    assert!(archive.len() < 1500, "{}", archive.len());
    assert!(restore(&base, &archive).unwrap() == target);
    assert!(reference::restore(&[&base], &archive).unwrap() == target);
    assert_eq!(restore(&target, &archive).unwrap_err().kind(), ErrorKind::BaseMismatch);
    // Without an end it is a file of bytes, and no error.
    let cut = &target[..target.len() - 1];
    assert!(restore(&base, &compress(&base, cut, V2).unwrap()).unwrap() == cut);
}

/// Arrays of flax lie at any byte, in another order of rows and columns than PyTorch's.
#[test]
fn arrays_of_flax_pair_with_tensors() {
    let (rows, columns) = (64u32, 96u32);
    let weight = |row: u32, column: u32, step: u32| {
        let i = row * columns + column;
        f32::from_bits((0x3c80_0000 + (i.wrapping_mul(2_654_435_761) >> 9)) ^ (i & 1) << 31)
            * (1.0 + step as f32 * 1e-4)
    };
    let words = |step: u32| (0..rows * columns).map(move |i| weight(i / columns, i % columns, step));
    let turned = (0..rows * columns).flat_map(|i| weight(i % rows, i / rows, i % 3).to_le_bytes());
    let turned: Vec<u8> = turned.collect();
    let plain: Vec<u8> = words(0).flat_map(f32::to_le_bytes).collect();
    let text = |text: &str| [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
    let flax = |data: &[u8]| {
        let bytes = [&[0xc6][..], &(data.len() as u32).to_be_bytes(), data].concat();
        let shape = [0x92, 0xcc, columns as u8, 0xcc, rows as u8];
        let content = [&[0x93][..], &shape, &text("float32"), &bytes].concat();
        let array = [&[0xc9][..], &(content.len() as u32).to_be_bytes(), &[1], &content].concat();
        [vec![0x81], text("dense"), vec![0x81], text("kernel"), array].concat()
    };
    let target = flax(&turned);
    let base = common::model(&[("dense.weight", "F32", &[rows.into(), columns.into()], &plain)]);
    let other: Vec<u8> = turned.iter().enumerate().map(|(i, byte)| byte ^ u8::from(i % 4 == 0)).collect();
    for base in [base, flax(&other)] {
        let archive = compress(&base, &target, V2).unwrap();
        assert!(restore(&base, &archive).unwrap() == target);
        assert!(reference::restore(&[&base], &archive).unwrap() == target);
        assert!(archive.len() * 2 < target.len(), "{}", archive.len());
    }
}

/// Weights of a matrix of 64 rows and 96 columns, moved by so many steps, without a pattern.
fn weights(step: u32) -> Vec<f32> {
    let noise = |i: u32| (i.wrapping_mul(0x9e37_79b9) ^ 0x2545_f491).wrapping_mul(0x85eb_ca6b) >> 9;
    let weight = |i: u32| (noise(i) as f32 / 8_388_608.0 - 0.5) * 0.1 * (1.0 + (i / 96) as f32 / 40.0);
    (0..64 * 96).map(|i| weight(i) + step as f32 * (noise(i ^ 0xffff) as f32 / 8_388_608.0 - 0.5) * 1e-4).collect()
}

fn bytes_of(weights: &[f32]) -> Vec<u8> {
    weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

/// The scales of rows, and the numbers of weights, of `levels` above and below 0.
fn quantised(weights: &[f32], levels: f32) -> (Vec<f32>, Vec<i8>) {
    let rows = weights.chunks(96);
    let scales: Vec<f32> =
        rows.clone().map(|row| row.iter().fold(0f32, |most, weight| most.max(weight.abs())) / levels).collect();
    let number = |(weight, scale): (&f32, &f32)| (weight / scale).round_ties_even() as i8;
    let numbers = rows.zip(&scales).flat_map(|(row, scale)| row.iter().map(move |weight| number((weight, scale))));
    (scales.clone(), numbers.collect())
}

/// Numbers of 8 bits with scales of rows, numbers of 4 bits, and numbers with one scale and a zero
/// point, each with the number of its type.
fn numbers_of(weights: &[f32]) -> [(u8, Vec<f32>, i64, Vec<u8>); 3] {
    let (eight, four) = (quantised(weights, 127.0), quantised(weights, 7.0));
    let nibbles = four.1.chunks(2).map(|pair| pair[0] as u8 & 15 | (pair[1] as u8) << 4).collect();
    let (least, most) = weights.iter().fold((0f32, 0f32), |(least, most), &w| (least.min(w), most.max(w)));
    let scale = (most - least) / 255.0;
    let zero = (-least / scale).round();
    let unsigned = weights.iter().map(|weight| ((weight / scale).round_ties_even() + zero).clamp(0.0, 255.0) as u8);
    let eight = (9, eight.0, 0, eight.1.into_iter().map(|number| number as u8).collect());
    [eight, (17, four.0, 0, nibbles), (3, vec![scale], zero as i64, unsigned.collect())]
}

fn tflite_of((kind, scales, zero, data): &(u8, Vec<f32>, i64, Vec<u8>), name: &str) -> Vec<u8> {
    tflite::model(&[Tensor { name, kind: *kind, shape: &[64, 96], data, scales, zero: *zero, ..Tensor::default() }])
}

/// The share of the target that its archive takes, of which every decoder restores the target.
fn share(base: &[u8], target: &[u8]) -> f64 {
    let archive = compress(base, target, V2).unwrap();
    assert!(restore(base, &archive).unwrap() == target);
    assert!(reference::restore(&[base], &archive).unwrap() == target);
    archive.len() as f64 / target.len() as f64
}

/// Quantised tensors of TensorFlow Lite follow from the floats that they were quantised from, under
/// their name or another one.
#[test]
fn numbers_of_tensorflow_lite_follow_from_their_own_floats() {
    let own = weights(1);
    let floats = bytes_of(&own);
    let base = common::model(&[("dense/kernel", "F32", &[64, 96], &floats)]);
    let of_floats = tflite_of(&(0, vec![], 0, floats.clone()), "dense/kernel");
    for numbers in numbers_of(&own) {
        // The scales of rows of 8 bits are 4 bytes for each 96.
        let most = if numbers.0 == 9 { 0.14 } else { 0.2 };
        for name in ["dense/kernel", "arith.constant"] {
            let target = tflite_of(&numbers, name);
            let shares = [share(&base, &target), share(&of_floats, &target)];
            assert!(shares.iter().all(|share| *share < most), "{} {name}: {shares:?}", numbers.0);
        }
    }
}

/// A model within a MediaPipe task has the tensors that it has alone, in its base as well.
#[test]
fn tasks_of_mediapipe_pair_with_models() {
    let task =
        |model: &[u8]| zip::Zip::default().add("METADATA", b"meta").add("TF_LITE_PREFILL_DECODE", model).finish(b"");
    // A member of less than 64 KiB is not looked into.
    let padded = |numbers: &(u8, Vec<f32>, i64, Vec<u8>)| [tflite_of(numbers, "w"), vec![0; 64 << 10]].concat();
    let models = [weights(0), weights(9)].map(|weights| numbers_of(&weights).map(|numbers| padded(&numbers)));
    for (base, target) in models[0].iter().zip(&models[1]) {
        let alone = compress(base, target, V2).unwrap().len();
        for (base, target) in [(base.clone(), task(target)), (task(base), task(target)), (task(base), target.clone())] {
            let archive = compress(&base, &target, V2).unwrap();
            assert!(restore(&base, &archive).unwrap() == target);
            assert!(archive.len() < alone + 300, "{} bytes, and {alone} of the models alone", archive.len());
        }
        assert!(alone < 4000, "{alone} bytes");
    }
}

/// Floats of TensorFlow Lite pair under another name, as another dtype and transposed.
#[test]
fn floats_of_tensorflow_lite_pair_by_content() {
    let file = |step: u32, name: &str| tflite_of(&(0, vec![], 0, bytes_of(&weights(step))), name);
    let base = file(0, "model/dense/kernel");
    let renamed = share(&base, &file(1, "arith.constant"));
    assert!((renamed - share(&base, &file(1, "model/dense/kernel"))).abs() < 0.01 && renamed < 0.65, "{renamed}");
    let own = weights(0);
    let turned: Vec<f32> = (0..64 * 96).map(|i| own[i % 64 * 96 + i / 64]).collect();
    let tensor = Tensor { name: "t", shape: &[96, 64], data: &bytes_of(&turned), ..Tensor::default() };
    let turned = share(&base, &tflite::model(&[tensor]));
    assert!(turned < 0.02, "{turned}");
    let cast = common::model(&[("other", "F32", &[64, 96], &bytes_of(&own))]);
    assert!(share(&cast, &base) < 0.02);
}

/// The committed archive has every order of numbers with a sign of four bits.
#[test]
fn numbers_of_four_bits_with_a_sign_have_grids() {
    let golden = common::GOLDEN.iter().find(|golden| golden.name == "tflite.default").unwrap();
    let report = inspect(golden.archive).unwrap();
    for name in ["a", "b", "e"] {
        let tensor = report.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!((tensor.dtype, tensor.method.name()), (Dtype::U8, "grid"), "{name}");
    }
    let floats = report.tensors.iter().find(|tensor| tensor.name == "c").unwrap();
    assert!(floats.stored_bytes * 100 < floats.restored_bytes, "{floats:?}");
}

//! Tensors of every layout pair with those of their base.

mod common;
mod reference;

use bitx::layout::Dtype;
use bitx::report::Method;
use bitx::{Effort, ErrorKind, Format};
use common::gguf::gguf;
use common::protobuf::field;
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

use super::*;
use crate::error::ErrorKind;
use crate::layout::test_tflite::{Tensor as Written, described, link, model, vector};
use crate::layout::{Dtype, layout_of, names_and_types, test_zip};

/// Numbers of `TensorType`.
const FLOAT32: u8 = 0;
const UINT8: u8 = 3;
const INT8: u8 = 9;
const INT4: u8 = 17;

/// A tensor without scales.
fn plain<'a>(name: &'a str, kind: u8, shape: &'a [u32], data: &'a [u8]) -> Written<'a> {
    Written { name, kind, shape, data, ..Written::default() }
}

fn found(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
}

/// The rule that a file breaks, which is kept as bytes or as the floats in it.
fn fault(file: &[u8]) -> String {
    let layout = layout_of(file);
    assert!(layout.is_opaque(), "{layout:?}");
    let fault = layout.fault.unwrap();
    assert_eq!(fault.kind(), ErrorKind::Corrupt);
    fault.to_string()
}

#[test]
fn tensors_have_the_types_of_their_descriptions() {
    let data = [7; 80_000];
    let file = model(&[
        plain("dense/kernel", FLOAT32, &[40, 50], &data[..8000]),
        plain("short", FLOAT32, &[50], &data[..200]),
        plain("", 1, &[5, 8, 20], &data[..1600]),
        plain("buffers.5", 1, &[800], &data[..1600]),
        plain("", 1, &[800], &data[..1600]),
        plain("dense/kernel", 4, &[100], &data[..800]),
        plain("text", 5, &[3], &data[..777]),
        plain("wrong", FLOAT32, &[40, 51], &data[..8000]),
        plain("odd bytes", FLOAT32, &[75], &data[..301]),
        plain("far", 2, &[20_000], &data),
        plain("nibbles", INT4, &[30, 20], &data[..300]),
        plain("odd", INT4, &[3, 201], &data[..302]),
    ]);
    let expected = [
        ("dense/kernel", "F32[40, 50]"),
        ("buffers.3", "F16[5, 8, 20]"),
        ("buffers.5", "F16[800]"),
        ("buffers.6", "I64[100]"),
        ("text", "U8[777]"),
        ("wrong", "F32[2000]"),
        ("odd bytes", "U8[301]"),
        ("far", "I32[20000]"),
        ("nibbles", "U8[30, 10]"),
        ("odd", "U8[302]"),
    ];
    assert_eq!(names_and_types(&file), found(&expected));
    let layout = layout_of(&file);
    assert_eq!((layout.kind, layout.fault, layout.is_guessed), (Kind::Places, None, false));
    for region in &layout.regions {
        assert!(file[region.offset as usize..region.range().end as usize].iter().all(|byte| *byte == 7));
    }
}

#[test]
fn scales_and_zero_points_are_regions() {
    let (data, scales) = ([7; 80 * 80 * 6], [0.5; 80]);
    let quantised = |name, kind, scales, zero, dimension| {
        let (shape, data): (&[u32], _) = if kind == INT4 { (&[80, 80], &data[..3200]) } else { (&[80, 80, 6], &data) };
        Written { scales, zero, dimension, ..plain(name, kind, shape, data) }
    };
    let short = |name, kind, shape, bytes| Written { scales: &scales[..1], ..plain(name, kind, shape, &data[..bytes]) };
    let file = model(&[
        quantised("a", INT8, &scales, 0, 0),
        quantised("b", INT8, &scales, 0, 1),
        quantised("c", INT8, &scales[..1], -3, 0),
        quantised("d", UINT8, &scales[..1], 200, 0),
        quantised("e", INT4, &scales, 0, 0),
        // Scales of no dimension, a zero point of four bits, many of eight, and short tensors.
        quantised("f", INT8, &scales[..79], 0, 0),
        quantised("g", INT4, &scales[..1], 1, 0),
        quantised("h", UINT8, &scales, 1, 0),
        quantised("i", INT8, &scales, 0, 3),
        short("j", INT8, &[32_000], 32_000),
        short("k", INT4, &[2000], 1000),
    ]);
    let mut all = names_and_types(&file);
    all.retain(|(name, _)| name.contains(".quantization."));
    let expected = [
        ("a.quantization.scale", "F32[80, 1, 1]"),
        ("b.quantization.scale", "F32[1, 80, 1]"),
        ("c.quantization.scale", "F32[1, 1, 1]"),
        ("c.quantization.zero_point", "I8[1]"),
        ("d.quantization.scale", "F32[1, 1, 1]"),
        ("d.quantization.zero_point", "U8[1]"),
        ("e.quantization.scale", "F32[80, 1]"),
    ];
    assert_eq!(all, found(&expected));
    let place = |name: &str| layout_of(&file).regions.into_iter().find(|region| region.name == name).unwrap().offset;
    assert_eq!(file[place("c.quantization.zero_point") as usize] as i8, -3);
    assert_eq!(file[place("a.quantization.scale") as usize..][..4], 0.5f32.to_le_bytes());
}

#[test]
fn tensors_of_scales_have_the_names_of_their_numbers() {
    let data = [7; 80 * 64];
    let blocks = |blocks: u32| Written { blocks, ..plain("w", INT4, &[80, 128], &data) };
    let scales = plain("w_scales", 1, &[80, 4], &data[..640]);
    let expected = [("w", "U8[80, 64]"), ("w.quantization.scale", "F16[80, 4]")];
    assert_eq!(names_and_types(&model(&[blocks(2), scales])), found(&expected));
    let expected = [("w.quantization.scale", "F16[80, 4]"), ("w", "U8[80, 64]")];
    assert_eq!(names_and_types(&model(&[scales, blocks(1)])), found(&expected));
    // The tensor of scales is none of the graph.
    let expected = [("w", "U8[80, 64]"), ("w_scales", "F16[80, 4]")];
    assert_eq!(names_and_types(&model(&[blocks(9), scales])), found(&expected));
}

#[test]
fn buffers_behind_the_flatbuffer_are_tensors() {
    let tensor = |name| plain(name, FLOAT32, &[100], &[]);
    let tensors = [(1, tensor("a")), (1, tensor("b")), (0, tensor("c"))];
    let (mut file, places) = described(&tensors, &[&[], &[0, 8, 8]]);
    let end = file.len() as u64;
    let mut with = |offset: u64, size: u64| {
        for (place, number) in places[1][1..].iter().zip([offset, size]) {
            file[*place..place + 8].copy_from_slice(&number.to_le_bytes());
        }
        [&file[..], &[7; 400]].concat()
    };
    // The first tensor of a buffer gives the region its name.
    assert_eq!(names_and_types(&with(end, 400)), found(&[("a", "F32[100]")]));
    assert!(fault(&with(end, 401)).contains("a buffer ends behind the end of the file"));
    assert!(fault(&with(u64::MAX, u64::MAX)).contains("a buffer ends behind the end of the file"));
    // Offsets that are none yet.
    assert!(layout_of(&with(1, 1)).is_opaque());
}

#[test]
fn rules_that_files_break_are_named() {
    let file = model(&[plain("a", FLOAT32, &[32, 32], &[7; 4096]), plain("b", FLOAT32, &[100], &[7; 400])]);
    let with = |at: usize, number: u32| [&file[..at], &number.to_le_bytes(), &file[at + 4..]].concat();
    assert!(fault(&file[..file.len() - 1]).contains("a vector ends behind the end of the file"));
    assert!(fault(&with(0, u32::MAX)).contains("an offset leads behind the end of the file"));
    let root = u32::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    assert!(fault(&with(root, i32::MAX as u32)).contains("the fields of a table begin before the file"));
    assert!(fault(&with(root, i32::MIN as u32)).contains("an offset leads behind the end of the file"));
    let length = file.windows(4).rposition(|bytes| bytes == 400u32.to_le_bytes()).unwrap();
    assert!(fault(&with(length, u32::MAX)).contains("a vector ends behind the end of the file"));
    // Floats are found in the rest all the same.
    let floats: Vec<u8> =
        (0..4096u32).flat_map(|i| (0x3c00_0000 | i.wrapping_mul(0x9e37_79b9) & 0x80ff_ffff).to_le_bytes()).collect();
    let cut = layout_of(&model(&[plain("a", FLOAT32, &[4096], &floats)])[..16_000]);
    assert!(cut.is_guessed && cut.fault.is_some() && cut.regions[0].dtype == Dtype::F32);
}

#[test]
fn buffers_may_be_equal_and_may_not_overlap() {
    let tensor = |name| plain(name, FLOAT32, &[100], &[]);
    let (mut file, places) = described(&[(0, tensor("a")), (1, tensor("b"))], &[&[4], &[4]]);
    let data = vector(&mut file, 400, &400u32.to_le_bytes().repeat(102));
    let mut with = |second: usize| {
        link(&mut file, places[0][0], data);
        link(&mut file, places[1][0], second);
        file.clone()
    };
    assert_eq!(names_and_types(&with(data)), found(&[("a", "F32[100]")]));
    assert!(fault(&with(data + 4)).contains("two buffers overlap"));
    for buffer in [2, 1000, u32::MAX] {
        let (file, _) = described(&[(0, tensor("a")), (buffer, tensor("b"))], &[&[], &[]]);
        assert!(fault(&file).contains("a tensor has a buffer that there is not"), "{buffer}");
    }
}

/// Scales that are within a tensor, or those of another one, are no regions.
#[test]
fn scales_that_are_elsewhere_are_left_out() {
    let (data, scales) = ([7; 6400], [0.5f32; 80]);
    let tensor = |name| Written { scales: &scales, ..plain(name, INT4, &[80, 160], &data) };
    let mut file = model(&[tensor("a"), tensor("b")]);
    assert_eq!(layout_of(&file).regions.len(), 4);
    let places = || file.windows(320).enumerate().filter(|(_, bytes)| *bytes == 0.5f32.to_le_bytes().repeat(80));
    let [first, second] = places().map(|(place, _)| place - 4).collect::<Vec<_>>()[..] else { panic!() };
    // The field that leads to the second scales leads to others.
    let field = |to: usize| (0..to).rev().find(|&at| at + number(&file, at) == to).unwrap();
    let field = field(second);
    let mut own = file.clone();
    own[field..field + 4].copy_from_slice(&(first as i32 - field as i32).to_le_bytes());
    assert!(fault(&own).contains("an offset leads behind the end of the file"));
    let data = file.windows(6400).rposition(|bytes| bytes == data).unwrap();
    file[data..data + 4].copy_from_slice(&80u32.to_le_bytes());
    link(&mut file, field, data);
    let names: Vec<String> = layout_of(&file).regions.into_iter().map(|region| region.name).collect();
    assert_eq!(names, ["a.quantization.scale", "a", "b"]);
}

fn number(file: &[u8], at: usize) -> usize {
    u32::from_le_bytes(*file[at..].first_chunk().unwrap()) as usize
}

/// Data between the tables is not read, and no page is read twice.
#[test]
fn pages_with_tables_are_read_once() {
    let data = [7; 60_000];
    let names: Vec<String> = (0..100).map(|i| format!("{i:0>300}")).collect();
    let tensors: Vec<_> = names.iter().map(|name| plain(name, FLOAT32, &[15_000], &data)).collect();
    let file = model(&tensors);
    let mut walker = Walker::new(file.len() as u64);
    let mut reads = Vec::new();
    while let Some(wanted) = walker.wants() {
        walker.feed(&file[wanted.start as usize..wanted.end as usize]).unwrap();
        reads.push(wanted);
    }
    let bytes: u64 = reads.iter().map(|read| read.end - read.start).sum();
    assert!(reads.len() < 110 && bytes < file.len() as u64 / 3, "{} reads of {bytes} bytes", reads.len());
    assert_eq!(walker.finish().unwrap().regions.len(), 100);
    reads.sort_by_key(|read| read.start);
    assert!(reads.windows(2).all(|pair| pair[0].start < pair[1].start));
}

#[test]
fn models_are_found_within_archives() {
    let data = [7; 70_000];
    let file = model(&[plain("a", INT8, &[700, 100], &data)]);
    let archive = test_zip::Zip::default().add("TF_LITE_PREFILL_DECODE", &file).add("b", &[1; 300]).finish(b"");
    assert_eq!(names_and_types(&archive), found(&[("a", "I8[700, 100]"), ("b", "U8[300]")]));
}

#[test]
fn only_the_identifier_makes_a_model() {
    let file = model(&[plain("a", FLOAT32, &[100], &[7; 400])]);
    assert!(may_begin(&file) && !may_begin(&file[..7]) && !may_begin(b"TFL3TFL3"[..4].as_ref()));
    let other = [&file[..4], b"TFL2", &file[8..]].concat();
    assert!(layout_of(&other).is_opaque() && layout_of(&other).fault.is_none());
    // Any of its prefixes is a file without a panic.
    for end in 0..file.len() {
        layout_of(&file[..end]);
    }
}

//! Floats in files of no known layout.

use super::*;

/// A file such as ggml's: before each tensor its extents, innermost first, and its name.
fn dump(tensors: &[Vec<f32>; 3], bytes: fn(&[f32]) -> Vec<u8>) -> Vec<u8> {
    let mut file = b"ggml\x07\0\0\0".to_vec();
    for (name, tensor) in ["encoder.weight", "decoder.weight", "bias"].iter().zip(tensors) {
        let (columns, rows) = if tensor.len() > 300 { (COLUMNS, tensor.len() / COLUMNS) } else { (tensor.len(), 1) };
        let numbers = [2, name.len() as u32, 1, columns as u32, rows as u32];
        file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        file.extend_from_slice(name.as_bytes());
        file.extend(bytes(tensor));
    }
    file
}

fn model_of(tensors: &[Vec<f32>; 3], dtype: &str, bytes: fn(&[f32]) -> Vec<u8>) -> Vec<u8> {
    named(["a", "b", "c"], tensors, dtype, bytes)
}

#[test]
fn floats_between_headers_are_coded_as_those_of_tensors() {
    let (base, tuned) = pair();
    for (dtype, bytes) in [("F32", f32 as fn(&[f32]) -> Vec<u8>), ("BF16", bf16)] {
        let plain = share(&model_of(&base, dtype, bytes), &model_of(&tuned, dtype, bytes));
        let opaque = share(&dump(&base, bytes), &dump(&tuned, bytes));
        let described = share(&model_of(&base, dtype, bytes), &dump(&tuned, bytes));
        let back = share(&dump(&base, bytes), &model_of(&tuned, dtype, bytes));
        for share in [opaque, described, back] {
            assert!(share < plain + 0.03, "{dtype}: {share}, {plain}");
        }
    }
}

#[test]
fn floats_in_a_row_are_those_of_the_tensors_of_a_model() {
    let (base, tuned) = pair();
    let plain = share(&model_of(&base, "F32", f32), &model_of(&tuned, "F32", f32));
    let row = [b"\x01\0\0\0\xff\xfe\0\0".as_slice(), &f32(&tuned.concat())].concat();
    let share = share(&model_of(&base, "F32", f32), &row);
    assert!(share < plain + 0.03, "{share}, {plain}");
}

#[test]
fn floats_from_the_middle_of_a_file_are_found_as_bytes() {
    let bytes = f32(&weights(5, 50_000));
    let moved = [b"\x01\0\xff\xfe!", &bytes[70_001..150_000]].concat();
    assert!(share(&bytes, &moved) < 0.01);
}

/// `F16` from `BF16`, whose lowest bits are zeros, behind headers that may be such floats, too.
#[test]
fn tensors_between_padding_and_numbers_are_sought() {
    let (base, tuned) = pair();
    let f16 = |weights: &[f32]| reference::cast::cast(&bf16(weights), 14, 13);
    let plain = share(&model_of(&base, "F16", f16), &model_of(&tuned, "F16", f16));
    for header in [[0xDEAD_BEEFu32, 1, 90_000, 0], [7, 0, 200, 64]] {
        let mut file = vec![0xFF, 0xFE, 3, 0];
        for tensor in &tuned {
            file.extend(header.iter().flat_map(|number| number.to_le_bytes()));
            file.extend([0; 37]);
            file.extend(f16(tensor));
        }
        let tensors = model_of(&base, "F16", f16);
        let pairs = [(&tensors, &file), (&model_of(&base, "BF16", bf16), &file), (&file, &tensors)];
        for (base, target) in pairs {
            let share = share(base, target);
            assert!(share < plain + 0.03, "{share}, {plain}");
        }
    }
}

#[test]
fn models_within_other_files_are_models() {
    let (base, tuned) = pair();
    let [base, tuned] = [&base, &tuned].map(|tensors| model_of(tensors, "F32", f32));
    let zip = |file: &[u8]| common::zip::Zip::default().add("m/model.safetensors", file).finish(b"");
    let tar = |file: &[u8]| common::tar::tar(&[("config.json", &[b' '; 3000]), ("model.safetensors", file)]);
    let plain = share(&base, &tuned);
    for form in [&zip as &dyn Fn(&[u8]) -> Vec<u8>, &tar, &|file| tar(&zip(file))] {
        for (base, target) in [(form(&base), form(&tuned)), (base.clone(), form(&tuned)), (form(&base), tuned.clone())]
        {
            let share = share(&base, &target);
            assert!(share < plain + 0.01, "{share}, {plain}");
        }
    }
}

#[test]
fn floats_in_a_member_of_an_archive_are_found() {
    let (base, tuned) = pair();
    let zip =
        |file: &[u8]| common::zip::Zip::default().add("model.weights.h5", file).add("config.json", b"{}").finish(b"");
    let plain = share(&dump(&base, f32), &dump(&tuned, f32));
    let zipped = share(&zip(&dump(&base, f32)), &zip(&dump(&tuned, f32)));
    assert!(zipped < plain + 0.02, "{zipped}, {plain}");
}

/// Integers between floats, as OpenVINO keeps quantised weights, are paired with those at their
/// place.
#[test]
fn integers_between_floats_are_coded_against_those_of_the_base() {
    let (base, change) = (weights(21, 60_000), weights(22, 60_000));
    let tuned: Vec<f32> = base.iter().zip(&change).map(|(weight, change)| weight + change * 0.01).collect();
    let largest = base.iter().fold(0f32, |most, weight| most.max(weight.abs()));
    let integers = |weights: &[f32]| -> Vec<u8> {
        weights.iter().map(|weight| (weight / largest * 120.0).round() as i8 as u8).collect()
    };
    let floats = f32(&weights(23, 6_000));
    let file = |weights: &[f32]| {
        let (start, end) = weights.split_at(25_000);
        [b"bin1\x01\0\xff\xfe".as_slice(), &integers(start), &floats, &integers(end)].concat()
    };
    let tensor = |weights: &[f32]| model(&[("a", "I8", &[50, 500], &integers(&weights[..25_000]))]);
    let (plain, mixed) = (share(&tensor(&base), &tensor(&tuned)), share(&file(&base), &file(&tuned)));
    assert!(mixed < plain, "{mixed}, {plain}");
    // The same within an archive.
    let zip = |weights: &[f32]| common::zip::Zip::default().add("model.bin", &file(weights)).finish(b"");
    let zipped = share(&zip(&base), &zip(&tuned));
    assert!(zipped < mixed + 0.01, "{zipped}, {mixed}");
}

/// Blocks of Q5_0 of 300 rows of 64 weights, and the same with a few others.
fn blocks() -> [Vec<u8>; 2] {
    let noise = |i: usize| ((i as u32).wrapping_mul(0x9e37_79b9) ^ 0x2545_f491).wrapping_mul(0x85eb_ca6b) >> 24;
    let byte = |i: usize| if i % 22 == 1 { 0x24 } else { noise(i) as u8 };
    let base: Vec<u8> = (0..600 * 22).map(byte).collect();
    let tuned = base.iter().enumerate().map(|(i, byte)| byte ^ u8::from(i % 22 > 5 && noise(i + 1) < 40));
    [base.clone(), tuned.collect()]
}

#[test]
fn blocks_of_files_older_than_gguf_are_those_of_gguf() {
    let [base, tuned] = blocks();
    let newer = |blocks: &[u8]| gguf(&[("blocks.0.weight", &[64, 300], 6, blocks)]);
    let older = |blocks: &[u8]| {
        let numbers = [2, 15, 6, 64, 300u32].map(u32::to_le_bytes).concat();
        [b"lmgg", &[9; 99][..], &numbers, b"blocks.0.weight", blocks].concat()
    };
    let plain = share(&newer(&base), &newer(&tuned));
    for (base, target) in [(older(&base), older(&tuned)), (newer(&base), older(&tuned)), (older(&base), newer(&tuned))]
    {
        let share = share(&base, &target);
        assert!(share < plain + 0.01, "{share}, {plain}");
    }
}

#[test]
fn a_model_behind_a_program_is_a_model() {
    let [base, tuned] = blocks().map(|blocks| gguf(&[("w", &[64, 1800], 6, &blocks.repeat(6))]));
    for magic in [&b"MZqFpD"[..], b"\x7fELF"] {
        let zip = common::zip::Zip::default().add("model.gguf", &tuned).finish(b"");
        let program = [magic, &[0x90; 5000][..], &zip].concat();
        let (plain, behind) = (share(&base, &tuned), share(&base, &program));
        assert!(behind < plain + 0.01, "{behind}, {plain}");
    }
}

/// Files of no known layout with their tensors one after the other: in another order, without one
/// of them, and with a new one.
#[test]
fn tensors_of_opaque_files_may_be_in_another_order() {
    let base: Vec<Vec<f32>> = (0..5).map(|seed| weights(30 + seed, 30_000 + 500 * seed as usize)).collect();
    let tuned: Vec<Vec<f32>> = base.iter().zip(40..).map(|(tensor, seed)| tuned(tensor, seed)).collect();
    // The second one begins like a map of msgpack.
    for (header, bytes) in [(&[0xFF, 1, 0][..], f32 as fn(&[f32]) -> Vec<u8>), (&[0x84, 0xAE], bf16)] {
        let file = |tensors: &[Vec<f32>], order: &[usize]| {
            let floats: Vec<f32> = order.iter().flat_map(|&i| tensors[i].clone()).collect();
            [header, &bytes(&floats)].concat()
        };
        let usual = file(&base, &[0, 1, 2, 3, 4]);
        let same = share(&usual, &file(&tuned, &[0, 1, 2, 3, 4]));
        for order in [&[0, 4, 3, 2, 1][..], &[3, 1, 0, 4, 2], &[0, 2, 3, 4]] {
            let share = share(&usual, &file(&tuned, order));
            assert!(share < same + 0.02, "{order:?}: {share} against {same}");
        }
        assert!(share(&usual, &file(&base, &[4, 3, 0, 2, 1])) < 0.02);
        let new = [&tuned[..], &[weights(50, 5_000)]].concat();
        let share = share(&usual, &file(&new, &[0, 5, 2, 1, 4, 3]));
        assert!(share < same + 0.06, "{share} against {same}");
    }
}

//! BITXv001 on real and on odd models.

mod common;

use bitx::report::Method;
use bitx::{ErrorKind, Format};
use common::{PAIRS, V1_ARCHIVES, compress, inspect, model, restore, sha256, with_header};

const V1: Format = Format::V1 { level: 3 };

#[test]
fn archives_of_the_reference_restore_bit_for_bit() {
    for pair in &PAIRS {
        assert_eq!(sha256(&restore(pair.base, pair.archive).unwrap()), pair.sha256, "{}", pair.name);
    }
}

#[test]
fn our_archives_are_the_same_everywhere_and_no_larger_than_the_references() {
    for (pair, digest) in PAIRS.iter().zip(V1_ARCHIVES) {
        let target = restore(pair.base, pair.archive).unwrap();
        let archive = compress(pair.base, &target, V1).unwrap();
        assert_eq!(restore(pair.base, &archive).unwrap(), target, "{}", pair.name);
        assert_eq!(sha256(&archive), digest, "{}", pair.name);
        assert!(archive.len() * 100 <= pair.archive.len() * 101, "{}: {}", pair.name, archive.len());
    }
}

#[test]
fn inspect_accounts_for_every_tensor() {
    let pair = &PAIRS[0];
    let report = inspect(pair.archive).unwrap();
    assert_eq!(report.version, 1);
    assert_eq!(report.stored_bytes, pair.archive.len() as u64);
    assert_eq!(report.restored_bytes, restore(pair.base, pair.archive).unwrap().len() as u64);
    let stored: u64 = report.tensors.iter().map(|t| t.stored_bytes).sum();
    let overhead = report.stored_bytes - stored;
    assert!(overhead > 0 && overhead < 10_000, "{overhead}");
    assert_eq!(report.method_counts(), [(Method::Xor, report.tensors.len())]);
}

/// Tensors that the reference loses or refuses are stored without their base.
#[test]
fn odd_tensors_come_back_exactly() {
    let words: Vec<u8> = (0..2000u32).map(|i| (i * 31 >> 3) as u8).collect();
    let base = model(&[
        ("odd", "U8", &[7], &words[..7]),
        ("one", "I8", &[1], &words[..1]),
        ("empty", "BF16", &[0, 4], &[]),
        ("other dtype", "F16", &[8], &words[..16]),
        ("other shape", "BF16", &[2, 4], &words[..16]),
        ("scalar", "F32", &[], &words[..4]),
        ("same", "BF16", &[1000], &words),
    ]);
    let moved: Vec<u8> = words.iter().map(|b| b.wrapping_add(1)).collect();
    let target = model(&[
        ("odd", "U8", &[7], &moved[..7]),
        ("one", "I8", &[1], &moved[..1]),
        ("empty", "BF16", &[0, 4], &[]),
        ("other dtype", "BF16", &[8], &moved[..16]),
        ("other shape", "BF16", &[4, 2], &moved[..16]),
        ("scalar", "F32", &[], &moved[..4]),
        ("same", "BF16", &[1000], &moved),
        ("näme \"with\" 漢字", "U16", &[2], &moved[..4]),
    ]);
    let archive = compress(&base, &target, V1).unwrap();
    assert_eq!(restore(&base, &archive).unwrap(), target);
    let methods: Vec<_> = inspect(&archive).unwrap().tensors.iter().map(|t| (t.name.clone(), t.method)).collect();
    for (name, method) in methods {
        let paired = ["scalar", "same"].contains(&name.as_str());
        assert_eq!(method, if paired { Method::Xor } else { Method::Zstd }, "{name}");
    }
}

#[test]
fn models_without_tensors_and_many_parts_work() {
    let empty = model(&[]);
    let archive = compress(&empty, &empty, V1).unwrap();
    assert_eq!(restore(&empty, &archive).unwrap(), empty);

    let bytes: Vec<u8> = (0..9_000_002u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let base = model(&[("big", "BF16", &[4_500_001], &bytes)]);
    let moved: Vec<u8> = bytes.iter().map(|b| b ^ 1).collect();
    let target = model(&[("big", "BF16", &[4_500_001], &moved), ("new", "U8", &[9_000_002], &bytes)]);
    let archive = compress(&base, &target, V1).unwrap();
    assert_eq!(restore(&base, &archive).unwrap(), target);
}

#[test]
fn holes_of_zeros_are_kept_and_others_refused() {
    let json =
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}}"#;
    let target = with_header(json, &[0, 7, 8, 0, 0, 9]);
    let archive = compress(&target, &target, V1).unwrap();
    assert_eq!(restore(&target, &archive).unwrap(), target);

    let error = compress(&target, &with_header(json, &[0, 7, 8, 0, 1, 9]), V1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = compress(&target, &with_header(json, &[0, 7, 8, 0, 0, 9, 0]), V1).unwrap_err();
    assert_eq!((error.kind(), error.found()), (ErrorKind::Unsupported, Some("1")));
}

#[test]
fn the_base_must_have_the_tensors() {
    let one = |name, dtype, shape: &[u64]| model(&[(name, dtype, shape, &[1, 2, 3, 4, 5, 6, 7, 8])]);
    let base = one("w", "BF16", &[4]);
    let archive = compress(&base, &base, V1).unwrap();
    for (other, found) in [
        (one("v", "BF16", &[4]), "nothing"),
        (one("w", "F16", &[4]), "F16[4]"),
        (one("w", "BF16", &[2, 2]), "BF16[2, 2]"),
        (model(&[]), "nothing"),
    ] {
        let error = restore(&other, &archive).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BaseMismatch);
        assert_eq!((error.tensor_name(), error.found()), (Some("w"), Some(found)));
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let pair = &PAIRS[0];
    let cases: [(&[u8], &[u8], ErrorKind, &str); 6] = [
        (pair.base, b"<!DOCTYPE html><title>404</title>", ErrorKind::Format, "HTML"),
        (b"<html>", pair.archive, ErrorKind::Format, "HTML"),
        (pair.base, pair.base, ErrorKind::Format, "safetensors model"),
        (pair.archive, pair.archive, ErrorKind::Format, ".bitx archive"),
        (pair.base, b"BITXv987........", ErrorKind::Unsupported, "version 987"),
        (pair.base, b"", ErrorKind::Format, "not a .bitx"),
    ];
    for (base, archive, kind, word) in cases {
        let error = restore(base, archive).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

//! Tests of the codec commands of `bitx`, run as a user runs them.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

use crate::common::{PAIRS, model, restore, sha256};
use crate::support::{Folder, json_of, stderr};

impl Folder {
    /// A folder with the files `base`, `target` and `archive` of the first committed pair.
    fn with_v1_archive() -> Self {
        let folder = Self::of_pair();
        fs::write(folder.path("archive"), PAIRS[0].archive).unwrap();
        folder
    }
}

#[test]
fn compressing_and_decompressing_restores_the_target() {
    let f = Folder::with_v1_archive();
    let summary = json_of(&mut f.bitx(&["compress", "base", "target", "-o", "out.bitx", "-j", "2", "--json"]));
    assert_eq!(summary["version"], 2);
    let (stored, restored) = (f.read("out.bitx").len(), f.read("target").len());
    assert_eq!(summary["command"], "compress");
    assert_eq!(summary["input_bytes"], restored);
    assert_eq!(summary["output_bytes"], stored);
    assert_eq!(summary["threads"], 2);
    assert!((summary["ratio"].as_f64().unwrap() - stored as f64 / restored as f64).abs() < 1e-9);
    assert!(summary["seconds"].as_f64().unwrap() > 0.0 && summary["mb_per_s"].as_f64().unwrap() > 0.0);
    let tensors: u64 = summary["methods"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert!(tensors > 10);

    let summary = json_of(&mut f.bitx(&["decompress", "base", "out.bitx", "-o", "back", "--json"]));
    assert_eq!(summary["output_bytes"], restored);
    assert_eq!(f.read("back"), f.read("target"));
}

#[test]
fn threads_do_not_change_the_archive() {
    let f = Folder::with_v1_archive();
    for threads in ["1", "2", "8"] {
        f.bitx(&["compress", "base", "target", "-q", "-o", threads, "-j", threads]).assert().success().stderr("");
    }
    assert_eq!(f.read("1"), f.read("2"));
    assert_eq!(f.read("1"), f.read("8"));
}

/// A model of 12 tensors of 2 MiB each, which takes many windows to restore.
fn large(step: impl Fn(u32) -> u16) -> Vec<u8> {
    const COUNT: u32 = 1 << 20;
    let names: Vec<String> = (0..12).map(|i| format!("t{i:02}")).collect();
    let weight = |i: u32| (i.wrapping_mul(2_654_435_761) >> 20) as u16 + 0x3c00 + step(i);
    let bytes: Vec<Vec<u8>> =
        (0..12).map(|tensor| (0..COUNT).flat_map(|i| weight(tensor * COUNT + i).to_le_bytes()).collect()).collect();
    let tensor = |(name, bytes)| (String::as_str(name), "BF16", &[1024, 1024][..], Vec::as_slice(bytes));
    model(&names.iter().zip(&bytes).map(tensor).collect::<Vec<_>>())
}

#[test]
fn any_number_of_threads_restores_the_windows_in_order() {
    let f = Folder::empty();
    let (mut base, target) = (large(|_| 0), large(|i| u16::from(i % 7 == 0)));
    fs::write(f.path("base"), &base).unwrap();
    fs::write(f.path("target"), &target).unwrap();
    f.bitx(&["compress", "base", "target", "-qo", "archive", "--effort", "fast"]).assert().success();
    for threads in ["1", "2", "5", "64"] {
        f.bitx(&["decompress", "base", "archive", "-qfo", "out", "-j", threads]).assert().success();
        assert!(f.read("out") == target, "{threads}");
    }

    // Tensors 3 and 9 are wrong. The error names the first, whichever thread finishes first.
    let tensor = |number: usize| base.len() - (12 - number) * (2 << 20);
    for place in [tensor(3), tensor(9)] {
        base[place + 1000] ^= 1;
    }
    fs::write(f.path("other"), &base).unwrap();
    for threads in ["1", "2", "5", "64"] {
        let said = stderr(&mut f.bitx(&["decompress", "other", "archive", "-qo", "wrong", "-j", threads]), 1);
        assert!(said.contains("t03") && !f.path("wrong").exists(), "{said}");
    }
    assert_eq!(f.names(), ["archive", "base", "other", "out", "target"]);
}

#[test]
fn existing_files_are_replaced_only_with_force() {
    let f = Folder::with_v1_archive();
    fs::write(f.path("out"), "precious").unwrap();
    let message = stderr(&mut f.bitx(&["decompress", "base", "archive", "-o", "out"]), 1);
    assert!(message.contains("out: the file exists") && message.lines().count() == 1, "{message}");
    assert_eq!(f.read("out"), b"precious");
    f.bitx(&["decompress", "base", "archive", "-o", "out", "-f", "--sync"]).assert().success();
    assert_eq!(f.read("out"), f.read("target"));
    let message = stderr(&mut f.bitx(&["decompress", "base", "archive", "-o", "base", "-f"]), 1);
    assert!(message.contains("is also an input"), "{message}");
}

#[test]
fn failures_name_the_file_and_leave_no_output() {
    let f = Folder::with_v1_archive();
    let archive = f.read("archive");
    fs::write(f.path("cut"), &archive[..archive.len() - 1000]).unwrap();
    fs::write(f.path("page"), "<!DOCTYPE html>").unwrap();
    fs::write(f.path("other"), model(&[("x", "U8", &[1], &[0])])).unwrap();
    let before = f.names();
    let cases = [
        (["decompress", "base", "cut"], "cut: "),
        (["decompress", "base", "page"], "page: not a .bitx archive: this is an HTML page"),
        (["decompress", "other", "archive"], "other: tensor "),
        (["decompress", "base", "missing"], "missing: "),
        (["compress", "page", "target"], "page: not a model: this is an HTML page"),
    ];
    for (args, message) in cases {
        let said = stderr(f.bitx(&args).args(["-o", "out"]), 1);
        assert!(said.starts_with("bitx: ") && said.contains(message) && said.lines().count() == 1, "{said}");
        assert_eq!(f.names(), before);
    }
}

/// Of each kind of file that is kept as bytes, the rule that it breaks is told.
#[test]
fn files_that_break_a_rule_are_kept_with_a_warning() {
    let f = Folder::with_v1_archive();
    fs::write(f.path("page"), "<!DOCTYPE html>").unwrap();
    let json = r#"{},"__metadata__":{"crc":"12"}}"#;
    fs::write(f.path("state"), [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()).unwrap();
    for (file, rule) in [("page", "this is an HTML page"), ("state", "the header is not valid")] {
        let done = f.bitx(&["compress", "base", file, "-o", "kept"]).assert().success();
        let said = String::from_utf8(done.get_output().stderr.clone()).unwrap();
        assert!(said.contains(&format!("warning: {file}: ")) && said.contains(rule), "{said}");
        f.bitx(&["decompress", "base", "kept", "-o", "back"]).assert().success();
        assert_eq!(f.read("back"), f.read(file));
        ["kept", "back"].iter().for_each(|name| fs::remove_file(f.path(name)).unwrap());
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let f = Folder::with_v1_archive();
    for args in [
        &["decompress", "base"][..],
        &["compress", "base", "target", "-o", "x", "--level", "9"],
        &["compress", "base", "target", "-o", "x", "--level", "3", "--effort", "max"],
        &["nonsense"],
        &["inspect", "archive", "-j", "0"],
    ] {
        f.bitx(args).assert().code(2);
    }
}

#[test]
fn verify_prints_the_digest_and_writes_nothing() {
    let f = Folder::with_v1_archive();
    let before = f.names();
    let out = f.bitx(&["verify", "base", "archive"]).assert().success().get_output().stdout.clone();
    assert_eq!(String::from_utf8(out).unwrap().trim(), PAIRS[0].sha256);
    assert_eq!(json_of(&mut f.bitx(&["verify", "base", "archive", "--json"]))["sha256"], PAIRS[0].sha256);
    fs::write(f.path("cut"), &f.read("archive")[..1000]).unwrap();
    f.bitx(&["verify", "base", "cut"]).assert().code(1);
    assert_eq!(f.names().len(), before.len() + 1);
}

#[test]
fn inspect_lists_tensors() {
    let f = Folder::with_v1_archive();
    let listing = json_of(&mut f.bitx(&["inspect", "archive", "--json"]));
    let tensors = listing["tensors"].as_array().unwrap();
    assert!(tensors.iter().all(|t| t["method"] == "xor" && t["stored_bytes"].as_u64().unwrap() > 0));
    let table = f.bitx(&["inspect", "archive"]).assert().success().get_output().stdout.clone();
    assert_eq!(String::from_utf8(table).unwrap().lines().count(), tensors.len() + 3);
}

#[test]
fn standard_output_takes_the_result() {
    let f = Folder::with_v1_archive();
    let out = f.bitx(&["decompress", "base", "archive", "-o", "-"]).assert().success().get_output().stdout.clone();
    assert_eq!(sha256(&out), PAIRS[0].sha256);
}

#[test]
fn a_closed_output_pipe_ends_commands_quietly() {
    use std::process::{Command, Stdio};
    let f = Folder::with_v1_archive();
    for args in [
        &["bench", "base", "target", "--runs", "1"][..],
        &["inspect", "archive"],
        &["verify", "base", "archive", "--json"],
        &["decompress", "base", "archive", "-o", "-"],
        &["completions", "bash"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitx"));
        let done = command
            .current_dir(f.path(""))
            .args(args)
            .arg("-q")
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), said.as_str()), (Some(141), ""), "{args:?}");
    }
}

#[test]
fn bench_measures_every_format() {
    let f = Folder::with_v1_archive();
    let table = json_of(&mut f.bitx(&["bench", "base", "target", "-j", "2", "--runs", "1", "--json"]));
    assert_eq!(table["threads"], 2);
    for row in table["results"].as_array().unwrap() {
        assert!(["v1", "v2"].contains(&row["format"].as_str().unwrap()) && row["effort"].is_string());
        for figure in ["ratio", "encode_mb_s", "decode_mb_s"] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{row}");
        }
    }
}

#[test]
fn bench_leaves_out_a_format_that_cannot_hold_the_model() {
    let f = Folder::empty();
    fs::write(f.path("base"), [1; 5000]).unwrap();
    fs::write(f.path("target"), [2; 5000]).unwrap();
    let table = json_of(&mut f.bitx(&["bench", "base", "target", "--runs", "1", "--json"]));
    let formats: Vec<_> = table["results"].as_array().unwrap().iter().map(|row| &row["format"]).collect();
    assert_eq!(formats, ["v2"; 3]);
}

#[test]
fn distance_estimates_the_size_of_a_delta() {
    let f = Folder::with_v1_archive();
    let told = json_of(&mut f.bitx(&["distance", "base", "target", "--json", "-j", "2"]));
    let tensors = told["tensors"].as_array().unwrap();
    assert!(tensors.len() > 10 && told["only_in_a"] == told["only_in_b"]);
    let (base, target) = (f.read("base"), f.read("target"));
    let data = |file: &[u8]| file.len() - 8 - u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    assert_eq!((told["total"]["tensors"].as_u64(), data(&base)), (Some(tensors.len() as u64), data(&target)));
    assert_eq!(told["total"]["bytes"], data(&target));
    // The files can be compared directly: their headers are equal, and all tensors but one have
    // 16-bit words.
    let bits: u32 = base.iter().zip(&target).map(|(a, b)| (a ^ b).count_ones()).sum();
    let weights = tensors.iter().map(|t| t["bytes"].as_u64().unwrap() / if t["dtype"] == "I64" { 8 } else { 2 });
    let per_word = f64::from(bits) / weights.sum::<u64>() as f64;
    assert!((told["total"]["bit_distance"].as_f64().unwrap() - per_word).abs() < 1e-9);
    // The real delta takes 0.2064 of the file, without low-rank prediction.
    assert!((told["total"]["ratio"].as_f64().unwrap() - 0.2064).abs() < 0.05, "{}", told["total"]);
    assert!(tensors.iter().all(|t| t["bytes"].as_u64().unwrap() < 100_000 || t["delta_pays"] == true));
    let ratios = ["delta_ratio", "alone_ratio", "ratio", "unchanged_share"];
    assert!(tensors.iter().all(|t| ratios.iter().all(|r| (0.0..=1.0).contains(&t[r].as_f64().unwrap()))));

    let table = f.bitx(&["distance", "base", "target"]).assert().success().get_output().stdout.clone();
    assert_eq!(String::from_utf8(table).unwrap().lines().count(), tensors.len() + 3);
}

#[test]
fn distance_pairs_tensors_by_name_and_type_and_accepts_any_file() {
    let f = Folder::with_v1_archive();
    let a: [(&str, &str, &[u64], &[u8]); 3] =
        [("same", "U8", &[2], &[1, 2]), ("shaped", "U8", &[2], &[1, 2]), ("gone", "U8", &[1], &[1])];
    let b: [(&str, &str, &[u64], &[u8]); 3] =
        [("new", "U8", &[1], &[1]), ("same", "U8", &[2], &[1, 3]), ("shaped", "U8", &[2, 1], &[1, 2])];
    fs::write(f.path("a"), model(&a)).unwrap();
    fs::write(f.path("b"), model(&b)).unwrap();
    let told = json_of(&mut f.bitx(&["distance", "a", "b", "--json"]));
    let names = |key: &str| told[key].as_array().unwrap().iter().map(|t| t["name"].clone()).collect::<Vec<_>>();
    assert_eq!(
        [names("tensors"), names("only_in_a"), names("only_in_b")],
        [vec!["same"], vec!["shaped", "gone"], vec!["new", "shaped"]]
    );
    assert_eq!((&told["total"]["bit_distance"], &told["total"]["unchanged_share"]), (&0.5.into(), &0.5.into()));
    let table = f.bitx(&["distance", "a", "b"]).assert().success().get_output().stdout.clone();
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("only in A") && table.contains("only in B") && table.lines().count() == 8, "{table}");

    // Files without a known layout: larger than a window, and of different lengths.
    let text = "a line of text, and another one; ".repeat(50_000).into_bytes();
    let mut edited = text.clone();
    edited.iter_mut().step_by(1000).for_each(|byte| *byte ^= 1);
    fs::write(f.path("text"), &text).unwrap();
    fs::write(f.path("edited"), &edited).unwrap();
    fs::write(f.path("longer"), [&text[..], b"!"].concat()).unwrap();
    let told = json_of(&mut f.bitx(&["distance", "text", "edited", "--json"]));
    assert_eq!((&told["total"]["bytes"], &told["total"]["bit_distance"]), (&text.len().into(), &0.001.into()));
    assert!(told["tensors"][0]["delta_pays"] == true && told["total"]["unchanged_share"] == 0.999, "{told}");
    let told = json_of(&mut f.bitx(&["distance", "text", "longer", "--json"]));
    assert_eq!(told["total"]["tensors"], 0);
    fs::write(f.path("page"), "<!DOCTYPE html>").unwrap();
    let message = stderr(&mut f.bitx(&["distance", "text", "page"]), 1);
    assert!(message.contains("page: not a model: this is an HTML page"), "{message}");
}

/// Exchanges archives with the reference command line, whose path is in `BITX_REFERENCE` (set by
/// `npm test`).
#[test]
fn bitx_and_the_reference_read_each_others_archives() {
    let Some(reference) = std::env::var_os("BITX_REFERENCE") else {
        eprintln!("skipped: BITX_REFERENCE is not set");
        return;
    };
    let f = Folder::with_v1_archive();
    for pair in &PAIRS {
        let target = restore(pair.base, pair.archive).unwrap();
        fs::write(f.path("base"), pair.base).unwrap();
        fs::write(f.path("target"), &target).unwrap();
        exchange(&f, Path::new(&reference), pair.name);
    }
    let bytes: Vec<u8> = (0..40_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
    let moved: Vec<u8> = bytes.iter().map(|b| b ^ 2).collect();
    fs::write(f.path("base"), model(&[("big", "BF16", &[20_000_000], &bytes), ("s", "F32", &[1], &[1; 4])])).unwrap();
    let odd: [(&str, &str, &[u64], &[u8]); 4] = [
        ("big", "BF16", &[20_000_000], &moved),
        ("s", "F32", &[1, 1], &[1; 4]),
        ("empty", "BF16", &[0], &[]),
        ("odd", "U8", &[3], &[1, 2, 3]),
    ];
    fs::write(f.path("target"), model(&odd)).unwrap();
    exchange(&f, Path::new(&reference), "parts and odd tensors");
}

fn exchange(f: &Folder, reference: &Path, what: &str) {
    let reference = |args: &[&str]| {
        let mut command = Command::new(reference);
        command.current_dir(f.path("")).args(args).assert().success();
    };
    f.bitx(&["compress", "base", "target", "--format", "v1", "-qfo", "ours.bitx"]).assert().success();
    reference(&["decompress", "base", "ours.bitx", "-o", "back"]);
    assert!(f.read("back") == f.read("target"), "{what}: the reference restores our archive");
    reference(&["compress", "base", "target", "-o", "theirs.bitx"]);
    f.bitx(&["decompress", "base", "theirs.bitx", "-qfo", "back"]).assert().success();
    assert!(f.read("back") == f.read("target"), "{what}: we restore the reference's archive");
}

//! Broken and forged archives: a typed error, or for what v1 cannot notice, bytes of the right
//! shape.

mod common;

use bitx::drive::Sources;
use bitx::io::Source;
use bitx::parallel::Sequential;
use bitx::{Compress, ErrorKind, Format};
use common::{compress, inspect, model, restore, with_header};

/// A base, a target and a small archive with a tensor of each type.
fn small() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let bytes: Vec<u8> = (0..400u32).map(|i| (i * i >> 5) as u8).collect();
    let moved: Vec<u8> = bytes.iter().map(|b| b / 3).collect();
    let base = model(&[("w", "BF16", &[20, 10], &bytes)]);
    let target = model(&[("w", "BF16", &[20, 10], &moved), ("solo", "U8", &[7], &bytes[..7])]);
    let archive = compress(&base, &target, Format::V1 { level: 3 }).unwrap();
    (base, target, archive)
}

#[test]
fn every_truncation_is_an_error() {
    let (base, _, archive) = small();
    for length in 0..archive.len() {
        let error = restore(&base, &archive[..length]).expect_err("a truncation");
        assert!(matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Format | ErrorKind::Corrupt), "{error}");
        inspect(&archive[..length]).expect_err("a truncation");
    }
    for length in 0..base.len() {
        restore(&base[..length], &archive).expect_err("a truncated base");
    }
}

#[test]
fn every_bit_flip_is_an_error_or_keeps_the_shape() {
    let (base, target, archive) = small();
    let mut unnoticed = 0;
    for bit in 0..archive.len() * 8 {
        let mut flipped = archive.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match restore(&base, &flipped) {
            Err(_) => {}
            // v1 has no checksums of its own: a flip in the stored header's free text passes.
            Ok(restored) => {
                assert_eq!(restored.len(), target.len(), "bit {bit}");
                unnoticed += usize::from(restored != target);
            }
        }
    }
    assert!(unnoticed < archive.len() * 8, "nothing is noticed at all");
}

#[test]
fn bytes_behind_the_archive_are_an_error() {
    let (base, _, mut archive) = small();
    archive.push(0);
    assert_eq!(restore(&base, &archive).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// An archive of that header and those raw entries.
fn forge(header: &str, count: u32, entries: &[u8]) -> Vec<u8> {
    let header = with_header(header, &[]);
    let length = (header.len() as u64).to_le_bytes();
    [b"BITXv001", &length[..], &header, &count.to_le_bytes(), entries].concat()
}

fn entry(name: &str, kind: u8, fields: &[u8]) -> Vec<u8> {
    [&(name.len() as u32).to_le_bytes()[..], name.as_bytes(), &[kind], fields].concat()
}

fn alone(name: &str, length: u64, stream: &[u8]) -> Vec<u8> {
    let fields = [&length.to_le_bytes()[..], &(stream.len() as u64).to_le_bytes(), stream].concat();
    entry(name, 1, &fields)
}

const T: &str = r#"{"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;

#[test]
fn forged_entries_are_refused_by_name() {
    // A zstd frame of the raw block "abcd".
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 4, 0x21, 0, 0, b'a', b'b', b'c', b'd'];
    let good = alone("t", 4, &frame);
    let base = model(&[]);
    assert_eq!(restore(&base, &forge(T, 1, &good)).unwrap()[8 + T.len()..], *b"abcd");

    let zidx = |parts: &[(u32, u32)], data: &[u8]| {
        let mut stream = [&b"ZIDX"[..], &(parts.len() as u32).to_le_bytes()].concat();
        parts.iter().for_each(|(c, d)| stream.extend([c.to_le_bytes(), d.to_le_bytes()].concat()));
        alone("t", 4, &[&stream, data].concat())
    };
    assert_eq!(restore(&base, &forge(T, 1, &zidx(&[(13, 4)], &frame))).unwrap()[8 + T.len()..], *b"abcd");

    let huge = r#"{"t":{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}}"#;
    let hole = r#"{"t":{"dtype":"U8","shape":[4],"data_offsets":[1099511627776,1099511627780]}}"#;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a count of 2^32-1", forge(T, u32::MAX, &good)),
        ("a missing tensor", forge(T, 1, &[])),
        ("a tensor stored twice", forge(T, 1, &[good.clone(), good.clone()].concat())),
        ("an unknown tensor", forge(T, 1, &alone("u", 4, &frame))),
        ("an unknown type", forge(T, 1, &entry("t", 2, &[0; 16]))),
        ("a name of 4 GiB", forge(T, 1, &u32::MAX.to_le_bytes())),
        ("another length", forge(T, 1, &alone("t", 5, &frame))),
        ("an empty stream", forge(T, 1, &alone("t", 4, &[]))),
        ("a stream past the end", forge(T, 1, &entry("t", 1, &[[4, 0, 0, 0, 0, 0, 0, 0], [0xff; 8]].concat()))),
        ("two frames", forge(T, 1, &alone("t", 4, &[frame, frame].concat()))),
        ("parts that store too little", forge(T, 1, &zidx(&[(12, 4)], &frame))),
        ("parts that restore too much", forge(T, 1, &zidx(&[(13, 5)], &frame))),
        ("no parts", forge(T, 1, &zidx(&[], &[]))),
        ("more parts than bytes", forge(T, 1, &alone("t", 4, b"ZIDX\xff\xff\xff\xff"))),
        ("a terabyte in a few bytes", forge(huge, 1, &alone("t", 1 << 40, &frame))),
        ("a terabyte of holes", forge(hole, 1, &good)),
        ("a header of 2^64-1 bytes", [&b"BITXv001"[..], &[0xff; 8]].concat()),
    ];
    for (what, archive) in cases {
        restore(&base, &archive).expect_err(what);
    }
}

#[test]
fn streams_of_different_length_are_refused() {
    let bytes = [1u8; 64];
    let base = model(&[("w", "BF16", &[32], &bytes)]);
    let frame = |length: usize| zrip::compress(&vec![0; length], 3).unwrap();
    let paired = |first: usize, second: usize| {
        let streams = [frame(first), frame(second)].map(|f| [&(f.len() as u64).to_le_bytes()[..], &f].concat());
        forge(r#"{"w":{"dtype":"BF16","shape":[32],"data_offsets":[0,64]}}"#, 1, &entry("w", 0, &streams.concat()))
    };
    assert_eq!(restore(&base, &paired(32, 32)).unwrap(), base);
    for (first, second) in [(32, 31), (31, 32), (33, 31), (0, 64)] {
        let error = restore(&base, &paired(first, second)).unwrap_err();
        assert_eq!((error.kind(), error.tensor_name()), (ErrorKind::Corrupt, Some("w")), "{error}");
    }
}

/// A little-endian GGUF file of a single tensor, in version 3 but for what a case changes.
struct Gguf {
    version: u32,
    alignment: Option<u64>,
    token: &'static [u8],
    names: &'static [&'static str],
}

impl Gguf {
    fn file(&self, data: &[u8]) -> Vec<u8> {
        let size =
            |n: u64| if self.version == 1 { (n as u32).to_le_bytes().to_vec() } else { n.to_le_bytes().to_vec() };
        let string = |bytes: &[u8]| [size(bytes.len() as u64), bytes.to_vec()].concat();
        let entries = 1 + u64::from(self.alignment.is_some());
        let mut file = [&b"GGUF"[..], &self.version.to_le_bytes()].concat();
        file.extend([size(self.names.len() as u64), size(entries)].concat());
        if let Some(alignment) = self.alignment {
            file.extend([&string(b"general.alignment")[..], &10u32.to_le_bytes(), &alignment.to_le_bytes()].concat());
        }
        file.extend([&string(b"tokens")[..], &[9, 0, 0, 0, 8, 0, 0, 0], &size(1), &string(self.token)].concat());
        for name in self.names {
            let extents = [size(64), size(64)].concat();
            file.extend([&string(name.as_bytes())[..], &[2, 0, 0, 0], &extents, &[1, 0, 0, 0], &[0; 8]].concat());
        }
        file.resize(file.len().next_multiple_of(32), 0);
        [&file, data].concat()
    }
}

/// A base, and a target that differs a little.
fn weights() -> [Vec<u8>; 2] {
    let mut noise = 1u64;
    let mut next = || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (noise >> 40) as u16
    };
    let base: Vec<u16> = (0..4096).map(|_| 0x3000 | next() & 0x8fff).collect();
    let target: Vec<u16> = base.iter().map(|word| word ^ (next() & 3)).collect();
    [base, target].map(|words| words.into_iter().flat_map(u16::to_le_bytes).collect())
}

/// Compresses, checks that the target comes back, and returns the share that is stored and the
/// warnings.
fn kept(base: &[u8], target: &[u8]) -> (f64, Vec<String>) {
    let bases: [&dyn bitx::io::ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, target: Some(&target), ..Sources::default() };
    let mut job = Compress::new(&[base.len() as u64], target.len() as u64, Format::default()).unwrap().job();
    let archive = common::run(&mut job, &sources, &Sequential).unwrap();
    assert!(restore(base, &archive).unwrap() == target);
    let warning = |fault: &bitx::Error| format!("{:?}: {fault}", fault.input_at_fault());
    (archive.len() as f64 / target.len() as f64, job.warnings().iter().map(warning).collect())
}

/// Files that loaders take: each is read as the tensors that it has.
#[test]
fn what_loaders_take_is_read() {
    let [base, target] = weights();
    let usual = || Gguf { version: 3, alignment: None, token: b"ok", names: &["w"] };
    let cases = [
        usual(),
        Gguf { version: 1, ..usual() },
        Gguf { version: 2, token: b"\xe4\xb8", ..usual() },
        Gguf { alignment: Some(32), ..usual() },
    ];
    for case in cases {
        let (share, warnings) = kept(&case.file(&base), &case.file(&target));
        assert!(share < 0.4 && warnings.is_empty(), "GGUF {}: {share}, {warnings:?}", case.version);
    }
    let file = |data: &[u8]| {
        let json = r#"{"__metadata__":{"epoch":3},"w":{"dtype":"F16","shape":[64,64],"data_offsets":[0,8192]}}"#;
        with_header(json, data)
    };
    let (share, warnings) = kept(&file(&base), &file(&target));
    assert!(share < 0.4 && warnings.is_empty(), "{share}, {warnings:?}");
}

/// Files that break a rule of the layout that they seem to have are files all the same.
#[test]
fn what_breaks_the_rules_is_kept_as_bytes_with_a_warning() {
    let [data, other] = weights();
    let usual = || Gguf { version: 3, alignment: None, token: b"ok", names: &["w"] };
    let changed = |at: usize, bytes: &[u8]| {
        let mut file = usual().file(&data);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let entry = |offsets: &str| format!(r#"{{"dtype":"F16","shape":[64,64],"data_offsets":{offsets}}}"#);
    let tensor = |json: &str| with_header(json, &data);
    let good = model(&[("w", "F16", &[64, 64], &data)]);
    let huge = [&(1u64 << 39).to_le_bytes()[..], b"{", &data].concat();
    let cases = [
        ("twice", Gguf { names: &["w", "w"], ..usual() }.file(&data)),
        ("version", changed(4, &[0, 0, 0, 3])),
        ("alignment", Gguf { alignment: Some(3), ..usual() }.file(&data)),
        ("end", changed(8, &u64::MAX.to_le_bytes())),
        ("no tensor of GGUF", b"GGUF".to_vec()),
        ("not valid", tensor(r#"{},"__metadata__":{"crc":"12"}}"#)),
        ("not valid", tensor(r#"{"__metadata__":"text"}"#)),
        ("overlap", tensor(&format!(r#"{{"a":{},"b":{}}}"#, entry("[0,8192]"), entry("[0,8192]")))),
        ("twice", tensor(&format!(r#"{{"a":{},"a":{}}}"#, entry("[0,8192]"), entry("[0,8192]")))),
        ("ends before", good[..good.len() - 1].to_vec()),
        ("Q9", tensor(&format!(r#"{{"w":{}}}"#, entry("[0,8192]").replace("F16", "Q9")))),
        ("header length", huge),
        ("HTML", b"<!DOCTYPE html><p>404".to_vec()),
        ("git-lfs", b"version https://git-lfs.github.com/spec/v1\n".to_vec()),
        ("xet", b"# xet version 0\n".to_vec()),
    ];
    for (rule, file) in cases {
        let (_, warnings) = kept(&good, &file);
        let all = warnings.join("; ");
        assert!(warnings.len() == 1 && all.starts_with("Some(Target)"), "{rule}: {all}");
        assert!(rule == "no tensor of GGUF" || all.contains(rule), "{rule}: {all}");
        if !["HTML", "git-lfs", "xet"].contains(&rule) {
            let target = model(&[("w", "F16", &[64, 64], &other)]);
            let (_, warnings) = kept(&file, &target);
            assert!(warnings.len() == 1 && warnings[0].starts_with("Some(Base(0))"), "{rule}: {warnings:?}");
        }
    }
}

/// A base that is an error page serves nobody, and no reader accepts it.
#[test]
fn bases_that_are_download_mistakes_are_refused() {
    let target = model(&[]);
    for base in [&b"<html>"[..], b"version https://git-lfs.github.com/spec/v1\n"] {
        let error = compress(base, &target, Format::default()).unwrap_err();
        assert_eq!((error.kind(), error.input_at_fault()), (ErrorKind::Format, Some(Source::Base(0))));
    }
}

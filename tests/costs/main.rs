//! The rule of FORMAT.md about what reading costs, for the most that small inputs can ask for.

#[path = "../common/mod.rs"]
mod common;
mod copies;
#[path = "../counting/mod.rs"]
mod counting;
mod layouts;
mod views;

use bitx::drive::{self, Sources};
use bitx::folder::Manifest;
use bitx::io::{ReadAt, Source};
use bitx::{Compress, Format, Inspect, Job, Merge, Restore, steps};
use common::forge::{self, Record, varint, xxh3};
use common::{compress, model, with_header};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Checks the memory and the steps of `f`, which handles `bytes` bytes of files. A step takes 10 ns
/// at most: 100 of them for a byte are a second for a megabyte.
fn costs<R>(what: &str, bytes: usize, f: impl FnOnce() -> R) -> R {
    let ((result, most), steps) = steps::count(|| counting::most(f));
    // On 32 bits, 64 times the bytes of a large file is more than an address may be.
    let bytes = bytes as u64;
    assert!(most as u64 <= 64 * bytes + (32 << 20), "{what}: {most} bytes of memory for {bytes}");
    assert!(steps <= 100 * bytes + 10_000_000, "{what}: {steps} steps for {bytes} bytes");
    result
}

fn open(mut job: Job, base: &[u8], delta: &[u8], target: &[u8]) -> bool {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, delta: Some(&delta), target: Some(&target), ..Sources::default() };
    drive::open(&mut job, &sources).is_ok()
}

/// Lists an archive and opens it to restore; returns `true` if both go well.
fn opens(what: &str, base: &[u8], archive: &[u8]) -> bool {
    let (lengths, length) = ([base.len() as u64], archive.len() as u64);
    let listed = costs(what, archive.len(), || {
        let mut job = Inspect::new(length).job();
        drive::open(&mut job, &Sources { delta: Some(&archive), ..Sources::default() }).is_ok()
            && !job.report().unwrap().tensors.is_empty()
    });
    let bytes = archive.len() + base.len();
    listed && costs(what, bytes, || open(Restore::new(&lengths, length).job(), base, archive, &[]))
}

/// Opens a file as a base and as a target of a compression.
fn compresses(what: &str, file: &[u8]) {
    let other = model(&[("w", "U8", &[1], &[1])]);
    for (base, target) in [(file, other.as_slice()), (&other, file), (file, file)] {
        let job = Compress::new(&[base.len() as u64], target.len() as u64, Format::default()).unwrap().job();
        costs(what, base.len() + target.len(), || open(job, base, &[], target));
    }
}

/// A head against no base: these items.
fn head(count: usize, items: &[u8]) -> Vec<u8> {
    [&[0, 0][..], &varint(count as u64), items].concat()
}

#[test]
fn equal_tensors_of_many_extents() {
    for (count, rank, opened) in [(20_000, 4, true), (20_000, 64, false), (1 << 18, 64, false), (1000, 20_000, false)] {
        let shape = [varint(rank), vec![1; rank as usize]].concat();
        let item = |kind: u8, rest: &[u8]| [&[kind, 0, 4][..], &shape, rest].concat();
        let items = [item(1, &[]), item(3, &[0]).repeat(count - 1)].concat();
        let record = Record { sums: [xxh3(&[7]), 0], ..Record::new(0, &[7]) };
        let archive = forge::archive(&head(count, &items), &[record]);
        let what = format!("{count} tensors of {rank} extents in {} bytes", archive.len());
        assert_eq!(opens(&what, &[], &archive), opened, "{what}");
    }
}

/// A view of single words, in an order that no two of them share, of regions that equal each other.
#[test]
fn views_of_single_words_over_and_over() {
    const RUNS: usize = 1 << 16;
    let base = vec![7; 2 * RUNS];
    let shape = varint(RUNS as u64);
    let front = [&[4, 0, 4, 1][..], &shape, &[1, 0, 2, b'0', 4], &varint(RUNS as u64)].concat();
    // Each run is a word of the first origin, two words behind the last one.
    let run = [1, 1, 2];
    let viewed = [front, run.repeat(RUNS)].concat();
    let equal = [&[3, 0, 4, 1][..], &shape, &[0]].concat().repeat(999);
    let bases = [&[0, 1][..], &varint(base.len() as u64), &[3]].concat();
    let archive_head = [bases, varint(1000), viewed, equal].concat();
    let sum = xxh3(&vec![7; RUNS]);
    let archive = forge::archive(&archive_head, &[Record { sums: [sum; 2], ..Record::new(2, &[]) }]);
    assert!(opens("a view", &base, &archive), "{} bytes", archive.len());
    let bases: [&dyn ReadAt; 1] = [&base.as_slice()];
    let mut job = Restore::new(&[base.len() as u64], archive.len() as u64).job();
    drive::open(&mut job, &Sources { base: &bases, delta: Some(&archive.as_slice()), ..Sources::default() }).unwrap();
    let reads = costs("its reads", archive.len() + base.len(), || job.reads(0).unwrap());
    assert!(reads.iter().map(|read| read.length).sum::<u64>() < 3 * RUNS as u64);
}

/// Rectangles of single words, of regions that equal each other: a matrix of a column, and one of a
/// row.
#[test]
fn rectangles_of_single_words_over_and_over() {
    const COUNT: u64 = 1 << 16;
    let base = vec![7; 2 * COUNT as usize];
    let bases = [&[0, 1][..], &varint(base.len() as u64), &[3]].concat();
    let equal = [&[3, 0, 4, 1][..], &varint(COUNT), &[0]].concat().repeat(199);
    for columns in [1, COUNT] {
        let front = [&[11, 0, 4, 1][..], &varint(COUNT), &[1, 0, 2, b'0', 4]].concat();
        let place = |i: u64| if columns == 1 { [varint(i), vec![1, 0]] } else { [vec![0, 1], varint(i)] }.concat();
        let rectangle = |i: u64| [vec![0], place(i), vec![1, 1], varint(2 * i), vec![0, 0]].concat();
        let rectangles: Vec<u8> = (0..COUNT).flat_map(rectangle).collect();
        let arranged = [front, varint(columns), varint(COUNT), rectangles].concat();
        let head = [&bases[..], &varint(200), &arranged, &equal].concat();
        let sum = xxh3(&vec![7; COUNT as usize]);
        let archive = forge::archive(&head, &[Record { sums: [sum; 2], ..Record::new(2, &[]) }]);
        assert!(opens("rectangles", &base, &archive), "{} bytes", archive.len());
        let restored = costs("a restore", archive.len() + base.len() + 200 * COUNT as usize, || {
            common::restore(&base, &archive).unwrap()
        });
        assert!(restored.len() == 200 * COUNT as usize && restored.iter().all(|&byte| byte == 7));
    }
}

/// As many rectangles as an archive may have, counted for each chunk: each of many chunks needs all
/// of them.
#[test]
fn rectangles_that_all_chunks_need() {
    const CHUNKS: u64 = 1 << 13;
    const COLUMNS: u64 = 1 << 20;
    let base = vec![7; 1 << 10];
    let bases = [&[0, 1][..], &varint(base.len() as u64), &[3]].concat();
    for (count, opened) in [(512, true), (513, false)] {
        let front = [&[11, 1, b'w', 4, 2][..], &varint(CHUNKS), &varint(COLUMNS), &[1, 0, 2, b'0', 4]].concat();
        let rectangle = [&[0, 0][..], &varint(CHUNKS), &[0, 1, 1, 0, 0, 0]].concat();
        let rectangles = [varint(COLUMNS), varint(count), rectangle.repeat(count as usize)].concat();
        let head = [&bases[..], &varint(1), &front, &rectangles].concat();
        let records: Vec<Record> = (0..CHUNKS).map(|_| Record::new(2, &[])).collect();
        let archive = forge::archive(&head, &records);
        assert_eq!(opens(&format!("{count} rectangles"), &base, &archive), opened, "{} bytes", archive.len());
    }
}

/// As many runs of weights as an archive may have, counted for each chunk: each chunk of a region
/// that was made from one matrix needs all of them.
#[test]
fn runs_of_weights_that_all_chunks_need() {
    const RUNS: u64 = 1 << 17;
    const WEIGHTS: u64 = 1 << 22;
    let base = vec![0; 2 * WEIGHTS as usize];
    let numbers = |numbers: &[u64]| numbers.iter().flat_map(|&number| varint(number)).collect::<Vec<_>>();
    for (count, opened) in [(RUNS, true), (RUNS + 1, false)] {
        // Each weight makes eight bytes, in 32 chunks, of which each needs the whole matrix.
        let front =
            [&[13, 1, b'w', 4, 1][..], &varint(8 * WEIGHTS), &numbers(&[2, WEIGHTS / 2, 1, 1, 8]), &[0]].concat();
        let runs = [1, 1, 0].repeat(count as usize - 1);
        let view = [&[1, 0, 2, b'0', 14][..], &varint(count), &runs, &varint(WEIGHTS - count + 1), &[0]].concat();
        let bases = [&[0, 1][..], &varint(base.len() as u64), &[3, 1]].concat();
        let records: Vec<Record> = (0..32).map(|_| Record::new(2, &[])).collect();
        let archive = forge::archive(&[bases, front, view].concat(), &records);
        assert_eq!(opens(&format!("{count} runs"), &base, &archive), opened, "{} bytes", archive.len());
    }
}

/// Regions of packed numbers that all have one companion, whose view has a run for each word.
#[test]
fn one_companion_of_many_regions() {
    const RUNS: u64 = 1 << 14;
    const REGIONS: u64 = 1000;
    let base = vec![0; 8 * RUNS as usize];
    let front = [&[4, 1, b's', 17, 1][..], &varint(RUNS), &[1, 0, 2, b'0', 17], &varint(RUNS)].concat();
    let companion = [front, [1, 1, 2].repeat(RUNS as usize)].concat();
    let packed = [&[1, 0, 4, 1][..], &varint(4 * RUNS)].concat().repeat(REGIONS as usize);
    let bases = [&[1, 1][..], &varint(base.len() as u64), &[3]].concat();
    // Each region has a tile of eight numbers for each scale, and none between it and the last one.
    let entry = |i: u64| [vec![u8::from(i == 1), 0, 8, 1, 8], varint(2 * i - 1), vec![0]].concat();
    let entries = [varint(REGIONS), (1..=REGIONS).flat_map(entry).collect()].concat();
    let head = [bases, varint(REGIONS + 1), companion, packed, entries].concat();
    let records: Vec<Record> = (0..=REGIONS).map(|i| Record::new(if i == 0 { 2 } else { 10 }, &[])).collect();
    let archive = forge::archive(&head, &records);
    assert!(opens("one companion of many regions", &base, &archive), "{} bytes", archive.len());
}

/// A view of quantised blocks with as many origins as parts: no part looks at all origins.
#[test]
fn as_many_origins_as_blocks() {
    const BLOCKS: usize = 1 << 15;
    const CHUNK: usize = (1 << 20) / 32 * 18;
    let base = vec![0; BLOCKS * 18];
    let front = [&[4, 0, 23, 1][..], &varint(BLOCKS as u64 * 32), &varint(BLOCKS as u64)].concat();
    let runs: Vec<u8> = (1..=BLOCKS as u64).flat_map(|origin| [vec![1], varint(origin), vec![0]].concat()).collect();
    let viewed = [front, [0, 2, b'0', 23].repeat(BLOCKS), varint(BLOCKS as u64), runs].concat();
    let bases = [&[0, 1][..], &varint(base.len() as u64), &[3, 1]].concat();
    let record = Record { sums: [xxh3(&[0; CHUNK]); 2], ..Record::new(2, &[]) };
    let archive = forge::archive(&[bases, viewed].concat(), &[record]);
    let (bases, delta): ([&dyn ReadAt; 1], _) = ([&base.as_slice()], archive.as_slice());
    let sources = Sources { base: &bases, delta: Some(&delta), ..Sources::default() };
    let mut restored = Vec::new();
    let done = costs("a restore", archive.len() + base.len(), || {
        let mut job = Restore::new(&[base.len() as u64], archive.len() as u64).shared().job();
        drive::open(&mut job, &sources)?;
        drive::drive(&mut job, &sources, &bitx::parallel::Sequential, &mut restored, &mut |_| {})
    });
    assert!(done.is_ok() && restored == base);
    assert!(opens("origins and blocks", &base, &archive), "{} bytes", archive.len());
}

/// An empty region with a view of many origins, which many regions equal: its origins are looked
/// for once.
#[test]
fn origins_of_an_empty_region_over_and_over() {
    const ORIGINS: usize = 1 << 16;
    let origins = [&[4, 0, 4, 1, 0][..], &varint(ORIGINS as u64), &[0, 2, b'0', 4].repeat(ORIGINS), &[0]].concat();
    let equal = [3, 0, 4, 1, 0, 0].repeat(9_999);
    let archive_head = [&[0, 1, 9, 3][..], &varint(10_000), &origins, &equal].concat();
    let archive = forge::archive(&archive_head, &[]);
    assert!(opens("origins", &[7; 9], &archive), "{} bytes", archive.len());
}

/// An archive of version 1: a header, and entries.
fn v1(json: &str, count: u32, entries: &[u8]) -> Vec<u8> {
    let header = with_header(json, &[]);
    let front = [&b"BITXv001"[..], &(header.len() as u64).to_le_bytes(), &header].concat();
    [&front, &count.to_le_bytes()[..], entries].concat()
}

/// A stream of so many equal parts that restore nothing.
fn parts(count: u32, frame: &[u8]) -> Vec<u8> {
    let row = [frame.len() as u32, 0].map(u32::to_le_bytes).concat();
    [&b"ZIDX"[..], &count.to_le_bytes(), &row.repeat(count as usize), &frame.repeat(count as usize)].concat()
}

#[test]
fn parts_and_tensors_of_version_1() {
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0];
    let json = r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
    for (count, frame, opened) in [(500_000, &[][..], false), (300_000, &frame, true)] {
        let stream = parts(count, frame);
        let lengths = [0, stream.len() as u64].map(u64::to_le_bytes).concat();
        let entry = [&1u32.to_le_bytes()[..], b"a", &[1], &lengths, &stream].concat();
        assert_eq!(opens(&format!("{count} parts"), &model(&[]), &v1(json, 1, &entry)), opened);
    }
    // The entries come in the order that took the longest: the first tensor last.
    let count = 20_000;
    let name = |i: u32| format!("t{i:05}");
    let entry = |i| format!(r#""{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, name(i));
    let json = format!("{{{}}}", (0..count).map(entry).collect::<Vec<_>>().join(","));
    let lengths = [0, frame.len() as u64].map(u64::to_le_bytes).concat();
    let stored = |i| [&6u32.to_le_bytes()[..], name(i).as_bytes(), &[1], &lengths, &frame].concat();
    let entries: Vec<u8> = (0..count).rev().flat_map(stored).collect();
    assert!(opens("tensors from the last to the first", &model(&[]), &v1(&json, count, &entries)));
}

#[test]
fn folders_of_a_manifest() {
    let digest = "0".repeat(64);
    let file = |path: &str, name: &str| format!(r#"{{"path":"{path}","bytes":1,"{name}":"{digest}"}}"#);
    let entry = |i: u32| {
        let path = format!("{i:04}{}", "/a".repeat(510));
        let (file, archive) = (file(&path, "blake3"), file(&path, "root"));
        format!(r#"{{"file":{file},"archive":{archive},"base":[]}}"#)
    };
    let files = (0..500).map(entry).collect::<Vec<_>>().join(",");
    let json = format!(r#"{{"format":"bitx-folder","version":1,"base":[],"files":[{files}]}}"#);
    let manifest = costs("a manifest", json.len(), || Manifest::parse(json.as_bytes()));
    assert_eq!(manifest.unwrap().files.len(), 500);
}

/// Opens a merge of an adapter of these empty or tiny tensors into a base of one tensor.
fn merges(what: &str, base: &str, tensors: &[String], config: &str) -> bool {
    let entry = |name: &String| format!(r#""{name}":{{"dtype":"F32","shape":[1,1],"data_offsets":"#);
    let entries = tensors.iter().enumerate().map(|(i, name)| format!("{}[{},{}]}}", entry(name), 4 * i, 4 * i + 4));
    let adapter = with_header(&format!("{{{}}}", entries.collect::<Vec<_>>().join(",")), &vec![0; 4 * tensors.len()]);
    let base = model(&[(base, "F32", &[1, 1], &[0; 4])]);
    costs(what, base.len() + adapter.len() + config.len(), || {
        let Ok(merge) = Merge::new(&[base.len() as u64], 0, adapter.len() as u64, config.as_bytes()) else {
            return false;
        };
        let files: [&dyn ReadAt; 2] = [&base.as_slice(), &adapter.as_slice()];
        drive::open(&mut merge.job(), &Sources { base: &files, ..Sources::default() }).is_ok()
    })
}

const LORA: &str = r#"{"peft_type":"LORA"}"#;

fn factors(module: &str) -> [String; 2] {
    ["A", "B"].map(|factor| format!("{module}.lora_{factor}.weight"))
}

#[test]
fn names_of_adapters() {
    assert!(merges("an adapter", "m.weight", &factors("m"), LORA));
    let dots = ".".repeat(1 << 15);
    assert!(!merges("a name of dots", "m.weight", &factors(&dots), LORA));
    assert!(!merges("a base of dots", &dots.repeat(8), &factors("m"), LORA));
    let short: Vec<String> = (0..20_000).map(|i| format!("{}{i:x}", ".".repeat(30))).collect();
    assert!(!merges("names of as many dots as they may have", "m.weight", &short, LORA));
}

#[test]
fn configurations_of_adapters() {
    let list = |field: &str, item: &str| format!("{},\"{field}\":[{}]}}", &LORA[..19], vec![item; 1 << 18].join(","));
    for item in ["0", "[]", "[0]", "{}", r#"{"":0}"#, r#"{"":{"":{"":0}}}"#] {
        assert!(merges(item, "m.weight", &factors("m"), &list("target_modules", item)), "{item}");
    }
    let number = |i: u32| format!("\"{i:x}\":1");
    let numbers = (0..100_000).map(number).collect::<Vec<_>>().join(",");
    let config = format!("{},\"rank_pattern\":{{{numbers}}},\"alpha_pattern\":{{{numbers}}}}}", &LORA[..19]);
    let modules: Vec<String> = (0..5_000).flat_map(|i| factors(&format!("m.{i:x}"))).collect();
    assert!(!merges("patterns for modules", "m.weight", &modules, &config));
    let fields = (0..50_000).map(|i| format!("\"{i:x}\":{{\"\":0}}")).collect::<Vec<_>>().join(",");
    let config = format!("{},{fields}}}", &LORA[..19]);
    assert!(merges("many fields", "m.weight", &factors("m"), &config));
}

/// Opens a job with pauses. Returns the most steps between two of them, and all steps.
fn paced(mut job: Job, base: &[u8], archive: &[u8]) -> (u64, u64) {
    let (mut most, mut all) = (0, 0);
    let mut count = |steps: u64| {
        most = steps.max(most);
        all += steps;
    };
    while let Some(read) = job.wants() {
        let file = if read.source == Source::Delta { archive } else { base };
        let bytes = &file[read.offset as usize..(read.offset + read.length) as usize];
        count(steps::count(|| job.take(bytes).unwrap()).1);
        let mut more = true;
        while more {
            let (advanced, steps) = steps::count(|| job.advance().unwrap());
            more = advanced;
            count(steps);
        }
    }
    assert!(job.windows().is_ok());
    (most, all)
}

/// A host whose only thread opens a model of many tensors is never kept for long: the steps between
/// two pauses do not grow with the number of tensors.
#[test]
fn opening_pauses() {
    const MOST: u64 = 1 << 15;
    let count = 20_000u32;
    let entry = |i: u32| format!(r#""{i}":{{"dtype":"BF16","shape":[1],"data_offsets":[{},{}]}}"#, 2 * i, 2 * i + 2);
    let json = format!("{{{}}}", (0..count).map(entry).collect::<Vec<_>>().join(","));
    let safetensors = with_header(&json, &vec![1; 2 * count as usize]);
    let infos = |i: u32| {
        let (name, offset) = (format!("{i:08}"), (u64::from(i) * 32).to_le_bytes());
        [&8u64.to_le_bytes()[..], name.as_bytes(), &[0; 4], &0u32.to_le_bytes(), &offset].concat()
    };
    let start = [&b"GGUF\x03\0\0\0"[..], &u64::from(count).to_le_bytes(), &[0; 8]].concat();
    let gguf = [start, (0..count).flat_map(infos).collect(), vec![0; 64 + 32 * count as usize]].concat();
    let v1 = Format::V1 { level: Format::DEFAULT_ZSTD_LEVEL };
    for (what, base, format) in [
        ("version 1", &safetensors, v1),
        ("version 2", &safetensors, Format::default()),
        ("version 2 of GGUF", &gguf, Format::default()),
    ] {
        let archive = compress(base, base, format).unwrap();
        let (lengths, length) = ([base.len() as u64], archive.len() as u64);
        let jobs = [
            ("inspect", Inspect::new(length).job()),
            ("restore", Restore::new(&lengths, length).job()),
            ("share", Restore::new(&lengths, length).shared().job()),
            ("tensor", Restore::new(&lengths, length).tensor("00000000").job()),
        ];
        for (operation, job) in
            jobs.into_iter().filter(|(operation, _)| what.ends_with("GGUF") || *operation != "tensor")
        {
            let (most, all) = paced(job, base, &archive);
            assert!(most <= MOST, "{operation}, {what}: {most} steps without a pause, of {all}");
            assert!(all > 4 * MOST, "{operation}, {what}: {all} steps");
        }
    }
}

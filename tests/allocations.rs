//! The memory that decoding takes: the decoded bytes account for it, whatever an archive says.
//!
//! A binary of its own, since it counts every allocation.

mod common;
mod counting;

use bitx::drive::{self, Sources};
use bitx::io::ReadAt;
use bitx::{Compress, Format, Restore};
use common::forge::{self, Record, string, varint, xxh3, zeros};
use common::protobuf::field;
use common::zip;
use common::{GOLDEN, PAIRS, compress, inspect, model, restore};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MIB: usize = 1 << 20;

/// The most memory that it may take to open, list or refuse a file of so many bytes.
fn allowed(stored: usize) -> usize {
    64 * stored + 32 * MIB
}

/// The memory of a window of 16 MiB, with its inputs, its output and the decoders' own.
const WINDOW: usize = 96 * MIB;

/// Restores, and returns whether that went well and the most bytes that were allocated at a time.
fn restored(base: &[u8], archive: &[u8]) -> (bool, usize) {
    counting::most(|| restore(base, archive).is_ok())
}

/// Opens an archive, which makes the plan but restores nothing.
fn opened(base: &[u8], archive: &[u8]) -> (bool, usize) {
    let bases: [&dyn ReadAt; 1] = [&base];
    counting::most(|| {
        let mut job = Restore::new(&[base.len() as u64], archive.len() as u64).job();
        drive::open(&mut job, &Sources { base: &bases, delta: Some(&archive), ..Sources::default() }).is_ok()
            && job.windows().unwrap() > 0
    })
}

/// A head's content: no features, a safetensors file, these items.
fn head(items: &[Vec<u8>]) -> Vec<u8> {
    [&[0, 1, 0, 1][..], &varint(items.len() as u64), &items.concat()].concat()
}

/// An item without a name, of that kind and type, and what follows the type.
fn region(kind: u8, dtype: u8, shape: &[u64], rest: &[u8]) -> Vec<u8> {
    let shape = [vec![shape.len() as u8], shape.iter().flat_map(|&extent| varint(extent)).collect()].concat();
    [&[kind, 0, dtype][..], &shape, rest].concat()
}

/// A region that is paired with the base's `w`.
fn paired(dtype: u8, shape: &[u64]) -> Vec<u8> {
    region(2, dtype, shape, &[0, 2, b'w'])
}

const U8: u8 = 4;
const I8: u8 = 5;
const BF16: u8 = 14;
const F64: u8 = 19;

/// The records of a chunk that is its base, by way of a prediction of nothing.
fn predicted(rank: u8, columns: usize, base: &[u8]) -> [Record; 2] {
    let numbers = [zeros(), vec![0]].concat();
    let payload = [string(&numbers), vec![0], zeros()].concat();
    let chunk = Record { sums: [xxh3(base); 2], ..Record::new(6, &payload) };
    [Record::zero_factors(rank, columns), chunk]
}

/// Factors as large as they may be, a few hundred bytes each, for regions that are much smaller.
#[test]
fn factors_are_no_larger_than_what_they_are_for() {
    let columns = 1 << 16;
    let base = vec![1; 2 * columns];
    let file = model(&[("w", "BF16", &[1, columns as u64], &base)]);
    for (rank, valid) in [(1, true), (2, false), (64, false)] {
        let items = vec![paired(BF16, &[1, columns as u64]); 128];
        let records: Vec<Record> = (0..128).flat_map(|_| predicted(rank, columns, &base)).collect();
        let archive = forge::archive(&head(&items), &records);
        assert!(archive.len() < 100_000);
        let (restored, most) = restored(&file, &archive);
        assert!(restored == valid && most < WINDOW, "rank {rank}: {restored}, {} MiB", most / MIB);
    }
}

/// A zstd frame of nothing but zeros, said to hold `length` bytes.
fn bomb(length: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let blocks = length.div_ceil(1 << 17);
    for i in 0..blocks {
        let size = (length - (i << 17)).min(1 << 17) as u32;
        frame.extend_from_slice(&(size << 3 | 1 << 1 | u32::from(i + 1 == blocks)).to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// A kilobyte may say that there are many items and chunks; what is made of them is small.
#[test]
fn heads_do_not_become_much_more_than_they_are() {
    let file = model(&[]);
    let extents = |rank: usize| [vec![0], vec![1; rank - 1]].concat();
    for (count, rank, light) in [(28_000, 1, true), (6_000, 64, true), (1 << 18, 1, false), (1 << 15, 64, false)] {
        let empty = vec![region(1, U8, &extents(rank), &[]); count];
        let archive = forge::archive(&head(&empty), &[]);
        assert!(archive.len() < 2048);
        let (valid, most) = restored(&file, &archive);
        let most_listed = counting::most(|| inspect(&archive).is_ok()).1;
        let name = format!("{count} empty tensors of {rank} extents");
        assert!(
            valid == light && most.max(most_listed) < allowed(archive.len()),
            "{name}: {valid}, {most}, {most_listed}"
        );
    }

    for (chunks, copies) in [(4, 20_000), (1000, 1047)] {
        let shape = [(chunks as u64) << 20];
        let mut equal = vec![region(3, I8, &shape, &[0]); copies];
        equal.insert(0, region(1, I8, &shape, &[]));
        let records: Vec<Record> = (0..chunks).map(|_| Record::new(1, &bomb(MIB))).collect();
        let archive = forge::archive(&head(&equal), &records);
        assert!(archive.len() < 1024 * chunks);
        let (valid, most) = opened(&file, &archive);
        assert!(valid && most < allowed(archive.len()), "{chunks} chunks over and over: {valid}, {} MiB", most / MIB);
    }

    let archive = forge::archive_of(0, &[varint(32 << 20), bomb(32 << 20)].concat(), &[]);
    let (valid, most) = restored(&file, &archive);
    assert!(
        !valid && archive.len() < 2000 && most < allowed(archive.len()),
        "a head of zeros: {valid}, {} MiB",
        most / MIB
    );
}

/// A claimed length is compared with the real one before memory is taken for it.
#[test]
fn claims_take_no_memory() {
    let huge = varint(1 << 60);
    let head_of = |rest: &[u8]| [&[0, 0][..], rest].concat();
    let stored = |head: &[u8]| forge::archive_of(0, head, &[]);
    let small = [1, 0, U8, 1, 4];
    let mut long_head = stored(&[1, 0]);
    long_head[8..16].copy_from_slice(&(200u64 << 20).to_le_bytes());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a head of 200 MiB", long_head),
        ("a head that decodes to 256 MiB", stored(&[varint(256 << 20), bomb(1 << 17)].concat())),
        ("a head that says 1 and holds 128 MiB", stored(&[varint(1), bomb(128 << 20)].concat())),
        ("2^60 base files", forge::archive(&[&[0][..], &huge].concat(), &[])),
        ("65,535 base files", forge::archive(&[&[0][..], &varint(65_535)].concat(), &[])),
        ("2^60 items", forge::archive(&head_of(&huge), &[])),
        ("262,144 items", forge::archive(&head_of(&varint(1 << 18)), &[])),
        ("a span of 2^60 bytes", forge::archive(&head_of(&[&[1, 0][..], &huge].concat()), &[])),
        ("a name of 2^60 bytes", forge::archive(&head_of(&[&[1, 1][..], &huge].concat()), &[])),
        ("2^60 extents", forge::archive(&head_of(&[&[1, 1, 0, U8][..], &huge].concat()), &[])),
        (
            "a tensor of 2^40 bytes",
            forge::archive(&head_of(&[&[1][..], &region(1, U8, &[1 << 40], &[])].concat()), &[]),
        ),
        (
            "a tensor of 2^39 bytes",
            forge::archive(&head_of(&[&[1][..], &region(1, U8, &[1 << 39], &[])].concat()), &[]),
        ),
        ("a payload of 4 GiB", {
            let record = Record { indexed: [vec![0], varint(u32::MAX.into())].concat(), ..Record::new(0, &[1; 4]) };
            forge::archive(&head_of(&[&[1][..], &small].concat()), &[record])
        }),
        ("4 bytes in a frame of 1 GiB", {
            forge::archive(&head_of(&[&[1][..], &small].concat()), &[Record::new(1, &bomb(1 << 30)[..4])])
        }),
        ("a version 1 header of 2^60 bytes", [&b"BITXv001"[..], &(1u64 << 60).to_le_bytes(), &[b'{'; 99]].concat()),
        ("a version 1 header of 99 MB", [&b"BITXv001"[..], &99_000_000u64.to_le_bytes(), &[b'{'; 99]].concat()),
    ];
    let file = model(&[]);
    for (what, archive) in cases {
        let archive = archive.as_slice();
        let ((valid, most), listed) = (restored(&file, archive), counting::most(|| inspect(archive).is_ok()));
        assert!(!valid && most.max(listed.1) < MIB, "{what}: {valid}, {most} and {} bytes", listed.1);
    }
}

/// Base files may be as hostile as archives.
#[test]
fn claims_of_base_files_take_no_memory() {
    let target = model(&[("w", "U8", &[4], &[1, 2, 3, 4])]);
    let archive = compress(&target, &target, Format::default()).unwrap();
    let gguf = |rest: &[&[u8]]| [&b"GGUF\x03\0\0\0"[..], &rest.concat()].concat();
    let (one, none, huge) = (1u64.to_le_bytes(), [0; 8], (1u64 << 60).to_le_bytes());
    let bases = [
        ("a header of 99 MB", [&99_000_000u64.to_le_bytes()[..], &[b'{'; 99]].concat()),
        ("a header of 2^60 bytes", [&huge[..], &[b'{'; 99]].concat()),
        ("2^60 tensors", gguf(&[&huge, &none])),
        ("2^60 entries", gguf(&[&none, &huge])),
        ("a key of 2^60 bytes", gguf(&[&none, &one, &huge])),
        ("an array of 2^60 arrays", gguf(&[&none, &one, &one, b"k", &[9, 0, 0, 0, 9, 0, 0, 0], &huge])),
        ("2^32 extents", gguf(&[&one, &none, &one, b"w", &[0xff; 4]])),
    ];
    for (what, base) in bases {
        let (valid, most) = restored(&base, &archive);
        assert!(!valid && most < MIB, "{what} against an archive: {valid}, {most} bytes");
        let (_, most) = counting::most(|| compress(&base, &target, Format::default()));
        assert!(most < 8 * MIB, "{what} as a base: {most} bytes");
        let (_, most) = counting::most(|| compress(&target, &base, Format::default()));
        assert!(most < 8 * MIB, "{what} as a target: {most} bytes");
    }
}

/// One large chunk, and payloads that say they are all of it.
#[test]
fn chunks_take_what_their_size_accounts_for() {
    let bytes = vec![7; 8 << 20];
    let file = model(&[("w", "F64", &[1 << 10, 1 << 10], &bytes)]);
    let items = [paired(F64, &[1 << 10, 1 << 10])];
    let list = [vec![0], zeros()].concat();
    let raw = [vec![0], forge::certain(174)].concat();
    let cases: [(u8, Vec<u8>); 5] =
        [(1, bomb(8 << 20)), (3, list), (3, raw), (4, [vec![63, 0], zeros()].concat()), (3, vec![2, 0, 0, 0])];
    for (method, payload) in cases {
        let record = Record { sums: [0, xxh3(&bytes)], ..Record::new(method, &payload) };
        let (valid, most) = restored(&file, &forge::archive(&head(&items), &[record]));
        assert!(!valid && most < 40 * MIB, "method {method}: {valid}, {} MiB", most / MIB);
    }
}

/// Every byte of a small archive, one at a time, with the checksums that it should then have.
#[test]
fn no_byte_of_a_head_or_a_payload_takes_memory() {
    let base: Vec<u8> = (0..40 * 64 * 2u32).map(|i| (i * i >> 7) as u8 & 0x3f).collect();
    let file = model(&[("w", "BF16", &[40, 64], &base)]);
    let content =
        head(&[vec![0, 2, 1, 2], paired(BF16, &[40, 64]), region(3, BF16, &[2560], &[1]), region(1, U8, &[9], &[])]);
    let records = || -> Vec<Record> {
        let mut records = Vec::from(predicted(2, 64, &base));
        records.push(Record { sums: [xxh3(&[5; 9]), 0], ..Record::new(0, &[5; 9]) });
        records
    };
    let check = |what: &str, archive: Vec<u8>| {
        let (_, most) = restored(&file, &archive);
        assert!(most < 16 * MIB, "{what}: {} MiB", most / MIB);
    };
    assert!(restored(&file, &forge::archive(&content, &records())).0);
    for value in [0, 1, 0x7f, 0x80, 0xff] {
        for at in 0..content.len() {
            let mut content = content.clone();
            content[at] = value;
            // The number of base files is what the index is built for.
            if at != 1 {
                check(&format!("byte {at} of the head is {value}"), forge::archive(&content, &records()));
            }
        }
        for record in 0..3 {
            for at in 0..records()[record].payload.len() {
                let mut records = records();
                records[record].payload[at] = value;
                let name = format!("byte {at} of record {record} is {value}");
                check(&name, forge::archive(&content, &records));
            }
        }
    }
}

/// Archives that are what they seem: inputs, output, and not much more.
#[test]
fn restoring_takes_little_more_than_a_window() {
    let golden = GOLDEN.iter().map(|golden| (golden.name, golden.base, golden.archive));
    for (name, base, archive) in golden.chain(PAIRS.iter().map(|pair| (pair.name, pair.base, pair.archive))) {
        let (valid, most) = restored(base, archive);
        // The window's inputs and output, and the output as a whole.
        let bound = 3 * base.len() + archive.len() + 4 * MIB;
        assert!(valid && most < bound, "{name}: {valid}, {most} of {bound} bytes");
    }
}

/// Reads the layout of a file, which must not fail, and holds the memory for it to the file's size.
fn laid_out(name: &str, file: &[u8]) -> usize {
    let (layout, most) = counting::most(|| drive::layout(&file).unwrap());
    let allowed = 64 * file.len() + 32 * MIB;
    assert!(most < allowed, "{name}: {} KiB for {} KiB", most >> 10, file.len() >> 10);
    layout.regions.len()
}

/// Pickles of the opcodes that make the most of a byte, in zip archives and in older files.
#[test]
fn pickles_do_not_become_much_more_than_they_are() {
    let many = |unit: &[u8]| unit.repeat((2 << 20) / unit.len());
    let memo = |key: u32| [b"Nr", &key.to_le_bytes()[..]].concat();
    let paths = [zip::text(&"x".repeat(500)), many(&zip::storage("FloatStorage", "0", 1))].concat();
    let pickles: [(&str, Vec<u8>); 12] = [
        ("none", many(b"N")),
        ("empty lists", many(b"]")),
        ("marks", many(b"(")),
        ("tuples", many(b"N\x85")),
        ("a tuple of a tuple", [&b"N"[..], &many(b"\x85")].concat()),
        ("a long tuple", [&b"("[..], &many(b"N"), b"t"].concat()),
        ("a long list, over and over", [&b"]("[..], &many(b"Nae(")].concat()),
        ("what is remembered", [&b"N"[..], &many(b"\x94")].concat()),
        ("what is remembered far away", [memo(1 << 19), memo(u32::MAX)].concat()),
        ("what is recalled", [&b"]q\0"[..], &many(b"h\0a")].concat()),
        ("calls", [&b"]q\0"[..], &many(b"h\0h\0R")].concat()),
        ("storages with a long name", [&b"}("[..], &paths, b"u"].concat()),
    ];
    for (name, pickle) in pickles {
        let zip = zip::Zip::default().add("m/data.pkl", &pickle).add("m/data/0", &[1; 256]);
        assert!(laid_out(name, &zip.finish(b"")) > 0, "{name}");
        laid_out(name, &[zip::STREAM, b"N.}.", &pickle].concat());
    }
}

#[test]
fn members_and_subgraphs_do_not_become_much_more_than_they_are() {
    let mut zip = zip::Zip::default().add("a", &[1; 256]);
    (0..60_000).for_each(|_| zip.entry("a", zip::STORED, [256, 256, 0], &[]));
    assert_eq!(laid_out("one member, over and over", &zip.finish(b"")), 1);

    let mut zip = zip::Zip::default();
    for i in 0..20_000 {
        zip = zip.add_as(&format!("data/{i}"), zip::STORED, &[1; 256]);
    }
    assert_eq!(laid_out("small members", &zip.finish(b"")), 20_000);

    let tensor = |name: u32| [field(8, format!("{name}").as_bytes()), field(9, &[1; 256])].concat();
    let tensors: Vec<u8> = (0..20_000).flat_map(|name| field(5, &tensor(name))).collect();
    let attribute = field(5, &[field(1, b"then_branch"), field(6, &tensors)].concat());
    let node = field(1, &[field(2, &[b'x'; 490]), attribute].concat());
    assert_eq!(laid_out("a long path", &[vec![8, 9], field(7, &node)].concat()), 20_000);
    let levels =
        (0..100_000).fold(Vec::new(), |inner: Vec<u8>, _| if inner.len() > 1 << 20 { inner } else { nested(inner) });
    assert_eq!(laid_out("graphs in graphs", &[vec![8, 9], field(7, &levels)].concat()), 1);
}

/// A node with a graph in it, behind a node as large as the graph.
fn nested(graph: Vec<u8>) -> Vec<u8> {
    let attribute = field(5, &[field(1, b"body"), field(6, &graph)].concat());
    let padding = field(1, &field(6, &vec![b'x'; graph.len()]));
    [padding, field(1, &[field(2, b"loop"), attribute].concat())].concat()
}

/// The most bytes that it takes to open a compression, which surveys both files.
fn surveyed(base: &[u8], target: &[u8]) -> usize {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, target: Some(&target), ..Sources::default() };
    let mut job = Compress::new(&[base.len() as u64], target.len() as u64, Format::default()).unwrap().job();
    counting::most(|| drive::open(&mut job, &sources).unwrap()).1
}

/// Text that seems to describe nested scales is read only where it is short.
#[test]
fn long_text_of_nested_scales_is_not_read() {
    let text = [&br#"{"nested_offset": 0.5}"#[..], &vec![b' '; 40 * MIB]].concat();
    let tensors: [(&str, &str, &[u64], &[u8]); 4] = [
        ("w.weight", "U8", &[1024, 1], &[7; 1024]),
        ("w.weight.absmax", "U8", &[32], &[1; 32]),
        ("w.weight.nested_absmax", "F32", &[1], &[0; 4]),
        ("w.weight.quant_state.bitsandbytes__nf4", "U8", &[text.len() as u64], &text),
    ];
    let file = model(&tensors);
    let most = surveyed(&file, &file);
    assert!(most < 16 * MIB, "{} MiB", most / MIB);
}

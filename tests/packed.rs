//! Packed numbers whose scales are other tensors: every packing, in base and target; and forged heads.
#![cfg(not(target_arch = "wasm32"))]

mod common;
mod reference;

use bitx::drive::{self, Sources};
use bitx::io::ReadAt;
use bitx::parallel::Sequential;
use bitx::{ErrorKind, Format, Restore};
use common::forge::{self, Record, string, varint};
use common::{EFFORTS, GOLDEN, Golden, compress, inspect, model, restore, restore_shared};

fn vector() -> &'static Golden {
    named("packed.default")
}

fn named(name: &str) -> &'static Golden {
    GOLDEN.iter().find(|golden| golden.name == name).unwrap()
}

/// The vectors with packed numbers.
fn vectors() -> impl Iterator<Item = &'static Golden> {
    ["packed.default", "words.default", "nested.default", "bits.default"].into_iter().map(named)
}

/// Names, places and dtypes of the tensors of a safetensors file.
fn tensors(file: &[u8]) -> Vec<(String, std::ops::Range<usize>, String)> {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let entry = |(name, entry): (&String, &serde_json::Value)| {
        let offset = |i: usize| 8 + length + entry["data_offsets"][i].as_u64().unwrap() as usize;
        (name.clone(), offset(0)..offset(1), entry["dtype"].as_str().unwrap().to_owned())
    };
    header.as_object().unwrap().iter().map(entry).collect()
}

fn is_scale(name: &str) -> bool {
    ["scale", "scales", "absmax", "scale_2", "biases"].iter().any(|end| name.ends_with(end))
}

/// The tensors of packed numbers in the vector.
const NUMBERS: [&str; 14] = [
    "a.weight_Q4",
    "b.weight_Q4",
    "c.qweight",
    "d.qweight",
    "e.qweight",
    "f.q_weight",
    "g.weight",
    "h_blocks",
    "i.blocks",
    "j.weight",
    "k.weight",
    "l_quantized",
    "m_quantized",
    "n.weight_Q8",
];

#[test]
fn every_packing_is_coded_in_its_grid() {
    const WORDS: [&str; 4] = ["a.weight", "b.weight", "c.qweight", "d.weight_packed"];
    let all = NUMBERS.map(|name| ("packed.default", name)).into_iter();
    let all = all.chain(WORDS.map(|name| ("words.default", name)));
    for (vector, name) in all.chain([("words.default", "wa.weight"), ("nested.default", "wa.weight")]) {
        let report = inspect(named(vector).archive).unwrap();
        let tensor = report.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!(tensor.method.name(), "grid", "{name}");
    }
}

/// Without names that tell of companions, the same numbers take more bytes.
#[test]
fn scales_make_archives_smaller() {
    let renamed = |file: &[u8]| {
        let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
        let header = String::from_utf8(file[8..8 + length].to_vec()).unwrap();
        let header = header.replace("scale", "sc_le").replace("absmax", "a_smax");
        [&file[..8], header.as_bytes(), &file[8 + length..]].concat()
    };
    let Golden { base, target, .. } = vector();
    let (base, target) = (renamed(base), renamed(target));
    let archive = compress(&base, &target, Format::default()).unwrap();
    assert!(restore(&base, &archive).unwrap() == target);
    let (with, without) = (vector().archive.len(), archive.len());
    assert!(with * 20 < without * 19, "{with} bytes, and {without} without companions");
}

/// One tensor alone needs its companions, which lie elsewhere in the archive.
#[test]
fn a_packed_tensor_is_restored_alone() {
    let tensors = vectors().flat_map(|golden| tensors(golden.target).into_iter().map(move |tensor| (golden, tensor)));
    for (Golden { base, target, archive, .. }, (name, range, _)) in tensors {
        let bases: [&dyn ReadAt; 1] = [base];
        let sources = Sources { base: &bases, delta: Some(archive), ..Sources::default() };
        let mut job = Restore::new(&[base.len()], archive.len()).tensor(&name).job();
        let mut output = Vec::new();
        drive::open(&mut job, &sources).unwrap();
        drive::drive(&mut job, &sources, &Sequential, &mut output, &mut |_| {}).unwrap();
        assert!(output == target[range], "{name}");
    }
}

/// Scales may be any bits: no numbers, infinite, zero or denormal; and numbers may be any.
#[test]
fn any_scales_and_numbers_come_back() {
    let mut state = 3u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for (Golden { base, target, .. }, round) in vectors().flat_map(|golden| (0..6).map(move |round| (golden, round))) {
        let (mut base, mut target) = (base.to_vec(), target.to_vec());
        for (name, range, _) in tensors(&target.clone()) {
            for file in [&mut base, &mut target] {
                let special = [0x00, 0x80, 0x7f, 0xff, 0x7c, 0xfc];
                for byte in &mut file[range.clone()] {
                    match round {
                        0 | 1 if is_scale(&name) => *byte = random(),
                        2 if is_scale(&name) => *byte = special[usize::from(random()) % special.len()],
                        3 if !is_scale(&name) => *byte = random(),
                        4 => *byte = random(),
                        _ => {}
                    }
                }
            }
        }
        for effort in EFFORTS {
            let archive = compress(&base, &target, Format::V2 { effort }).unwrap();
            assert!(restore(&base, &archive).unwrap() == target, "{round} {effort:?}");
            assert!(restore_shared(&base, &archive).unwrap() == target, "{round} {effort:?}");
            assert!(reference::restore(&[&base], &archive).unwrap() == target, "{round} {effort:?}");
        }
    }
}

/// The numbers of a tile stay in its columns, however many there are.
#[test]
fn tiles_may_have_an_odd_number_of_columns() {
    const RUN: usize = 15;
    let uniform: [f32; 16] = std::array::from_fn(|i| i as f32 / 8.0 - 1.0);
    let file = |changed: bool| {
        let scale = |tile: usize| 1.0 + (tile % 9) as f32 / 8.0 + if changed { (tile % 3) as f32 / 16.0 } else { 0.0 };
        let weight = |i: usize| ((i * 7919) % 1000) as f32 / 500.0 - 1.0;
        let number = |i: usize, levels: &[f32; 16]| {
            let distance = |level: usize| (levels[level] - weight(i) / scale(i / RUN)).abs();
            (0..16).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap() as u8
        };
        let numbers = |levels: &[f32; 16]| -> Vec<u8> {
            (0..RUN * 300).map(|i| number(2 * i, levels) | number(2 * i + 1, levels) << 4).collect()
        };
        let scales: Vec<u8> = (0..600).flat_map(|tile| scale(tile).to_le_bytes()).collect();
        model(&[
            ("w.weight", "U8", &[RUN as u64 * 300, 1], &numbers(&reference::levels::NF4)),
            ("w.weight.absmax", "F32", &[600], &scales),
            ("x_Q4", "U8", &[RUN as u64 * 300], &numbers(&uniform)),
            ("x_scales", "F32", &[600], &scales),
        ])
    };
    let (base, target) = (file(false), file(true));
    let archive = compress(&base, &target, Format::default()).unwrap();
    for name in ["w.weight", "x_Q4"] {
        let report = inspect(&archive).unwrap();
        let tensor = report.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!(tensor.method.name(), "grid", "{name}");
    }
    assert!(restore(&base, &archive).unwrap() == target);
    assert!(reference::restore(&[&base], &archive).unwrap() == target);
}

/// A head of a base file and two items, `w` of 32 bytes of packed numbers and `s` of two scales, and
/// these packed items.
fn head(packed: &[u8]) -> Vec<u8> {
    let w = [&[2, 1, b'w', 4, 1, 32][..], &[0, 0]].concat();
    let s = [&[2, 1, b's', 17, 1, 2][..], &[0, 0]].concat();
    [&[1, 1, 0, 1, 2][..], &w, &s, packed].concat()
}

/// The fields of a packed item: packing, columns, and rows and columns of a tile, companions.
fn entry(item: u64, packing: u8, tiles: [u64; 3], companions: &[u64]) -> Vec<u8> {
    let companions: Vec<u8> = companions.iter().flat_map(|&companion| varint(companion)).collect();
    [varint(item), vec![packing], tiles.into_iter().flat_map(varint).collect(), companions].concat()
}

fn base() -> Vec<u8> {
    let scales: Vec<u8> = [0.5f32, 0.25].into_iter().flat_map(f32::to_le_bytes).collect();
    model(&[("w", "U8", &[32], &[0x53; 32]), ("s", "F32", &[2], &scales)])
}

/// Both decoders' results for an archive of this head, whose numbers have this payload.
fn both(head: &[u8], payload: &[u8]) -> (bitx::Result<Vec<u8>>, Result<Vec<u8>, String>) {
    let base = base();
    let (w, s) = (&base[base.len() - 40..base.len() - 8], &base[base.len() - 8..]);
    let sums = |bytes: &[u8]| [forge::xxh3(bytes); 2];
    let records =
        [Record { sums: sums(w), ..Record::new(10, payload) }, Record { sums: sums(s), ..Record::new(2, &[]) }];
    let archive = forge::archive(head, &records);
    (restore(&base, &archive), reference::restore(&[&base], &archive))
}

#[test]
fn a_forged_head_of_packed_items_restores_or_is_refused() {
    // Numbers that stay as they are: model 0, and a list of zeros.
    let payload = [0, 0, 0];
    let tiles = [32, 1, 32];
    let good = |packed: &[u8]| {
        let (core, slow) = both(&head(packed), &payload);
        assert!(core.unwrap() == base()[base().len() - 40..] && slow.unwrap() == base()[base().len() - 40..]);
    };
    good(&[&[1][..], &entry(0, 0, tiles, &[2, 0])].concat());
    good(&[&[1][..], &entry(0, 1, [64, 1, 32], &[2, 0])].concat());
    let refused = |packed: &[u8]| {
        let (core, slow) = both(&head(packed), &payload);
        slow.unwrap_err();
        core.unwrap_err().kind()
    };
    // Biases are as many words as scales; the factor that follows them is not missing.
    good(&[&[1][..], &entry(0, 13, tiles, &[2, 2, 0])].concat());
    good(&[&[1][..], &entry(0, 14, [16, 1, 16], &[2, 2, 0])].concat());
    for biases in [0, 1, 4, u64::MAX] {
        assert_eq!(refused(&[&[1][..], &entry(0, 13, tiles, &[2, biases, 0])].concat()), ErrorKind::Corrupt);
    }
    assert_eq!(refused(&[&[1][..], &entry(0, 14, tiles, &[2, 2, 0])].concat()), ErrorKind::Corrupt);
    assert_eq!(refused(&[&[1][..], &entry(0, 13, tiles, &[2, 2])].concat()), ErrorKind::Truncated);
    // Zero points of eight bits are as many bytes as scales.
    assert_eq!(refused(&[&[1][..], &entry(0, 15, [16, 1, 16], &[2, 2, 0])].concat()), ErrorKind::Corrupt);
    // Nested scales are bytes, and their scales one for 256 of them.
    let nested = [entry(0, 16, tiles, &[2, 2, 0]), vec![0; 8]].concat();
    assert_eq!(refused(&[&[1][..], &nested].concat()), ErrorKind::Corrupt);
    assert_eq!(refused(&[&[1][..], &nested[..nested.len() - 1]].concat()), ErrorKind::Truncated);
    // Too many packed items, an item that does not exist, one twice, a packing that is unknown.
    assert_eq!(refused(&varint(3)), ErrorKind::Corrupt);
    assert_eq!(refused(&[&[1][..], &entry(2, 0, tiles, &[2, 0])].concat()), ErrorKind::Corrupt);
    assert_eq!(refused(&[&[1][..], &entry(u64::MAX, 0, tiles, &[2, 0])].concat()), ErrorKind::Corrupt);
    assert_eq!(refused(&[&[1][..], &entry(0, 30, tiles, &[2, 0])].concat()), ErrorKind::Unsupported);
    // The 32 bytes have 128 numbers of 2 bits; they are no whole numbers of 3, 5 or 6 bits.
    good(&[&[1][..], &entry(0, 23, [64, 1, 64], &[2, 0])].concat());
    good(&[&[1][..], &entry(0, 19, [128, 1, 64], &[2, 2, 0])].concat());
    assert_eq!(refused(&[&[1][..], &entry(0, 23, tiles, &[2, 0])].concat()), ErrorKind::Corrupt);
    for packing in [20, 21, 22] {
        for width in [85, 51, 42, 17, 7, 1] {
            let entry = entry(0, packing, [width, 1, width], &[2, 2, 0]);
            assert_eq!(refused(&[&[1][..], &entry].concat()), ErrorKind::Corrupt, "{packing}");
        }
    }
    // Groups that are missing, or words of floats.
    assert_eq!(refused(&[&[1][..], &entry(0, 17, tiles, &[2, 2, 0])].concat()), ErrorKind::Truncated);
    assert_eq!(refused(&[&[1][..], &entry(0, 17, tiles, &[2, 2, 0, 2])].concat()), ErrorKind::Corrupt);
    // Integers are no floats of 8 bits.
    assert_eq!(refused(&[&[1][..], &entry(0, 11, tiles, &[2, 0])].concat()), ErrorKind::Corrupt);
    // Tiles of no extent, rows that are not whole, more tiles than bytes, eights that are not whole.
    for tiles in [[0, 1, 32], [32, 0, 32], [32, 1, 0], [48, 1, 32], [u64::MAX, 1, 32]] {
        assert_eq!(refused(&[&[1][..], &entry(0, 0, tiles, &[2, 0])].concat()), ErrorKind::Corrupt, "{tiles:?}");
    }
    assert_eq!(refused(&[&[1][..], &entry(0, 0, [32, 1, 1], &[2, 0])].concat()), ErrorKind::Limit);
    assert_eq!(refused(&[&[1][..], &entry(0, 4, [4, 1, 4], &[2, 2, 0])].concat()), ErrorKind::Corrupt);
    // Scales of another number, those of the item itself, of no item; a factor of two words.
    assert_eq!(refused(&[&[1][..], &entry(0, 0, [32, 1, 16], &[2, 0])].concat()), ErrorKind::Corrupt);
    for scales in [0, 1, 4, u64::MAX, u64::MAX - 1] {
        assert_eq!(refused(&[&[1][..], &entry(0, 0, tiles, &[scales, 0])].concat()), ErrorKind::Corrupt);
    }
    assert_eq!(refused(&[&[1][..], &entry(0, 0, tiles, &[2, 2])].concat()), ErrorKind::Corrupt);
    // The scales are packed themselves, and the fields end early.
    let packed = [&[2][..], &entry(0, 0, tiles, &[2, 0]), &entry(0, 0, [2, 1, 2], &[1, 0])].concat();
    assert_eq!(refused(&packed), ErrorKind::Corrupt);
    assert_eq!(refused(&[1, 0, 0, 32]), ErrorKind::Truncated);
    // A feature that is unknown.
    let (core, slow) = both(&[&[2][..], &head(&[])[1..]].concat(), &payload);
    assert!(core.unwrap_err().kind() == ErrorKind::Unsupported && slow.is_err());
}

/// A tensor of the format's dtype and of safetensors', of so many words, and its bytes.
type Companion<'a> = (u8, &'a str, u64, &'a [u8]);

/// The error of the core, if there is one, for numbers of two tiles with these places of nested scales,
/// scales of them, and distances of both. The other decoder must agree.
fn nested(places: Companion<'_>, scales: Companion<'_>, distances: [u64; 2]) -> Option<ErrorKind> {
    let item = |name: u8, dtype: u8, words: u64| [&[2, 1, name, dtype, 1][..], &varint(words), &[0, 0]].concat();
    let items = [item(b'w', 4, 32), item(b's', places.0, places.2), item(b'n', scales.0, scales.2)].concat();
    let packed = [&[1][..], &entry(0, 16, [32, 1, 32], &[distances[0], distances[1], 0]), &[0; 8]].concat();
    let numbers = [0x53; 32];
    let tensors =
        [("w", "U8", 32, &numbers[..]), ("s", places.1, places.2, places.3), ("n", scales.1, scales.2, scales.3)];
    let shapes = tensors.map(|(_, _, words, _)| [words]);
    let tensor = |i: usize| (tensors[i].0, tensors[i].1, &shapes[i][..], tensors[i].3);
    let base = model(&[0, 1, 2].map(tensor));
    let record = |(i, (.., bytes)): (usize, &(_, _, _, &[u8]))| {
        let (method, payload) = if i == 0 { (10, &[0, 0, 0][..]) } else { (2, &[][..]) };
        Record { sums: [forge::xxh3(bytes); 2], ..Record::new(method, payload) }
    };
    let records: Vec<Record> = tensors.iter().enumerate().map(record).collect();
    let archive = forge::archive(&[&[1, 1, 0, 1, 3][..], &items, &packed].concat(), &records);
    let (core, slow) = (restore(&base, &archive), reference::restore(&[&base], &archive));
    let target = &base[base.len() - 32 - places.3.len() - scales.3.len()..];
    assert_eq!(core.is_ok(), slow.is_ok_and(|restored| restored == target));
    core.map(|restored| assert!(restored == target)).err().map(|error| error.kind())
}

/// Places of nested scales are bytes, one for each tile, and their scales are words for 256 of them.
#[test]
fn a_forged_head_of_nested_scales_restores_or_is_refused() {
    let (places, scale): (Companion<'_>, Companion<'_>) = ((4, "U8", 2, &[200, 90]), (17, "F32", 1, &[0, 0, 0, 63]));
    assert_eq!(nested(places, scale, [2, 4]), None);
    let floats: [Companion<'_>; 3] =
        [(13, "F16", 2, &[0, 60, 0, 61]), (17, "F32", 2, &[0, 0, 0, 63, 0, 0, 0, 64]), (6, "F8_E5M2", 2, &[60, 61])];
    for places in floats {
        assert_eq!(nested(places, scale, [2, 4]), Some(ErrorKind::Corrupt), "{places:?}");
    }
    assert_eq!(nested((4, "U8", 3, &[1, 2, 3]), scale, [2, 4]), Some(ErrorKind::Corrupt));
    assert_eq!(nested((4, "U8", 1, &[1]), scale, [2, 4]), Some(ErrorKind::Corrupt));
    let scales = [0, 0, 0, 63, 0, 0, 0, 63];
    assert_eq!(nested(places, (17, "F32", 2, &scales), [2, 4]), Some(ErrorKind::Corrupt));
    assert_eq!(nested(places, (15, "I32", 1, &scales[..4]), [2, 4]), Some(ErrorKind::Corrupt));
    assert_eq!(nested(places, (19, "F64", 1, &scales), [2, 4]), Some(ErrorKind::Corrupt));
    // The scales of the scales are those of the numbers, or the numbers, or no item.
    for of_scales in [2, 0, 1, 6, u64::MAX] {
        assert_eq!(nested(places, scale, [2, of_scales]), Some(ErrorKind::Corrupt), "{of_scales}");
    }
}

/// Payloads of any bytes come to the same in both decoders.
#[test]
fn damaged_payloads_come_to_the_same() {
    let head = head(&[&[1][..], &entry(0, 0, [32, 1, 32], &[2, 0])].concat());
    let list = [vec![1], string(&[1 | 1 << 3, 0]), string(&[])].concat();
    for payload in [
        vec![],
        vec![0],
        vec![3, 0, 0],
        vec![3, 4, 0, 1],
        vec![4, 0, 0],
        vec![1, 200, 0, 0],
        vec![2, 0, 31],
        [vec![0], list].concat(),
    ] {
        let (core, slow) = both(&head, &payload);
        assert_eq!(core.ok(), slow.ok(), "{payload:?}");
    }
}

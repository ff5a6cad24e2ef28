//! Damaged and forged archives.

use super::archive::{STORED, dict, pickle, tensor, text};
use super::*;
use crate::layout::assert_regular;

/// Reads the members; the regions of a layout must follow each other within the file.
fn check(bytes: &[u8]) -> usize {
    let Some(layout) = members(bytes) else { return 0 };
    assert_regular(&layout, bytes);
    layout.regions.len()
}

fn model() -> Zip {
    let state = dict(&[("a", tensor("FloatStorage", "0", &[2, 32])), ("b", tensor("HalfStorage", "1", &[128]))]);
    Zip::default().add("m/data.pkl", &pickle(&state)).add("m/data/0", &noise(256)).add("m/data/1", &noise(256)).add_as(
        "m/w.npy",
        STORED,
        &npy("'<f4'", "False", "(4, 16)", &noise(256)),
    )
}

#[test]
fn damage_leaves_regions_inside_the_file() {
    for bytes in [model().finish(b"!"), model().finish_64()] {
        assert_eq!(check(&bytes), 4);
        (0..bytes.len()).for_each(|end| assert_eq!(check(&bytes[..end]), 0));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check(&flipped);
        }
    }
}

#[test]
fn members_that_overlap_or_leave_the_file_are_bytes() {
    let data = noise(1000);
    let forged = |sizes: [u32; 3], extra: &[u8]| {
        let mut zip = Zip::default().add_as("a", STORED, &data).add_as("b", STORED, &data);
        zip.entry("forged", STORED, sizes, extra);
        let layout = members(&zip.finish(b"")).unwrap_or_default();
        layout.regions.into_iter().map(|region| region.name).collect::<Vec<_>>()
    };
    let second = 31 + 1000 + 16;
    let wide = |numbers: &[u64]| {
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        [&[9, 9, 0, 0, 1, 0][..], &(numbers.len() as u16).to_le_bytes(), &numbers].concat()
    };
    const WIDE: u32 = u32::MAX;
    assert_eq!(forged([900, 900, second], &[]), ["a", "forged"], "the last one of an offset");
    assert_eq!(forged([2000, 2000, 0], &[]), ["b"], "data beyond the next header");
    assert_eq!(forged([1000, 1000, 7], &[]), ["b"], "no header, and a member before it that reaches over it");
    assert_eq!(forged([1000, 1000, 2 * second], &[]), ["a", "b"]);
    assert_eq!(forged([1000, 1000, WIDE - 1], &[]), ["a", "b"]);
    assert_eq!(forged([1000, 999, second], &[]), ["a"], "compressed");
    assert_eq!(forged([WIDE, WIDE, WIDE], &wide(&[900, 900, second.into()])), ["a", "forged"]);
    assert_eq!(forged([WIDE, WIDE, second], &wide(&[u64::MAX, u64::MAX])), ["a"]);
    assert_eq!(forged([900, 900, WIDE], &wide(&[u64::MAX])), ["a", "b"]);
    assert_eq!(forged([900, 900, WIDE], &wide(&[])), ["a", "b"], "an entry that is malformed, and the end");
}

#[test]
fn a_directory_elsewhere_makes_a_file_of_bytes() {
    let bytes = model().finish(b"");
    let end = bytes.len() - 22;
    for (at, byte) in [(4, 1), (6, 1), (13, 0x7F), (15, 0xFF), (17, 0x7F), (19, 0xFF), (20, 1)] {
        let mut forged = bytes.clone();
        forged[end + at] = byte;
        assert_eq!(check(&forged), 0, "{at}");
    }
    assert_eq!((check(b""), check(b"PK\x03\x04"), check(&bytes[end..])), (0, 0, 0));
}

/// Each opcode, over and over, and the few that make the most of a byte.
#[test]
fn pickles_of_any_opcodes_end() {
    let nested = |open: &str, close: &str| [open.repeat(100_000), close.repeat(100_000)].concat().into_bytes();
    let mut pickles: Vec<Vec<u8>> = (0..=255).map(|opcode| vec![opcode; 10_000]).collect();
    pickles.extend((0..=255).map(|opcode| [b"](K\x01h\0)", &[opcode][..]].concat().repeat(2000)));
    pickles.push(nested("(", "t"));
    pickles.push(nested("]", "a"));
    pickles.push(nested("](", "e"));
    pickles.push([b"]q\0", &b"h\0a".repeat(1000)[..]].concat());
    pickles.push([&b"}q\0"[..], &text(&"x".repeat(600)), b"h\0s"].concat());
    for pickle in pickles {
        check(&Zip::default().add("m/data.pkl", &pickle).add("m/data/0", &noise(256)).finish(b""));
    }
}

#[test]
fn few_pickles_are_read() {
    let state = pickle(&dict(&[("w", tensor("FloatStorage", "0", &[64]))]));
    let mut zip = Zip::default();
    for i in 0..8 {
        zip = zip.add(&format!("{i}/data.pkl"), &state).add(&format!("{i}/data/0"), &noise(256));
    }
    let layout = members(&zip.finish(b"")).unwrap();
    let typed = layout.regions.iter().filter(|region| region.dtype == Dtype::F32).count();
    assert_eq!((typed, layout.regions.len()), (4, 8));
}

mod hostile;
mod torch;

use super::*;
use crate::layout::test_zip::{self as archive, DEFLATED, Zip};
use crate::layout::{Dtype, Region};

/// Reads the members, and holds every read to the file.
fn members(bytes: &[u8]) -> Option<Layout> {
    let mut reader = ArchiveReader::new(bytes.len() as u64, 0);
    while let Some(range) = reader.wants() {
        reader.feed(&bytes[range.start as usize..range.end as usize]).unwrap();
    }
    reader.finish()
}

/// Names, types, and whether the bytes are those of `data`, for each region.
fn found(bytes: &[u8], data: &[u8]) -> Vec<(String, String)> {
    let Some(layout) = members(bytes) else { return Vec::new() };
    assert_eq!((layout.kind, layout.file_length, layout.header_length), (Kind::Places, bytes.len() as u64, 0));
    let row = |region: &Region| {
        let range = region.range().start as usize..region.range().end as usize;
        assert!(bytes[range.clone()] == data[..range.len()], "{}", region.name);
        (region.name.clone(), region.type_name())
    };
    layout.regions.iter().map(row).collect()
}

fn row(name: &str, kind: &str) -> (String, String) {
    (name.into(), kind.into())
}

/// Bytes that no dtype is guessed for.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A `.npy` file of the array with that description.
fn npy(description: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': {description}, 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let text = format!("{text:<117}\n");
    [b"\x93NUMPY\x01\0", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), data].concat()
}

#[test]
fn stored_members_are_regions() {
    let data = noise(40_000);
    let zip = || {
        Zip::default()
            .add("top/a", &data[..300])
            .add_as("top/compressed", DEFLATED, &data[..300])
            .add_as("top/folder/b", archive::STORED, &data)
            .add("top/small", &data[..255])
            .add("top/a", &data[..400])
            .add("top/empty", b"")
            .add("top/c", &data[..256])
    };
    let want = [row("a", "U8[300]"), row("folder/b", "U8[40000]"), row("c", "U8[256]")];
    assert_eq!(found(&zip().finish(b""), &data), want);
    assert_eq!(found(&zip().finish(&[7; 65_535]), &data), want);
    assert_eq!(found(&zip().finish(b"PK\x05\x06 is not the end of this \0\0\0\0\0\0\0\0\0\0"), &data), want);
    assert_eq!(found(&zip().finish_64(), &data), want);
    assert_eq!(found(&[vec![b'x'; 999], zip().finish(b"")].concat(), &data), want, "behind something else");
    let other = zip().add("other/a", &data[..300]).finish(b"");
    assert_eq!(found(&other, &data)[0], row("top/a", "U8[300]"), "no folder holds all members");
    let encrypted = {
        let mut zip = zip();
        zip.directory[8] |= 1;
        zip.finish(b"")
    };
    assert_eq!(found(&encrypted, &data), [row("folder/b", "U8[40000]"), row("a", "U8[400]"), row("c", "U8[256]")]);
}

#[test]
fn arrays_have_the_type_of_their_header() {
    let data = noise(1000);
    let array = |description: &str, fortran: &str, shape: &str| npy(description, fortran, shape, &data);
    let zip = Zip::default()
        .add_as("rows.npy", archive::STORED, &array("'<f4'", "False", "(2, 125)"))
        .add_as("columns.npy", archive::STORED, &array("'<i2'", "True", "(2, 250)"))
        .add_as("halves.npy", archive::STORED, &array("'|V2'", "False", "(500,)"))
        .finish(b"");
    assert_eq!(
        found(&zip, &data),
        [row("rows", "F32[2, 125]"), row("columns", "I16[250, 2]"), row("halves", "BF16[500]")]
    );
    for (description, shape) in
        [("'>f4'", "(250,)"), ("'<f4'", "(251,)"), ("'<f4'", "(249,)"), ("[('a', '<f4')]", "(250,)")]
    {
        let array = array(description, "False", shape);
        let zip = Zip::default().add_as("w.npy", archive::STORED, &array).finish(b"");
        assert_eq!(found(&zip, &array), [row("w.npy", &format!("U8[{}]", array.len()))]);
    }
}

#[test]
fn a_member_without_a_type_has_the_one_that_it_seems_to_have() {
    let data: Vec<u8> = (0..300u16).flat_map(|i| (0x3C00 | i.wrapping_mul(40_503) >> 7).to_le_bytes()).collect();
    let zip = |length: usize| Zip::default().add("data/0", &data[..length]).finish(b"");
    assert_eq!(found(&zip(600), &data), [row("0", "BF16[300]")]);
    assert_eq!(found(&zip(599), &data), [row("0", "U8[599]")]);
}

/// PyTorch can align data to any number of bytes, with padding in the local header.
#[test]
fn a_long_local_header_hides_nothing_but_the_first_bytes() {
    let data = noise(300);
    let mut bytes = Zip::default();
    let path = "x".repeat(60_000);
    for _ in 0..2 {
        bytes = bytes.add(&path, &data);
    }
    let zip = bytes.add("a", &data).finish(b"");
    assert_eq!(found(&zip, &data), [row(&path, "U8[300]"), row("a", "U8[300]")]);
}

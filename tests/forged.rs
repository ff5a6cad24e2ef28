//! BITXv002 archives that nobody's writer made, and inputs that lead writers astray.

mod common;

use bitx::{ErrorKind, Format};
use common::forge::{self, Record, varint};
use common::{compress, model, restore};

/// An archive of a head's content and at most one record.
fn forge(head: &[u8], record: Option<(u8, &[u8])>) -> Vec<u8> {
    let records: Vec<_> = record.iter().map(|(method, payload)| Record::new(*method, payload)).collect();
    forge::archive(head, &records)
}

fn refused(base: &[u8], archive: &[u8]) -> ErrorKind {
    restore(base, archive).unwrap_err().kind()
}

/// A few hundred bytes must not become gigabytes of items.
#[test]
fn bombs_of_items_are_refused() {
    let empty_spans = [&[0, 0][..], &varint(200_000), &vec![0; 400_000]].concat();
    assert_eq!(refused(&[], &forge(&empty_spans, None)), ErrorKind::Corrupt);
    let region = [1, 0, 4, 1, 0];
    let empty_regions = [&[0, 0][..], &varint(2_000_000), &region.repeat(2_000_000)].concat();
    assert_eq!(refused(&[], &forge(&empty_regions, None)), ErrorKind::Limit);
    // A region of 5,000 chunks, and a thousand that equal it.
    let large = [&[1, 0, 5, 1][..], &varint(5000 << 20)].concat();
    let equal = [&[3, 0, 5, 1][..], &varint(5000 << 20), &[0]].concat();
    let equals = [&[0, 0][..], &varint(1001), &large, &equal.repeat(1000)].concat();
    assert_eq!(refused(&[], &forge(&equals, None)), ErrorKind::Limit);
}

/// The shape of a region is looked at once, however many items equal it, and has few extents.
#[test]
fn extents_and_equal_items_cost_no_time() {
    let shape = |rank: usize| [varint(rank as u64), vec![1; rank]].concat();
    let region = |rank: usize| [&[1, 0, 4][..], &shape(rank)].concat();
    let heads = |rank: usize, count: usize| {
        let equal = [&[3, 0, 4][..], &shape(rank), &[0]].concat();
        [&[0, 0][..], &varint(1 + count as u64), &region(rank), &equal.repeat(count)].concat()
    };
    assert_eq!(refused(&[], &forge(&heads(65, 0), None)), ErrorKind::Limit);
    assert_eq!(refused(&[], &forge(&[&[0, 0, 1, 1, 0, 4][..], &varint(1 << 28)].concat(), None)), ErrorKind::Limit);
    // The head is in order: the archive only lacks the record of the first item.
    assert_eq!(refused(&[], &forge(&heads(64, 2_000), None)), ErrorKind::Truncated);
    // More of them would take much more memory than the archive has bytes.
    assert_eq!(refused(&[], &forge(&heads(64, 50_000), None)), ErrorKind::Limit);
}

/// The header of a model may be long and all blanks: the head would be too large for what stores
/// it.
#[test]
fn headers_of_blanks_are_kept() {
    let json = format!(r#"{{"w":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}{}}}"#, " ".repeat(20 << 20));
    let target = common::with_header(&json, b"data");
    let archive = compress(&model(&[]), &target, Format::default()).unwrap();
    assert!(archive.len() < 100_000);
    assert!(restore(&model(&[]), &archive).unwrap() == target);
}

/// A model may have a tensor of more extents than regions have: it is kept as bytes.
#[test]
fn tensors_of_many_extents_are_bytes() {
    let (base, target) = ([7; 6], [7, 7, 7, 7, 7, 8]);
    let shape: Vec<u64> = [vec![1; 70], vec![3]].concat();
    let (base, target) = (model(&[("w", "BF16", &shape, &base)]), model(&[("w", "BF16", &shape, &target)]));
    for format in [Format::V1 { level: 3 }, Format::default()] {
        let archive = compress(&base, &target, format).unwrap();
        assert!(restore(&base, &archive).unwrap() == target, "{format:?}");
    }
    let archive = compress(&base, &target, Format::default()).unwrap();
    assert_eq!(common::inspect(&archive).unwrap().tensors[0].shape, [6]);
}

/// A symbol for differences of 2^63 and more, in a tensor of bytes.
#[test]
fn symbols_beyond_the_width_of_words_are_refused() {
    let head = [&[0, 1, 0, 1, 1, 2, 1, b'w', 4, 1][..], &varint(1000), &[0, 0]].concat();
    // One table, in which the last of 175 symbols is certain.
    let payload = [&[0][..], &forge::certain(174), &[0; 32]].concat();
    let base = model(&[("w", "U8", &[1000], &[1; 1000])]);
    let error = restore(&base, &forge(&head, Some((3, &payload)))).unwrap_err();
    assert!(error.kind() == ErrorKind::BaseMismatch || error.to_string().contains("symbols"), "{error}");
}

/// Features that later versions may add are refused by name, and not taken for something else.
#[test]
fn unknown_features_and_kinds_of_base_files_are_unsupported() {
    for head in [&[2, 0, 0][..], &[0, 1, 0, 4, 0]] {
        assert_eq!(refused(&[], &forge(head, None)), ErrorKind::Unsupported);
    }
}

#[test]
fn names_appear_once() {
    let head = [&[0, 0, 2][..], &[1, 1, b'w', 4, 1, 0].repeat(2)].concat();
    assert_eq!(refused(&[], &forge(&head, None)), ErrorKind::Corrupt);
}

/// No payload is longer than its chunk: a forged one must not be read, let alone decoded.
#[test]
fn payloads_longer_than_their_chunk_are_refused() {
    let head = [0, 0, 1, 1, 1, b'w', 4, 1, 4];
    let error = restore(&[], &forge(&head, Some((1, &[0; 5])))).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("longer than its chunk"), "{error}");
}

/// Listings go by the index, decoding by the records: they must not tell different stories.
#[test]
fn records_have_the_method_that_the_index_says() {
    let head = [0, 0, 1, 1, 1, b'w', 4, 1, 4];
    let record = Record { indexed: vec![1, 4], ..Record::new(0, &[1, 2, 3, 4]) };
    let error = restore(&[], &forge::archive(&head, &[record])).unwrap_err();
    assert!(error.to_string().contains("method is not the one in the index"), "{error}");
}

/// The archive says how its base is to be read, whatever the base looks like.
#[test]
fn bases_are_read_as_the_archive_says() {
    let base = model(&[("w", "U8", &[4], &[1, 2, 3, 4])]);
    let archive = compress(&base, &base, Format::default()).unwrap();
    assert_eq!(refused(b"GGUF, or so it says: no safetensors", &archive), ErrorKind::Format);
    let text = b"no model at all".to_vec();
    let archive = compress(&text, &text, Format::default()).unwrap();
    assert_eq!(refused(&base, &archive), ErrorKind::BaseMismatch);
}

/// The partner is the base's whole file, which has no name.
#[test]
fn tensors_pair_with_files_of_no_known_kind() {
    let bytes: Vec<u8> = (0..4000u32).map(|i| (i * i >> 5) as u8).collect();
    let target = model(&[("w", "U8", &[4000], &bytes)]);
    let archive = compress(&bytes, &target, Format::default()).unwrap();
    assert!(archive.len() < 500);
    assert!(restore(&bytes, &archive).unwrap() == target);
}

/// A GGUF file of `F32` tensors of 8 elements.
fn gguf(names: impl Iterator<Item = String>) -> Vec<u8> {
    let names: Vec<String> = names.collect();
    let counts = [names.len() as u64, 0].map(u64::to_le_bytes).concat();
    let mut file = [&b"GGUF"[..], &3u32.to_le_bytes(), &counts].concat();
    for (i, name) in names.iter().enumerate() {
        file.extend([&(name.len() as u64).to_le_bytes(), name.as_bytes(), &1u32.to_le_bytes()].concat());
        file.extend([&8u64.to_le_bytes()[..], &0u32.to_le_bytes(), &(i as u64 * 32).to_le_bytes()].concat());
    }
    file.resize(file.len().next_multiple_of(32) + names.len() * 32, 7);
    file
}

/// The number of tensors begins with `{` where safetensors would begin its JSON.
#[test]
fn gguf_with_123_tensors_is_gguf() {
    let file = gguf((0..123).map(|i| format!("t{i}")));
    let archive = compress(&file, &file, Format::default()).unwrap();
    assert!(restore(&file, &archive).unwrap() == file);
}

#[test]
fn gguf_with_a_name_twice_is_kept_as_bytes() {
    let file = gguf((0..3).map(|i| format!("t{}", i % 2)));
    let archive = compress(&file, &file, Format::default()).unwrap();
    assert!(restore(&file, &archive).unwrap() == file);
    assert_eq!(common::inspect(&archive).unwrap().tensors.iter().filter(|t| !t.name.is_empty()).count(), 0);
}

/// A head with one base file of bytes, and an item of kind 4: twelve words of BF16 with this view.
fn viewed(view: &[u8]) -> Vec<u8> {
    [&[0, 1, 24, 0, 1][..], &[4, 1, b'w', 14, 1, 12], view].concat()
}

/// An origin in the base file, called `name`.
fn origin(name: &[u8], dtype: u8) -> Vec<u8> {
    [&[0, name.len() as u8 + 1][..], name, &[dtype]].concat()
}

#[test]
fn views_stay_within_their_tensors() {
    let refused = |origins: &[Vec<u8>], runs: &[&[u8]]| {
        let view = [&[origins.len() as u8], &origins.concat()[..], &[runs.len() as u8], &runs.concat()].concat();
        refused(&[0; 24], &forge(&viewed(&view), Some((2, &[]))))
    };
    let bytes = || vec![origin(b"", 4)];
    let words = |name: &[u8]| vec![origin(name, 14)];
    // Too short, too long, a run of nothing, an origin that is not there.
    assert_eq!(refused(&words(b"x"), &[&[11, 0]]), ErrorKind::Corrupt);
    assert_eq!(refused(&words(b"x"), &[&[11, 0], &[2, 0]]), ErrorKind::Corrupt);
    assert_eq!(refused(&words(b"x"), &[&[0, 0], &[12, 0]]), ErrorKind::Corrupt);
    assert_eq!(refused(&words(b"x"), &[&[12, 2, 0]]), ErrorKind::Corrupt);
    // A start before the region, and an end that overflows.
    assert_eq!(refused(&words(b"x"), &[&[12, 1, 1]]), ErrorKind::Corrupt);
    let huge = [&[12, 1][..], &varint(u64::MAX - 1)].concat();
    assert_eq!(refused(&words(b"x"), &[&huge]), ErrorKind::Corrupt);
    let far = [&[12, 1][..], &varint(1 << 62)].concat();
    assert_eq!(refused(&words(b"x"), &[&far]), ErrorKind::BaseMismatch);
    // Bytes are not cast to floats, and there is no dtype 99.
    assert_eq!(refused(&bytes(), &[&[12, 1, 0]]), ErrorKind::Corrupt);
    assert_eq!(refused(&[origin(b"", 99)], &[&[12, 1, 0]]), ErrorKind::Unsupported);
    assert_eq!(refused(&words(b"x"), &[&[12, 1, 0]]), ErrorKind::BaseMismatch);
}

#[test]
fn views_have_a_limited_number_of_runs() {
    let runs = [&varint(1 + (1 << 18))[..], &[1, 0].repeat(1 + (1 << 18))].concat();
    assert_eq!(refused(&[0; 24], &forge(&viewed(&[&[0][..], &runs].concat()), None)), ErrorKind::Limit);
    let origins = [&varint(1 + (1 << 18))[..], &origin(b"", 14).repeat(1 + (1 << 18)), &[1, 12, 0]].concat();
    assert_eq!(refused(&[0; 24], &forge(&viewed(&origins), None)), ErrorKind::Limit);
}

#[test]
fn a_chunk_without_base_words_is_coded_alone() {
    let view = [&[1][..], &origin(b"", 4), &[1, 12, 0]].concat();
    let head = [&[0, 1, 24, 0, 1][..], &[4, 1, b'w', 4, 1, 12], &view].concat();
    assert_eq!(refused(&[0; 24], &forge(&head, Some((2, &[])))), ErrorKind::Corrupt);
}

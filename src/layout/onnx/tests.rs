#[path = "../../../tests/common/protobuf.rs"]
mod protobuf;
mod weights;

use protobuf::field;

use super::*;
use crate::error::ErrorKind;
use crate::layout::Dtype;

fn tensor(name: &str, kind: u8, dims: &[u8], raw: &[u8]) -> Vec<u8> {
    let dims = dims.iter().flat_map(|&dim| [0x08, dim]);
    [dims.collect(), vec![0x10, kind], field(8, name.as_bytes()), field(9, raw)].concat()
}

fn model(tensors: &[Vec<u8>]) -> Vec<u8> {
    let graph = [vec![field(1, &[0x0A, 1, b'x'])], tensors.iter().map(|tensor| field(5, tensor)).collect()].concat();
    [vec![0x08, 9], field(2, b"pytorch"), field(7, &graph.concat())].concat()
}

fn walk(bytes: &[u8], step: usize) -> Option<Layout> {
    let mut walker = Walker::of_model(bytes.len() as u64);
    while let Some(wanted) = walker.wants() {
        // Simulates short reads: a field that does not fit is wanted again.
        let end = (wanted.start as usize + step).min(wanted.end as usize);
        walker.feed(&bytes[wanted.start as usize..end]).unwrap();
    }
    walker.finish()
}

#[test]
fn initializers_are_regions_and_the_rest_is_skipped() {
    let big = vec![7; 40_000];
    let tensors = [
        tensor("w", 16, &[2, 3], &[1; 12]),
        tensor("packed", 22, &[5], &[2; 3]),
        tensor("big", 2, &[], &big),
        tensor("w", 16, &[1], &[3; 2]),
    ];
    let bytes = model(&tensors);
    let layout = walk(&bytes, STEP as usize).unwrap();
    let found: Vec<_> = layout.regions.iter().map(|r| (r.name.as_str(), r.dtype, r.shape.clone(), r.length)).collect();
    let want = [
        ("w", Dtype::BF16, vec![2, 3], 12),
        ("packed", Dtype::U8, vec![3], 3),
        ("big", Dtype::U8, vec![40_000], 40_000),
    ];
    assert_eq!(found, want);
    let w = layout.regions[0].range();
    assert_eq!(bytes[w.start as usize..w.end as usize], [1; 12]);
    assert_eq!(layout.kind, Kind::Places);
}

#[test]
fn a_file_that_does_not_parse_is_not_an_error() {
    let bytes = model(&[tensor("w", 1, &[2], &[0; 8])]);
    for end in 0..bytes.len() {
        assert!(walk(&bytes[..end], STEP as usize).is_none(), "{end}");
    }
    for i in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[i] ^= 1 << bit;
            if let Some(layout) = walk(&flipped, STEP as usize) {
                assert!(layout.regions.iter().all(|r| r.offset + r.length <= layout.file_length));
            }
        }
    }
    assert!(may_begin(&bytes) && !may_begin(b"GGUF") && !may_begin(b"\x08"));
}

/// Builds an F32 tensor with the given entries of `external_data`.
fn external(name: &str, dims: &[u8], entries: &[(&str, &str)]) -> Vec<u8> {
    let dims = dims.iter().flat_map(|&dim| [0x08, dim]).collect();
    let entry =
        |(key, value): &(&str, &str)| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let entries: Vec<u8> = entries.iter().flat_map(entry).collect();
    [dims, vec![0x10, 1], field(8, name.as_bytes()), entries, vec![0x70, 1]].concat()
}

fn at(name: &str, dims: &[u8], location: &str, offset: &str, length: &str) -> Vec<u8> {
    external(name, dims, &[("location", location), ("offset", offset), ("length", length), ("checksum", "ab")])
}

fn graph(bytes: &[u8]) -> Graph {
    let mut walker = Walker::of_graph(bytes.len() as u64);
    while let Some(wanted) = walker.wants() {
        walker.feed(&bytes[wanted.start as usize..wanted.end as usize]).unwrap();
    }
    walker.graph()
}

#[test]
fn a_graph_gives_the_layout_of_its_external_data() {
    let bytes = model(&[
        at("second", &[2, 2], "w.data", "20", "16"),
        external("first", &[3], &[("location", "w.data")]),
        at("tied", &[2, 2], "w.data", "20", "16"),
        at("", &[1], "w.data", "40", "4"),
        at("elsewhere", &[1], "other.data", "0", "4"),
        at("empty", &[0], "w.data", "7", "0"),
        at("first", &[1], "w.data", "44", "4"),
        tensor("inside", 1, &[1], &[0; 4]),
    ]);
    let layout = graph(&bytes).layout("w.data", 50).unwrap();
    let found: Vec<_> = layout.regions.iter().map(|r| (r.name.as_str(), r.dtype, r.shape.clone(), r.range())).collect();
    assert_eq!(
        found,
        [("first", Dtype::F32, vec![3], 0..12), ("second", Dtype::F32, vec![2, 2], 20..36)],
        "each name and each range is taken once"
    );
    assert_eq!((layout.kind, layout.file_length), (Kind::Places, 50));
    let holes = layout.holes();
    assert!(holes.len() == 1 && holes[0] == (12..20), "{holes:?}");
}

#[test]
fn packed_types_are_bytes_of_their_stated_length() {
    let packed = |entries: &[(&str, &str)]| {
        let mut tensor = external("w", &[5], entries);
        tensor[3] = 22;
        graph(&model(&[tensor])).layout("w", 10).unwrap().regions.remove(0)
    };
    let region = packed(&[("location", "w"), ("offset", "4"), ("length", "3")]);
    assert_eq!((region.dtype, &region.shape[..], region.range()), (Dtype::U8, &[3][..], 4..7));
    assert_eq!(packed(&[("location", "w"), ("offset", "4")]).range(), 4..10);
}

#[test]
fn external_data_is_found_by_file_name_or_as_the_only_location() {
    let one = graph(&model(&[at("a", &[1], "./sub/w.data", "0", "4")]));
    assert_eq!((one.named("w.data"), one.named("w"), one.only()), (Some("./sub/w.data"), None, Some("./sub/w.data")));
    let shards = [("a", "w_0"), ("b", "w_1")].map(|(name, file)| at(name, &[1], file, "0", "4"));
    let two = graph(&model(&[&shards[..], &[at("c", &[1], "w_1", "8", "4")]].concat()));
    assert_eq!((two.named("w_1"), two.only()), (Some("w_1"), None));
    assert!(graph(&model(&[tensor("w", 1, &[1], &[0; 4])])).is_empty() && graph(b"").is_empty());
}

#[test]
fn data_at_an_impossible_place_is_refused() {
    let first = at("first", &[2], "w", "8", "8");
    let cases = [
        (at("w", &[2], "w", "12", "8"), "overlaps that of another tensor"),
        (at("w", &[2], "w", "4", "8"), "overlaps that of another tensor"),
        (at("w", &[3], "w", "8", "12"), "overlaps that of another tensor"),
        (at("w", &[2], "w", "96", "8"), "lies beyond the end"),
        (at("w", &[2], "w", "18446744073709551615", "8"), "lies beyond the end"),
        (at("w", &[2], "w", "16", "7"), "does not have the length of its type"),
        (at("w", &[2], "w", "16", "18446744073709551615"), "does not have the length of its type"),
        (at("w", &[2], "w", "-16", "8"), "lies beyond the end"),
        (at("w", &[2], "w", "16", "18446744073709551616"), "does not have the length of its type"),
        (at("w", &[127; 40], "w", "16", "8"), "does not have the length of its type"),
    ];
    for (tensor, message) in cases {
        let error = graph(&model(&[first.clone(), tensor])).layout("w", 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(message) && error.tensor_name().is_some(), "{error}");
    }
}

#[test]
fn a_damaged_graph_is_refused_or_stays_within_the_file() {
    let bytes = model(&[at("a", &[2, 3], "w", "8", "24"), at("b", &[4], "w", "32", "16")]);
    let check = |bytes: &[u8]| {
        let graph = graph(bytes);
        let location = graph.named("w").or(graph.only()).unwrap_or("w");
        let Ok(layout) = graph.layout(location, 48) else { return };
        let ends = layout.regions.iter().map(|r| r.range().end);
        let starts = layout.regions.iter().map(|r| r.offset).skip(1);
        assert!(ends.clone().zip(starts).all(|(end, start)| end <= start) && ends.clone().all(|end| end <= 48));
        assert!(layout.regions.iter().all(|r| r.dtype.tensor_bytes(&r.shape) == Some(r.length)));
    };
    (0..bytes.len()).for_each(|end| check(&bytes[..end]));
    for i in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[i / 8] ^= 1 << (i % 8);
        check(&flipped);
    }
    assert!(graph(&bytes[..bytes.len() - 1]).is_empty() && !graph(&bytes).is_empty());
}

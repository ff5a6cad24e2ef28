use super::*;
use crate::layout::Dtype;

fn text(text: &str) -> Vec<u8> {
    [&[0xd9, text.len() as u8], text.as_bytes()].concat()
}

fn array(shape: &[u16], dtype: &str, data: &[u8]) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|extent| [&[0xcd][..], &extent.to_be_bytes()].concat()).collect();
    let bytes = [&[0xc6][..], &(data.len() as u32).to_be_bytes(), data].concat();
    let content = [&[0x93, 0x90 + shape.len() as u8 / 3][..], &shape, &text(dtype), &bytes].concat();
    [&[0xc9][..], &(content.len() as u32).to_be_bytes(), &[1], &content].concat()
}

/// The keys and values of a map.
fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    pairs.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect()
}

/// A map of so many pairs.
fn of(count: u8, pairs: Vec<u8>) -> Vec<u8> {
    [vec![0xde, 0, count], pairs].concat()
}

/// A file of two kernels, a short array, a list of two and other items.
fn file() -> Vec<u8> {
    let dense = map(&[("kernel", array(&[20, 8], "float32", &[1; 640])), ("bias", array(&[8], "float32", &[2; 32]))]);
    let list = [vec![0x92], array(&[300], "int8", &[3; 300]), array(&[150], "bfloat16", &[4; 300])].concat();
    let inner = map(&[("dense", of(2, dense)), ("list", list), ("step", vec![0xce, 0, 0, 1, 0])]);
    let other = [vec![0xc0, 0xcb], vec![0; 8], vec![0xd6, 1, 9, 9, 9, 9], vec![0xc4, 2, 7, 7]].concat();
    let other = [vec![0x94], other].concat();
    of(3, map(&[("params", of(3, inner)), ("other", other), ("big", array(&[200, 100], "float16", &[5; 40_000]))]))
}

fn walk(bytes: &[u8]) -> Option<Layout> {
    let mut walker = Walker::new(bytes.len() as u64);
    let mut reads = 0;
    while let Some(wanted) = walker.wants() {
        walker.feed(&bytes[wanted.start as usize..wanted.end as usize]).unwrap();
        reads += 1;
        assert!(reads <= 2 + bytes.len() / 1000);
    }
    walker.finish()
}

#[test]
fn arrays_are_regions_with_the_keys_that_lead_to_them() {
    let bytes = file();
    assert!(may_begin(&bytes));
    let layout = walk(&bytes).unwrap();
    let found: Vec<_> = layout.regions.iter().map(|r| (r.name.as_str(), r.dtype, r.shape.clone())).collect();
    let want = [
        ("params.dense.kernel", Dtype::F32, vec![20, 8]),
        ("params.list.0", Dtype::I8, vec![300]),
        ("params.list.1", Dtype::BF16, vec![150]),
        ("big", Dtype::F16, vec![200, 100]),
    ];
    assert_eq!(found, want);
    for (region, byte) in layout.regions.iter().zip([1, 3, 4, 5]) {
        let data = &bytes[region.offset as usize..(region.offset + region.length) as usize];
        assert!(data.iter().all(|&other| other == byte) && layout.kind == Kind::Places);
    }
}

#[test]
fn a_file_that_does_not_parse_is_not_an_error() {
    let bytes = file();
    for end in 0..bytes.len() {
        assert!(walk(&bytes[..end]).is_none(), "{end}");
    }
    assert!(walk(&[&bytes[..], &[0]].concat()).is_none());
    for i in (0..bytes.len() - 40_000).chain([bytes.len() - 1]) {
        for byte in [0, 0xc1, 0xdf, 0xff, bytes[i] ^ 1] {
            let mut bytes = bytes.clone();
            bytes[i] = byte;
            if let Some(layout) = walk(&bytes) {
                let mut end = 0;
                for region in layout.regions {
                    assert!(region.offset >= end, "byte {i} is {byte}");
                    end = region.offset + region.length;
                }
                assert!(end <= bytes.len() as u64);
            }
        }
    }
}

#[test]
fn claims_and_depth_are_limited() {
    let huge = of(1, map(&[("a", vec![0xdd, 0xff, 0xff, 0xff, 0xff])]));
    let deep = |depth: usize| of(1, [text("a"), vec![0x91; depth], array(&[300], "int8", &[3; 300])].concat());
    assert!(walk(&huge).is_none() && walk(&deep(62)).is_some() && walk(&deep(70)).is_none());
    let numbers = of(1, map(&[("a", [vec![0xdd, 0, 2, 0, 0], vec![0; 1 << 17]].concat())]));
    assert!(walk(&numbers).is_none());
    let key = of(1, [vec![0xda, 3, 0], vec![b'k'; 768], array(&[300], "int8", &[3; 300])].concat());
    assert!(walk(&key).is_none());
}

#[test]
fn other_arrays_are_bytes() {
    let wrong = [
        array(&[299], "int8", &[3; 300]),
        array(&[300], "complex64", &[3; 300]),
        array(&[0xffff; 4], "int8", &[3; 300]),
        array(&[2], "int8", &[3; 2]),
    ];
    for array in wrong {
        assert!(walk(&of(1, map(&[("a", array)]))).is_none());
    }
}

use super::*;
use crate::layout::test_zip::{dict, pickle, storage, tensor, text, view};

/// A file of an object, and of storages of these keys and lengths of 4-byte elements.
fn file(object: &[u8], storages: &[(&str, usize)]) -> Vec<u8> {
    let keys: Vec<u8> = storages.iter().flat_map(|(key, _)| text(key)).collect();
    let keys = [b"](", &keys[..], b"e"].concat();
    let mut bytes = [MAGIC, b"\x80\x02M\xe9\x03.", &pickle(&dict(&[("little_endian", b"\x88".to_vec())]))].concat();
    bytes.extend([pickle(object), pickle(&keys)].concat());
    for (key, length) in storages {
        bytes.extend((*length as u64 / 4).to_le_bytes());
        bytes.extend(key.bytes().cycle().take(*length));
    }
    bytes
}

fn read(bytes: &[u8]) -> Option<Layout> {
    let mut reader = StreamReader::new(bytes.len() as u64);
    while let Some(range) = reader.wants() {
        reader.feed(&bytes[range.start as usize..range.end as usize]).unwrap();
    }
    reader.finish()
}

fn model() -> Vec<u8> {
    let part = view(&storage("FloatStorage", "11", 70), 5, &[60], &[1], &[]);
    let state = [
        ("second", tensor("FloatStorage", "7", &[4, 32])),
        ("first", tensor("FloatStorage", "3", &[2, 40])),
        ("small", tensor("FloatStorage", "9", &[2])),
        ("part", part),
    ];
    file(&dict(&state), &[("11", 280), ("3", 320), ("7", 512), ("9", 8)])
}

#[test]
fn storages_follow_the_pickles() {
    let bytes = model();
    assert!(may_begin(&bytes));
    let layout = read(&bytes).unwrap();
    let found: Vec<_> = layout.regions.iter().map(|region| (region.name.as_str(), region.type_name())).collect();
    let want = [("part", "F32[70]"), ("first", "F32[2, 40]"), ("second", "F32[4, 32]")];
    assert_eq!(found, want.map(|(name, kind)| (name, kind.to_owned())));
    for (region, key) in layout.regions.iter().zip(["11", "3", "7"]) {
        let range = region.range().start as usize..region.range().end as usize;
        assert!(bytes[range].iter().eq(key.bytes().cycle().take(region.length as usize).collect::<Vec<_>>().iter()));
    }
    assert_eq!((layout.kind, layout.file_length), (Kind::Places, bytes.len() as u64));
}

/// In Python 2, a dictionary with an order is made of a list of pairs.
#[test]
fn pairs_in_a_list_are_named() {
    let pair = [b"](", &text("w")[..], &tensor("FloatStorage", "0", &[64]), b"e"].concat();
    let state = [b"ccollections\nOrderedDict\n(](", &pair[..], b"etR"].concat();
    assert_eq!(read(&file(&state, &[("0", 256)])).unwrap().regions[0].name, "w");
}

#[test]
fn long_pickles_take_several_reads() {
    let names: Vec<String> = (0..3000).map(|i| format!("layers.{i}.weight")).collect();
    let tensors: Vec<_> = names.iter().map(|name| (name.as_str(), tensor("FloatStorage", name, &[64]))).collect();
    let storages: Vec<_> = names.iter().map(|name| (name.as_str(), 256)).collect();
    let layout = read(&file(&dict(&tensors), &storages)).unwrap();
    assert!(layout.regions.len() == 3000 && layout.regions[2999].name == "layers.2999.weight");
}

#[test]
fn a_file_that_is_not_whole_is_a_file_of_bytes() {
    let state = |class: &str| dict(&[("w", tensor(class, "0", &[64]))]);
    let whole = |class: &str, keys: &[(&str, usize)]| read(&file(&state(class), keys)).is_some();
    assert!(whole("FloatStorage", &[("0", 256)]) && whole("DoubleStorage", &[("0", 512)]));
    assert!(!whole("FloatStorage", &[("0", 260)]) && !whole("NewStorage", &[("0", 256)]));
    assert!(!whole("FloatStorage", &[("0", 256), ("1", 256)]) && !whole("FloatStorage", &[]));
    let unknown = [&state("FloatStorage")[..], b"\xFF"].concat();
    assert_eq!(read(&file(&unknown, &[("0", 256)])), None);
}

#[test]
fn damage_leaves_regions_inside_the_file() {
    let bytes = model();
    (0..bytes.len()).for_each(|end| assert_eq!(read(&bytes[..end]), None));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut end = 0;
        for region in read(&flipped).unwrap_or_default().regions {
            assert!(region.offset >= end && region.dtype.tensor_bytes(&region.shape) == Some(region.length));
            end = region.range().end;
        }
        assert!(end <= bytes.len() as u64);
    }
}

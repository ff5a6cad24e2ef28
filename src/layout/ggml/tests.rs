use super::*;
use crate::layout::{layout_of, names_and_types};

/// A tensor of F32 (0), F16 (1) or Q5_0 (6).
fn tensor(name: &str, kind: u32, extents: &[u32], bytes: usize) -> Vec<u8> {
    let numbers = [extents.len() as u32, name.len() as u32, kind];
    let numbers = numbers.iter().chain(extents).flat_map(|number| number.to_le_bytes());
    numbers.chain(name.bytes()).chain(vec![0x2D; bytes]).collect()
}

/// Hyperparameters and tokens, one of which begins like a tensor.
fn header() -> Vec<u8> {
    let numbers = (0..11u32).chain([80, 201]).flat_map(|number| (number * 77).to_le_bytes());
    let tokens = (0..9000u32).flat_map(|i| [&5u32.to_le_bytes()[..], format!("t{i:04}").as_bytes()].concat());
    [MAGICS[0].to_vec(), numbers.collect(), tensor("no", 0, &[2], 7), tokens.collect()].concat()
}

fn file() -> Vec<u8> {
    let tensors = [
        tensor("encoder.conv1.weight", 1, &[3, 80, 4], 2 * 3 * 80 * 4),
        tensor("encoder.conv1.bias", 0, &[4, 1], 16),
        tensor("encoder.blocks.0.mlp.0.weight", 6, &[64, 300], 300 * 2 * 22),
    ];
    [header(), tensors.concat()].concat()
}

#[test]
fn tensors_behind_a_header_of_unknown_length_are_regions() {
    let expected = [("encoder.conv1.weight", "F16[4, 80, 3]"), ("encoder.blocks.0.mlp.0.weight", "Q5_0[300, 64]")];
    assert!(header().len() as u64 > 2 * STEP);
    assert_eq!(names_and_types(&file()), expected.map(owned));
    let file = file();
    assert_eq!(layout_of(&file).regions[1].range().end, file.len() as u64);
}

#[test]
fn files_whose_tensors_do_not_reach_to_their_end_have_no_tensors() {
    let (file, header) = (file(), header().len());
    let has_tensors = |bytes: &[u8]| names_and_types(bytes).iter().any(|(name, _)| name.starts_with("encoder"));
    assert!(has_tensors(&file));
    assert!(!has_tensors(&[&file[..], &[0]].concat()));
    for end in (0..header).step_by(997).chain(header..header + 70).chain([file.len() - 1]) {
        assert!(!has_tensors(&file[..end]), "{end} bytes");
    }
    // An extent of 0, a rank of 5, rows that are no whole blocks, a length beyond all files, names.
    let last = [
        tensor("encoder.x", 0, &[0, 4], 0),
        tensor("encoder.x", 0, &[1, 1, 1, 1, 1], 4),
        tensor("encoder.x", 6, &[33, 32], 33 * 22),
        tensor("encoder.x", 0, &[u32::MAX; 4], 16),
        tensor("encoder.\n", 0, &[1], 4),
        tensor("", 0, &[1], 4),
    ];
    last.iter().for_each(|last| assert!(!has_tensors(&[&file[..], last].concat())));
    // Of two tensors of one name, the second one is in the file.
    let twice = names_and_types(&[&file[..], &tensor("encoder.conv1.weight", 0, &[99], 396)].concat());
    assert_eq!(
        twice,
        [("encoder.blocks.0.mlp.0.weight", "Q5_0[300, 64]"), ("encoder.conv1.weight", "F32[99]")].map(owned)
    );
}

fn owned((name, kind): (&str, &str)) -> (String, String) {
    (name.to_owned(), kind.to_owned())
}

#[test]
fn places_that_only_begin_like_tensors_are_few() {
    let places = |count: usize| tensor("a", 0, &[1, 1], 5).repeat(count);
    let with = |count: usize| [MAGICS[1].to_vec(), places(count), file()[4..].to_vec()].concat();
    // One more is in the header.
    assert_eq!(names_and_types(&with(MAX_PLACES - 1)).len(), 2);
    assert!(names_and_types(&with(MAX_PLACES)).iter().all(|(name, _)| !name.starts_with("encoder")));
}

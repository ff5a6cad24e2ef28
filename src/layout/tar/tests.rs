use super::*;
use crate::layout::reader::{Accept, LayoutReader};
use crate::layout::test_tar::{header, tar};
use crate::layout::test_zip::Zip;
use crate::layout::{layout_of, names_and_types};

fn row(name: &str, kind: &str) -> (String, String) {
    (name.into(), kind.into())
}

/// A safetensors file of a matrix and a vector.
fn model() -> Vec<u8> {
    let json = br#"{"a":{"dtype":"F32","shape":[100,200],"data_offsets":[0,80000]},
"b":{"dtype":"BF16","shape":[500],"data_offsets":[80000,81000]}}"#;
    let length = (json.len() as u64).to_le_bytes();
    [&length[..], json, &vec![7; 81_000]].concat()
}

#[test]
fn members_are_regions_and_models_are_their_tensors() {
    let tensors = [row("a", "F32[100, 200]"), row("b", "BF16[500]")];
    let file = tar(&[("./config.json", &[b' '; 300]), ("small", b"{}"), ("m.safetensors", &model())]);
    assert_eq!(names_and_types(&file), [&[row("config.json", "U8[300]")], &tensors[..]].concat());
    // Folders and long names have headers of their own, and a name may be there twice.
    let headers = [header("folder/", b'5', 0), header("long", b'L', 0)].concat();
    let twice = tar(&[("x", &[1; 256]), ("x", &[2; 256])]);
    assert_eq!(names_and_types(&[headers, twice].concat()), [row("x", "U8[256]")]);
    // Two models have the same names.
    let twice = tar(&[("m", &model()), ("n", &model())]);
    let again = [row("n/a", "F32[100, 200]"), row("n/b", "BF16[500]")];
    assert_eq!(names_and_types(&twice), [tensors, again].concat());
}

#[test]
fn files_within_files_are_read_to_a_depth() {
    let zip = |file: &[u8]| Zip::default().add("z", file).finish(b"");
    let [one, two] = [tar(&[("m", &model())]), tar(&[("t", &zip(&model()))])];
    assert_eq!(
        (names_and_types(&one).len(), names_and_types(&two).len(), names_and_types(&zip(&one)).len()),
        (2, 2, 2)
    );
    let three = tar(&[("t", &two)]);
    assert_eq!(
        names_and_types(&three),
        [row("z", &format!("U8[{}]", model().len()))],
        "the innermost member stays one"
    );
    assert_eq!(names_and_types(&tar(&[("t", &three)])), [row("t/t", &format!("U8[{}]", zip(&model()).len()))]);
}

#[test]
fn many_small_members_take_few_reads() {
    let names: Vec<String> = (0..1000).map(|i| format!("{i}.json")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &[b' '; 300][..])).collect();
    let file = tar(&members);
    let mut reader = LayoutReader::new(file.len() as u64, Accept::Any);
    let mut reads = 0;
    while let Some(range) = reader.wants() {
        reader.feed(&file[range.start as usize..range.end as usize]).unwrap();
        reads += 1;
    }
    assert_eq!((reader.finish().0.regions.len(), reads), (1000, file.len().div_ceil(64 * 1024)));
}

#[test]
fn damage_leaves_regions_inside_the_file() {
    let file = tar(&[("a", &[3; 700]), ("m", &model())]);
    let headers = 0..1800;
    for end in headers.clone().chain([file.len() - 2000, file.len() - 1]) {
        layout_of(&file[..end]);
    }
    for bit in headers.start * 8..headers.end * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        layout_of(&flipped);
    }
}

#[test]
fn forged_lengths_end_the_members() {
    let forged = |field: [u8; 12]| {
        let mut file = tar(&[("a", &[3; 300]), ("b", &[4; 300])]);
        file[1024 + 124..1024 + 136].copy_from_slice(&field);
        names_and_types(&file)
    };
    let a = [row("a", "U8[300]")];
    let most = [0x80, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
    for field in [*b"77777777777\0", *b"00000000999\0", *b"-0000000001\0", *b"            ", most, [255; 12]] {
        assert_eq!(forged(field), a);
    }
    let binary = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(forged(binary), [row("a", "U8[300]"), row("b", "U8[256]")]);
    // The end of the first member is beyond all offsets.
    let mut file = tar(&[("a", &[3; 300])]);
    file[124..136].copy_from_slice(&[0x80, 0, 0, 0, 255, 255, 255, 255, 255, 255, 254, 0]);
    assert_eq!(names_and_types(&file), [row("", &format!("U8[{}]", file.len()))]);
}

use super::*;
use crate::error::ErrorKind;
use crate::layout::{Dtype, Kind, Layout, Region};

fn file(path: &str, bytes: u64) -> File {
    File { path: path.to_owned(), bytes, blake3: [7; 32] }
}

fn entry(path: &str, archive: &str, base: &[u32]) -> Entry {
    let archive = Archive { path: archive.to_owned(), bytes: 10, root: [9; 32] };
    Entry { file: file(path, 100), archive, base: base.to_vec() }
}

fn manifest() -> Manifest {
    let files = vec![entry("a/model.safetensors", "a/model.safetensors.bitx", &[1, 0]), entry("bitx.json", "b", &[])];
    Manifest { base: vec![file("one", 5), file("two", 6)], files }
}

fn kind_of(change: impl Fn(&mut Manifest)) -> ErrorKind {
    let mut wrong = manifest();
    change(&mut wrong);
    let json = serde_json::to_vec(&Document { format: FORMAT, version: 1, base: &wrong.base, files: &wrong.files });
    Manifest::parse(&json.unwrap()).unwrap_err().kind()
}

#[test]
fn what_is_written_is_read() {
    let json = manifest().write().unwrap();
    assert_eq!(Manifest::parse(&json).unwrap(), manifest());
    assert!(String::from_utf8(json).unwrap().starts_with("{\n  \"format\": \"bitx-folder\",\n  \"version\": 1,"));
    let manifest = manifest();
    let names: Vec<&str> = manifest.base_of(&manifest.files[0]).map(|file| file.path.as_str()).collect();
    assert_eq!((names, manifest.restored_bytes(), manifest.stored_bytes()), (vec!["two", "one"], 200, 20));
}

#[test]
fn other_files_are_no_manifests() {
    for text in ["", "<!doctype html>", "[]", "{}", "{\"format\": \"other\", \"version\": 1}", &"[".repeat(100_000)] {
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap_err().kind(), ErrorKind::Format, "{text:.40}");
    }
    let later = "{\"format\": \"bitx-folder\", \"version\": 2, \"more\": [1]}";
    assert_eq!(Manifest::parse(later.as_bytes()).unwrap_err().kind(), ErrorKind::Unsupported);
    let json = String::from_utf8(manifest().write().unwrap()).unwrap();
    for (from, to) in [
        ("\"base\"", "\"bases\""),
        ("\"bytes\": 5", "\"bytes\": -5"),
        ("\"bytes\": 5", "\"bytes\": 5, \"bytes\": 5"),
        ("\"bytes\": 5", "\"bytes\": 5, \"more\": 5"),
        ("\"bytes\": 5,", ""),
        ("0707", "07G7"),
        ("0707", "A7A7"),
        ("0909", "090"),
    ] {
        let wrong = json.replacen(from, to, 1);
        assert_eq!(Manifest::parse(wrong.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt, "{to}");
    }
    assert!(json.len() > 900, "each cut is tried");
    for end in 0..json.len() - 2 {
        Manifest::parse(&json.as_bytes()[..end]).unwrap_err();
    }
}

#[test]
fn paths_stay_in_their_folder() {
    for path in ["../x", "/etc/passwd", "a/../../x", "", "a//b", "C:/x", "a\\b", "a\0", ".", "a/", "a\nb"] {
        assert_eq!(kind_of(|m| m.files[0].file.path = path.into()), ErrorKind::Corrupt, "{path:?}");
        assert_eq!(kind_of(|m| m.files[0].archive.path = path.into()), ErrorKind::Corrupt, "{path:?}");
        assert_eq!(kind_of(|m| m.base[0].path = path.into()), ErrorKind::Corrupt, "{path:?}");
    }
    assert_eq!(kind_of(|m| m.files[0].file.path = "x".repeat(1025)), ErrorKind::Corrupt);
}

#[test]
fn paths_do_not_clash() {
    for path in ["bitx.json", "BITX.json", "bitx.json/x", "Bitx.JSON/x/y"] {
        assert_eq!(kind_of(|m| m.files[0].file.path = path.into()), ErrorKind::Corrupt, "{path}");
        // No archive is where the manifest is.
        assert_eq!(kind_of(|m| m.files[1].archive.path = path.into()), ErrorKind::Corrupt, "{path}");
    }
    assert_eq!(kind_of(|m| m.files[1].archive.path = "A".into()), ErrorKind::Corrupt);
    assert_eq!(kind_of(|m| m.base[1].path = "one".into()), ErrorKind::Corrupt);
    check_paths(["a", "a.b/c", "b/a", "b/c"]).unwrap();
    assert!(check_paths(["É", "é"]).is_err());
    // A file between the two in another order does not hide that one is in the other.
    assert!(check_paths(["A", "a-b", "a!", "a/b"]).is_err());
    assert!(check_paths(["İ/x/y", "a", "İ/x"]).is_err());
}

#[test]
fn numbers_and_counts_are_limited() {
    assert_eq!(kind_of(|m| m.files[0].base = vec![2]), ErrorKind::Corrupt);
    assert_eq!(kind_of(|m| m.files[0].base = vec![1, 1]), ErrorKind::Corrupt);
    assert_eq!(kind_of(|m| m.files.clear()), ErrorKind::Corrupt);
    assert_eq!(kind_of(|m| m.files[0].file.bytes = u64::MAX), ErrorKind::Limit);
    assert_eq!(kind_of(|m| m.files[1].archive.bytes = i64::MAX as u64), ErrorKind::Limit);
    let many = |m: &mut Manifest| m.base = (0..=MAX_FILES).map(|i| file(&i.to_string(), 1)).collect();
    assert_eq!(kind_of(many), ErrorKind::Limit);
}

#[test]
fn archives_have_paths_of_their_own() {
    assert_eq!(archive_paths(&["a", "b/c"]), ["a.bitx", "b/c.bitx"]);
    // A folder has the usual path, in another case.
    assert_eq!(archive_paths(&["a", "A.bitx/x", "1"]), ["2.bitx", "A.bitx/x.bitx", "1.bitx"]);
    let long = "x".repeat(253);
    assert_eq!(archive_paths(&[&long, "y"]), ["1.bitx", "y.bitx"]);
}

#[test]
fn counterparts_have_the_same_path_or_name() {
    let base = ["config.json", "a/model.bin", "b/model.bin", "sub/notes.txt"];
    assert_eq!(counterpart(&base, "b/model.bin"), Some(2));
    assert_eq!(counterpart(&base, "c/model.bin"), None);
    assert_eq!(counterpart(&base, "notes.txt"), Some(3));
    assert_eq!(counterpart(&base, "model.safetensors.index.json"), None);
    assert_eq!((counterpart(&["one"], "two"), counterpart(&[], "one")), (Some(0), None));
}

fn layout(kind: Kind, tensors: &[&str]) -> Layout {
    let region = |name: &&str| Region {
        name: (*name).to_owned(),
        dtype: Dtype::BF16,
        shape: vec![512],
        offset: 0,
        length: 1024,
    };
    Layout { kind, regions: tensors.iter().map(region).collect(), ..Layout::default() }
}

#[test]
fn the_base_files_with_the_tensors_serve() {
    let tensors = |names: &[&str]| layout(Kind::Safetensors, names);
    let adapter = tensors(&["base_model.model.q.lora_A.weight"]);
    let base = [layout(Kind::Bytes, &[]), tensors(&["a", "b"]), tensors(&["c"]), adapter, tensors(&["d"])];
    let models = Models::new(base);
    assert_eq!(models.numbers(), [1, 2, 3, 4]);
    assert_eq!(models.serving(&tensors(&["c", "a"]), Some(2)), [2, 1, 3]);
    assert_eq!(models.serving(&tensors(&["d"]), None), [3, 4]);
    // A tensor without a counterpart by name may have one by content, in any file.
    assert_eq!(models.serving(&tensors(&["d", "e"]), Some(0)), [1, 2, 3, 4]);
    assert_eq!(models.serving(&layout(Kind::Bytes, &[]), Some(0)), [0]);
    assert!(models.serving(&layout(Kind::Bytes, &[]), None).is_empty());
}

use super::*;
use crate::error::ErrorKind;

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
    let json =
        serde_json::to_vec(&Document { format: FORMAT.into(), version: 1, base: wrong.base, files: wrong.files });
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
    for (from, to) in [("\"base\"", "\"bases\""), ("\"bytes\": 5", "\"bytes\": -5"), ("0707", "07G7"), ("0909", "090")]
    {
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

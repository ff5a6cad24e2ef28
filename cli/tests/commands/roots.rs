//! Tests of the roots of stores, of the folders that are added to them, and of the start of
//! `bitx serve`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Folder, json_of, stderr};

impl Folder {
    /// Adds the folder or file `path` as the model `m`, and restores it to `got`. Returns the text
    /// on standard error.
    fn added(&self, path: &str) -> String {
        let said = stderr(&mut self.bitx(&["store", "--root", "s", "add", "--name", "m", path]), 0);
        let _ = fs::remove_dir_all(self.path("got"));
        self.bitx(&["store", "--root", "s", "get", "m", "-o", "got", "-q"]).assert().success();
        said
    }

    /// Writes a file with the folders around it.
    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
    }
}

#[test]
fn only_add_and_init_make_a_store() {
    let f = Folder::empty();
    for args in [
        &["ls"][..],
        &["verify"],
        &["stats"],
        &["families"],
        &["gc"],
        &["rm", "m"],
        &["get", "m", "-o", "out"],
        &["cat", "m", "t"],
    ] {
        let said = stderr(f.bitx(&["store", "--root", "typo"]).args(args), 1);
        assert!(said.contains("typo: there is no store here") && said.contains("bitx store init"), "{said}");
        assert!(!f.path("typo").exists(), "{args:?}");
    }
    let said = stderr(&mut f.bitx(&["serve", "--root", "typo", "--listen", "127.0.0.1:0"]), 1);
    assert!(said.contains("typo: there is no store here") && !f.path("typo").exists(), "{said}");
    // A folder with other files is no store either, and stays as it is.
    f.write("other/file", "content");
    stderr(&mut f.bitx(&["store", "--root", "other", "gc"]), 1);
    assert_eq!(fs::read_dir(f.path("other")).unwrap().count(), 1);

    let made = |root: &str| json_of(&mut f.bitx(&["store", "init", "--root", root, "--json"]))["made"].clone();
    assert_eq!([made("new"), made("new")], [json!(true), json!(false)]);
    f.bitx(&["store", "ls", "--root", "new"]).assert().success().stdout("");
    let url = format!("file://{}", f.path("new").display());
    f.bitx(&["store", "ls", "--root", &url]).assert().success();
    f.bitx(&["store", "add", "other", "--root", "added"]).assert().success();
    f.bitx(&["store", "verify", "--root", "added"]).assert().success();
}

#[test]
fn a_bucket_without_keys_is_refused_with_words() {
    let f = Folder::empty();
    f.write("model/config.json", "{}");
    for (root, variable) in [
        ("s3://bucket/store", "AWS_ACCESS_KEY_ID"),
        ("gs://bucket/store", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://container/store", "AZURE_STORAGE_ACCOUNT_KEY"),
    ] {
        for args in [&["ls"][..], &["init"], &["add", "model"]] {
            let mut command = f.bitx(&["store", "--root", root]);
            let said = stderr(command.args(args).env_clear().env("HOME", f.path("")), 1);
            assert!(said.contains(variable) && !said.contains("Generic"), "{said}");
        }
    }
}

#[test]
fn linked_and_dot_folders_are_added() {
    let f = Folder::empty();
    f.write("blobs/1111", "weights");
    f.write("disk/onnx/model.bin", "on another disk");
    f.write("model/.weights/w.bin", "hidden");
    f.write("model/.gitattributes", "attributes");
    symlink("../blobs/1111", f.path("model/linked.bin")).unwrap();
    symlink("../disk/onnx", f.path("model/onnx")).unwrap();
    assert!(!f.added("model").contains("warning"));
    for (path, content) in [
        ("linked.bin", "weights"),
        ("onnx/model.bin", "on another disk"),
        (".weights/w.bin", "hidden"),
        (".gitattributes", "attributes"),
    ] {
        assert_eq!(f.read(&format!("got/{path}")), content.as_bytes(), "{path}");
    }
}

#[test]
fn all_that_is_left_out_is_named() {
    let f = Folder::empty();
    f.write("model/config.json", "{}");
    f.write("model/.git/objects/1", "object");
    f.write("model/.cache/huggingface/x", "cache");
    symlink(".", f.path("model/self")).unwrap();
    f.write("model/sub/file", "content");
    symlink("..", f.path("model/sub/up")).unwrap();
    assert!(Command::new("mkfifo").arg(f.path("model/fifo")).status().unwrap().success());
    let said = f.added("model");
    for path in ["model/.git", "model/.cache", "model/self", "model/sub/up", "model/fifo"] {
        assert!(said.contains(&format!("warning: {path}: left out: ")), "{path}: {said}");
    }
    assert_eq!((f.read("got/sub/file"), fs::read_dir(f.path("got")).unwrap().count()), (b"content".to_vec(), 2));
    // A folder that a line names is added, whatever its name.
    assert!(!f.added("model/.git").contains("warning"));
    assert_eq!(f.read("got/objects/1"), b"object");

    symlink("nowhere", f.path("model/model.safetensors")).unwrap();
    let said = stderr(&mut f.bitx(&["store", "--root", "s", "add", "model"]), 1);
    assert!(said.contains("model/model.safetensors: this is a link to a file that does not exist"), "{said}");
}

#[test]
fn names_come_back_as_they_were_or_are_refused() {
    let f = Folder::empty();
    for name in [&b"ModelMu\xf1oz.bin"[..], b"a\nb.bin", b"llama3:8b.bin", b"a\\b.bin"] {
        let folder = f.path("model");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(std::ffi::OsStr::from_bytes(name));
        fs::write(&path, "content").unwrap();
        for added in [folder.as_os_str(), path.as_os_str()] {
            let said = stderr(f.bitx(&["store", "--root", "s", "add", "--name", "m"]).arg(added), 1);
            assert!(said.contains("UTF-8") || said.contains("not a path of a file in a model"), "{said}");
            assert!(said.lines().count() == 1 && !f.path("s").exists(), "{said}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
    for name in ["霸道 (1) #1 100%.bin", "con", "nul.bin", "trailing. "] {
        f.write(&format!("model/{name}"), name);
    }
    f.added("model");
    for name in ["霸道 (1) #1 100%.bin", "con", "nul.bin", "trailing. "] {
        assert_eq!(f.read(&format!("got/{name}")), name.as_bytes());
    }
}

#[test]
fn a_path_is_not_both_a_file_and_a_folder() {
    let f = Folder::empty();
    f.write("one/a", "file");
    f.write("two/a/b", "in a folder");
    let said = stderr(&mut f.bitx(&["store", "--root", "s", "add", "--name", "m", "one", "two"]), 1);
    assert!(said.contains("the path \"a\" is both a file and a folder"), "{said}");
}

#[test]
fn a_server_for_everybody_warns() {
    let f = Folder::empty();
    f.bitx(&["store", "init", "--root", "s"]).assert().success();
    fs::write(f.path("tokens.json"), r#"[{"read": ["*"]}]"#).unwrap();
    let starts = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitx"));
        command.args(["serve", "--root", "s", "--log-filter", "error", "--listen"]).args(args).current_dir(f.path(""));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on "), "{line}");
        child.kill().unwrap();
        child.wait().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    };
    assert!(starts(&["0.0.0.0:0"]).contains("everybody who reaches this address may read all models"));
    assert_eq!(starts(&["127.0.0.1:0"]), "");
    assert_eq!(starts(&["0.0.0.0:0", "--tokens", "tokens.json"]), "");
}

#[test]
fn a_wrong_file_of_tokens_is_explained() {
    let f = Folder::empty();
    f.bitx(&["store", "init", "--root", "s"]).assert().success();
    for wrong in ["", "{}", "token", r#"[{"reed": ["*"]}]"#] {
        fs::write(f.path("tokens.json"), wrong).unwrap();
        let said = stderr(&mut f.bitx(&["serve", "--root", "s", "--tokens", "tokens.json"]), 1);
        assert!(said.contains("tokens.json: not a file of tokens: ") && said.contains("bitx token"), "{said}");
    }
}

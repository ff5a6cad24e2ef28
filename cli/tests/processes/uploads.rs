//! Tests of uploads to several `bitx serve` processes over one store, which are killed in between.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::served::{Served, digest};
use crate::support::{Bucket, common};

/// The bytes of a base, of its fine-tune, and of the archive of that.
fn models() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let pair = &common::PAIRS[0];
    (pair.base.to_vec(), common::restore(pair.base, pair.archive).unwrap(), pair.archive.to_vec())
}

/// A place where servers are started.
enum Place<'a> {
    Folder(&'a Path),
    Bucket(&'a Bucket, &'a Path),
}

impl Place<'_> {
    fn serve(&self) -> Served {
        match self {
            Self::Folder(folder) => Served::start(folder),
            Self::Bucket(bucket, folder) => Served::over(bucket, folder),
        }
    }

    /// Runs `bitx store` on the store.
    fn store(&self, args: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitx"));
        let status = match self {
            Self::Folder(folder) => command.current_dir(folder).args(["store", "--root", "store"]),
            Self::Bucket(bucket, _) => command.envs(bucket.environment()).args(["store", "--root", &bucket.url()]),
        };
        assert!(status.args(args).arg("-q").status().unwrap().success(), "{args:?}");
    }
}

/// Sends a file in parts, each to the next server, and publishes it at one that has not received the
/// last part. Servers for which `kills` says so are killed after a part, and others take their place.
fn send_in_turns(place: &Place<'_>, kills: impl Fn(usize) -> bool) {
    let (base, tuned, archive) = models();
    let mut servers = [place.serve(), place.serve()];
    assert_eq!(servers[0].push(&base), Some(201));
    // A server lists the models of others once a second.
    std::thread::sleep(Duration::from_millis(1100));
    let id = servers[0].begin(&tuned).unwrap();
    let query = format!("base={}", digest(&base));
    let (parts, mut at) = (8, 0);
    for part in 0..parts {
        let server = &mut servers[part % 2];
        assert_eq!(server.offset(&id, &query), at as u64, "part {part}");
        let end = archive.len() * (part + 1) / parts;
        let status = server.put_part(&id, &query, &archive, at..end).unwrap().status();
        assert_eq!(status, if part + 1 == parts { 204 } else { 202 }, "part {part}");
        at = end;
        if kills(part) {
            server.kill();
            *server = place.serve();
        }
    }
    let answers: Vec<Value> = servers.iter().map(|server| server.publish(&id).unwrap().json().unwrap()).collect();
    assert_eq!((&answers[0], answers[0]["unchanged"].as_bool()), (&answers[1], Some(false)));
    for server in &servers {
        assert!(server.pull("").unwrap().bytes().unwrap() == tuned);
    }
    place.store(&["verify", "--read-data"]);
}

#[test]
fn two_servers_over_a_folder_take_parts_in_turns() {
    let folder = tempfile::tempdir().unwrap();
    send_in_turns(&Place::Folder(folder.path()), |_| false);
}

#[test]
fn two_servers_over_a_bucket_take_parts_in_turns() {
    let (bucket, folder) = (Bucket::serve(), tempfile::tempdir().unwrap());
    send_in_turns(&Place::Bucket(&bucket, folder.path()), |_| false);
    assert_eq!(bucket.written_again(), [""; 0]);
}

#[test]
fn servers_over_a_folder_are_killed_after_parts() {
    let folder = tempfile::tempdir().unwrap();
    send_in_turns(&Place::Folder(folder.path()), |part| part % 3 == 2 || part == 7);
}

#[test]
fn servers_over_a_bucket_are_killed_after_parts() {
    let (bucket, folder) = (Bucket::serve(), tempfile::tempdir().unwrap());
    send_in_turns(&Place::Bucket(&bucket, folder.path()), |part| part % 3 == 2 || part == 7);
}

/// A server is killed while it receives, decodes and publishes, at moments that move on.
#[test]
fn a_server_that_is_killed_at_any_moment_loses_no_upload() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path());
    let (base, tuned, _) = models();
    let rounds = std::env::var("BITX_KILLS").map_or(8, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        // Each round sends a file that the store does not have.
        let mut bytes = if round % 2 == 0 { base.clone() } else { tuned.clone() };
        let at = bytes.len() - 8;
        bytes[at..at + 4].copy_from_slice(&(round as u32 + 1).to_le_bytes());
        let bytes = &bytes;
        let mut served = place.serve();
        let id = served.begin(bytes).unwrap();
        std::thread::scope(|scope| {
            let (sender, id) = (&served, &id);
            let pushed = scope.spawn(move || {
                send(sender, id, bytes)?;
                sender.publish(id)
            });
            std::thread::sleep(Duration::from_millis(13 * (round * 5 % 23)));
            Command::new("kill").args(["-KILL", &served.process.id().to_string()]).status().unwrap();
            let _ = pushed.join().unwrap();
        });
        served.kill();
        let again = place.serve();
        if again.publish(&id).unwrap().status() == 409 {
            assert_eq!(send(&again, &id, bytes), Some(()));
        }
        assert_eq!(again.publish(&id).unwrap().status(), 201);
        assert!(again.pull("").unwrap().bytes().unwrap() == *bytes);
        drop(again);
        place.store(&["verify", "--read-data"]);
    }
    // Collections remove what the uploads leave once their answers are a minute old.
    let now = std::time::SystemTime::now();
    for path in files(&folder.path().join("store/uploads")) {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(now - Duration::from_secs(61)).unwrap();
    }
    place.store(&["gc", "--grace", "1s"]);
    assert_eq!(files(&folder.path().join("store/uploads")), [] as [std::path::PathBuf; 0]);
}

/// Sends the rest of a file in parts, from the offset that the server tells. `None` if the connection
/// breaks.
fn send(served: &Served, id: &str, bytes: &[u8]) -> Option<()> {
    const PART: usize = 200_000;
    let mut at = served.try_offset(id, "raw")? as usize;
    loop {
        let end = bytes.len().min(at + PART);
        let status = served.put_part(id, "raw", bytes, at..end)?.status();
        match (status.as_u16(), end == bytes.len()) {
            (204, true) => return Some(()),
            (202, false) => at = end,
            other => panic!("{other:?}"),
        }
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

impl Served {
    /// Sends a part of the bytes of a file.
    fn put_part(&self, id: &str, query: &str, bytes: &[u8], part: Range<usize>) -> Option<reqwest::blocking::Response> {
        let range = match part.is_empty() {
            true => format!("bytes */{}", bytes.len()),
            false => format!("bytes {}-{}/{}", part.start, part.end - 1, bytes.len()),
        };
        let put = self.client.put(format!("{}/api/uploads/{id}/files/0?{query}", self.url));
        let put = put.bearer_auth(crate::support::served::TOKEN).header("content-range", range);
        put.body(bytes[part].to_vec()).send().ok()
    }

    /// The number of bytes that have arrived. `None` if the connection breaks.
    fn try_offset(&self, id: &str, query: &str) -> Option<u64> {
        let head = self.client.head(format!("{}/api/uploads/{id}/files/0?{query}", self.url));
        let head = head.bearer_auth(crate::support::served::TOKEN).send().ok()?;
        head.headers()["upload-offset"].to_str().unwrap().parse().ok()
    }

    fn offset(&self, id: &str, query: &str) -> u64 {
        self.try_offset(id, query).unwrap()
    }
}

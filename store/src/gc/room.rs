//! The way out of a full disk. A collection has to write its records before it may remove anything,
//! so a store in a folder keeps some space in reserve: the object that tells the clock is longer
//! than it need be, and is cut when nothing else can be written.

use std::io;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::gc::Objects;
use crate::keys::{GC, Kind, REGISTERS};

/// The content of the object that tells the clock, without the reserve.
const TICK: &[u8] = b"tick";
/// The length in bytes of the reserve. It holds the records of a collection of a few objects.
const RESERVE: usize = 128 << 10;
/// The number of objects that a collection removes at a time while the disk is full.
const FEW: usize = 256;

/// The key of the object that tells the clock.
pub(crate) fn clock() -> String {
    format!("{GC}/clock")
}

/// The content of that object in this storage. A bucket needs no reserve.
pub(crate) fn content(backend: &Backend) -> Vec<u8> {
    if backend.folder().is_some() { with_reserve() } else { TICK.to_vec() }
}

/// The content with the reserve.
fn with_reserve() -> Vec<u8> {
    let mut content = TICK.to_vec();
    content.resize(TICK.len() + RESERVE, 0);
    // Zeros would take no space on some disks.
    blake3::Hasher::new().finalize_xof().fill(&mut content[TICK.len()..]);
    content
}

/// Checks the object that tells the clock. Returns its key and the result, if it is there.
pub(crate) async fn check(backend: &Backend) -> Result<Option<(String, Result<()>)>> {
    let key = clock();
    let Some(bytes) = backend.get(&key).await? else { return Ok(None) };
    // The store may have been copied from a folder into a bucket.
    let intact = bytes == TICK || bytes == with_reserve();
    let result = if intact { Ok(()) } else { Err(Error::damaged(&key, "the object has another content")) };
    Ok(Some((key, result)))
}

/// Makes the reserve of a store in a folder, unless it is there. A full disk is no error.
pub(crate) async fn reserve(backend: &Backend) -> Result<()> {
    let content = content(backend);
    if backend.folder().is_none() || backend.length(&clock()).await? == Some(content.len() as u64) {
        return Ok(());
    }
    match backend.put(&clock(), content).await {
        Err(error) if error.is_full() => Ok(()),
        put => put,
    }
}

/// Writes the object that tells the clock. If the disk is full, it gives up the reserve, and then
/// whatever can be made again: kept archives, registers and sketches.
pub(crate) async fn tick(backend: &Backend) -> Result<()> {
    let mut put = backend.put(&clock(), content(backend)).await;
    for give_up in [None, Some(Kind::Archives.folder()), Some(REGISTERS), Some(Kind::Sketches.folder())] {
        match (&put, give_up) {
            (Err(error), _) if !error.is_full() => break,
            (Err(_), None) => cut(backend)?,
            (Err(_), Some(folder)) => {
                for object in backend.list(folder).await? {
                    backend.delete(&object.key).await?;
                }
            }
            (Ok(()), _) => break,
        }
        put = backend.put(&clock(), TICK).await;
    }
    put
}

/// Frees the reserve without writing anything new.
fn cut(backend: &Backend) -> Result<()> {
    let Some(folder) = backend.folder() else { return Ok(()) };
    let path = folder.join(clock());
    let cut = std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| {
        let length = file.metadata()?.len();
        file.set_len(length.min(TICK.len() as u64))
    });
    match cut {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(error)),
        _ => Ok(()),
    }
}

/// Returns `true` if the reserve of a store in a folder is used up.
pub(crate) async fn is_short(backend: &Backend) -> Result<bool> {
    Ok(backend.folder().is_some() && backend.length(&clock()).await? == Some(TICK.len() as u64))
}

/// The objects to remove first if the disk is full: the largest ones, whose list is short.
pub(crate) fn largest(objects: Objects) -> Objects {
    let mut objects: Vec<(String, u64)> = objects.into_iter().collect();
    objects.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    objects.truncate(FEW.min(objects.len().div_ceil(2)));
    objects.into_iter().collect()
}

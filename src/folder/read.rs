//! Reads the JSON of manifests.

use super::{Archive, Entry, FORMAT, File, Manifest, digest};
use crate::error::Result;
use crate::json::Json;
use crate::steps;

/// The name of the text in errors.
const NAME: &str = "the manifest";

/// The version of a manifest; `None` for a text that is none.
pub(super) fn version(text: &str) -> Option<u64> {
    let (mut json, mut is_manifest, mut version) = (Json::new(NAME, text, 0), false, None);
    let read = json.object(|json, field| {
        match &*field {
            "format" => is_manifest = json.string()? == FORMAT,
            "version" => version = Some(json.number()?),
            _ => json.skip()?,
        }
        Ok(())
    });
    read.and_then(|()| json.end()).ok()?;
    version.filter(|_| is_manifest)
}

/// The content of a manifest of this version, which is yet to be checked.
pub(super) fn manifest(text: &str) -> Result<Manifest> {
    let mut json = Json::new(NAME, text, 0);
    let (mut base, mut files) = (Vec::new(), Vec::new());
    fields(&mut json, &["format", "version", "base", "files"], &mut |json, field| match field {
        "base" => list(json, &mut base, File::read),
        "files" => list(json, &mut files, Entry::read),
        _ => json.skip(),
    })?;
    json.end()?;
    Ok(Manifest { base, files })
}

impl File {
    fn read(json: &mut Json<'_>) -> Result<Self> {
        let (path, bytes, blake3) = described(json, "blake3")?;
        Ok(Self { path, bytes, blake3 })
    }
}

impl Entry {
    fn read(json: &mut Json<'_>) -> Result<Self> {
        let (mut file, mut archive, mut base) = (None, None, Vec::new());
        fields(json, &["file", "archive", "base"], &mut |json, field| {
            match field {
                "file" => file = Some(File::read(json)?),
                "archive" => archive = Some(described(json, "root")?),
                _ => list(json, &mut base, |json| {
                    u32::try_from(json.number()?).map_err(|_| json.fault("a number below 2^32"))
                })?,
            }
            Ok(())
        })?;
        let (Some(file), Some((path, bytes, root))) = (file, archive) else {
            return Err(json.fault("a file and its archive"));
        };
        Ok(Self { file, archive: Archive { path, bytes, root }, base })
    }
}

/// Reads the path, the length and the digest of a file; the latter's name is that of its field.
fn described(json: &mut Json<'_>, name: &str) -> Result<(String, u64, [u8; 32])> {
    let (mut path, mut bytes, mut found) = (String::new(), 0, [0; 32]);
    fields(json, &["path", "bytes", name], &mut |json, field| {
        match field {
            "path" => path = json.string()?.into_owned(),
            "bytes" => bytes = json.number()?,
            _ => found = digest::read(json)?,
        }
        Ok(())
    })?;
    Ok((path, bytes, found))
}

/// Reads a list to the end of `items`.
fn list<T>(json: &mut Json<'_>, items: &mut Vec<T>, item: impl Fn(&mut Json<'_>) -> Result<T>) -> Result<()> {
    json.array(|json| {
        steps::add(1);
        items.push(item(json)?);
        Ok(())
    })
}

/// Reads an object that has each of the fields once, and no others. `field` reads the value of the
/// one with the name that it is given.
fn fields(json: &mut Json<'_>, names: &[&str], field: &mut dyn FnMut(&mut Json<'_>, &str) -> Result<()>) -> Result<()> {
    let expected = || format!("each of the fields {} once, and no others", names.join(", "));
    let mut missing = names.to_vec();
    json.object(|json, name| match missing.iter().position(|other| *other == name) {
        Some(at) => field(json, missing.swap_remove(at)),
        None => Err(json.fault(&expected())),
    })?;
    if missing.is_empty() { Ok(()) } else { Err(json.fault(&expected())) }
}

//! The index of a model that is split into shards, such as `model.safetensors.index.json`.

use std::collections::{BTreeSet, HashMap};

use bitx::folder::INDEX;
use bitx_store::Source;
use serde::Deserialize;

use crate::args::Global;
use crate::warning::warn;
use crate::words;

/// Maximum length in bytes of an index that is read.
const LONGEST: u64 = 64 << 20;

/// Number of missing files that a warning names.
const NAMED: usize = 3;

/// The part of an index that names the shards.
#[derive(Deserialize)]
struct Index {
    /// The file of each tensor, inside the index's folder.
    weight_map: HashMap<String, String>,
}

/// Warns about shards that an index in `files` names and that are not among them.
pub fn warn_of_missing(files: &[Source], global: &Global) {
    for index in files.iter().filter(|file| file.path.ends_with(INDEX)) {
        let folder = index.path.rfind('/').map_or("", |at| &index.path[..=at]);
        let has = |name: &str| {
            let path = format!("{folder}{name}");
            files.binary_search_by(|file| file.path.as_str().cmp(&path)).is_ok()
        };
        let missing: Vec<String> = shards(index).into_iter().filter(|name| !has(name)).collect();
        if !missing.is_empty() {
            let named: Vec<String> = missing.iter().take(NAMED).map(|name| words::name(name)).collect();
            let more =
                if missing.len() > NAMED { format!(" and {} more", missing.len() - NAMED) } else { String::new() };
            let text = format!(
                "{}: the index names files that are not there: {}{more}",
                words::input(&index.file),
                named.join(", ")
            );
            warn(global, &text);
        }
    }
}

/// The names of the shards in an index; none if the file is no such index.
fn shards(file: &Source) -> BTreeSet<String> {
    let short = std::fs::metadata(&file.file).is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST);
    let bytes = if short { std::fs::read(&file.file).unwrap_or_default() } else { Vec::new() };
    serde_json::from_slice::<Index>(&bytes)
        .map_or_else(|_| BTreeSet::new(), |index| index.weight_map.into_values().collect())
}

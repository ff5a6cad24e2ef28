//! Model folders: their manifests, and the plan by which their files are compressed. Only the
//! compressing builds have it, as with layouts.

use bitx::folder::{Manifest, Models, archive_paths, check_paths, counterpart};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::convert::{misuse, thrown, value};
use crate::layout::Layout;

/// Checks the manifest of a folder of archives, and returns it as it is written: JSON that every
/// parser reads in the same way.
#[wasm_bindgen(js_name = checkManifest)]
pub fn check_manifest(json: &[u8]) -> Result<String, JsValue> {
    let json = Manifest::parse(json).and_then(|manifest| manifest.write()).map_err(thrown)?;
    String::from_utf8(json).map_err(|_| misuse("the manifest is no text"))
}

/// The way in which the files of a folder are compressed.
#[derive(Serialize)]
struct PlanView {
    /// The path of each file's archive.
    archives: Vec<String>,
    /// The numbers of the base files that each file is compressed against.
    serving: Vec<Vec<usize>>,
}

/// Plans the compression of a folder. `paths` and `layouts` are those of the base's files, of which
/// there are `bases`, and behind them of the target's.
#[wasm_bindgen(js_name = planFolder)]
pub fn plan_folder(paths: Vec<String>, layouts: Vec<Layout>, bases: usize) -> Result<JsValue, JsValue> {
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let (base, targets) = paths.split_at(bases.min(paths.len()));
    check_paths(targets.iter().copied()).map_err(thrown)?;
    let mut layouts = layouts.into_iter().map(Layout::finish);
    let models = Models::new(layouts.by_ref().take(base.len()).collect::<Result<Vec<_>, _>>()?);
    let serving = targets.iter().zip(layouts).map(|(path, layout)| {
        let layout = layout?;
        Ok(models.serving(&layout, counterpart(base, path)))
    });
    let serving = serving.collect::<Result<_, JsValue>>()?;
    value(&PlanView { archives: archive_paths(targets), serving })
}

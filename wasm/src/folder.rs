//! The manifests of model folders. Only the compressing builds have them, as with layouts.

use bitx::folder::Manifest;
use wasm_bindgen::prelude::*;

use crate::convert::{misuse, thrown};

/// Checks the manifest of a folder of archives, and returns it as it is written: JSON that every
/// parser reads in the same way.
#[wasm_bindgen(js_name = checkManifest)]
pub fn check_manifest(json: &js_sys::Uint8Array) -> Result<JsValue, JsValue> {
    let json = Manifest::parse(&json.to_vec()).and_then(|manifest| manifest.write()).map_err(thrown)?;
    str::from_utf8(&json).map(JsValue::from_str).map_err(|_| misuse("the manifest is no text"))
}

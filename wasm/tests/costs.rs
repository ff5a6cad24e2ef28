//! The rule of FORMAT.md about what reading costs, for WebAssembly as for native builds.
#![cfg(target_arch = "wasm32")]

#[path = "../../tests/costs/main.rs"]
mod costs;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

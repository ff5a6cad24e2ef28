//! The memory that decoding takes in WebAssembly, as in native builds.
#![cfg(target_arch = "wasm32")]

#[path = "../../tests/allocations.rs"]
mod allocations;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

//! The vectors again, in a browser: what native builds restore and write, wasm builds do too.
#![cfg(target_arch = "wasm32")]

mod common;

use bitx_wasm::Format;
use bitx_wasm::parallel::{Runner, Sequential};
use common::{PAIRS, compress_on, restore_on, sha256};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// SHA-256 of the level 3 archive of each pair; `tests/v1.rs` holds native builds to the same.
use common::V1_ARCHIVES;

fn vectors_hold(runner: &dyn Runner) {
    for (pair, archive) in PAIRS.iter().zip(V1_ARCHIVES) {
        let target = restore_on(runner, pair.base, pair.archive).unwrap();
        assert_eq!(sha256(&target), pair.sha256, "{}", pair.name);
        let written = compress_on(runner, pair.base, &target, Format::V1 { level: 3 }).unwrap();
        assert_eq!(sha256(&written), archive, "{}", pair.name);
    }
}

#[wasm_bindgen_test]
fn vectors_hold_on_one_thread() {
    vectors_hold(&Sequential);
}

#[wasm_bindgen_test]
fn truncations_fail_and_do_not_trap() {
    let pair = &PAIRS[1];
    for length in (0..pair.archive.len()).step_by(997) {
        restore_on(&Sequential, pair.base, &pair.archive[..length]).expect_err("a truncation");
    }
}

#[cfg(feature = "wasm-threads")]
#[wasm_bindgen_test]
async fn vectors_hold_on_two_threads() {
    wasm_bindgen_futures::JsFuture::from(bitx_wasm::init_thread_pool(2)).await.unwrap();
    vectors_hold(&bitx_wasm::parallel::Rayon);
}

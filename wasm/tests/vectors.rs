//! Tests of the vectors in a browser: wasm builds restore and write the same bytes as native
//! builds.
#![cfg(target_arch = "wasm32")]

#[path = "../../tests/common/mod.rs"]
mod common;

use bitx::Format;
use bitx::parallel::{Runner, Sequential};
use common::{EFFORTS, GOLDEN, OUTCOMES, PAIRS, V1_ARCHIVES, V2_ARCHIVES};
use common::{compress_on, outcomes, ragged, restore_on, restore_shared, sha256};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// Checks all vectors. `tests/v1.rs` and `tests/v2` check native builds against the same
/// digests.
fn vectors_hold(runner: &dyn Runner) {
    for golden in &GOLDEN {
        assert!(restore_on(runner, golden.base, golden.archive).unwrap() == golden.target, "{}", golden.name);
    }
    for ((pair, archive), v2) in PAIRS.iter().zip(V1_ARCHIVES).zip(V2_ARCHIVES) {
        let target = restore_on(runner, pair.base, pair.archive).unwrap();
        assert_eq!(sha256(&target), pair.sha256, "{}", pair.name);
        assert!(restore_shared(pair.base, pair.archive).unwrap() == target, "{}", pair.name);
        let written = compress_on(runner, pair.base, &target, Format::V1 { level: 3 }).unwrap();
        assert_eq!(sha256(&written), archive, "{}", pair.name);
        for (effort, digest) in EFFORTS.into_iter().zip(v2) {
            let written = compress_on(runner, pair.base, &target, Format::V2 { effort }).unwrap();
            assert_eq!(sha256(&written), digest, "{} {effort:?}", pair.name);
        }
    }
}

#[wasm_bindgen_test]
fn words_that_fill_no_vector_are_written_as_natively() {
    let (base, target) = ragged::pair();
    let digests = EFFORTS.map(|effort| {
        let written = compress_on(&Sequential, &base, &target, Format::V2 { effort }).unwrap();
        assert!(restore_on(&Sequential, &base, &written).unwrap() == target, "{effort:?}");
        sha256(&written)
    });
    assert_eq!(digests, ragged::ARCHIVES);
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

#[wasm_bindgen_test]
fn damaged_archives_come_to_the_same_everywhere() {
    assert_eq!(outcomes(), OUTCOMES);
}

#[cfg(feature = "threads")]
#[wasm_bindgen_test]
async fn vectors_hold_on_two_threads() {
    wasm_bindgen_futures::JsFuture::from(bitx_wasm::init_thread_pool(2)).await.unwrap();
    vectors_hold(&bitx::parallel::Rayon);
}

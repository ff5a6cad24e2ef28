//! The reference decoder of `tests/reference/`, written from `docs/FORMAT.md`, against the crate.
#![cfg(not(target_arch = "wasm32"))]

#[path = "../common/mod.rs"]
mod common;
#[path = "../reference/mod.rs"]
mod reference;

mod blocks;
mod files;
mod predictions;
mod samples;
mod words;

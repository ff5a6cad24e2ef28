//! Tests of the commands of `bitx`, run as a user runs them.

#[path = "../../../tests/common/mod.rs"]
mod common;

mod adapters;
mod folders;
#[cfg(unix)]
mod inputs;
mod onnx;
#[cfg(unix)]
mod outputs;
mod pairs;
mod plans;
#[cfg(unix)]
mod roots;
mod shards;
mod store;
mod support;
mod words;

//! Tests of the store through its public interface, in folders and on storage that fails.

mod bases;
mod costs;
mod damage;
mod excerpts;
mod faults;
#[cfg(target_os = "linux")]
mod full;
mod large;
mod models;
mod packs;
mod parts;
mod plan;
mod quantised;
mod registers;
mod relations;
mod repair;
mod roots;
mod scale;
mod sets;
mod support;
mod uploads;

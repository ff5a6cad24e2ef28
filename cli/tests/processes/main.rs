//! Tests of the command line as processes that are killed, that share a store or that serve it, in
//! folders and in buckets.

mod buckets;
mod damage;
mod kills;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod serve_buckets;
mod support;
#[cfg(unix)]
mod uploads;

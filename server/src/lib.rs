//! An HTTP server for a [store](bitx_store). It serves restored files and ranges of them, deltas
//! that are made on demand, and listings, and it accepts uploads, which it decodes and checks
//! before it publishes them. `docs/SERVER.md` is the contract.

mod auth;
mod bodies;
mod errors;
mod flights;
mod jobs;
mod limits;
mod logs;
mod metrics;
mod paths;
mod read;
mod serve;
mod shutdown;
mod space;
mod spool;
mod state;
mod turns;
mod upload;

pub use auth::Tokens;
pub use limits::Limits;
pub use logs::{LogFormat, log};
pub use serve::{Options, Server};
pub use shutdown::signalled;

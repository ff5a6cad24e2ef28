//! The limits of a server.

use std::time::Duration;

/// The limits of a server. A request that exceeds one is answered with `413`, `408`, or `503` and
/// `Retry-After`. A connection without a request is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The number of open connections. Further ones wait to be accepted.
    pub connections: usize,
    /// The number of requests handled at a time.
    pub requests: usize,
    /// The bytes of decoded pieces in memory, for all readers together.
    pub memory: u64,
    /// The number of archives made at a time.
    pub makings: usize,
    /// The number of uploads decoded and models published at a time.
    pub decodings: usize,
    /// The time that a request waits for memory or for its turn.
    pub queue: Duration,
    /// The time to receive the head of a request, and that a connection may be idle.
    pub head: Duration,
    /// The time without progress while a body is received or sent.
    pub stall: Duration,
    /// The time to receive the body of a request.
    pub body: Duration,
    /// The length of a JSON body in bytes.
    pub json: u64,
    /// The length of an uploaded file in bytes, after it is restored.
    pub file: u64,
    /// The bytes of the files of all open uploads together, after they are restored.
    pub spool: u64,
    /// The number of files in an upload.
    pub files: usize,
    /// The number of tensors in an upload.
    pub tensors: usize,
    /// The number of open uploads.
    pub uploads: usize,
    /// The time after which an upload without requests is discarded.
    pub expiry: Duration,
    /// The time that running requests have to finish at shutdown.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connections: 1024,
            requests: 256,
            memory: 1 << 30,
            makings: 2,
            decodings: 2,
            queue: seconds(60),
            head: seconds(15),
            stall: seconds(30),
            body: seconds(3600),
            json: 32 << 20,
            file: 64 << 30,
            spool: 256 << 30,
            files: 1000,
            tensors: 100_000,
            uploads: 256,
            expiry: seconds(3600),
            grace: seconds(30),
        }
    }
}

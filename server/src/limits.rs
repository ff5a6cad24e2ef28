//! What one server takes on.

use std::time::Duration;

/// Limits of a server. At each, the answer is `413`, `408` or `503` with `Retry-After`, or a closed connection where
/// there is no request yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// Requests at a time.
    pub requests: usize,
    /// Bytes of decoded pieces in memory, over all readers.
    pub memory: u64,
    /// Archives made at a time.
    pub makings: usize,
    /// Uploads decoded, and models published, at a time.
    pub decodings: usize,
    /// Time for a request to get memory, or its turn.
    pub queue: Duration,
    /// Time for a request's head, and for a connection without a request.
    pub head: Duration,
    /// Time in which not one byte of a body comes, or is taken.
    pub stall: Duration,
    /// Time for a request's body.
    pub body: Duration,
    /// Bytes of a JSON body.
    pub json: u64,
    /// Bytes of a file that is uploaded, restored.
    pub file: u64,
    /// Bytes of files in all open uploads, restored.
    pub spool: u64,
    /// Files of an upload.
    pub files: usize,
    /// Tensors of an upload.
    pub tensors: usize,
    /// Open uploads.
    pub uploads: usize,
    /// Time after which an upload is forgotten that nobody touches.
    pub expiry: Duration,
    /// Time that requests have to end at shutdown.
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

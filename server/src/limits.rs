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
    /// The bytes of archives made on demand that are kept in the store, for all files together.
    pub archives: u64,
    /// The time that a request waits for memory or for its turn.
    pub queue: Duration,
    /// The time to decode an uploaded file, to publish a model, or to make an archive.
    pub work: Duration,
    /// The time to receive the head of a request, and that a connection may be idle.
    pub head: Duration,
    /// The time without progress while a body is received or sent.
    pub stall: Duration,
    /// The time to receive the body of a request.
    pub body: Duration,
    /// The bytes that a body must bring each second, on average, once [`stall`](Self::stall) is
    /// over.
    pub rate: u64,
    /// The length of a JSON body in bytes.
    pub json: u64,
    /// The length of all JSON bodies together that are received or worked on, in bytes.
    pub json_total: u64,
    /// The time to receive a JSON body.
    pub json_time: Duration,
    /// The length of an uploaded file in bytes, after it is restored.
    pub file: u64,
    /// The bytes of all temporary files together: uploads as they are received and after they are
    /// restored, and the files from which archives are made.
    pub spool: u64,
    /// The number of files in an upload.
    pub files: usize,
    /// The number of tensors in an upload, as announced and as found in its files.
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
            archives: 64 << 30,
            queue: seconds(60),
            work: seconds(1800),
            head: seconds(15),
            stall: seconds(30),
            body: seconds(3600),
            rate: 1 << 10,
            json: 32 << 20,
            json_total: 128 << 20,
            json_time: seconds(30),
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

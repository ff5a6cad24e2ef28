//! The server's limits as command-line options. The defaults come from [`Limits`].

use std::sync::LazyLock;

use bitx_server::Limits;
use bytesize::ByteSize;
use clap::Args;
use humantime::Duration as Time;

use crate::duration;

static DEFAULT: LazyLock<Limits> = LazyLock::new(Limits::default);

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Maximum number of open connections; further ones wait
    #[arg(long, default_value_t = DEFAULT.connections, value_name = "N")]
    max_connections: usize,
    /// Maximum number of requests handled at a time
    #[arg(long, default_value_t = DEFAULT.requests, value_name = "N")]
    max_requests: usize,
    /// Maximum memory for decoded parts of files, for all readers together
    #[arg(long, default_value_t = ByteSize(DEFAULT.memory), value_name = "BYTES")]
    max_memory: ByteSize,
    /// Maximum number of deltas computed at a time
    #[arg(long, default_value_t = DEFAULT.makings, value_name = "N")]
    pub max_makings: usize,
    /// Maximum size of the computed deltas that the store keeps, all together
    #[arg(long, default_value_t = ByteSize(DEFAULT.archives), value_name = "BYTES")]
    max_archives: ByteSize,
    /// Maximum number of uploads decoded or published at a time
    #[arg(long, default_value_t = DEFAULT.decodings, value_name = "N")]
    pub max_decodings: usize,
    /// Maximum number of open uploads
    #[arg(long, default_value_t = DEFAULT.uploads, value_name = "N")]
    max_uploads: usize,
    /// Maximum size of an uploaded file, after it is restored
    #[arg(long, default_value_t = ByteSize(DEFAULT.file), value_name = "BYTES")]
    max_file: ByteSize,
    /// Maximum size of all temporary files together: uploads, and files to compute deltas from
    #[arg(long, default_value_t = ByteSize(DEFAULT.spool), value_name = "BYTES")]
    max_spool: ByteSize,
    /// Maximum number of files in an upload
    #[arg(long, default_value_t = DEFAULT.files, value_name = "N")]
    max_files: usize,
    /// Maximum number of tensors in an upload
    #[arg(long, default_value_t = DEFAULT.tensors, value_name = "N")]
    max_tensors: usize,
    /// Maximum size of a JSON request body
    #[arg(long, default_value_t = ByteSize(DEFAULT.json), value_name = "BYTES")]
    max_json: ByteSize,
    /// Maximum size of all JSON request bodies together
    #[arg(long, default_value_t = ByteSize(DEFAULT.json_total), value_name = "BYTES")]
    max_json_total: ByteSize,
    /// Maximum time to receive a JSON request body
    #[arg(long, default_value_t = Time::from(DEFAULT.json_time), value_name = "DURATION", value_parser = duration::parse)]
    json_timeout: Time,
    /// Minimum number of bytes that a request body brings each second, on average
    #[arg(long, default_value_t = ByteSize(DEFAULT.rate), value_name = "BYTES")]
    min_rate: ByteSize,
    /// Maximum time that a request waits for its turn or for memory
    #[arg(long, default_value_t = Time::from(DEFAULT.queue), value_name = "DURATION", value_parser = duration::parse)]
    queue_timeout: Time,
    /// Maximum time to decode an uploaded file, to publish a model, or to compute a delta
    #[arg(long, default_value_t = Time::from(DEFAULT.work), value_name = "DURATION", value_parser = duration::parse)]
    work_timeout: Time,
    /// Maximum time to receive the head of a request, and that a connection may be idle
    #[arg(long, default_value_t = Time::from(DEFAULT.head), value_name = "DURATION", value_parser = duration::parse)]
    head_timeout: Time,
    /// Maximum time without progress while a body is received or sent
    #[arg(long, default_value_t = Time::from(DEFAULT.stall), value_name = "DURATION", value_parser = duration::parse)]
    stall_timeout: Time,
    /// Maximum time to receive the body of a request
    #[arg(long, default_value_t = Time::from(DEFAULT.body), value_name = "DURATION", value_parser = duration::parse)]
    body_timeout: Time,
    /// Time after which an upload without requests is discarded
    #[arg(long, default_value_t = Time::from(DEFAULT.expiry), value_name = "DURATION", value_parser = duration::parse)]
    upload_expiry: Time,
    /// Time that running requests have to finish at shutdown
    #[arg(long, default_value_t = Time::from(DEFAULT.grace), value_name = "DURATION", value_parser = duration::parse)]
    grace: Time,
}

impl LimitArgs {
    /// The limits that the options state.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            requests: self.max_requests,
            memory: self.max_memory.as_u64(),
            makings: self.max_makings,
            decodings: self.max_decodings,
            archives: self.max_archives.as_u64(),
            work: self.work_timeout.into(),
            rate: self.min_rate.as_u64(),
            json_total: self.max_json_total.as_u64(),
            json_time: self.json_timeout.into(),
            queue: self.queue_timeout.into(),
            head: self.head_timeout.into(),
            stall: self.stall_timeout.into(),
            body: self.body_timeout.into(),
            json: self.max_json.as_u64(),
            file: self.max_file.as_u64(),
            spool: self.max_spool.as_u64(),
            files: self.max_files,
            tensors: self.max_tensors,
            uploads: self.max_uploads,
            expiry: self.upload_expiry.into(),
            grace: self.grace.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn a_line_without_options_has_the_default_limits() {
        let line = Line::parse_from(["bitx"]);
        assert_eq!(line.limits.limits(), Limits::default());
    }

    #[test]
    fn sizes_and_times_are_parsed() {
        let line = Line::parse_from(["bitx", "--max-file", "2GiB", "--max-json", "1000", "--grace", "1500ms"]);
        let limits = line.limits.limits();
        assert_eq!((limits.file, limits.json, limits.grace), (2 << 30, 1000, Duration::from_millis(1500)));
        let line = Line::parse_from(["bitx", "--grace", "3"]);
        assert_eq!(line.limits.limits().grace, Duration::from_secs(3));
        assert!(Line::try_parse_from(["bitx", "--grace", "x"]).is_err());
    }
}

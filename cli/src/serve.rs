//! `bitx serve --root URL`: a store over HTTP.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bitx_server::{Limits, LogFormat, Options, Server, Tokens};
use bitx_store::Store;
use clap::{Args, ValueEnum};

use crate::args::Global;
use crate::stdout;

/// Time for work that was told to stop to look up.
const LAST: Duration = Duration::from_secs(2);

/// Threads for files, beside those that compute: each keeps memory for itself when it has done.
const BLOCKING: usize = 32;

#[derive(Debug, Args)]
pub struct Serve {
    /// The store: a folder, or a URL of one (file:) or of a bucket (s3:, gs:, az:), whose credentials the
    /// environment holds
    #[arg(long, env = "BITX_STORE", value_name = "URL")]
    root: String,
    /// Address and port to listen on; port 0 for any
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "ADDR")]
    listen: String,
    /// JSON of who may read and write what [default: everybody may read, nobody may write]
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Folder for temporary files [default: the system's]
    #[arg(long, value_name = "FOLDER")]
    spool: Option<PathBuf>,
    /// How the log looks
    #[arg(long, value_enum, default_value_t = Log::Text)]
    log: Log,
    /// What is logged: error, warn, info, debug, or by module
    #[arg(long, default_value = "info", value_name = "FILTER")]
    log_filter: String,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Log {
    Text,
    Json,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Connections at a time; more wait
    #[arg(long, default_value_t = 1024, value_name = "N")]
    max_connections: usize,
    /// Requests at a time
    #[arg(long, default_value_t = 256, value_name = "N")]
    max_requests: usize,
    /// Bytes of decoded pieces in memory, over all readers
    #[arg(long, default_value = "1G", value_name = "BYTES", value_parser = bytes)]
    max_memory: u64,
    /// Deltas made at a time
    #[arg(long, default_value_t = 2, value_name = "N")]
    max_makings: usize,
    /// Uploads decoded or published at a time
    #[arg(long, default_value_t = 2, value_name = "N")]
    max_decodings: usize,
    /// Open uploads
    #[arg(long, default_value_t = 256, value_name = "N")]
    max_uploads: usize,
    /// Bytes of a file that is uploaded, restored
    #[arg(long, default_value = "64G", value_name = "BYTES", value_parser = bytes)]
    max_file: u64,
    /// Bytes of files in all open uploads, restored
    #[arg(long, default_value = "256G", value_name = "BYTES", value_parser = bytes)]
    max_spool: u64,
    /// Files of an upload
    #[arg(long, default_value_t = 1000, value_name = "N")]
    max_files: usize,
    /// Tensors of an upload
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    max_tensors: usize,
    /// Bytes of a JSON body
    #[arg(long, default_value = "32M", value_name = "BYTES", value_parser = bytes)]
    max_json: u64,
    /// Seconds for a request to wait for its turn, or for memory
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = seconds)]
    queue_timeout: Duration,
    /// Seconds for a request's head, and for a connection without a request
    #[arg(long, default_value = "15", value_name = "SECONDS", value_parser = seconds)]
    head_timeout: Duration,
    /// Seconds in which not one byte of a body comes, or is taken
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    stall_timeout: Duration,
    /// Seconds for a request's body
    #[arg(long, default_value = "3600", value_name = "SECONDS", value_parser = seconds)]
    body_timeout: Duration,
    /// Seconds after which an upload is forgotten that nobody touches
    #[arg(long, default_value = "3600", value_name = "SECONDS", value_parser = seconds)]
    upload_expiry: Duration,
    /// Seconds that requests have to end at shutdown
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    grace: Duration,
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            requests: self.max_requests,
            memory: self.max_memory,
            makings: self.max_makings,
            decodings: self.max_decodings,
            queue: self.queue_timeout,
            head: self.head_timeout,
            stall: self.stall_timeout,
            body: self.body_timeout,
            json: self.max_json,
            file: self.max_file,
            spool: self.max_spool,
            files: self.max_files,
            tensors: self.max_tensors,
            uploads: self.max_uploads,
            expiry: self.upload_expiry,
            grace: self.grace,
        }
    }
}

pub fn run(args: &Serve, global: &Global) -> anyhow::Result<()> {
    let format = match args.log {
        Log::Text => LogFormat::Text,
        Log::Json => LogFormat::Json,
    };
    let filter = if global.quiet { "error" } else { &args.log_filter };
    bitx_server::log(format, filter).map_err(anyhow::Error::msg)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Whoever publishes keeps a thread, and waits for others that compute.
    let blocking = BLOCKING + global.threads() + args.limits.max_decodings + args.limits.max_makings;
    let runtime = runtime.max_blocking_threads(blocking).enable_all().build();
    let runtime = runtime.context("cannot start the threads")?;
    let served = runtime.block_on(serve(args, global));
    runtime.shutdown_timeout(LAST);
    served
}

async fn serve(args: &Serve, global: &Global) -> anyhow::Result<()> {
    let tokens = match &args.tokens {
        Some(path) => Tokens::load(path).with_context(|| path.display().to_string())?,
        None => Tokens::default(),
    };
    let options = Options {
        listen: args.listen.clone(),
        tokens,
        limits: args.limits.limits(),
        spool: args.spool.clone().unwrap_or_else(std::env::temp_dir),
        threads: global.threads(),
    };
    let store = Store::open(&args.root, global.threads()).await?;
    let server = Server::bind(store, options).await.with_context(|| args.listen.clone())?;
    let address = server.address()?;
    stdout::print(match global.json {
        true => format!("{}\n", serde_json::json!({ "url": format!("http://{address}") })),
        false => format!("listening on http://{address}\n"),
    })?;
    server
        .run(async {
            if let Err(error) = bitx_server::signalled().await {
                eprintln!("bitx: {error}");
            }
        })
        .await;
    Ok(())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A number of bytes, or of KiB, MiB, GiB, TiB with a letter.
fn bytes(text: &str) -> Result<u64, String> {
    let shift = match text.chars().last() {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        _ => 0,
    };
    let number = text.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(text).parse::<u64>();
    number
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| format!("not a number of bytes: {text}"))
}

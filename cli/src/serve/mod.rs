//! `bitx serve --root URL`: a store over HTTP.

mod limits;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bitx_server::{LogFormat, Options, Server, Tokens};
use bitx_store::Store;
use clap::{Args, ValueEnum};

use self::limits::LimitArgs;
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

//! `bitx serve --root URL`: serves a store over HTTP.

mod limits;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bitx::ErrorKind;
use bitx_server::{LogFormat, Options, Server, Tokens};
use clap::{Args, ValueEnum};

use self::limits::LimitArgs;
use crate::args::Global;
use crate::fault::Fault;
use crate::stdout;
use crate::store::open;
use crate::warning::warn;

/// The time at shutdown that running work has to notice that it was cancelled.
const CANCELLED: Duration = Duration::from_secs(2);

/// The number of threads for file access, in addition to those that compute. It is small, because
/// each thread holds on to memory that it has used.
const BLOCKING: usize = 32;

#[derive(Debug, Args)]
pub struct Serve {
    /// The store: a folder, or the URL of a folder (file:) or bucket (s3:, gs:, az:); credentials
    /// for a bucket come from environment variables
    #[arg(long, env = "BITX_STORE", value_name = "URL")]
    root: String,
    /// Address and port to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "ADDR")]
    listen: String,
    /// JSON file of access tokens and their permissions [default: everybody may read, nobody may
    /// write]
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Folder for temporary files [default: the system's temporary folder]
    #[arg(long, value_name = "FOLDER")]
    spool: Option<PathBuf>,
    /// Format of the log
    #[arg(long, value_enum, default_value_t = Log::Text)]
    log: Log,
    /// Lowest level to log (error, warn, info or debug), or one per module, such as
    /// bitx_server=debug
    #[arg(long, default_value = "info", value_name = "FILTER")]
    log_filter: String,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Log {
    /// Readable lines
    Text,
    /// One JSON object per line
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
    // A request that publishes occupies a thread while it waits for other threads that compute.
    let blocking = BLOCKING + global.threads() + args.limits.max_decodings + args.limits.max_makings;
    let runtime = runtime.max_blocking_threads(blocking).enable_all().build();
    let runtime = runtime.context("cannot start the threads")?;
    let served = runtime.block_on(serve(args, global));
    runtime.shutdown_timeout(CANCELLED);
    served
}

async fn serve(args: &Serve, global: &Global) -> anyhow::Result<()> {
    let tokens = args.tokens.as_deref().map_or_else(|| Ok(Tokens::default()), tokens)?;
    let options = Options {
        listen: args.listen.clone(),
        tokens,
        limits: args.limits.limits(),
        spool: args.spool.clone().unwrap_or_else(std::env::temp_dir),
        threads: global.threads(),
    };
    let store = open::existing(&args.root, global).await?;
    let server = Server::bind(store, options).await.with_context(|| args.listen.clone())?;
    let address = server.address()?;
    if args.tokens.is_none() && !address.ip().to_canonical().is_loopback() {
        let text = "everybody who reaches this address may read all models, since --tokens is not given";
        warn(global, &format!("{address}: {text}"));
    }
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

/// Reads a file of tokens.
fn tokens(path: &Path) -> anyhow::Result<Tokens> {
    let name = path.display();
    let json = std::fs::read(path).with_context(|| name.to_string())?;
    let entry = r#"[{"blake3": "DIGEST", "name": "NAME", "read": ["*"], "write": ["ORG/*"]}]"#;
    let explain = |problem: String| {
        let message = format!(
            "{name}: not a file of tokens: {problem}; it must hold a JSON list of entries such as {entry}, and \
             `bitx token` makes one"
        );
        Fault::new(ErrorKind::InvalidArgument, message)
    };
    Ok(Tokens::parse(&json).map_err(explain)?)
}

//! Peers of the codec that are libraries, and a pair of models that no disk has to keep:
//!
//! - `bitx-peers pco BASE TARGET THREADS`, `bitx-peers xor BASE TARGET THREADS` and
//!   `bitx-peers zstd BASE TARGET` print one JSON line:
//!   `{ "rows": [{ "method", "bytes", "encode_s", "decode_s" }] }`, measured in memory after one
//!   warm-up;
//! - `bitx-peers generate FOLDER BYTES` writes `base.safetensors` and `target.safetensors` of about
//!   that size.

mod generate;
mod pcodec;
mod xor;
mod zstd_patch;

use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The command line's allocator, so that neither side gains by it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [peer @ ("pco" | "xor"), base, target, threads] => {
            let (base, target) = (read(base)?, read(target)?);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?;
            print(&pool.install(|| match peer {
                "pco" => pcodec::measure(&base, &target),
                _ => Ok(vec![xor::measure(&base, &target)?]),
            })?);
        }
        ["zstd", base, target] => print(&[zstd_patch::measure(&read(base)?, &read(target)?)?]),
        ["generate", folder, bytes] => generate::pair(folder.as_ref(), bytes.parse()?)?,
        _ => bail!("usage: bitx-peers pco|xor BASE TARGET THREADS | zstd BASE TARGET | generate FOLDER BYTES"),
    }
    Ok(())
}

/// What one method of one peer came to.
struct Row {
    method: &'static str,
    bytes: usize,
    encode_s: f64,
    decode_s: f64,
}

/// Runs a task twice; the result and the seconds of the second run, as the first one warms up.
fn timed<T>(mut task: impl FnMut() -> Result<T>) -> Result<(T, f64)> {
    task()?;
    let start = Instant::now();
    let result = task()?;
    Ok((result, start.elapsed().as_secs_f64()))
}

fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.to_owned())
}

fn print(rows: &[Row]) {
    let row = |&Row { method, bytes, encode_s, decode_s }: &Row| json!({ "method": method, "bytes": bytes, "encode_s": encode_s, "decode_s": decode_s });
    println!("{}", json!({ "rows": rows.iter().map(row).collect::<Vec<Value>>() }));
}

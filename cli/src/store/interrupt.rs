//! Interruption by the user. The future of the running work is dropped before the process ends, so
//! that it removes its temporary files.

use std::io;

/// The exit code of an interrupted program: 128 plus the number of `SIGINT`, as shells report it.
const INTERRUPTED: i32 = 130;

/// Waits for `work`. If the user interrupts it, the process ends.
pub async fn or<T>(work: impl Future<Output = T>) -> T {
    let interrupted = {
        let work = std::pin::pin!(work);
        tokio::select! {
            done = work => return done,
            interrupted = signal() => interrupted,
        }
    };
    if let Err(error) = interrupted {
        eprintln!("bitx: {error}");
    }
    std::process::exit(INTERRUPTED)
}

/// Waits for an interruption or a request to terminate.
#[cfg(unix)]
async fn signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// Waits for an interruption.
#[cfg(not(unix))]
async fn signal() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

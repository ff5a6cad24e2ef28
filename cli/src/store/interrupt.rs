//! Interruptions, for work that has temporaries to remove: its future is dropped before the process ends.

use std::io;

/// What shells say of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Does `work`, unless the user interrupts it.
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

#[cfg(unix)]
async fn signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

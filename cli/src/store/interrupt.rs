//! Interruption by the user. The future of the running work is dropped before the process ends, so
//! that it removes its temporary files.

/// The exit code of an interrupted program: 128 plus the number of `SIGINT`, as shells report it.
const INTERRUPTED: i32 = 130;

/// Waits for `work`. If the user interrupts it, the process ends.
pub async fn or<T>(work: impl Future<Output = T>) -> T {
    let interrupted = {
        let work = std::pin::pin!(work);
        tokio::select! {
            done = work => return done,
            interrupted = bitx_server::signalled() => interrupted,
        }
    };
    if let Err(error) = interrupted {
        eprintln!("bitx: {error}");
    }
    std::process::exit(INTERRUPTED)
}

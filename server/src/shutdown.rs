//! The end: what is under way may finish, for a while.

use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::task::JoinSet;

use crate::state::State;

/// Work that was told to stop looks up so often, at least.
const LAST: Duration = Duration::from_secs(5);

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// Signals that cannot be waited for.
pub async fn signalled() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Lets connections end their requests for as long as `grace`, then ends them.
pub(crate) async fn finish(state: &State, graceful: GracefulShutdown, mut connections: JoinSet<()>) {
    tracing::info!(connections = connections.len(), "shutting down");
    if tokio::time::timeout(state.limits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "ended what was still under way");
    }
    connections.shutdown().await;
    state.stop.cancel();
    state.tasks.close();
    let _ = tokio::time::timeout(LAST, state.tasks.wait()).await;
    state.sessions.clear();
    // Not by dropping it: work that did not look up in time holds it as well.
    state.spool.clear();
}

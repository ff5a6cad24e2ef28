//! The shutdown of a server, which gives running requests some time to finish.

use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::task::JoinSet;

use crate::state::State;

/// The time that cancelled work has to notice it.
const CANCELLED: Duration = Duration::from_secs(5);

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// Those of the system, if it cannot wait for signals.
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

/// Gives connections the grace period to finish their requests, then closes them and cancels all
/// other work.
pub(crate) async fn finish(state: &State, graceful: GracefulShutdown, mut connections: JoinSet<()>) {
    tracing::info!(connections = connections.len(), "shutting down");
    if tokio::time::timeout(state.limits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "closed connections with unfinished requests");
    }
    connections.shutdown().await;
    state.cancelled.cancel();
    state.tasks.close();
    let _ = tokio::time::timeout(CANCELLED, state.tasks.wait()).await;
    state.sessions.clear();
    state.findings.clear();
    // The spool is cleared explicitly, since work that has not noticed its cancellation still holds
    // it.
    state.spool.clear();
}

//! The one way in which Raft ends without being asked to.

use tokio::sync::watch;

/// Shared by everything that can fail; keeps the first reason. Whoever runs the master waits for it and
/// ends the process: a master whose Raft core or disk failed must not serve on.
#[derive(Clone, Debug)]
pub(crate) struct Failure(watch::Sender<Option<String>>);

impl Failure {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Reports `reason`; later reasons are consequences and are only logged.
    pub(crate) fn report(&self, reason: impl Into<String>) {
        let reason = reason.into();
        // Before it is logged: the log may lie on the disk that failed.
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| reason.clone());
            is_first
        });
        tracing::error!(%reason, "raft failed");
    }

    /// The first reason, once there is one. Cancel-safe.
    pub(crate) async fn reported(&self) -> String {
        let mut reasons = self.0.subscribe();
        match reasons.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender is `self`, so the channel cannot close while this waits.
            Err(_) => std::future::pending().await,
        }
    }
}

/// An error and everything it came from, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

//! The version store as a running master reads it for others.

use std::sync::Arc;

use base::env;
use storage::VersionStore;
use tokio::sync::watch;

use crate::exact::ViewError;
use crate::replica::{Shared, fail};

/// Reads history. Damage that is met is a failure of the replica, whoever asked: the one who asked would only
/// try again, and nobody else would know that the next answer may be wrong.
#[derive(Clone)]
pub struct HistoryReader {
    versions: Arc<dyn VersionStore>,
    failed: watch::Sender<Option<String>>,
}

impl Shared {
    /// Reads the current version store, also after a snapshot replaced it.
    pub(crate) fn history(&self) -> HistoryReader {
        HistoryReader::new(self.versions(), self.failed.clone())
    }
}

impl HistoryReader {
    pub(crate) fn new(versions: Arc<dyn VersionStore>, failed: watch::Sender<Option<String>>) -> Self {
        Self { versions, failed }
    }

    /// Asks where it may block. Damage is told also when nobody waits for the answer any more.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn VersionStore) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ViewError> {
        let Self { versions, failed } = self.clone();
        let asked = move || {
            let answer = question(&*versions);
            if let Err(error @ ViewError::History(cause)) = &answer
                && cause.is_corrupt()
            {
                fail(&failed, error.to_string());
            }
            answer
        };
        env::blocking(asked).await
    }
}

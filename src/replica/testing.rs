//! A version store with a history, for tests of what reads it.

use std::sync::Arc;

use api::Key;
use state::{Batch, Entry, Meta, Stamp, State, Txn, Write};
use storage::memory::MemoryStores;
use storage::snapshot::Stores;
use storage::{Image, VersionBatch, VersionStore};

use crate::persist::version_of;

/// State and the versions of all its changes.
pub(crate) struct History {
    pub(crate) versions: Arc<dyn VersionStore>,
    state: State,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { versions: MemoryStores::new().versions(), state: State::default() }
    }

    /// One transaction that writes each of `plural/name`; returns the last revision it took.
    pub(crate) fn write(&mut self, time_ms: u64, objects: &[(&str, &str)]) -> u64 {
        let index = self.state.index() + 1;
        let put = |(plural, name): &(&str, &str)| Write::Put {
            key: Key::object("", plural, "default", name),
            body: format!(r#"{{"index":{index}}}"#).into(),
            splice: None,
            meta: Meta::default(),
        };
        let stamp = Stamp { request: index.into(), actor: "tester".to_owned() };
        let txn = Txn { stamp, guards: Vec::new(), writes: objects.iter().map(put).collect() };
        let batch = Batch { time_ms, txns: vec![txn] };
        let applied = state::apply(&self.state, &Entry { index, term: 1, batch: &batch });
        self.state = applied.state;
        let revision = self.state.revision();
        let versions = applied.changes.iter().map(version_of).collect();
        let image = Some(Image { index, revision, head: self.state.head() });
        self.versions.write(&VersionBatch { versions, sides: applied.sides, image }).expect("written");
        revision
    }
}

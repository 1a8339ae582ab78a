//! What every cluster has that is made once and then stays: the first key that signs tokens, and the authority that
//! clients and agents are trusted by. Made with the cluster, and by a leader that finds it missing: in clusters that
//! are older than it.

use std::sync::Arc;
use std::time::Duration;

use api::{Key, Resource};
use base::shutdown::Shutdown;
use serde_json::json;
use state::{Guard, State, Txn};

use crate::backend::Backend;
use crate::bootstrap::{ACTOR, created};
use crate::leader::{Chore, Step, again_and_again, take};
use crate::limits::STANDING_INTERVAL;
use crate::tokens::keys::{self, SignError};
use crate::verbs::write::transaction;

/// Where the authority stands, as in Kubernetes; under [`CLIENT_CA`].
pub const AUTHENTICATION: &str = "extension-apiserver-authentication";

/// The authority that signs clients, PEM.
pub const CLIENT_CA: &str = "client-ca-file";

const NAMESPACE: &str = "kube-system";

/// One step for each thing that `state` lacks. `authority` is the cluster's, PEM.
///
/// # Errors
/// When there is no key and none can be made.
pub fn missing(state: &State, authority: &str) -> Result<Vec<Step>, SignError> {
    let mut steps = Vec::new();
    // Twice at once would do no harm: both would verify, and the later sign.
    if state.count(&keys::prefix()) == 0 {
        let (key, write) = keys::fresh()?;
        steps.push(Step { guards: vec![Guard::Absent { key }], writes: vec![write] });
    }
    let row = Resource::builtin("", "v1", "configmaps");
    if state.get(row.key(NAMESPACE, AUTHENTICATION).as_str()).is_none() {
        let (key, write) = created(&row, NAMESPACE, AUTHENTICATION, json!({"data": {CLIENT_CA: authority}}));
        let live = Guard::Live { key: Key::object("", "namespaces", "", NAMESPACE), uid: String::new() };
        steps.push(Step { guards: vec![Guard::Absent { key }, live], writes: vec![write] });
    }
    Ok(steps)
}

/// The same as transactions, for a cluster that is being made.
///
/// # Errors
/// As [`missing`].
pub fn founding(state: &State, authority: &str) -> Result<Vec<Txn>, SignError> {
    let steps = missing(state, authority)?.into_iter();
    Ok(steps.map(|Step { guards, writes }| transaction(ACTOR, guards, writes)).collect())
}

/// Runs until the shutdown.
pub async fn run(backend: Arc<dyn Backend>, authority: String, mut shutdown: Shutdown) {
    let standing = Standing { authority };
    tokio::select! {
        biased;
        () = shutdown.wait() => {}
        // May be dropped anywhere: each step is a transaction.
        never = again_and_again(&*backend, &standing) => match never {},
    }
}

struct Standing {
    authority: String,
}

#[async_trait::async_trait]
impl Chore for Standing {
    fn prefix(&self) -> String {
        keys::prefix()
    }

    fn interval(&self) -> Duration {
        STANDING_INTERVAL
    }

    async fn run(&self, backend: &dyn Backend, term: u64) {
        let steps = match missing(&backend.moment().state, &self.authority) {
            Ok(steps) => steps,
            Err(error) => return tracing::warn!(%error, "no tokens can be signed: tried again later"),
        };
        for step in steps {
            if let Err(error) = take(backend, ACTOR, step, term).await {
                return tracing::info!(%error, "making what every cluster has: tried again later");
            }
        }
    }
}

//! Requests for certificates: those that agents may make of themselves are approved, and what is approved is signed.
//!
//! # Flow
//! [`plan`] decides from State alone what comes next for one request; the leader's loop does it. The key that signs
//! is behind [`Signer`].

mod order;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use api::{Object, Resource, time};
use base::env;
use base::shutdown::Shutdown;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replica::ProposeError;
use serde_json::{Value, json};
use state::{Guard, State};

use crate::backend::Backend;
use crate::leader::{Chore, Step, again_and_again, take};
use crate::limits::CERTIFICATES_INTERVAL;
use crate::verbs::write::put;
pub use order::{Order, Usage};
pub use plan::{Decision, plan};

/// On whose behalf requests are approved.
const APPROVER: &str = "system:serviceaccount:kube-system:certificate-controller";

/// Holds the cluster's authority.
pub trait Signer: Send + Sync + 'static {
    /// A certificate as ordered and the chain up to the authority, PEM.
    ///
    /// # Errors
    /// When it cannot be signed, now or ever: what is wrong with it.
    fn sign(&self, order: &Order, now_ms: u64) -> Result<String, String>;
}

/// Runs until the shutdown. A change of any request wakes it; so does time: a node may have told its addresses.
pub async fn run(backend: Arc<dyn Backend>, signer: Arc<dyn Signer>, mut shutdown: Shutdown) {
    let requests = Requests { row: row(), signer };
    tokio::select! {
        biased;
        () = shutdown.wait() => {}
        // May be dropped anywhere: each step is a transaction, and the next leader goes on from State.
        never = again_and_again(&*backend, &requests) => match never {},
    }
}

fn row() -> Arc<Resource> {
    Resource::builtin("certificates.k8s.io", "v1", "certificatesigningrequests")
}

struct Requests {
    row: Arc<Resource>,
    signer: Arc<dyn Signer>,
}

#[async_trait::async_trait]
impl Chore for Requests {
    fn prefix(&self) -> String {
        self.row.prefix("")
    }

    fn interval(&self) -> Duration {
        CERTIFICATES_INTERVAL
    }

    /// Takes a request as far as it goes, then the next.
    async fn run(&self, backend: &dyn Backend, term: u64) {
        let names: Vec<String> =
            backend.moment().state.range(&self.prefix()).map(|found| found.key.name().to_owned()).collect();
        for name in names {
            match self.advance(backend, &name, term).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return tracing::info!(%error, "signing certificates: tried again later"),
            }
        }
    }
}

impl Requests {
    /// Whether this master still leads.
    async fn advance(&self, backend: &dyn Backend, name: &str, term: u64) -> Result<bool, ProposeError> {
        loop {
            if backend.leading_term() != Some(term) {
                return Ok(false);
            }
            let moment = backend.moment();
            let Some(decision) = plan(&moment.state, name) else { return Ok(true) };
            let Some(step) = self.step(&moment.state, name, &decision, env::wall_ms()) else {
                return Ok(true);
            };
            if !take(backend, APPROVER, step, term).await? {
                return Ok(true);
            }
        }
    }

    /// The write that carries a decision out.
    fn step(&self, state: &State, name: &str, decision: &Decision, now_ms: u64) -> Option<Step> {
        let found = state.get(self.row.key("", name).as_str())?;
        let mut request = Object::read(&found.bytes.to_bytes(), &self.row).ok()?;
        let status = api::object::member(&mut request.fields, "status");
        match decision {
            Decision::Approve { message } => append(status, "Approved", "AutoApproved", message, now_ms),
            Decision::Fail { message } => {
                append(status, "Failed", "SignerValidationFailure", message, now_ms)
            }
            Decision::Sign(order) => match self.signer.sign(order, now_ms) {
                Ok(chain) => _ = status.insert("certificate".to_owned(), STANDARD.encode(chain).into()),
                Err(why) => append(status, "Failed", "SignerValidationFailure", &why, now_ms),
            },
        }
        let key = found.key.clone();
        let guards = vec![Guard::AtRevision { key: key.clone(), revision: found.revision }];
        Some(Step { guards, writes: vec![put(key, &request.prepare(&self.row))] })
    }
}

fn append(status: &mut serde_json::Map<String, Value>, kind: &str, reason: &str, message: &str, now_ms: u64) {
    let now = time::rfc3339(now_ms);
    let condition = json!({
        "type": kind, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now,
    });
    if let Some(list) = status.entry("conditions").or_insert_with(|| json!([])).as_array_mut() {
        list.push(condition);
    }
}

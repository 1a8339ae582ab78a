//! A master's word that it lives: a Lease in `kube-system`, as Kubernetes' API servers have, under its name. Whoever leads
//! takes masters that are silent out of Service `kubernetes`.

use std::sync::Arc;

use api::object::member;
use api::{Key, Object, ObjectMeta, Resource, time};
use base::env;
use base::shutdown::Shutdown;
use projection::office::MASTERS;
use replica::ProposeError;
use serde_json::{Map, Value, json};
use state::{Guard, State};

use crate::backend::Backend;
use crate::bootstrap::{ACTOR, made};
use crate::leader::Step;
use crate::limits::{PRESENCE_INTERVAL, PRESENCE_SECONDS};
use crate::verbs::write::{put, transaction};

const NAMESPACE: &str = "kube-system";

/// The label by which Kubernetes finds such leases.
const IDENTITY: (&str, &str) = ("apiserver.kubernetes.io/identity", "kube-apiserver");

/// Says it again and again, until the shutdown.
pub async fn run(backend: Arc<dyn Backend>, master: String, mut shutdown: Shutdown) {
    loop {
        let renewal = async {
            if let Err(error) = renew(&*backend, &master).await {
                tracing::debug!(%error, "the master's lease was not renewed: tried again later");
            }
            env::sleep(PRESENCE_INTERVAL).await;
        };
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            // May be dropped anywhere: it is one transaction.
            () = renewal => {}
        }
    }
}

async fn renew(backend: &dyn Backend, master: &str) -> Result<(), ProposeError> {
    let moment = backend.moment();
    let Some(Step { guards, writes }) = step(&moment.state, master, env::wall_ms()) else { return Ok(()) };
    // One that is refused lost against an older one of the same master, or against somebody's hand.
    backend.propose(transaction(ACTOR, guards, writes)).await.map(drop)
}

/// The write of a renewal; `None` for a lease that cannot be read.
fn step(state: &State, master: &str, now_ms: u64) -> Option<Step> {
    let row = Resource::builtin("coordination.k8s.io", "v1", "leases");
    let name = format!("apiserver-{master}");
    let key = row.key(NAMESPACE, &name);
    debug_assert!(key.as_str().starts_with(MASTERS), "leases of masters are looked for there");
    let now = time::micro(i64::try_from(now_ms).ok()?.saturating_mul(1_000));
    let mut spec = Map::new();
    spec.insert("holderIdentity".to_owned(), name.as_str().into());
    spec.insert("leaseDurationSeconds".to_owned(), PRESENCE_SECONDS.into());
    spec.insert("renewTime".to_owned(), Value::String(now));
    let Some(found) = state.get(key.as_str()) else {
        let labels = [(IDENTITY.0.to_owned(), IDENTITY.1.to_owned())].into();
        let meta = ObjectMeta { name, namespace: NAMESPACE.to_owned(), labels, ..ObjectMeta::default() };
        let (key, write) = made(&row, meta, json!({"spec": spec}));
        let live = Guard::Live { key: Key::object("", "namespaces", "", NAMESPACE), uid: String::new() };
        return Some(Step { guards: vec![Guard::Absent { key }, live], writes: vec![write] });
    };
    let mut lease = Object::read(&found.bytes.to_bytes(), &row).ok()?;
    member(&mut lease.fields, "spec").extend(spec);
    let guards = vec![Guard::AtRevision { key: key.clone(), revision: found.revision }];
    Some(Step { guards, writes: vec![put(key, &lease.prepare(&row))] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::Memory;
    use crate::bootstrap;

    #[tokio::test(start_paused = true)]
    async fn a_master_says_that_it_lives_until_it_stops() {
        let memory = Memory::new();
        for txn in bootstrap::missing(&memory.moment().state, &bootstrap::Settings::default()) {
            memory.apply(txn);
        }
        let (trigger, shutdown) = base::shutdown::channel();
        let backend: Arc<dyn Backend> = Arc::new(memory.clone());
        let running = env::spawn(run(backend, "master-1".to_owned(), shutdown));
        let key = format!("{MASTERS}master-1");
        let read = || {
            let moment = memory.moment();
            let found = moment.state.get(&key)?;
            let body: Value = serde_json::from_slice(&found.bytes.to_bytes()).expect("an object");
            Some((found.revision, body))
        };
        env::sleep(PRESENCE_INTERVAL / 2).await;
        let (first, lease) = read().expect("a lease");
        assert_eq!(lease["metadata"]["labels"][IDENTITY.0], IDENTITY.1);
        assert_eq!(lease["spec"]["holderIdentity"], "apiserver-master-1");
        assert!(lease["spec"]["renewTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{lease}");
        env::sleep(PRESENCE_INTERVAL).await;
        let (second, _) = read().expect("a lease");
        assert!(second > first, "it was not renewed");
        trigger.fire();
        running.await.expect("it ends");
    }
}

//! Namespaces that are going: emptied by the leader's loop, and closed to what is new.
//!
//! On virtual time, so that a sweep and the pause after it are told apart.

use std::sync::Arc;
use std::time::Duration;

use api::deletion::mark;
use api::kinds::namespace;
use api::{Object, Resource};
use base::env::{self, JoinHandle};
use base::shutdown::{self, Trigger};
use serde_json::{Value, json};
use state::{Outcome, Txn, Write};

use super::Api;
use crate::definitions::Definitions;
use crate::limits::{NAMESPACE_SWEEP_INTERVAL, OBJECT_BYTES_MAX};
use crate::verbs::write::{put, transaction};
use crate::{Backend, namespaces};

/// When these tests take place.
const NOW_MS: u64 = env::SIMULATED_EPOCH_MS;

/// Longer than a sweep, which waits for nothing here, and shorter than the pause after it.
const ONE_SWEEP: Duration = Duration::from_millis(1);

const NAMESPACES: &str = "/api/v1/namespaces";

/// The leader's loop, until dropped.
struct Loop(Trigger, JoinHandle<()>);

impl Loop {
    fn start(api: &Api) -> Self {
        let (trigger, shutdown) = shutdown::channel();
        Self(trigger, env::spawn(namespaces::run(Arc::new(api.memory.clone()), shutdown)))
    }

    async fn stop(self) {
        self.0.fire();
        self.1.await.expect("the loop does not panic");
    }
}

/// One sweep of the leader.
pub(super) async fn sweep(api: &Api) {
    let running = Loop::start(api);
    env::sleep(ONE_SWEEP).await;
    running.stop().await;
}

/// Makes namespaces with a ConfigMap `x` each, and deletes them.
async fn going(api: &Api, names: &[&str]) {
    for name in names {
        api.post(NAMESPACES, json!({"metadata": {"name": name}})).await;
        api.post(&format!("{NAMESPACES}/{name}/configmaps"), json!({"metadata": {"name": "x"}})).await;
        api.delete(&format!("{NAMESPACES}/{name}")).await;
    }
}

/// The namespaces left of these.
async fn left<'a>(api: &Api, names: &[&'a str]) -> Vec<&'a str> {
    let mut left = Vec::new();
    for name in names {
        if api.get(&format!("{NAMESPACES}/{name}")).await.code == 200 {
            left.push(*name);
        }
    }
    left
}

/// Somebody's write of ConfigMap `name` into namespace `within`.
fn late(within: &str, name: &str) -> Txn {
    let row = &Resource::builtin("", "v1", "configmaps");
    let meta = json!({"name": name, "namespace": within, "creationTimestamp": "2026-01-01T00:00:00Z"});
    let body = json!({ "metadata": meta }).to_string();
    let object = Object::read(body.as_bytes(), row).expect("readable");
    transaction("other", Vec::new(), vec![put(row.key(within, name), &object.prepare(row))])
}

/// The deletion of a namespace, as another request would propose it.
fn deletion(api: &Api, name: &str) -> Txn {
    let row: &Resource = &namespace::RESOURCE;
    let key = row.key("", name);
    let moment = api.memory.moment();
    let mut object = Object::read(&moment.state.get(key.as_str()).expect("there").bytes.to_bytes(), row)
        .expect("readable");
    mark(&mut object, row, NOW_MS);
    transaction("other", Vec::new(), vec![put(key, &object.prepare(row))])
}

#[test]
fn a_namespace_is_emptied_before_it_goes() {
    env::simulate(1, async {
        let api = Api::new();
        let path = "/api/v1/namespaces/a";
        api.post(NAMESPACES, json!({"metadata": {"name": "a"}})).await;
        for at in 0..3 {
            api.post(&format!("{path}/configmaps"), json!({"metadata": {"name": format!("x{at}")}})).await;
        }
        let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
        api.post(&format!("{path}/secrets"), held).await;
        let deleted = api.delete(path).await;
        assert_eq!(deleted.body["status"]["phase"], "Terminating");
        sweep(&api).await;
        assert_eq!(api.get(&format!("{path}/configmaps")).await.names().len(), 0);
        assert_eq!(api.get(path).await.code, 200, "a finalizer in it keeps the namespace");
        let mut held = api.get(&format!("{path}/secrets/held")).await.body;
        assert!(held["metadata"]["deletionTimestamp"].is_string());
        held["metadata"]["finalizers"] = json!([]);
        api.put(&format!("{path}/secrets/held"), held).await;
        sweep(&api).await;
        assert_eq!(api.get(path).await.code, 404);
        assert_eq!(
            api.delete("/api/v1/namespaces/default").await.failure(),
            (403, r#"namespaces "default" is forbidden: this namespace may not be deleted"#)
        );
    });
}

#[test]
fn nothing_is_created_in_a_namespace_that_is_going() {
    let refusal = r#"configmaps "late" is forbidden: unable to create new content in namespace a because it is being terminated"#;
    env::simulate(1, async {
        let api = Api::new();
        let maps = format!("{NAMESPACES}/a/configmaps");
        api.post(NAMESPACES, json!({"metadata": {"name": "a"}})).await;
        // Deleted after the create was admitted, and before it is applied.
        api.memory.intrude(deletion(&api, "a"));
        let refused = api.post(&maps, json!({"metadata": {"name": "late"}})).await;
        assert_eq!(refused.failure(), (403, refusal));
        assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
        assert_eq!(api.get(&format!("{maps}/late")).await.code, 404);
        // And long before.
        let refused = api.post(&maps, json!({"metadata": {"name": "late"}})).await;
        assert_eq!(refused.failure(), (403, refusal));
    });
}

#[test]
fn a_namespace_that_gets_something_at_the_last_moment_stays() {
    env::simulate(1, async {
        let api = Api::new();
        api.post(NAMESPACES, json!({"metadata": {"name": "a"}})).await;
        api.delete("/api/v1/namespaces/a").await;
        let step = namespaces::plan(&api.memory.moment().state, &Definitions::default(), "a", NOW_MS)
            .expect("the last step");
        assert_eq!(step.writes, [Write::Delete { key: namespace::RESOURCE.key("", "a") }]);
        api.memory.apply(late("a", "late"));
        let refused = api.memory.apply(transaction("sweep", step.guards, step.writes)).outcome;
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
        assert_eq!(left(&api, &["a"]).await, ["a"]);
        // The next look sees what came, takes it away, and then the namespace.
        sweep(&api).await;
        assert_eq!(api.get("/api/v1/namespaces/a/configmaps").await.names().len(), 0);
        assert_eq!(left(&api, &["a"]).await, Vec::<&str>::new());
    });
}

#[test]
fn a_namespace_of_large_held_objects_is_marked_in_transactions_that_fit() {
    env::simulate(1, async {
        let api = Api::new();
        let path = "/api/v1/namespaces/a";
        api.post(NAMESPACES, json!({"metadata": {"name": "a"}})).await;
        let large = "x".repeat(1_000_000);
        for at in 0..10 {
            let meta = json!({"name": format!("x{at}"), "finalizers": ["example.com/hold"]});
            let body = json!({"metadata": meta, "data": {"a": large}});
            assert_eq!(api.post(&format!("{path}/configmaps"), body).await.code, 201);
        }
        api.delete(path).await;
        let plan = || namespaces::plan(&api.memory.moment().state, &Definitions::default(), "a", NOW_MS);
        assert_eq!(plan(), plan(), "plans are pure");
        sweep(&api).await;
        let held = api.get(&format!("{path}/configmaps")).await;
        let marked = held.body["items"].as_array().expect("a list").iter();
        let marks: Vec<_> = marked.map(|object| &object["metadata"]["deletionTimestamp"]).collect();
        assert_eq!(marks, vec!["2026-01-01T00:00:00Z"; 10]);
    });
}

#[test]
fn a_namespace_that_cannot_go_on_holds_up_no_other() {
    env::simulate(1, async {
        let api = Api::new();
        going(&api, &["a", "b", "c"]).await;
        let steps = api.memory.proposals();
        // Somebody rewrites what the first step of the first is about to delete.
        api.memory.intrude(late("a", "x"));
        sweep(&api).await;
        assert_eq!(left(&api, &["a", "b", "c"]).await, Vec::<&str>::new());
        let taken = api.memory.proposals() - steps;
        assert_eq!(taken, 7, "two steps each, and the one that was refused");
    });
}

#[test]
fn a_sweep_ends_at_once_without_a_quorum_and_another_follows() {
    env::simulate(1, async {
        let api = Api::new();
        going(&api, &["a", "b", "c"]).await;
        let steps = api.memory.proposals();
        api.memory.fail_next(replica::ProposeError::Unavailable { reason: "no master leads".into() });
        let running = Loop::start(&api);
        env::sleep(ONE_SWEEP).await;
        assert_eq!(api.memory.proposals() - steps, 1, "each would have to wait for its timeout");
        env::sleep(NAMESPACE_SWEEP_INTERVAL).await;
        assert_eq!(left(&api, &["a", "b", "c"]).await, Vec::<&str>::new());
        running.stop().await;
    });
}

#[test]
fn a_sweep_ends_with_the_leadership() {
    env::simulate(1, async {
        let api = Api::new();
        going(&api, &["a", "b", "c"]).await;
        let steps = api.memory.proposals();
        api.memory.depose_after(2);
        let running = Loop::start(&api);
        env::sleep(NAMESPACE_SWEEP_INTERVAL * 2).await;
        assert_eq!(api.memory.proposals() - steps, 2, "somebody else leads");
        running.stop().await;
    });
}

#[test]
fn a_shutdown_does_not_wait_for_a_sweep() {
    env::simulate(1, async {
        let api = Api::new();
        going(&api, &["a"]).await;
        api.memory.stall();
        let running = Loop::start(&api);
        env::sleep(ONE_SWEEP).await;
        let stopping = env::monotonic();
        running.stop().await;
        assert_eq!(stopping.elapsed(), Duration::ZERO);
    });
}

#[test]
fn the_largest_object_can_still_be_marked_as_deleted() {
    env::simulate(1, async {
        let api = Api::new();
        let (path, maps) = ("/api/v1/namespaces/a", "/api/v1/namespaces/a/configmaps");
        api.post("/api/v1/namespaces", json!({"metadata": {"name": "a"}})).await;
        let object = |quotes: usize, filler: usize| {
            let meta = json!({"name": "x", "finalizers": ["a.example/hold", "b.example/hold"]});
            // A quotation mark takes two bytes where it is stored: so little data is so large an object.
            json!({"metadata": meta, "data": {"a": "\"".repeat(quotes), "b": "b".repeat(filler)}})
        };
        let stored = |answer: &Value| answer.to_string().len();
        let mut empty = api.post(&format!("{maps}?dryRun=All"), object(0, 0)).await.body;
        // Who owns its fields is not kept in an object that has no room for it.
        empty["metadata"].as_object_mut().expect("metadata").remove("managedFields");
        let room = OBJECT_BYTES_MAX - stored(&empty);
        let (quotes, filler) = (700_000, room - 1_400_000);
        let refused = api.post(maps, object(quotes, filler + 1)).await;
        let why = "Request entity too large: bytes of the object: 1568769, but at most 1568768 is accepted; \
               make the change smaller or split it";
        assert_eq!(refused.failure(), (413, why));
        assert_eq!(api.post(maps, object(quotes, filler)).await.code, 201);

        api.delete(path).await;
        sweep(&api).await;
        let mut marked = api.get(&format!("{maps}/x")).await.body;
        assert!(marked["metadata"]["deletionTimestamp"].is_string());
        assert!(stored(&marked) > OBJECT_BYTES_MAX, "the room is used");
        // Each finalizer goes by itself, though what is left is still larger than a new object may be.
        for left in [json!(["b.example/hold"]), json!([])] {
            marked["metadata"]["finalizers"] = left;
            marked["metadata"]["resourceVersion"] = Value::Null;
            assert_eq!(api.put(&format!("{maps}/x"), marked.clone()).await.code, 200);
        }
        sweep(&api).await;
        assert_eq!(api.get(path).await.code, 404);
    });
}

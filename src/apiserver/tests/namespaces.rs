//! Namespaces that are going: emptied by their controller, and closed to what is new.

use api::deletion::mark;
use api::kinds::namespace;
use api::{Object, Resource};
use base::env;
use serde_json::{Value, json};
use state::Txn;

use super::Api;
use super::table::settle;
use crate::Backend;
use crate::limits::OBJECT_BYTES_MAX;
use crate::verbs::write::{put, transaction};

/// When these tests take place.
const NOW_MS: u64 = env::SIMULATED_EPOCH_MS;

const NAMESPACES: &str = "/api/v1/namespaces";

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
        settle(&api.memory, &[]).await;
        assert_eq!(api.get(&format!("{path}/configmaps")).await.names().len(), 0);
        assert_eq!(api.get(path).await.code, 200, "a finalizer in it keeps the namespace");
        let mut held = api.get(&format!("{path}/secrets/held")).await.body;
        assert!(held["metadata"]["deletionTimestamp"].is_string());
        held["metadata"]["finalizers"] = json!([]);
        api.put(&format!("{path}/secrets/held"), held).await;
        settle(&api.memory, &[]).await;
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
        settle(&api.memory, &[]).await;
        let held = api.get(&format!("{path}/configmaps")).await;
        let marked = held.body["items"].as_array().expect("a list").iter();
        let is_marked = |object: &Value| object["metadata"]["deletionTimestamp"].is_string();
        assert_eq!(marked.filter(|object| is_marked(object)).count(), 10);
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
        settle(&api.memory, &[]).await;
        let mut marked = api.get(&format!("{maps}/x")).await.body;
        assert!(marked["metadata"]["deletionTimestamp"].is_string());
        assert!(stored(&marked) > OBJECT_BYTES_MAX, "the room is used");
        // Each finalizer goes by itself, though what is left is still larger than a new object may be.
        for left in [json!(["b.example/hold"]), json!([])] {
            marked["metadata"]["finalizers"] = left;
            marked["metadata"]["resourceVersion"] = Value::Null;
            assert_eq!(api.put(&format!("{maps}/x"), marked.clone()).await.code, 200);
        }
        settle(&api.memory, &[]).await;
        assert_eq!(api.get(path).await.code, 404);
    });
}

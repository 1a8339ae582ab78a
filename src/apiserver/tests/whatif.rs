//! What would happen: told by the whole table over a fork, and nothing changes.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use base::env;
use http::{Request, header};
use projection::World;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use super::crashes::{deployment, node};
use super::table::settle;
use super::{Answer, Api, admin, answer};
use crate::Backend;
use crate::chain::admission::Settings;
use crate::whatif::{Planner, routes};

/// What would happen if these requests were made.
async fn asked(api: &Api, requests: Value) -> Answer {
    let world = World::of(api.memory.moment().state.clone());
    let planner = Planner {
        world: watch::channel(world).1,
        controllers: controllers::CONTROLLERS.iter().copied().chain([scheduler::SCHEDULER]).collect(),
        backend: Arc::new(api.memory.clone()),
        settings: Arc::new(Settings::default()),
    };
    let request = Request::post("/keelson/v1/plan").header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(json!({"requests": requests}).to_string())).expect("a request");
    let router = routes(planner).layer(Extension(admin()));
    answer(router.oneshot(request).await.expect("the router answers")).await
}

fn create(replicas: u32) -> Value {
    json!([{"method": "POST", "path": "/apis/apps/v1/namespaces/default/deployments",
        "contentType": "application/json", "body": deployment(replicas)}])
}

/// Controller, verb and resource of each step.
fn steps(answer: &Answer) -> Vec<String> {
    let steps = answer.body["steps"].as_array().expect("steps").iter();
    let text = |step: &Value, field: &str| step[field].as_str().expect("text").to_owned();
    steps.map(|step| ["controller", "verb", "resource"].map(|field| text(step, field)).join(" ")).collect()
}

#[test]
fn what_would_follow_is_told_and_nothing_changes() {
    env::simulate(1, async {
        let api = Api::founded();
        assert_eq!(api.post("/api/v1/nodes", node("n")).await.code, 201);
        settle(&api.memory, &["n"]).await;
        let (before, proposals) = (api.memory.moment(), api.memory.proposals());
        let told = asked(&api, create(2)).await;
        assert_eq!((told.code, &told.body["isSettled"]), (200, &json!(true)), "{told:?}");
        let pods: Vec<_> =
            told.body["pods"].as_array().expect("pods").iter().map(|pod| &pod["node"]).collect();
        assert_eq!(pods, ["n", "n"]);
        let steps = steps(&told);
        let count = |step: &str| steps.iter().filter(|told| *told == step).count();
        assert_eq!(count("deployment create apps/replicasets"), 1, "{steps:#?}");
        assert_eq!(count("replicaset create core/pods"), 2, "{steps:#?}");
        assert_eq!(count("scheduler bind core/pods"), 2, "{steps:#?}");
        let after = api.memory.moment();
        assert_eq!(
            (after.state.hash(), after.revision(), api.memory.proposals()),
            (before.state.hash(), before.revision(), proposals),
        );
    });
}

#[test]
fn who_counts_the_time_that_jumps_takes_no_part() {
    env::simulate(1, async {
        let api = Api::founded();
        assert_eq!(api.post("/api/v1/nodes", node("n")).await.code, 201);
        settle(&api.memory, &["n"]).await;
        // What never becomes ready makes time jump to its deadline, and nobody renews a lease meanwhile.
        let mut waits = create(1);
        waits[0]["body"]["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "where"});
        let told = asked(&api, waits).await;
        assert_eq!((told.code, &told.body["isSettled"]), (200, &json!(true)), "{told:?}");
        let others = |step: &&String| step.starts_with("node-lifecycle") || step.contains("core/nodes");
        assert_eq!(steps(&told).iter().find(others), None);
        let why = told.body["pods"][0]["why"].as_str().expect("why");
        assert!(
            why.starts_with("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
            "{why}"
        );
    });
}

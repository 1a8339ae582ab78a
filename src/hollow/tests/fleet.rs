//! The loops against the fake, on virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use base::{env, shutdown};
use client::fake::{Act, Fake};
use serde_json::{Value, json};

use super::{path, pod};
use crate::Options;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Virtual, far above what anything here takes.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs nodes over a fake while `drive` looks on.
fn run(nodes: usize, drive: impl AsyncFnOnce(Fake)) {
    env::simulate(1, async {
        let fake = Fake::new(2);
        let options = Options::new(fake.client().expect("a client"), nodes);
        let (trigger, signal) = shutdown::channel();
        let running = env::spawn(crate::run(options, signal));
        env::timeout(LIMIT, drive(fake)).await.expect("in time");
        trigger.fire();
        running.await.expect("ends").expect("in order");
    });
}

fn phase(fake: &Fake, name: &str) -> String {
    let pod = fake.get(&path(name)).unwrap_or_default();
    pod["status"]["phase"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn nodes_register_and_keep_their_leases() {
    run(50, async |fake| {
        fake.until(|fake| fake.all("/api/v1/nodes").len() == 50 && fake.all(LEASES).len() == 50).await;
        let node = fake.get("/api/v1/nodes/hollow-7").expect("a node");
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "hollow-7");
        assert_eq!(node["status"]["conditions"][3]["type"], "Ready");
        assert_eq!(node["status"]["allocatable"]["pods"], "110");
        assert_eq!(node["spec"]["podCIDR"], "10.128.0.0/9", "none of the cluster's ranges");
        let renewed = |fake: &Fake| -> Vec<String> {
            fake.all(LEASES).iter().map(|lease| lease["spec"]["renewTime"].to_string()).collect()
        };
        let before = renewed(&fake);
        let asked = fake.asked().len();
        env::sleep(Duration::from_secs(20)).await;
        let after = renewed(&fake);
        assert!(before.iter().zip(&after).all(|(before, after)| before < after), "{after:?}");
        // Two renewals for each node, and little else.
        assert!(fake.asked().len() - asked < 50 * 3, "{}", fake.asked().len() - asked);
        // Somebody deletes a node: it comes back when its status is due.
        fake.remove("/api/v1/nodes/hollow-7");
        fake.until(|fake| fake.get("/api/v1/nodes/hollow-7").is_some()).await;
    });
}

#[test]
fn a_node_that_was_silent_for_too_long_says_that_it_is_ready() {
    run(2, async |fake| {
        let node = "/api/v1/nodes/hollow-1";
        fake.until(|fake| fake.get(node).is_some() && fake.all(LEASES).len() == 2).await;
        (0..2).for_each(|master| fake.set_alive(master, false));
        env::sleep(Duration::from_secs(60)).await;
        let mut silent = fake.get(node).unwrap_or_default();
        silent["status"]["conditions"][3]["status"] = "Unknown".into();
        fake.put(node, silent);
        (0..2).for_each(|master| fake.set_alive(master, true));
        let back = env::monotonic();
        fake.until(|fake| fake.get(node).unwrap_or_default()["status"]["conditions"][3]["status"] == "True")
            .await;
        assert!(back.elapsed() < Duration::from_secs(60), "{:?}", back.elapsed());
    });
}

#[test]
fn a_pod_that_others_say_is_not_ready_is_told_of_again() {
    run(1, async |fake| {
        fake.until(|fake| fake.get("/api/v1/nodes/hollow-0").is_some()).await;
        fake.put(&path("a"), pod("hollow-0", json!({}), "Always"));
        let is_ready = |fake: &Fake| {
            let pod = fake.get(&path("a")).unwrap_or_default();
            let all = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        fake.until(is_ready).await;
        let mut marked = fake.get(&path("a")).expect("a pod");
        for condition in marked["status"]["conditions"].as_array_mut().expect("conditions") {
            condition["status"] = "False".into();
        }
        fake.put(&path("a"), marked);
        fake.until(is_ready).await;
    });
}

#[test]
fn pods_run_end_and_go_as_their_annotations_say() {
    run(3, async |fake| {
        let after = |what: &str, text: &str| json!({format!("hollow.keelson.io/{what}"): text});
        fake.put(&path("plain"), pod("hollow-0", json!({}), "Always"));
        fake.put(&path("job"), pod("hollow-1", after("succeed-after", "5s"), "OnFailure"));
        fake.put(&path("broken"), pod("hollow-2", after("fail-after", "5s"), "Never"));
        fake.put(&path("again"), pod("hollow-2", after("fail-after", "5s"), "Always"));
        fake.put(&path("slow"), pod("hollow-2", after("not-ready", "true"), "Always"));
        fake.put(&path("unbound"), json!({"spec": {"containers": []}}));
        fake.put(&path("elsewhere"), pod("hollow-3", json!({}), "Always"));
        fake.until(|fake| phase(fake, "job") == "Succeeded" && phase(fake, "broken") == "Failed").await;
        let restarts = |fake: &Fake| {
            fake.get(&path("again")).unwrap_or_default()["status"]["containerStatuses"][0]["restartCount"]
                .clone()
        };
        fake.until(|fake| restarts(fake) == 2).await;
        assert_eq!((phase(&fake, "plain"), phase(&fake, "slow")), ("Running".into(), "Running".into()));
        let slow = fake.get(&path("slow")).unwrap_or_default();
        assert_eq!(slow["status"]["conditions"][2]["status"], "False");
        assert_eq!((phase(&fake, "unbound"), phase(&fake, "elsewhere")), (String::new(), String::new()));
        let deleted =
            |object: &mut Value| object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let mut plain = fake.get(&path("plain")).unwrap_or_default();
        deleted(&mut plain);
        fake.put(&path("plain"), plain);
        fake.until(|fake| fake.get(&path("plain")).is_none()).await;
    });
}

#[test]
fn every_pod_gets_there_however_often_writes_fail() {
    run(10, async |fake| {
        fake.script(|ask| match (ask.path.contains("/pods/"), env::random_u64() % 4) {
            (true, 0) => Act::Answer(500),
            (true, 1) => Act::LoseAnswer,
            (true, 2) => Act::Refuse,
            _ => Act::Serve,
        });
        let count = 300;
        for number in 0..count {
            fake.put(
                &path(&format!("p{number}")),
                pod(&format!("hollow-{}", number % 10), json!({}), "Always"),
            );
        }
        let all = "/api/v1/pods";
        fake.until(|fake| fake.all(all).iter().all(|pod| pod["status"]["phase"] == "Running")).await;
        let addresses: BTreeSet<String> =
            fake.all(all).iter().map(|pod| pod["status"]["podIP"].to_string()).collect();
        assert_eq!(addresses.len(), count);
        // One stream for all of them, on either master.
        let lists = fake.asked().iter().filter(|ask| ask.path.contains("/pods?limit")).count();
        assert_eq!(lists, 1);
    });
}

#[test]
fn another_process_takes_over_what_it_finds() {
    run(2, async |fake| {
        let status = json!({"phase": "Running", "podIP": "10.128.0.1"});
        let mut running = pod("hollow-0", json!({}), "Always");
        running["status"] = status.clone();
        fake.put(&path("old"), running);
        fake.put(&path("new"), pod("hollow-0", json!({}), "Always"));
        fake.until(|fake| phase(fake, "new") == "Running").await;
        let (old, new) =
            (fake.get(&path("old")).unwrap_or_default(), fake.get(&path("new")).unwrap_or_default());
        assert_eq!(old["status"], status, "it runs already: nothing is told");
        assert_ne!(new["status"]["podIP"], "10.128.0.1");
    });
}

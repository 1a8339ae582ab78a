//! One request and several masters: what is asked again, and what is not.

use std::time::Duration;

use base::env;
use bytes::Bytes;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};

use super::{name, numbered, path};
use crate::fake::{Act, Fake};
use crate::{Event, Lease, Options, PATIENCE, Repeat, Selection};

const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
const BODY: &str = r#"{"metadata":{"name":"a"}}"#;

/// What comes of a request when the first master acts like this, and whom it was sent to.
fn check(act: Act, method: Method, repeat: Repeat, expect: &str) {
    let told = env::simulate(1, async {
        let fake = Fake::new(3);
        fake.put(&path("there"), numbered(1));
        let given = act.clone();
        fake.script(move |ask| if ask.master == 0 { given.clone() } else { Act::Serve });
        let client = fake.client().expect("a client");
        let (target, body) = match method {
            Method::GET => (path("there"), ""),
            _ => (COLLECTION.to_owned(), BODY),
        };
        let outcome =
            client.request(method.clone(), &target, "application/json", Bytes::from(body), repeat).await;
        let asked = fake.asked().into_iter().filter(|ask| ask.path == target);
        let asked: Vec<String> = asked.map(|ask| (ask.master + 1).to_string()).collect();
        let outcome = match outcome {
            Ok(_) => "done".to_owned(),
            Err(crate::Error::Unknown { .. }) => "unknown".to_owned(),
            Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.to_string()),
        };
        let exists = fake.get(&path("a")).is_some();
        format!("{} {outcome}{}", asked.join(","), if exists { ", created" } else { "" })
    });
    assert_eq!(told, expect, "{act:?} {method} {repeat:?}");
}

#[test]
fn a_write_goes_on_only_when_it_was_certainly_not_done() {
    check(Act::Serve, Method::POST, Repeat::Undone, "1 done, created");
    check(Act::Refuse, Method::POST, Repeat::Undone, "1,2 done, created");
    check(Act::Answer(503), Method::POST, Repeat::Undone, "1,2 done, created");
    check(Act::Answer(429), Method::POST, Repeat::Undone, "1,2 done, created");
    check(Act::Answer(504), Method::POST, Repeat::Undone, "1 504");
    check(Act::Answer(500), Method::POST, Repeat::Undone, "1 500");
    check(Act::Lose, Method::POST, Repeat::Undone, "1 unknown");
    check(Act::LoseAnswer, Method::POST, Repeat::Undone, "1 unknown, created");
}

#[test]
fn what_may_be_done_twice_goes_on_whatever_happens() {
    check(Act::Lose, Method::POST, Repeat::Unknown, "1,2 done, created");
    check(Act::Answer(504), Method::POST, Repeat::Unknown, "1,2 done, created");
    check(Act::LoseAnswer, Method::POST, Repeat::Unknown, "1,2 409, created");
    check(Act::Slow(Duration::from_secs(60)), Method::POST, Repeat::Unknown, "1,2 done, created");
}

#[test]
fn a_read_goes_on_whatever_happens() {
    check(Act::Lose, Method::GET, Repeat::Undone, "1,2 done");
    check(Act::Answer(504), Method::GET, Repeat::Undone, "1,2 done");
    check(Act::Answer(403), Method::GET, Repeat::Undone, "1 403");
}

#[test]
fn without_masters_the_reason_is_told_within_the_patience() {
    env::simulate(1, async {
        let fake = Fake::new(2);
        fake.script(|_| Act::Refuse);
        let client = fake.client().expect("a client");
        let began = env::monotonic();
        let error = client.get(&path("a")).await.expect_err("nobody is there").to_string();
        assert!(began.elapsed() <= PATIENCE + Duration::from_secs(1), "{:?}", began.elapsed());
        let expect = "GET /api/v1/namespaces/default/configmaps/a: no master served it: \
                      http://master-1:80: connection refused; http://master-2:80: connection refused";
        assert_eq!(error, expect);
    });
}

#[test]
fn an_election_is_waited_for() {
    env::simulate(1, async {
        let fake = Fake::new(3);
        fake.script(|_| Act::Answer(503));
        let client = fake.client().expect("a client");
        let write = env::spawn(async move { client.create(COLLECTION, BODY).await });
        env::sleep(Duration::from_secs(3)).await;
        fake.script(|_| Act::Serve);
        write.await.expect("ends").expect("is done once somebody leads");
        assert!(fake.get(&path("a")).is_some());
    });
}

#[test]
fn kube_has_the_same_masters_behind_it() {
    env::simulate(1, async {
        let fake = Fake::new(2);
        fake.script(|ask| if ask.master == 0 { Act::Refuse } else { Act::Serve });
        let client = fake.client().expect("a client");
        let maps: Api<ConfigMap> = Api::namespaced(client.kube(Repeat::Undone), "default");
        let mut map = ConfigMap::default();
        map.metadata.name = Some("a".into());
        maps.create(&PostParams::default(), &map).await.expect("created");
        assert_eq!(name(&maps.get("a").await.expect("read")), "a");
        let error = maps.get("b").await.expect_err("missing");
        assert!(matches!(&error, kube::Error::Api(status) if status.code == 404), "{error}");
    });
}

#[test]
fn a_lease_is_made_and_renewed() {
    env::simulate(1, async {
        let fake = Fake::new(1);
        let client = fake.client().expect("a client");
        let owner = ["v1", "Node", "n", "uid-1"].map(str::to_owned);
        let lease = Lease {
            namespace: "kube-node-lease".into(),
            name: "n".into(),
            holder: "n".into(),
            duration_seconds: 40,
            owner: Some(owner),
        };
        let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n";
        let mut seen = Vec::new();
        for _ in 0..2 {
            client.renew(&lease).await.expect("renewed");
            let kept = fake.get(path).expect("a lease");
            assert_eq!(kept["metadata"]["ownerReferences"][0]["uid"], "uid-1");
            seen.push(kept["spec"].to_string());
            env::sleep(Duration::from_secs(10)).await;
        }
        // A millisecond each: nothing is there, it is made, it is renewed.
        expect_test::expect![[r#"
            {"holderIdentity":"n","leaseDurationSeconds":40,"renewTime":"2026-01-01T00:00:00.001000Z"}
            {"holderIdentity":"n","leaseDurationSeconds":40,"renewTime":"2026-01-01T00:00:10.002000Z"}"#]]
        .assert_eq(&seen.join("\n"));
    });
}

#[test]
fn options_without_servers_are_refused() {
    env::simulate(1, async {
        let refused = crate::Client::new(Options::default()).err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), Some("the client's options name no server"));
    });
}

#[test]
fn a_watch_goes_on_soon_after_masters_are_there_again() {
    for seed in 0..20 {
        env::simulate(seed, async {
            let fake = Fake::new(3);
            let client = fake.client().expect("a client");
            let mut watch = client.watch::<ConfigMap>(Selection::default());
            assert!(matches!(watch.next().await, Some(Event::Restarted(_))), "seed {seed}");
            (0..3).for_each(|master| fake.set_alive(master, false));
            // As an agent renews its lease.
            let renewing = env::spawn(async move {
                loop {
                    let _ = env::timeout(Duration::from_secs(2), client.get("/api/v1/nodes/n")).await;
                    env::sleep(Duration::from_secs(1)).await;
                }
            });
            env::sleep(Duration::from_secs(600)).await;
            (0..3).for_each(|master| fake.set_alive(master, true));
            fake.put(&path("late"), numbered(1));
            let told = env::timeout(Duration::from_secs(6), watch.next()).await;
            assert!(matches!(told, Ok(Some(Event::Applied(_)))), "seed {seed}: {told:?}");
            renewing.abort();
        });
    }
}

//! Every change once, in order, whatever happens to streams, lists and masters.

use std::collections::BTreeMap;
use std::time::Duration;

use base::env;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use super::{name, numbered, path, revision};
use crate::fake::{Act, Ask, Break, Fake};
use crate::{Event, Selection};

/// Virtual: far more than all pauses together.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Names and the revisions they are at.
type Picture = BTreeMap<String, u64>;

/// What the writer did, by revision.
type Written = BTreeMap<u64, (String, bool)>;

fn picture_at(written: &Written, revision: u64) -> Picture {
    let mut picture = Picture::new();
    for (at, (name, exists)) in written.range(..=revision) {
        if *exists {
            picture.insert(name.clone(), *at);
        } else {
            picture.remove(name);
        }
    }
    picture
}

/// A number below a bound.
fn below(bound: u64) -> u64 {
    env::random_u64() % bound
}

/// Some misfortune, or none.
fn misfortune(ask: &Ask) -> Act {
    let broken = Break {
        repeated: below(4) as usize,
        cut_after: (below(2) == 0).then(|| below(5) as usize),
        is_torn: below(3) == 0,
        error: match below(12) {
            0 => Some(500),
            1 => Some(410),
            _ => None,
        },
        delay: Duration::from_millis(below(50)),
    };
    match below(12) {
        0 => Act::Refuse,
        1 => Act::Lose,
        2 => Act::LoseAnswer,
        3 => Act::Answer([410, 429, 500, 503, 504][below(5) as usize]),
        4 => Act::Slow(Duration::from_millis(below(3_000))),
        5..=9 if ask.is_watch() => Act::Break(broken),
        _ => Act::Serve,
    }
}

/// Writes to some names until the end, and forgets the history now and then. Returns what was written.
async fn write(fake: Fake, count: u64, forgets: bool) -> Written {
    let mut written = Written::new();
    for number in 0..count {
        let name = format!("m{}", below(900));
        let exists = below(4) > 0;
        if exists {
            let revision = fake.put(&path(&name), numbered(number));
            written.insert(revision, (name, true));
        } else if fake.get(&path(&name)).is_some() {
            fake.remove(&path(&name));
            let last = written.keys().next_back().copied().unwrap_or(0);
            written.insert(last + 1, (name, false));
        }
        if below(3) == 0 {
            env::sleep(Duration::from_millis(below(400))).await;
        }
        if forgets && below(40) == 0 {
            fake.compact();
        }
        if below(60) == 0 {
            let master = below(3) as usize;
            let is_alive = below(2) == 0;
            // Never all: the first stays.
            fake.set_alive(master.max(1), is_alive);
        }
    }
    fake.script(|_| Act::Serve);
    written
}

/// Follows until everything is seen. Returns how often it began anew.
async fn follow(fake: &Fake, writer: env::JoinHandle<Written>) -> usize {
    let client = fake.client().expect("a client");
    let mut watch = client.watch::<ConfigMap>(Selection::namespace("default"));
    let mut events = Vec::new();
    // The picture so far, without knowing what was written.
    let mut picture = Picture::new();
    let mut follow = async |until: &mut dyn FnMut(&Picture) -> bool| {
        while !until(&picture) {
            let event = watch.next().await.expect("a watch does not end");
            match &event {
                Event::Restarted(all) => picture = all.iter().map(|map| (name(map), revision(map))).collect(),
                Event::Applied(map) => drop(picture.insert(name(map), revision(map))),
                Event::Deleted(map) => drop(picture.remove(&name(map))),
            }
            events.push(event);
        }
    };
    let mut writer = writer;
    let mut never = |_: &Picture| false;
    let written = tokio::select! {
        biased;
        written = &mut writer => written.expect("the writer ends"),
        () = follow(&mut never) => unreachable!("it follows for ever"),
    };
    let last = picture_at(&written, u64::MAX);
    follow(&mut |picture| *picture == last).await;
    check(&events, &written)
}

/// Every event is the next change. Returns the number of beginnings.
fn check(events: &[Event<ConfigMap>], written: &Written) -> usize {
    let (mut at, mut restarts) = (0, 0);
    let mut restarted = None;
    for event in events {
        let (map, exists) = match event {
            Event::Restarted(all) => {
                restarts += 1;
                restarted = Some(all.iter().map(|map| (name(map), revision(map))).collect::<Picture>());
                continue;
            }
            Event::Applied(map) => (map, true),
            Event::Deleted(map) => (map, false),
        };
        let next = revision(map);
        match restarted.take() {
            // All there was right before the first change after it, and never less than was known.
            Some(picture) => {
                assert_eq!(picture, picture_at(written, next - 1), "before {next}");
                assert!(next > at, "{next} after {at}");
            }
            None => assert_eq!(next, at + 1, "a change is missing or told twice"),
        }
        assert_eq!(written.get(&next), Some(&(name(map), exists)), "{next}");
        at = next;
    }
    restarts
}

fn run(seed: u64, forgets: bool) -> usize {
    env::simulate(seed, async {
        let fake = Fake::new(3);
        fake.script(misfortune);
        let writer = env::spawn(write(fake.clone(), 700, forgets));
        env::timeout(LIMIT, follow(&fake, writer)).await.expect("everything is seen in time")
    })
}

#[test]
fn every_change_is_told_once_in_order_whatever_breaks() {
    let restarts: Vec<usize> = (0..40).map(|seed| run(seed, false)).collect();
    // A scripted 410 is the only reason to begin anew, and a rare one.
    assert!(restarts.iter().sum::<usize>() < 40 * 40, "{restarts:?}");
}

#[test]
fn a_history_that_was_forgotten_is_a_new_beginning() {
    let restarts: usize = (100..120).map(|seed| run(seed, true)).sum();
    assert!(restarts > 40, "{restarts}: history was forgotten under the watches");
}

/// Counts the lists among the requests: pages after the first belong to it.
fn lists(fake: &Fake) -> usize {
    let is_list = |ask: &&Ask| ask.path.contains("configmaps?limit") && !ask.path.contains("continue=");
    fake.asked().iter().filter(is_list).count()
}

#[test]
fn only_a_history_that_is_too_short_causes_another_list() {
    let breaks: [(&str, Break, bool); 5] = [
        ("cut", Break { cut_after: Some(1), ..Break::default() }, false),
        ("torn", Break { cut_after: Some(1), is_torn: true, ..Break::default() }, false),
        ("error 500", Break { cut_after: Some(1), error: Some(500), ..Break::default() }, false),
        ("repeated", Break { cut_after: Some(2), repeated: 1, ..Break::default() }, false),
        ("error 410", Break { cut_after: Some(1), error: Some(410), ..Break::default() }, true),
    ];
    for (what, broken, relists) in breaks {
        env::simulate(3, async {
            let fake = Fake::new(2);
            fake.put(&path("zero"), numbered(0));
            fake.script(move |ask| if ask.is_watch() { Act::Break(broken.clone()) } else { Act::Serve });
            let client = fake.client().expect("a client");
            let mut watch = client.watch::<ConfigMap>(Selection::namespace("default"));
            assert!(matches!(watch.next().await, Some(Event::Restarted(all)) if all.len() == 1), "{what}");
            for number in 1..=10 {
                let written = fake.put(&path("one"), numbered(number));
                let is_seen = |event: &Event<ConfigMap>| match event {
                    Event::Restarted(all) => all.iter().any(|map| revision(map) == written),
                    Event::Applied(map) | Event::Deleted(map) => revision(map) == written,
                };
                while !is_seen(&watch.next().await.expect("a watch does not end")) {}
            }
            assert_eq!(lists(&fake) > 1, relists, "{what}");
        });
    }
}

#[test]
fn bookmarks_keep_a_quiet_watch_within_history() {
    env::simulate(1, async {
        let fake = Fake::new(1);
        let client = fake.client().expect("a client");
        let mut watch = client.watch::<ConfigMap>(Selection::namespace("default"));
        assert_eq!(watch.next().await, Some(Event::Restarted(Vec::new())));
        // Far from what is watched, so that only bookmarks tell of it.
        for number in 0..50 {
            fake.put("/api/v1/namespaces/other/secrets/a", numbered(number));
            env::sleep(Duration::from_millis(500)).await;
        }
        env::sleep(Duration::from_secs(5)).await;
        fake.compact();
        // The stream breaks, and goes on from the last bookmark.
        fake.set_alive(0, false);
        env::sleep(Duration::from_millis(100)).await;
        fake.set_alive(0, true);
        let written = fake.put(&path("a"), numbered(1));
        let event = watch.next().await.expect("a watch does not end");
        assert!(matches!(&event, Event::Applied(map) if revision(map) == written), "{event:?}");
        assert_eq!(lists(&fake), 1);
    });
}

#[test]
fn objects_enter_and_leave_a_selection() {
    env::simulate(1, async {
        let fake = Fake::new(1);
        let with = |app: &str| serde_json::json!({"metadata": {"labels": {"app": app}}});
        let put = |name: &str, app: &str| assert!(fake.put(&path(name), Value::clone(&with(app))) > 0);
        put("a", "web");
        put("b", "db");
        let client = fake.client().expect("a client");
        let selection = Selection { labels: "app=web".into(), ..Selection::default() };
        let mut watch = client.watch::<ConfigMap>(selection);
        let mut told = Vec::new();
        let mut tell = async || {
            let event = watch.next().await.expect("a watch does not end");
            told.push(match event {
                Event::Restarted(all) => format!("restarted {}", all.len()),
                Event::Applied(map) => format!("applied {}", name(&map)),
                Event::Deleted(map) => format!("deleted {}", name(&map)),
            });
        };
        tell().await;
        put("b", "web");
        tell().await;
        put("a", "db");
        tell().await;
        assert_eq!(told, ["restarted 1", "applied b", "deleted a"]);
    });
}

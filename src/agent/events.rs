//! Events of pods, as they are written: counted up where they repeat, combined where they differ in their words alone,
//! and few about any one pod.
//!
//! The numbers are those of client-go's recorder, with which Kubernetes' kubelet tells of its pods.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use api::{names, time};
use base::env;
use client::{Client, Patch, Repeat};
use kubelet::PodKey;
use kubelet::outside::Event;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Pods, reasons and Events that are remembered, of each the latest.
const KNOWN_MAX: usize = 4_096;

/// So many Events that differ in their messages alone become one.
const SIMILAR_MAX: usize = 10;

/// A silence of so long ends a row of similar Events.
const SIMILAR_WITHIN_MS: u64 = 600_000;

/// Writes about one pod that need not wait for each other.
const BURST: u64 = 25;

/// After the burst, one write about a pod in so long.
const PACE_MS: u64 = 300_000;

/// How a message begins that stands for several.
const COMBINED: &str = "(combined from similar events): ";

/// Writes events of a node's pods one after the other. One that fails is lost: nothing depends on events.
pub async fn write(client: Client, node: String, mut waiting: mpsc::Receiver<(PodKey, Event)>) {
    let mut recorder = Recorder::default();
    while let Some((pod, event)) = waiting.recv().await {
        let Some(write) = recorder.note(&node, &pod, event, env::wall_ms()) else { continue };
        if let Err(error) = written(&client, &pod, write).await {
            tracing::debug!(%error, %pod, "an event was not written");
        }
    }
}

async fn written(client: &Client, pod: &PodKey, write: Write) -> Result<(), client::Error> {
    let path = format!("/api/v1/namespaces/{}/events", pod.namespace);
    if let Some(again) = write.again {
        let path = format!("{path}/{}", write.name);
        match client.patch(&path, Patch::Merge, again.to_string(), Repeat::Unknown).await {
            // It expired, or was never written.
            Err(error) if error.is_not_found() => {}
            patched => return patched.map(drop),
        }
    }
    client.create(&path, write.whole.to_string()).await.map(drop)
}

/// One write.
#[derive(Debug)]
struct Write {
    /// The Event's name.
    name: String,
    /// What has changed of one that was written before.
    again: Option<Value>,
    /// The whole Event.
    whole: Value,
}

/// What Events that are told from each other by their messages alone have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Topic {
    pod: PodKey,
    is_warning: bool,
    reason: &'static str,
}

/// What makes two Events one that is counted up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    topic: Topic,
    /// The field and the message, by their hashes; `None` stands for all of a row of similar ones.
    details: Option<(u64, u64)>,
}

/// Messages of one topic.
#[derive(Default)]
struct Similar {
    messages: BTreeSet<u64>,
    last_ms: u64,
}

/// An Event that was told of.
struct Known {
    name: String,
    first_ms: u64,
    count: u32,
}

/// How much may be written of one pod, counted in the time that it takes to earn it.
struct Bucket {
    earned_ms: u64,
    last_ms: u64,
}

/// What was told of late.
#[derive(Default)]
struct Recorder {
    similar: Recent<Topic, Similar>,
    known: Recent<Told, Known>,
    buckets: Recent<PodKey, Bucket>,
}

impl Recorder {
    /// What to write of this event, if anything.
    fn note(&mut self, node: &str, pod: &PodKey, event: Event, now_ms: u64) -> Option<Write> {
        let topic = Topic { pod: pod.clone(), is_warning: event.is_warning, reason: event.reason };
        let similar = self.similar.get(&topic, Similar::default);
        if now_ms.saturating_sub(similar.last_ms) > SIMILAR_WITHIN_MS {
            similar.messages.clear();
        }
        similar.last_ms = now_ms;
        similar.messages.insert(hash(&event.message));
        let is_combined = similar.messages.len() >= SIMILAR_MAX;
        let (message, details) = if is_combined {
            similar.messages.pop_last();
            (format!("{COMBINED}{}", event.message), None)
        } else {
            let details = (hash(&event.field_path), hash(&event.message));
            (event.message.clone(), Some(details))
        };
        let new = || Known {
            name: names::of_event(&pod.name, now_ms, env::random_u64()),
            first_ms: now_ms,
            count: 0,
        };
        let known = self.known.get(&Told { topic, details }, new);
        known.count = known.count.saturating_add(1);
        let bucket = self.buckets.get(pod, || Bucket { earned_ms: BURST * PACE_MS, last_ms: now_ms });
        bucket.take(now_ms).then(|| {
            let again =
                json!({"count": known.count, "lastTimestamp": time::rfc3339(now_ms), "message": message});
            Write {
                name: known.name.clone(),
                again: (known.count > 1).then_some(again),
                whole: whole(node, pod, &event, message, known, now_ms),
            }
        })
    }
}

impl Bucket {
    /// Whether one write more is due.
    fn take(&mut self, now_ms: u64) -> bool {
        let earned_ms = self.earned_ms + now_ms.saturating_sub(self.last_ms);
        self.earned_ms = earned_ms.min(BURST * PACE_MS);
        self.last_ms = now_ms;
        let is_due = self.earned_ms >= PACE_MS;
        if is_due {
            self.earned_ms -= PACE_MS;
        }
        is_due
    }
}

fn whole(node: &str, pod: &PodKey, event: &Event, message: String, known: &Known, now_ms: u64) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": known.name, "namespace": pod.namespace},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid,
            "fieldPath": event.field_path,
        },
        "reason": event.reason,
        "message": message,
        "source": {"component": "kubelet", "host": node},
        "firstTimestamp": time::rfc3339(known.first_ms),
        "lastTimestamp": time::rfc3339(now_ms),
        "count": known.count,
        "type": if event.is_warning { "Warning" } else { "Normal" },
        "reportingComponent": "kubelet",
        "reportingInstance": node,
    })
}

/// Messages may be long: what is remembered of them is short.
fn hash(text: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A map that holds the [`KNOWN_MAX`] keys that were asked for last.
struct Recent<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    turn: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: BTreeMap::new(), turn: 0 }
    }
}

impl<K: Clone + Ord, V> Recent<K, V> {
    fn get(&mut self, key: &K, new: impl FnOnce() -> V) -> &mut V {
        self.turn += 1;
        if let Some((turn, _)) = self.entries.get(key) {
            self.order.remove(turn);
        } else if self.entries.len() >= KNOWN_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.order.insert(self.turn, key.clone());
        let entry = self.entries.entry(key.clone()).or_insert_with(|| (0, new()));
        entry.0 = self.turn;
        &mut entry.1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use client::fake::Fake;

    use super::*;

    const PATH: &str = "/api/v1/namespaces/shop/events";

    fn pod(name: &str) -> PodKey {
        PodKey { namespace: "shop".to_owned(), name: name.to_owned(), uid: format!("u-{name}") }
    }

    fn event(reason: &'static str, message: &str) -> Event {
        let field_path = Some("spec.containers{main}".to_owned());
        Event { field_path, is_warning: true, reason, message: message.to_owned() }
    }

    /// Tells these events a second apart; the Events that are there then, with the patches that it took.
    async fn told(fake: &Fake, events: impl IntoIterator<Item = (&'static str, Event)>) -> Vec<String> {
        let (sender, waiting) = mpsc::channel(1);
        let writing = env::spawn(write(fake.client().expect("a client"), "n1".to_owned(), waiting));
        for (name, event) in events {
            sender.send((pod(name), event)).await.expect("it is written");
            env::sleep(Duration::from_secs(1)).await;
        }
        drop(sender);
        writing.await.expect("it ends");
        let mut shown: Vec<String> = fake.all(PATH).iter().map(line).collect();
        shown.sort();
        shown
    }

    fn line(event: &Value) -> String {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let took = format!("{} to {}", &text("firstTimestamp")[11..], &text("lastTimestamp")[11..]);
        format!(
            "{} {}: {} x{} {took}",
            event["involvedObject"]["name"],
            text("reason"),
            text("message"),
            event["count"]
        )
    }

    #[test]
    fn an_event_that_is_told_again_is_counted_up() {
        env::simulate(1, async {
            let fake = Fake::new(1);
            let probe = || ("web", event("Unhealthy", "no"));
            let others = [("web", event("BackOff", "no")), ("db", event("Unhealthy", "no"))];
            let shown = told(&fake, [probe(), probe(), probe()].into_iter().chain(others)).await;
            assert_eq!(
                shown,
                [
                    "\"db\" Unhealthy: no x1 00:00:04Z to 00:00:04Z",
                    "\"web\" BackOff: no x1 00:00:03Z to 00:00:03Z",
                    "\"web\" Unhealthy: no x3 00:00:00Z to 00:00:02Z",
                ]
            );
        });
    }

    #[test]
    fn an_event_that_expired_is_written_anew_with_its_count() {
        env::simulate(1, async {
            let fake = Fake::new(1);
            let (sender, waiting) = mpsc::channel(1);
            env::spawn(write(fake.client().expect("a client"), "n1".to_owned(), waiting));
            for _ in 0..2 {
                sender.send((pod("web"), event("Unhealthy", "no"))).await.expect("it is written");
                fake.until(|fake| !fake.all(PATH).is_empty()).await;
                let name = fake.all(PATH)[0]["metadata"]["name"].as_str().expect("a name").to_owned();
                if fake.all(PATH)[0]["count"] == 1 {
                    fake.remove(&format!("{PATH}/{name}"));
                }
            }
            fake.until(|fake| fake.all(PATH).len() == 1 && fake.all(PATH)[0]["count"] == 2).await;
        });
    }

    #[test]
    fn many_events_that_differ_in_their_words_become_one() {
        env::simulate(1, async {
            let fake = Fake::new(1);
            let many = (0..14).map(|number| ("web", event("Unhealthy", &format!("answer {number}"))));
            let shown = told(&fake, many).await;
            let combined: Vec<&String> = shown.iter().filter(|line| line.contains("combined")).collect();
            let last =
                "\"web\" Unhealthy: (combined from similar events): answer 13 x5 00:00:09Z to 00:00:13Z";
            assert_eq!((shown.len(), combined), (SIMILAR_MAX, vec![&last.to_owned()]));
        });
    }

    #[test]
    fn a_silence_ends_a_row_of_similar_events() {
        let mut recorder = Recorder::default();
        let mut say = |number: u64, now_ms| {
            let event = event("Unhealthy", &format!("answer {number}"));
            let write = env::simulate(number, async { recorder.note("n1", &pod("web"), event, now_ms) });
            write.expect("it is written").whole["message"].as_str().expect("a text").to_owned()
        };
        for number in 1..SIMILAR_MAX as u64 {
            say(number, number);
        }
        assert_eq!(say(20, 20), "(combined from similar events): answer 20");
        assert_eq!(say(21, 21 + SIMILAR_WITHIN_MS), "answer 21");
    }

    #[test]
    fn of_one_pod_little_is_written_however_much_is_told() {
        let mut recorder = Recorder::default();
        env::simulate(1, async {
            let mut say = |name: &str, second: u64| {
                let event = event("Unhealthy", "no");
                recorder
                    .note("n1", &pod(name), event, second * 1000)
                    .map(|write| write.whole["count"].clone())
            };
            let counts: Vec<Value> = (0..3600).filter_map(|second| say("web", second)).collect();
            let late: Vec<u64> = counts[25..].iter().filter_map(Value::as_u64).collect();
            assert_eq!((counts.len(), &late[..2]), (25 + 11, &[301, 601][..]));
            assert_eq!(say("db", 3600), Some(json!(1)), "another pod has a share of its own");
        });
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut recent = Recent::<usize, usize>::default();
        for key in 0..2 * KNOWN_MAX {
            recent.get(&key, || key);
            // Asked for again and again, it stays.
            recent.get(&0, || usize::MAX);
        }
        assert_eq!((recent.entries.len(), recent.order.len()), (KNOWN_MAX, KNOWN_MAX));
        assert_eq!(*recent.get(&0, || usize::MAX), 0);
        assert_eq!(*recent.get(&1, || usize::MAX), usize::MAX);
    }
}

//! Reasons become Events: written in the background, a few at a time, and counted up where they repeat.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

use api::{Key, Resource, names, time};
use base::env;
use serde_json::{Value, json};

use crate::controller::Reason;
use crate::intent::{Intent, Op};
use crate::limits::{EVENT_REPEAT_AFTER, EVENTS_KNOWN_MAX, EVENTS_PER_TXN, EVENTS_WAITING_MAX};
use crate::world::World;

static EVENTS: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("", "v1", "events"));

/// The same happened to the same object, told by the same controller.
type Told = (usize, Key, &'static str, String);

/// An Event that was written.
struct Known {
    event: Key,
    count: u64,
    last_ms: u64,
}

/// What is to be told, and what was.
#[derive(Default)]
pub(crate) struct Recorder {
    waiting: VecDeque<(usize, Value, Option<Told>)>,
    known: BTreeMap<Told, Known>,
}

impl Recorder {
    /// Notes a reason that the controller of this index gave, unless it said the same a moment ago.
    pub fn note(&mut self, world: &World, controller: (usize, &str), reason: Reason, now_ms: u64) {
        let (index, component) = controller;
        let Some(about) = world.state.get(reason.about.as_str()) else { return };
        let told = (index, reason.about.clone(), reason.reason, reason.message.clone());
        if let Some(known) = self.known.get_mut(&told) {
            if now_ms < known.last_ms + EVENT_REPEAT_AFTER.as_millis() as u64 {
                return;
            }
            known.last_ms = now_ms;
            known.count += 1;
            let again = json!({"count": known.count, "lastTimestamp": time::rfc3339(now_ms)});
            return self.push(index, again, Some(told));
        }
        let [kind, api_version] = about.view().pick(["kind", "apiVersion"]);
        let namespace = match about.key.namespace() {
            "" => "default",
            namespace => namespace,
        };
        let name = names::of_event(about.key.name(), now_ms, env::random_u64());
        let now = time::rfc3339(now_ms);
        let event = json!({
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "kind": kind.text(),
                "namespace": about.key.namespace(),
                "name": about.key.name(),
                "uid": about.meta.uid,
                "apiVersion": api_version.text(),
                "resourceVersion": about.revision.to_string(),
            },
            "reason": reason.reason,
            "message": reason.message,
            "source": {"component": component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": if reason.is_warning { "Warning" } else { "Normal" },
            "eventTime": null,
            "reportingComponent": component,
            "reportingInstance": "",
        });
        if self.known.len() >= EVENTS_KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(told, Known { event: EVENTS.key(namespace, &name), count: 1, last_ms: now_ms });
        self.push(index, event, None);
    }

    fn push(&mut self, controller: usize, event: Value, again: Option<Told>) {
        if self.waiting.len() >= EVENTS_WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((controller, event, again));
    }

    /// Whether there is something to write.
    pub fn has_some(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next transaction's worth, of one controller. What cannot be written any more is left out: its namespace went.
    pub fn next(&mut self, world: &World) -> Option<(usize, Intent)> {
        let controller = self.waiting.front()?.0;
        let mut ops: Vec<Op> = Vec::new();
        while let Some((of, ..)) = self.waiting.front()
            && *of == controller
            && ops.len() < EVENTS_PER_TXN
        {
            let Some((_, event, again)) = self.waiting.pop_front() else { break };
            ops.extend(match again {
                None => created(world, event),
                Some(told) => {
                    let found = self.known.get(&told).and_then(|known| world.state.get(known.event.as_str()));
                    // It expired, or was not written: told anew when it is told again.
                    if found.is_none() {
                        self.known.remove(&told);
                    }
                    found.map(|found| Op::Patch {
                        key: found.key.clone(),
                        revision: found.revision,
                        subresource: "",
                        patch: event,
                    })
                }
            });
        }
        Some((controller, Intent { ops, guards: Vec::new(), told: None }))
    }

    /// Forgets everything: another master tells from now on.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn created(world: &World, event: Value) -> Option<Op> {
    let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let within = world.state.get(&format!("core/namespaces/{namespace}"))?;
    (!within.meta.deleting).then(|| Op::Create { row: Arc::clone(&EVENTS), namespace, object: event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW_MS, put, remove, world};

    const AFTER_MS: u64 = EVENT_REPEAT_AFTER.as_millis() as u64;

    fn map(name: &str) -> Key {
        Key::object("", "configmaps", "default", name)
    }

    fn of(names: &[&str]) -> World {
        let namespace = json!({"kind": "Namespace", "metadata": {"name": "default"}});
        let maps = names.iter().map(|name| json!({"kind": "ConfigMap", "metadata": {"name": name}}));
        world([namespace].into_iter().chain(maps))
    }

    fn reason(about: Key, message: &str) -> Reason {
        Reason { about, is_warning: true, reason: "Odd", message: message.to_owned() }
    }

    /// Writes what waits. Returns what was created and what was patched.
    fn write(recorder: &mut Recorder, world: &mut World) -> (Vec<Value>, Vec<Value>) {
        let (mut created, mut patched) = (Vec::new(), Vec::new());
        while let Some((_, intent)) = recorder.next(world) {
            for op in intent.ops {
                match op {
                    Op::Create { mut object, .. } => {
                        (object["apiVersion"], object["kind"]) = ("v1".into(), "Event".into());
                        put(world, object.clone());
                        created.push(object);
                    }
                    Op::Patch { patch, .. } => patched.push(patch),
                    _ => panic!("Events are created and patched"),
                }
            }
        }
        (created, patched)
    }

    #[test]
    fn what_is_told_again_is_counted_up_but_not_at_once() {
        let (mut recorder, mut world) = (Recorder::default(), of(&["a"]));
        let mut tell = |message: &str, now_ms: u64| {
            recorder.note(&world, (0, "maps"), reason(map("a"), message), now_ms);
            write(&mut recorder, &mut world)
        };
        let (created, _) = tell("no room", NOW_MS);
        assert_eq!(created[0]["involvedObject"]["uid"], "uid-a");
        assert_eq!((&created[0]["count"], &created[0]["type"]), (&json!(1), &json!("Warning")));
        assert_eq!(tell("no room", NOW_MS + AFTER_MS - 1), (vec![], vec![]), "it was said a moment ago");
        assert_eq!(tell("no light", NOW_MS).0.len(), 1, "that is something else");
        for count in [2, 3] {
            let now_ms = NOW_MS + AFTER_MS * count;
            let again = json!({"count": count, "lastTimestamp": time::rfc3339(now_ms)});
            assert_eq!(tell("no room", now_ms), (vec![], vec![again]));
        }
    }

    #[test]
    fn an_event_that_expired_is_told_anew() {
        let (mut recorder, mut world) = (Recorder::default(), of(&["a"]));
        recorder.note(&world, (0, "maps"), reason(map("a"), "odd"), NOW_MS);
        let (created, _) = write(&mut recorder, &mut world);
        let name = created[0]["metadata"]["name"].as_str().unwrap_or_default();
        remove(&mut world, &EVENTS.key("default", name));
        let mut told = Vec::new();
        for turn in 1..=2 {
            recorder.note(&world, (0, "maps"), reason(map("a"), "odd"), NOW_MS + AFTER_MS * turn);
            let (created, patched) = write(&mut recorder, &mut world);
            told.push((created.len(), patched.len()));
        }
        assert_eq!(told, [(0, 0), (1, 0)], "found out when it was to be counted up");
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes_first() {
        let (mut recorder, world) = (Recorder::default(), of(&["a"]));
        for number in 0..=EVENTS_WAITING_MAX {
            recorder.note(&world, (number % 2, "maps"), reason(map("a"), &number.to_string()), NOW_MS);
        }
        assert_eq!(recorder.waiting.len(), EVENTS_WAITING_MAX);
        assert!(recorder.known.len() <= EVENTS_KNOWN_MAX);
        let (_, first) = recorder.next(&world).expect("the oldest");
        let Op::Create { object, .. } = &first.ops[0] else { panic!("a new one") };
        assert_eq!((first.ops.len(), &object["message"]), (1, &json!("1")), "of one controller at a time");
    }

    #[test]
    fn nothing_is_told_in_a_namespace_that_goes_or_of_what_is_gone() {
        let (mut recorder, mut world) = (Recorder::default(), of(&["a"]));
        recorder.note(&world, (0, "maps"), reason(map("gone"), "odd"), NOW_MS);
        assert!(!recorder.has_some());
        recorder.note(&world, (0, "maps"), reason(map("a"), "odd"), NOW_MS);
        put(
            &mut world,
            json!({"kind": "Namespace",
            "metadata": {"name": "default", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        );
        assert_eq!(write(&mut recorder, &mut world), (vec![], vec![]));
    }
}

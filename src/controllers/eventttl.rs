//! Events go some time after they were last written.

use api::Key;
use projection::intent::{Intent, Op};
use projection::{Controller, LastOutcomes, Plan, Wakes, World};

/// Events deleted by one transaction.
const BATCH: usize = 100;

/// Transactions of one plan.
const BATCHES: usize = 5;

/// How often it is looked while there is none.
const IDLE_MS: u64 = 60_000;

/// The row. Only time wakes it.
pub const EVENT_TTL: Controller = Controller {
    name: "event-ttl",
    actor: "system:apiserver",
    component: "event-ttl",
    wakes: |_, _, _| {},
    keys: |_, wakes: &mut Wakes| wakes.add(&all()),
    plan,
};

/// Its one key.
fn all() -> Key {
    Key::internal("event-ttl", "all")
}

fn plan(world: &World, _: &Key, _: &LastOutcomes, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    let ttl_ms = world.rules.event_ttl_ms;
    let due = world.events.iter().take_while(|(at, _)| at + ttl_ms <= now_ms).take(BATCH * BATCHES);
    let due: Vec<_> = due.filter_map(|(_, key)| world.state.get(key.as_str())).collect();
    for events in due.chunks(BATCH) {
        let ops: Vec<Op> = events.iter().flat_map(|event| Intent::delete(event).ops).collect();
        plan.intents.push(Intent { ops, guards: Vec::new(), told: None });
    }
    let next = world.events.iter().nth(due.len()).map_or(now_ms + IDLE_MS, |(at, _)| at + ttl_ms);
    plan.requeue_at(next.clamp(now_ms + 1, now_ms + IDLE_MS));
    plan
}

#[cfg(test)]
mod tests {
    use projection::testing::{NOW_MS, world};
    use serde_json::{Value, json};

    use super::*;
    const TTL_MS: u64 = 60 * 60 * 1000;
    use crate::testing::{carry_out, namespace};

    fn event(at: usize) -> Value {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("e{at}"), "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": "a", "namespace": "default"}, "reason": "r", "message": "m"})
    }

    #[test]
    fn events_go_after_an_hour_some_at_a_time() {
        let objects = [namespace("default")].into_iter().chain((0..620).map(event));
        let mut world = world(objects);
        let look = |world: &World, now_ms| plan(world, &all(), &LastOutcomes::default(), now_ms);
        let young = look(&world, NOW_MS + TTL_MS - 1);
        assert_eq!((young.intents.len(), young.requeue_ms), (0, Some(NOW_MS + TTL_MS)));
        let first = look(&world, NOW_MS + TTL_MS);
        assert_eq!((first.intents.len(), first.intents[0].ops.len()), (5, 100));
        assert_eq!(first.requeue_ms, Some(NOW_MS + TTL_MS + 1), "there are more");
        carry_out(&mut world, &first);
        let second = look(&world, NOW_MS + TTL_MS);
        assert_eq!(second.intents.iter().map(|intent| intent.ops.len()).collect::<Vec<_>>(), [100, 20]);
        carry_out(&mut world, &second);
        assert_eq!(world.state.count("core/events/"), 0);
        assert_eq!(look(&world, NOW_MS + TTL_MS).requeue_ms, Some(NOW_MS + TTL_MS + IDLE_MS));
    }
}

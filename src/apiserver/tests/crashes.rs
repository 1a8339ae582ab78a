//! The leader crashes at every write of every controller, and another goes on from what the log holds: the end is that
//! of the run that nobody disturbed, and nothing is created or deleted twice.
//!
//! A crash right before a write is applied is one right after the write before, for what is on its way to a log that has
//! another leader is refused by it: so the runs begin at each State that the undisturbed run went through. What
//! controllers tell as Events is left out: nothing follows from it.

mod normal;
mod scenarios;

use std::collections::BTreeMap;
use std::time::Duration;

use api::Key;
use base::env;
use projection::rules::Rules;
use state::{Change, Meta, State, Write};

use super::table::settle_by;
use super::{Api, answer};
use crate::Backend;
use crate::backend::memory::Memory;
use crate::verbs::write::transaction;
use normal::normal;
pub(super) use scenarios::{deployment, node};

/// Something that happens to a cluster at rest.
#[derive(Default)]
struct Scenario {
    /// By which numbers controllers act.
    rules: Rules,
    /// Where there are masters.
    masters: &'static [&'static str],
    /// What there is before: paths and objects.
    given: Vec<(&'static str, serde_json::Value)>,
    /// Nodes that say that they live; others fall silent.
    alive: &'static [&'static str],
    /// What was asked for before, and came to rest.
    earlier: Vec<Request>,
    /// What is asked for, one after another.
    when: Vec<Request>,
}

/// A request of an administrator.
struct Request {
    method: &'static str,
    path: &'static str,
    body: serde_json::Value,
}

/// What a run did: how often each collection gained or lost an object.
type Counts = BTreeMap<(String, &'static str), usize>;

/// Whether what becomes of an object counts: Events of controllers only tell, and leases are the nodes' own.
fn counts(object: &state::Object) -> bool {
    match object.key.collection() {
        "core/events/" => object.key.name().starts_with(scenarios::EVENT),
        collection => collection != "coordination.k8s.io/leases/",
    }
}

fn count<'c>(changes: impl IntoIterator<Item = &'c Change>) -> Counts {
    let mut all = Counts::new();
    for change in changes.into_iter().filter(|change| counts(&change.object)) {
        let what = match (change.deleted, &change.previous) {
            (true, _) => "deleted",
            (false, None) => "created",
            (false, Some(_)) => continue,
        };
        *all.entry((change.object.key.collection().to_owned(), what)).or_default() += 1;
    }
    all
}

/// The run that nobody disturbs: the States that it goes through from the request on.
async fn undisturbed(scenario: &Scenario) -> Vec<(State, Vec<Change>)> {
    let api = Api::founded();
    for address in scenario.masters {
        let body = serde_json::json!({"attempt": "a", "api": address, "peer": "x"}).to_string().into();
        let record =
            Write::Put { key: Key::internal("members", address), body, splice: None, meta: Meta::default() };
        api.memory.apply(transaction("test", Vec::new(), vec![record]));
    }
    for (path, object) in &scenario.given {
        let made = api.post(path, object.clone()).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    let nodes = scenario.given.iter().filter(|(path, _)| *path == scenarios::NODES);
    let nodes: Vec<&str> = nodes.filter_map(|(_, node)| node["metadata"]["name"].as_str()).collect();
    settle_by(&scenario.rules, &api.memory, &nodes).await;
    ask(&api, &scenario.earlier).await;
    settle_by(&scenario.rules, &api.memory, &nodes).await;
    ask(&api, &scenario.when).await;
    let begins = api.memory.moment().revision();
    let first = (api.memory.moment().state.clone(), Vec::new());
    settle_by(&scenario.rules, &api.memory, scenario.alive).await;
    [first].into_iter().chain(api.memory.steps(begins)).collect()
}

async fn ask(api: &Api, requests: &[Request]) {
    for Request { method, path, body } in requests {
        let media = if *method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let asked = api.send(method, path, &[("content-type", media)], body.to_string()).await;
        let asked = answer(asked).await;
        assert!(asked.code < 300, "{asked:?}");
    }
}

/// A new leader goes on from a State. Returns the end, and what was created and deleted on the way.
async fn resumed(scenario: &Scenario, state: State) -> (State, Counts) {
    let crashed_ms = state.time_ms();
    env::sleep(Duration::from_millis(crashed_ms.saturating_sub(env::wall_ms()))).await;
    let memory = Memory::of(state);
    let begins = memory.moment().revision();
    settle_by(&scenario.rules, &memory, scenario.alive).await;
    let steps = memory.steps(begins);
    (memory.moment().state.clone(), count(steps.iter().flat_map(|(_, changes)| changes)))
}

/// Crashes at every write of a scenario.
fn check(scenario: &Scenario) {
    let steps = env::simulate(1, undisturbed(scenario));
    let end = normal(&steps.last().expect("a beginning").0);
    let all = count(steps.iter().flat_map(|(_, changes)| changes));
    let mut before = Counts::new();
    let mut crashes = 0;
    for (at, (state, changes)) in steps.iter().enumerate() {
        for (what, more) in count(changes) {
            *before.entry(what).or_default() += more;
        }
        if at > 0 && !changes.iter().any(|change| counts(&change.object)) {
            continue;
        }
        crashes += 1;
        let (reached, after) = env::simulate(2, resumed(scenario, state.clone()));
        let reached = normal(&reached);
        let lost: Vec<_> = end.iter().filter(|line| !reached.contains(line)).collect();
        let gained: Vec<_> = reached.iter().filter(|line| !end.contains(line)).collect();
        let changed: Vec<String> = changes.iter().map(|change| change.object.key.to_string()).collect();
        assert!(
            lost.is_empty() && gained.is_empty() && end.len() == reached.len(),
            "a crash after write {at} ({changed:?}) ends otherwise:\n- {lost:#?}\n+ {gained:#?}"
        );
        let mut total = before.clone();
        for (what, more) in after {
            *total.entry(what).or_default() += more;
        }
        assert_eq!(total, all, "a crash after write {at} ({changed:?})");
    }
    assert!(crashes > 2, "something is written");
}

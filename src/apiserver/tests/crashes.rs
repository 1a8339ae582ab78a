//! The leader crashes at every write of every controller, and another goes on from what the log holds: the end is that
//! of the run that nobody disturbed, and nothing is created or deleted twice.
//!
//! A crash right before a write is applied is one right after the write before, for what is on its way to a log that has
//! another leader is refused by it: so the runs begin at each State that the undisturbed run went through. What
//! controllers tell as Events is left out: nothing follows from it.
//!
//! That is so on one State in memory, write by write. [`masters`] does it on three masters, entry by entry from when the
//! last request was answered.

mod masters;
mod normal;
mod scenarios;

use std::collections::BTreeMap;
use std::time::Duration;

use api::Key;
use axum::Router;
use base::env;
use projection::rules::Rules;
use state::{Change, Meta, State, Txn, Write};

use super::table::settle_by;
use super::{Api, admin, answer, send_to};
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
    /// How long a leader may do nothing before it goes on, beyond what is usual.
    pause: Duration,
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

/// Where a scenario takes place.
trait Place {
    /// Whether somebody acts between two requests as well.
    const IS_BUSY: bool;

    /// Who answers requests.
    fn router(&self) -> &Router;

    /// Writes past the API.
    async fn write(&self, txn: Txn);

    /// Lets leaders act until nothing is left to do. These nodes say meanwhile that they live.
    async fn settle(&self, scenario: &Scenario, alive: &[&str]);
}

impl Place for Api {
    const IS_BUSY: bool = false;

    fn router(&self) -> &Router {
        &self.router
    }

    async fn write(&self, txn: Txn) {
        self.memory.apply(txn);
    }

    async fn settle(&self, scenario: &Scenario, alive: &[&str]) {
        settle_by(&scenario.rules, &self.memory, alive).await;
    }
}

/// Brings about what there is before the last requests, at rest.
async fn prepare(scenario: &Scenario, place: &impl Place) {
    for address in scenario.masters {
        let body = serde_json::json!({"attempt": "a", "api": address, "peer": "x"}).to_string().into();
        let record =
            Write::Put { key: Key::internal("members", address), body, splice: None, meta: Meta::default() };
        place.write(transaction("test", Vec::new(), vec![record])).await;
    }
    for (path, object) in &scenario.given {
        ask(place, "POST", path, object).await;
    }
    let nodes = scenario.given.iter().filter(|(path, _)| *path == scenarios::NODES);
    let nodes: Vec<&str> = nodes.filter_map(|(_, node)| node["metadata"]["name"].as_str()).collect();
    place.settle(scenario, &nodes).await;
    ask_all(place, &scenario.earlier).await;
    place.settle(scenario, &nodes).await;
}

/// The run that nobody disturbs: the States that it goes through from the request on.
async fn undisturbed(scenario: &Scenario) -> Vec<(State, Vec<Change>)> {
    let api = Api::founded();
    prepare(scenario, &api).await;
    ask_all(&api, &scenario.when).await;
    let begins = api.memory.moment().revision();
    let first = (api.memory.moment().state.clone(), Vec::new());
    api.settle(scenario, scenario.alive).await;
    [first].into_iter().chain(api.memory.steps(begins)).collect()
}

async fn ask_all(place: &impl Place, requests: &[Request]) {
    for Request { method, path, body } in requests {
        ask(place, method, path, body).await;
    }
}

async fn ask<P: Place>(place: &P, method: &str, path: &str, body: &serde_json::Value) {
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let headers = [("content-type", media)];
    let asked = send_to(place.router(), Some(admin()), method, path, &headers, body.to_string()).await;
    let asked = answer(asked).await;
    // What is to be removed may have gone by itself, with what was removed before.
    let is_gone = P::IS_BUSY && method == "DELETE" && asked.code == 404;
    assert!(asked.code < 300 || is_gone, "{asked:?}");
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

/// Whether a run with a crash ends as the one without.
fn same_end(end: &[String], reached: &[String], crashed_after: &str) {
    let lost: Vec<_> = end.iter().filter(|line| !reached.contains(line)).collect();
    let gained: Vec<_> = reached.iter().filter(|line| !end.contains(line)).collect();
    assert!(
        lost.is_empty() && gained.is_empty() && end.len() == reached.len(),
        "a crash after {crashed_after} ends otherwise:\n- {lost:#?}\n+ {gained:#?}"
    );
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
        let changed: Vec<String> = changes.iter().map(|change| change.object.key.to_string()).collect();
        same_end(&end, &reached, &format!("write {at} ({changed:?})"));
        let mut total = before.clone();
        for (what, more) in after {
            *total.entry(what).or_default() += more;
        }
        assert_eq!(total, all, "a crash after write {at} ({changed:?})");
    }
    assert!(crashes > 2, "something is written");
    masters::check(scenario, &end);
}

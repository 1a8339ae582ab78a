//! Plans as data: what is there, what is known, what to do.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::engine::Exit;
use crate::limits::BACKOFF_RESET_MS;
use crate::names::{SANDBOX, label};
use crate::records::{Attempted, HookState, ImageRecord, ImageState, Network, Stopping};
use crate::testing::{desired, simple};

const NOW: u64 = 1_000_000_000;

fn container(name: &str, attempt: u32, state: State) -> Container {
    let labels = [(label::CONTAINER_NAME, name), (label::ATTEMPT, &attempt.to_string())];
    Container {
        id: format!("{name}{attempt}"),
        name: String::new(),
        labels: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into_iter().collect(),
        image_ref: String::new(),
        created_ms: NOW - 5_000,
        state,
        message: None,
    }
}

fn runs() -> State {
    State::Running { started_ms: NOW - 4_000, pid: 7 }
}

fn ended(code: i32) -> State {
    State::Exited(Exit { code, finished_ms: NOW - 1_000, ..Exit::default() })
}

/// Sandbox connected, volumes there, the image of `main`'s start `attempt` too.
fn known(attempt: u32) -> Records {
    let image = ImageRecord { attempt, state: ImageState::Ready(crate::engine::Image::default()) };
    Records {
        volumes: Attempted::Yes,
        network: Some(Network { sandbox: "POD0".into(), ips: vec!["10.0.0.1".into()] }),
        images: BTreeMap::from([("main".to_owned(), image)]),
        started_ms: NOW - 10_000,
        ..Records::default()
    }
}

fn steps(spec: Value, there: Vec<Container>, records: &Records) -> Vec<String> {
    let plan = plan(&desired(spec), &Observed::of(there), records, NOW);
    let short = |step: &Step| match step {
        Step::CreateContainer { container, attempt, backoff_ms } => {
            format!("create {container} {attempt} {backoff_ms}")
        }
        Step::StartContainer { container, attempt } => format!("start {container} {attempt}"),
        Step::EnsureImage { container, attempt } => format!("image {container} {attempt}"),
        Step::BeginStop { message, .. } => message.clone(),
        step => format!("{step:?}"),
    };
    plan.steps.iter().map(short).collect()
}

#[test]
fn a_pod_that_nothing_is_there_of_gets_volumes_and_a_sandbox() {
    assert_eq!(
        steps(simple(), vec![], &Records::default()),
        ["PrepareVolumes", "CreateSandbox { attempt: 0 }"]
    );
}

#[test]
fn a_sandbox_is_connected_before_anything_joins_it() {
    let sandbox = container(SANDBOX, 0, runs());
    let shown = steps(simple(), vec![sandbox.clone()], &Records::default());
    assert_eq!(shown, ["AttachNetwork { sandbox: \"POD0\", pid: 7 }"]);
    let images = BTreeMap::new();
    assert_eq!(steps(simple(), vec![sandbox.clone()], &Records { images, ..known(0) }), ["image main 0"]);
    assert_eq!(steps(simple(), vec![sandbox], &known(0)), ["create main 0 0", "start main 0"]);
}

#[test]
fn what_was_created_and_not_started_is_started() {
    let there = vec![container(SANDBOX, 0, runs()), container("main", 3, State::Created)];
    assert_eq!(steps(simple(), there, &known(0)), ["start main 3"]);
}

#[test]
fn what_runs_is_left_alone() {
    let there = vec![container(SANDBOX, 0, runs()), container("main", 0, runs())];
    assert_eq!(steps(simple(), there, &known(0)), Vec::<String>::new());
}

#[test]
fn a_crash_is_followed_by_the_wait_of_its_label_and_old_remains_go() {
    let mut dead = container("main", 2, ended(1));
    dead.labels.insert(label::BACKOFF_MS.to_owned(), "20000".to_owned());
    let older = [container("main", 1, ended(1)), container("main", 0, ended(1))];
    let mut there = vec![container(SANDBOX, 0, runs()), dead.clone()];
    there.extend(older);
    let plan = plan(&desired(simple()), &Observed::of(there.clone()), &known(3), NOW);
    assert_eq!(plan.steps, [Step::Remove { id: "main0".into() }]);
    assert_eq!(plan.wake_ms, Some(NOW + 4_000), "when the wait begins to show");
    there[1].created_ms = NOW - 2 * BACKOFF_RESET_MS;
    let shown = steps(simple(), there, &known(3));
    assert_eq!(shown, ["create main 3 10000", "start main 3", "Remove { id: \"main0\" }"]);
}

#[test]
fn what_ended_with_its_sandbox_starts_at_once_and_waits_for_nothing_later() {
    let mut dead = container("main", 2, ended(143));
    dead.labels.insert(label::BACKOFF_MS.to_owned(), "20000".to_owned());
    dead.labels.insert(label::SANDBOX_ID.to_owned(), "an earlier one".to_owned());
    let shown = steps(simple(), vec![container(SANDBOX, 0, runs()), dead], &known(3));
    assert_eq!(shown, ["create main 3 0", "start main 3"]);
}

#[test]
fn containers_of_a_dead_sandbox_end_before_it_is_replaced() {
    let there = vec![container(SANDBOX, 0, ended(0)), container("main", 0, runs())];
    let shown = steps(simple(), there, &known(0));
    assert_eq!(shown, ["Stopping container main", "Terminate { id: \"main0\" }"]);
    let there = vec![container(SANDBOX, 0, ended(0)), container("main", 0, ended(1))];
    assert_eq!(steps(simple(), there, &known(0)), ["CreateSandbox { attempt: 1 }"]);

    // One that ends again and again comes no faster than every ten seconds: this one is five seconds old.
    let again = Observed::of(vec![container(SANDBOX, 1, ended(0)), container("main", 1, ended(1))]);
    let plan = plan(&desired(simple()), &again, &known(0), NOW);
    assert_eq!((plan.steps, plan.wake_ms), (Vec::new(), Some(NOW + 5_000)));
}

#[test]
fn a_changed_image_replaces_the_container() {
    let mut old = container("main", 0, runs());
    old.labels.insert(label::HASH.to_owned(), "other".to_owned());
    let shown = steps(simple(), vec![container(SANDBOX, 0, runs()), old], &known(0));
    let message = "Container main definition changed, will be restarted";
    assert_eq!(shown, [message, "Terminate { id: \"main0\" }"]);
}

#[test]
fn a_hook_of_one_container_holds_up_the_next() {
    let spec =
        json!({"containers": [{"name": "main", "image": "app:1"}, {"name": "next", "image": "app:1"}]});
    let there = vec![container(SANDBOX, 0, runs()), container("main", 0, runs())];
    let hook = |state| {
        let hooks = BTreeMap::from([(("main0".to_owned(), Hook::PostStart), state)]);
        steps(spec.clone(), there.clone(), &Records { hooks, ..known(0) })
    };
    assert_eq!(hook(HookState::Running), Vec::<String>::new());
    assert_eq!(hook(HookState::Done), ["image next 0"]);
}

#[test]
fn who_does_not_end_in_time_is_killed() {
    let mut spec = simple();
    spec["terminationGracePeriodSeconds"] = json!(5);
    let stop = |since_ms| {
        let stopping = Stopping { since_ms, why: Why::Changed, asked_ms: Some(since_ms), killed_ms: None };
        let stopping = BTreeMap::from([("main0".to_owned(), stopping)]);
        let there = vec![container(SANDBOX, 0, runs()), container("main", 0, runs())];
        let records = Records { stopping, ..known(0) };
        plan(&desired(spec.clone()), &Observed::of(there), &records, NOW)
    };
    assert_eq!((stop(NOW - 4_000).steps, stop(NOW - 4_000).wake_ms), (vec![], Some(NOW + 1_000)));
    assert_eq!(stop(NOW - 5_000).steps, [Step::Kill { id: "main0".into() }]);
}

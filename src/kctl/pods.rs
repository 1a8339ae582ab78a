//! Which pod and which container a command line means.

use std::cmp::Reverse;
use std::time::Duration;

use base::env;
use serde_json::Value;

use crate::failure::Failure;
use crate::flags::{Files, Select};
use crate::manifest::{self, text};
use crate::screen::warn;
use crate::server::Server;
use crate::targets::{Given, Target, objects};
use crate::workload::{self, condition, items};

/// How often it is looked for pods that are not there yet.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which container is meant where none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// For what one of several pods is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To read what it wrote: the one that had most trouble.
    Logs,
    /// To work with it: the one that had the least.
    Work,
}

/// The object that a word names: a pod, or TYPE/NAME.
///
/// # Errors
/// When it is not there.
pub async fn named(server: &Server, word: &str) -> Result<(Target, Value), Failure> {
    let words: Vec<String> = match word.contains('/') {
        true => vec![word.to_owned()],
        false => vec!["pods".to_owned(), word.to_owned()],
    };
    let (files, select) = (Files::default(), Select::default());
    let given = Given { words: &words, files: &files, select: &select, all: false };
    let target = objects(given, server).await?.pop();
    let target = target.ok_or_else(|| Failure::Refused(format!("{word} names nothing")))?;
    let object = target.read(server).await?;
    Ok((target, object))
}

/// A pod of what a word names, the best for a purpose; waits until there is one. Returns of how many it was chosen.
///
/// # Errors
/// When what is named has no pods, or gets none within `patience`.
pub async fn of(
    server: &Server,
    word: &str,
    purpose: Purpose,
    patience: Duration,
) -> Result<(Value, usize), Failure> {
    let (target, object) = named(server, word).await?;
    if (target.kind.group.as_str(), target.kind.kind.as_str()) == ("", "Pod") {
        return Ok((object, 1));
    }
    if workload::selector(&object).is_none() {
        return Err(Failure::Refused(format!("{} has no pods: it selects none", target.printed())));
    }
    let deadline = env::monotonic() + patience;
    loop {
        let mut pods = workload::pods(server, &object).await?;
        pods.sort_by_cached_key(|pod| rank(pod, purpose));
        let count = pods.len();
        if let Some(best) = pods.into_iter().next() {
            return Ok((best, count));
        }
        if env::monotonic() >= deadline {
            return Err(Failure::Refused(format!(
                "timed out waiting for the condition: {} has no pods",
                target.printed()
            )));
        }
        env::sleep(LOOK_EVERY).await;
    }
}

/// The order in which kubectl prefers pods.
fn rank(pod: &Value, purpose: Purpose) -> impl Ord + use<> {
    let phase = match text(pod, "/status/phase") {
        "Pending" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    let is_ready = workload::is_true(pod, "Ready");
    let since = condition(pod, "Ready").filter(|_| is_ready).map(|one| text(one, "/lastTransitionTime"));
    let restarts = items(&pod["status"]["containerStatuses"]).iter();
    let restarts = restarts.filter_map(|status| status["restartCount"].as_i64()).max().unwrap_or(0);
    let is_ending = pod["metadata"]["deletionTimestamp"].is_string();
    let (is_ending, restarts) = match purpose {
        Purpose::Logs => (false, Reverse(restarts)),
        Purpose::Work => (is_ending, Reverse(-restarts)),
    };
    let is_waiting = text(pod, "/spec/nodeName").is_empty();
    let since = since.unwrap_or_default().to_owned();
    let created = text(pod, "/metadata/creationTimestamp").to_owned();
    (is_waiting, phase, !is_ready, is_ending, since, restarts, created)
}

/// The containers of a pod as they are told: `a, b, c (ephem), d (init)`.
pub fn container_names(pod: &Value) -> String {
    let of = |list: &str, note: &'static str| {
        let all = items(&pod["spec"][list]).iter();
        all.map(move |container| format!("{}{note}", text(container, "/name"))).collect::<Vec<_>>()
    };
    let all = [of("containers", ""), of("ephemeralContainers", " (ephem)"), of("initContainers", " (init)")];
    all.concat().join(", ")
}

/// Whether a pod has a container of this name.
pub fn has_container(pod: &Value, name: &str) -> bool {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    lists.iter().flat_map(|list| items(&pod["spec"][list])).any(|container| container["name"] == name)
}

/// The container that is meant: the named one, the pod's default, or the first. Unless `is_quiet` it says
/// which one of several it took.
///
/// # Errors
/// When the pod has none of this name.
pub fn container(pod: &Value, named: &str, is_quiet: bool) -> Result<String, Failure> {
    let pod_name = manifest::name(pod);
    if !named.is_empty() {
        if has_container(pod, named) {
            return Ok(named.to_owned());
        }
        return Err(Failure::Refused(format!(
            "container {named} is not valid for pod {pod_name} out of: {}",
            container_names(pod)
        )));
    }
    if let Some(name) = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str() {
        if has_container(pod, name) {
            return Ok(name.to_owned());
        }
        if !is_quiet {
            warn(&format!("Default container name \"{name}\" not found in pod {pod_name}"));
        }
    }
    let first = text(pod, "/spec/containers/0/name").to_owned();
    let names = container_names(pod);
    if !is_quiet && names.contains(", ") {
        warn(&format!("Defaulted container \"{first}\" out of: {names}"));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_best_pod_depends_on_what_for() {
        let pod = |name: &str, node: &str, phase: &str, ready: &str, restarts: i64, deleted: Value| {
            json!({
                "metadata": {"name": name, "creationTimestamp": name, "deletionTimestamp": deleted},
                "spec": {"nodeName": node},
                "status": {
                    "phase": phase, "containerStatuses": [{"restartCount": restarts}],
                    "conditions": [{"type": "Ready", "status": if ready.is_empty() { "False" } else { "True" }, "lastTransitionTime": ready}],
                },
            })
        };
        let pods = [
            pod("unassigned", "", "Pending", "", 0, Value::Null),
            pod("pending", "n", "Pending", "", 0, Value::Null),
            pod("unready", "n", "Running", "", 0, Value::Null),
            pod("restarted", "n", "Running", "2026", 7, Value::Null),
            pod("young", "n", "Running", "2027", 0, Value::Null),
            pod("old", "n", "Running", "2026", 0, Value::Null),
            pod("ending", "n", "Running", "2025", 0, json!("2028")),
        ];
        let order = |purpose| {
            let mut pods = pods.to_vec();
            pods.sort_by_cached_key(|pod| rank(pod, purpose));
            pods.iter().map(|pod| manifest::name(pod).to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(order(Purpose::Logs), "ending restarted old young unready pending unassigned");
        assert_eq!(order(Purpose::Work), "old restarted young ending unready pending unassigned");
    }

    #[test]
    fn a_container_is_named_or_chosen() {
        let mut pod = json!({
            "metadata": {"name": "p"},
            "spec": {
                "containers": [{"name": "a"}, {"name": "b"}],
                "initContainers": [{"name": "c"}], "ephemeralContainers": [{"name": "d"}],
            },
        });
        assert_eq!(container_names(&pod), "a, b, d (ephem), c (init)");
        assert_eq!(container(&pod, "c", true).ok().as_deref(), Some("c"));
        assert_eq!(container(&pod, "", true).ok().as_deref(), Some("a"));
        let told = container(&pod, "x", true).expect_err("there is none").to_string();
        assert_eq!(told, "kctl: container x is not valid for pod p out of: a, b, d (ephem), c (init)");
        pod["metadata"]["annotations"] = json!({DEFAULT_CONTAINER: "b"});
        assert_eq!(container(&pod, "", true).ok().as_deref(), Some("b"));
    }
}

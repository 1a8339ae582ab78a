//! What keeps something from being as it is wanted, from what the cluster says of it.

use serde_json::Value;

use crate::manifest::{name, text};
use crate::workload::{condition, is_controlled_by, is_true, items, revision};

/// How much a pod's state explains. The more, the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// It begins or ends, as pods do.
    Passing,
    /// It runs and is not ready.
    Unready,
    /// It cannot go on.
    Stuck,
}

/// What keeps the rollout of a Deployment, given its ReplicaSets and pods: pods that cannot be created before
/// pods that cannot run, the newest template before older ones. `None` where nothing is known to.
pub fn blocking(deployment: &Value, sets: &[Value], pods: &[Value]) -> Option<String> {
    let newest = sets.iter().max_by_key(|set| revision(set));
    let is_new = |pod: &&Value| newest.is_some_and(|newest| is_controlled_by(pod, newest));
    let is_old = |pod: &&Value| !is_new(pod) && sets.iter().any(|set| is_controlled_by(pod, set));
    let paused = (deployment["spec"]["paused"] == true)
        .then(|| "it is paused: `kctl rollout resume` lets it go on".to_owned());
    newest
        .and_then(refused)
        .or_else(|| of_pods(pods.iter().filter(is_new)))
        .or(paused)
        .or_else(|| refused(deployment))
        .or_else(|| of_pods(pods.iter().filter(is_old)))
}

/// Why whatever makes pods cannot.
pub fn refused(object: &Value) -> Option<String> {
    let failure = condition(object, "ReplicaFailure").filter(|one| one["status"] == "True")?;
    Some(format!("{}: {}", name(object), said(failure)))
}

/// What explains the most among these pods, of those that are not ready.
pub fn of_pods<'p>(pods: impl Iterator<Item = &'p Value>) -> Option<String> {
    let known = pods.filter_map(|pod| state(pod).map(|(weight, why)| (weight, name(pod), why)));
    let least = |one: &(Weight, &str, String)| (std::cmp::Reverse(one.0), one.1.to_owned());
    known.min_by_key(least).map(|(_, pod, why)| format!("{pod}{why}"))
}

/// What keeps an object that is to be deleted.
pub fn deletion(object: &Value) -> Option<String> {
    object["metadata"]["deletionTimestamp"].as_str()?;
    let is_told = |one: &&Value| text(one, "/type").starts_with("Namespace") && one["status"] == "True";
    let remaining = items(&object["status"]["conditions"]).iter().filter(is_told).map(said);
    let finalizers: Vec<&str> =
        items(&object["metadata"]["finalizers"]).iter().filter_map(Value::as_str).collect();
    match (remaining.collect::<Vec<_>>(), &finalizers[..]) {
        (remaining, _) if !remaining.is_empty() => Some(remaining.join("; ")),
        (_, []) => Some("it is ending".to_owned()),
        (_, finalizers) => Some(format!("it waits for its finalizers: {}", finalizers.join(", "))),
    }
}

/// What a pod's own state explains, behind its name.
fn state(pod: &Value) -> Option<(Weight, String)> {
    if let Some(why) = deletion(pod) {
        return Some((Weight::Passing, format!(": {why}")));
    }
    if is_true(pod, "Ready") || pod["status"]["phase"] == "Succeeded" {
        return None;
    }
    let told = |weight, one: &Value| Some((weight, format!(": {}", said(one))));
    let is_false = |kind: &str| condition(pod, kind).filter(|one| one["status"] == "False");
    if let Some(one) = is_false("PodScheduled") {
        return told(Weight::Stuck, one);
    }
    if pod["status"]["phase"] == "Failed" && !text(pod, "/status/reason").is_empty() {
        return told(Weight::Stuck, &pod["status"]);
    }
    let containers = || {
        let lists = ["initContainerStatuses", "containerStatuses"];
        lists.into_iter().flat_map(|list| items(&pod["status"][list]))
    };
    let heaviest = containers().filter_map(container).min_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    match (heaviest, is_false("Ready")) {
        (Some((weight, (container, why))), _) => {
            let place = if containers().count() > 1 { format!("/{container}") } else { String::new() };
            Some((weight, format!("{place}: {why}")))
        }
        (None, Some(one)) => told(Weight::Unready, one),
        (None, None) => Some((Weight::Passing, format!(": {}", text(pod, "/status/phase")))),
    }
}

/// Why a container does not run, with its name.
fn container(status: &Value) -> Option<(Weight, (&str, String))> {
    let its = |weight, why| Some((weight, (text(status, "/name"), why)));
    let ended = |at: &Value| at["exitCode"].as_i64().filter(|code| *code != 0);
    let waiting = &status["state"]["waiting"];
    if let Some(reason) = waiting["reason"].as_str() {
        let is_beginning = ["ContainerCreating", "PodInitializing"].contains(&reason);
        let weight = if is_beginning { Weight::Passing } else { Weight::Stuck };
        let last = ended(&status["lastState"]["terminated"]).filter(|_| reason == "CrashLoopBackOff");
        let code = last.map_or_else(String::new, |code| format!(" (exit code {code})"));
        return its(weight, said(waiting) + &code);
    }
    let terminated = &status["state"]["terminated"];
    let code = ended(terminated)?;
    its(Weight::Stuck, format!("{} (exit code {code})", said(terminated)))
}

/// Reason and message, as far as there are any.
fn said(one: &Value) -> String {
    let (reason, message) = (text(one, "/reason"), text(one, "/message").trim());
    let parts = [reason, message].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owned(kind: &str, name: &str, owner: &str, mut rest: Value) -> Value {
        rest["kind"] = json!(kind);
        rest["metadata"] = json!({
            "name": name, "uid": format!("uid-{name}"), "annotations": rest["annotations"],
            "deletionTimestamp": rest["deletionTimestamp"], "finalizers": rest["finalizers"],
            "ownerReferences": [{"controller": true, "uid": format!("uid-{owner}")}],
        });
        rest
    }

    fn set(name: &str, revision: &str, conditions: Value) -> Value {
        let annotations = json!({"deployment.kubernetes.io/revision": revision});
        owned(
            "ReplicaSet",
            name,
            "web",
            json!({"annotations": annotations, "status": {"conditions": conditions}}),
        )
    }

    fn pod(name: &str, set: &str, status: Value) -> Value {
        owned("Pod", name, set, json!({"status": status}))
    }

    fn waiting(container: &str, reason: &str, message: &str) -> Value {
        json!({"name": container, "state": {"waiting": {"reason": reason, "message": message}}})
    }

    /// What is told of a pod of the newest template beside one that is ready.
    fn told_of(status: &Value) -> Option<String> {
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let pods = [pod("web-2-a", "web-2", ready), pod("web-2-b", "web-2", status.clone())];
        blocking(&deployment(), &sets(), &pods)
    }

    fn deployment() -> Value {
        json!({"metadata": {"name": "web", "uid": "uid-web"}})
    }

    fn sets() -> [Value; 2] {
        [set("web-1", "9", json!([])), set("web-2", "10", json!([]))]
    }

    fn unschedulable() -> Value {
        json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available"},
        ]})
    }

    fn of(containers: Value) -> Value {
        json!({"phase": "Pending", "containerStatuses": containers})
    }

    #[test]
    fn a_pod_that_is_not_ready_tells_why() {
        let pulling = waiting("app", "ImagePullBackOff", "Back-off pulling image \"x\"");
        let crashing = json!({"name": "app",
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
            "lastState": {"terminated": {"exitCode": 3}}});
        let running = json!({"name": "app", "state": {"running": {}}});
        let unready = json!({"phase": "Running", "containerStatuses": [running],
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady",
                "message": "containers with unready status: [app]"}]});
        let ended = json!({"name": "app", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}});
        let cases = [
            (unschedulable(), ": Unschedulable: 0/2 nodes are available"),
            (of(json!([pulling])), ": ImagePullBackOff: Back-off pulling image \"x\""),
            (
                of(json!([pulling, waiting("side", "ContainerCreating", "")])),
                "/app: ImagePullBackOff: Back-off pulling image \"x\"",
            ),
            (of(json!([crashing])), ": CrashLoopBackOff: back-off 10s (exit code 3)"),
            (of(json!([ended])), ": Error (exit code 1)"),
            (unready, ": ContainersNotReady: containers with unready status: [app]"),
            (of(json!([waiting("app", "ContainerCreating", "")])), ": ContainerCreating"),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}),
                ": Evicted: low on memory",
            ),
            (json!({"phase": "Pending"}), ": Pending"),
        ];
        for (status, expected) in cases {
            assert_eq!(told_of(&status), Some(format!("web-2-b{expected}")), "{status:#}");
        }
        assert_eq!(told_of(&json!({"phase": "Succeeded"})), None);
    }

    #[test]
    fn what_keeps_a_rollout_the_most_is_named() {
        let quota = json!([
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"},
        ]);
        let (sets, refused) = (sets(), [set("web-1", "9", json!([])), set("web-2", "10", quota)]);
        let creating = of(json!([waiting("app", "ContainerCreating", "")]));
        let stuck = |name: &str, set: &str| pod(name, set, unschedulable());
        let begun = |name: &str, set: &str| pod(name, set, creating.clone());
        let stuck_now = Some("web-2-b: Unschedulable: 0/2 nodes are available");
        let cases: [(&[Value], Vec<Value>, Option<&str>); 6] = [
            (&refused, vec![stuck("web-2-b", "web-2")], Some("web-2: FailedCreate: exceeded quota")),
            (&sets, vec![begun("web-2-a", "web-2"), stuck("web-2-b", "web-2")], stuck_now),
            // Older pods count last, those of others not at all.
            (
                &sets,
                vec![stuck("web-1-a", "web-1"), begun("web-2-b", "web-2")],
                Some("web-2-b: ContainerCreating"),
            ),
            (&sets, vec![stuck("web-1-a", "web-1")], Some("web-1-a: Unschedulable: 0/2 nodes are available")),
            (&sets, vec![stuck("other", "other")], None),
            (&[], Vec::new(), None),
        ];
        for (sets, pods, expected) in cases {
            assert_eq!(blocking(&deployment(), sets, &pods).as_deref(), expected, "{pods:#?}");
        }
        let mut paused = deployment();
        paused["spec"] = json!({"paused": true});
        let told = blocking(&paused, &sets, &[]);
        assert_eq!(told.as_deref(), Some("it is paused: `kctl rollout resume` lets it go on"));
    }

    #[test]
    fn what_keeps_a_deletion_is_named() {
        let gone = |finalizers: Value, conditions: Value| {
            let rest = json!({
                "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers,
                "status": {"conditions": conditions},
            });
            deletion(&owned("Pod", "a", "b", rest))
        };
        let told = gone(json!(["x/y", "z"]), json!([]));
        assert_eq!(told.as_deref(), Some("it waits for its finalizers: x/y, z"));
        assert_eq!(gone(json!([]), json!([])).as_deref(), Some("it is ending"));
        let remaining = json!([
            {"type": "NamespaceContentRemaining", "status": "True", "reason": "SomeResourcesRemain", "message": "pods. has 1"},
            {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "reason": "x", "message": "y"},
        ]);
        assert_eq!(gone(json!([]), remaining).as_deref(), Some("SomeResourcesRemain: pods. has 1"));
        assert_eq!(deletion(&json!({"metadata": {"finalizers": ["x"]}})), None);
    }
}

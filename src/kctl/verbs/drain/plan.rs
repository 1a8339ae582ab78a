//! Which pods of a node go, which stay, and which keep all of them: what kubectl's filters say.

use std::collections::BTreeMap;

use serde_json::Value;

use super::place;
use crate::manifest::{namespace, text};
use crate::workload::{controller, items};

/// What the command line allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// To leave the pods of DaemonSets.
    pub daemon_sets: bool,
    /// To evict pods with data of their own.
    pub local_storage: bool,
    /// To evict pods that nothing makes anew.
    pub unmanaged: bool,
}

/// Whether the DaemonSet of a pod is there.
#[derive(Clone, Debug)]
pub enum DaemonSet {
    /// It is.
    There,
    /// It is not, as the server says.
    Gone(String),
}

/// What is to become of pods.
#[derive(Debug, Default)]
pub struct Plan {
    /// Those that go.
    pub evicted: Vec<Value>,
    /// What is to be said, with the pods that it is about.
    warned: BTreeMap<String, Vec<String>>,
    /// Why pods may not go.
    refused: BTreeMap<String, Vec<String>>,
}

/// What becomes of one pod.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Goes { warning: Option<String> },
    Refused(String),
    Stays { warning: Option<&'static str> },
}

impl Plan {
    /// Why nothing may go.
    pub fn errors(&self) -> Vec<String> {
        let each = self.refused.iter();
        each.map(|(why, pods)| format!("cannot delete {why}: {}", pods.join(", "))).collect()
    }

    /// What is to be said before they go.
    pub fn warnings(&self) -> Option<String> {
        let each = self.warned.iter().map(|(what, pods)| format!("{what}: {}", pods.join(", ")));
        let all: Vec<String> = each.collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// What becomes of the pods; of each DaemonSet it is known, by its path, whether it is there.
pub fn plan(pods: Vec<Value>, allowed: Allowed, daemon_sets: &BTreeMap<String, DaemonSet>) -> Plan {
    let mut plan = Plan::default();
    for pod in pods {
        match fate(&pod, allowed, daemon_sets) {
            Fate::Goes { warning } => {
                if let Some(warning) = warning {
                    plan.warned.entry(warning).or_default().push(place(&pod));
                }
                plan.evicted.push(pod);
            }
            Fate::Stays { warning } => {
                if let Some(warning) = warning {
                    plan.warned.entry(warning.to_owned()).or_default().push(place(&pod));
                }
            }
            Fate::Refused(why) => plan.refused.entry(why).or_default().push(place(&pod)),
        }
    }
    plan
}

/// Where the DaemonSet of a pod that has not ended stands, if one makes it.
pub fn daemon_set(pod: &Value) -> Option<String> {
    let owner = controller(pod).filter(|_| !is_over(pod))?;
    let is_one = owner["kind"] == "DaemonSet" && owner["apiVersion"] == "apps/v1";
    let path = || format!("/apis/apps/v1/namespaces/{}/daemonsets/{}", namespace(pod), text(owner, "/name"));
    is_one.then(path)
}

fn is_over(pod: &Value) -> bool {
    ["Succeeded", "Failed"].contains(&text(pod, "/status/phase"))
}

fn fate(pod: &Value, allowed: Allowed, daemon_sets: &BTreeMap<String, DaemonSet>) -> Fate {
    let goes = |warning: Option<&str>| Fate::Goes { warning: warning.map(str::to_owned) };
    match daemon_set(pod).and_then(|path| daemon_sets.get(&path)) {
        Some(DaemonSet::Gone(why)) if !allowed.unmanaged => return Fate::Refused(why.clone()),
        Some(DaemonSet::There) if allowed.daemon_sets => {
            return Fate::Stays { warning: Some("ignoring DaemonSet-managed Pods") };
        }
        Some(DaemonSet::There) => {
            return Fate::Refused("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)".to_owned());
        }
        Some(DaemonSet::Gone(_)) | None => {}
    }
    // A file on the node makes it; who deletes what stands for it here deletes nothing.
    if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
        return Fate::Stays { warning: None };
    }
    if is_over(pod) {
        return goes(None);
    }
    let has_data = items(&pod["spec"]["volumes"]).iter().any(|volume| volume["emptyDir"].is_object());
    if has_data && !allowed.local_storage {
        return Fate::Refused("Pods with local storage (use --delete-emptydir-data to override)".to_owned());
    }
    match (controller(pod).is_some(), allowed.unmanaged) {
        (true, _) => goes(None),
        (false, true) => goes(Some("deleting Pods that declare no controller")),
        (false, false) => {
            Fate::Refused("Pods that declare no controller (use --force to override)".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_becomes_of_pods() {
        let owned = |kind: &str, name: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true}]);
        let pod = |owners: Value, volumes: Value, phase: &str| {
            json!({
                "metadata": {"namespace": "a", "ownerReferences": owners},
                "spec": {"volumes": volumes}, "status": {"phase": phase},
            })
        };
        let mut mirror = pod(json!([]), json!([]), "Running");
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        let data = json!([{"emptyDir": {}}]);
        let none = || json!([]);
        let known = BTreeMap::from([
            ("/apis/apps/v1/namespaces/a/daemonsets/there".to_owned(), DaemonSet::There),
            (
                "/apis/apps/v1/namespaces/a/daemonsets/gone".to_owned(),
                DaemonSet::Gone("not found".to_owned()),
            ),
        ]);
        let goes = Fate::Goes { warning: None };
        let forced = Fate::Goes { warning: Some("deleting Pods that declare no controller".to_owned()) };
        let ignored = Fate::Stays { warning: Some("ignoring DaemonSet-managed Pods") };
        let refused = |why: &str| Fate::Refused(why.to_owned());
        let daemon = refused("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)");
        let stored = refused("Pods with local storage (use --delete-emptydir-data to override)");
        let unmanaged = refused("Pods that declare no controller (use --force to override)");
        // With nothing allowed, and with everything.
        let cases = [
            (pod(owned("ReplicaSet", "x"), none(), "Running"), &goes, &goes),
            (pod(owned("ReplicaSet", "x"), data.clone(), "Running"), &stored, &goes),
            (pod(owned("ReplicaSet", "x"), data.clone(), "Failed"), &goes, &goes),
            (pod(none(), none(), "Running"), &unmanaged, &forced),
            (pod(none(), data.clone(), "Pending"), &stored, &forced),
            (pod(none(), none(), "Succeeded"), &goes, &goes),
            (pod(owned("DaemonSet", "there"), none(), "Running"), &daemon, &ignored),
            (pod(owned("DaemonSet", "there"), none(), "Failed"), &goes, &goes),
            (pod(owned("DaemonSet", "gone"), none(), "Running"), &refused("not found"), &goes),
            (mirror, &Fate::Stays { warning: None }, &Fate::Stays { warning: None }),
        ];
        let all = Allowed { daemon_sets: true, local_storage: true, unmanaged: true };
        for (pod, strict, lax) in cases {
            assert_eq!(&fate(&pod, Allowed::default(), &known), strict, "{pod}");
            assert_eq!(&fate(&pod, all, &known), lax, "{pod}");
        }
    }
}

//! What a delete makes of an object: nothing left, or an object that is marked and waits.
//!
//! Pure: the object, what the client asks for, and the time in, a decision out.

use crate::codec::DeleteOptions;
use crate::object::Object;
use crate::resource::Resource;
use crate::time;

/// The dependents are deleted first.
pub const FOREGROUND: &str = "foregroundDeletion";

/// The dependents are let go first.
pub const ORPHAN: &str = "orphan";

/// What becomes of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay.
    Orphan,
}

impl Propagation {
    /// From a word of the API; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "Background" => Some(Self::Background),
            "Foreground" => Some(Self::Foreground),
            "Orphan" => Some(Self::Orphan),
            _ => None,
        }
    }
}

/// What a delete does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The object goes.
    Remove,
    /// The object stays, marked as going.
    Mark,
    /// The object is going already, and no later than this delete asks for.
    Pending,
}

/// Kinds whose dependents stay unless a delete says otherwise.
const ORPHANING: &[(&str, &str)] = &[("", "ReplicationController"), ("batch", "Job")];

/// Kinds of which a delete shows the object that went, not a Status.
const SHOWN: &[(&str, &str)] = &[
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "ResourceQuota"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "ResourceClaim"),
    ("resource.k8s.io", "ResourceClaimTemplate"),
    ("resource.k8s.io", "ResourceSlice"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
];

/// Whether a delete answers with the object that went.
pub fn shows_object(resource: &Resource) -> bool {
    resource.is_one_of(SHOWN)
}

/// Decides, and marks the object if it is to stay for now.
pub fn decide(object: &mut Object, resource: &Resource, options: &DeleteOptions, now_ms: u64) -> Deletion {
    let grace = match grace(object, resource, options, now_ms) {
        Grace::Pending => return Deletion::Pending,
        Grace::None => None,
        Grace::Seconds(seconds) => Some(seconds),
    };
    propagate(object, resource, options);
    let is_held = !object.meta.finalizers.is_empty() || (resource.strategy().is_held)(object);
    match grace {
        None if is_held => mark(object, resource, now_ms),
        None | Some(0) if !is_held => return Deletion::Remove,
        _ => {}
    }
    Deletion::Mark
}

/// How long an object may take to end by itself.
enum Grace {
    /// It does not end by itself.
    None,
    /// It was told to end already, and is told nothing new.
    Pending,
    /// This long from when it was told; it is marked with that.
    Seconds(i64),
}

fn grace(object: &mut Object, resource: &Resource, options: &DeleteOptions, now_ms: u64) -> Grace {
    if !resource.is_one_of(&[("", "Pod")]) {
        return Grace::None;
    }
    let asked = options.grace_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    if let Some(until) = object.meta.deletion_timestamp.as_deref() {
        let until_ms = time::parse_rfc3339(until).unwrap_or(now_ms);
        return match (object.meta.deletion_grace_period_seconds.unwrap_or(0), asked) {
            (..=0, _) => Grace::None,
            (before, Some(seconds)) if seconds < before => shorten(object, until_ms, before, seconds, now_ms),
            _ => Grace::Pending,
        };
    }
    let own = object.fields.get("spec").and_then(|spec| spec.get("terminationGracePeriodSeconds"));
    let is_running = !object.text(&["spec", "nodeName"]).is_empty()
        && !matches!(object.text(&["status", "phase"]), "Failed" | "Succeeded");
    let seconds = asked.or(own.and_then(serde_json::Value::as_i64)).filter(|_| is_running).unwrap_or(0);
    let seconds = if seconds < 0 { 1 } else { seconds };
    count_mark(object);
    stamp(object, now_ms.saturating_add_signed(seconds.saturating_mul(1000)), seconds);
    Grace::Seconds(seconds)
}

/// A grace period can only become shorter, and never ends before now.
fn shorten(object: &mut Object, until_ms: u64, before: i64, seconds: i64, now_ms: u64) -> Grace {
    let until_ms = until_ms.saturating_add_signed(seconds.saturating_sub(before).saturating_mul(1000));
    let seconds = if until_ms < now_ms && seconds != 0 { 1 } else { seconds };
    stamp(object, until_ms.max(now_ms), seconds);
    Grace::Seconds(seconds)
}

fn stamp(object: &mut Object, until_ms: u64, seconds: i64) {
    object.meta.deletion_timestamp = Some(time::rfc3339(until_ms));
    object.meta.deletion_grace_period_seconds = Some(seconds);
}

/// Marks an object as going since `now_ms`.
pub fn mark(object: &mut Object, resource: &Resource, now_ms: u64) {
    count_mark(object);
    let until_ms = object.meta.deletion_timestamp.as_deref().and_then(time::parse_rfc3339);
    stamp(object, until_ms.unwrap_or(now_ms).min(now_ms), 0);
    (resource.strategy().prepare_delete)(object);
}

/// To be marked is a change of what is wanted.
fn count_mark(object: &mut Object) {
    if !object.meta.is_deleting() && object.meta.generation > 0 {
        object.meta.generation += 1;
    }
}

/// Sets the finalizers by which the garbage collector knows what becomes of the dependents.
fn propagate(object: &mut Object, resource: &Resource, options: &DeleteOptions) {
    let finalizers = &mut object.meta.finalizers;
    let has = |name: &str| finalizers.iter().any(|one| one == name);
    let asked = options.propagation.or(match (has(ORPHAN), has(FOREGROUND)) {
        (true, _) => Some(Propagation::Orphan),
        (_, true) => Some(Propagation::Foreground),
        _ if resource.is_one_of(ORPHANING) => Some(Propagation::Orphan),
        _ => None,
    });
    let wanted = match asked {
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Background) | None => None,
    };
    if let Some(wanted) = wanted.filter(|wanted| !has(wanted)) {
        finalizers.push(wanted.to_owned());
    }
    finalizers.retain(|one| Some(one.as_str()) == wanted || ![ORPHAN, FOREGROUND].contains(&one.as_str()));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW_MS: u64 = 60_000;

    fn run(row: &Resource, tree: Value, options: &DeleteOptions) -> (Deletion, Object) {
        let mut object = Object::from_tree(tree, row).expect("conforms").0;
        (decide(&mut object, row, options, NOW_MS), object)
    }

    fn asking(grace: Option<i64>, propagation: Option<Propagation>) -> DeleteOptions {
        DeleteOptions { grace_seconds: grace, propagation, ..DeleteOptions::default() }
    }

    #[test]
    fn pods_end_by_themselves() {
        let row = Resource::builtin("", "v1", "pods");
        let running = |meta: Value| json!({"metadata": meta, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}});
        let until = |second: u32, grace: u32| json!({"deletionTimestamp": format!("1970-01-01T00:0{}:{:02}Z", second / 60, second % 60), "deletionGracePeriodSeconds": grace});
        let cases = [
            // (pod, seconds that are asked for, decision, marked with seconds and until second)
            (json!({"spec": {}}), None, Deletion::Remove, None),
            (running(json!({})), Some(0), Deletion::Remove, None),
            (running(json!({})), None, Deletion::Mark, Some((30, 90))),
            (running(json!({})), Some(5), Deletion::Mark, Some((5, 65))),
            (running(json!({})), Some(-5), Deletion::Mark, Some((1, 61))),
            (running(json!({"finalizers": ["a/b"]})), Some(0), Deletion::Mark, Some((0, 60))),
            (running(until(80, 30)), None, Deletion::Pending, None),
            (running(until(80, 30)), Some(40), Deletion::Pending, None),
            (running(until(80, 30)), Some(20), Deletion::Mark, Some((20, 70))),
            (running(until(80, 30)), Some(2), Deletion::Mark, Some((1, 60))),
            (running(until(80, 30)), Some(0), Deletion::Remove, None),
            (running(until(50, 0)), None, Deletion::Remove, None),
        ];
        for (tree, asked, decision, marked) in cases {
            let (decided, pod) = run(&row, tree.clone(), &asking(asked, None));
            assert_eq!(decided, decision, "{tree} {asked:?}");
            if let Some((seconds, until)) = marked {
                let expect = (Some(seconds), Some(time::rfc3339(until * 1000)));
                assert_eq!(
                    (pod.meta.deletion_grace_period_seconds, pod.meta.deletion_timestamp),
                    expect,
                    "{tree}"
                );
            }
        }
    }

    #[test]
    fn what_becomes_of_dependents_stands_in_finalizers() {
        use Propagation::{Background, Foreground, Orphan};
        let deployments = Resource::builtin("apps", "v1", "deployments");
        let jobs = Resource::builtin("batch", "v1", "jobs");
        let cases = [
            (&deployments, json!([]), None, json!([])),
            (&deployments, json!(["a/b"]), None, json!(["a/b"])),
            (&deployments, json!(["a/b"]), Some(Foreground), json!(["a/b", FOREGROUND])),
            (&deployments, json!([FOREGROUND, "a/b"]), Some(Orphan), json!(["a/b", ORPHAN])),
            (&deployments, json!([ORPHAN]), None, json!([ORPHAN])),
            (&deployments, json!([ORPHAN]), Some(Background), json!([])),
            (&jobs, json!([]), None, json!([ORPHAN])),
            (&jobs, json!([]), Some(Background), json!([])),
        ];
        for (row, before, asked, after) in cases {
            let (decided, object) =
                run(row, json!({"metadata": {"finalizers": before}}), &asking(None, asked));
            assert_eq!(json!(object.meta.finalizers), after, "{} {before} {asked:?}", row.kind);
            let expect = if after == json!([]) { Deletion::Remove } else { Deletion::Mark };
            assert_eq!(decided, expect, "{} {before} {asked:?}", row.kind);
        }
    }

    #[test]
    fn a_mark_counts_as_a_change_once() {
        let row = Resource::builtin("apps", "v1", "deployments");
        let tree = json!({"metadata": {"generation": 3, "finalizers": ["a/b"]}});
        let (_, mut marked) = run(&row, tree, &DeleteOptions::default());
        assert_eq!((marked.meta.generation, marked.meta.deletion_grace_period_seconds), (4, Some(0)));
        let before = marked.clone();
        assert_eq!(decide(&mut marked, &row, &DeleteOptions::default(), NOW_MS + 5_000), Deletion::Mark);
        assert_eq!(marked, before);
    }
}

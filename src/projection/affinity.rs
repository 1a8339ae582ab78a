//! Which nodes hold pods that name pods which they want near or far, gathered by what they name: a Deployment's
//! thousand pods say the same, and whoever reads it reads it once.

use std::sync::Arc;

use imbl::OrdMap;

use crate::pods::Pod;

/// What pods of a namespace say of pods near and far.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodAffinity {
    /// Their namespace: terms that name none mean it.
    pub namespace: Box<str>,
    /// `podAffinity` and `podAntiAffinity`, as JSON.
    pub json: Box<[u8]>,
}

impl PodAffinity {
    /// Of a pod; `None`: it says nothing.
    pub fn of(pod: &Pod) -> Option<Self> {
        if !pod.has_pod_affinity {
            return None;
        }
        let [near, far] =
            pod.object.view().at(&["spec", "affinity"]).pick(["podAffinity", "podAntiAffinity"]);
        let mut json = Vec::new();
        for (name, value) in [("podAffinity", near), ("podAntiAffinity", far)] {
            if value.is_there() {
                json.push(if json.is_empty() { b'{' } else { b',' });
                json.extend([b"\"", name.as_bytes(), b"\":", value.bytes()].concat());
            }
        }
        json.push(b'}');
        Some(Self { namespace: pod.key().namespace().into(), json: json.into() })
    }
}

/// All of them: what they say, and how many pods on which nodes say it.
#[derive(Clone, Debug, Default)]
pub struct PodAffinities(OrdMap<Arc<PodAffinity>, OrdMap<Arc<str>, u32>>);

impl PodAffinities {
    /// Takes in one change of a pod. Those without a node or that ended do not count.
    pub(crate) fn fold(&mut self, before: Option<&Pod>, after: Option<&Pod>) {
        let counted = |pod: Option<&Pod>| {
            let pod = pod.filter(|pod| !pod.node.is_empty() && !pod.is_finished())?;
            Some((Arc::new(PodAffinity::of(pod)?), Arc::clone(&pod.node)))
        };
        let (before, after) = (counted(before), counted(after));
        if before == after {
            return;
        }
        if let Some((said, node)) = before {
            let nodes = self.0.entry(Arc::clone(&said)).or_default();
            match nodes.get(&node).copied() {
                Some(count @ 2..) => _ = nodes.insert(node, count - 1),
                _ => _ = nodes.remove(&node),
            }
            if nodes.is_empty() {
                self.0.remove(&said);
            }
        }
        if let Some((said, node)) = after {
            *self.0.entry(said).or_default().entry(node).or_default() += 1;
        }
    }

    /// What is said, with the nodes where it is said and how often there.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<PodAffinity>, &OrdMap<Arc<str>, u32>)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{put, remove, world};

    #[test]
    fn nodes_are_gathered_by_what_their_pods_say() {
        let pod = |name: &str, node: &str, phase: &str| {
            let term = json!([{"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}]);
            json!({"kind": "Pod", "metadata": {"name": name}, "status": {"phase": phase}, "spec": {
                "nodeName": node,
                "containers": [],
                "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}},
            }})
        };
        let mut world =
            world([pod("a", "one", ""), pod("b", "one", ""), pod("c", "two", ""), pod("d", "", "")]);
        let shown = |world: &crate::World| {
            let all = world.pods.affinities().iter();
            all.flat_map(|(_, nodes)| nodes.iter().map(|(node, count)| format!("{node} {count}")))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&world), ["one 2", "two 1"]);
        let said = world.pods.affinities().iter().next().expect("one").0.clone();
        assert!(said.json.starts_with(b"{\"podAntiAffinity\":{"), "{said:?}");
        put(&mut world, pod("a", "one", "Failed"));
        put(&mut world, pod("d", "two", ""));
        assert_eq!(shown(&world), ["one 1", "two 2"]);
        for name in ["b", "c", "d"] {
            remove(&mut world, &api::Key::object("", "pods", "default", name));
        }
        assert_eq!(world.pods.affinities().iter().count(), 0);
    }
}

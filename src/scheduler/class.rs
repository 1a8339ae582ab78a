//! What of a pod decides where it may go and where it goes best. Pods that have all of it in common are one class, and
//! what was found for one holds for the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::view::View;
use projection::World;
use projection::affinity::PodAffinity;
use projection::pods::{HostPort, Pod, Weight};
use projection::resources::Amounts;
use serde_json::Value;
use state::labels::Labels;

use crate::default_spread;
use crate::terms::{NodeTerm, PodTerms, Scope, Toleration, Want, list, selectors};

/// One class.
pub struct Class {
    /// Of the namespace.
    pub namespace: Box<str>,
    /// The pods' labels.
    pub labels: Labels,
    /// The node that it was made for; empty: any.
    pub node_name: Arc<str>,
    /// What a pod takes.
    pub requests: Amounts,
    /// The same as it counts when nodes are compared.
    pub weight: Weight,
    /// Ports of the node.
    pub ports: Box<[HostPort]>,
    /// `spec.priority`.
    pub priority: i32,
    /// Whether it may push others away: its `preemptionPolicy` is not `Never`.
    pub may_preempt: bool,
    /// `spec.tolerations`.
    pub tolerations: Vec<Toleration>,
    /// `spec.nodeSelector`.
    pub node_selector: Vec<(Box<str>, Box<str>)>,
    /// Required node affinity: one of these must hold.
    pub node_terms: Option<Vec<NodeTerm>>,
    /// Preferred node affinity, with weights.
    pub node_preferences: Vec<(i64, NodeTerm)>,
    /// Affinity to pods.
    pub pods: PodTerms,
    /// Constraints of spreading that must hold.
    pub spread_required: Vec<SpreadConstraint>,
    /// Those that had better hold: its own, or the defaults.
    pub spread_preferred: Vec<SpreadConstraint>,
    /// Whether a node must have all the labels that the preferred ones name: not for defaults.
    pub spread_needs_labels: bool,
    /// The images of its containers and volumes, as nodes name them. Repeated when several have the same.
    pub images: Vec<Box<str>>,
}

/// One of `topologySpreadConstraints`.
pub struct SpreadConstraint {
    /// `maxSkew`.
    pub skew_max: i64,
    /// `topologyKey`.
    pub topology: Box<str>,
    /// Which pods are counted.
    pub want: Want,
    /// `minDomains`.
    pub domains_min: usize,
    /// `nodeAffinityPolicy` is `Honor`: nodes that the pod's node affinity rules out do not count.
    pub honors_affinity: bool,
    /// `nodeTaintsPolicy` is `Honor`: nodes with taints that the pod does not tolerate do not count.
    pub honors_taints: bool,
}

/// The members of `spec` that a class is told by, beside what the row of a pod holds.
const TELLING: [&str; 8] = [
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "preemptionPolicy",
    "containers",
    "initContainers",
    "volumes",
];

impl Class {
    /// What pods of one class have in common and no others have, as bytes.
    pub fn fingerprint(world: &World, pod: &Pod) -> Vec<u8> {
        let parts = pod.object.view().get("spec").pick(TELLING);
        let mut print = Vec::with_capacity(512);
        let mut part = |bytes: &[u8]| {
            print.extend((bytes.len() as u32).to_be_bytes());
            print.extend(bytes);
        };
        part(pod.key().namespace().as_bytes());
        part(pod.node.as_bytes());
        part(&pod.priority.to_be_bytes());
        for (label, value) in pod.object.labels().iter() {
            part(label.as_bytes());
            part(value.as_bytes());
        }
        part(b"");
        for number in [
            pod.requests.cpu_milli,
            pod.requests.memory_bytes,
            pod.requests.storage_bytes,
            pod.weight.cpu_milli,
            pod.weight.memory_bytes,
        ] {
            part(&number.to_be_bytes());
        }
        for (resource, amount) in &pod.requests.others {
            part(resource.as_bytes());
            part(&amount.to_be_bytes());
        }
        part(b"");
        for port in &pod.ports {
            part(port.address.as_bytes());
            part(port.protocol.as_bytes());
            part(&port.port.to_be_bytes());
        }
        part(b"");
        for view in &parts[..5] {
            part(view.bytes());
        }
        for image in images(&parts) {
            part(image.as_bytes());
        }
        part(b"");
        part(world.owners.controller_of(pod.key()).map_or(b"", |owner| owner.uid.as_bytes()));
        print
    }

    /// Reads the class of a pod.
    pub fn of(world: &World, pod: &Pod) -> Self {
        let parts = pod.object.view().get("spec").pick(TELLING);
        let [selector, affinity, tolerations, spread, policy, ..] = parts;
        let (affinity, namespace) = (affinity.to_value(), pod.key().namespace());
        let on_nodes = &affinity["nodeAffinity"];
        let required = &on_nodes["requiredDuringSchedulingIgnoredDuringExecution"];
        let preferred = list(on_nodes, "preferredDuringSchedulingIgnoredDuringExecution").iter();
        let preference =
            |term: &Value| (term["weight"].as_i64().unwrap_or(0), NodeTerm::of(&term["preference"]));
        let spread = spread.to_value();
        let mut class = Self {
            namespace: namespace.into(),
            labels: pod.object.labels().clone(),
            node_name: Arc::clone(&pod.node),
            requests: pod.requests.clone(),
            weight: pod.weight,
            ports: pod.ports.clone(),
            priority: pod.priority,
            may_preempt: !policy.is("Never"),
            tolerations: tolerations
                .to_value()
                .as_array()
                .into_iter()
                .flatten()
                .map(Toleration::of)
                .collect(),
            node_selector: selector
                .members()
                .map(|(label, value)| (label.into(), value.text().into()))
                .collect(),
            node_terms: (!required.is_null())
                .then(|| list(required, "nodeSelectorTerms").iter().map(NodeTerm::of).collect()),
            node_preferences: preferred.map(preference).collect(),
            pods: PodTerms::of(world, namespace, &affinity),
            spread_required: Vec::new(),
            spread_preferred: Vec::new(),
            spread_needs_labels: true,
            images: images(&parts).map(Into::into).collect(),
        };
        let own = spread.as_array().map_or(&[][..], Vec::as_slice);
        for constraint in own {
            let read = SpreadConstraint::of(constraint, namespace, &class.labels);
            match constraint["whenUnsatisfiable"].as_str() {
                Some("DoNotSchedule") => class.spread_required.push(read),
                _ => class.spread_preferred.push(read),
            }
        }
        if own.is_empty() {
            class.spread_needs_labels = false;
            class.spread_preferred = default_spread::constraints(world, pod);
        }
        class
    }

    /// The only nodes that need be looked at; `None`: all. Empty when its terms contradict each other.
    pub fn only_nodes(&self) -> Option<BTreeSet<&str>> {
        let terms = self.node_terms.as_ref().filter(|terms| !terms.is_empty())?;
        let mut all = BTreeSet::new();
        for term in terms {
            all.extend(term.names()?);
        }
        Some(all)
    }
}

/// The images of containers and volumes, as nodes name them.
fn images<'v>(parts: &'v [View<'v>; 8]) -> impl Iterator<Item = String> + 'v {
    let [.., containers, init, volumes] = parts;
    let images = init.items().chain(containers.items()).map(|container| container.get("image"));
    let mounted =
        volumes.items().map(|volume| volume.at(&["image", "reference"])).filter(|image| image.is_there());
    images.chain(mounted).map(|image| {
        let name = image.text();
        // A colon before the last slash is one of a port, not of a tag.
        if name.rfind(':') <= name.rfind('/') { format!("{name}:latest") } else { name.into_owned() }
    })
}

impl SpreadConstraint {
    fn of(constraint: &Value, namespace: &str, labels: &Labels) -> Self {
        let mut selectors = selectors(&constraint["labelSelector"]);
        let keys = list(constraint, "matchLabelKeys").iter().filter_map(Value::as_str);
        let values = keys.filter_map(|key| Some((key.to_owned(), labels.get(key)?.into())));
        let same = api::selector::Selector::of_labels(&values.collect());
        if let Some(selectors) = selectors.as_mut().filter(|_| !same.is_empty()) {
            selectors.push(same);
        }
        Self {
            skew_max: constraint["maxSkew"].as_i64().unwrap_or(1),
            topology: constraint["topologyKey"].as_str().unwrap_or_default().into(),
            want: Want { scope: Scope::one(namespace), selectors },
            domains_min: constraint["minDomains"].as_u64().map_or(1, |count| count as usize),
            honors_affinity: constraint["nodeAffinityPolicy"].as_str() != Some("Ignore"),
            honors_taints: constraint["nodeTaintsPolicy"].as_str() == Some("Honor"),
        }
    }
}

/// What pods that have a node say of pods near and far.
pub fn said(world: &World, affinity: &PodAffinity) -> PodTerms {
    let json = serde_json::from_slice(&affinity.json).unwrap_or_default();
    PodTerms::of(world, &affinity.namespace, &json)
}

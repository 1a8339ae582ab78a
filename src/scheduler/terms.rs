//! What a pod asks of nodes and of other pods, in the form that is evaluated.

use std::collections::BTreeSet;

use api::selector::Selector;
use projection::World;
use projection::labels::matches;
use projection::nodes::{Effect, Node, Taint};
use serde_json::Value;
use state::labels::Labels;

/// What the keys of namespaces begin with.
const NAMESPACES: &str = "core/namespaces/";

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

pub(crate) fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// One of `spec.tolerations`.
pub struct Toleration {
    key: Box<str>,
    operator: Box<str>,
    value: Box<str>,
    effect: Option<Effect>,
    is_any_effect: bool,
}

impl Toleration {
    /// Reads one.
    pub fn of(value: &Value) -> Self {
        let effect = match text(value, "effect") {
            "NoSchedule" => Some(Effect::NoSchedule),
            "PreferNoSchedule" => Some(Effect::PreferNoSchedule),
            "NoExecute" => Some(Effect::NoExecute),
            _ => None,
        };
        Self {
            key: text(value, "key").into(),
            operator: text(value, "operator").into(),
            value: text(value, "value").into(),
            effect,
            is_any_effect: text(value, "effect").is_empty(),
        }
    }

    /// Whether pods with it bear a taint. `Gt` and `Lt` bear none: Kubernetes 1.37 has them off.
    pub fn tolerates(&self, key: &str, value: &str, effect: Effect) -> bool {
        let operator = match &*self.operator {
            "" | "Equal" => *self.value == *value,
            "Exists" => true,
            _ => false,
        };
        operator
            && (self.is_any_effect || self.effect == Some(effect))
            && (self.key.is_empty() || *self.key == *key)
    }

    /// Whether it says anything about this effect.
    pub fn is_about(&self, effect: Effect) -> bool {
        self.is_any_effect || self.effect == Some(effect)
    }
}

/// Whether one of them bears a taint.
pub fn tolerated<'t>(mut tolerations: impl Iterator<Item = &'t Toleration>, taint: &Taint) -> bool {
    tolerations.any(|one| one.tolerates(&taint.key, &taint.value, taint.effect))
}

/// One of `nodeSelectorTerms`: all of it must hold. An empty one holds nowhere.
pub struct NodeTerm {
    labels: Vec<NodeRequirement>,
    fields: Vec<NodeRequirement>,
}

struct NodeRequirement {
    key: Box<str>,
    operator: Box<str>,
    values: Vec<Box<str>>,
}

impl NodeTerm {
    /// Reads one.
    pub fn of(term: &Value) -> Self {
        let one = |requirement: &Value| NodeRequirement {
            key: text(requirement, "key").into(),
            operator: text(requirement, "operator").into(),
            values: list(requirement, "values").iter().filter_map(Value::as_str).map(Box::from).collect(),
        };
        Self {
            labels: list(term, "matchExpressions").iter().map(one).collect(),
            fields: list(term, "matchFields").iter().map(one).collect(),
        }
    }

    /// Whether it holds on a node.
    pub fn matches(&self, node: &Node) -> bool {
        let labels = node.object.labels();
        !(self.labels.is_empty() && self.fields.is_empty())
            && self.labels.iter().all(|one| one.holds(labels.get(&one.key)))
            && self.fields.iter().all(|one| one.holds_of(node.name()))
    }

    /// The names of the nodes that it can hold on; `None`: it does not say. Kubernetes looks at no other nodes, and
    /// takes all of `values` although a requirement with several of them holds nowhere.
    pub fn names(&self) -> Option<BTreeSet<&str>> {
        let named = self.fields.iter().filter(|one| &*one.key == "metadata.name" && &*one.operator == "In");
        let sets = named.map(|one| one.values.iter().map(|name| &**name).collect::<BTreeSet<_>>());
        sets.reduce(|both, set| both.intersection(&set).copied().collect())
    }
}

impl NodeRequirement {
    /// Of a label.
    fn holds(&self, value: Option<&str>) -> bool {
        let compared = || {
            let [bound] = &self.values[..] else { return None };
            Some((value?.parse::<i64>().ok()?, bound.parse::<i64>().ok()?))
        };
        match &*self.operator {
            "In" => value.is_some_and(|value| self.values.iter().any(|one| **one == *value)),
            "NotIn" => value.is_none_or(|value| self.values.iter().all(|one| **one != *value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => compared().is_some_and(|(value, bound)| value > bound),
            "Lt" => compared().is_some_and(|(value, bound)| value < bound),
            _ => false,
        }
    }

    /// Of a field; nodes have one, their name.
    fn holds_of(&self, name: &str) -> bool {
        let field = if &*self.key == "metadata.name" { name } else { "" };
        match (&*self.operator, &self.values[..]) {
            ("In", [value]) => **value == *field,
            ("NotIn", [value]) => **value != *field,
            _ => false,
        }
    }
}

/// In which namespaces pods are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In all.
    All,
    /// In these.
    In(BTreeSet<Box<str>>),
}

impl Scope {
    /// In one.
    pub fn one(namespace: &str) -> Self {
        Self::In(BTreeSet::from([namespace.into()]))
    }

    fn has(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::In(names) => names.contains(namespace),
        }
    }
}

/// Which pods are meant: those of some namespaces that all the selectors match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Where.
    pub scope: Scope,
    /// `None`: none at all, as a selector that is absent means.
    pub selectors: Option<Vec<Selector>>,
}

impl Want {
    /// Whether it means a pod.
    pub fn matches(&self, namespace: &str, labels: &Labels) -> bool {
        self.scope.has(namespace) && self.selects(labels)
    }

    /// The same of a pod of its scope.
    pub fn selects(&self, labels: &Labels) -> bool {
        let selectors = self.selectors.as_ref();
        selectors.is_some_and(|all| all.iter().all(|selector| matches(selector, labels)))
    }

    /// Whether its selectors ask for nothing.
    pub fn is_empty(&self) -> bool {
        self.selectors.as_ref().is_some_and(|all| all.iter().all(Selector::is_empty))
    }
}

/// A `LabelSelector`, which may be absent.
pub fn selectors(selector: &Value) -> Option<Vec<Selector>> {
    (!selector.is_null()).then(|| vec![Selector::of_label_selector(selector)])
}

/// One term of a pod's affinity to pods.
pub struct Term {
    /// Which pods.
    pub want: Want,
    /// Within which domain of nodes: `topologyKey`.
    pub topology: Box<str>,
    /// How much it is preferred, less than nothing for anti-affinity; 0: it is required.
    pub weight: i64,
}

impl Term {
    fn of(world: &World, namespace: &str, term: &Value, weight: i64) -> Self {
        let names = list(term, "namespaces").iter().filter_map(Value::as_str).map(Box::from);
        let mut names: BTreeSet<Box<str>> = names.collect();
        let selector = &term["namespaceSelector"];
        let scope = if selector.is_null() {
            if names.is_empty() {
                names.insert(namespace.into());
            }
            Scope::In(names)
        } else {
            let selector = Selector::of_label_selector(selector);
            if selector.is_empty() {
                Scope::All
            } else {
                let all = world.state.range(NAMESPACES);
                let found = all.filter(|one| matches(&selector, one.labels()));
                names.extend(found.map(|one| Box::from(one.key.name())));
                Scope::In(names)
            }
        };
        let want = Want { scope, selectors: selectors(&term["labelSelector"]) };
        Self { want, topology: text(term, "topologyKey").into(), weight }
    }
}

/// `podAffinity` and `podAntiAffinity` of one pod.
#[derive(Default)]
pub struct PodTerms {
    /// Required: pods that all of these mean must be near.
    pub near: Vec<Term>,
    /// Required: pods that any of these means must be far.
    pub far: Vec<Term>,
    /// Preferred, both sorts.
    pub preferred: Vec<Term>,
}

impl PodTerms {
    /// Reads `spec.affinity` of a pod of a namespace.
    pub fn of(world: &World, namespace: &str, affinity: &Value) -> Self {
        let required = |sort: &str| {
            let terms = list(&affinity[sort], "requiredDuringSchedulingIgnoredDuringExecution");
            terms.iter().map(|term| Term::of(world, namespace, term, 0)).collect()
        };
        let preferred = |sort: &str, sign: i64| {
            let terms = list(&affinity[sort], "preferredDuringSchedulingIgnoredDuringExecution").iter();
            let one = move |term: &Value| {
                let weight = sign * term["weight"].as_i64().unwrap_or(0);
                Term::of(world, namespace, &term["podAffinityTerm"], weight)
            };
            terms.map(one).collect::<Vec<_>>()
        };
        let mut all = preferred("podAffinity", 1);
        all.extend(preferred("podAntiAffinity", -1));
        Self { near: required("podAffinity"), far: required("podAntiAffinity"), preferred: all }
    }
}

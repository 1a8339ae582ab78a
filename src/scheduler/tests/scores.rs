//! What each score gives: Kubernetes' numbers, worked out by hand from its formulas.

use projection::testing::{put, world};
use serde_json::{Value, json};

use super::{asking, labelled, merge, node, of, pod, requests, zoned};
use crate::case::Case;
use crate::class::Class;
use crate::scores::{self, SCORES};
use crate::snapshot::Snapshot;

/// The rows, in the order of their table.
const NAMES: [&str; SCORES.len()] = [
    "ImageLocality",
    "InterPodAffinity",
    "NodeAffinity",
    "NodeResourcesBalancedAllocation",
    "NodeResourcesFit",
    "PodTopologySpread",
    "TaintToleration",
];

/// What a score gives to each node for a pod in a World of these objects; all nodes will do. `None`: it does not apply.
fn rates(score: &str, objects: &[Value], waiting: &Value) -> Option<Vec<(String, i64)>> {
    let mut world = world(objects.iter().cloned());
    let key = put(&mut world, waiting.clone());
    let mut snapshot = Snapshot::of(&world);
    let class = Class::of(&world, world.pods.get(key.as_str()).expect("the pod"));
    let mut case = Case::new(&mut snapshot, class);
    let score = NAMES.iter().position(|name| *name == score).expect("a score");
    let seats: Vec<usize> = (0..snapshot.seats.len()).collect();
    assert!(seats.iter().all(|seat| case.fits(&snapshot, *seat)), "all will do");
    let rates = (SCORES[score].applies)(&case).then(|| scores::rates(&snapshot, &case, &seats, score))?;
    let names = seats.iter().map(|seat| snapshot.seats[*seat].node.name().to_owned());
    let mut all: Vec<_> = names.zip(rates).collect();
    all.sort();
    Some(all)
}

fn check(score: &str, what: &str, objects: &[Value], pod: &Value, expect: &[(&str, i64)]) {
    let expect: Vec<_> = expect.iter().map(|(name, rate)| ((*name).to_owned(), *rate)).collect();
    assert_eq!(rates(score, objects, pod), Some(expect), "{score}: {what}");
}

fn on(node: &str, mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = node.into();
    pod
}

#[test]
fn the_weights_are_those_of_kubernetes() {
    let weights = SCORES.each_ref().map(|score| score.weight);
    assert_eq!(weights, [1, 2, 2, 1, 1, 2, 3]);
}

#[test]
fn least_allocated() {
    let score = "NodeResourcesFit";
    let objects = [node("a", json!({})), node("b", json!({})), on("b", asking("there", "1", "0"))];
    check(score, "what is left", &objects, &asking("p", "1", "2Gi"), &[("a", 75), ("b", 61)]);
    check(score, "unasked counts as a little", &objects[..1], &of("p", json!({})), &[("a", 97)]);
    let none = node("a", json!({"status": {"allocatable": {"memory": "0"}}}));
    check(
        score,
        "what a node lacks does not count",
        &[none],
        &of("p", requests(json!({"cpu": "1"}))),
        &[("a", 75)],
    );
}

#[test]
fn balanced_allocation() {
    let score = "NodeResourcesBalancedAllocation";
    let objects = [node("a", json!({})), node("b", json!({})), on("b", asking("there", "2", "0"))];
    check(score, "as before; worse", &objects, &asking("p", "1", "2Gi"), &[("a", 75), ("b", 75)]);
    check(score, "worse", &objects[..1], &asking("p", "4", "0"), &[("a", 50)]);
    check(score, "better", &objects[1..], &asking("p", "0", "4Gi"), &[("b", 87)]);
    assert_eq!(rates(score, &objects, &of("p", json!({}))), None, "who asks for nothing");
}

#[test]
fn taints() {
    let soft = |names: &[&str]| {
        let taints = names.iter().map(|key| json!({"key": key, "effect": "PreferNoSchedule"}));
        json!({"spec": {"taints": taints.collect::<Vec<_>>()}})
    };
    let objects = [node("a", json!({})), node("b", soft(&["x"])), node("c", soft(&["x", "y"]))];
    let score = "TaintToleration";
    check(score, "the fewest", &objects, &of("p", json!({})), &[("a", 100), ("b", 50), ("c", 0)]);
    let tolerating = |effect: &str| {
        of("p", json!({"tolerations": [{"key": "x", "operator": "Exists", "effect": effect}]}))
    };
    let expect = [("a", 100), ("b", 100), ("c", 0)];
    check(score, "tolerated", &objects, &tolerating("PreferNoSchedule"), &expect);
    check(score, "any effect", &objects, &tolerating(""), &expect);
    let other = [("a", 100), ("b", 50), ("c", 0)];
    check(score, "another effect", &objects, &tolerating("NoSchedule"), &other);
    check(score, "no taints", &objects[..1], &of("p", json!({})), &[("a", 100)]);
}

#[test]
fn preferred_nodes() {
    let with = |name: &str, labels: Value| node(name, json!({"metadata": {"labels": labels}}));
    let objects = [with("a", json!({"x": "", "y": ""})), with("b", json!({"y": ""})), with("c", json!({}))];
    let term = |weight: i64, label: &str| json!({"weight": weight, "preference": {"matchExpressions": [{"key": label, "operator": "Exists"}]}});
    let terms = json!([term(10, "x"), term(5, "y"), {"weight": 50, "preference": {}}]);
    let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}});
    let pod = of("p", json!({"affinity": affinity}));
    check("NodeAffinity", "the sum of weights", &objects, &pod, &[("a", 100), ("b", 33), ("c", 0)]);
    assert_eq!(rates("NodeAffinity", &objects, &of("p", json!({}))), None);
}

#[test]
fn images() {
    let with = |name: &str, image: &str, mb: i64| {
        node(name, json!({"status": {"images": [{"names": [image], "sizeBytes": mb * 1024 * 1024}]}}))
    };
    let objects = [with("a", "main:latest", 523), with("b", "other:1", 9000)];
    // (523 MB * 1/2 - 23 MB) / (1000 MB - 23 MB).
    let score = "ImageLocality";
    check(score, "half of the nodes have it", &objects, &of("p", json!({})), &[("a", 24), ("b", 0)]);
    let tagged = of("p", json!({"containers": [{"name": "main", "image": "host:1/main"}]}));
    let there = [with("a", "host:1/main:latest", 9000)];
    check(score, "a colon of a port is no tag", &there, &tagged, &[("a", 100)]);
}

const ZONE: &str = "topology.kubernetes.io/zone";

fn preferring(sort: &str, weight: i64, app: &str) -> Value {
    let term = json!({"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": app}}});
    json!({"affinity": {sort: {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": weight, "podAffinityTerm": term},
    ]}}})
}

#[test]
fn preferred_pods() {
    let nodes = [zoned("a1", "a"), zoned("a2", "a"), zoned("b1", "b")];
    let with = |more: Value| [&nodes[..], &[more]].concat();
    let web = on("a1", labelled("web", json!({"app": "web"}), json!({})));
    let score = "InterPodAffinity";
    let (in_a, in_b) = ([("a1", 100), ("a2", 100), ("b1", 0)], [("a1", 0), ("a2", 0), ("b1", 100)]);
    let wishing = |sort: &str| of("p", preferring(sort, 10, "web"));
    check(score, "near", &with(web.clone()), &wishing("podAffinity"), &in_a);
    check(score, "far", &with(web), &wishing("podAntiAffinity"), &in_b);
    check(score, "nobody", &nodes, &wishing("podAffinity"), &[("a1", 0), ("a2", 0), ("b1", 0)]);
    let fan = |sort: &str| with(on("a1", of("fan", preferring(sort, 10, "web"))));
    let pod = labelled("p", json!({"app": "web"}), json!({}));
    check(score, "liked", &fan("podAffinity"), &pod, &in_a);
    check(score, "disliked", &fan("podAntiAffinity"), &pod, &in_b);
    assert_eq!(rates(score, &fan("podAffinity"), &of("p", json!({}))), None, "of no interest to anybody");
    let term = json!([{"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": "web"}}}]);
    let required = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}});
    let follower = with(on("a1", of("follower", json!({"affinity": required}))));
    check(score, "whoever must be near likes it", &follower, &pod, &in_a);
}

#[test]
fn spread_by_default() {
    let web = |name: &str| on("a1", labelled(name, json!({"app": "web"}), json!({})));
    let service =
        json!({"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}}});
    let objects = [zoned("a1", "a"), zoned("a2", "a"), zoned("b1", "b"), web("1"), web("2"), service];
    let pod = labelled("p", json!({"app": "web"}), json!({}));
    // 2 ln 5 + 2 + 2 ln 4 + 4 = 12; 2 + 2 ln 4 + 4 = 9; 2 + 4 = 6; then (12 + 6 - n) / 12.
    let score = "PodTopologySpread";
    check(score, "hosts and zones", &objects, &pod, &[("a1", 50), ("a2", 75), ("b1", 100)]);
    assert_eq!(rates(score, &objects[..5], &pod), None, "nothing selects it");
}

#[test]
fn spread_by_default_with_the_controllers_selector() {
    let set = |kind: &str| {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}});
        let spec =
            json!({"selector": {"matchLabels": {"app": "web"}}, "serviceName": "x", "template": template});
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "set"}, "spec": spec})
    };
    for kind in ["ReplicaSet", "StatefulSet"] {
        let there = on("a", labelled("there", json!({"app": "web"}), json!({})));
        let objects = [node("a", json!({})), node("b", json!({})), set(kind), there];
        let owner = json!([{
            "apiVersion": "apps/v1", "kind": kind, "name": "set", "uid": "uid-set", "controller": true,
        }]);
        let pod = pod("p", json!({"metadata": {"labels": {"app": "web"}, "ownerReferences": owner}}));
        // ln 4 + 2 = 3; 2; then (3 + 2 - n) / 3. No node has a zone.
        check("PodTopologySpread", kind, &objects, &pod, &[("a", 66), ("b", 100)]);
    }
}

#[test]
fn spread_by_preference() {
    let web = on("a", labelled("there", json!({"app": "web"}), json!({})));
    let objects = [zoned("a", "a"), zoned("b", "b"), node("c", json!({})), web];
    let mut constraint = json!({
        "topologyKey": ZONE,
        "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}},
    });
    let of = |constraint: &Value| of("p", json!({"topologySpreadConstraints": [constraint]}));
    // ln 4 = 1; 0; then (1 + 0 - n) / 1. The node without the label gets nothing.
    let score = "PodTopologySpread";
    check(score, "zones", &objects, &of(&constraint), &[("a", 0), ("b", 100), ("c", 0)]);
    merge(&mut constraint, json!({"labelSelector": {"matchLabels": {"app": "none"}}}));
    check(score, "nobody counts", &objects, &of(&constraint), &[("a", 100), ("b", 100), ("c", 0)]);
}

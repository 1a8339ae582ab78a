//! What spreading that had better hold gives: situations for which Kubernetes' own tests have the numbers.

use projection::testing::{put, world};
use serde_json::{Value, json};

use super::{labelled, zoned};
use crate::case::Case;
use crate::class::Class;
use crate::scores::{Rate, pod_topology_spread};
use crate::snapshot::Snapshot;

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// A constraint: by what, with which skew, and the label of the pods that count.
type Constraint = (&'static str, i64, &'static str);

/// A node: its zone, the labels of each of its pods, and what it gets; `None`: it is no candidate.
type Seat = (&'static str, &'static [&'static str], Option<i64>);

fn check(constraints: &[Constraint], nodes: &[Seat]) {
    let name = |n: usize| format!("node-{n}");
    let labels = |letters: &str| letters.chars().map(|one| (one.to_string(), "")).collect::<Value>();
    let mut objects = Vec::new();
    for (n, (zone, pods, _)) in nodes.iter().enumerate() {
        objects.push(zoned(&name(n), zone));
        let pod = |(m, letters): (usize, &&str)| {
            labelled(&format!("pod-{n}-{m}"), labels(letters), json!({"nodeName": name(n)}))
        };
        objects.extend(pods.iter().enumerate().map(pod));
    }
    let mut world = world(objects);
    let one = |(topology, skew, label): &Constraint| {
        json!({
            "topologyKey": topology,
            "maxSkew": skew,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchExpressions": [{"key": label, "operator": "Exists"}]},
        })
    };
    let all: Vec<Value> = constraints.iter().map(one).collect();
    let key = put(&mut world, labelled("p", labels("fb"), json!({"topologySpreadConstraints": all})));
    let mut snapshot = Snapshot::of(&world);
    let class = Class::of(&world, world.pods.get(key.as_str()).expect("the pod"));
    let case = Case::new(&mut snapshot, class);
    let candidates = nodes.iter().enumerate().filter(|(_, (.., rate))| rate.is_some());
    let seats: Vec<usize> = candidates.map(|(n, _)| snapshot.seat(&name(n)).expect("a seat")).collect();
    let Rate::Around(rate) = pod_topology_spread::ROW.rate else { panic!("it looks around") };
    let expect: Vec<i64> = nodes.iter().filter_map(|(.., rate)| *rate).collect();
    assert_eq!(rate(&snapshot, &case, &seats), expect, "{constraints:?} {nodes:?}");
}

#[test]
fn by_host() {
    let two_one_none_three = |rates: [i64; 4]| {
        [
            ("a", &["f", "f"][..], Some(rates[0])),
            ("a", &["f"][..], Some(rates[1])),
            ("a", &[][..], Some(rates[2])),
            ("a", &["f", "f", "f"][..], Some(rates[3])),
        ]
    };
    check(&[(HOST, 1, "f")], &two_one_none_three([20, 60, 100, 0]));
    check(&[(HOST, 2, "f")], &two_one_none_three([33, 66, 100, 16]));
    let four = &["f", "f", "f", "f"][..];
    let descending = [
        ("a", four, Some(44)),
        ("a", &four[1..], Some(66)),
        ("a", &four[2..], Some(77)),
        ("a", &four[3..], Some(100)),
    ];
    check(&[(HOST, 3, "f")], &descending);
    let not_the_last = [
        ("a", four, Some(33)),
        ("a", &four[2..], Some(83)),
        ("a", &four[3..], Some(100)),
        ("a", &four[1..], None),
    ];
    check(&[(HOST, 1, "f")], &not_the_last);
}

#[test]
fn by_zone() {
    let nodes: [Seat; 4] = [
        ("a", &["f", "f", "f", "f"], Some(75)),
        ("a", &["f", "f"], Some(75)),
        ("b", &["f"], Some(100)),
        ("b", &["f", "f", "f"], None),
    ];
    check(&[(ZONE, 1, "f")], &nodes);
    let nodes: [Seat; 4] = [
        ("a", &["fb", "f"], Some(85)),
        ("a", &["fb"], None),
        ("b", &[], Some(100)),
        ("b", &["f", "fb", "f"], None),
    ];
    check(&[(ZONE, 1, "f"), (ZONE, 1, "b")], &nodes);
}

#[test]
fn by_zone_and_host() {
    let nodes: [Seat; 4] = [
        ("a", &["f", "f"], Some(100)),
        ("a", &["f"], None),
        ("b", &["f", "f"], Some(63)),
        ("b", &["f", "f", "f", "f"], None),
    ];
    check(&[(ZONE, 1, "f"), (HOST, 1, "f")], &nodes);
    let rows: [[Seat; 4]; 3] = [
        [
            ("a", &["f"], Some(60)),
            ("a", &["fb"], Some(20)),
            ("b", &[], Some(100)),
            ("b", &["f", "b"], Some(60)),
        ],
        [("a", &["f"], Some(50)), ("a", &["fb"], Some(25)), ("b", &[], Some(100)), ("b", &["f", "b"], None)],
        [("a", &[], Some(100)), ("a", &["b"], Some(60)), ("b", &["f"], Some(40)), ("b", &["fb"], Some(0))],
    ];
    for nodes in rows {
        check(&[(ZONE, 1, "f"), (HOST, 1, "b")], &nodes);
    }
}

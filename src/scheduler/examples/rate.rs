//! How many pods a second get nodes, on one core, in rounds as the runner asks for them: only planning is measured.
//!
//! `cargo run --release -p scheduler --example rate [NODES] [PODS]`

use std::time::{Duration, Instant};

use api::Key;
use projection::testing::{put, world};
use projection::{LastOutcomes, Op, World};
use scheduler::SCHEDULER;
use serde_json::{Value, json};

type Sort = (&'static str, fn(usize) -> Value);

/// Sorts of pods: what they are called, and the one of a number.
const SORTS: &[Sort] = &[
    ("one class", |n| pod(n, json!({"plain": "yes"}), json!({}))),
    ("a class each", |n| pod(n, json!({"number": n.to_string()}), json!({}))),
    ("spread by default", |n| pod(n, json!({"app": "web"}), json!({}))),
    ("spread over zones", |n| {
        let constraint = json!([{
            "topologyKey": "topology.kubernetes.io/zone",
            "maxSkew": 1,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"sort": "spread"}},
        }]);
        pod(n, json!({"sort": "spread"}), json!({"topologySpreadConstraints": constraint}))
    }),
    ("apart, ten of a group", |n| {
        let group = json!({"group": (n / 10).to_string()});
        let term =
            json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": group}}]);
        let far = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}});
        pod(n, group, json!({"affinity": far}))
    }),
    ("daemons", |n| {
        let field =
            json!([{"key": "metadata.name", "operator": "In", "values": [format!("node-{}", n / 2)]}]);
        let required = json!({"nodeSelectorTerms": [{"matchFields": field}]});
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        pod(n, json!({"daemon": "yes"}), json!({"affinity": affinity}))
    }),
    ("too large", |n| {
        let container = json!({"name": "main", "image": "main", "resources": {"requests": {"cpu": "99"}}});
        pod(n, json!({"plain": "yes"}), json!({"containers": [container]}))
    }),
];

fn node(n: usize) -> Value {
    let (name, zone) = (format!("node-{n}"), format!("zone-{}", n % 10));
    json!({
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone},
        },
        "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}},
    })
}

fn pod(n: usize, labels: Value, mut spec: Value) -> Value {
    if spec["containers"].is_null() {
        let requests = json!({"cpu": "100m", "memory": "500Mi"});
        spec["containers"] = json!([{"name": "main", "image": "main", "resources": {"requests": requests}}]);
    }
    json!({"kind": "Pod", "metadata": {"name": format!("pod-{n}"), "labels": labels}, "spec": spec})
}

/// Plans until nothing is planned; returns how many pods got nodes, in how many rounds, and how long planning took.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn run(world: &mut World) -> (usize, usize, Duration) {
    let (mut bound, mut rounds, mut took) = (0, 0, Duration::ZERO);
    loop {
        let started = Instant::now();
        let plan = (SCHEDULER.plan)(world, &Key::internal("scheduler", "rate"), &LastOutcomes::default(), 0);
        took += started.elapsed();
        rounds += 1;
        let before = bound;
        for op in plan.intents.iter().flat_map(|intent| &intent.ops) {
            let Op::Bind { pod, node, .. } = op else { continue };
            let found = world.state.get(pod.as_str()).expect("the pod");
            let mut object: Value = serde_json::from_slice(&found.bytes.to_bytes()).expect("JSON");
            object["spec"]["nodeName"] = node.as_str().into();
            put(world, object);
            bound += 1;
        }
        if bound == before {
            return (bound, rounds, took);
        }
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let (nodes, pods) = (numbers.next().unwrap_or(5_000), numbers.next().unwrap_or(10_000));
    for (what, sort) in SORTS {
        let service =
            json!({"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}}});
        let mut world = world((0..nodes).map(node).chain([service]).chain((0..pods).map(sort)));
        let (bound, rounds, took) = run(&mut world);
        let rate = pods as f64 / took.as_secs_f64();
        println!(
            "{what}: {bound} of {pods} pods on {nodes} nodes, {rounds} rounds, {took:.0?}: {rate:.0} pods/s"
        );
    }
}

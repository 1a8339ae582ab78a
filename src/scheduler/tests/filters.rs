//! What each filter says, but those that look at other nodes' pods.

use serde_json::{Value, json};

use super::{asking, misfits, node, of, requests};

/// A row: what it shows, the objects, the pod, and what is said of which node.
type Row = (&'static str, Vec<Value>, Value, &'static [&'static str]);

fn check(rows: Vec<Row>) {
    for (what, objects, pod, expect) in rows {
        assert_eq!(misfits(&objects, &pod), expect, "{what}");
    }
}

fn on(node: &str, spec: Value) -> Value {
    let mut pod = of("there", spec);
    pod["spec"]["nodeName"] = node.into();
    pod
}

#[test]
fn node_name() {
    let nodes = vec![node("a", json!({})), node("b", json!({}))];
    check(vec![
        ("any", nodes.clone(), of("p", json!({})), &[]),
        (
            "one",
            nodes,
            of("p", json!({"nodeName": "a"})),
            &["b: NodeName: node(s) didn't match the requested node name"],
        ),
    ]);
}

#[test]
fn node_unschedulable() {
    let cordoned = vec![node("a", json!({"spec": {"unschedulable": true}}))];
    let tolerating = |toleration: Value| of("p", json!({"tolerations": [toleration]}));
    let taint = "node.kubernetes.io/unschedulable";
    check(vec![
        (
            "cordoned",
            cordoned.clone(),
            of("p", json!({})),
            &["a: NodeUnschedulable: node(s) were unschedulable"],
        ),
        ("tolerated", cordoned.clone(), tolerating(json!({"key": taint, "operator": "Exists"})), &[]),
        ("all tolerated", cordoned.clone(), tolerating(json!({"operator": "Exists"})), &[]),
        (
            "another effect",
            cordoned,
            tolerating(json!({"key": taint, "operator": "Exists", "effect": "NoExecute"})),
            &["a: NodeUnschedulable: node(s) were unschedulable"],
        ),
    ]);
}

#[test]
fn taint_toleration() {
    const NO: &[&str] = &["a: TaintToleration: node(s) had untolerated taint(s)"];
    let tainted = |taints: Value| vec![node("a", json!({"spec": {"taints": taints}}))];
    let one = |effect: &str| tainted(json!([{"key": "k", "value": "v", "effect": effect}]));
    let with = |toleration: Value| of("p", json!({"tolerations": [toleration]}));
    check(vec![
        ("no toleration", one("NoSchedule"), of("p", json!({})), NO),
        ("no toleration", one("NoExecute"), of("p", json!({})), NO),
        ("a preference only", one("PreferNoSchedule"), of("p", json!({})), &[]),
        (
            "the same value",
            one("NoSchedule"),
            with(json!({"key": "k", "operator": "Equal", "value": "v"})),
            &[],
        ),
        ("Equal is the default", one("NoSchedule"), with(json!({"key": "k", "value": "v"})), &[]),
        ("another value", one("NoSchedule"), with(json!({"key": "k", "value": "w"})), NO),
        ("any value", one("NoSchedule"), with(json!({"key": "k", "operator": "Exists"})), &[]),
        (
            "another effect",
            one("NoSchedule"),
            with(json!({"key": "k", "operator": "Exists", "effect": "NoExecute"})),
            NO,
        ),
        (
            "one of two",
            tainted(json!([{"key": "k", "effect": "NoSchedule"}, {"key": "l", "effect": "NoSchedule"}])),
            with(json!({"key": "k", "operator": "Exists"})),
            NO,
        ),
        (
            "numbers are not compared",
            tainted(json!([{"key": "k", "value": "5", "effect": "NoSchedule"}])),
            with(json!({"key": "k", "operator": "Gt", "value": "3", "effect": "NoSchedule"})),
            NO,
        ),
    ]);
}

#[test]
fn node_affinity() {
    const NO: &[&str] = &["a: NodeAffinity: node(s) didn't match Pod's node affinity/selector"];
    let nodes = || vec![node("a", json!({"metadata": {"labels": {"disk": "ssd", "size": "7"}}}))];
    let selecting = |labels: Value| of("p", json!({"nodeSelector": labels}));
    let terms = |terms: Value| {
        let required = json!({"nodeSelectorTerms": terms});
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        of("p", json!({"affinity": affinity}))
    };
    let label = |key: &str, operator: &str, values: Value| {
        terms(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
    };
    let name = |operator: &str, values: Value| {
        terms(json!([{"matchFields": [{"key": "metadata.name", "operator": operator, "values": values}]}]))
    };
    check(vec![
        ("selected", nodes(), selecting(json!({"disk": "ssd"})), &[]),
        ("not selected", nodes(), selecting(json!({"disk": "hdd"})), NO),
        ("selected in part", nodes(), selecting(json!({"disk": "ssd", "gpu": ""})), NO),
        ("In", nodes(), label("disk", "In", json!(["hdd", "ssd"])), &[]),
        ("NotIn", nodes(), label("disk", "NotIn", json!(["ssd"])), NO),
        ("NotIn, absent", nodes(), label("gpu", "NotIn", json!(["ssd"])), &[]),
        ("Exists", nodes(), label("gpu", "Exists", json!([])), NO),
        ("DoesNotExist", nodes(), label("gpu", "DoesNotExist", json!([])), &[]),
        ("Gt", nodes(), label("size", "Gt", json!(["6"])), &[]),
        ("Gt, equal", nodes(), label("size", "Gt", json!(["7"])), NO),
        ("Lt", nodes(), label("size", "Lt", json!(["8"])), &[]),
        ("Lt, no number", nodes(), label("disk", "Lt", json!(["8"])), NO),
        ("the name", nodes(), name("In", json!(["a"])), &[]),
        ("another name", nodes(), name("In", json!(["b"])), NO),
        ("not the name", nodes(), name("NotIn", json!(["a"])), NO),
        ("several names hold nowhere", nodes(), name("In", json!(["a", "b"])), NO),
        ("an empty term holds nowhere", nodes(), terms(json!([{}])), NO),
        ("no term holds nowhere", nodes(), terms(json!([])), NO),
        (
            "one of the terms",
            nodes(),
            terms(json!([
                {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]},
                {"matchExpressions": [{"key": "disk", "operator": "Exists"}]},
            ])),
            &[],
        ),
    ]);
}

#[test]
fn node_ports() {
    const NO: &[&str] = &["a: NodePorts: node(s) didn't have free ports for the requested pod ports"];
    let spec = |ports: Value| json!({"containers": [{"name": "main", "image": "main", "ports": ports}]});
    let port = |address: &str, protocol: &str, port: u16| {
        spec(json!([{"hostIP": address, "protocol": protocol, "hostPort": port, "containerPort": 1}]))
    };
    let taken = |spec: Value| vec![node("a", json!({})), on("a", spec)];
    let asked = |spec: Value| of("p", spec);
    check(vec![
        ("the same", taken(port("", "TCP", 80)), asked(port("", "TCP", 80)), NO),
        ("another port", taken(port("", "TCP", 80)), asked(port("", "TCP", 81)), &[]),
        ("another protocol", taken(port("", "TCP", 80)), asked(port("", "UDP", 80)), &[]),
        ("another address", taken(port("127.0.0.1", "TCP", 80)), asked(port("127.0.0.2", "TCP", 80)), &[]),
        ("all taken", taken(port("0.0.0.0", "TCP", 80)), asked(port("127.0.0.1", "TCP", 80)), NO),
        ("all asked", taken(port("127.0.0.1", "TCP", 80)), asked(port("", "TCP", 80)), NO),
        (
            "containers' own ports take nothing",
            taken(spec(json!([{"containerPort": 80}]))),
            asked(port("", "TCP", 80)),
            &[],
        ),
        (
            "but in the node's network they do",
            taken(json!({
                "hostNetwork": true,
                "containers": [{"name": "main", "image": "main", "ports": [{"containerPort": 80}]}],
            })),
            asked(port("", "TCP", 80)),
            NO,
        ),
        (
            "what ended takes nothing",
            vec![node("a", json!({})), {
                let mut pod = on("a", port("", "TCP", 80));
                pod["status"]["phase"] = "Failed".into();
                pod
            }],
            asked(port("", "TCP", 80)),
            &[],
        ),
    ]);
}

#[test]
fn node_resources_fit() {
    let nodes = |allocatable: Value| vec![node("a", json!({"status": {"allocatable": allocatable}}))];
    let with = |more: &[Value]| [&nodes(json!({})), more].concat();
    let container = |requests: Value| json!({"name": "x", "image": "x", "resources": {"requests": requests}});
    let sidecar = |requests: Value| {
        let mut one = container(requests);
        one["restartPolicy"] = "Always".into();
        one
    };
    check(vec![
        ("all of it", nodes(json!({})), asking("p", "4", "8Gi"), &[]),
        ("too much", nodes(json!({})), asking("p", "4001m", "1"), &["a: NodeResourcesFit: Insufficient cpu"]),
        (
            "all that is short is told",
            with(&[on("a", requests(json!({"cpu": "3", "memory": "7Gi", "ephemeral-storage": "1"})))]),
            of(
                "p",
                requests(json!({"cpu": "2", "memory": "2Gi", "ephemeral-storage": "1", "x.io/gpu": "1"})),
            ),
            &["a: NodeResourcesFit: Insufficient cpu, Insufficient memory, Insufficient ephemeral-storage, \
               Insufficient x.io/gpu"],
        ),
        (
            "what is not asked for may be overdrawn",
            vec![node("a", json!({})), on("a", requests(json!({"cpu": "9"})))],
            of("p", requests(json!({"memory": "1"}))),
            &[],
        ),
        (
            "too many",
            vec![node("a", json!({"status": {"allocatable": {"pods": "1"}}})), on("a", json!({}))],
            of("p", json!({})),
            &["a: NodeResourcesFit: Too many pods"],
        ),
        ("devices", nodes(json!({"x.io/gpu": "2"})), of("p", requests(json!({"x.io/gpu": "2"}))), &[]),
        (
            "overhead",
            nodes(json!({})),
            {
                let mut pod = asking("p", "3", "1");
                pod["spec"]["overhead"] = json!({"cpu": "1001m"});
                pod
            },
            &["a: NodeResourcesFit: Insufficient cpu"],
        ),
        (
            "an init container runs alone",
            nodes(json!({})),
            {
                let mut pod = asking("p", "3", "1");
                pod["spec"]["initContainers"] =
                    json!([container(json!({"cpu": "4"})), container(json!({"cpu": "4"}))]);
                pod
            },
            &[],
        ),
        (
            "a sidecar runs on",
            nodes(json!({})),
            {
                let mut pod = asking("p", "3", "1");
                pod["spec"]["initContainers"] = json!([sidecar(json!({"cpu": "1001m"}))]);
                pod
            },
            &["a: NodeResourcesFit: Insufficient cpu"],
        ),
    ]);
}

//! Spreading that must hold.

use serde_json::{Value, json};

use super::{labelled, merge, misfits, node, zoned};

const UNEVEN: &str = "PodTopologySpread: node(s) didn't match pod topology spread constraints";
const UNLABELLED: &str =
    "PodTopologySpread: node(s) didn't match pod topology spread constraints (missing required label)";
const ZONE: &str = "topology.kubernetes.io/zone";

fn web(name: &str, node: &str) -> Value {
    labelled(name, json!({"app": "web"}), json!({"nodeName": node}))
}

/// A pod of the same sort that waits, spread over zones with a skew of 1 and what else is given.
fn spread(more: Value) -> Value {
    let mut constraint = json!({
        "topologyKey": ZONE,
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    });
    merge(&mut constraint, more);
    labelled("p", json!({"app": "web", "hash": "1"}), json!({"topologySpreadConstraints": [constraint]}))
}

fn check(what: &str, objects: &[Value], pod: &Value, expect: &[(&str, &str)]) {
    let expect: Vec<String> = expect.iter().map(|(node, reason)| format!("{node}: {reason}")).collect();
    assert_eq!(misfits(objects, pod), expect, "{what}");
}

fn zones(more: &[Value]) -> Vec<Value> {
    [&[zoned("a", "a"), zoned("b", "b")], more].concat()
}

#[test]
fn skew() {
    let (one, two) = ([web("1", "a")], [web("1", "a"), web("2", "a")]);
    check("even", &zones(&[]), &spread(json!({})), &[]);
    check("one ahead", &zones(&one), &spread(json!({})), &[("a", UNEVEN)]);
    check("a larger skew", &zones(&one), &spread(json!({"maxSkew": 2})), &[]);
    check("and too large", &zones(&two), &spread(json!({"maxSkew": 2})), &[("a", UNEVEN)]);
    let mut other = spread(json!({}));
    other["metadata"]["labels"] = json!({"app": "other"});
    check("who is not counted itself may come", &zones(&one), &other, &[]);
    check("but not to two", &zones(&two), &other, &[("a", UNEVEN)]);
    check(
        "a preference rules nothing out",
        &zones(&two),
        &spread(json!({"whenUnsatisfiable": "ScheduleAnyway"})),
        &[],
    );
}

#[test]
fn who_counts() {
    let with = |patch: Value| {
        let mut pod = web("1", "a");
        merge(&mut pod, patch);
        zones(&[pod])
    };
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}});
    check("who goes does not", &with(going), &spread(json!({})), &[]);
    check("who ended does not", &with(json!({"status": {"phase": "Failed"}})), &spread(json!({})), &[]);
    check(
        "who is elsewhere does not",
        &with(json!({"metadata": {"namespace": "x"}})),
        &spread(json!({})),
        &[],
    );
    let all = json!({"labelSelector": null});
    check("no selector: nobody", &with(json!({})), &spread(all), &[]);
    let mut everybody = spread(json!({}));
    everybody["spec"]["topologySpreadConstraints"][0]["labelSelector"] = json!({});
    check("an empty one: nobody either", &with(json!({})), &everybody, &[]);
    let keys = json!({"matchLabelKeys": ["hash"]});
    check("of the same value alone", &with(json!({})), &spread(keys.clone()), &[]);
    let same = json!({"metadata": {"labels": {"hash": "1"}}});
    check("these", &with(same), &spread(keys), &[("a", UNEVEN)]);
}

#[test]
fn domains() {
    let objects = [zoned("a", "a"), node("c", json!({})), web("1", "a")];
    check("without the label it is none", &objects, &spread(json!({"maxSkew": 2})), &[("c", UNLABELLED)]);
    check("the only domain is the least", &objects[..1], &spread(json!({})), &[]);
    let alone = [zoned("a", "a"), web("1", "a")];
    check("whatever it has", &alone, &spread(json!({})), &[]);
    check("unless there should be more", &alone, &spread(json!({"minDomains": 2})), &[("a", UNEVEN)]);
    check("as there are", &zones(&[web("1", "a"), web("2", "b")]), &spread(json!({"minDomains": 2})), &[]);
}

#[test]
fn nodes_that_do_not_count() {
    let mut selecting = spread(json!({}));
    selecting["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "a"});
    let affinity = "NodeAffinity: node(s) didn't match Pod's node affinity/selector";
    check("b is not its own, so nothing is behind", &zones(&[web("1", "a")]), &selecting, &[("b", affinity)]);
    selecting["spec"]["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = "Ignore".into();
    check("unless told otherwise", &zones(&[web("1", "a")]), &selecting, &[("a", UNEVEN), ("b", affinity)]);
    let mut objects = zones(&[web("1", "a")]);
    objects[1]["spec"] = json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
    let taint = "TaintToleration: node(s) had untolerated taint(s)";
    check("a tainted one counts", &objects, &spread(json!({})), &[("a", UNEVEN), ("b", taint)]);
    check("unless told otherwise", &objects, &spread(json!({"nodeTaintsPolicy": "Honor"})), &[("b", taint)]);
}

#[test]
fn a_node_counts_only_with_all_the_labels() {
    // The second constraint names a label that b lacks: b is no domain of the first.
    let objects = [
        node("a", json!({"metadata": {"labels": {ZONE: "a", "rack": "1"}}})),
        zoned("b", "b"),
        web("1", "a"),
    ];
    let mut pod = spread(json!({}));
    let mut second = pod["spec"]["topologySpreadConstraints"][0].clone();
    second["topologyKey"] = "rack".into();
    pod["spec"]["topologySpreadConstraints"] = json!([pod["spec"]["topologySpreadConstraints"][0], second]);
    check("b is behind, but is nowhere", &objects, &pod, &[("b", UNLABELLED)]);
}

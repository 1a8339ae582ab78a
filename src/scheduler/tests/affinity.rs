//! Pods near and far.

use serde_json::{Value, json};

use super::{labelled, misfits, node, of, zoned};

const NOT_NEAR: &str = "InterPodAffinity: node(s) didn't match pod affinity rules";
const NOT_FAR: &str = "InterPodAffinity: node(s) didn't match pod anti-affinity rules";
const UNWELCOME: &str = "InterPodAffinity: node(s) didn't satisfy existing pods anti-affinity rules";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Nodes `a1` and `a2` of zone `a`, `b1` of zone `b`, and these.
fn zones(more: &[Value]) -> Vec<Value> {
    [&[zoned("a1", "a"), zoned("a2", "a"), zoned("b1", "b")], more].concat()
}

fn term(topology: &str, labels: Value) -> Value {
    json!({"topologyKey": topology, "labelSelector": {"matchLabels": labels}})
}

fn near(terms: Value) -> Value {
    json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

fn far(terms: Value) -> Value {
    json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

fn on(node: &str, name: &str, labels: Value, spec: Value) -> Value {
    let mut pod = labelled(name, labels, spec);
    pod["spec"]["nodeName"] = node.into();
    pod
}

fn web(node: &str) -> Value {
    on(node, "there", json!({"app": "web"}), json!({}))
}

fn check(what: &str, objects: &[Value], pod: &Value, expect: &[(&str, &str)]) {
    let expect: Vec<String> = expect.iter().map(|(node, reason)| format!("{node}: {reason}")).collect();
    assert_eq!(misfits(objects, pod), expect, "{what}");
}

#[test]
fn near_is_the_same_domain() {
    let app = json!({"app": "web"});
    let by_zone = of("p", near(json!([term(ZONE, app.clone())])));
    let by_host = of("p", near(json!([term("kubernetes.io/hostname", app.clone())])));
    check("the zone", &zones(&[web("a1")]), &by_zone, &[("b1", NOT_NEAR)]);
    check("the host", &zones(&[web("a1")]), &by_host, &[("a2", NOT_NEAR), ("b1", NOT_NEAR)]);
    let nobody = [("a1", NOT_NEAR), ("a2", NOT_NEAR), ("b1", NOT_NEAR)];
    check("nobody", &zones(&[]), &by_zone, &nobody);
    let mut ended = web("a1");
    ended["status"]["phase"] = "Succeeded".into();
    check("who ended is nobody", &zones(&[ended]), &by_zone, &nobody);
    let mut elsewhere = web("a1");
    elsewhere["metadata"]["namespace"] = "other".into();
    check("another namespace", &zones(&[elsewhere]), &by_zone, &nobody);
    let both = near(json!([term(ZONE, app.clone()), term(ZONE, json!({"tier": "x"}))]));
    let two = [web("a1"), on("a2", "else", json!({"tier": "x"}), json!({}))];
    check("one pod must match all terms", &zones(&two), &of("p", both), &nobody);
    let unlabelled = [node("c", json!({})), web("c")];
    check("a node without the label is nowhere", &unlabelled, &by_zone, &[("c", NOT_NEAR)]);
}

#[test]
fn the_first_of_a_group_goes_anywhere() {
    let app = json!({"app": "web"});
    let own = labelled("p", app.clone(), near(json!([term(ZONE, app.clone())])));
    check("nobody is there yet", &zones(&[]), &own, &[]);
    check("not without the label", &[node("c", json!({}))], &own, &[("c", NOT_NEAR)]);
    check("somebody is there", &zones(&[web("b1")]), &own, &[("a1", NOT_NEAR), ("a2", NOT_NEAR)]);
    let unlabelled = [zoned("a1", "a"), node("c", json!({})), web("c")];
    check("whoever is nowhere is nobody", &unlabelled, &own, &[("c", NOT_NEAR)]);
}

#[test]
fn far_is_another_domain() {
    let app = json!({"app": "web"});
    let by_zone = of("p", far(json!([term(ZONE, app.clone())])));
    check("the zone", &zones(&[web("a1")]), &by_zone, &[("a1", NOT_FAR), ("a2", NOT_FAR)]);
    let any =
        of("p", far(json!([term(ZONE, json!({"x": "y"})), term("kubernetes.io/hostname", app.clone())])));
    check("any term", &zones(&[web("a1")]), &any, &[("a1", NOT_FAR)]);
    let unlabelled = [node("c", json!({})), web("c")];
    check("a node without the label is far from all", &unlabelled, &by_zone, &[]);
    let mut going = web("a1");
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    going["metadata"]["finalizers"] = json!(["x/y"]);
    check("who goes is still there", &zones(&[going]), &by_zone, &[("a1", NOT_FAR), ("a2", NOT_FAR)]);
}

#[test]
fn whoever_is_there_may_not_want_it() {
    let app = json!({"app": "web"});
    let guard = |namespace: Value| {
        let mut term = term(ZONE, app.clone());
        super::merge(&mut term, namespace);
        on("a1", "guard", json!({}), far(json!([term])))
    };
    let web = labelled("p", app.clone(), json!({}));
    let both = [("a1", UNWELCOME), ("a2", UNWELCOME)];
    check("meant", &zones(&[guard(json!({}))]), &web, &both);
    check("not meant", &zones(&[guard(json!({}))]), &of("p", json!({})), &[]);
    check("another namespace is meant", &zones(&[guard(json!({"namespaces": ["other"]}))]), &web, &[]);
    let mut elsewhere = web.clone();
    elsewhere["metadata"]["namespace"] = "other".into();
    check("this one", &zones(&[guard(json!({"namespaces": ["other"]}))]), &elsewhere, &both);
}

#[test]
fn namespaces_are_named_or_selected() {
    let app = json!({"app": "web"});
    let namespace = |name: &str, team: &str| json!({"kind": "Namespace", "metadata": {"name": name, "labels": {"team": team}}});
    let mut there = web("a1");
    there["metadata"]["namespace"] = "blue".into();
    let objects = zones(&[namespace("blue", "x"), namespace("default", "y"), there]);
    let pod = |more: Value| {
        let mut term = term(ZONE, app.clone());
        super::merge(&mut term, more);
        of("p", far(json!([term])))
    };
    let both = [("a1", NOT_FAR), ("a2", NOT_FAR)];
    check("its own alone", &objects, &pod(json!({})), &[]);
    check("named", &objects, &pod(json!({"namespaces": ["blue"]})), &both);
    check("selected", &objects, &pod(json!({"namespaceSelector": {"matchLabels": {"team": "x"}}})), &both);
    check("not selected", &objects, &pod(json!({"namespaceSelector": {"matchLabels": {"team": "z"}}})), &[]);
    check("all", &objects, &pod(json!({"namespaceSelector": {}})), &both);
    let nobody = of("p", far(json!([{"topologyKey": ZONE, "namespaceSelector": {}}])));
    check("no selector means no pods", &objects, &nobody, &[]);
    let everybody =
        of("p", far(json!([{"topologyKey": ZONE, "namespaceSelector": {}, "labelSelector": {}}])));
    check("an empty one means all", &objects, &everybody, &both);
}

#[test]
fn near_comes_before_far_before_others() {
    let app = json!({"app": "web"});
    let guard = on("a1", "guard", json!({}), far(json!([term(ZONE, app.clone())])));
    let mut pod = labelled("p", app.clone(), far(json!([term("kubernetes.io/hostname", json!({}))])));
    check("far first", &zones(std::slice::from_ref(&guard)), &pod, &[("a1", NOT_FAR), ("a2", UNWELCOME)]);
    super::merge(&mut pod["spec"], near(json!([term(ZONE, json!({"x": "y"}))])));
    check("near first", &zones(&[guard]), &pod, &[("a1", NOT_NEAR), ("a2", NOT_NEAR), ("b1", NOT_NEAR)]);
}

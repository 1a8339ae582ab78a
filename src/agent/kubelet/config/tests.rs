//! What containers are made from, as data.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::testing::desired;

fn node() -> NodeFacts {
    NodeFacts {
        name: "n1".into(),
        ips: vec!["192.168.0.1".into()],
        root: "/k".into(),
        cluster_dns: vec!["10.96.0.10".into()],
        cluster_domain: "cluster.local".into(),
    }
}

fn made(spec: Value, image_user: &str) -> Result<ContainerConfig, ConfigError> {
    let desired = desired(spec);
    let image = Image { id: "sha256:1".into(), user: image_user.into(), size_bytes: 1 };
    container(Start {
        node: &node(),
        desired: &desired,
        member: &desired.members[0],
        attempt: 2,
        backoff_ms: 10_000,
        sandbox: "s1",
        image: &image,
        inputs: ContainerInputs::default(),
        target: None,
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut container = json!({"name": "main", "image": "app:1"});
    container[field] = value;
    json!({"containers": [container]})
}

#[test]
fn requests_and_limits_become_control_groups() {
    let of = |resources| {
        let made = made(with("resources", resources), "").expect("made").resources;
        (made.cpu_shares, made.cpu_quota_us, made.memory_bytes)
    };
    assert_eq!(of(json!({})), (Some(2), None, None));
    assert_eq!(of(json!({"requests": {"cpu": "250m"}})), (Some(256), None, None));
    assert_eq!(
        of(json!({"limits": {"cpu": "1500m", "memory": "64Mi"}})),
        (Some(1536), Some(150_000), Some(67_108_864))
    );
    assert_eq!(of(json!({"limits": {"cpu": "1m"}, "requests": {"cpu": "1m"}})), (Some(2), Some(1_000), None));

    // Who has no limit of its own has its pod's.
    let within = |own| {
        let mut spec = with("resources", own);
        spec["resources"] = json!({"limits": {"cpu": "2", "memory": "1Gi"}});
        let made = made(spec, "").expect("made").resources;
        (made.cpu_shares, made.cpu_quota_us, made.memory_bytes)
    };
    assert_eq!(within(json!({})), (Some(2), Some(200_000), Some(1 << 30)));
    assert_eq!(within(json!({"limits": {"memory": "64Mi"}})), (Some(2), Some(200_000), Some(64 << 20)));
}

#[test]
fn who_must_not_be_root_is_not() {
    let of = |context, user| match made(with("securityContext", context), user) {
        Ok(made) => made.user.unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    let pod = "(pod: \"web_shop(u1)\", container: main)";
    assert_eq!(of(json!({"runAsUser": 7, "runAsGroup": 8}), ""), "7:8");
    assert_eq!(of(json!({"runAsGroup": 8}), "5"), "5:8");
    assert_eq!(of(json!({"runAsNonRoot": true}), "5:6"), "");
    assert_eq!(
        of(json!({"runAsNonRoot": true, "runAsUser": 0}), ""),
        format!("container's runAsUser breaks non-root policy {pod}")
    );
    assert_eq!(
        of(json!({"runAsNonRoot": true}), ""),
        format!("container has runAsNonRoot and image will run as root {pod}")
    );
    assert_eq!(
        of(json!({"runAsNonRoot": true}), "nginx"),
        format!(
            "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root {pod}"
        )
    );
}

#[test]
fn what_a_container_may_do_is_its_own_word_over_the_pods() {
    let mut spec = with(
        "securityContext",
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"add": ["CAP_NET_ADMIN"], "drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"}}),
    );
    spec["securityContext"] =
        json!({"fsGroup": 3, "supplementalGroups": [1, 2], "seccompProfile": {"type": "Unconfined"}});
    let made = made(spec, "").expect("made").security;
    assert_eq!(made.groups, ["1", "2", "3"]);
    assert_eq!((made.cap_add, made.cap_drop), (vec!["NET_ADMIN".to_owned()], vec!["ALL".to_owned()]));
    assert_eq!((made.options, made.is_root_read_only), (vec!["no-new-privileges".to_owned()], true));
}

fn check_files(spec: Value, expect: &Expect) {
    let desired = desired(spec);
    let host = "nameserver 9.9.9.9\nsearch example.org\noptions timeout:1\n";
    let hosts = files::hosts(&desired, &node(), &["10.0.0.1".into()], "127.0.0.1 node\n");
    let servers = files::resolv_conf(&desired, &node(), host);
    let own: Vec<&str> =
        hosts.lines().filter(|line| !line.contains("ip6") && !line.contains("localhost")).collect();
    expect.assert_eq(&format!("{}\n--\n{servers}", own.join("\n")));
}

#[test]
fn a_pod_knows_its_name_its_aliases_and_the_clusters_servers() {
    let mut spec = crate::testing::simple();
    spec["subdomain"] = json!("sub");
    spec["hostAliases"] = json!([{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]);
    spec["dnsConfig"] = json!({"searches": ["more.example"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    let whole = expect![[r#"
        # Kubernetes-managed hosts file.
        10.0.0.1	web.sub.shop.svc.cluster.local	web

        # Entries added by HostAliases.
        1.2.3.4	a	b
        --
        nameserver 10.96.0.10
        search shop.svc.cluster.local svc.cluster.local cluster.local example.org more.example
        options edns0 ndots:2
    "#]];
    check_files(spec, &whole);
}

#[test]
fn a_pod_on_the_nodes_network_has_the_nodes_files() {
    let mut spec = crate::testing::simple();
    spec["hostNetwork"] = json!(true);
    let node = expect![[r#"
        # Kubernetes-managed hosts file (host network).
        127.0.0.1 node
        --
        nameserver 9.9.9.9
        search example.org
        options timeout:1
    "#]];
    check_files(spec, &node);
}

#[test]
fn whose_processes_a_container_sees() {
    let sees = |field: &str, target: Option<&str>| {
        let mut spec = with("tty", json!(false));
        spec[field] = json!(true);
        let desired = desired(spec);
        let made = container(Start {
            node: &node(),
            desired: &desired,
            member: &desired.members[0],
            attempt: 0,
            backoff_ms: 0,
            sandbox: "s1",
            image: &Image::default(),
            inputs: ContainerInputs::default(),
            target,
        });
        let own = sandbox(&node(), &desired, 0).pid_mode;
        format!("{:?} in {own:?}", made.expect("made").pid_mode)
    };
    assert_eq!(sees("hostNetwork", None), "None in None");
    assert_eq!(sees("shareProcessNamespace", None), "Some(\"container:s1\") in None");
    assert_eq!(sees("hostPID", None), "Some(\"host\") in Some(\"host\")");
    // One that is added to a running pod for its sake.
    assert_eq!(sees("hostNetwork", Some("c1")), "Some(\"container:c1\") in None");
    assert_eq!(sees("shareProcessNamespace", Some("c1")), "Some(\"container:s1\") in None");
}

#[test]
fn labels_say_all_that_a_later_kubelet_must_know() {
    let mut spec = with("terminationMessagePolicy", json!("FallbackToLogsOnError"));
    spec["terminationGracePeriodSeconds"] = json!(7);
    let lines = |labels: std::collections::BTreeMap<String, String>| -> String {
        labels.into_iter().map(|(label, value)| format!("{label}={value}\n")).collect()
    };
    let of_sandbox = sandbox(&node(), &desired(spec.clone()), 1);
    let of_container = made(spec, "").expect("made");
    let shown = format!(
        "{}\n{}--\n{}\n{}",
        of_sandbox.name,
        lines(of_sandbox.labels),
        of_container.name,
        lines(of_container.labels)
    );
    expect![[r#"
        k8s_POD_web_shop_u1_1
        annotation.io.kubernetes.container.restartCount=1
        annotation.io.kubernetes.pod.terminationGracePeriod=7
        io.keelson.node=n1
        io.kubernetes.container.name=POD
        io.kubernetes.pod.name=web
        io.kubernetes.pod.namespace=shop
        io.kubernetes.pod.uid=u1
        --
        k8s_main_web_shop_u1_2
        annotation.io.kubernetes.container.hash=b12657017c1b486e
        annotation.io.kubernetes.container.restartCount=2
        annotation.io.kubernetes.container.terminationMessagePath=/dev/termination-log
        annotation.io.kubernetes.container.terminationMessagePolicy=FallbackToLogsOnError
        annotation.io.kubernetes.pod.terminationGracePeriod=7
        io.keelson.container.backoff-ms=10000
        io.keelson.node=n1
        io.kubernetes.container.name=main
        io.kubernetes.pod.name=web
        io.kubernetes.pod.namespace=shop
        io.kubernetes.pod.uid=u1
        io.kubernetes.sandbox.id=s1
    "#]]
    .assert_eq(&shown);
}

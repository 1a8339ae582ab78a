//! Environments, commands and references as data: a container and what surrounds it, and what comes of it.

use expect_test::{Expect, expect};
use inputs::{NodeFacts, Objects, PodContext, command, environment, references};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::{Value, json};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object as the API has it")
}

fn pod(container: Value) -> Value {
    let mut container = container;
    container["name"] = json!("main");
    json!({
        "metadata": {
            "name": "web-0", "namespace": "shop", "uid": "u-1",
            "labels": {"app": "web", "example.com/tier": "a\"b"},
            "annotations": {"Note": "line\nend", "x": "ä"},
        },
        "spec": {
            "nodeName": "node-1", "serviceAccountName": "default",
            "containers": [container, {"name": "other", "resources": {"limits": {"cpu": "1500m"}}}],
        },
    })
}

fn objects() -> Objects {
    let config = json!({"data": {"color": "blue", "size": "$(color)", "a-b": "dash"}});
    let odd = json!({"data": {"=": "sign", "ü": "letter", "fine": "1"}});
    let secret = json!({"data": {"password": "cGFzcw==", "raw": "/wE="}});
    Objects {
        config_maps: [("config".to_owned(), read(config)), ("odd".to_owned(), read(odd))].into(),
        secrets: [("secret".to_owned(), read(secret))].into(),
    }
}

fn services() -> Vec<Service> {
    let service = |namespace: &str, name: &str, address: &str, ports: Value| {
        read(json!({
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": address, "ports": ports},
        }))
    };
    vec![
        service("default", "kubernetes", "10.0.0.1", json!([{"name": "https", "port": 443}])),
        service("default", "elsewhere", "10.0.0.2", json!([{"port": 1}])),
        service(
            "shop",
            "redis-main",
            "fd00::7",
            json!([{"name": "p-1", "port": 6379, "protocol": "TCP"}, {"name": "q", "port": 53, "protocol": "UDP"}]),
        ),
        service("shop", "headless", "None", json!([{"port": 1}])),
        service("shop", "external", "", json!([])),
    ]
}

fn check_pod(pod: Value, services: &[Service], expect: Expect) {
    let pod: Pod = read(pod);
    let (objects, pod_ips) = (objects(), vec!["10.1.0.5".to_owned(), "fd00::5".to_owned()]);
    let node = NodeFacts {
        allocatable: read(json!({"cpu": "3500m", "memory": "4Gi", "ephemeral-storage": "10Gi"})),
        host_ips: vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()],
    };
    let context = PodContext { pod: &pod, pod_ips: &pod_ips, objects: &objects, node: &node, services };
    let container = &pod.spec.as_ref().expect("a spec").containers[0];
    let shown = match environment(&context, container) {
        Ok(made) => {
            let mut lines: Vec<String> = made
                .variables
                .iter()
                .map(|(name, value)| format!("{name}={}", value.escape_debug()))
                .collect();
            lines.extend(made.skipped.iter().map(ToString::to_string));
            let (command, args) = command(container, &made);
            if !command.is_empty() || !args.is_empty() {
                lines.push(format!("{command:?} {args:?}"));
            }
            lines.join("\n")
        }
        Err(error) => format!("error: {error}"),
    };
    expect.assert_eq(&shown);
}

/// Without Services, which have a test of their own.
fn check(container: Value, expect: Expect) {
    check_pod(pod(container), &[], expect);
}

fn from(source: Value) -> Value {
    json!({"env": [{"name": "V", "valueFrom": source}]})
}

#[test]
fn variables_refer_to_those_before_them() {
    check(
        json!({
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(C)-$$(A)"},
                {"name": "C", "value": "$(B)"},
                {"name": "EMPTY"},
                {"name": "A", "value": "$(A)2"},
            ],
            "command": ["run", "$(A)", "$(NOPE)", "$$(A)"],
            "args": ["$(B)$(EMPTY)"],
        }),
        expect![[r#"
            A=12
            B=1-$(C)-$(A)
            C=1-$(C)-$(A)
            EMPTY=
            ["run", "12", "$(NOPE)", "$(A)"] ["1-$(C)-$(A)"]"#]],
    );
}

#[test]
fn whole_objects_come_first_and_are_replaced_where_they_stand() {
    check(
        json!({
            "envFrom": [
                {"configMapRef": {"name": "config"}},
                {"prefix": "S.", "secretRef": {"name": "secret"}},
                {"configMapRef": {"name": "gone", "optional": true}},
                {"prefix": "", "configMapRef": {"name": "odd"}},
            ],
            "env": [{"name": "color", "value": "red"}, {"name": "copy", "value": "$(size)/$(a-b)"}],
        }),
        expect![[r"
            a-b=dash
            color=red
            size=$(color)
            S.password=pass
            S.raw=�\u{1}
            fine=1
            copy=$(color)/dash
            Keys [=, ü] from the EnvFrom configMap shop/odd were skipped since they are considered invalid environment variable names."]],
    );
    check(
        json!({"envFrom": [{"configMapRef": {"name": "gone"}}]}),
        expect![[r#"error: configmap "gone" not found"#]],
    );
    check(
        json!({"envFrom": [{"secretRef": {"name": "gone"}}]}),
        expect![[r#"error: secret "gone" not found"#]],
    );
}

#[test]
fn single_keys() {
    let config = |name: &str, key: &str, optional: bool| {
        from(json!({"configMapKeyRef": {"name": name, "key": key, "optional": optional}}))
    };
    let secret = |name: &str, key: &str, optional: bool| {
        from(json!({"secretKeyRef": {"name": name, "key": key, "optional": optional}}))
    };
    check(config("config", "color", false), expect!["V=blue"]);
    check(config("config", "nope", false), expect!["error: couldn't find key nope in ConfigMap shop/config"]);
    check(config("config", "nope", true), expect![""]);
    check(config("gone", "nope", false), expect![[r#"error: configmap "gone" not found"#]]);
    check(config("gone", "nope", true), expect![""]);
    check(secret("secret", "password", false), expect!["V=pass"]);
    check(secret("secret", "nope", false), expect!["error: couldn't find key nope in Secret shop/secret"]);
    check(secret("secret", "nope", true), expect![""]);
    check(secret("gone", "nope", false), expect![[r#"error: secret "gone" not found"#]]);
    check(
        from(json!({"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}})),
        expect![
            "error: environment variable V takes its value from a source that this node does not support"
        ],
    );
}

#[test]
fn fields_of_the_pod() {
    let field = |path: &str| json!({"name": path, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let paths = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.labels",
        "metadata.annotations",
        "metadata.labels['app']",
        "metadata.labels['gone']",
        "metadata.annotations['Note']",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    check(
        json!({"env": paths.map(field)}),
        expect![[r#"
            metadata.name=web-0
            metadata.namespace=shop
            metadata.uid=u-1
            metadata.labels=app=\"web\"\nexample.com/tier=\"a\\\"b\"
            metadata.annotations=Note=\"line\\nend\"\nx=\"ä\"
            metadata.labels['app']=web
            metadata.labels['gone']=
            metadata.annotations['Note']=line\nend
            spec.nodeName=node-1
            spec.serviceAccountName=default
            status.hostIP=192.0.2.1
            status.hostIPs=192.0.2.1,2001:db8::1
            status.podIP=10.1.0.5
            status.podIPs=10.1.0.5,fd00::5"#]],
    );
    let wrong = |path: &str| from(json!({"fieldRef": {"fieldPath": path}}));
    check(wrong("spec.hostname"), expect!["error: field label not supported: spec.hostname"]);
    check(wrong("spec.restartPolicy"), expect!["error: unsupported fieldPath: spec.restartPolicy"]);
    check(
        wrong("metadata.name['a']"),
        expect!["error: field label does not support subscript: metadata.name['a']"],
    );
    check(
        from(json!({"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}})),
        expect!["error: unsupported pod version: v2"],
    );
    check(
        wrong("metadata.labels['']"),
        expect![
            "error: invalid key subscript in metadata.labels['']: name part must be non-empty;name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ],
    );
}

#[test]
fn resources_are_counted_in_divisors_and_rounded_up() {
    let value =
        |name: &str, reference: Value| json!({"name": name, "valueFrom": {"resourceFieldRef": reference}});
    check(
        json!({
            "resources": {
                "requests": {"cpu": "250m", "memory": "32Mi", "hugepages-2Mi": "4Mi"},
                "limits": {"memory": "100M"},
            },
            "env": [
                value("cpu", json!({"resource": "requests.cpu"})),
                value("milli", json!({"resource": "requests.cpu", "divisor": "1m"})),
                value("memory", json!({"resource": "requests.memory"})),
                value("mebi", json!({"resource": "limits.memory", "divisor": "1Mi"})),
                value("zero", json!({"resource": "requests.ephemeral-storage", "divisor": "0"})),
                value("huge", json!({"resource": "requests.hugepages-2Mi", "divisor": "1Mi"})),
                value("node_cpu", json!({"resource": "limits.cpu"})),
                value("node_cpu_m", json!({"resource": "limits.cpu", "divisor": "1m"})),
                value("node_storage", json!({"resource": "limits.ephemeral-storage", "divisor": "1Gi"})),
                value("other", json!({"containerName": "other", "resource": "limits.cpu"})),
                value("other_memory", json!({"containerName": "other", "resource": "limits.memory", "divisor": "1Gi"})),
            ],
        }),
        expect![[r"
            cpu=1
            milli=250
            memory=33554432
            mebi=96
            zero=0
            huge=4
            node_cpu=4
            node_cpu_m=3500
            node_storage=10
            other=2
            other_memory=4"]],
    );
    let wrong = |reference: Value| from(json!({"resourceFieldRef": reference}));
    check(
        wrong(json!({"resource": "limits.gpu"})),
        expect!["error: unsupported container resource : limits.gpu"],
    );
    check(wrong(json!({"resource": "cpu"})), expect!["error: unsupported container resource : cpu"]);
    check(
        wrong(json!({"resource": "limits.cpu", "containerName": "gone"})),
        expect!["error: container gone not found"],
    );
}

#[test]
fn limits_of_the_whole_pod_come_before_those_of_the_node() {
    let mut pod = pod(from(json!({"resourceFieldRef": {"resource": "limits.cpu"}})));
    pod["spec"]["resources"] = json!({"limits": {"cpu": "2"}});
    check_pod(pod, &[], expect!["V=2"]);
}

#[test]
fn services_have_the_names_of_dockers_links() {
    check_pod(
        pod(
            json!({"env": [{"name": "REDIS_MAIN_PORT", "value": "mine"}, {"name": "URL", "value": "$(KUBERNETES_PORT)"}]}),
        ),
        &services(),
        expect![[r"
            REDIS_MAIN_PORT=mine
            URL=tcp://10.0.0.1:443
            KUBERNETES_PORT=tcp://10.0.0.1:443
            KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443
            KUBERNETES_PORT_443_TCP_ADDR=10.0.0.1
            KUBERNETES_PORT_443_TCP_PORT=443
            KUBERNETES_PORT_443_TCP_PROTO=tcp
            KUBERNETES_SERVICE_HOST=10.0.0.1
            KUBERNETES_SERVICE_PORT=443
            KUBERNETES_SERVICE_PORT_HTTPS=443
            REDIS_MAIN_PORT_53_UDP=udp://[fd00::7]:53
            REDIS_MAIN_PORT_53_UDP_ADDR=fd00::7
            REDIS_MAIN_PORT_53_UDP_PORT=53
            REDIS_MAIN_PORT_53_UDP_PROTO=udp
            REDIS_MAIN_PORT_6379_TCP=tcp://[fd00::7]:6379
            REDIS_MAIN_PORT_6379_TCP_ADDR=fd00::7
            REDIS_MAIN_PORT_6379_TCP_PORT=6379
            REDIS_MAIN_PORT_6379_TCP_PROTO=tcp
            REDIS_MAIN_SERVICE_HOST=fd00::7
            REDIS_MAIN_SERVICE_PORT=6379
            REDIS_MAIN_SERVICE_PORT_P_1=6379
            REDIS_MAIN_SERVICE_PORT_Q=53"]],
    );
}

#[test]
fn without_links_only_the_way_to_the_api_is_given() {
    let mut pod = pod(json!({}));
    pod["spec"]["enableServiceLinks"] = json!(false);
    let host = services().into_iter().filter(|service| service.metadata.namespace.as_deref() == Some("shop"));
    check_pod(pod.clone(), &host.collect::<Vec<_>>(), expect![""]);
    check_pod(
        pod,
        &services(),
        expect![[r"
            KUBERNETES_PORT=tcp://10.0.0.1:443
            KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443
            KUBERNETES_PORT_443_TCP_ADDR=10.0.0.1
            KUBERNETES_PORT_443_TCP_PORT=443
            KUBERNETES_PORT_443_TCP_PROTO=tcp
            KUBERNETES_SERVICE_HOST=10.0.0.1
            KUBERNETES_SERVICE_PORT=443
            KUBERNETES_SERVICE_PORT_HTTPS=443"]],
    );
}

#[test]
fn what_a_pod_references() {
    let pod: Pod = read(json!({
        "metadata": {"name": "p", "namespace": "shop", "uid": "u"},
        "spec": {
            "imagePullSecrets": [{"name": "registry"}],
            "initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "both", "optional": true}}]}],
            "containers": [{
                "name": "c",
                "env": [
                    {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "both", "key": "k"}}},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k", "optional": true}}},
                ],
                "volumeMounts": (["v-config", "v-secret", "v-all"].map(|name| json!({"name": name, "mountPath": "/x"}))),
            }],
            "ephemeralContainers": [{"name": "e", "envFrom": [{"secretRef": {"name": "debug"}}]}],
            "volumes": [
                {"name": "v-config", "configMap": {"name": "files", "optional": true}},
                {"name": "v-secret", "secret": {"secretName": "tls"}},
                {"name": "v-all", "projected": {"sources": [
                    {"configMap": {"name": "files"}},
                    {"secret": {"name": "more", "optional": true}},
                    {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
                ]}},
                {"name": "v-unused", "configMap": {"name": "unused"}},
            ],
        },
    }));
    expect![[r#"
        {
            "both": false,
            "files": false,
        }
        {
            "debug": false,
            "key": true,
            "more": true,
            "registry": true,
            "tls": false,
        }"#]]
    .assert_eq(&format!("{:#?}\n{:#?}", references(&pod).config_maps, references(&pod).secrets));
    let tokens = inputs::tokens(&pod);
    assert_eq!(tokens.len(), 1);
    assert_eq!((tokens[0].audience.as_deref(), tokens[0].expiration_seconds), (Some("vault"), 600));
}

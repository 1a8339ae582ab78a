use std::fmt::Write;

use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::pod::{NodeFacts, Objects};
use crate::tokens::request_for;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn objects() -> Objects {
    let config = json!({"data": {"a": "text", "b": "more"}, "binaryData": {"bin": "/wE="}});
    let secret = json!({"data": {"password": "cGFzcw=="}});
    Objects {
        config_maps: [("config".to_owned(), read(config))].into(),
        secrets: [("secret".to_owned(), read(secret))].into(),
    }
}

/// Each volume planned for a pod that mounts it at `/mnt/vol`, with what else the spec says.
fn check_spec(volume: Value, spec: &Value, expect: Expect) {
    let mut volume = volume;
    volume["name"] = json!("vol");
    let mut whole = json!({
        "serviceAccountName": "robot",
        "containers": [{
            "name": "c", "volumeMounts": [{"name": "vol", "mountPath": "/mnt/vol"}],
            "resources": {"limits": {"cpu": "250m"}},
        }],
        "volumes": [volume],
    });
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let meta = json!({"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "web"}});
    let pod: Pod = read(json!({"metadata": meta, "spec": whole}));
    let node = NodeFacts { allocatable: read(json!({"memory": "1Mi"})), host_ips: Vec::new() };
    let objects = objects();
    let context = PodContext { pod: &pod, pod_ips: &[], objects: &objects, node: &node, services: &[] };
    let mut issued = Issued::default();
    for request in crate::tokens(&pod) {
        let refused = request.audience.as_deref() == Some("refused");
        let token = if refused { Err(Error::Token("no".into())) } else { Ok("token".into()) };
        issued.tokens.insert(request, token);
    }
    let mut shown = String::new();
    for planned in volumes(&context, &issued) {
        match planned {
            Err(error) => write!(shown, "{error}").unwrap(),
            Ok(plan) => show(&plan, &mut shown),
        }
    }
    expect.assert_eq(&shown);
}

fn show(plan: &VolumePlan, shown: &mut String) {
    write!(shown, "{:?}", plan.folder()).unwrap();
    match &plan.body {
        Body::EmptyDir { memory } => write!(shown, " {memory:?}").unwrap(),
        Body::HostPath { path, kind } => write!(shown, " {path} {kind:?}").unwrap(),
        Body::Files { memory, payload, nested, .. } => {
            write!(shown, " {memory:?} {nested:?}").unwrap();
            for (path, file) in payload {
                let text = String::from_utf8_lossy(&file.data);
                write!(shown, "\n{path} {:o} {:?} {text:?}", file.mode, file.owner).unwrap();
            }
        }
    }
}

fn check(volume: Value, expect: Expect) {
    check_spec(volume, &json!({}), expect);
}

#[test]
fn config_maps() {
    check(
        json!({"configMap": {"name": "config", "defaultMode": 0o400}}),
        expect![[r#"
            Some("volumes/kubernetes.io~configmap/vol") None {}
            a 400 None "text"
            b 400 None "more"
            bin 400 None "�\u{1}""#]],
    );
    check(
        json!({"configMap": {"name": "config", "items": [
            {"key": "a", "path": "deep/./er//a", "mode": 0o600}, {"key": "bin", "path": "bin"},
        ]}}),
        expect![[r#"
            Some("volumes/kubernetes.io~configmap/vol") None {}
            bin 644 None "�\u{1}"
            deep/er/a 600 None "text""#]],
    );
    check(
        json!({"configMap": {"name": "gone"}}),
        expect![[r#"MountVolume.SetUp failed for volume "vol" : configmap "gone" not found"#]],
    );
    check(
        json!({"configMap": {"name": "gone", "optional": true, "items": [{"key": "a", "path": "a"}]}}),
        expect![[r#"Some("volumes/kubernetes.io~configmap/vol") None {}"#]],
    );
    let missing = |optional: bool| {
        let items = json!([{"key": "k", "path": "k"}, {"key": "a", "path": "a"}]);
        json!({"configMap": {"name": "config", "optional": optional, "items": items}})
    };
    check(
        missing(false),
        expect![[
            r#"MountVolume.SetUp failed for volume "vol" : configmap references non-existent config key: k"#
        ]],
    );
    check(
        missing(true),
        expect![[r#"
            Some("volumes/kubernetes.io~configmap/vol") None {}
            a 644 None "text""#]],
    );
}

#[test]
fn secrets_stay_in_memory() {
    check(
        json!({"secret": {"secretName": "secret"}}),
        expect![[r#"
            Some("volumes/kubernetes.io~secret/vol") Some(Memory { size_bytes: Some(1048576) }) {}
            password 644 None "pass""#]],
    );
    check(
        json!({"secret": {"secretName": "gone"}}),
        expect![[r#"MountVolume.SetUp failed for volume "vol" : secret "gone" not found"#]],
    );
    check(
        json!({"secret": {"secretName": "secret", "items": [{"key": "k", "path": "k"}]}}),
        expect![[r#"MountVolume.SetUp failed for volume "vol" : references non-existent secret key: k"#]],
    );
}

#[test]
fn paths_cannot_leave_the_volume() {
    let at = |path: &str| json!({"configMap": {"name": "config", "items": [{"key": "a", "path": path}]}});
    let cases = [
        ("", "must not be empty: \"\""),
        ("/etc/passwd", "must be relative path: /etc/passwd"),
        ("../a", "must not contain '..': ../a"),
        ("a/../../b", "must not contain '..': a/../../b"),
        ("a/..", "must not contain '..': a/.."),
        ("..data", "must not start with '..': ..data"),
        ("..data/a", "must not start with '..': ..data/a"),
        ("./..data/a", "must not start with '..': ./..data/a"),
        ("./", "must name a file: ./"),
    ];
    for (path, why) in cases {
        let mut payload = Payload::new();
        payload.insert(path.to_owned(), payload::File { data: Vec::new(), mode: 0, owner: None });
        assert_eq!(payload::checked(payload), Err(Error::PayloadPath(why.to_owned())), "{path}");
    }
    check(
        at("../a"),
        expect![[r#"MountVolume.SetUp failed for volume "vol" : invalid path: must not contain '..': ../a"#]],
    );
    check(
        at(&"x".repeat(256)),
        expect![[
            r#"MountVolume.SetUp failed for volume "vol" : invalid path: filenames must be less than or equal to 255 characters"#
        ]],
    );
    check(
        at(&"x/".repeat(2049)),
        expect![[
            r#"MountVolume.SetUp failed for volume "vol" : invalid path: must be less than or equal to 4096 characters"#
        ]],
    );
}

#[test]
fn a_pod_reads_about_itself() {
    check(
        json!({"downwardAPI": {"defaultMode": 0o440, "items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "cpu", "mode": 0o400, "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}},
            {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory"}},
        ]}}),
        expect![[r#"
            Some("volumes/kubernetes.io~downward-api/vol") Some(Memory { size_bytes: Some(1048576) }) {}
            cpu 400 None "250"
            labels 440 None "app=\"web\""
            memory 440 None "1048576""#]],
    );
    check(
        json!({"downwardAPI": {"items": [
            {"path": "a", "fieldRef": {"fieldPath": "status.podIP"}},
            {"path": "b", "fieldRef": {"fieldPath": "status.podIP"}},
            {"path": "c", "resourceFieldRef": {"containerName": "x", "resource": "limits.cpu"}},
        ]}}),
        expect![[
            r#"MountVolume.SetUp failed for volume "vol" : [unsupported fieldPath: status.podIP, container x not found]"#
        ]],
    );
}

#[test]
fn projected_sources_share_a_folder() {
    let sources = json!([
        {"configMap": {"name": "config", "items": [{"key": "a", "path": "same"}, {"key": "b", "path": "b"}]}},
        {"secret": {"name": "secret", "items": [{"key": "password", "path": "same"}]}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"serviceAccountToken": {"path": "token"}},
    ]);
    let volume = json!({"projected": {"sources": sources, "defaultMode": 0o640}});
    check(
        volume.clone(),
        expect![[r#"
            Some("volumes/kubernetes.io~projected/vol") Some(Memory { size_bytes: Some(1048576) }) {}
            b 640 None "more"
            name 640 None "p"
            same 640 None "pass"
            token 640 None "token""#]],
    );
    // A token is only for the user of the pod, or its group.
    let token = json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}});
    check_spec(
        token.clone(),
        &json!({"securityContext": {"runAsUser": 1000}}),
        expect![[r#"
            Some("volumes/kubernetes.io~projected/vol") Some(Memory { size_bytes: Some(1048576) }) {}
            token 600 Some(1000) "token""#]],
    );
    check_spec(
        token,
        &json!({"securityContext": {"fsGroup": 1000}}),
        expect![[r#"
            Some("volumes/kubernetes.io~projected/vol") Some(Memory { size_bytes: Some(1048576) }) {}
            token 600 None "token""#]],
    );
    check(
        json!({"projected": {"sources": [
            {"secret": {"name": "gone"}},
            {"serviceAccountToken": {"path": "token", "audience": "refused"}},
            {"configMap": {"name": "gone", "optional": true}},
            {"clusterTrustBundle": {"path": "p"}},
        ]}}),
        expect![[
            r#"MountVolume.SetUp failed for volume "vol" : [secret "gone" not found, failed to fetch token: no, projected sources of type clusterTrustBundle are not supported by this node]"#
        ]],
    );
}

#[test]
fn folders_and_what_is_not_known() {
    check(
        json!({"emptyDir": {"sizeLimit": "1Ki"}}),
        expect![[r#"Some("volumes/kubernetes.io~empty-dir/vol") None"#]],
    );
    check(
        json!({"emptyDir": {"medium": "Memory"}}),
        expect![[
            r#"Some("volumes/kubernetes.io~empty-dir/vol") Some(Memory { size_bytes: Some(1048576) })"#
        ]],
    );
    check(
        json!({"emptyDir": {"medium": "Memory", "sizeLimit": "1Ki"}}),
        expect![[r#"Some("volumes/kubernetes.io~empty-dir/vol") Some(Memory { size_bytes: Some(1024) })"#]],
    );
    check(
        json!({"emptyDir": {"medium": "HugePages"}}),
        expect![[r#"MountVolume.SetUp failed for volume "vol" : unknown storage medium "HugePages""#]],
    );
    check(json!({"hostPath": {"path": "/srv", "type": "Directory"}}), expect![[r#"None /srv "Directory""#]]);
    check(
        json!({"hostPath": {"path": "/srv/../etc"}}),
        expect![[
            r#"MountVolume.SetUp failed for volume "vol" : invalid HostPath `/srv/../etc`: must not contain '..'"#
        ]],
    );
    check(
        json!({"persistentVolumeClaim": {"claimName": "c"}}),
        expect![[
            r#"MountVolume.SetUp failed for volume "vol" : volumes of type persistentVolumeClaim are not supported by this node"#
        ]],
    );
    check(json!({}), expect![[r#"Some("volumes/kubernetes.io~empty-dir/vol") None"#]]);
    // What no container mounts is not set up, and so lacks nothing.
    check_spec(json!({"configMap": {"name": "gone"}}), &json!({"containers": [{"name": "c"}]}), expect![""]);
}

#[test]
fn memory_is_bounded_by_the_pod() {
    let memory = |limit: &str| json!({"resources": {"limits": {"memory": limit}}, "name": "c", "volumeMounts": [{"name": "vol", "mountPath": "/v"}]});
    let volume = json!({"emptyDir": {"medium": "Memory"}});
    let mut sidecar = memory("10Ki");
    sidecar["restartPolicy"] = json!("Always");
    check_spec(
        volume.clone(),
        &json!({"containers": [memory("1Ki"), memory("2Ki")], "initContainers": [sidecar, memory("4Ki")]}),
        expect![[r#"Some("volumes/kubernetes.io~empty-dir/vol") Some(Memory { size_bytes: Some(14336) })"#]],
    );
    check_spec(
        volume,
        &json!({"resources": {"limits": {"memory": "3Ki"}}}),
        expect![[r#"Some("volumes/kubernetes.io~empty-dir/vol") Some(Memory { size_bytes: Some(3072) })"#]],
    );
}

#[test]
fn places_for_other_mounts_are_made_in_volumes_that_are_read_only() {
    let mounts = [
        ("vol", "/etc/app"),
        ("x", "/etc/app/sub/"),
        ("x", "/etc/app/sub/below"),
        ("x", "/etc/app/sub-2"),
        ("x", "/etc/application"),
        ("x", "/etc/app/a/../../up"),
    ];
    let mounts = mounts.map(|(name, path)| json!({"name": name, "mountPath": path}));
    check_spec(
        json!({"configMap": {"name": "config", "items": [{"key": "a", "path": "a"}]}}),
        &json!({"containers": [{"name": "c", "volumeMounts": mounts}]}),
        expect![[r#"
            Some("volumes/kubernetes.io~configmap/vol") None {"sub", "sub-2"}
            a 644 None "text""#]],
    );
}

#[test]
fn a_token_is_asked_for_as_the_pod_says() {
    let pod: Pod = read(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"serviceAccountName": "robot", "containers": []},
    }));
    expect![[r#"
        TokenRequest { pod_uid: "u", pod_name: "p", namespace: "ns", service_account: "robot", audience: None, expiration_seconds: 3600 }"#]]
    .assert_eq(&format!("{:?}", request_for(&pod, &read(json!({"path": "t", "audience": ""})))));
}

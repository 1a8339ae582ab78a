//! Where the time of a write goes: prints microseconds per step for a pod of 2 KB.
//!
//!     cargo run --release -p api --example costs

use std::hint::black_box;
use std::time::Instant;

use api::apply::{self, By};
use api::codec::{self, FieldValidation, Format};
use api::{Object, Resource, decode, patch, validate, write};
use serde_json::{Value, json};

/// As the masters have it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: u32 = 3000;

#[expect(clippy::disallowed_methods, reason = "a clock is what this is about")]
fn timed<R>(name: &str, mut step: impl FnMut() -> R) {
    for _ in 0..ROUNDS / 10 {
        black_box(step());
    }
    let started = Instant::now();
    for _ in 0..ROUNDS {
        black_box(step());
    }
    println!("{:8.1} us  {name}", started.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
}

fn main() {
    let row = Resource::builtin("", "v1", "pods");
    let body = pod().to_string();
    println!("{} bytes", body.len());
    let read = || codec::object(body.as_bytes(), Format::Json, &row, FieldValidation::Warn).expect("a pod").0;
    timed("decode to a tree", || decode::json(body.as_bytes()).expect("JSON"));
    timed("decode by serde_json alone", || serde_json::from_str::<Value>(&body).expect("JSON"));
    timed("decode and conform", read);
    let mut given = read();
    given.meta.creation_timestamp = "2026-01-01T00:00:00Z".to_owned();
    given.meta.uid = "00000000-0000-4000-8000-000000000000".to_owned();
    timed("clone", || given.clone());
    timed("clone, default", || {
        let mut object = given.clone();
        object.default(&row);
        object
    });
    let mut defaulted = given.clone();
    defaulted.default(&row);
    timed("clone, default again", || {
        let mut object = defaulted.clone();
        object.default(&row);
        object
    });
    let by = By { manager: "bench", subresource: "", now: "2026-01-01T00:00:00Z" };
    timed("clone, track a create", || {
        let mut object = defaulted.clone();
        apply::update(&row, None, &mut object, &by);
        object
    });
    let mut created = defaulted.clone();
    apply::update(&row, None, &mut created, &by);
    timed("clone, prepare a create", || {
        let mut object = created.clone();
        write::create(&mut object, &row);
        object
    });
    write::create(&mut created, &row);
    timed("validate a create", || validate::create(&created, &row));
    timed("write bytes", || created.prepare(&row));
    let stored = created.prepare(&row).at_revision(7);
    println!("{} bytes stored", stored.len());
    timed("read", || Object::read(&stored, &row).expect("stored"));
    let old = Object::read(&stored, &row).expect("stored");
    let mut new = read();
    new.meta.annotations.insert("example.com/at".to_owned(), "2".to_owned());
    let again = By { now: "2026-01-01T00:00:01Z", ..by };
    timed("clone, default, track an update", || {
        let mut object = new.clone();
        object.default(&row);
        apply::update(&row, Some(&old), &mut object, &again);
        object
    });
    let mut changed = new.clone();
    changed.default(&row);
    apply::update(&row, Some(&old), &mut changed, &again);
    write::update(&mut changed, &old, &row);
    timed("validate an update", || validate::update(&changed, &old, &row));
    let change = json!({"metadata": {"annotations": {"example.com/at": "3"}}});
    timed("strategic merge patch to an object", || {
        let Value::Object(mut tree) = decode::json(&stored).expect("JSON").value else { unreachable!() };
        let Value::Object(change) = change.clone() else { unreachable!() };
        patch::strategic(&mut tree, change, &row.schema).expect("fits");
        codec::from_tree(tree.into(), Vec::new(), &row, FieldValidation::Warn).expect("a pod")
    });
    let wanted = pod();
    let live: Value = serde_json::from_slice(&stored).expect("JSON");
    timed("apply", || apply::apply(&row, &live, &old.meta.managed_fields, &wanted, &again, true).is_ok());
}

fn pod() -> Value {
    let container = |name: &str, port: u16| {
        json!({
            "name": name, "image": format!("registry.example.com/{name}:1.2.3"),
            "args": ["--listen", format!(":{port}")],
            "env": [
                {"name": "MODE", "value": "production"},
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "web", "key": "password"}}},
            ],
            "ports": [{"name": name, "containerPort": port}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 5},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/web", "readOnly": true}],
            "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true},
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "pod", "namespace": "bench",
            "labels": {"app": "web", "tier": "front", "pod-template-hash": "5d8f7c9b4"},
            "annotations": {"example.com/at": "1", "example.com/pad": "x".repeat(250)},
        },
        "spec": {
            "serviceAccountName": "web",
            "containers": [container("server", 8080), container("proxy", 9090)],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}],
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoSchedule"}],
        },
    })
}

//! All controllers together.

use api::Key;
use projection::World;
use projection::testing::{put, remove, world};
use serde_json::{Value, json};

use crate::CONTROLLERS;
use crate::testing::{Unrest, change, namespace, run_pods, settle, settle_by_wakes, settle_in_unrest};

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    })
}

fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "10.43.0.7", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]}})
}

/// Two pods of the older kind.
fn replication_controller() -> Value {
    let labels = json!({"app": "old"});
    json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "old", "namespace": "default"},
        "spec": {"replicas": 2, "selector": labels, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }},
    })
}

/// A Service that selects nothing, and the Endpoints that somebody wrote for it.
fn by_hand() -> [Value; 2] {
    let metadata = json!({"name": "by-hand", "namespace": "default"});
    let ports = json!([{"port": 80, "protocol": "TCP"}]);
    [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"clusterIP": "10.43.0.8", "ipFamilies": ["IPv4"], "ports": ports}}),
        json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata,
            "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": ports}]}),
    ]
}

fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = name.into();
    object
}

fn count(world: &World, collection: &str) -> u64 {
    world.state.count(collection)
}

#[test]
fn the_table_is_in_order_and_names_are_unique() {
    let names: Vec<&str> = CONTROLLERS.iter().map(|controller| controller.name).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(names, sorted);
}

#[test]
fn what_if_leaves_out_controllers_that_there_are() {
    let is_one = |name: &&str| CONTROLLERS.iter().any(|controller| controller.name == *name);
    assert!(projection::whatif::LEFT_OUT.iter().all(is_one));
}

#[test]
fn all_controllers_together_come_to_rest_and_clean_up_behind_a_namespace() {
    let mut world = world([namespace("default"), namespace("kube-system"), node(), deployment(), service()]);
    settle(&mut world, CONTROLLERS, run_pods);
    assert_eq!((count(&world, "core/pods/"), count(&world, "apps/replicasets/")), (3, 1));
    assert_eq!((count(&world, "core/endpoints/"), count(&world, "discovery.k8s.io/endpointslices/")), (1, 1));
    assert_eq!(count(&world, "core/serviceaccounts/"), 2);
    remove(&mut world, &Key::object("apps", "deployments", "default", "web"));
    settle(&mut world, CONTROLLERS, run_pods);
    assert_eq!(
        (count(&world, "core/pods/"), count(&world, "apps/replicasets/")),
        (0, 0),
        "what belonged to it went"
    );
    change(&mut world, &Key::object("", "namespaces", "", "default"), |namespace| {
        namespace["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    });
    settle(&mut world, CONTROLLERS, run_pods);
    let left: Vec<_> = world.state.range("").filter(|object| object.key.namespace() == "default").collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(count(&world, "core/namespaces/"), 1);
}

#[test]
fn wakes_alone_lead_to_the_same_rest() {
    let empty = World::default();
    let mut world = world([namespace("default"), namespace("kube-system"), node(), deployment(), service()]);
    settle_by_wakes(&mut world, &empty, CONTROLLERS, run_pods);
    assert_eq!(settle(&mut world, CONTROLLERS, run_pods), 0, "a sweep finds nothing that was missed");
    assert_eq!((count(&world, "core/pods/"), count(&world, "core/endpoints/")), (3, 1));
    let mut step = |edit: &dyn Fn(&mut World)| {
        let before = world.clone();
        edit(&mut world);
        settle_by_wakes(&mut world, &before, CONTROLLERS, run_pods);
        assert_eq!(settle(&mut world, CONTROLLERS, run_pods), 0, "nothing was missed");
        world.clone()
    };
    let web = Key::object("apps", "deployments", "default", "web");
    let rolled = step(&|world| {
        change(world, &web, |web| {
            web["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
            web["metadata"]["generation"] = 2.into();
        });
    });
    assert_eq!((count(&rolled, "core/pods/"), count(&rolled, "apps/replicasets/")), (3, 2));
    let gone = step(&|world| remove(world, &web));
    assert_eq!((count(&gone, "core/pods/"), count(&gone, "apps/replicasets/")), (0, 0));
    let closed = step(&|world| {
        change(world, &Key::object("", "namespaces", "", "default"), |namespace| {
            namespace["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        });
    });
    assert_eq!(count(&closed, "core/namespaces/"), 1);
}

#[test]
fn wakes_that_are_missed_or_come_twice_or_late_change_nothing() {
    let run = |seed: u64| {
        let mut world =
            world([namespace("default"), namespace("kube-system"), node(), deployment(), service()]);
        by_hand()
            .into_iter()
            .chain([replication_controller()])
            .for_each(|object| _ = put(&mut world, object));
        let mut done = Vec::new();
        let mut rest = |world: &mut World| {
            done.push(settle_in_unrest(world, CONTROLLERS, run_pods, Unrest::new(seed)));
            let left =
                ["core/pods/", "apps/replicasets/", "core/endpoints/", "discovery.k8s.io/endpointslices/"];
            done.extend(left.map(|collection| (0, count(world, collection) as usize)));
        };
        let web = Key::object("apps", "deployments", "default", "web");
        rest(&mut world);
        change(&mut world, &web, |web| {
            web["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
            web["metadata"]["generation"] = 2.into();
        });
        rest(&mut world);
        remove(&mut world, &web);
        rest(&mut world);
        change(&mut world, &Key::object("", "endpoints", "default", "by-hand"), |endpoints| {
            endpoints["subsets"][0]["addresses"] = json!([{"ip": "192.0.2.2"}, {"ip": "192.0.2.3"}]);
        });
        change(&mut world, &Key::object("", "replicationcontrollers", "default", "old"), |old| {
            old["spec"]["replicas"] = 1.into();
        });
        put(&mut world, deployment());
        put(&mut world, named(node(), "m"));
        rest(&mut world);
        change(&mut world, &web, |web| {
            web["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
            web["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        });
        rest(&mut world);
        put(&mut world, named(deployment(), "last"));
        rest(&mut world);
        change(&mut world, &Key::object("", "namespaces", "", "default"), |namespace| {
            namespace["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        });
        rest(&mut world);
        done
    };
    let undisturbed = run(0);
    let pods: Vec<usize> = undisturbed.iter().skip(1).step_by(5).map(|(_, left)| *left).collect();
    // Besides these, two and then one of the ReplicationController.
    assert_eq!(pods, [5, 5, 2, 4, 1, 4, 0], "made, updated, removed, made, removed from below, made, gone");
    let slices: Vec<usize> = undisturbed.iter().skip(4).step_by(5).map(|(_, left)| *left).collect();
    assert_eq!(slices, [2, 2, 2, 2, 2, 2, 0], "one of the Service, one of what somebody wrote");
    for seed in 1..=20 {
        assert_eq!(run(seed), undisturbed, "seed {seed}");
    }
}

/// What everything is meant to be, without the names that were made up and what was said of it.
fn shapes(world: &World) -> Vec<String> {
    let meant = |object: &std::sync::Arc<state::Object>| {
        let finalizers = object.view().at(&["metadata", "finalizers"]).shown().into_owned();
        format!("{} {} {finalizers}", object.key.collection(), object.view().get("spec").shown())
    };
    let mut shapes: Vec<_> = world.state.range("").map(meant).collect();
    shapes.sort();
    shapes
}

#[test]
fn wakes_that_are_missed_or_come_twice_or_late_change_nothing_of_other_strategies_and_of_what_is_protected() {
    let of = |name: &str, fields: Value| {
        let mut object = named(deployment(), name);
        for (field, value) in fields.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        object["spec"]["selector"] = json!({"matchLabels": {"app": name}});
        object["spec"]["template"]["metadata"] = json!({"labels": {"app": name}});
        object
    };
    let key = |name: &str| Key::object("apps", "deployments", "default", name);
    let claim = Key::object("", "persistentvolumeclaims", "default", "data");
    let run = |seed: u64| {
        let mut world = world([
            namespace("default"),
            namespace("kube-system"),
            node(),
            of("again", json!({"strategy": {"type": "Recreate"}})),
            of("held", json!({"paused": true})),
            of(
                "few",
                json!({"replicas": 10, "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}}),
            ),
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data", "namespace": "default", "finalizers": ["kubernetes.io/pvc-protection"]}, "spec": {"accessModes": ["ReadWriteOnce"]}}),
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"},
                "spec": {"capacity": {"storage": "1Gi"}}}),
        ]);
        let mut all = Vec::new();
        let mut rest = |world: &mut World, act: fn(&mut World) -> bool| {
            let done = settle_in_unrest(world, CONTROLLERS, act, Unrest::new(seed));
            all.push((done, shapes(world)));
        };
        rest(&mut world, run_pods);
        for name in ["again", "held", "few"] {
            change(&mut world, &key(name), |object| {
                object["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
                object["metadata"]["generation"] = 2.into();
            });
        }
        // Nothing gets ready: what surges is there, and what may be unavailable is gone.
        rest(&mut world, crate::testing::nobody);
        change(&mut world, &key("few"), |few| few["spec"]["replicas"] = 15.into());
        rest(&mut world, crate::testing::nobody);
        change(&mut world, &key("held"), |held| held["spec"]["paused"] = false.into());
        change(&mut world, &claim, |claim| {
            claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        });
        rest(&mut world, run_pods);
        all
    };
    let undisturbed = run(0);
    let of_kind = |at: usize, kind: &str| -> Vec<&String> {
        undisturbed[at].1.iter().filter(|shape| shape.starts_with(kind)).collect()
    };
    assert_eq!([0, 3].map(|at| of_kind(at, "core/persistentvolumeclaims/").len()), [1, 0]);
    let images = |at: usize, image: &str| {
        let image = format!(r#""image":"{image}""#);
        of_kind(at, "core/pods/").into_iter().filter(|pod| pod.contains(&image)).count()
    };
    let counts = [0, 1, 2, 3].map(|at| (images(at, "i"), images(at, "other")));
    assert_eq!(counts, [(13, 0), (8, 8), (11, 10), (0, 21)]);
    for seed in 1..=20 {
        assert_eq!(run(seed), undisturbed, "seed {seed}");
    }
}

/// Two nodes and three pods on the one that fell silent.
fn with_a_silent_node() -> World {
    let mut world = world([namespace("default"), node(), named(node(), "m"), deployment(), service()]);
    settle(&mut world, CONTROLLERS, run_pods);
    world.office.advance(9_001);
    world.office.hear("m");
    world
}

/// Places pods that wait on the other node, and runs them.
fn place(world: &mut World) -> bool {
    let waiting: Vec<Key> = world.pods.waiting().map(|pod| pod.key().clone()).collect();
    for key in &waiting {
        change(world, key, |pod| {
            pod["spec"]["nodeName"] = "m".into();
            pod["status"] = crate::testing::running("10.0.1.1");
        });
    }
    !waiting.is_empty()
}

fn ready_on(world: &World, node: &str) -> usize {
    world.pods.on(node).filter(|pod| pod.is_ready).count()
}

#[test]
fn a_node_that_falls_silent_loses_its_pods_to_another() {
    let mut world = with_a_silent_node();
    settle(&mut world, CONTROLLERS, place);
    assert_eq!((ready_on(&world, "n"), ready_on(&world, "m")), (0, 3));
}

#[test]
fn wakes_that_are_missed_or_come_twice_or_late_change_nothing_when_a_node_falls_silent() {
    let run = |seed: u64| {
        let mut world = with_a_silent_node();
        let done = settle_in_unrest(&mut world, CONTROLLERS, place, Unrest::new(seed));
        (done, ready_on(&world, "n"), ready_on(&world, "m"), count(&world, "core/pods/"))
    };
    let undisturbed = run(0);
    assert_eq!((undisturbed.1, undisturbed.2), (0, 3));
    for seed in 1..=20 {
        assert_eq!(run(seed), undisturbed, "seed {seed}");
    }
}

/// A node with room for so many processors.
fn with_room(name: &str, cpu: u32, is_cordoned: bool) -> Value {
    let mut node = named(node(), name);
    node["spec"] = json!({"unschedulable": is_cordoned});
    node["status"]["allocatable"] = json!({"cpu": cpu.to_string(), "memory": "8Gi", "pods": "110"});
    node
}

/// So many pods of a processor each.
fn of_processors(name: &str, replicas: u32) -> Value {
    let mut object = named(deployment(), name);
    object["spec"]["replicas"] = replicas.into();
    object["spec"]["selector"] = json!({"matchLabels": {"app": name}});
    object["spec"]["template"] = json!({"metadata": {"labels": {"app": name}}, "spec": {
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]}});
    object
}

/// Runs pods where they were put.
fn run_bound(world: &mut World) -> bool {
    let is_new = |pod: &&std::sync::Arc<projection::pods::Pod>| {
        !pod.node.is_empty() && pod.phase == projection::pods::Phase::Pending
    };
    let bound: Vec<Key> = world.pods.iter().filter(is_new).map(|pod| pod.key().clone()).collect();
    for key in &bound {
        change(world, key, |pod| pod["status"] = crate::testing::running("10.0.2.1"));
    }
    !bound.is_empty()
}

#[test]
fn wakes_that_are_missed_or_come_twice_or_late_change_nothing_of_who_gets_a_node() {
    let table: Vec<_> = CONTROLLERS.iter().copied().chain([scheduler::SCHEDULER]).collect();
    let key = |name: &str| Key::object("apps", "deployments", "default", name);
    let on = |world: &World, app: &str, node: &str| {
        let label = format!("{app}-");
        let is_there = |pod: &&std::sync::Arc<projection::pods::Pod>| {
            pod.key().name().starts_with(&label) && &*pod.node == node
        };
        world.pods.iter().filter(is_there).count()
    };
    let run = |seed: u64| {
        let mut world = world([
            namespace("default"),
            with_room("n", 2, false),
            with_room("m", 2, true),
            of_processors("web", 3),
        ]);
        let mut all = Vec::new();
        let mut rest = |world: &mut World| {
            let done = settle_in_unrest(world, &table, run_bound, Unrest::new(seed));
            let placed = ["web", "more"].map(|app| ["n", "m", "o", ""].map(|node| on(world, app, node)));
            let told = world.state.range("core/pods/").filter(|pod| {
                pod.view().at(&["status", "conditions"]).shown().contains("nodes are available: ")
            });
            all.push((placed, done, told.count()));
        };
        rest(&mut world);
        // Room comes: a node that takes pods again, a pod less, a new node. Whoever waits takes it.
        change(&mut world, &Key::object("", "nodes", "", "m"), |m| m["spec"]["unschedulable"] = false.into());
        rest(&mut world);
        put(&mut world, of_processors("more", 3));
        rest(&mut world);
        change(&mut world, &key("web"), |web| web["spec"]["replicas"] = 1.into());
        rest(&mut world);
        change(&mut world, &key("more"), |more| more["spec"]["replicas"] = 6.into());
        rest(&mut world);
        put(&mut world, with_room("o", 8, false));
        rest(&mut world);
        all
    };
    let undisturbed = run(0);
    let placed: Vec<_> = undisturbed.iter().map(|(placed, _, told)| (placed, *told)).collect();
    let expected = [
        (&[[2, 0, 0, 1], [0, 0, 0, 0]], 1),
        (&[[2, 1, 0, 0], [0, 0, 0, 0]], 0),
        (&[[2, 1, 0, 0], [0, 1, 0, 2]], 2),
        (&[[0, 1, 0, 0], [2, 1, 0, 0]], 0),
        (&[[0, 1, 0, 0], [2, 1, 0, 3]], 3),
        (&[[0, 1, 0, 0], [2, 1, 3, 0]], 0),
    ];
    assert_eq!(
        placed, expected,
        "of each how many are on n, m, o and wait, and how many are told that they must"
    );
    for seed in 1..=20 {
        assert_eq!(run(seed), undisturbed, "seed {seed}");
    }
}

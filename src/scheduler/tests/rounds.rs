//! Whole rounds.

use projection::World;
use projection::testing::world;
use serde_json::{Value, json};

use super::{asking, fold, labelled, merge, node, of, plan, planned, requests, zoned};
use crate::round::Round;

/// `POD on NODE` for all pods that have one.
fn places(world: &World) -> Vec<String> {
    let placed = world.pods.iter().filter(|pod| !pod.node.is_empty());
    placed.map(|pod| format!("{} on {}", pod.key().name(), pod.node)).collect()
}

/// Plans and does until nothing is planned; returns how many plans that took.
fn settle(world: &mut World) -> usize {
    for rounds in 0..10 {
        let plan = plan(world);
        if plan.intents.is_empty() {
            assert_eq!(planned(world), "", "nothing to do, nothing to tell");
            return rounds;
        }
        fold(world, &plan);
    }
    panic!("no end");
}

#[test]
fn a_binding_says_which_pod_and_node_and_holds_while_the_node_is_there() {
    let world = world([node("a", json!({})), asking("p", "1", "1")]);
    expect_test::expect![[r#"
        bind core/pods/default/p to a if Live { key: "core/nodes/a", uid: "uid-a" }
    "#]]
    .assert_eq(&planned(&world));
    let told = plan(&world).intents.remove(0).told.expect("told");
    assert_eq!(told.done, Some(("Scheduled", "Successfully assigned default/p to a".to_owned())));
}

#[test]
fn nodes_are_filled_up_to_what_they_have() {
    let nodes = (0..2).map(|n| node(&format!("node-{n}"), json!({})));
    let pods = (0..10).map(|n| asking(&format!("pod-{n}"), "1", "1Gi"));
    let mut world = world(nodes.chain(pods));
    settle(&mut world);
    assert_eq!(places(&world).len(), 8);
    for node in world.nodes.iter() {
        assert_eq!(world.nodes.usage(node.name()).expect("pods").requests.cpu_milli, 4000);
    }
}

#[test]
fn the_urgent_come_first_then_the_old() {
    let pod = |name: &str, priority: i32, created: &str| {
        let mut pod = asking(name, "2", "1");
        let more = json!({"metadata": {"creationTimestamp": created}, "spec": {"priority": priority}});
        merge(&mut pod, more);
        pod
    };
    let mut world = world([
        node("a", json!({})),
        pod("late", 0, "2026-01-01T00:00:02Z"),
        pod("early", 0, "2026-01-01T00:00:01Z"),
        pod("urgent", 1, "2026-01-01T00:00:03Z"),
    ]);
    settle(&mut world);
    assert_eq!(places(&world), ["early on a", "urgent on a"]);
}

#[test]
fn pods_of_other_schedulers_are_left_alone() {
    let world = world([node("a", json!({})), of("p", json!({"schedulerName": "other"}))]);
    assert_eq!(planned(&world), "");
}

#[test]
fn a_round_ends_when_it_has_placed_enough() {
    let pods = (0..3).map(|n| asking(&format!("pod-{n}"), "1", "1"));
    let world = world([node("a", json!({}))].into_iter().chain(pods));
    let round = Round::of(&world, 2);
    assert_eq!((round.placed.len(), round.is_cut), (2, true));
    assert!(!Round::of(&world, 3).is_cut);
}

/// More nodes than are looked at for one pod, each with room for one.
#[test]
fn all_of_many_nodes_are_found() {
    let nodes = (0..240).map(|n| zoned(&format!("node-{n}"), &format!("zone-{}", n % 3)));
    let pods = (0..241).map(|n| asking(&format!("pod-{n}"), "3", "1"));
    let mut world = world(nodes.chain(pods));
    settle(&mut world);
    assert_eq!(places(&world).len(), 240);
}

#[test]
fn who_follows_gets_its_place_when_the_other_has_one() {
    let near = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}},
    ]}}});
    let mut world = world([
        node("a", json!({})),
        node("b", json!({})),
        of("a-follower", near),
        labelled("b-web", json!({"app": "web"}), json!({})),
    ]);
    settle(&mut world);
    let places = places(&world);
    assert_eq!(places.len(), 2);
    assert_eq!(places[0].split(" on ").last(), places[1].split(" on ").last());
}

#[test]
fn a_group_spreads_over_zones_and_then_hosts() {
    let nodes = ["a1", "a2", "b1", "b2"].map(|name| zoned(name, &name[..1]));
    let service =
        json!({"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}}});
    let pods = (0..4).map(|n| labelled(&format!("web-{n}"), json!({"app": "web"}), json!({})));
    let mut world = world(nodes.into_iter().chain([service]).chain(pods));
    assert_eq!(settle(&mut world), 1, "one round");
    let counts = world.nodes.iter().map(|node| world.pods.on(node.name()).count());
    assert_eq!(counts.collect::<Vec<_>>(), [1, 1, 1, 1]);
}

/// Numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

fn some_node(n: u64, numbers: &mut Numbers) -> Value {
    let zone = ["a", "b", "c"][numbers.below(3) as usize];
    let allocatable =
        json!({"cpu": format!("{}", 1 + numbers.below(4)), "pods": format!("{}", 1 + numbers.below(6))});
    let mut node = zoned(&format!("node-{n}"), zone);
    merge(&mut node, json!({"status": {"allocatable": allocatable}}));
    if numbers.one_in(5) {
        merge(&mut node, json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}));
    }
    if numbers.one_in(8) {
        merge(&mut node, json!({"spec": {"unschedulable": true}}));
    }
    node
}

fn some_pod(n: u64, numbers: &mut Numbers) -> Value {
    let app = ["web", "db"][numbers.below(2) as usize];
    let mut spec = requests(json!({"cpu": format!("{}m", 100 * (1 + numbers.below(12))), "memory": "1Mi"}));
    let selector = json!({"matchLabels": {"app": app}});
    let topology = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"][numbers.below(2) as usize];
    let term = json!([{"topologyKey": topology, "labelSelector": selector}]);
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": term});
    match numbers.below(7) {
        0 => merge(&mut spec, json!({"affinity": {"podAntiAffinity": required}})),
        1 => merge(&mut spec, json!({"affinity": {"podAffinity": required}})),
        2 => {
            let constraint = json!([{
                "topologyKey": topology,
                "maxSkew": 1 + numbers.below(2),
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": selector,
            }]);
            merge(&mut spec, json!({"topologySpreadConstraints": constraint}));
        }
        3 => {
            spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80 + numbers.below(2)}])
        }
        4 => merge(&mut spec, json!({"tolerations": [{"operator": "Exists"}]})),
        _ => {}
    }
    merge(&mut spec, json!({"priority": numbers.below(3)}));
    labelled(&format!("pod-{n:02}"), json!({"app": app}), spec)
}

/// In Worlds of all sorts: no node gets more than it has, and each pod, were it not there, could go where it is, but for
/// how it is spread: pods that need not be may unbalance those that must.
#[test]
fn whatever_is_asked_for_nobody_gets_what_is_not_there() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut objects: Vec<Value> = (0..2 + seed % 6).map(|n| some_node(n, &mut numbers)).collect();
        objects.extend((0..24).map(|n| some_pod(n, &mut numbers)));
        let mut world = world(objects);
        settle(&mut world);
        for node in world.nodes.iter() {
            let Some(usage) = world.nodes.usage(node.name()) else { continue };
            assert!(usage.pods <= node.pods_max, "seed {seed}: {}", node.name());
            assert!(usage.requests.cpu_milli <= node.allocatable.cpu_milli, "seed {seed}: {}", node.name());
        }
        for pod in world.pods.iter().filter(|pod| !pod.node.is_empty()) {
            let mut without = world.clone();
            let mut object: Value = serde_json::from_slice(&pod.object.bytes.to_bytes()).expect("JSON");
            object["spec"]["nodeName"] = Value::Null;
            object["spec"]["topologySpreadConstraints"] = Value::Null;
            let key = projection::testing::put(&mut without, object);
            let misfits = crate::explain(&without, &key);
            let found = misfits.iter().find(|(node, ..)| *node == pod.node);
            assert_eq!(found, None, "seed {seed}: {key}");
        }
        for pod in world.pods.waiting() {
            let misfits = crate::explain(&world, pod.key());
            assert_eq!(misfits.len(), world.nodes.len(), "seed {seed}: {} could go somewhere", pod.key());
        }
    }
}

/// Where all are spread by the same rule, no domain gets further ahead of the last one than it says.
#[test]
fn skew_stays_within_bounds() {
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let mut objects: Vec<Value> = (0..2 + seed % 7).map(|n| some_node(n, &mut numbers)).collect();
        let skew_max = 1 + numbers.below(3);
        let constraint = json!([{
            "topologyKey": "topology.kubernetes.io/zone",
            "maxSkew": skew_max,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
        }]);
        for n in 0..20 {
            let mut spec = requests(json!({"cpu": format!("{}m", 100 * (1 + numbers.below(12)))}));
            merge(&mut spec, json!({"topologySpreadConstraints": constraint}));
            objects.push(labelled(&format!("pod-{n:02}"), json!({"app": "web"}), spec));
        }
        let mut world = world(objects);
        settle(&mut world);
        let mut zones = std::collections::BTreeMap::new();
        for node in world.nodes.iter() {
            let zone = node.object.labels().get("topology.kubernetes.io/zone");
            *zones.entry(zone).or_insert(0) += world.pods.on(node.name()).count() as u64;
        }
        let (least, most) = (zones.values().min().expect("a zone"), zones.values().max().expect("a zone"));
        assert!(most - least <= skew_max, "seed {seed}: {zones:?}");
    }
}

#[test]
fn the_same_world_gives_the_same_plan() {
    for seed in 0..20 {
        let mut numbers = Numbers(seed);
        let mut objects: Vec<Value> = (0..5).map(|n| some_node(n, &mut numbers)).collect();
        objects.extend((0..20).map(|n| some_pod(n, &mut numbers)));
        let folded = world(objects);
        let built = World::of(folded.state.clone());
        assert_eq!(planned(&folded), planned(&folded));
        assert_eq!(planned(&folded), planned(&built), "seed {seed}");
    }
}

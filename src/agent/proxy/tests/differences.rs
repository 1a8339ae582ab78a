//! What a difference makes of the old ruleset is the new one; and it is small.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use serde_json::json;

use super::{service, slice, web, world};
use crate::difference::{difference, replacement};
use crate::fake::Model;
use crate::flows::{Flow, is_stale, to_check};
use crate::plan::{Ruleset, plan, replan};
use crate::text;
use crate::world::World;

/// The next ruleset, of what was touched.
fn again(world: &mut World, old: &Ruleset) -> Ruleset {
    let touched = world.take_touched();
    replan(world, old, &touched)
}

/// Changes a world, and compares the commands; proves on the model that they do what they should.
fn check(mut world: World, change: impl FnOnce(&mut World), expected: Expect) {
    let old = plan(&world);
    world.take_touched();
    change(&mut world);
    let new = again(&mut world, &old);
    assert_eq!(new, plan(&world), "what was not touched did change");
    let batch = difference(&old, &new);
    let before = Model::default().after(&replacement(&old)).expect("the old ruleset is valid");
    let after = before.after(&batch).expect("the difference is valid");
    assert_eq!(after, Model::default().after(&replacement(&new)).expect("the new ruleset is valid"));
    assert_eq!(after, before.after(&replacement(&new)).expect("a replacement asks for nothing"));
    expected.assert_eq(&text::batch(&batch));
}

const WEB: &[(&str, &str, u16)] = &[("", "TCP", 8080)];

fn two_services() -> World {
    let services = [service("web", web("10.96.0.10")), service("api", web("10.96.0.11"))];
    let slices = [
        slice("web", "web-1", WEB, &["10.1.1.2@n1", "10.1.2.3"]),
        slice("api", "api-1", WEB, &["10.1.1.4@n1"]),
    ];
    world(&services, &slices)
}

#[test]
fn nothing_changed() {
    check(two_services(), |world| world.put_service(&service("web", web("10.96.0.10"))), expect![[r#""#]]);
}

#[test]
fn an_endpoint_came() {
    let slice = slice("web", "web-2", WEB, &["10.1.3.4"]);
    check(
        two_services(),
        |world| world.put_slice(&slice),
        expect![[r#"
        flush chain service/default/web/tcp/80
        add rule service/default/web/tcp/80 ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
        add rule service/default/web/tcp/80 meta l4proto tcp dnat ip to numgen random mod 3 map { 0 : 10.1.1.2 . 8080, 1 : 10.1.2.3 . 8080, 2 : 10.1.3.4 . 8080 }
    "#]],
    );
}

#[test]
fn the_last_endpoint_went() {
    check(
        two_services(),
        |world| world.remove_slice("default", "api-1"),
        expect![[r#"
        delete element hairpins { 10.1.1.4 . 10.1.1.4 }
        delete element service-addresses { 10.96.0.11 . tcp . 80 }
        add element missing-addresses { 10.96.0.11 . tcp . 80 : goto reject }
        flush chain service/default/api/tcp/80
        delete chain service/default/api/tcp/80
    "#]],
    );
}

#[test]
fn a_service_went_and_another_has_its_address() {
    let change = |world: &mut World| {
        world.remove_service("default", "web");
        world.put_service(&service("api", web("10.96.0.10")));
    };
    check(
        two_services(),
        change,
        expect![[r#"
        delete element hairpins { 10.1.1.2 . 10.1.1.2 }
        delete element service-addresses { 10.96.0.11 . tcp . 80, 10.96.0.10 . tcp . 80 }
        flush chain service/default/api/tcp/80
        add rule service/default/api/tcp/80 ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
        add rule service/default/api/tcp/80 meta l4proto tcp dnat to 10.1.1.4:8080
        add element service-addresses { 10.96.0.10 . tcp . 80 : goto service/default/api/tcp/80 }
        flush chain service/default/web/tcp/80
        delete chain service/default/web/tcp/80
    "#]],
    );
}

#[test]
fn affinity_is_switched_on() {
    let mut spec = web("10.96.0.10");
    spec["sessionAffinity"] = json!("ClientIP");
    check(
        two_services(),
        |world| world.put_service(&service("web", spec)),
        expect![[r#"
        add set affinity/default/web/tcp/80/10.1.1.2/8080
        add set affinity/default/web/tcp/80/10.1.2.3/8080
        add chain endpoint/default/web/tcp/80/10.1.1.2/8080
        add chain endpoint/default/web/tcp/80/10.1.2.3/8080
        add rule endpoint/default/web/tcp/80/10.1.1.2/8080 update @affinity/default/web/tcp/80/10.1.1.2/8080 { ip saddr timeout 10800s }
        add rule endpoint/default/web/tcp/80/10.1.1.2/8080 meta l4proto tcp dnat to 10.1.1.2:8080
        add rule endpoint/default/web/tcp/80/10.1.2.3/8080 update @affinity/default/web/tcp/80/10.1.2.3/8080 { ip saddr timeout 10800s }
        add rule endpoint/default/web/tcp/80/10.1.2.3/8080 meta l4proto tcp dnat to 10.1.2.3:8080
        flush chain service/default/web/tcp/80
        add rule service/default/web/tcp/80 ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
        add rule service/default/web/tcp/80 ip saddr @affinity/default/web/tcp/80/10.1.1.2/8080 goto endpoint/default/web/tcp/80/10.1.1.2/8080
        add rule service/default/web/tcp/80 ip saddr @affinity/default/web/tcp/80/10.1.2.3/8080 goto endpoint/default/web/tcp/80/10.1.2.3/8080
        add rule service/default/web/tcp/80 numgen random mod 2 vmap { 0 : goto endpoint/default/web/tcp/80/10.1.1.2/8080, 1 : goto endpoint/default/web/tcp/80/10.1.2.3/8080 }
    "#]],
    );
}

#[test]
fn an_endpoint_with_clients_went() {
    let mut spec = web("10.96.0.10");
    spec["sessionAffinity"] = json!("ClientIP");
    let mut world = two_services();
    world.put_service(&service("web", spec));
    let slice = slice("web", "web-1", WEB, &["10.1.2.3"]);
    check(
        world,
        |world| world.put_slice(&slice),
        expect![[r#"
        delete element hairpins { 10.1.1.2 . 10.1.1.2 }
        flush chain service/default/web/tcp/80
        add rule service/default/web/tcp/80 ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
        add rule service/default/web/tcp/80 ip saddr @affinity/default/web/tcp/80/10.1.2.3/8080 goto endpoint/default/web/tcp/80/10.1.2.3/8080
        add rule service/default/web/tcp/80 numgen random mod 1 vmap { 0 : goto endpoint/default/web/tcp/80/10.1.2.3/8080 }
        flush chain endpoint/default/web/tcp/80/10.1.1.2/8080
        delete chain endpoint/default/web/tcp/80/10.1.1.2/8080
        delete set affinity/default/web/tcp/80/10.1.1.2/8080
    "#]],
    );
}

#[test]
fn the_second_gets_what_the_first_lets_go() {
    let claim = |address: &str| {
        let mut spec = web(address);
        spec["externalIPs"] = json!(["192.0.2.1"]);
        spec
    };
    let services = [service("a", claim("10.96.0.10")), service("b", claim("10.96.0.11"))];
    let slices = ["a", "b"].map(|name| slice(name, name, WEB, &["10.1.1.2@n1"]));
    check(
        world(&services, &slices),
        |world| world.remove_service("default", "a"),
        expect![[r#"
        delete element hairpins { 10.1.1.2 . 10.1.1.2 }
        delete element service-addresses { 10.96.0.10 . tcp . 80, 192.0.2.1 . tcp . 80 }
        add element hairpins { 10.1.1.2 . 10.1.1.2 }
        add element service-addresses { 192.0.2.1 . tcp . 80 : goto external/default/b/tcp/80 }
        flush chain external/default/a/tcp/80
        flush chain service/default/a/tcp/80
        delete chain external/default/a/tcp/80
        delete chain service/default/a/tcp/80
    "#]],
    );
}

/// Random histories, each step against the model.
#[test]
fn every_history_ends_where_a_fresh_start_begins() {
    base::env::simulate(7, async {
        let mut world = two_services();
        let mut old = plan(&world);
        let mut model = Model::default().after(&replacement(&old)).expect("valid");
        world.take_touched();
        for _ in 0..300 {
            for _ in 0..=pick(3) {
                change_at_random(&mut world);
            }
            let new = again(&mut world, &old);
            assert_eq!(new, plan(&world));
            model = model.after(&difference(&old, &new)).expect("valid");
            old = new;
        }
        assert_eq!(model, Model::default().after(&replacement(&old)).expect("valid"));
    });
}

fn pick(of: u64) -> u64 {
    base::env::random_u64() % of
}

fn change_at_random(world: &mut World) {
    let name = ["a", "b", "c"][pick(3) as usize];
    let mut spec = web(["10.96.0.10", "10.96.0.11", "None"][pick(3) as usize]);
    if pick(2) == 0 {
        spec["type"] = json!("NodePort");
        spec["ports"][0]["nodePort"] = json!(30000 + pick(2));
        spec["externalTrafficPolicy"] = json!(["Cluster", "Local"][pick(2) as usize]);
    }
    if pick(2) == 0 {
        spec["sessionAffinity"] = json!("ClientIP");
    }
    spec["internalTrafficPolicy"] = json!(["Cluster", "Local"][pick(2) as usize]);
    spec["ports"][0]["protocol"] = json!(["TCP", "UDP"][pick(2) as usize]);
    let endpoints = ["10.1.1.2@n1", "10.1.1.2@n1 draining", "10.1.2.3", "10.1.1.4@n1 unready"];
    let some: Vec<&str> = endpoints.into_iter().filter(|_| pick(2) == 0).collect();
    match pick(4) {
        0 => world.remove_service("default", name),
        1 => world.remove_slice("default", name),
        2 => world.put_service(&service(name, spec)),
        _ => world.put_slice(&slice(name, name, &[("", "TCP", 8080), ("", "UDP", 8080)], &some)),
    }
}

#[test]
fn ten_thousand_services_plan_and_one_of_them_changes() {
    const SERVICES: u32 = 10_000;
    let mut world = world(&[], &[]);
    for number in 0..SERVICES {
        let address = std::net::Ipv4Addr::from(0x0a60_0000 + number);
        let name = format!("service-{number}");
        world.put_service(&service(&name, web(&address.to_string())));
        let [one, two] =
            [1, 2].map(|half| std::net::Ipv4Addr::from(0x0a01_0000 + number * 2 + half).to_string());
        world.put_slice(&slice(&name, &name, WEB, &[&one, &two]));
    }
    let old = plan(&world);
    assert_eq!(world.take_touched().len(), SERVICES as usize);
    world.put_slice(&slice("service-77", "service-77", WEB, &["10.1.0.1"]));
    let touched = world.take_touched();
    let new = replan(&world, &old, &touched);
    assert_eq!((touched.len(), new.parts.len()), (1, SERVICES as usize));
    let shared =
        old.parts.values().zip(new.parts.values()).filter(|(old, new)| std::sync::Arc::ptr_eq(old, new));
    assert_eq!(shared.count(), SERVICES as usize - 1, "nothing else was planned again");
    assert_eq!(difference(&old, &new).commands.len(), 3);
}

#[test]
fn datagrams_to_an_endpoint_that_went_begin_anew() {
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.0.10",
        "ports": [{ "port": 53, "protocol": "UDP", "nodePort": 30053 }],
    });
    let mut world = world(&[service("dns", spec)], &[]);
    world.put_slice(&slice("dns", "dns-1", &[("", "UDP", 53)], &["10.1.1.2", "10.1.1.3"]));
    let old = plan(&world);
    world.take_touched();
    world.put_slice(&slice("dns", "dns-1", &[("", "UDP", 53)], &["10.1.1.2"]));
    let new = again(&mut world, &old);
    assert!(to_check(Some(&new), &new).is_empty(), "nothing changed");
    let expected = to_check(Some(&old), &new);
    let flow = |destination: &str, answers: &str| Flow {
        destination: destination.parse().expect("an address"),
        answers: answers.parse().expect("an address"),
    };
    let flows = [
        ("10.96.0.10:53", "10.1.1.2:53", false),
        ("10.96.0.10:53", "10.1.1.3:53", true),
        ("10.96.0.10:53", "10.96.0.10:53", true),
        ("10.96.0.10:54", "10.1.1.3:53", false),
        ("192.168.9.1:30053", "10.1.1.3:53", true),
        // Another host's port, seen on the way.
        ("192.168.9.9:30053", "192.168.9.9:30053", false),
    ];
    let wrong: BTreeSet<_> = flows
        .iter()
        .filter(|(to, answers, stale)| is_stale(&expected, &flow(to, answers)) != *stale)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    world.remove_service("default", "dns");
    let gone = again(&mut world, &new);
    assert!(is_stale(&to_check(Some(&new), &gone), &flow("10.96.0.10:53", "10.1.1.2:53")));
}

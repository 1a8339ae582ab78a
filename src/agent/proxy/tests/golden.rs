//! Rulesets as text: what stands in the maps, and the chains of services.

use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;

use super::{service, service_with, slice, web, world};
use crate::plan::plan;

/// Only what services add: the frame is in one test of its own.
fn check(services: &[Service], slices: &[EndpointSlice], expected: Expect) {
    let text = plan(&world(services, slices)).text();
    let maps = text.lines().skip(1).take_while(|line| !line.starts_with("  chain nat-prerouting"));
    let after_frame = text.split("    reject\n").nth(1).unwrap_or_default();
    let lines = maps.chain(after_frame.lines()).map(|line| line.strip_prefix("  ").unwrap_or(line));
    expected.assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn what_is_always_there() {
    expect![[r#"
        table ip keelson-services
          chain nat-prerouting { type nat hook prerouting priority -100 }
            jump services
          chain nat-output { type nat hook output priority -100 }
            jump services
          chain nat-postrouting { type nat hook postrouting priority 100 }
            meta mark & 0x4000 != 0 meta mark set meta mark ^ 0x4000 masquerade fully-random
            ip saddr . ip daddr @hairpins masquerade fully-random
          chain filter-input { type filter hook input priority -90 }
            ct state new ct status ! dnat jump refusals
          chain filter-forward { type filter hook forward priority -90 }
            ct state new ct status ! dnat jump refusals
          chain filter-output { type filter hook output priority -90 }
            ct state new ct status ! dnat jump refusals
          chain services
            ip daddr . meta l4proto . th dport vmap @service-addresses
            fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-node-ports
          chain refusals
            ip daddr . meta l4proto . th dport vmap @missing-addresses
            fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @missing-node-ports
            ip daddr 10.96.0.0/12 goto reject
          chain reject
            meta l4proto tcp reject with tcp reset
            reject
    "#]]
    .assert_eq(&plan(&world(&[], &[])).text());
}

#[test]
fn a_cluster_ip_with_two_endpoints() {
    let slices = [slice("web", "web-1", &[("", "TCP", 8080)], &["10.1.1.2@n1", "10.1.2.3"])];
    check(
        &[service("web", web("10.96.0.10"))],
        &slices,
        expect![[r#"
          hairpins 10.1.1.2 . 10.1.1.2
          service-addresses 10.96.0.10 . tcp . 80 : goto service/default/web/tcp/80
          chain service/default/web/tcp/80
            ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.1.1.2 . 8080, 1 : 10.1.2.3 . 8080 }
    "#]],
    );
}

#[test]
fn ports_have_names_and_targets_of_their_own() {
    let spec = json!({ "clusterIP": "10.96.0.10", "ports": [
        { "name": "http", "port": 80, "targetPort": "web" },
        { "name": "dns", "port": 53, "protocol": "UDP" },
        { "name": "chat", "port": 53, "protocol": "SCTP" },
    ] });
    let slices = [
        slice("web", "old", &[("http", "TCP", 8080), ("dns", "UDP", 53)], &["10.1.1.2"]),
        slice("web", "new", &[("http", "TCP", 9090), ("chat", "SCTP", 7)], &["10.1.1.3"]),
    ];
    check(
        &[service("web", spec)],
        &slices,
        expect![[r#"
          service-addresses 10.96.0.10 . tcp . 80 : goto service/default/web/tcp/http
          service-addresses 10.96.0.10 . udp . 53 : goto service/default/web/udp/dns
          service-addresses 10.96.0.10 . sctp . 53 : goto service/default/web/sctp/chat
          chain service/default/web/sctp/chat
            ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto sctp dnat to 10.1.1.3:7
          chain service/default/web/tcp/http
            ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.1.1.2 . 8080, 1 : 10.1.1.3 . 9090 }
          chain service/default/web/udp/dns
            ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto udp dnat to 10.1.1.2:53
    "#]],
    );
}

#[test]
fn a_node_port_by_either_policy() {
    let spec = |policy: &str, address: &str, port: u16| {
        json!({
            "type": "NodePort", "clusterIP": address, "externalTrafficPolicy": policy,
            "ports": [{ "port": 80, "nodePort": port }],
        })
    };
    let services = [
        service("all", spec("Cluster", "10.96.0.10", 30001)),
        service("here", spec("Local", "10.96.0.11", 30002)),
        service("not-here", spec("Local", "10.96.0.12", 30003)),
    ];
    let slices = [
        slice("all", "all-1", &[("", "TCP", 8080)], &["10.1.2.3"]),
        slice("here", "here-1", &[("", "TCP", 8080)], &["10.1.1.2@n1", "10.1.2.3"]),
        slice("not-here", "not-here-1", &[("", "TCP", 8080)], &["10.1.2.3"]),
    ];
    check(
        &services,
        &slices,
        expect![[r#"
          hairpins 10.1.1.2 . 10.1.1.2
          missing-node-ports tcp . 30003 : drop
          service-addresses 10.96.0.10 . tcp . 80 : goto service/default/all/tcp/80
          service-addresses 10.96.0.11 . tcp . 80 : goto service/default/here/tcp/80
          service-addresses 10.96.0.12 . tcp . 80 : goto service/default/not-here/tcp/80
          service-node-ports tcp . 30001 : goto external/default/all/tcp/80
          service-node-ports tcp . 30002 : goto external/default/here/tcp/80
          service-node-ports tcp . 30003 : goto external/default/not-here/tcp/80
          chain external/default/all/tcp/80
            meta mark set meta mark | 0x4000
            goto service/default/all/tcp/80
          chain service/default/all/tcp/80
            ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat to 10.1.2.3:8080
          chain external/default/here/tcp/80
            ip saddr 10.1.0.0/16 goto service/default/here/tcp/80
            fib saddr type local meta mark set meta mark | 0x4000 goto service/default/here/tcp/80
            goto local/default/here/tcp/80
          chain local/default/here/tcp/80
            meta l4proto tcp dnat to 10.1.1.2:8080
          chain service/default/here/tcp/80
            ip daddr 10.96.0.11 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.1.1.2 . 8080, 1 : 10.1.2.3 . 8080 }
          chain external/default/not-here/tcp/80
            ip saddr 10.1.0.0/16 goto service/default/not-here/tcp/80
            fib saddr type local meta mark set meta mark | 0x4000 goto service/default/not-here/tcp/80
          chain service/default/not-here/tcp/80
            ip daddr 10.96.0.12 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat to 10.1.2.3:8080
    "#]],
    );
}

#[test]
fn external_addresses_and_load_balancers() {
    let spec = json!({
        "type": "LoadBalancer", "clusterIP": "10.96.0.10", "externalIPs": ["192.0.2.1"],
        "ports": [{ "port": 80, "nodePort": 30001 }],
    });
    let status = json!({ "loadBalancer": { "ingress": [
        { "ip": "192.0.2.7", "ipMode": "VIP" },
        { "ip": "192.0.2.8", "ipMode": "Proxy" },
        { "hostname": "lb.example" },
    ] } });
    let slices = [slice("web", "web-1", &[("", "TCP", 8080)], &["10.1.2.3"])];
    check(
        &[service_with("web", spec, status)],
        &slices,
        expect![[r#"
          service-addresses 10.96.0.10 . tcp . 80 : goto service/default/web/tcp/80
          service-addresses 192.0.2.1 . tcp . 80 : goto external/default/web/tcp/80
          service-addresses 192.0.2.7 . tcp . 80 : goto external/default/web/tcp/80
          service-node-ports tcp . 30001 : goto external/default/web/tcp/80
          chain external/default/web/tcp/80
            meta mark set meta mark | 0x4000
            goto service/default/web/tcp/80
          chain service/default/web/tcp/80
            ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat to 10.1.2.3:8080
    "#]],
    );
}

#[test]
fn clients_stay_with_their_endpoint() {
    let mut spec = web("10.96.0.10");
    spec["sessionAffinity"] = json!("ClientIP");
    spec["sessionAffinityConfig"] = json!({ "clientIP": { "timeoutSeconds": 60 } });
    let slices = [slice("web", "web-1", &[("", "TCP", 8080)], &["10.1.1.2", "10.1.2.3"])];
    check(
        &[service("web", spec)],
        &slices,
        expect![[r#"
          service-addresses 10.96.0.10 . tcp . 80 : goto service/default/web/tcp/80
          set affinity/default/web/tcp/80/10.1.1.2/8080
          set affinity/default/web/tcp/80/10.1.2.3/8080
          chain endpoint/default/web/tcp/80/10.1.1.2/8080
            update @affinity/default/web/tcp/80/10.1.1.2/8080 { ip saddr timeout 60s }
            meta l4proto tcp dnat to 10.1.1.2:8080
          chain endpoint/default/web/tcp/80/10.1.2.3/8080
            update @affinity/default/web/tcp/80/10.1.2.3/8080 { ip saddr timeout 60s }
            meta l4proto tcp dnat to 10.1.2.3:8080
          chain service/default/web/tcp/80
            ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            ip saddr @affinity/default/web/tcp/80/10.1.1.2/8080 goto endpoint/default/web/tcp/80/10.1.1.2/8080
            ip saddr @affinity/default/web/tcp/80/10.1.2.3/8080 goto endpoint/default/web/tcp/80/10.1.2.3/8080
            numgen random mod 2 vmap { 0 : goto endpoint/default/web/tcp/80/10.1.1.2/8080, 1 : goto endpoint/default/web/tcp/80/10.1.2.3/8080 }
    "#]],
    );
}

#[test]
fn without_endpoints_the_client_is_told_and_without_local_ones_it_may_try_elsewhere() {
    let mut local = web("10.96.0.11");
    local["internalTrafficPolicy"] = json!("Local");
    let services = [service("empty", web("10.96.0.10")), service("elsewhere", local)];
    let slices = [
        slice("empty", "empty-1", &[("", "TCP", 8080)], &["10.1.1.2 unready", "10.1.1.3 gone"]),
        slice("elsewhere", "elsewhere-1", &[("", "TCP", 8080)], &["10.1.2.3"]),
    ];
    check(
        &services,
        &slices,
        expect![[r#"
          missing-addresses 10.96.0.11 . tcp . 80 : drop
          missing-addresses 10.96.0.10 . tcp . 80 : goto reject
    "#]],
    );
}

#[test]
fn the_internal_policy_keeps_traffic_here() {
    let mut spec = web("10.96.0.11");
    spec["internalTrafficPolicy"] = json!("Local");
    let slices = [slice("web", "web-1", &[("", "TCP", 8080)], &["10.1.1.2@n1", "10.1.2.3"])];
    check(
        &[service("web", spec)],
        &slices,
        expect![[r#"
          hairpins 10.1.1.2 . 10.1.1.2
          service-addresses 10.96.0.11 . tcp . 80 : goto local/default/web/tcp/80
          chain local/default/web/tcp/80
            ip daddr 10.96.0.11 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat to 10.1.1.2:8080
    "#]],
    );
}

#[test]
fn the_last_that_still_answer_are_used_while_they_go() {
    let services = [service("web", web("10.96.0.10")), service("mixed", web("10.96.0.11"))];
    let slices = [
        slice("web", "web-1", &[("", "TCP", 8080)], &["10.1.1.2 draining", "10.1.1.3 gone"]),
        slice("mixed", "mixed-1", &[("", "TCP", 8080)], &["10.1.1.4", "10.1.1.5 draining"]),
    ];
    check(
        &services,
        &slices,
        expect![[r#"
          service-addresses 10.96.0.11 . tcp . 80 : goto service/default/mixed/tcp/80
          service-addresses 10.96.0.10 . tcp . 80 : goto service/default/web/tcp/80
          chain service/default/mixed/tcp/80
            ip daddr 10.96.0.11 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat to 10.1.1.4:8080
          chain service/default/web/tcp/80
            ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat to 10.1.1.2:8080
    "#]],
    );
}

#[test]
fn what_has_no_address_of_ours_has_no_rules() {
    let mut other = service("other", web("10.96.0.13"));
    other.metadata.labels = Some([("service.kubernetes.io/service-proxy-name".into(), "x".into())].into());
    let services = [
        service("headless", web("None")),
        service("alias", json!({ "type": "ExternalName", "externalName": "example.com" })),
        service("v6", web("fd00::1")),
        other,
    ];
    let names = ["headless", "alias", "v6", "other"];
    let slices = names.map(|name| slice(name, name, &[("", "TCP", 80)], &["10.1.1.2"]));
    check(&services, &slices, expect![[r#""#]]);
}

#[test]
fn an_address_that_two_claim_is_the_first_ones() {
    let spec = |address: &str| {
        let mut spec = web(address);
        spec["externalIPs"] = json!(["192.0.2.1"]);
        spec
    };
    let services = [service("b", spec("10.96.0.10")), service("a", spec("10.96.0.11"))];
    let slices = ["a", "b"].map(|name| slice(name, name, &[("", "TCP", 80)], &["10.1.1.2"]));
    check(
        &services,
        &slices,
        expect![[r#"
          service-addresses 10.96.0.11 . tcp . 80 : goto service/default/a/tcp/80
          service-addresses 192.0.2.1 . tcp . 80 : goto external/default/a/tcp/80
          service-addresses 10.96.0.10 . tcp . 80 : goto service/default/b/tcp/80
          chain external/default/a/tcp/80
            meta mark set meta mark | 0x4000
            goto service/default/a/tcp/80
          chain service/default/a/tcp/80
            ip daddr 10.96.0.11 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat to 10.1.1.2:80
          chain external/default/b/tcp/80
            meta mark set meta mark | 0x4000
            goto service/default/b/tcp/80
          chain service/default/b/tcp/80
            ip daddr 10.96.0.10 ip saddr != 10.1.0.0/16 meta mark set meta mark | 0x4000
            meta l4proto tcp dnat to 10.1.1.2:80
    "#]],
    );
}

//! Questions and their answers as text.

use expect_test::{Expect, expect};

use super::{query, records, service, text, zone};
use crate::answer::Reply;

fn check(questions: &[&str], expected: Expect) {
    let (zone, records) = (zone(), records());
    let mut out = String::new();
    for question in questions {
        out += &format!("{question}\n");
        match zone.answer(&records, &query(question)) {
            Reply::Forward => out += "  is asked elsewhere\n",
            Reply::Answer(answer) => {
                out += &format!("  {:?}\n", answer.code);
                let sections = [
                    ("", answer.answers),
                    ("authority ", answer.authorities),
                    ("additional ", answer.additionals),
                ];
                for (section, records) in sections {
                    records.iter().for_each(|record| out += &format!("  {section}{}\n", text(record)));
                }
                if let Some(target) = answer.chase {
                    out += &format!("  and what others say of {target}\n");
                }
            }
        }
    }
    expected.assert_eq(&out);
}

#[test]
fn a_service_with_an_address() {
    check(
        &[
            "kubernetes.default.svc.cluster.local A",
            "KUBERNETES.default.SVC.cluster.local A",
            "kubernetes.default.svc.cluster.local AAAA",
            "_https._tcp.kubernetes.default.svc.cluster.local SRV",
            "_https._tcp.kubernetes.default.svc.cluster.local A",
            "_tcp.kubernetes.default.svc.cluster.local SRV",
        ],
        expect![[r#"
            kubernetes.default.svc.cluster.local A
              NoError
              kubernetes.default.svc.cluster.local. 5 A 10.96.0.1
            KUBERNETES.default.SVC.cluster.local A
              NoError
              KUBERNETES.default.SVC.cluster.local. 5 A 10.96.0.1
            kubernetes.default.svc.cluster.local AAAA
              NoError
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            _https._tcp.kubernetes.default.svc.cluster.local SRV
              NoError
              _https._tcp.kubernetes.default.svc.cluster.local. 5 SRV 0 100 443 kubernetes.default.svc.cluster.local.
              additional kubernetes.default.svc.cluster.local. 5 A 10.96.0.1
            _https._tcp.kubernetes.default.svc.cluster.local A
              NoError
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            _tcp.kubernetes.default.svc.cluster.local SRV
              NoError
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
        "#]],
    );
}

#[test]
fn a_headless_service_is_its_endpoints() {
    check(
        &[
            "stateful.default.svc.cluster.local A",
            "stateful-0.stateful.default.svc.cluster.local A",
            "10-1-2-3.stateful.default.svc.cluster.local A",
            "stateful-2.stateful.default.svc.cluster.local A",
            "eager.default.svc.cluster.local A",
            "stateful-2.eager.default.svc.cluster.local A",
            "_peer._tcp.stateful.default.svc.cluster.local SRV",
            "empty.default.svc.cluster.local A",
        ],
        expect![[r#"
            stateful.default.svc.cluster.local A
              NoError
              stateful.default.svc.cluster.local. 5 A 10.1.1.2
              stateful.default.svc.cluster.local. 5 A 10.1.2.3
            stateful-0.stateful.default.svc.cluster.local A
              NoError
              stateful-0.stateful.default.svc.cluster.local. 5 A 10.1.1.2
            10-1-2-3.stateful.default.svc.cluster.local A
              NoError
              10-1-2-3.stateful.default.svc.cluster.local. 5 A 10.1.2.3
            stateful-2.stateful.default.svc.cluster.local A
              NXDomain
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            eager.default.svc.cluster.local A
              NoError
              eager.default.svc.cluster.local. 5 A 10.1.1.2
              eager.default.svc.cluster.local. 5 A 10.1.2.3
              eager.default.svc.cluster.local. 5 A 10.1.3.4
            stateful-2.eager.default.svc.cluster.local A
              NoError
              stateful-2.eager.default.svc.cluster.local. 5 A 10.1.3.4
            _peer._tcp.stateful.default.svc.cluster.local SRV
              NoError
              _peer._tcp.stateful.default.svc.cluster.local. 5 SRV 0 50 7000 stateful-0.stateful.default.svc.cluster.local.
              _peer._tcp.stateful.default.svc.cluster.local. 5 SRV 0 50 7000 10-1-2-3.stateful.default.svc.cluster.local.
              additional stateful-0.stateful.default.svc.cluster.local. 5 A 10.1.1.2
              additional 10-1-2-3.stateful.default.svc.cluster.local. 5 A 10.1.2.3
            empty.default.svc.cluster.local A
              NoError
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
        "#]],
    );
}

#[test]
fn an_alias_is_followed() {
    check(
        &[
            "outside.default.svc.cluster.local A",
            "outside.default.svc.cluster.local CNAME",
            "inside.default.svc.cluster.local A",
            "further.default.svc.cluster.local A",
            "away.default.svc.cluster.local A",
            "loop.default.svc.cluster.local A",
        ],
        expect![[r#"
            outside.default.svc.cluster.local A
              NoError
              outside.default.svc.cluster.local. 5 CNAME example.com.
              and what others say of example.com.
            outside.default.svc.cluster.local CNAME
              NoError
              outside.default.svc.cluster.local. 5 CNAME example.com.
            inside.default.svc.cluster.local A
              NoError
              inside.default.svc.cluster.local. 5 CNAME kubernetes.default.svc.cluster.local.
              kubernetes.default.svc.cluster.local. 5 A 10.96.0.1
            further.default.svc.cluster.local A
              NoError
              further.default.svc.cluster.local. 5 CNAME inside.default.svc.cluster.local.
              inside.default.svc.cluster.local. 5 CNAME kubernetes.default.svc.cluster.local.
              kubernetes.default.svc.cluster.local. 5 A 10.96.0.1
            away.default.svc.cluster.local A
              NoError
              away.default.svc.cluster.local. 5 CNAME outside.default.svc.cluster.local.
              outside.default.svc.cluster.local. 5 CNAME example.com.
              and what others say of example.com.
            loop.default.svc.cluster.local A
              ServFail
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
        "#]],
    );
}

#[test]
fn addresses_have_names() {
    check(
        &[
            "1.0.96.10.in-addr.arpa PTR",
            "2.1.1.10.in-addr.arpa PTR",
            "4.3.1.10.in-addr.arpa PTR",
            "1.9.168.192.in-addr.arpa PTR",
            "1.0.96.10.in-addr.arpa A",
        ],
        expect![[r#"
            1.0.96.10.in-addr.arpa PTR
              NoError
              1.0.96.10.in-addr.arpa. 5 PTR kubernetes.default.svc.cluster.local.
            2.1.1.10.in-addr.arpa PTR
              NoError
              2.1.1.10.in-addr.arpa. 5 PTR stateful-0.eager.default.svc.cluster.local.
              2.1.1.10.in-addr.arpa. 5 PTR stateful-0.stateful.default.svc.cluster.local.
            4.3.1.10.in-addr.arpa PTR
              NoError
              4.3.1.10.in-addr.arpa. 5 PTR stateful-2.eager.default.svc.cluster.local.
            1.9.168.192.in-addr.arpa PTR
              is asked elsewhere
            1.0.96.10.in-addr.arpa A
              NoError
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
        "#]],
    );
}

#[test]
fn pods_have_names_by_their_address() {
    check(
        &[
            "10-1-1-2.default.pod.cluster.local A",
            "web.default.pod.cluster.local A",
            "10-1-1-2.default.pod.cluster.local AAAA",
        ],
        expect![[r#"
            10-1-1-2.default.pod.cluster.local A
              NoError
              10-1-1-2.default.pod.cluster.local. 5 A 10.1.1.2
            web.default.pod.cluster.local A
              NXDomain
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            10-1-1-2.default.pod.cluster.local AAAA
              NoError
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
        "#]],
    );
}

#[test]
fn there_is_no_such_name_or_there_is_nothing_of_this_type() {
    check(
        &[
            "nothing.default.svc.cluster.local A",
            "pending.default.svc.cluster.local A",
            "_http._tcp.kubernetes.default.svc.cluster.local SRV",
            "_https._udp.kubernetes.default.svc.cluster.local SRV",
            "x.outside.default.svc.cluster.local A",
            "default.svc.cluster.local A",
            "nowhere.svc.cluster.local A",
            "svc.cluster.local A",
            "cluster.local A",
            "cluster.local SOA",
            "dns-version.cluster.local TXT",
            "example.com.default.svc.cluster.local A",
        ],
        expect![[r#"
            nothing.default.svc.cluster.local A
              NXDomain
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            pending.default.svc.cluster.local A
              NXDomain
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            _http._tcp.kubernetes.default.svc.cluster.local SRV
              NXDomain
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            _https._udp.kubernetes.default.svc.cluster.local SRV
              NXDomain
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            x.outside.default.svc.cluster.local A
              NXDomain
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            default.svc.cluster.local A
              NoError
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            nowhere.svc.cluster.local A
              NXDomain
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            svc.cluster.local A
              NoError
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            cluster.local A
              NoError
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            cluster.local SOA
              NoError
              cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
            dns-version.cluster.local TXT
              NoError
              dns-version.cluster.local. 5 TXT 1.1.0
            example.com.default.svc.cluster.local A
              NXDomain
              authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 12 7200 1800 86400 5
        "#]],
    );
}

#[test]
fn names_of_others_are_asked_elsewhere() {
    check(
        &["example.com A", "notcluster.local A", "1.1.1.1.in-addr.arpa PTR", "local SOA"],
        expect![[r#"
            example.com A
              is asked elsewhere
            notcluster.local A
              is asked elsewhere
            1.1.1.1.in-addr.arpa PTR
              is asked elsewhere
            local SOA
              is asked elsewhere
        "#]],
    );
}

#[test]
fn what_went_has_no_name_and_a_change_of_type_changes_the_answer() {
    let (zone, mut records) = (zone(), records());
    let ask = |records: &_, question| match zone.answer(records, &query(question)) {
        Reply::Answer(answer) => {
            format!("{:?} {}", answer.code, answer.answers.iter().map(text).collect::<Vec<_>>().join("; "))
        }
        Reply::Forward => "elsewhere".into(),
    };
    records.remove_slice("default", "stateful-1");
    assert_eq!(ask(&records, "stateful.default.svc.cluster.local A"), "NoError ");
    assert_eq!(
        ask(&records, "2.1.1.10.in-addr.arpa PTR").matches("eager").count(),
        1,
        "the other still has it"
    );
    records.remove_service("default", "eager");
    records.remove_slice("default", "eager-1");
    assert_eq!(ask(&records, "2.1.1.10.in-addr.arpa PTR"), "elsewhere");
    records.put_service(&service("outside", serde_json::json!({ "clusterIP": "10.96.0.7" })));
    let now = "NoError outside.default.svc.cluster.local. 5 A 10.96.0.7";
    assert_eq!(ask(&records, "outside.default.svc.cluster.local A"), now);
}

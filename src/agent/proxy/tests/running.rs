//! The loop against a fake kernel, on virtual time.

use std::sync::Arc;
use std::time::Duration;

use base::{env, shutdown};

use super::{node, service, slice, web};
use crate::fake::FakePackets;
use crate::proxy::{Handle, Proxy, ProxyEvent};
use crate::rules::{Key, Protocol, Table, Verdict};

const WAIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(10);

fn start(packets: &Arc<FakePackets>) -> (Handle, shutdown::Trigger) {
    let (proxy, handle) = Proxy::new(node(), Arc::clone(packets) as _);
    let (trigger, shutdown) = shutdown::channel();
    env::spawn(proxy.run(shutdown));
    (handle, trigger)
}

async fn tell_web(handle: &Handle) {
    handle.handle(ProxyEvent::Service(Box::new(service("web", web("10.96.0.10"))))).await;
    let slice = slice("web", "web-1", &[("", "TCP", 8080)], &["10.1.1.2"]);
    handle.handle(ProxyEvent::EndpointSlice(Box::new(slice))).await;
}

fn web_verdict(packets: &FakePackets) -> Option<Verdict> {
    let key = Key::Address("10.96.0.10".parse().expect("an address"), Protocol::Tcp, 80);
    let model = packets.model();
    let verdict =
        [Table::ServiceAddresses, Table::MissingAddresses].map(|table| model.verdict(table, &key).cloned());
    verdict.into_iter().flatten().next()
}

fn goto(chain: &str) -> Option<Verdict> {
    Some(Verdict::Goto(chain.into()))
}

const WEB_CHAIN: &str = "service/default/web/tcp/80";

#[test]
fn nothing_happens_before_everything_is_known_and_then_everything_at_once() {
    env::simulate(1, async {
        let packets = Arc::new(FakePackets::default());
        let (handle, _trigger) = start(&packets);
        tell_web(&handle).await;
        env::sleep(WAIT).await;
        assert!(packets.batches().is_empty());
        handle.handle(ProxyEvent::Synced).await;
        assert!(env::wait_until(WAIT, LOOK, || web_verdict(&packets) == goto(WEB_CHAIN)).await);
        assert_eq!(packets.batches().len(), 1);
    });
}

#[test]
fn what_comes_together_is_one_transaction_and_small() {
    env::simulate(1, async {
        let packets = Arc::new(FakePackets::default());
        let (handle, _trigger) = start(&packets);
        handle.handle(ProxyEvent::Synced).await;
        assert!(env::wait_until(WAIT, LOOK, || packets.model().exists()).await);
        tell_web(&handle).await;
        assert!(env::wait_until(WAIT, LOOK, || web_verdict(&packets) == goto(WEB_CHAIN)).await);
        // A chain, its two rules, and an element.
        assert_eq!(packets.batches()[1..], [4]);
        handle
            .handle(ProxyEvent::EndpointSliceDeleted { namespace: "default".into(), name: "web-1".into() })
            .await;
        assert!(env::wait_until(WAIT, LOOK, || web_verdict(&packets) == goto("reject")).await);
        handle.handle(ProxyEvent::ServiceDeleted { namespace: "default".into(), name: "web".into() }).await;
        assert!(env::wait_until(WAIT, LOOK, || web_verdict(&packets).is_none()).await);
    });
}

#[test]
fn after_a_failure_the_whole_is_tried_again() {
    env::simulate(1, async {
        let packets = Arc::new(FakePackets::default());
        let (handle, _trigger) = start(&packets);
        handle.handle(ProxyEvent::Synced).await;
        assert!(env::wait_until(WAIT, LOOK, || packets.model().exists()).await);
        let whole = packets.batches()[0];
        packets.fail(3);
        tell_web(&handle).await;
        assert!(env::wait_until(WAIT, LOOK, || web_verdict(&packets) == goto(WEB_CHAIN)).await);
        assert!(packets.batches()[1] > whole, "a replacement: {:?}", packets.batches());
    });
}

#[test]
fn flows_are_asked_for_only_where_datagrams_lost_an_endpoint() {
    env::simulate(1, async {
        let packets = Arc::new(FakePackets::default());
        let (handle, _trigger) = start(&packets);
        let mut spec = web("10.96.0.10");
        spec["ports"][0]["protocol"] = serde_json::json!("UDP");
        handle.handle(ProxyEvent::Service(Box::new(service("dns", spec)))).await;
        let with = |endpoints: &[&str]| {
            ProxyEvent::EndpointSlice(Box::new(slice("dns", "dns-1", &[("", "UDP", 53)], endpoints)))
        };
        handle.handle(with(&["10.1.1.2"])).await;
        handle.handle(ProxyEvent::Synced).await;
        assert!(env::wait_until(WAIT, LOOK, || packets.forgotten().len() == 1).await, "at the start");
        handle.handle(with(&["10.1.1.2", "10.1.1.3"])).await;
        assert!(env::wait_until(WAIT, LOOK, || packets.batches().len() == 2).await);
        handle.handle(with(&["10.1.1.3"])).await;
        assert!(env::wait_until(WAIT, LOOK, || packets.batches().len() == 3).await);
        assert!(env::wait_until(WAIT, LOOK, || packets.forgotten().len() == 2).await, "only when one went");
    });
}

#[test]
fn rules_that_somebody_removed_come_back() {
    env::simulate(1, async {
        let packets = Arc::new(FakePackets::default());
        let (handle, _trigger) = start(&packets);
        tell_web(&handle).await;
        handle.handle(ProxyEvent::Synced).await;
        assert!(env::wait_until(WAIT, LOOK, || web_verdict(&packets) == goto(WEB_CHAIN)).await);
        env::sleep(WAIT).await;
        assert_eq!(packets.batches().len(), 1, "what is there is left alone");
        packets.empty();
        assert!(env::wait_until(WAIT, LOOK, || web_verdict(&packets) == goto(WEB_CHAIN)).await);
        assert_eq!(packets.batches(), [packets.batches()[0]; 2]);
    });
}

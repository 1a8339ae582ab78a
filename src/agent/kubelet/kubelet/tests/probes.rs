//! Probes beyond those of a plain life.

use expect_test::expect;
use serde_json::json;

use super::{check, lines, seconds};
use crate::reach::Health;
use crate::testing::{World, pod, status_line};

#[test]
fn a_grpc_probe_says_what_is_wrong_in_the_words_of_kubernetes() {
    let life = async |world: &World| {
        let node = world.start();
        let place = "10.0.0.1:5000/web";
        let probe =
            json!({"grpc": {"port": 5000, "service": "web"}, "periodSeconds": 2, "timeoutSeconds": 1});
        let pod = pod(json!({"containers": [{"name": "main", "image": "app:1", "readinessProbe": probe}]}));
        node.handle.desired(pod).await.expect("a pod");
        seconds(3).await;
        let refused = |code| Health::Refused { code, message: "unknown service".to_owned() };
        for said in [Health::TimedOut, refused(12), refused(5), Health::Answered(2), Health::Answered(9)] {
            world.reach.say(place, said);
            seconds(3).await;
        }
        world.reach.say(place, Health::Answered(1));
        world.until("ready", "u1", |status| status_line(status).contains("main running ready")).await;
        let mut events = world.control.events();
        events.dedup();
        lines(&events.split_off(3))
    };
    check(
        1,
        life,
        &expect![[r#"
        Unhealthy: Readiness probe failed: timeout: failed to connect service "10.0.0.1:5000" within 1s: context deadline exceeded
        Unhealthy: Readiness probe failed: timeout: health rpc did not complete within 1s
        Unhealthy: Readiness probe failed: error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service
        Unhealthy: Readiness probe failed: error: health rpc probe failed: rpc error: code = NotFound desc = unknown service
        Unhealthy: Readiness probe failed: service unhealthy (responded with "NOT_SERVING")
        Unhealthy: Readiness probe failed: service unhealthy (responded with "9")
    "#]],
    );
}

//! Addresses and node ports of Services.

use base::env;
use serde_json::{Value, json};

use super::table::settle;
use super::{Answer, Api};
use crate::Backend;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";

fn service(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    if spec.get("ports").is_none() {
        spec["ports"] = json!([{"port": 80}]);
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

async fn create(api: &Api, name: &str, spec: Value) -> Answer {
    let created = api.post(SERVICES, service(name, spec)).await;
    assert_eq!(created.code, 201, "{created:?}");
    created
}

fn address(answer: &Answer) -> String {
    answer.body["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned()
}

/// The node ports that are taken.
fn taken_ports(api: &Api) -> Vec<String> {
    let moment = api.memory.moment();
    moment.state.range("~nodeports/").map(|found| found.key.name().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_address_lives_as_long_as_its_service() {
    let api = Api::whole();
    let created = create(&api, "a", json!({})).await;
    let given = address(&created);
    assert!(given.starts_with("10.96."), "{created:?}");
    assert_eq!(created.body["spec"]["clusterIPs"], json!([given]));
    assert_eq!(created.body["spec"]["ipFamilies"], json!(["IPv4"]));
    let held = api.get(&format!("{ADDRESSES}/{given}")).await;
    assert_eq!(
        held.body["spec"]["parentRef"],
        json!({"resource": "services", "namespace": "default", "name": "a"})
    );
    assert_eq!(
        api.delete(&format!("{ADDRESSES}/{given}")).await.failure(),
        (
            403,
            &*format!(
                "ipaddresses.networking.k8s.io \"{given}\" is forbidden: it is the address of the Service default/a: delete that instead"
            )
        )
    );
    // An update that does not name it keeps it.
    let updated = api.put(&format!("{SERVICES}/a"), service("a", json!({"ports": [{"port": 81}]}))).await;
    assert_eq!((updated.code, address(&updated)), (200, given.clone()), "{updated:?}");
    assert_eq!(api.delete(&format!("{SERVICES}/a")).await.code, 200);
    assert_eq!(api.get(ADDRESSES).await.names(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_address_is_given_once() {
    let api = Api::whole();
    create(&api, "a", json!({"clusterIP": "10.96.0.10"})).await;
    let refused = api.post(SERVICES, service("b", json!({"clusterIP": "10.96.0.10"}))).await;
    assert_eq!(
        refused.failure(),
        (
            422,
            r#"Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated"#
        )
    );
    let refused = api.post(SERVICES, service("b", json!({"clusterIP": "10.97.0.10"}))).await;
    assert_eq!(
        refused.failure(),
        (
            422,
            r#"Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.97.0.10"]: failed to allocate IP 10.97.0.10: the provided network does not match the current range"#
        )
    );
    let refused = api.post(SERVICES, service("b", json!({"ipFamilyPolicy": "RequireDualStack"}))).await;
    assert_eq!(
        refused.failure(),
        (
            422,
            r#"Service "b" is invalid: spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#
        )
    );
    assert_eq!(api.get(ADDRESSES).await.names(), ["10.96.0.10"]);
    let headless = create(&api, "h", json!({"clusterIP": "None", "selector": {"a": "b"}})).await;
    assert_eq!(headless.body["spec"]["clusterIPs"], json!(["None"]));
    create(&api, "e", json!({"type": "ExternalName", "externalName": "example.com"})).await;
    assert_eq!(api.get(ADDRESSES).await.names().len(), 1);
    let dry =
        api.ask("POST", &format!("{SERVICES}?dryRun=All"), &[], service("d", json!({})).to_string()).await;
    assert_eq!((dry.code, address(&dry).is_empty()), (201, false));
    assert_eq!(api.get(ADDRESSES).await.names().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn node_ports_come_and_go_with_the_type() {
    let api = Api::whole();
    let ports =
        json!([{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]);
    let created = create(&api, "a", json!({"type": "NodePort", "ports": ports})).await;
    let node_port = |answer: &Answer, at: usize| answer.body["spec"]["ports"][at]["nodePort"].clone();
    assert_eq!(node_port(&created, 0), node_port(&created, 1), "one number for both protocols");
    assert_eq!(taken_ports(&api), [node_port(&created, 0).to_string()]);

    let fixed = |name: &str, port: u32| {
        service(name, json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}))
    };
    assert_eq!(api.post(SERVICES, fixed("b", 30080)).await.code, 201);
    let refused = api.post(SERVICES, fixed("c", 30080)).await;
    assert_eq!(
        refused.failure(),
        (
            422,
            r#"Service "c" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"#
        )
    );
    let refused = api.post(SERVICES, fixed("c", 80)).await;
    assert_eq!(
        refused.failure(),
        (
            422,
            r#"Service "c" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"#
        )
    );
    // A patch that says nothing of node ports keeps them; one to another type lets them go.
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = json!({"spec": {"ports": [{"port": 8080}]}}).to_string();
    let patched = api.ask("PATCH", &format!("{SERVICES}/b"), &merge, patch).await;
    assert_eq!(node_port(&patched, 0), 30080, "{patched:?}");
    let patch = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 8080, "nodePort": 0}]}}).to_string();
    assert_eq!(api.ask("PATCH", &format!("{SERVICES}/b"), &merge, patch).await.code, 200);
    assert_eq!(taken_ports(&api).len(), 1);
    api.delete(&format!("{SERVICES}/a")).await;
    assert_eq!(taken_ports(&api), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_service_becomes_external_and_comes_back() {
    let api = Api::whole();
    create(&api, "a", json!({})).await;
    let merge = [("content-type", "application/merge-patch+json")];
    let path = format!("{SERVICES}/a");
    let patch = json!({"spec": {"type": "ExternalName", "externalName": "example.com", "clusterIP": "", "clusterIPs": null}});
    assert_eq!(api.ask("PATCH", &path, &merge, patch.to_string()).await.code, 200);
    assert_eq!(api.get(ADDRESSES).await.names(), Vec::<String>::new());
    let patch = json!({"spec": {"type": "ClusterIP", "externalName": null}});
    let back = api.ask("PATCH", &path, &merge, patch.to_string()).await;
    assert_eq!(api.get(ADDRESSES).await.names(), [address(&back)]);
}

#[test]
fn a_namespace_that_goes_frees_what_its_services_held() {
    env::simulate(1, async {
        let api = Api::whole();
        assert_eq!(api.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await.code, 201);
        let spec = json!({"type": "NodePort"});
        assert_eq!(api.post("/api/v1/namespaces/n/services", service("a", spec)).await.code, 201);
        let held = api.get(ADDRESSES).await.names();
        assert_eq!((held.len(), taken_ports(&api).len()), (1, 1));
        api.delete("/api/v1/namespaces/n").await;
        settle(&api.memory, &[]).await;
        assert_eq!(api.get("/api/v1/namespaces/n").await.code, 404);
        let left = api.get(ADDRESSES).await.names();
        assert!(!left.contains(&held[0]) && taken_ports(&api).is_empty(), "{left:?}");
    });
}

#[tokio::test(start_paused = true)]
async fn a_range_goes_when_nobody_uses_it() {
    let api = Api::whole();
    let range = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/28"]}});
    let created = api.post(CIDRS, range).await;
    assert_eq!((created.code, &created.body["status"]["conditions"][0]["status"]), (201, &json!("True")));
    create(&api, "a", json!({"clusterIP": "10.200.0.5"})).await;
    let marked = api.delete(&format!("{CIDRS}/more")).await;
    assert!(marked.body["metadata"]["deletionTimestamp"].is_string(), "{marked:?}");
    let refused = api.post(SERVICES, service("b", json!({"clusterIP": "10.200.0.6"}))).await;
    assert_eq!(refused.code, 422, "nothing is taken from a range that goes");
    api.delete(&format!("{SERVICES}/a")).await;
    assert_eq!(api.get(&format!("{CIDRS}/more")).await.code, 404);
    api.post(CIDRS, json!({"metadata": {"name": "unused"}, "spec": {"cidrs": ["10.201.0.0/28"]}})).await;
    api.delete(&format!("{CIDRS}/unused")).await;
    assert_eq!(api.get(&format!("{CIDRS}/unused")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_range_that_is_full_says_so() {
    let api = Api::whole();
    let range = json!({"metadata": {"name": "small"}, "spec": {"cidrs": ["10.200.0.0/30"]}});
    assert_eq!(api.post(CIDRS, range).await.code, 201);
    assert_eq!(api.delete(&format!("{CIDRS}/kubernetes")).await.code, 200);
    for name in ["a", "b"] {
        create(&api, name, json!({})).await;
    }
    assert_eq!(
        api.post(SERVICES, service("c", json!({}))).await.failure(),
        (500, r#"Internal error occurred: failed to allocate a serviceIP for Service "c": range is full"#)
    );
}

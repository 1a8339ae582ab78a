//! Requests for certificates: who may make them, which are approved by themselves, and what is signed.

use std::sync::Arc;
use std::time::Duration;

use base::env;
use base::shutdown;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use super::{Answer, Api};
use crate::backend::Backend;
use crate::bootstrap::agent_token;
use crate::certificates::{self, Decision, Order, Signer, Usage, plan};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const TOKEN: &str = "abc123.0123456789abcdef";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";
const FOR_CLIENTS: &[&str] = &["digital signature", "client auth"];
const FOR_SERVERS: &[&str] = &["digital signature", "server auth"];

/// Signs nothing, and says so.
struct Fake;

impl Signer for Fake {
    fn sign(&self, order: &Order, _: u64) -> Result<String, String> {
        match order.usages.contains(&Usage::KeyEncipherment) {
            true => Err("no key encipherment here".to_owned()),
            false => {
                let for_long = order.lifetime.map_or(String::new(), |lifetime| format!(", for {lifetime:?}"));
                Ok(format!("signed for {:?}{for_long}", order.usages))
            }
        }
    }
}

/// A request of this name.
fn request(name: &str, signer: &str, subject: (&str, &str), names: &[&str], usages: &[&str]) -> Value {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, subject.0);
    params.distinguished_name.push(DnType::CommonName, subject.1);
    let request = params.serialize_request(&KeyPair::generate().expect("a key")).expect("a request");
    let pem = STANDARD.encode(request.pem().expect("PEM"));
    json!({"metadata": {"name": name}, "spec": {"request": pem, "signerName": signer, "usages": usages}})
}

/// Of a node's agent.
fn of_agent(name: &str, node: &str) -> Value {
    request(name, KUBELET_CLIENT, ("system:nodes", &format!("system:node:{node}")), &[], FOR_CLIENTS)
}

async fn cluster() -> Api {
    let api = Api::founded();
    api.memory.apply(agent_token("abc123", "0123456789abcdef", env::wall_ms() + 3_600_000));
    api
}

/// One sweep of the leader.
async fn sweep(api: &Api) {
    let (trigger, shutdown) = shutdown::channel();
    let running = env::spawn(certificates::run(Arc::new(api.memory.clone()), Arc::new(Fake), shutdown));
    env::sleep(Duration::from_millis(1)).await;
    trigger.fire();
    running.await.expect("the loop does not panic");
}

/// The conditions of a request, and its certificate.
async fn outcome(api: &Api, name: &str) -> String {
    let found = api.get(&format!("{REQUESTS}/{name}")).await.body;
    let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let told = |one: &Value| {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        assert!(!text("lastUpdateTime").is_empty() && text("status") == "True", "{one}");
        format!("{} {}: {}\n", text("type"), text("reason"), text("message"))
    };
    let certificate = found["status"]["certificate"].as_str().unwrap_or_default();
    let certificate = String::from_utf8(STANDARD.decode(certificate).expect("base64")).expect("text");
    conditions.iter().map(told).collect::<String>() + &certificate
}

fn refused(answer: &Answer) -> &str {
    assert_eq!(answer.code, 403, "{answer:?}");
    answer.body["message"].as_str().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_joins_gets_its_certificate_and_renews_it() {
    let api = cluster().await;
    let made = api.ask_with(TOKEN, "POST", REQUESTS, of_agent("first", "n1")).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(made.body["spec"]["username"], "system:bootstrap:abc123");
    sweep(&api).await;
    expect![[r#"
        Approved AutoApproved: Auto approving kubelet client certificate after SubjectAccessReview.
        signed for [DigitalSignature, ClientAuth]"#]]
    .assert_eq(&outcome(&api, "first").await);
    let own = api.ask_with(TOKEN, "GET", &format!("{REQUESTS}/first"), Value::Null).await;
    assert!(own.body["status"]["certificate"].is_string(), "{own:?}");

    let made = api.ask_as_node("n1", "POST", REQUESTS, of_agent("second", "n1")).await;
    assert_eq!(made.code, 201, "{made:?}");
    sweep(&api).await;
    expect![[r#"
        Approved AutoApproved: Auto approving self kubelet client certificate after SubjectAccessReview.
        signed for [DigitalSignature, ClientAuth]"#]]
    .assert_eq(&outcome(&api, "second").await);
    // What is done is done once.
    let before = api.get(&format!("{REQUESTS}/second")).await.body;
    sweep(&api).await;
    assert_eq!(api.get(&format!("{REQUESTS}/second")).await.body, before);
}

#[tokio::test(start_paused = true)]
async fn what_a_change_tells_of_is_waited_for() {
    let api = cluster().await;
    let (trigger, shutdown) = shutdown::channel();
    let running = env::spawn(certificates::run(Arc::new(api.memory.clone()), Arc::new(Fake), shutdown));
    env::sleep(Duration::from_millis(1)).await;

    // A replica tells of a change before it shows it.
    let before = api.memory.moment();
    let made = api.ask_with(TOKEN, "POST", REQUESTS, of_agent("first", "n1")).await;
    api.memory.lag(before);
    assert_eq!(made.code, 201, "{made:?}");
    env::sleep(Duration::from_millis(1)).await;
    assert!(outcome(&api, "first").await.contains("signed for"), "left to the next sweep");
    trigger.fire();
    running.await.expect("the loop does not panic");
}

#[tokio::test(start_paused = true)]
async fn who_may_ask_for_what_and_read_it() {
    let api = cluster().await;
    assert_eq!(api.ask_with(TOKEN, "POST", REQUESTS, of_agent("own", "n1")).await.code, 201);
    assert_eq!(api.post(REQUESTS, of_agent("others", "n1")).await.code, 201);
    let by_name = |name: &str| format!("{REQUESTS}?fieldSelector=metadata.name%3D{name}");
    let readable = api.ask_with(TOKEN, "GET", &by_name("own"), Value::Null).await;
    assert_eq!((readable.code, readable.names()), (200, vec!["own".to_owned()]));
    for path in [&format!("{REQUESTS}/others"), &by_name("others"), REQUESTS, "/api/v1/nodes"] {
        assert_eq!(api.ask_with(TOKEN, "GET", path, Value::Null).await.code, 403, "{path}");
    }
    assert_eq!(
        api.ask_with(TOKEN, "PUT", &format!("{REQUESTS}/own/approval"), of_agent("own", "n1")).await.code,
        403
    );
    let of_node = ("system:nodes", "system:node:n1");
    let serving = request("x", SERVING, of_node, &["n1"], FOR_SERVERS);
    let master = request("x", CLIENT, ("system:masters", "root"), &[], FOR_CLIENTS);
    let told = [
        refused(&api.ask_with(TOKEN, "POST", REQUESTS, serving).await).to_owned(),
        refused(&api.ask_as_node("n1", "POST", REQUESTS, of_agent("x", "n2")).await).to_owned(),
        refused(&api.ask_as_node("n1", "POST", REQUESTS, master.clone()).await).to_owned(),
        refused(&api.post(REQUESTS, master).await).to_owned(),
    ];
    expect![[r#"
        certificatesigningrequests.certificates.k8s.io "x" is forbidden: a bootstrap token can only ask signer "kubernetes.io/kube-apiserver-client-kubelet"
        certificatesigningrequests.certificates.k8s.io "x" is forbidden: can only create a node CSR with CN=system:node:n1
        certificatesigningrequests.certificates.k8s.io "x" is forbidden: a node can only ask signers "kubernetes.io/kube-apiserver-client-kubelet" and "kubernetes.io/kubelet-serving"
        certificatesigningrequests.certificates.k8s.io "x" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"#]].assert_eq(&told.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_node_serves_under_its_own_addresses_only() {
    let api = cluster().await;
    api.post("/api/v1/nodes", json!({"metadata": {"name": "n1"}})).await;
    let of_node = ("system:nodes", "system:node:n1");
    for (name, names) in
        [("own", &["n1", "10.0.0.7"][..]), ("others", &["n1", "10.0.0.8"]), ("host", &["example.org"])]
    {
        let made = api
            .ask_as_node("n1", "POST", REQUESTS, request(name, SERVING, of_node, names, FOR_SERVERS))
            .await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    sweep(&api).await;
    assert_eq!(outcome(&api, "own").await, "", "its addresses are not known yet");
    let addresses = json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}]}});
    assert_eq!(api.ask_as_node("n1", "PATCH", "/api/v1/nodes/n1/status", addresses).await.code, 200);
    sweep(&api).await;
    expect![[r#"
        Approved AutoApproved: Auto approving kubelet serving certificate for the node's own addresses.
        signed for [DigitalSignature, ServerAuth]"#]]
    .assert_eq(&outcome(&api, "own").await);
    assert_eq!((outcome(&api, "others").await, outcome(&api, "host").await), (String::new(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_by_others_waits_for_a_person() {
    let api = cluster().await;
    let approve = async |name: &str, kind: &str| {
        let path = format!("{REQUESTS}/{name}/approval");
        let mut found = api.get(&format!("{REQUESTS}/{name}")).await.body;
        found["status"]["conditions"] =
            json!([{"type": kind, "status": "True", "reason": "KubectlApprove", "message": "m"}]);
        let answer = api.put(&path, found).await;
        assert_eq!(answer.code, 200, "{answer:?}");
    };
    let ann = ("staff", "ann");
    let encipher = &["digital signature", "key encipherment", "client auth"][..];
    let cases = [
        ("good", request("good", CLIENT, ann, &[], FOR_CLIENTS)),
        ("denied", request("denied", CLIENT, ann, &[], FOR_CLIENTS)),
        ("serves", request("serves", CLIENT, ann, &[], FOR_SERVERS)),
        ("peer", request("peer", CLIENT, (raft::transport::tls::PEER_ORGANIZATION, "x"), &[], FOR_CLIENTS)),
        ("odd-node", request("odd-node", KUBELET_CLIENT, ann, &[], FOR_CLIENTS)),
        (
            "named-node",
            request("named-node", KUBELET_CLIENT, ("system:nodes", "system:node:n"), &["h"], FOR_CLIENTS),
        ),
        ("unsigned", request("unsigned", CLIENT, ann, &[], encipher)),
        ("elsewhere", request("elsewhere", "example.com/signer", ann, &[], FOR_CLIENTS)),
    ];
    let mut told = String::new();
    for (name, body) in cases {
        assert_eq!(api.post(REQUESTS, body).await.code, 201);
        sweep(&api).await;
        assert_eq!(outcome(&api, name).await, "", "{name} is approved by nobody yet");
        approve(name, if name == "denied" { "Denied" } else { "Approved" }).await;
        sweep(&api).await;
        told.push_str(&format!("{name}\n{}\n\n", outcome(&api, name).await));
    }
    expect![[r#"
        good
        Approved KubectlApprove: m
        signed for [DigitalSignature, ClientAuth]

        denied
        Denied KubectlApprove: m


        serves
        Approved KubectlApprove: m
        Failed SignerValidationFailure: invalid usage for client certificate: server auth


        peer
        Approved KubectlApprove: m
        Failed SignerValidationFailure: certificates for organization keelson:masters are not signed on request


        odd-node
        Approved KubectlApprove: m
        Failed SignerValidationFailure: subject organization is not system:nodes


        named-node
        Approved KubectlApprove: m
        Failed SignerValidationFailure: DNS subjectAltNames are not allowed


        unsigned
        Approved KubectlApprove: m
        Failed SignerValidationFailure: no key encipherment here


        elsewhere
        Approved KubectlApprove: m


    "#]].assert_eq(&told);
}

#[tokio::test(start_paused = true)]
async fn how_long_a_certificate_is_to_be_good_is_the_requests_word() {
    let api = cluster().await;
    let mut body = of_agent("short", "n1");
    body["spec"]["expirationSeconds"] = 3600.into();
    assert_eq!(api.ask_with(TOKEN, "POST", REQUESTS, body).await.code, 201);
    let state = || crate::Backend::moment(&api.memory);
    let first = plan(&state().state, "short");
    assert!(matches!(first, Some(Decision::Approve { .. })), "{first:?}");
    sweep(&api).await;
    let outcome = outcome(&api, "short").await;
    assert!(outcome.ends_with("signed for [DigitalSignature, ClientAuth], for 3600s"), "{outcome}");
    assert_eq!((plan(&state().state, "short"), plan(&state().state, "nothing")), (None, None));
}

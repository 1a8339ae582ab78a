//! How agents and pods prove who they are, against real processes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaos::client::{Client, ClientError, Method};
use chaos::process;
use chaos::{Cluster, Need, Options};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use serde_json::{Value, json};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a certificate may take to be signed.
const SIGNED_TIMEOUT: Duration = Duration::from_secs(30);

/// How often that is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// The oldest minor version of kubectl that asks in the way that is served here who it is.
const WHOAMI_SINCE: u64 = 28;

/// How masters are called where they ask agents.
const MASTERS: &str = "kube-apiserver-kubelet-client";

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const NODES: &str = "/api/v1/nodes";

/// A token as `kctl cluster token` prints it, without the hash that pins the cluster.
async fn bearer(cluster: &Cluster) -> Result<String> {
    let text = process::run(cluster.kctl().args(["cluster", "token"]), COMMAND_TIMEOUT).await?;
    let is_token = |word: &&str| word.split('.').map(str::len).eq([64, 6, 16]);
    let token = text.split_whitespace().find(is_token).with_context(|| format!("no token in {text:?}"))?;
    Ok(token.split_once('.').context("a hash")?.1.to_owned())
}

/// What an agent asks for before it has a certificate: the request as an object, and the key, PEM.
fn request(name: &str, node: &str) -> Result<(Value, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    let pem = params.serialize_request(&key)?.pem()?;
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(pem), "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    });
    Ok((object, key.serialize_pem()))
}

/// The certificate that was signed for a request, with its chain, PEM.
async fn signed(reader: &Client, name: &str) -> Result<String> {
    let deadline = env::monotonic() + SIGNED_TIMEOUT;
    loop {
        let found = reader.request(Method::GET, &format!("{REQUESTS}/{name}"), None).await?;
        if let Some(certificate) = found["status"]["certificate"].as_str() {
            return Ok(String::from_utf8(STANDARD.decode(certificate)?)?);
        }
        ensure!(env::monotonic() < deadline, "not signed in {SIGNED_TIMEOUT:?}: {found}");
        env::sleep(GLANCE).await;
    }
}

/// A certificate and its key, PEM, that the authority in a folder signs for a client of this name.
fn signed_by(authority: &Path, name: &str) -> Result<(String, String)> {
    let read = |file: &str| std::fs::read_to_string(authority.join(file)).with_context(|| file.to_owned());
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt")?, KeyPair::from_pem(&read("ca.key")?)?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
}

/// The certificate and key, PEM, of whoever uses the cluster's kubeconfig.
fn administrator(cluster: &Cluster) -> Result<(String, String)> {
    let text = std::fs::read_to_string(cluster.directory().join("kubeconfig"))?;
    let value = |name: &str| -> Result<String> {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(name));
        let data = found.with_context(|| format!("the kubeconfig has no {name}"))?;
        Ok(String::from_utf8(STANDARD.decode(data.trim().trim_matches('"'))?)?)
    };
    Ok((value("client-certificate-data:")?, value("client-key-data:")?))
}

/// Expects a refusal.
fn check_forbidden(what: &str, answer: std::result::Result<Value, ClientError>) -> Result<()> {
    ensure!(answer.as_ref().err().and_then(ClientError::code) == Some(403), "{what}: {answer:?}");
    Ok(())
}

#[test]
fn an_agent_joins_with_a_token_and_goes_on_with_its_certificate() {
    chaos::run(&chaos::programs!(), &[], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        let token = bearer(&cluster).await?;
        let (object, key) = request("join", "worker-1")?;
        let headers = [
            ("authorization".to_owned(), format!("Bearer {token}")),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        let nobody = cluster.client_as(None)?;
        let (code, body) = nobody.exchange_as(Method::POST, REQUESTS, &headers, object.to_string()).await?;
        ensure!(code == 201, "{code} {}", String::from_utf8_lossy(&body));
        let chain = signed(&cluster.any_client()?, "join").await?;
        let own = format!("{REQUESTS}/join");
        let (code, _) = nobody.exchange_as(Method::GET, &own, &headers, String::new()).await?;
        ensure!(code == 200, "the request of its own is not readable: {code}");
        let (code, _) = nobody.exchange_as(Method::GET, NODES, &headers, String::new()).await?;
        ensure!(code == 403, "a token that only joins reads nodes: {code}");

        let agent = cluster.client_as(Some((&chain, &key)))?;
        let node = |name: &str| json!({"metadata": {"name": name}});
        agent.request(Method::POST, NODES, Some(&node("worker-1"))).await?;
        let found = agent.request(Method::GET, &format!("{NODES}/worker-1"), None).await?;
        ensure!(found["metadata"]["name"] == "worker-1", "{found}");
        check_forbidden("another's Node", agent.request(Method::POST, NODES, Some(&node("worker-2"))).await)?;
        check_forbidden("all Secrets", agent.request(Method::GET, "/api/v1/secrets", None).await)?;

        // It renews what it has by itself, whoever leads.
        let (_, followers) = cluster.roles().await?;
        process::run(cluster.kctl().args(["cluster", "transfer", &followers[0]]), COMMAND_TIMEOUT).await?;
        let (object, key) = request("renewal", "worker-1")?;
        agent.request(Method::POST, REQUESTS, Some(&object)).await?;
        let chain = signed(&agent, "renewal").await?;
        let renewed = cluster.client_as(Some((&chain, &key)))?;
        renewed.request(Method::GET, &format!("{NODES}/worker-1"), None).await?;
        cluster.check_whole().await
    });
}

/// What an agent does for masters.
const OF_AGENTS: &[(Method, &str)] = &[
    (Method::GET, "/containerLogs/default/none/main"),
    (Method::POST, "/exec/default/none/main?command=id"),
    (Method::POST, "/attach/default/none/main"),
    (Method::POST, "/portForward/default/none"),
    (Method::GET, "/anything"),
];

#[test]
fn an_agent_does_nothing_for_anybody_but_the_masters() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, Options { masters: 1, nodes: 1, ..Options::default() }).await?;
        let other = Cluster::start(machine, Options { masters: 1, ..Options::default() }).await?;
        let agent = format!("{}:10250", cluster.nodes().address("node-1")?);
        let pki = cluster.data("master-1").join("pki");
        let masters = signed_by(&pki, MASTERS)?;
        // What admits an administrator to the API, and a node to what is its own, is nothing here.
        let refused = [
            ("nobody", None),
            ("an administrator", Some(administrator(&cluster)?)),
            ("another node", Some(signed_by(&pki, "system:node:node-2")?)),
            ("the node itself", Some(signed_by(&pki, "system:node:node-1")?)),
            ("almost a master", Some(signed_by(&pki, &format!("{MASTERS}-2"))?)),
        ];
        let of = |identity: &Option<(String, String)>| -> Result<Client> {
            cluster.client_at(&agent, identity.as_ref().map(|(chain, key)| (chain.as_str(), key.as_str())))
        };
        for (who, identity) in &refused {
            let client = of(identity)?;
            for (method, path) in OF_AGENTS {
                let (code, body) = client.exchange_as(method.clone(), path, &[], String::new()).await?;
                let body = String::from_utf8_lossy(&body);
                ensure!(
                    code == 403 && body == "only the masters may ask this",
                    "{who}: {path}: {code} {body}"
                );
            }
            ensure!(client.text("/healthz").await? == "ok", "{who} may know that it lives");
        }
        let client = of(&Some(masters))?;
        for (method, path) in OF_AGENTS {
            let (code, body) = client.exchange_as(method.clone(), path, &[], String::new()).await?;
            ensure!(code != 403, "the masters: {path}: {code} {}", String::from_utf8_lossy(&body));
        }
        let (code, body) = client.exchange_as(Method::GET, OF_AGENTS[0].1, &[], String::new()).await?;
        ensure!(code == 404, "{code} {}", String::from_utf8_lossy(&body));

        // The right name from another authority does not even get to ask.
        let stranger = signed_by(&other.data("master-1").join("pki"), MASTERS)?;
        let answer = of(&Some(stranger))?.text("/healthz").await;
        ensure!(answer.as_ref().is_err_and(|error| error.code().is_none()), "another cluster's: {answer:?}");
        Ok(())
    });
}

#[test]
fn kubectl_makes_a_token_and_is_known_by_it() {
    chaos::run(&chaos::programs!(), &[Need::Kubectl], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        let kubectl = async |arguments: &[&str]| {
            process::run(cluster.kubectl("kubectl", None)?.args(arguments), COMMAND_TIMEOUT).await
        };
        let version = kubectl(&["version", "--client", "--output=json"]).await?;
        let version: Value = serde_json::from_str(&version)?;
        let minor = version["clientVersion"]["minor"].as_str().context("no minor version")?;
        kubectl(&["create", "serviceaccount", "robot"]).await?;
        let token = kubectl(&["create", "token", "robot"]).await?;
        ensure!(token.trim().split('.').count() == 3, "{token}");
        if minor.trim_end_matches('+').parse::<u64>()? < WHOAMI_SINCE {
            chaos::report_skipped(&format!("kubectl 1.{minor} asks otherwise who it is"));
            return Ok(());
        }
        // What agents and pods trust stands in the cluster itself.
        let path = "jsonpath={.data.client-ca-file}";
        let name = "extension-apiserver-authentication";
        let authority = kubectl(&["get", "configmap", name, "-n", "kube-system", "-o", path]).await?;
        let file = cluster.directory().join("authority.pem");
        std::fs::write(&file, authority)?;
        let server = format!("https://{}", cluster.any_client()?.address());
        let mut whoami = process::Command::new("kubectl");
        whoami.env("KUBECONFIG", "/dev/null").env("HOME", cluster.directory());
        whoami.args(["--server", &server, "--token", token.trim(), "--certificate-authority"]).arg(&file);
        whoami.args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
        let who = process::run(&mut whoami, COMMAND_TIMEOUT).await?;
        ensure!(who == "system:serviceaccount:default:robot", "{who}");
        Ok(())
    });
}

#[test]
fn an_agent_by_hand_joins_with_the_command_that_is_printed() {
    chaos::run(&chaos::programs!(), &[Need::Engines], async |machine| {
        let cluster = Cluster::start(machine, Options { nodes: 1, ..Options::default() }).await?;
        // The engine of node-1 goes on; its agent gives way to another one, which knows the cluster by its token alone.
        process::signal(cluster.pid("node-1")?, process::Signal::KILL)?;
        let text = process::run(cluster.kctl().args(["cluster", "token"]), COMMAND_TIMEOUT).await?;
        let printed = text.lines().find(|line| line.starts_with("keelson agent ")).context("a command")?;
        let arguments: Vec<&str> = printed.split_whitespace().skip(1).collect();
        let directory = cluster.directory().join("by-hand");
        let socket = cluster.nodes().engine_directory("node-1")?.join("docker.sock");
        let mut agent = process::Command::new("ip");
        agent.args(["netns", "exec", &format!("kl-{}-node-1", cluster.nodes().short()?)]);
        agent
            .arg(&machine.programs.keelson)
            .args(arguments)
            .args(["--name", "by-hand", "--dir"])
            .arg(&directory);
        agent.arg("--engine").arg(format!("unix://{}", socket.display()));
        agent.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut agent = agent.kill_on_drop(true).spawn().context("starting an agent")?;
        let client = cluster.any_client()?;
        let deadline = env::monotonic() + SIGNED_TIMEOUT;
        loop {
            let found = client.request(Method::GET, &format!("{NODES}/by-hand"), None).await;
            let conditions =
                found.as_ref().map(|node| node["status"]["conditions"].clone()).unwrap_or_default();
            let mut all = conditions.as_array().into_iter().flatten();
            if all.any(|one| one["type"] == "Ready" && one["status"] == "True") {
                break;
            }
            ensure!(agent.try_wait()?.is_none(), "the agent ended");
            ensure!(env::monotonic() < deadline, "the node is not ready: {found:?}");
            env::sleep(GLANCE).await;
        }
        Ok(())
    });
}

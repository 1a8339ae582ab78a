//! Whom a pod finds by which name, and what the API tells it.

use anyhow::{Result, ensure};
use chaos::Cluster;
use chaos::client::Method;
use serde_json::{Value, json};

use super::{is_ready, said};
use crate::examples::tools::{eventually, kubectl};

/// The addresses that `nslookup` found, in order.
const FOUND: &str = "awk '/^Address: / { print $2 }' | sort";

async fn address(cluster: &Cluster, pod: &str) -> Result<String> {
    kubectl(cluster, &format!("get pod {pod} -o jsonpath={{.status.podIP}}")).await
}

pub async fn check(cluster: &Cluster) -> Result<()> {
    futures::future::try_join_all(["peer-a", "peer-b", "client"].map(|pod| is_ready(cluster, pod))).await?;
    names(cluster).await?;
    written_by_hand(cluster).await?;
    the_api(cluster).await
}

/// Endpoints that somebody wrote for a Service that selects nothing are followed, and so is what they become.
async fn written_by_hand(cluster: &Cluster) -> Result<()> {
    let ask = "wget -qO- http://by-hand 2>&1 | cut -c 1-16";
    let refused = "wget -qO- http://by-hand 2>&1 | grep -c 'Connection refused'";
    let hello = "get pod -l app=hello -o jsonpath={.items[0].status.podIP}";
    let ip = kubectl(cluster, hello).await?;
    let client = cluster.any_client()?;
    let endpoints = "/api/v1/namespaces/default/endpoints";
    let told = |subsets: Value| json!({"metadata": {"name": "by-hand"}, "subsets": subsets});
    let subsets = json!([{"addresses": [{"ip": ip}], "ports": [{"port": 8080}]}]);
    asks(cluster, refused, "1\n").await?;
    client.request(Method::POST, endpoints, Some(&told(subsets))).await?;
    asks(cluster, ask, "hello from hello\n").await?;
    client.request(Method::PUT, &format!("{endpoints}/by-hand"), Some(&told(json!([])))).await?;
    asks(cluster, refused, "1\n").await
}

/// Waits until a script prints what it should: an endpoint may be on its way to the node.
async fn asks(cluster: &Cluster, script: &str, expected: &str) -> Result<()> {
    eventually(script, async || {
        let found = said(cluster, "client", script).await?;
        ensure!(found == expected, "{script}\nprints {found:?}\n  not {expected:?}");
        Ok(())
    })
    .await
}

async fn names(cluster: &Cluster) -> Result<()> {
    let (a, b) = (address(cluster, "peer-a").await?, address(cluster, "peer-b").await?);
    let mut both = [format!("{a}\n"), format!("{b}\n")];
    both.sort();
    let dashed = a.replace('.', "-");
    let domain = "default.svc.cluster.local";
    for (script, expected) in [
        (format!("nslookup -type=a peers.{domain} | {FOUND}"), both.concat()),
        (format!("nslookup -type=a a.peers.{domain} | {FOUND}"), format!("{a}\n")),
        (format!("nslookup -type=a {dashed}.default.pod.cluster.local | {FOUND}"), format!("{a}\n")),
        // Shorter names, by the search path.
        ("ping -c 1 b.peers | sed -n 's/^PING b.peers (\\(.*\\)):.*/\\1/p'".to_owned(), format!("{b}\n")),
        ("wget -qO- http://hello.default | cut -c 1-16".to_owned(), "hello from hello\n".to_owned()),
        ("wget -qO- http://alias | cut -c 1-16".to_owned(), "hello from hello\n".to_owned()),
        (
            format!("nslookup -type=srv _web._tcp.peers.{domain} | sed -n 's/.*service = //p' | sort"),
            format!("0 50 8080 a.peers.{domain}\n0 50 8080 b.peers.{domain}\n"),
        ),
        (
            format!("nslookup -type=cname elsewhere.{domain} | sed -n 's/.*canonical name = //p'"),
            "outside.example\n".to_owned(),
        ),
        (format!("nslookup {a} | sed -n 's/.*name = //p'"), format!("a.peers.{domain}\n")),
        ("grep -c '^192.0.2.9\taliased$' /etc/hosts".to_owned(), "1\n".to_owned()),
    ] {
        asks(cluster, &script, &expected).await?;
    }
    let searches = said(cluster, "client", "grep ^search /etc/resolv.conf").await?;
    let is_right = searches.starts_with("search default.svc.cluster.local svc.cluster.local cluster.local")
        && searches.ends_with(" more.example\n");
    ensure!(is_right, "{searches}");
    let called = said(cluster, "peer-a", "hostname; hostname -f").await?;
    ensure!(called == format!("a\na.peers.{domain}\n"), "{called}");
    let called = said(cluster, "peer-b", "hostname").await?;
    ensure!(called == format!("b.peers.{domain}\n"), "{called}");
    Ok(())
}

/// A client that knows nothing but what a pod is given: by the variables of the environment, then by name.
async fn the_api(cluster: &Cluster) -> Result<()> {
    let given = "given=/var/run/secrets/kubernetes.io/serviceaccount; \
        ask='kubectl --server=https://kubernetes.default'; ask=\"$ask --certificate-authority=$given/ca.crt\"";
    let token = "--token=$(cat $given/token)";
    let whoami = "auth whoami -o jsonpath={.status.userInfo.username}";
    let account = "system:serviceaccount:default:default";
    let forbidden = format!(
        "Error from server (Forbidden): pods is forbidden: User \"{account}\" cannot list resource \"pods\" in API group \
         \"\" in the namespace \"default\"\n"
    );
    for (script, expected) in [
        (format!("kubectl {whoami}"), account),
        (format!("{given}; $ask {token} {whoami}"), account),
        (format!("{given}; $ask {token} get --raw /version | grep -c gitVersion"), "1\n"),
        (format!("{given}; $ask {token} get pods 2>&1; true"), &forbidden),
        (
            format!("{given}; $ask --token=nobody get pods 2>&1; true"),
            "error: You must be logged in to the server (Unauthorized)\n",
        ),
    ] {
        let told = said(cluster, "client", &script).await?;
        ensure!(told == expected, "{script}\nprints {told:?}\n  not {expected:?}");
    }
    Ok(())
}

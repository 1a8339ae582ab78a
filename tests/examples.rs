//! The examples of docs/examples, each from its file with kubectl onto real nodes: what they show is so.

use anyhow::{Context, Result, ensure};
use chaos::client::Method;
use chaos::{Cluster, Need, Options};
use tools::{Traffic, ask, eventually, kubectl, kubectl_with, no_pods, node_ports, shows};

pub(crate) mod tools;

#[test]
fn every_example_shows_what_it_says() {
    chaos::run(&chaos::programs!(), &[Need::Engines, Need::Kubectl], async |machine| {
        let cluster = Cluster::start(machine, Options { nodes: 2, ..Options::default() }).await?;
        let (guestbook, volume) =
            futures::future::join(a_guestbook_in_both_shapes(&cluster), a_shared_volume(&cluster)).await;
        guestbook.context("the guestbook")?;
        volume.context("the shared volume")?;
        the_classic_session(&cluster).await.context("the classic session")?;
        a_rolling_update_that_nobody_notices(&cluster).await.context("the rolling update")
    });
}

async fn a_guestbook_in_both_shapes(cluster: &Cluster) -> Result<()> {
    kubectl(cluster, "apply -f docs/examples/guestbook/services.yaml").await?;
    for (shape, kind) in [("controllers", "rc"), ("deployments", "deployment")] {
        let file = format!("docs/examples/guestbook/{shape}.yaml");
        kubectl(cluster, &format!("apply -f {file}")).await?;
        a_guestbook(cluster, kind).await.with_context(|| format!("as {shape}"))?;
        kubectl(cluster, &format!("delete -f {file}")).await?;
        no_pods(cluster, "app=guestbook").await?;
    }
    kubectl(cluster, "delete -f docs/examples/guestbook/services.yaml").await.map(drop)
}

async fn a_guestbook(cluster: &Cluster, kind: &str) -> Result<()> {
    let places = node_ports(cluster, "guestbook").await?;
    let entry = format!("written to {kind}");
    // Until there are endpoints it is refused, and until the leader is ready the frontend says so.
    let written = eventually("writing an entry", async || ask(&places[0], Some(&entry)).await).await?;
    ensure!(written == format!("written: {entry}"), "{written}");
    for place in &places {
        eventually("reading it", async || {
            let page = ask(place, None).await?;
            ensure!(page.lines().any(|line| line.trim() == entry), "{page}");
            Ok(())
        })
        .await?;
    }
    for part in ["leader", "follower", "frontend"] {
        let pods = format!("pods -l app=guestbook,part={part}");
        kubectl(cluster, &format!("wait --for=condition=Ready --timeout=120s {pods}")).await?;
    }
    // Whoever reads does not need the leader, whoever writes does.
    kubectl(cluster, &format!("scale {kind}/guestbook-leader --replicas=0")).await?;
    no_pods(cluster, "app=guestbook,part=leader").await?;
    let page = ask(&places[0], None).await?;
    ensure!(page.lines().any(|line| line.trim() == entry), "without its leader: {page}");
    let refused = ask(&places[1], Some("lost")).await;
    ensure!(refused.is_err_and(|error| error.to_string().contains("503")), "written without a leader");
    Ok(())
}

async fn a_shared_volume(cluster: &Cluster) -> Result<()> {
    kubectl(cluster, "apply -f docs/examples/shared-volume.yaml").await?;
    kubectl(cluster, "wait --for=condition=Ready --timeout=120s pod/shared-volume").await?;
    let page = "exec shared-volume -c server -- wget -qO- http://localhost:8080";
    let first = kubectl(cluster, page).await?;
    eventually("the next page", async || {
        let next = kubectl(cluster, page).await?;
        ensure!(next != first && next.contains(':'), "{next}");
        Ok(())
    })
    .await?;
    let refused = kubectl(cluster, "exec shared-volume -c server -- touch /www/x").await;
    ensure!(
        refused.is_err_and(|error| error.to_string().contains("Read-only file system")),
        "it was written"
    );
    kubectl(cluster, "delete -f docs/examples/shared-volume.yaml").await.map(drop)
}

/// What everybody tries first.
async fn the_classic_session(cluster: &Cluster) -> Result<()> {
    kubectl(cluster, "create -f docs/examples/controller.yaml -f docs/examples/deployment.yaml").await?;
    kubectl(cluster, "rollout status deployment/web --timeout=120s").await?;
    kubectl(cluster, "wait --for=jsonpath={.status.readyReplicas}=2 --timeout=120s rc/classic").await?;
    let all = ["pod/classic-", "pod/web-", "replicationcontroller/classic", "deployment.apps/web"];
    shows(cluster, "get all", &all).await?;
    shows(cluster, "describe rc classic", &["2 current / 2 desired", "Created pod: classic-"]).await?;
    shows(cluster, "describe deployment web", &["ScalingReplicaSet", "2 available"]).await?;

    let victim = kubectl(cluster, "get pods -l app=classic -o jsonpath={.items[0].metadata.name}").await?;
    kubectl(cluster, &format!("delete pod {victim}")).await?;
    eventually("another pod", async || {
        let left = kubectl(cluster, "get pods -l app=classic -o name").await?;
        ensure!(!left.contains(&victim) && left.lines().count() == 2, "{victim} is to be replaced: {left}");
        Ok(())
    })
    .await?;

    kubectl(cluster, "scale rc/classic --replicas=3").await?;
    kubectl(cluster, "scale deployment/web --replicas=3").await?;
    kubectl(cluster, "wait --for=jsonpath={.status.readyReplicas}=3 --timeout=120s rc/classic").await?;
    kubectl(cluster, "rollout status deployment/web --timeout=120s").await?;

    kubectl(cluster, "expose deployment web --type=NodePort --port=80 --target-port=http").await?;
    let places = node_ports(cluster, "web").await?;
    all_say(&places, "version 1").await?;
    kubectl(cluster, "set env deployment/web VERSION=2").await?;
    kubectl(cluster, "rollout status deployment/web --timeout=120s").await?;
    all_say(&places, "version 2").await?;
    kubectl(cluster, "rollout undo deployment/web").await?;
    kubectl(cluster, "rollout status deployment/web --timeout=120s").await?;
    all_say(&places, "version 1").await?;
    shows(cluster, "rollout history deployment/web", &["REVISION", "\n2 ", "\n3 "]).await?;

    kill_leader(cluster).await?;
    all_say(&places, "version 1").await?;
    eventually("a scale without that leader", async || {
        kubectl(cluster, "scale deployment/web --replicas=1").await
    })
    .await?;
    let one = "wait --for=jsonpath={.status.replicas}=1 --timeout=120s deployment/web";
    eventually("one replica", async || kubectl(cluster, one).await).await?;
    cluster.up().await?;
    let files = "-f docs/examples/controller.yaml -f docs/examples/deployment.yaml";
    kubectl(cluster, &format!("delete {files}")).await?;
    kubectl(cluster, "delete service web").await.map(drop)
}

async fn kill_leader(cluster: &Cluster) -> Result<()> {
    let leader = cluster.leader().await?;
    cluster.kill(&[leader]).await
}

/// Waits until every place says the same many times in a row: as often as there may be others behind it.
async fn all_say(places: &[String], expected: &str) -> Result<()> {
    const TIMES: usize = 10;
    eventually(expected, async || {
        for place in places.iter().cycle().take(TIMES * places.len()) {
            let said = ask(place, None).await?;
            ensure!(said == expected, "{place} says {said}");
        }
        Ok(())
    })
    .await
}

/// Asks the Service by its name, all along.
const CLIENT: &str =
    "trap exit TERM; while true; do timeout 15 wget -qO- http://rolling/ || echo FAILED; sleep 0.05; done";

async fn a_rolling_update_that_nobody_notices(cluster: &Cluster) -> Result<()> {
    kubectl(cluster, "apply -f docs/examples/rolling-update.yaml").await?;
    kubectl(cluster, "rollout status deployment/rolling --timeout=120s").await?;
    let places: Vec<String> =
        cluster.nodes().addresses()?.iter().map(|node| format!("{node}:30083")).collect();
    all_say(&places, "version 1").await?;
    let run = "run client --image=keelson/hello:1 --restart=Never --command -- sh -c";
    kubectl_with(cluster, run, CLIENT).await?;
    shows(cluster, "logs client", &["version 1"]).await?;
    let traffic = Traffic::start(&places);

    kubectl(cluster, "set env deployment/rolling VERSION=2").await?;
    kubectl(cluster, "rollout status deployment/rolling --timeout=120s").await?;
    all_say(&places, "version 2").await?;
    kubectl(cluster, "rollout undo deployment/rolling").await?;
    kubectl(cluster, "rollout status deployment/rolling --timeout=120s").await?;
    all_say(&places, "version 1").await?;
    traffic.check().context("no leader died")?;

    kubectl(cluster, "set env deployment/rolling VERSION=3").await?;
    let (client, path) = (cluster.any_client()?, "/apis/apps/v1/namespaces/default/deployments/rolling");
    eventually("an update that has begun", async || {
        let status = client.request(Method::GET, path, None).await?["status"].take();
        ensure!([1, 2].contains(&status["updatedReplicas"].as_u64().unwrap_or(0)), "{status}");
        Ok(())
    })
    .await?;
    kill_leader(cluster).await?;
    eventually("the end of the update", async || {
        kubectl(cluster, "rollout status deployment/rolling --timeout=60s").await
    })
    .await?;
    all_say(&places, "version 3").await?;
    cluster.up().await?;

    let versions = traffic.check().context("a leader died")?;
    ensure!(versions.len() == 3, "traffic saw {versions:?}");
    let seen = shows(cluster, "logs client", &["version 1", "version 2", "version 3"]).await?;
    ensure!(!seen.contains("FAILED"), "requests of a pod failed:\n{seen}");
    kubectl(cluster, "delete pod client").await?;
    kubectl(cluster, "delete -f docs/examples/rolling-update.yaml").await.map(drop)
}

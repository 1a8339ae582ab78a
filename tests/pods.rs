//! Pods of every sort on real nodes: what their containers are given and may do, how they begin and end, whom they find by
//! name, and what the API tells them. All are made at once, on one cluster.

use std::path::PathBuf;

use crate::examples::tools::{eventually, kubectl, kubectl_with, shows};
use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::Method;
use chaos::{Cluster, Need, Options};
use futures::future::try_join_all;
use serde_json::Value;
use tables::{LIVES, Lives, SEEN, Seen};

mod names;
mod registry;
mod tables;

/// The files of objects beside this one.
const FILES: [&str; 4] = ["inputs.yaml", "lives.yaml", "names.yaml", "security.yaml"];

#[test]
fn pods_of_every_sort_are_and_see_what_they_should() {
    chaos::run(&chaos::programs!(), &[Need::Engines, Need::Kubectl], async |machine| {
        let cluster = Cluster::start(machine, Options { masters: 1, nodes: 2, ..Options::default() }).await?;
        for file in FILES {
            create(&cluster, file).await?;
        }
        let (lives, inside, names, registry) = futures::future::join4(
            lives(&cluster),
            inside(&cluster),
            names::check(&cluster),
            registry::check(&cluster),
        )
        .await;
        let all = [
            lives.context("how pods begin and end"),
            inside.context("what is seen inside"),
            names.context("names and the API"),
            registry.context("images of a registry"),
        ];
        let failed: Vec<String> =
            all.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        Ok(())
    });
}

/// Creates the objects of a file, whose places for this machine are filled in.
async fn create(cluster: &Cluster, file: &str) -> Result<()> {
    // Asked for at run time: checkouts share compiled tests.
    let top = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").context("cargo tells its tests")?);
    let text = std::fs::read_to_string(top.join("tests/pods").join(file))?;
    let path = std::env::var_os("PATH").context("there is a path")?;
    let program =
        std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|path| path.is_file());
    let program = program.context("kubectl is in the path")?.canonicalize()?;
    let here = cluster.directory().join(file);
    let text = text.replace("DIRECTORY", &cluster.directory().display().to_string());
    std::fs::write(&here, text.replace("KUBECTL", &program.display().to_string()))?;
    kubectl(cluster, &format!("create -f {}", here.display())).await.map(drop)
}

/// What a shell inside a pod's first container prints.
async fn said(cluster: &Cluster, pod: &str, script: &str) -> Result<String> {
    kubectl_with(cluster, &format!("exec {pod} -- sh -c"), script).await.with_context(|| pod.to_owned())
}

async fn is_ready(cluster: &Cluster, pod: &str) -> Result<()> {
    kubectl(cluster, &format!("wait --for=condition=Ready --timeout=120s pod/{pod}")).await.map(drop)
}

async fn inside(cluster: &Cluster) -> Result<()> {
    try_join_all(["limits", "user", "capable", "environment", "volumes"].map(|pod| is_ready(cluster, pod)))
        .await?;
    for Seen { pod, script, expected } in SEEN {
        let seen = said(cluster, pod, script).await?;
        ensure!(seen == *expected, "{pod}: {script}\nprints {seen:?}\n  not {expected:?}");
    }
    let told = kubectl(cluster, "logs environment").await?;
    ensure!(told == "environment $(NAME) $(NONE)\nwaits\n", "a command's words are {told}");
    let pod = kubectl(cluster, "get pod environment -o json").await?;
    let pod: Value = serde_json::from_str(&pod)?;
    let (meta, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    let fields =
        [&meta["uid"], &spec["nodeName"], &status["hostIP"], &status["podIP"], &status["podIPs"][0]["ip"]];
    let expected = fields.map(|field| field.as_str().unwrap_or_default()).join(" ");
    let seen = said(cluster, "environment", "echo $POD_UID $NODE $HOST_IP $POD_IP $POD_IPS").await?;
    ensure!(seen.trim() == expected, "its own fields are {seen:?}, not {expected:?}");
    // What a condition said before it held is not said any more.
    let conditions = status["conditions"].as_array().context("conditions")?;
    let silent = |condition: &Value| condition["reason"].is_null() && condition["message"].is_null();
    ensure!(conditions.iter().all(silent), "of a ready pod: {conditions:?}");
    what_changes(cluster).await?;
    looked_into(cluster).await
}

/// What changes becomes visible in containers that run.
async fn what_changes(cluster: &Cluster) -> Result<()> {
    kubectl(cluster, "label pod volumes tier=back --overwrite").await?;
    kubectl(cluster, r#"patch configmap settings -p {"data":{"color":"red"}}"#).await?;
    eventually("what changed is seen inside", async || {
        let script = r#"echo "$(cat /pod/labels) $(cat /settings/color) $(cat /all/color)""#;
        let seen = said(cluster, "volumes", script).await?;
        ensure!(seen == "tier=\"back\" red red\n", "{seen}");
        Ok(())
    })
    .await
}

/// Processes are seen where they are shared, and by whoever looks into a container with another.
async fn looked_into(cluster: &Cluster) -> Result<()> {
    is_ready(cluster, "shared").await?;
    let seen = said(cluster, "shared", "ps -o args").await?;
    ensure!(["/pause", "sleep 1001", "sleep 1002"].iter().all(|one| seen.contains(one)), "{seen}");
    let debug = "debug user --image=keelson/hello:1 --target=main --container=look -- sh -c";
    kubectl_with(cluster, debug, "ps -o pid,args; echo looked").await?;
    let seen = shows(cluster, "logs user -c look", &["looked"]).await?;
    ensure!(seen.lines().any(|line| line.trim() == "1 sleep 1000"), "the target's first process: {seen}");
    let ended = "get pod user -o jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}";
    shows(cluster, ended, &["Completed"]).await.map(drop)
}

async fn lives(cluster: &Cluster) -> Result<()> {
    let client = cluster.any_client()?;
    // Some come by a state again and again: once is enough.
    let mut left: Vec<&Lives> = LIVES.iter().collect();
    eventually("how pods are", async || {
        let pods = client.request(Method::GET, "/api/v1/namespaces/default/pods", None).await?;
        let mut wrong = Vec::new();
        left.retain(|Lives { pod, shown: expected }| {
            let found =
                pods["items"].as_array().into_iter().flatten().find(|one| one["metadata"]["name"] == *pod);
            let shown = found.map(shown).unwrap_or_default();
            let is_so = expected.iter().all(|part| shown.contains(part));
            if !is_so {
                wrong.push(format!("{pod} is {shown:?}\n  not {expected:?}"));
            }
            !is_so
        });
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    })
    .await?;
    for (pod, told) in [
        ("liveness", "Liveness probe failed:"),
        ("liveness", "Container main failed liveness probe, will be restarted"),
        ("asked", "Startup probe failed: dial tcp "),
        ("asked", "Liveness probe failed: HTTP probe failed with statuscode: 404"),
        ("no-start", "FailedPostStartHook"),
        ("always", "Back-off restarting failed container main in pod always_default("),
        ("deadline", "DeadlineExceeded"),
    ] {
        shows(cluster, &format!("get events --field-selector involvedObject.name={pod}"), &[told]).await?;
    }
    hooks_are_run(cluster).await
}

async fn hooks_are_run(cluster: &Cluster) -> Result<()> {
    is_ready(cluster, "hooks").await?;
    let since = env::monotonic();
    kubectl(cluster, "delete pod hooks").await?;
    ensure!(since.elapsed().as_secs() >= 2, "a hook that sleeps was not waited for: {:?}", since.elapsed());
    let told = std::fs::read_to_string(cluster.directory().join("hooks/runs"))?;
    ensure!(told == "started\nstopping\ntold\n", "{told}");

    is_ready(cluster, "asked").await?;
    kubectl(cluster, "delete pod asked").await?;
    let heard = std::fs::read_to_string(cluster.directory().join("asked/heard"))?;
    let asked: Vec<&str> =
        heard.lines().filter_map(|line| line.split_once("url:")).map(|(_, url)| url).collect();
    ensure!(asked == ["/starting", "/stopping", "/starting", "/stopping"], "{heard}");
    Ok(())
}

/// A pod's status in a line: phase, reason and message, then each container with its state, restarts and last end.
fn shown(pod: &Value) -> String {
    let status = &pod["status"];
    let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = |state: &Value| {
        let Some((name, of)) = state.as_object().and_then(|states| states.iter().next()) else {
            return String::new();
        };
        let message = said(&of["message"]);
        match name.as_str() {
            "running" => name.clone(),
            "terminated" => format!("{}={} {message}", said(&of["reason"]), of["exitCode"]),
            _ => format!("{} {message}", said(&of["reason"])),
        }
    };
    let container = |one: &Value| {
        let last = state(&one["lastState"]);
        format!("; {} {} #{} after {last}", said(&one["name"]), state(&one["state"]), one["restartCount"])
    };
    let lists = ["initContainerStatuses", "containerStatuses"].map(|list| status[list].as_array());
    let containers: String = lists.into_iter().flatten().flatten().map(container).collect();
    format!("{} {} {}{containers}", said(&status["phase"]), said(&status["reason"]), said(&status["message"]))
}

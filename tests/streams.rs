//! Into pods through every master: kubectl's logs, exec, attach, cp and port-forward, the one that knows SPDY alone and
//! the newest; and what pods, Services and nodes serve themselves, seen through a master.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::env;
use chaos::client::Method;
use chaos::process::{self, Ended};
use chaos::{Cluster, Need, Options};
use kubectls::Kubectl;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

mod kubectls;
mod pods;

/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// How long pods may take to be as they should.
const SOON: Duration = Duration::from_secs(60);

/// Bytes that are sent at once: more than all windows and buffers on the way.
const LARGE_BYTES: usize = 4 << 20;

/// Connections through one port-forward at a time.
const CONNECTIONS: usize = 4;

/// The size of a terminal, and what it becomes.
const TERMINAL: &str = "stty rows 33 cols 77";
const RESIZED: &str = "stty rows 44 cols 99";

async fn started(cluster: &Cluster) -> Result<()> {
    let client = cluster.any_client()?;
    for pod in pods::all() {
        client.request(Method::POST, "/api/v1/namespaces/default/pods", Some(&pod)).await?;
    }
    client.request(Method::POST, "/api/v1/namespaces/default/services", Some(&pods::service())).await?;
    let again = "--for=jsonpath={.status.containerStatuses[0].restartCount}=1";
    for what in
        [&[again, "pod/lives"][..], &["--for=condition=Ready", "pod/box", "pod/terminal", "pod/lives"]]
    {
        let mut wait = cluster.kctl();
        wait.args(["wait", "--timeout=60s"]).args(what);
        process::run(&mut wait, SOON).await?;
    }
    Ok(())
}

/// Runs a shell's line whose `$K` is kubectl at a master.
async fn shell(kubectl: &Kubectl, line: &str) -> Result<Ended> {
    let mut command = process::Command::new("sh");
    command.args(["-c", line]).env("K", kubectl.words()).current_dir(kubectl.home());
    kubectl.equip(&mut command);
    process::capture(&mut command, COMMAND_TIMEOUT).await
}

async fn check(kubectl: &Kubectl, line: &str, expected: &str) -> Result<()> {
    let said = shell(kubectl, line).await?.success().with_context(|| kubectl.to_string())?;
    ensure!(said == expected, "{kubectl}: {line}: {said:?}, not {expected:?}");
    Ok(())
}

async fn commands(kubectl: &Kubectl) -> Result<()> {
    let ended = shell(kubectl, "$K exec box -- sh -c 'echo out; echo err >&2; exit 7'").await?;
    ensure!((ended.code, &*ended.stdout) == (Some(7), "out\n"), "{kubectl}: {ended:?}");
    ensure!(ended.stderr.contains("err\n") && ended.stderr.contains("exit code 7"), "{kubectl}: {ended:?}");
    check(kubectl, "echo hello | $K exec -i box -- cat", "hello\n").await?;
    let ended = shell(kubectl, "$K exec box -c nobody -- true").await?.failure()?;
    ensure!(ended.contains("container nobody is not valid for pod box"), "{kubectl}: {ended}");
    // A terminal has the size of the client's, and follows it.
    let until = |size: &str| format!(r#"until test \"\$(stty size)\" = \"{size}\"; do sleep 0.1; done"#);
    let inside = format!("{}; echo begun; {}; echo resized", until("33 77"), until("44 99"));
    let resize = format!("(until grep -q 'begun.\\$' typed; do sleep 0.1; done; {RESIZED} </dev/tty) &");
    let exec = format!("$K exec -it box -- sh -c '{inside}'");
    let line = format!("rm -f typed; timeout 50 script -qfec \"{TERMINAL}; {resize} {exec}\" typed");
    let said = shell(kubectl, &line).await?;
    ensure!(said.stdout.contains("begun") && said.stdout.contains("resized"), "{kubectl}: {said:?}");
    Ok(())
}

async fn attached(kubectl: &Kubectl, turn: usize) -> Result<()> {
    // The pod reads lines as long as its container runs: the client ends after its own.
    let until = |said: &str, file: &str| format!("until grep -q '{said}' {file}; do sleep 0.1; done");
    let line = format!(
        "(echo word-{turn}; {}) | timeout 50 $K attach -i box 2>/dev/null | tee heard",
        until(&format!("got word-{turn}"), "heard")
    );
    let said = shell(kubectl, &line).await?;
    ensure!(said.stdout.contains(&format!("got word-{turn}\n")), "{kubectl}: {said:?}");
    // Without input: what it writes from now on.
    let watched = format!(
        "timeout 50 $K attach box >seen 2>/dev/null & watches=$!; \
         until grep -q 'got more-{turn}' seen; do (echo more-{turn}; sleep 1) | timeout 5 $K attach -i box; done \
         >/dev/null 2>&1; kill $watches"
    );
    ensure!(shell(kubectl, &watched).await?.code == Some(0), "{kubectl}: nothing of what it wrote was seen");
    let typed = format!(
        "rm -f typed; (echo 'echo it is $((40 + {turn}))'; {}; printf '\\020\\021') \
         | timeout 50 script -qfec \"$K attach -it terminal\" typed",
        until(&format!("it is {}", 40 + turn), "typed")
    );
    let said = shell(kubectl, &typed).await?;
    ensure!(said.stdout.contains(&format!("it is {}", 40 + turn)), "{kubectl}: {said:?}");
    Ok(())
}

/// What ends badly while somebody is attached is seen once: it is no connection that broke.
async fn ended_badly(kubectl: &Kubectl) -> Result<()> {
    let run = "run ends-$$ -i --restart=Never --image=keelson/hello:1 --command -- /bin/busybox sh -c";
    let line = format!(
        "$K {run} 'sleep 4; echo slow; exit 3' 2>&1 | grep -c slow; $K delete pod ends-$$ >/dev/null"
    );
    check(kubectl, &line, "1\n").await
}

async fn copied(kubectl: &Kubectl, large: &Path) -> Result<()> {
    let line = format!(
        "rm -rf back && $K cp {} box:/tmp/up >/dev/null && $K cp box:/tmp/up back >/dev/null && cmp {} back",
        large.display(),
        large.display()
    );
    shell(kubectl, &line).await?.success().with_context(|| format!("{kubectl}: cp")).map(drop)
}

async fn logged(kubectl: &Kubectl) -> Result<()> {
    check(kubectl, "$K logs lives --tail=1", "second\n").await?;
    check(kubectl, "$K logs lives --previous", "first life\n").await?;
    check(kubectl, "$K logs lives --since=1h --limit-bytes=5", "secon").await?;
    check(kubectl, "$K logs lives --since-time=2100-01-01T00:00:00Z", "").await?;
    let stamped = shell(kubectl, "$K logs lives --timestamps").await?.success()?;
    let time = stamped.split(' ').next().unwrap_or_default();
    ensure!(time.starts_with("20") && time.ends_with('Z') && stamped.ends_with(" second\n"), "{stamped}");
    // It counts once a second. Only one of these lines was there when it was asked.
    check(kubectl, "timeout 30 $K logs -f --tail=1 counter | head -n 3 | wc -l", "3\n").await?;
    let many = "until test $($K logs counter | wc -l) -gt 8; do sleep 0.1; done";
    let few = "test $($K logs counter --since=3s | wc -l) -le 5 && echo few";
    check(kubectl, &format!("timeout 30 bash -c '{many}'; {few}"), "few\n").await
}

/// A port-forward to `what`, and the port where it listens.
async fn forward(kubectl: &Kubectl, what: &str, port: u16) -> Result<(process::Child, u16)> {
    listening(kubectl, &["port-forward", what, &format!(":{port}")], "Forwarding from 127.0.0.1:").await
}

/// A kubectl that listens on a port, which it says.
async fn listening(kubectl: &Kubectl, arguments: &[&str], before: &str) -> Result<(process::Child, u16)> {
    let mut command = kubectl.command();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut running = command.spawn().context("starting kubectl")?;
    let mut lines = BufReader::new(running.stdout.take().context("its output is piped")?).lines();
    let told = async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, rest)) = line.split_once(before) {
                let port = rest.split_whitespace().next().unwrap_or_default();
                return port.parse().with_context(|| format!("a port in {line:?}"));
            }
        }
        anyhow::bail!("kubectl ended")
    };
    let port = env::timeout(COMMAND_TIMEOUT, told).await.context("kubectl says nothing")??;
    // What it says of each connection has to go somewhere.
    env::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((running, port))
}

/// Sends bytes as they are and reads to the end.
async fn exchange(port: u16, request: &str) -> Result<Vec<u8>> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    Ok(env::timeout(COMMAND_TIMEOUT, asked).await.context("no answer")??)
}

async fn forwarded(kubectl: &Kubectl) -> Result<()> {
    for (what, port) in [("pod/box", 8080), ("service/box", 80)] {
        let (_running, port) = forward(kubectl, what, port).await?;
        let get = "GET /large HTTP/1.0\r\n\r\n";
        let all = (0..CONNECTIONS).map(|_| exchange(port, get));
        for answer in futures::future::try_join_all(all).await? {
            let body = answer.windows(4).position(|end| end == b"\r\n\r\n").context("a head")? + 4;
            let is_whole = answer[body..].iter().all(|byte| *byte == 0);
            ensure!(answer.len() - body == LARGE_BYTES && is_whole, "{kubectl}: {what}: {}", answer.len());
        }
    }
    Ok(())
}

#[test]
fn kubectl_reaches_into_pods_through_every_master() {
    let programs = match kubectls::programs() {
        found if found.is_empty() => return chaos::report_skipped("no kubectl was found"),
        found => found,
    };
    chaos::run(&chaos::programs!(), &[Need::Engines], async move |machine| {
        let cluster = Cluster::start(machine, Options { nodes: 1, ..Options::default() }).await?;
        started(&cluster).await?;
        let large = cluster.directory().join("large");
        let bytes: Vec<u8> = (0..LARGE_BYTES).map(|number: usize| (number * 7 % 251) as u8).collect();
        std::fs::write(&large, bytes)?;
        let mut turn = 0;
        for program in &programs {
            for master in cluster.masters() {
                turn += 1;
                let kubectl = Kubectl::new(&cluster, program, &master)?;
                commands(&kubectl).await?;
                attached(&kubectl, turn).await?;
                copied(&kubectl, &large).await?;
                logged(&kubectl).await?;
                forwarded(&kubectl).await?;
            }
            ended_badly(&Kubectl::new(&cluster, program, "master-1")?).await?;
        }
        Ok(())
    });
}

/// An answer as text: its status, headers by name, and body.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Asks by way of a `kubectl proxy`, which passes on whatever is asked.
async fn ask(port: u16, method: &str, path: &str, rest: &str) -> Result<Answer> {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{rest}\r\n\r\n");
    let request = request.replace("\r\n\r\n\r\n", "\r\n\r\n");
    let answer = String::from_utf8(exchange(port, &request).await?)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no head in {answer:?}"))?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).context("a status")?;
    let header =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: BTreeMap<_, _> = lines.filter_map(header).collect();
    let is_chunked = headers.get("transfer-encoding").is_some_and(|how| how == "chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    Ok(Answer { status, headers, body })
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";

async fn proxied(port: u16) -> Result<()> {
    for base in [format!("{PODS}/box:9090/proxy"), format!("{SERVICES}/box:echo/proxy")] {
        for method in ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"] {
            let rest = "Content-Length: 4\r\nX-Mine: kept\r\n\r\nbody";
            let answer = ask(port, method, &format!("{base}/some/path%20x?q=1&r=a%2Fb"), rest).await?;
            let told = format!("{method} /some/path%20x?q=1&r=a%2Fb HTTP/1.1\n");
            ensure!(
                answer.status == 200 && answer.body.starts_with(&told),
                "{base} {method}: {}",
                answer.body
            );
            let said = answer.body.to_lowercase();
            ensure!(said.contains("x-mine: kept") && said.ends_with("body"), "{said}");
            ensure!(said.contains("x-forwarded-for: "), "{said}");
            ensure!(!answer.headers.contains_key("access-control-allow-origin"), "{:?}", answer.headers);
        }
        ensure!(ask(port, "HEAD", &format!("{base}/some"), "").await?.status == 200, "HEAD {base}");
        let moved = ask(port, "GET", &format!("{base}?a=b"), "").await?;
        let location = moved.headers.get("location").map(String::as_str);
        ensure!(moved.status == 301 && location == Some(&format!("{base}/?a=b")), "{:?}", moved.headers);
        let posted = ask(port, "POST", &base, "Content-Length: 0\r\n").await?;
        ensure!(posted.body.starts_with("POST / HTTP/1.1\n"), "{}", posted.body);
        let away = ask(port, "GET", &format!("{base}/moved"), "").await?;
        let location = away.headers.get("location").map(String::as_str);
        ensure!(away.status == 302 && location == Some(&format!("{base}/there?x=1")), "{:?}", away.headers);
        let page = ask(port, "GET", &format!("{base}/page"), "").await?;
        ensure!(page.body == format!("<a href=\"{base}/rewriteme\">test</a>"), "{}", page.body);
        let upgraded = upgraded(port, &format!("{base}/upgrade")).await?;
        ensure!(upgraded == "ping", "{upgraded}");
    }
    // Names: the first port of a pod, ports by name, and by the Service's number.
    for path in [
        format!("{PODS}/box/proxy/small"),
        format!("{PODS}/http:box:web/proxy/small"),
        format!("{SERVICES}/box:80/proxy/small"),
        format!("{SERVICES}/http:box:web/proxy/small"),
    ] {
        let answer = ask(port, "GET", &path, "").await?;
        ensure!(
            (answer.status, &*answer.body) == (200, "small\n"),
            "{path}: {} {}",
            answer.status,
            answer.body
        );
    }
    let large = ask(port, "GET", &format!("{PODS}/box/proxy/large"), "").await?;
    ensure!(large.body.len() == LARGE_BYTES, "{}", large.body.len());
    Ok(())
}

/// What comes back over a connection that went over to another protocol.
async fn upgraded(port: u16, path: &str) -> Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await?);
        }
        ensure!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        stream.write_all(b"ping").await?;
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).await?;
        Ok(String::from_utf8_lossy(&echo).into_owned())
    };
    env::timeout(COMMAND_TIMEOUT, asked).await.context("no answer")?
}

async fn refused(port: u16) -> Result<()> {
    let cases = [
        (format!("{PODS}/absent/proxy/"), 404, r#"pods "absent" not found"#),
        (format!("{PODS}/ftp:box:80/proxy/"), 400, r#"invalid pod request "ftp:box:80""#),
        (format!("{PODS}/pending/proxy/"), 400, "address not allowed"),
        (
            format!("{PODS}/box:1/proxy/"),
            503,
            "error trying to reach service: dial tcp ADDRESS:1: connect: connection refused",
        ),
        (format!("{SERVICES}/absent/proxy/"), 503, r#"no endpoints available for service "absent""#),
        (format!("{SERVICES}/absent:80/proxy/"), 404, r#"services "absent" not found"#),
        (format!("{SERVICES}/box:81/proxy/"), 503, r#"no service port 81 found for service "box""#),
        (format!("{SERVICES}/box:other/proxy/"), 503, r#"no endpoints available for service "box""#),
        ("/api/v1/nodes/absent/proxy/healthz".to_owned(), 404, r#"nodes "absent" not found"#),
    ];
    for (path, code, expected) in cases {
        let answer = ask(port, "GET", &path, "").await?;
        let status: Value = serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
        let message = status["message"].as_str().unwrap_or_default();
        let address = message.split_whitespace().find(|word| word.ends_with(":1:")).unwrap_or_default();
        let said = message.replace(address.trim_end_matches(":1:"), "ADDRESS");
        let said = if address.is_empty() { message } else { &said };
        ensure!(answer.status == code && said == expected, "{path}: {} {message}", answer.status);
    }
    // Of a node what its agent tells, and nothing that only goes through it.
    let healthy = ask(port, "GET", "/api/v1/nodes/node-1/proxy/healthz", "").await?;
    ensure!((healthy.status, &*healthy.body) == (200, "ok"), "{}", healthy.body);
    let log = ask(port, "GET", "/api/v1/nodes/node-1/proxy/containerLogs/default/lives/box", "").await?;
    ensure!(log.body.contains("second"), "{}", log.body);
    let elsewhere = ask(port, "GET", "/api/v1/nodes/node-1:22/proxy/", "").await?;
    ensure!(elsewhere.body.contains("no pod of node node-1 has this address"), "{}", elsewhere.body);
    let exec = "/api/v1/nodes/node-1/proxy/exec/default/box/box?command=id&stdout=true";
    let answer = ask(port, "POST", exec, "Content-Length: 0\r\n").await?;
    ensure!(answer.status == 400 && answer.body.contains("Upgrade request required"), "{}", answer.body);
    Ok(())
}

#[test]
fn pods_services_and_nodes_are_seen_through_every_master() {
    let newest = match kubectls::programs().pop() {
        None => return chaos::report_skipped("no kubectl was found"),
        Some(newest) => newest,
    };
    chaos::run(&chaos::programs!(), &[Need::Engines], async move |machine| {
        let cluster = Cluster::start(machine, Options { nodes: 1, ..Options::default() }).await?;
        started(&cluster).await?;
        for master in cluster.masters() {
            let kubectl = Kubectl::new(&cluster, &newest, &master)?;
            let (_running, port) =
                listening(&kubectl, &["proxy", "--port=0", "--accept-hosts=.*"], "127.0.0.1:").await?;
            proxied(port).await.with_context(|| master.clone())?;
            refused(port).await.with_context(|| master.clone())?;
        }
        named(&cluster).await
    });
}

/// DNS at the address of its Service, from a pod.
async fn named(cluster: &Cluster) -> Result<()> {
    let client = cluster.any_client()?;
    let service =
        client.request(Method::GET, "/api/v1/namespaces/kube-system/services/kube-dns", None).await?;
    ensure!(service["metadata"]["labels"]["k8s-app"] == "kube-dns", "{service}");
    let address = service["spec"]["clusterIP"].as_str().context("an address")?.to_owned();
    ensure!(address.ends_with(".10"), "{address}");
    let name = "box.default.svc.cluster.local";
    let mut asked = cluster.kctl();
    asked.args(["exec", "box", "--", "nslookup", name, &address]);
    let answer = process::run(&mut asked, COMMAND_TIMEOUT).await?;
    let ours = client.request(Method::GET, &format!("{SERVICES}/box"), None).await?;
    let ours = ours["spec"]["clusterIP"].as_str().context("an address")?;
    ensure!(answer.contains(ours), "{answer}");
    Ok(())
}

/// The endpoints of Service `kubernetes`: how many.
async fn masters_served(cluster: &Cluster) -> Result<usize> {
    let found = cluster
        .any_client()?
        .request(Method::GET, "/api/v1/namespaces/default/endpoints/kubernetes", None)
        .await?;
    Ok(found["subsets"][0]["addresses"].as_array().map_or(0, Vec::len))
}

#[test]
fn a_dead_master_is_no_endpoint_of_the_api() {
    chaos::run(&chaos::programs!(), &[Need::Namespaces], async |machine| {
        let cluster = Cluster::start(machine, Options::default()).await?;
        let becomes = async |count: usize| {
            let deadline = env::monotonic() + SOON;
            loop {
                let found = masters_served(&cluster).await;
                if found.as_ref().is_ok_and(|found| *found == count) {
                    return Ok(());
                }
                ensure!(env::monotonic() < deadline, "{found:?} masters, not {count}");
                env::sleep(Duration::from_millis(100)).await;
            }
        };
        becomes(3).await?;
        let (_, followers) = cluster.roles().await?;
        cluster.kill(&followers[..1]).await?;
        becomes(2).await?;
        cluster.up().await?;
        becomes(3).await
    });
}

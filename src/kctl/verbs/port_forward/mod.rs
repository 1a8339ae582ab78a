//! `kctl port-forward`

mod ports;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base::env;
use futures::StreamExt;
use futures::future::select_all;
use futures::stream::FuturesUnordered;
use serde_json::Value;
use streams::client::Forwarder;
use tokio::net::{TcpListener, TcpStream};

use crate::failure::Failure;
use crate::flags::duration;
use crate::manifest::{name, namespace, text};
use crate::pods::{self, Purpose};
use crate::screen::{Screen, warn};
use crate::server::Server;
use ports::Forwarded;

/// Which pod, and which ports.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A pod, or TYPE/NAME, which picks one of its pods.
    pod: String,
    /// PORT, LOCAL:REMOTE, or :REMOTE for a local port that is free; remote ports may be named.
    #[arg(required = true)]
    ports: Vec<String>,
    /// Where to listen: addresses, or localhost.
    #[arg(long, value_delimiter = ',', default_value = "localhost", value_name = "ADDRESSES")]
    address: Vec<String>,
    /// How long to wait for a pod.
    #[arg(long, default_value = "1m", value_name = "DURATION")]
    pod_running_timeout: String,
}

/// Connections at once: each takes two of the streams that one connection to a server has.
const CONNECTIONS_MAX: usize = streams::limits::STREAMS_MAX / 2;

/// A port on which it is listened.
struct Local {
    listener: TcpListener,
    local: u16,
    remote: u16,
}

/// Runs the verb: until it is interrupted, or the pod goes.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let patience = duration("--pod-running-timeout", &args.pod_running_timeout)?;
    let addresses = addresses(&args.address)?;
    let (target, object) = pods::named(server, &args.pod).await?;
    let (pod, _) = pods::of(server, &args.pod, Purpose::Work, patience).await?;
    let is_service = (target.kind.group.as_str(), target.kind.kind.as_str()) == ("", "Service");
    let ports = ports::parse(&args.ports, is_service.then_some(&object), &pod).map_err(Failure::Refused)?;
    let phase = text(&pod, "/status/phase");
    if phase != "Running" {
        return Err(Failure::Refused(format!(
            "unable to forward port because pod is not running. Current status={phase}"
        )));
    }
    let forwarder = begin(server, &pod).await?;
    let listeners = listen(&addresses, &ports, screen).await?;
    forward(&forwarder, &listeners, screen).await
}

async fn begin(server: &Server, pod: &Value) -> Result<Forwarder, Failure> {
    let path = format!("/api/v1/namespaces/{}/pods/{}/portforward", namespace(pod), name(pod));
    let request = server.request(&path).await?;
    let begun = Forwarder::begin(server.dialer(), &request).await;
    begun.map_err(|error| server.stream_failure(&path, error))
}

/// Where to listen. Of localhost's two addresses one may be missing.
fn addresses(given: &[String]) -> Result<Vec<(IpAddr, bool)>, Failure> {
    let mut addresses = Vec::new();
    for address in given {
        if address == "localhost" {
            addresses.push((IpAddr::from(Ipv4Addr::LOCALHOST), true));
            addresses.push((IpAddr::from(Ipv6Addr::LOCALHOST), true));
        } else {
            let address = address.parse();
            let wrong = |_| Failure::Usage(format!("--address: {} is not a valid IP", given.join(",")));
            addresses.push((address.map_err(wrong)?, false));
        }
    }
    Ok(addresses)
}

/// Listens on every port at every address. A port that is left to the system is the same at all of them.
async fn listen(
    addresses: &[(IpAddr, bool)],
    ports: &[Forwarded],
    screen: Screen,
) -> Result<Vec<Local>, Failure> {
    let mut listeners = Vec::new();
    for port in ports {
        let mut local = port.local;
        let (mut errors, mut is_open) = (Vec::new(), false);
        for (address, may_be_missing) in addresses {
            match TcpListener::bind(SocketAddr::new(*address, local)).await {
                Ok(listener) => {
                    let at = listener.local_addr();
                    let at = at.map_err(|error| Failure::Refused(format!("listening failed: {error}")))?;
                    screen.line(&format!("Forwarding from {at} -> {}", port.remote))?;
                    local = at.port();
                    listeners.push(Local { listener, local, remote: port.remote });
                    is_open = true;
                }
                Err(error) => {
                    errors.push((format!("unable to listen on {address}:{local}: {error}"), *may_be_missing));
                }
            }
        }
        let counts = |(_, may_be_missing): &&(String, bool)| !(*may_be_missing && is_open);
        let told: Vec<&str> = errors.iter().filter(counts).map(|(error, _)| error.as_str()).collect();
        if !told.is_empty() {
            warn(&format!("Unable to listen on port {local}: {}", told.join("; ")));
        }
    }
    if listeners.is_empty() {
        return Err(Failure::Refused("unable to listen on any of the requested ports".to_owned()));
    }
    Ok(listeners)
}

/// Forwards what comes.
async fn forward(forwarder: &Forwarder, listeners: &[Local], screen: Screen) -> Result<(), Failure> {
    let mut running = FuturesUnordered::new();
    loop {
        let accepting = select_all(
            listeners.iter().map(|local| Box::pin(async move { (local, local.listener.accept().await) })),
        );
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = forwarder.ended() => return Err(Failure::Refused("lost connection to pod".to_owned())),
            Some(()) = running.next(), if !running.is_empty() => {}
            // Whoever comes when there are too many waits until one goes.
            ((local, accepted), ..) = accepting, if running.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    screen.line(&format!("Handling connection for {}", local.local))?;
                    running.push(one(forwarder, local, stream));
                }
                Err(error) => {
                    warn(&format!("error accepting connection on port {}: {error}", local.local));
                    // Too many open files, say: one that ends makes room.
                    env::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
        }
    }
}

async fn one(forwarder: &Forwarder, local: &Local, stream: TcpStream) {
    if let Err(why) = forwarder.forward(local.remote, stream).await {
        warn(&format!("an error occurred forwarding {} -> {}: {why}", local.local, local.remote));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::dial::Dialer;
    use crate::fake::Fake;

    #[tokio::test]
    async fn connections_are_forwarded_until_they_end() {
        let dialer = Dialer::Fake(Fake::default());
        let request =
            dialer.request("/api/v1/namespaces/default/pods/web/portforward").await.expect("request");
        let forwarder = Forwarder::begin(&dialer, &request).await.expect("a server");
        let screen = Screen { colored: false, is_live: false };
        let ports = [Forwarded { local: 0, remote: 80 }, Forwarded { local: 0, remote: 81 }];
        let addresses = [(IpAddr::from(Ipv4Addr::LOCALHOST), false)];
        crate::screen::recorded::begin();
        let listeners = listen(&addresses, &ports, screen).await.expect("two ports");
        let (open, closed) = (listeners[0].local, listeners[1].local);
        let client = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, open)).await.expect("it listens");
            stream.write_all(b"hello").await.expect("it reads");
            stream.shutdown().await.expect("it reads");
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.expect("it answers");
            let mut refused = TcpStream::connect((Ipv4Addr::LOCALHOST, closed)).await.expect("it listens");
            let mut nothing = Vec::new();
            // It may be reset.
            let _ = refused.read_to_end(&mut nothing).await;
            (heard, nothing)
        };
        let (heard, nothing) = tokio::select! {
            biased;
            heard = client => heard,
            ended = forward(&forwarder, &listeners, screen) => panic!("it ended: {ended:?}"),
        };
        assert_eq!((heard.as_str(), nothing.len()), ("hello", 0));
        let shown = crate::screen::recorded::end();
        for line in [
            format!("Forwarding from 127.0.0.1:{open} -> 80\n"),
            format!("Handling connection for {open}\n"),
            format!("Handling connection for {closed}\n"),
        ] {
            assert!(shown.contains(&line), "{shown}");
        }
    }

    #[test]
    fn what_cannot_be_forwarded_is_told() {
        let pod = |name: &str, phase: &str| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
                "spec": {"containers": [{"name": "web"}]}, "status": {"phase": phase},
            })
        };
        let fake = Fake::of([pod("web", "Running"), pod("new", "Pending")]);
        let cases = [
            (
                "port-forward new 80",
                "kctl: unable to forward port because pod is not running. Current status=Pending\n[exit code 1]\n",
            ),
            (
                "port-forward web 80 --address=here",
                "kctl: --address: here is not a valid IP\n[exit code 2]\n",
            ),
            (
                "port-forward none 80",
                "Error from server (NotFound): pods \"none\" not found\n[exit code 1]\n",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(fake.run(line), expected, "{line}");
        }
    }
}

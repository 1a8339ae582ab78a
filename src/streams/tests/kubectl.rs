//! Real kubectls against the servers of this crate: the oldest one that only knows SPDY, and the newest.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::env;
use streams::remote_command::{Options, RemoteCommand};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};

mod common;

/// The last kubectl that asks for SPDY and nothing else.
const OLD: &str = "kubectl.1.27";
/// With these, newer ones ask for SPDY as well.
const WITHOUT_WEB_SOCKET: [(&str, &str); 2] =
    [("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"), ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")];
type Variables = &'static [(&'static str, &'static str)];
/// Long enough for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node whose pods are this machine: commands are its own.
#[derive(Clone, Default)]
struct Machine {
    /// What clients asked to go over to.
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl common::Node for Machine {
    fn asked(&self, upgrade: &str) {
        self.asked.lock().expect("no test has panicked with it").insert(upgrade.to_owned());
    }

    async fn run(&self, command: RemoteCommand, options: Options) -> Result<i32, String> {
        // The pod's own process, to which an attach goes.
        let attached = ["sh".to_owned(), "-c".to_owned(), "echo attached; cat".to_owned()];
        let words = if options.command.is_empty() { &attached[..] } else { &options.command };
        let piped = |is_wanted: bool| if is_wanted { Stdio::piped() } else { Stdio::null() };
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(piped(command.stdin.is_some()))
            .stdout(piped(command.stdout.is_some()))
            .stderr(piped(command.stderr.is_some()))
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("exec: {:?}: {error}", words[0]))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let input = async {
            if let (Some(mut from), Some(mut to)) = (command.stdin, stdin) {
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
            std::future::pending::<()>().await;
        };
        let printed = async {
            if let (Some(mut from), Some(mut to)) = (stdout, command.stdout) {
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        };
        let complained = async {
            if let (Some(mut from), Some(mut to)) = (stderr, command.stderr) {
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        };
        let status = tokio::select! {
            biased;
            (_, _, status) = async { tokio::join!(printed, complained, child.wait()) } => status,
            () = input => unreachable!("it waits for ever"),
        };
        status.map_err(|error| error.to_string())?.code().ok_or_else(|| "it was killed".to_owned())
    }

    /// Port 8080 echoes, and port 8082 says something and closes; nothing else listens.
    async fn connect(&self, port: u16) -> Result<DuplexStream, String> {
        let (near, mut far) = tokio::io::duplex(4096);
        match port {
            8080 => {}
            8082 => far.write_all(b"bye").await.map_err(|error| error.to_string())?,
            _ => return Err("connection refused".to_owned()),
        }
        if port == 8082 {
            return Ok(near);
        }
        env::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(far);
            tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await
        });
        Ok(near)
    }
}

/// One kubectl, and how it is told to behave.
#[derive(Clone, Debug)]
struct Kubectl {
    program: PathBuf,
    variables: Variables,
    server: SocketAddr,
    home: PathBuf,
}

impl Kubectl {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let server = format!("--server=http://{}", self.server);
        command.arg(server).args(arguments).envs(self.variables.iter().copied());
        command.env("HOME", &self.home).env_remove("KUBECONFIG").current_dir(&self.home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs to the end, with this to read.
    async fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(arguments).spawn().expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("piped");
        let ended = env::timeout(PATIENCE, async {
            let written = async {
                // A command need not read all there is.
                let _ = stdin.write_all(input).await;
                drop(stdin);
            };
            tokio::join!(written, child.wait_with_output()).1
        });
        ended.await.unwrap_or_else(|_| panic!("{arguments:?} does not end")).expect("kubectl ran")
    }

    async fn runs(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.run(arguments, input).await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?} {arguments:?}: {complaint}");
        output.stdout
    }
}

/// The kubectls of this machine, each with a server of its own address.
async fn with_each<F: Future<Output = ()>>(check: impl Fn(Kubectl) -> F) {
    let found = programs();
    if found.is_empty() {
        eprintln!("skipped: there is no kubectl on this machine");
        return;
    }
    for (program, variables, upgrade) in found {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback");
        let server = listener.local_addr().expect("bound");
        let home = tempfile::tempdir().expect("a directory");
        let machine = Machine::default();
        let asked = Arc::clone(&machine.asked);
        let serving = env::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("loopback");
                env::spawn(common::serve(stream, machine.clone()));
            }
        });
        check(Kubectl { program, variables, server, home: home.path().to_owned() }).await;
        serving.abort();
        let asked = asked.lock().expect("no test has panicked with it").clone();
        assert_eq!(asked, BTreeSet::from([upgrade.to_owned()]));
    }
}

/// The first kubectl of the search path, with WebSocket and without, and the old one where it lies beside
/// one of them; with each what it is to ask for.
fn programs() -> Vec<(PathBuf, Variables, &'static str)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found: Vec<PathBuf> = std::env::split_paths(&path)
        .filter_map(|folder| folder.join("kubectl").canonicalize().ok())
        .filter(|program| program.is_file())
        .collect();
    let old = found.iter().filter_map(|program| Some(program.parent()?.join(OLD))).find(|old| old.is_file());
    if old.is_none() {
        eprintln!("skipped in part: there is no {OLD}");
    }
    let newest = found.first().cloned();
    let spdy = "SPDY/3.1";
    let with = newest.clone().map(|program| (program, &[][..], "websocket"));
    let without = newest.map(|program| (program, &WITHOUT_WEB_SOCKET[..], spdy));
    let old = old.map(|program| (program, &[][..], spdy));
    [with, without, old].into_iter().flatten().collect()
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at / 251 + at) as u8).collect()
}

#[tokio::test]
async fn exec_tells_output_complaints_and_exit_code() {
    with_each(|kubectl| async move {
        let script = "echo out; echo err >&2; exit 3";
        let output = kubectl.run(&["exec", "web", "--", "sh", "-c", script], b"").await;
        assert_eq!(output.status.code(), Some(3), "{kubectl:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "out\n", "{kubectl:?}");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            complaint.contains("err\n") && complaint.contains("command terminated with exit code 3"),
            "{kubectl:?}: {complaint}"
        );
        assert_eq!(kubectl.runs(&["exec", "web", "--", "true"], b"").await, b"");
        let output = kubectl.run(&["exec", "web", "--", "no-such-program"], b"").await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains("no-such-program"), "{kubectl:?}: {complaint}");
        assert_eq!(output.status.code(), Some(1), "{kubectl:?}: {complaint}");
    })
    .await;
}

#[tokio::test]
async fn exec_carries_input_and_output_whole() {
    with_each(|kubectl| async move {
        let sent = bytes(3_000_000);
        let received = kubectl.runs(&["exec", "-i", "web", "--", "cat"], &sent).await;
        assert!(received == sent, "{kubectl:?}: {} of {} bytes", received.len(), sent.len());
        let received = kubectl.runs(&["exec", "web", "--", "head", "-c", "5000000", "/dev/zero"], b"").await;
        assert_eq!(received.len(), 5_000_000, "{kubectl:?}");
        // A command that stops reading does not keep its client.
        let received = kubectl.runs(&["exec", "-i", "web", "--", "head", "-c", "5"], b"hello, world").await;
        assert_eq!(received, b"hello", "{kubectl:?}");
    })
    .await;
}

#[tokio::test]
async fn attach_joins_what_runs() {
    with_each(|kubectl| async move {
        let received = kubectl.runs(&["attach", "-i", "web"], b"some input\n").await;
        assert_eq!(String::from_utf8_lossy(&received), "attached\nsome input\n", "{kubectl:?}");
    })
    .await;
}

#[tokio::test]
async fn cp_copies_in_both_directions() {
    with_each(|kubectl| async move {
        let sent = bytes(1_500_000);
        let inside = kubectl.home.join("pod");
        tokio::fs::create_dir(&inside).await.expect("a directory");
        tokio::fs::write(kubectl.home.join("local"), &sent).await.expect("a file");
        let in_pod = format!("web:{}/copied", inside.display());
        kubectl.runs(&["cp", "local", &in_pod], b"").await;
        assert!(read(&inside.join("copied")).await == sent, "{kubectl:?}");
        kubectl.runs(&["cp", &in_pod, "back"], b"").await;
        assert!(read(&kubectl.home.join("back")).await == sent, "{kubectl:?}");
    })
    .await;
}

async fn read(path: &Path) -> Vec<u8> {
    tokio::fs::read(path).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A kubectl that forwards, what it prints, and where it listens.
async fn forwarding(kubectl: &Kubectl, port: &str) -> (Child, Lines<BufReader<ChildStdout>>, u16) {
    let mut child = kubectl.command(&["port-forward", "web", port]).spawn().expect("kubectl starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let port = env::timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.expect("readable") {
            let address = line.strip_prefix("Forwarding from 127.0.0.1:");
            if let Some(port) = address.and_then(|rest| rest.split(' ').next()) {
                return port.parse::<u16>().expect("a port");
            }
        }
        panic!("{kubectl:?} ended without forwarding");
    });
    let port = port.await.expect("it forwards");
    (child, lines, port)
}

#[tokio::test]
async fn port_forward_ends_connections_that_the_pod_ended() {
    with_each(|kubectl| async move {
        let (_child, _lines, port) = forwarding(&kubectl, ":8082").await;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("kubectl listens");
        let mut said = Vec::new();
        let read = env::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        read.expect("it ends though the client says nothing").expect("in order");
        assert_eq!(said, b"bye", "{kubectl:?}");
    })
    .await;
}

#[tokio::test]
async fn port_forward_carries_connections_side_by_side() {
    with_each(|kubectl| async move {
        let (mut child, _lines, port) = forwarding(&kubectl, ":8080").await;
        let idle = TcpStream::connect(("127.0.0.1", port)).await.expect("kubectl listens");
        for count in [5, 1_000_000, 0, 70_000] {
            let sent = bytes(count);
            let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("kubectl listens");
            let (mut reader, mut writer) = stream.into_split();
            let mut received = Vec::new();
            let echoed = async {
                let written = async {
                    writer.write_all(&sent).await?;
                    writer.shutdown().await
                };
                tokio::try_join!(written, reader.read_to_end(&mut received))
            };
            env::timeout(PATIENCE, echoed).await.expect("it comes back").expect("in order");
            assert!(received == sent, "{kubectl:?}: {} of {count} bytes", received.len());
        }
        drop(idle);
        child.kill().await.expect("it runs until it is told");
    })
    .await;
}

#[tokio::test]
async fn port_forward_tells_that_nothing_listens() {
    with_each(|kubectl| async move {
        let mut child = kubectl.command(&["port-forward", "web", ":81"]).spawn().expect("kubectl starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut complaints = BufReader::new(child.stderr.take().expect("piped")).lines();
        let told = env::timeout(PATIENCE, async {
            let first = lines.next_line().await.expect("readable").expect("it forwards");
            let port = first
                .split(['.', ':', ' '])
                .find_map(|word| word.parse::<u16>().ok().filter(|port| *port > 300));
            let _stream = TcpStream::connect(("127.0.0.1", port.expect("a port"))).await.expect("it listens");
            while let Some(line) = complaints.next_line().await.expect("readable") {
                if line.contains("error forwarding port 81 to pod web_default, uid 1-2-3: connection refused")
                {
                    return;
                }
            }
            panic!("{kubectl:?} did not tell");
        });
        told.await.expect("it tells");
    })
    .await;
}

//! `kctl cp`: by `tar` in the container.

mod pack;
pub mod tar;
mod unpack;

use std::path::Path;

use serde_json::Value;
use streams::client::Session;
use streams::remote_command::Options;
use tokio::io::AsyncReadExt;
use unpack::Destination;

use crate::failure::Failure;
use crate::pods;
use crate::screen::complain;
use crate::server::{Call, Server};
use crate::session;

/// What, and where to.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// FILE, or POD:FILE, or NAMESPACE/POD:FILE.
    source: String,
    /// The same; one of the two is in a pod.
    destination: String,
    /// In this container.
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "NAME")]
    container: String,
    /// Files get the owner and the permissions that new ones have in the container.
    #[arg(long)]
    no_preserve: bool,
}

/// A place here or there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place<'a> {
    namespace: &'a str,
    /// Empty: here.
    pod: &'a str,
    file: &'a str,
}

impl<'a> Place<'a> {
    fn parse(text: &'a str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::Usage(format!(
                "{text}: filespec must match the canonical format: [[namespace/]pod:]file/path"
            ))
        };
        let Some((pod, file)) = text.split_once(':') else {
            return Ok(Self { namespace: "", pod: "", file: text });
        };
        match pod.split('/').collect::<Vec<_>>()[..] {
            [pod] if !pod.is_empty() => Ok(Self { namespace: "", pod, file }),
            [namespace, pod] if !pod.is_empty() => Ok(Self { namespace, pod, file }),
            _ => Err(wrong()),
        }
    }
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server) -> Result<(), Failure> {
    let (source, destination) = (Place::parse(&args.source)?, Place::parse(&args.destination)?);
    let usage = |why: &str| Err(Failure::Usage(why.to_owned()));
    if source.file.is_empty() || destination.file.is_empty() {
        return usage("filepath can not be empty");
    }
    match (source.pod, destination.pod) {
        ("", "") => usage("one of src or dest must be a remote file specification"),
        ("", _) => to_pod(args, source.file, &destination, server).await,
        (_, "") => from_pod(args, &source, destination.file, server).await,
        _ => usage("one of src or dest must be a local file specification"),
    }
}

async fn pod_of(place: &Place<'_>, server: &Server) -> Result<Value, Failure> {
    let namespace = if place.namespace.is_empty() { &server.namespace } else { place.namespace };
    server.json(Call::get(format!("/api/v1/namespaces/{namespace}/pods/{}", place.pod))).await
}

async fn begin(
    args: &Args,
    pod: &Value,
    stdin: bool,
    command: &[&str],
    server: &Server,
) -> Result<Session, Failure> {
    let options = Options {
        stdin,
        stdout: true,
        stderr: true,
        tty: false,
        command: command.iter().map(|&word| word.to_owned()).collect(),
        container: Some(pods::container(pod, &args.container, true)?),
    };
    session::begin(server, pod, "exec", &options).await
}

async fn to_pod(args: &Args, source: &str, place: &Place<'_>, server: &Server) -> Result<(), Failure> {
    if !Path::new(source).exists() {
        return Err(Failure::Refused(format!("{source} doesn't exist in local filesystem")));
    }
    let pod = pod_of(place, server).await?;
    let probe = begin(args, &pod, false, &["test", "-d", place.file], server).await?;
    let is_folder = probe.outcome.wait().await == Ok(0);
    let target = place.file.trim_end_matches('/');
    let own_name = Path::new(source).canonicalize().ok();
    let own_name = own_name.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let (folder, name) = match target.rsplit_once('/') {
        _ if is_folder => (place.file, &*own_name),
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => ("", target),
    };
    let mut command = vec!["tar"];
    if args.no_preserve {
        command.extend(["--no-same-permissions", "--no-same-owner"]);
    }
    command.extend(["-xmf", "-"]);
    if !folder.is_empty() {
        command.extend(["-C", folder]);
    }
    let mut session = begin(args, &pod, true, &command, server).await?;
    let stdin = session.stdin.take();
    let sending = async {
        let Some(mut stdin) = stdin else { return Ok(()) };
        pack::all(Path::new(source), name, &mut stdin).await
    };
    let (sent, ended) = futures::join!(sending, ended(session));
    // If nobody took it, whoever should have says why.
    ended?;
    sent.map_err(|error| Failure::Refused(format!("copying {source} failed: {error}")))
}

async fn from_pod(args: &Args, place: &Place<'_>, local: &str, server: &Server) -> Result<(), Failure> {
    let pod = pod_of(place, server).await?;
    let mut session = begin(args, &pod, false, &["tar", "cf", "-", place.file], server).await?;
    let stdout = session.stdout.take();
    let destination = Destination::new(place.file, Path::new(local));
    let receiving = async {
        let Some(mut stdout) = stdout else { return Ok(()) };
        let unpacked = unpack::all(&mut stdout, place.file, &destination).await;
        // What follows the archive's end is read as well: whoever sends it must not wait for ever.
        let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
        unpacked
    };
    let (received, ended) = futures::join!(receiving, ended(session));
    ended?;
    received.map_err(|error| Failure::Refused(format!("copying {} failed: {error}", place.file)))
}

/// How a command ends whose complaints are shown.
async fn ended(mut session: Session) -> Result<(), Failure> {
    let (stdout, stderr) = (session.stdout.take(), session.stderr.take());
    let shown = async |from: Option<streams::PipeReader>| {
        let Some(mut from) = from else { return };
        let mut piece = vec![0; 4096];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            complain(&piece[..count]);
        }
    };
    futures::join!(shown(stdout), shown(stderr));
    session::ended(session.outcome.wait().await)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fake::{Fake, files};

    fn fake() -> Fake {
        Fake::of([json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"containers": [{"name": "app"}]}, "status": {"phase": "Running"},
        })])
    }

    #[test]
    fn files_go_there_and_come_back() {
        let root = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| root.path().join(name).display().to_string();
        std::fs::create_dir_all(at("src/below/empty")).expect("create");
        std::fs::write(at("src/below/a"), "hello").expect("write");
        std::fs::write(at("src/large"), "x".repeat(100_000)).expect("write");
        let fake = fake();
        // Into a folder, under another name, and into the folder where the command runs.
        for (target, command, prefix) in [
            ("/some/dir", "tar -xmf - -C /some/dir", "src"),
            ("/some/new", "tar -xmf - -C /some", "new"),
            ("new", "tar -xmf -", "new"),
        ] {
            assert_eq!(fake.run(&format!("cp {} web:{target}", at("src"))), "", "{target}");
            assert_eq!(files::COMMAND.take(), command);
            files::ARCHIVE.set(files::RECEIVED.take());
            let back = at(&format!("back{}", command.len()));
            assert_eq!(fake.run(&format!("cp default/web:{prefix} {back}")), "", "{target}");
            assert_eq!(std::fs::read_to_string(format!("{back}/below/a")).expect("it came back"), "hello");
            assert_eq!(std::fs::read_to_string(format!("{back}/large")).expect("it too").len(), 100_000);
            assert!(std::path::Path::new(&format!("{back}/below/empty")).is_dir());
        }
    }

    #[test]
    fn what_cannot_be_copied_is_told() {
        let cases = [
            ("cp a b", "kctl: one of src or dest must be a remote file specification\n[exit code 2]\n"),
            ("cp x:a y:b", "kctl: one of src or dest must be a local file specification\n[exit code 2]\n"),
            ("cp web: b", "kctl: filepath can not be empty\n[exit code 2]\n"),
            ("cp nowhere web:/x", "kctl: nowhere doesn't exist in local filesystem\n[exit code 1]\n"),
            (
                "cp a/b/c:d e",
                "kctl: a/b/c:d: filespec must match the canonical format: [[namespace/]pod:]file/path\n[exit code 2]\n",
            ),
            ("cp none:a b", "Error from server (NotFound): pods \"none\" not found\n[exit code 1]\n"),
            (
                "cp web:missing b",
                "tar: missing: No such file or directory\ncommand terminated with exit code 2\n[exit code 2]\n",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(fake().run(line), expected, "{line}");
        }
    }
}

//! A Docker Engine of a test's own, in a network namespace of its own: the user's is never met.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base::env;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Docker;

/// How long the engine may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine that ends with this, and with the thread that started it.
pub(super) struct Own {
    pub(super) engine: Arc<Docker>,
    process: Process,
}

impl Own {
    /// A new one; `None`, with a message, where that cannot be.
    pub(super) async fn start() -> Option<Self> {
        if let Some(missing) = missing() {
            let test = std::thread::current();
            let line = format!("SKIPPED: {}: {missing}\n", test.name().unwrap_or("a test"));
            // Past the capture of output: the list of what was skipped is made of such lines.
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let mut process = Process::start();
        let socket = process.folder.path().join("docker.sock").display().to_string();
        let deadline = env::monotonic() + PATIENCE;
        loop {
            match Docker::connect(&socket).await {
                Ok(engine) => return Some(Self { engine: Arc::new(engine), process }),
                Err(error) => assert!(env::monotonic() < deadline, "{error}: {}", process.log()),
            }
            let ended = process.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the engine ended: {}", process.log());
            env::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it and waits until nothing of it is left.
    pub(super) fn stop(self) {
        drop(self.process);
    }
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("a Docker Engine of one's own needs root");
    }
    let has = |program: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
    };
    if !["dockerd", "setpriv", "unshare"].into_iter().all(has) {
        return Some("dockerd, setpriv or unshare is not installed");
    }
    (!Path::new("/bin/busybox").exists()).then_some("busybox-static is not installed")
}

struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("settings.json"), "{}\n").expect("a file");
        let log = std::fs::File::create(at("log")).expect("a file");
        let mut command = Command::new("unshare");
        command.args(["--net", "setpriv", "--pdeathsig", "TERM", "dockerd", "--bridge", "none"]);
        command.args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
        command.args(["--userland-proxy=false", "--log-level", "warn", "--shutdown-timeout", "5"]);
        command.args(["--data-root", &at("data"), "--exec-root", &at("run"), "--pidfile", &at("pid")]);
        command.args([
            "--config-file",
            &at("settings.json"),
            "--host",
            &format!("unix://{}", at("docker.sock")),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self { child: command.spawn().expect("unshare"), folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        let deadline = env::monotonic() + PATIENCE;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if env::monotonic() > deadline {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(self.folder.path())) {
            let _ = Command::new("umount").args(["--lazy", point]).status();
        }
    }
}

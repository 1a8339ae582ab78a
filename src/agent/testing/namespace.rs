//! Hosts and pods of tests: network namespaces that live as long as a process that sleeps in each.

use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base::env;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long anything here may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace. It ends with this.
pub struct Namespace {
    sleeper: Child,
}

impl Namespace {
    /// A new one with its loopback interface up; `None`, with a message, where that cannot be.
    pub fn new() -> Option<Arc<Self>> {
        for (program, argument) in [("nft", "-v"), ("ip", "-V"), ("unshare", "-V"), ("nsenter", "-V")] {
            if !succeeds(Command::new(program).arg(argument)) {
                eprintln!("skipped: there is no {program}");
                return None;
            }
        }
        if !succeeds(Command::new("unshare").args(["-n", "nft", "list", "tables"])) {
            eprintln!("skipped: no network namespaces or nftables for this user");
            return None;
        }
        let sleeper = Command::new("unshare").args(["-n", "sleep", "infinity"]).spawn().expect("unshare");
        let namespace = Self { sleeper };
        let ours = std::fs::read_link("/proc/self/ns/net").expect("own namespace");
        let deadline = env::monotonic() + PATIENCE;
        while std::fs::read_link(namespace.path()).is_ok_and(|theirs| theirs == ours) {
            assert!(env::monotonic() < deadline, "unshare does not unshare");
            std::thread::yield_now();
        }
        namespace.run("ip link set lo up");
        Some(Arc::new(namespace))
    }

    /// The process that sleeps there.
    pub fn pid(&self) -> u32 {
        self.sleeper.id()
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }

    /// Runs a line of the shell inside and returns what it prints.
    pub fn run(&self, line: &str) -> String {
        let output = Command::new("nsenter")
            .args(["-t", &self.pid().to_string(), "-n", "sh", "-ec", line])
            .output()
            .expect("nsenter");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A thread of its own inside, that runs what `make` makes to its end.
    pub fn start<T, F>(
        self: &Arc<Self>,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> std::thread::JoinHandle<T>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let this = Arc::clone(self);
        let body = move || {
            let file = std::fs::File::open(this.path()).expect("namespace");
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), kind).expect("setns");
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(make())
        };
        env::thread("namespace", body).expect("thread")
    }

    /// The same, waited for.
    pub fn within<T, F>(self: &Arc<Self>, make: impl FnOnce() -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        match self.start(make).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.sleeper.kill();
        let _ = self.sleeper.wait();
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Joins two namespaces by a cable.
pub fn cable(left: &Namespace, left_name: &str, right: &Namespace, right_name: &str) {
    left.run(&format!(
        "ip link add {left_name} type veth peer name {right_name} netns {pid}; ip link set {left_name} up",
        pid = right.pid()
    ));
    right.run(&format!("ip link set {right_name} up"));
}

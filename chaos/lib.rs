//! Hurts a real cluster and checks what it promised. A black box: it starts the programs, talks HTTPS,
//! and reads what `keelson up` leaves in its directory; it knows nothing of their insides.
//!
//! # Flow
//! [`run`] gives a test its turn on the [`machine`]; the test starts a [`cluster`], puts [`traffic`] on
//! it, injects one of the [`faults`], heals it, and judges the [`evidence`] with the [`checks`].

pub mod by_hand;
pub mod checks;
pub mod client;
pub mod cluster;
pub mod engine_steps;
pub mod evidence;
pub mod faults;
pub mod held;
pub mod kubeconfig;
mod leftovers;
pub mod lossy;
pub mod machine;
pub mod nodes;
pub mod options;
pub mod process;
pub mod scenario;
pub mod traffic;
pub mod watch;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base::env;

pub use cluster::Cluster;
pub use machine::{Machine, Need, Programs};
pub use options::{Disks, Options};

/// The programs under test, where cargo built them. For integration tests of their package.
#[macro_export]
macro_rules! programs {
    () => {
        $crate::Programs {
            keelson: env!("CARGO_BIN_EXE_keelson").into(),
            kctl: env!("CARGO_BIN_EXE_kctl").into(),
        }
    };
}

/// Threads that the harness's own tasks run on: traffic must go on while a test waits.
const WORKER_THREADS: usize = 2;

/// How long one test may take: one that hangs is named, and the others still run. Many times what the slowest takes.
const TEST_TIMEOUT: Duration = Duration::from_secs(1200);

/// Says what is not tested on this machine, past the capture of a test's output: `make test` closes with it.
pub fn report_skipped(what: &str) {
    let test = std::thread::current();
    let line = format!("SKIPPED: {}: {what}\n", test.name().unwrap_or("a test"));
    // Without an error stream there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Runs one test when it is the turn of this process; says so and passes where the machine lacks what it needs.
///
/// # Panics
/// When the test fails.
pub fn run(programs: &Programs, needs: &[Need], test: impl AsyncFnOnce(&Arc<Machine>) -> Result<()>) {
    if let Some(missing) = needs.iter().find_map(|need| need.missing()) {
        report_skipped(missing);
        return;
    }
    let machine = Arc::new(Machine::claim(programs).expect("a turn on this machine"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .expect("a runtime needs only threads");
    let ended = runtime.block_on(async { env::timeout(TEST_TIMEOUT, test(&machine)).await });
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => panic!("{failure:#}"),
        Err(_) => panic!("hangs: it has not ended in {TEST_TIMEOUT:?}"),
    }
}

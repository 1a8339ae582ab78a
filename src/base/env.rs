//! The one door to time, randomness, spawning and blocking work.
//!
//! Everything else in the workspace is forbidden (by clippy) to call `SystemTime::now`,
//! `Instant::now`, `tokio::spawn` or `thread::spawn`. In production the functions below go to the
//! operating system; inside [`simulate`] they go to a seeded, virtual one, so that a whole cluster
//! in one thread runs the same way twice.
//!
//! # Guarantees
//! - Inside [`simulate`], time advances only when every task waits, and the same seed gives the same
//!   sequence of random numbers and the same interleaving of tasks.
//! - Outside, [`monotonic`] never goes back; [`wall_ms`] may (clocks are set), so nothing but stamps
//!   and certificates uses it.

#![expect(clippy::disallowed_methods, reason = "the one place that reaches the outside world")]

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

pub use tokio::task::JoinHandle;
pub use tokio::time::{Instant, Timeout, interval, sleep, sleep_until, timeout, timeout_at};

/// What a thread's code sees of the outside world.
pub trait Environment {
    /// Milliseconds since the Unix epoch.
    fn wall_ms(&self) -> u64;
    /// Uniformly distributed bits.
    fn random_u64(&self) -> u64;
    /// Whether blocking work must run inline, on the calling task.
    fn is_simulated(&self) -> bool;
}

/// The real world.
struct System;

impl Environment for System {
    fn wall_ms(&self) -> u64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_epoch.map_or(0, |elapsed| elapsed.as_millis() as u64)
    }

    fn random_u64(&self) -> u64 {
        rand::rng().next_u64()
    }

    fn is_simulated(&self) -> bool {
        false
    }
}

/// A world made from a seed: virtual time starts at [`SIMULATED_EPOCH_MS`].
struct Simulated {
    random: RefCell<SmallRng>,
    started: Instant,
}

/// Wall time at which every simulation starts: 2026-01-01T00:00:00Z.
pub const SIMULATED_EPOCH_MS: u64 = 1_767_225_600_000;

impl Environment for Simulated {
    fn wall_ms(&self) -> u64 {
        SIMULATED_EPOCH_MS + self.started.elapsed().as_millis() as u64
    }

    fn random_u64(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

thread_local! {
    static CURRENT: RefCell<Rc<dyn Environment>> = RefCell::new(Rc::new(System));
}

fn current<T>(ask: impl FnOnce(&dyn Environment) -> T) -> T {
    let environment = CURRENT.with(|current| Rc::clone(&current.borrow()));
    ask(&*environment)
}

/// Milliseconds since the Unix epoch. For stamps and certificates; durations use [`monotonic`].
pub fn wall_ms() -> u64 {
    current(|environment| environment.wall_ms())
}

/// A clock that never goes back; virtual inside [`simulate`].
pub fn monotonic() -> Instant {
    Instant::now()
}

/// 64 random bits.
pub fn random_u64() -> u64 {
    current(|environment| environment.random_u64())
}

/// 128 random bits.
pub fn random_u128() -> u128 {
    (u128::from(random_u64()) << 64) | u128::from(random_u64())
}

/// Whether this thread runs inside [`simulate`].
pub fn is_simulated() -> bool {
    current(|environment| environment.is_simulated())
}

/// Runs `future` concurrently on the current runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

/// Runs work that blocks (disk, locks held long) without holding up the runtime.
///
/// Inline inside [`simulate`], where there is one thread and disks take no time.
///
/// # Panics
/// Resumes a panic of `work` on the caller.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if is_simulated() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// Starts a named OS thread, for loops that block for their whole life (the log flusher).
///
/// # Errors
/// When the operating system refuses another thread.
pub fn thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}

/// On fewer cores a runtime gets one thread: waking another costs more than it takes over.
const CORES_TO_SHARE: usize = 4;

/// Worker threads for a runtime that has a use for `wanted` of them.
pub fn workers(wanted: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores < CORES_TO_SHARE { 1 } else { wanted.min(cores) }
}

/// Runs `future` to its end in one thread, on virtual time, with all randomness drawn from `seed`.
///
/// # Panics
/// When called inside another runtime, or when the runtime cannot be built.
pub fn simulate<F: Future>(seed: u64, future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    // Which of several tasks that wait on one channel wakes first is drawn from this.
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder.build().expect("a current-thread runtime needs no resources");
    let _inside = runtime.enter();
    let simulated =
        Simulated { random: RefCell::new(SmallRng::seed_from_u64(seed)), started: Instant::now() };
    let outer = CURRENT.replace(Rc::new(simulated));
    let _restore = RestoreOnDrop(Some(outer));
    runtime.block_on(future)
}

/// Puts the outer environment back, also when the simulated future panics.
struct RestoreOnDrop(Option<Rc<dyn Environment>>);

impl Drop for RestoreOnDrop {
    fn drop(&mut self) {
        if let Some(outer) = self.0.take() {
            CURRENT.set(outer);
        }
    }
}

/// Yields until `condition` holds, looking every `every`; `false` when `limit` passed first.
pub async fn wait_until(limit: Duration, every: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = monotonic() + limit;
    while !condition() {
        if monotonic() >= deadline {
            return false;
        }
        sleep(every).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(seed: u64) -> (Vec<u64>, u64) {
        simulate(seed, async {
            let task = spawn(async {
                sleep(Duration::from_secs(60)).await;
                random_u64()
            });
            let numbers = vec![random_u64(), random_u64(), task.await.expect("task")];
            (numbers, wall_ms())
        })
    }

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(observe(7), observe(7));
        assert_ne!(observe(7).0, observe(8).0);
    }

    #[test]
    fn an_hour_of_virtual_time_is_exact() {
        assert_eq!(observe(1).1, SIMULATED_EPOCH_MS + 60_000);
    }

    #[test]
    fn the_outer_environment_returns_after_a_panic() {
        let crashed = std::panic::catch_unwind(|| simulate(1, async { panic!("inside") }));
        assert!(crashed.is_err());
        assert!(!is_simulated());
    }
}

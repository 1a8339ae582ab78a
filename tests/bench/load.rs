//! Load on a server: clients that call one after another, and writes at a given rate.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use base::env;

use crate::stats::Latencies;

/// What is called. Shared by all clients.
pub trait Target: Send + Sync + 'static {
    /// The `sequence`th call of client `client`; resolves when the server has accepted it.
    fn call(&self, client: usize, sequence: u64) -> impl Future<Output = Result<()>> + Send;
}

/// How much load, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Clients; each has one call in flight.
    pub clients: usize,
    /// Calls begun before this has passed are made but not counted.
    pub warm_up: Duration,
    /// How long calls are counted for.
    pub measured: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Load {
    /// Of the accepted calls that were counted.
    pub latencies: Latencies,
    /// From the end of the warm-up to the end of the last counted call.
    pub took: Duration,
    /// Calls that failed, warm-up included.
    pub failed: u64,
    /// What the first failure said.
    pub first_failure: Option<String>,
}

impl Load {
    /// Accepted calls in a second.
    pub fn per_second(&self) -> f64 {
        self.latencies.count() as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// `3240/s, p50 12.1 ms, p99 80.2 ms, 0 failed`.
    pub fn text(&self) -> String {
        let ms = |latency: Duration| latency.as_secs_f64() * 1000.0;
        let (p50, p99) = (ms(self.latencies.p50()), ms(self.latencies.p99()));
        let failure = self.first_failure.as_deref().map_or(String::new(), |text| format!(" (first: {text})"));
        format!(
            "{:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms, {} failed{failure}",
            self.per_second(),
            self.failed
        )
    }
}

/// More failed calls than this end a load: what is measured then is no longer the server's work.
const FAILED_MAX: u64 = 1000;

/// One client's part of a load.
#[derive(Default)]
struct Part {
    latencies: Latencies,
    last: Option<env::Instant>,
    failed: u64,
    first_failure: Option<String>,
}

/// Every client calls as soon as its last call was answered (a closed loop).
///
/// # Errors
/// When more than [`FAILED_MAX`] calls fail, or none is accepted.
pub async fn closed_loop<T: Target>(target: Arc<T>, shape: Shape) -> Result<Load> {
    let counted_from = env::monotonic() + shape.warm_up;
    let until = counted_from + shape.measured;
    let clients: Vec<_> = (0..shape.clients)
        .map(|client| env::spawn(run_client(Arc::clone(&target), client, counted_from, until)))
        .collect();
    let mut load =
        Load { latencies: Latencies::default(), took: shape.measured, failed: 0, first_failure: None };
    for client in clients {
        let part = client.await?;
        load.latencies.merge(&part.latencies);
        load.failed += part.failed;
        load.first_failure = load.first_failure.or(part.first_failure);
        load.took = load.took.max(part.last.map_or(Duration::ZERO, |last| last - counted_from));
    }
    if load.failed > FAILED_MAX || load.latencies.count() == 0 {
        bail!("the load is not usable: {}", load.text());
    }
    Ok(load)
}

async fn run_client<T: Target>(
    target: Arc<T>,
    client: usize,
    counted_from: env::Instant,
    until: env::Instant,
) -> Part {
    let mut part = Part::default();
    for sequence in 0.. {
        let started = env::monotonic();
        if started >= until || part.failed > FAILED_MAX {
            break;
        }
        let answer = target.call(client, sequence).await;
        let ended = env::monotonic();
        match answer {
            Ok(()) if started >= counted_from => {
                part.latencies.record(ended - started);
                part.last = Some(ended);
            }
            Ok(()) => {}
            Err(error) => {
                part.failed += 1;
                part.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
    part
}

/// Makes exactly `count` calls with `clients` in flight, as fast as they are accepted. Returns how
/// long that took.
///
/// # Errors
/// The first call that fails.
pub async fn exactly<T: Target>(target: Arc<T>, clients: usize, count: u64) -> Result<Duration> {
    let started = env::monotonic();
    let step = clients as u64;
    let workers = (0..clients).map(|client| {
        let target = Arc::clone(&target);
        env::spawn(async move {
            for sequence in (client as u64..count).step_by(step as usize) {
                target.call(client, sequence).await?;
            }
            anyhow::Ok(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    Ok(started.elapsed())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Answers after 10 ms; every tenth call of a client fails.
    #[derive(Default)]
    struct Slow {
        calls: AtomicU64,
        failing: bool,
    }

    impl Target for Slow {
        async fn call(&self, _client: usize, sequence: u64) -> Result<()> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            env::sleep(Duration::from_millis(10)).await;
            if self.failing && sequence % 10 == 9 { Err(anyhow::anyhow!("refused")) } else { Ok(()) }
        }
    }

    fn shape(clients: usize) -> Shape {
        Shape { clients, warm_up: Duration::from_secs(1), measured: Duration::from_secs(10) }
    }

    #[test]
    fn a_closed_loop_has_one_call_in_flight_per_client() {
        let load = env::simulate(1, closed_loop(Arc::new(Slow::default()), shape(4))).expect("load");
        assert!((390.0..=400.0).contains(&load.per_second()), "{}", load.text());
        assert!((9_900..=10_100).contains(&load.latencies.p99().as_micros()), "{}", load.text());
        assert_eq!(load.failed, 0);
    }

    #[test]
    fn failed_calls_are_reported_and_not_counted_as_accepted() {
        let target = Arc::new(Slow { failing: true, ..Slow::default() });
        let load = env::simulate(1, closed_loop(target, shape(4))).expect("load");
        assert!((350.0..=361.0).contains(&load.per_second()), "{}", load.text());
        assert!(load.failed > 400 && load.first_failure.as_deref() == Some("refused"), "{}", load.text());
    }

    #[test]
    fn a_load_of_failures_is_refused() {
        struct Refusing;
        impl Target for Refusing {
            async fn call(&self, _client: usize, _sequence: u64) -> Result<()> {
                env::sleep(Duration::from_millis(1)).await;
                anyhow::bail!("no quorum")
            }
        }
        let error = env::simulate(1, closed_loop(Arc::new(Refusing), shape(2))).expect_err("refused");
        assert!(error.to_string().contains("no quorum"), "{error}");
    }

    #[test]
    fn exactly_so_many_calls_are_made() {
        for (clients, count) in [(1, 1), (3, 10), (8, 5), (4, 0)] {
            let target = Arc::new(Slow::default());
            env::simulate(1, exactly(Arc::clone(&target), clients, count)).expect("calls");
            assert_eq!(target.calls.load(Ordering::Relaxed), count, "{clients} clients");
        }
    }
}

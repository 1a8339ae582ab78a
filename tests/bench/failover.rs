//! How long after a fault the survivors accept a write again.

use std::time::Duration;

use anyhow::{Result, bail};
use base::env;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::load::Target;

/// A fresh attempt on every survivor this often, beside those still in flight: an attempt may be
/// lost with the old leader and answer only after its time limit.
const PROBE_EVERY: Duration = Duration::from_millis(10);

/// Writes to every survivor (a client of `target` each) until one accepts. Returns the time from
/// `since` (the fault) to that answer.
///
/// # Errors
/// When `limit` passes first; the text holds the last refusal.
pub async fn first_accepted<T: Target>(
    target: &T,
    survivors: usize,
    since: env::Instant,
    limit: Duration,
) -> Result<Duration> {
    let mut attempts = FuturesUnordered::new();
    let mut ticks = env::interval(PROBE_EVERY);
    let mut last_refusal = "no answer at all".to_owned();
    let mut sequence = 0;
    loop {
        tokio::select! {
            biased;
            Some(answer) = attempts.next() => match answer {
                Ok(()) => return Ok(since.elapsed()),
                Err(refusal) => last_refusal = format!("{refusal:#}"),
            },
            _ = ticks.tick() => {
                if since.elapsed() > limit {
                    bail!("no write was accepted within {limit:?}; last: {last_refusal}");
                }
                (0..survivors).for_each(|survivor| attempts.push(target.call(survivor, sequence)));
                sequence += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Client 0 never answers, client 1 refuses until a moment and accepts afterwards.
    struct Healing {
        started: env::Instant,
        heals_after: Duration,
    }

    impl Target for Healing {
        async fn call(&self, client: usize, _sequence: u64) -> Result<()> {
            if client == 0 {
                std::future::pending::<()>().await;
            }
            env::sleep(Duration::from_millis(1)).await;
            if self.started.elapsed() < self.heals_after { bail!("no leader") } else { Ok(()) }
        }
    }

    fn outage(heals_after: Duration) -> Result<Duration> {
        env::simulate(1, async {
            let target = Healing { started: env::monotonic(), heals_after };
            first_accepted(&target, 2, target.started, Duration::from_secs(5)).await
        })
    }

    #[test]
    fn the_outage_ends_with_the_first_accepted_write() {
        let took = outage(Duration::from_millis(700)).expect("heals").as_millis();
        assert!((700..715).contains(&took), "{took}");
    }

    #[test]
    fn an_endless_outage_is_an_error_with_the_last_refusal() {
        let error = outage(Duration::from_secs(60)).expect_err("endless").to_string();
        assert!(error.contains("no leader"), "{error}");
    }
}

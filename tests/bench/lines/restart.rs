//! A master with many objects ends and starts again; how long until it is ready.

use std::time::Duration;

use anyhow::{Result, bail};
use base::env;
use chaos::process::{Signal, signal, wait_gone};

use crate::bench::Bench;
use crate::keelson::cluster::Cluster;
use crate::keelson::http::Protocol;
use crate::report::{Row, Target, Value};
use crate::scale;
use crate::stats::Samples;

const READY_MAX_MS: f64 = 5000.0;
/// A master that has not ended by then does not obey the signal.
const END_MAX: Duration = Duration::from_secs(60);
/// A master that is not ready by then never will be.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Between two looks at readiness.
const POLL_EVERY: Duration = Duration::from_millis(10);

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    bench.fill().await?;
    let cluster = bench.cluster()?;
    let mut rows = Vec::new();
    for (name, ending) in [("after SIGTERM, worst", Signal::TERM), ("after SIGKILL, worst", Signal::KILL)] {
        let mut samples = Samples::default();
        for _ in 0..scale::RESTARTS {
            // A follower: ending the leader is what other lines measure.
            let follower = cluster.whole().await?.followers.remove(0);
            samples.push(restarted(cluster, &follower, ending).await?);
        }
        let target = Target::AtMost(Value::Ms(READY_MAX_MS));
        let row = Row::alone(name, Value::ms(samples.worst()), target);
        rows.push(row.note(format!("from exec of `keelson up` to /readyz: {}", samples.listed_ms())));
    }
    Ok(rows)
}

async fn restarted(cluster: &Cluster, master: &str, ending: Signal) -> Result<Duration> {
    let pid = cluster.pid(master)?;
    signal(pid, ending)?;
    wait_gone(pid, END_MAX).await?;
    let started = env::monotonic();
    let ready = async {
        while !is_ready(cluster, master).await {
            if started.elapsed() > WAIT_MAX {
                bail!("{master} is not ready after {WAIT_MAX:?}");
            }
            env::sleep(POLL_EVERY).await;
        }
        Ok(started.elapsed())
    };
    let (up, ready) = futures::join!(cluster.start_missing(), ready);
    up?;
    ready
}

async fn is_ready(cluster: &Cluster, master: &str) -> bool {
    let Ok(connection) = cluster.connect(master, Protocol::Http1).await else { return false };
    connection.get("/readyz").await.is_ok()
}

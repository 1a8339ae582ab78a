//! Logs and metrics.

use std::io::IsTerminal;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Metric, Registry};

/// What is logged unless `KEELSON_LOG` says otherwise. openraft tells at `info` what each change of members
/// or votes does inside, in lines of a kilobyte; at `warn` every heartbeat that fails, twenty a second; and
/// at `error` every change of members that has to wait for the one before it.
const DEFAULT_FILTER: &str = "info,openraft=error,openraft::raft::api::management=off";

/// Writes log lines to standard error, coloured on a terminal: `KEELSON_LOG` filters (default
/// [`DEFAULT_FILTER`]).
///
/// Idempotent: a second call in one process changes nothing.
pub fn init_logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KEELSON_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(DEFAULT_FILTER));
    let ansi = std::io::stderr().is_terminal();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(std::io::stderr)
        .try_init();
}

/// The metrics of one process, served as Prometheus text. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// An empty set whose names will all start with `keelson_`.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("keelson"))))
    }

    /// Registers `metric` (a cheap handle) and returns it.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.0.lock().register(name, help, metric.clone());
        metric
    }

    /// Registers a counter that somebody else keeps, with a label `part`: `read` is asked at each scrape.
    pub fn register_parts<F>(&self, name: &'static str, help: &'static str, read: F)
    where
        F: Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static,
    {
        self.0.lock().register_collector(Box::new(Parts { name, help, read }));
    }

    /// The OpenMetrics text of everything registered.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Formatting into a String cannot fail.
        let _ = encode(&mut text, &self.0.lock());
        text
    }
}
/// A counter by part.
struct Parts<F> {
    name: &'static str,
    help: &'static str,
    read: F,
}

impl<F> std::fmt::Debug for Parts<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl<F> Collector for Parts<F>
where
    F: Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut counters = encoder.encode_descriptor(self.name, self.help, None, MetricType::Counter)?;
        for (part, value) in (self.read)() {
            let labels = [("part", part)];
            counters
                .encode_family(&labels)?
                .encode_counter(&value, None::<&Exemplar<[(&str, &str); 0], u64>>)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_asked_for_at_each_scrape() {
        let metrics = Metrics::new();
        metrics.register_parts("written_bytes", "Bytes written", || vec![("log", 7), ("image flush", 0)]);
        let text = metrics.text();
        for line in [
            r#"keelson_written_bytes_total{part="log"} 7"#,
            r#"keelson_written_bytes_total{part="image flush"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
    }
}

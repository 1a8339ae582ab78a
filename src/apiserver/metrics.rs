//! Requests counted and timed, watches counted.

use std::time::Duration;

use api::Resource;
use base::telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds of the latency buckets in seconds: half a millisecond to the longest request.
const BUCKETS_S: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    resource: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LatencyLabels {
    verb: &'static str,
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    resource: String,
}

/// What this crate measures. Cheap to clone.
#[derive(Clone)]
pub struct ServerMetrics {
    requests: Family<RequestLabels, Counter>,
    latencies: Family<LatencyLabels, Histogram, fn() -> Histogram>,
    watches: Family<WatchLabels, Gauge>,
}

impl ServerMetrics {
    /// Registers everything.
    pub fn new(metrics: &Metrics) -> Self {
        let latencies: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS_S));
        Self {
            requests: metrics.register("apiserver_requests", "Requests answered", Family::default()),
            latencies: metrics.register(
                "apiserver_request_duration_seconds",
                "Time to the head of an answer, watches left out",
                latencies,
            ),
            watches: metrics.register("apiserver_open_watches", "Watches being served", Family::default()),
        }
    }

    /// Counts an answer. `resource` is empty for paths that are none.
    pub fn answered(&self, verb: &'static str, resource: &str, code: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { verb, resource: resource.to_owned(), code }).inc();
        if verb != "watch" {
            self.latencies
                .get_or_create(&LatencyLabels { verb, resource: resource.to_owned() })
                .observe(took.as_secs_f64());
        }
    }

    /// Counts a watch for as long as the result lives.
    pub fn open_watch(&self, row: &Resource) -> OpenWatch {
        let gauge = self.watches.get_or_create(&WatchLabels { resource: row.plural.clone() }).clone();
        gauge.inc();
        OpenWatch(gauge)
    }
}

/// One open watch.
pub struct OpenWatch(Gauge);

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.dec();
    }
}

//! What is measured of each controller.

use base::telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Which controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    controller: &'static str,
}

/// All of it.
#[derive(Clone)]
pub(crate) struct RunnerMetrics {
    plans: Family<Of, Counter>,
    plan_microseconds: Family<Of, Counter>,
    intents: Family<Of, Counter>,
    refused: Family<Of, Counter>,
    stale: Family<Of, Counter>,
    panics: Family<Of, Counter>,
    /// Keys that wait, of all controllers.
    pub waiting: Gauge,
}

impl RunnerMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let family = |name: &str, help: &str| metrics.register(name, help, Family::default());
        Self {
            plans: family("controller_plans", "Plans made, by controller"),
            plan_microseconds: family("controller_plan_microseconds", "Time that plans took, by controller"),
            intents: family("controller_intents", "Intents submitted, by controller"),
            refused: family("controller_intents_refused", "Intents that admission refused, by controller"),
            stale: family("controller_intents_stale", "Intents that came too late, by controller"),
            panics: family("controller_panics", "Plans that panicked, by controller"),
            waiting: metrics.register(
                "controller_keys_waiting",
                "Keys that wait for a plan",
                Gauge::default(),
            ),
        }
    }

    pub fn planned(&self, controller: &'static str, intents: usize, took: std::time::Duration) {
        let of = Of { controller };
        self.plans.get_or_create(&of).inc();
        self.plan_microseconds.get_or_create(&of).inc_by(took.as_micros() as u64);
        self.intents.get_or_create(&of).inc_by(intents as u64);
    }

    pub fn refused(&self, controller: &'static str) {
        self.refused.get_or_create(&Of { controller }).inc();
    }

    pub fn stale(&self, controller: &'static str) {
        self.stale.get_or_create(&Of { controller }).inc();
    }

    pub fn panicked(&self, controller: &'static str) {
        self.panics.get_or_create(&Of { controller }).inc();
    }
}

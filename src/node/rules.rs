//! The flags by which controllers act otherwise than usual.

use std::fmt;
use std::str::FromStr;

use projection::rules::Rules;

/// A span of time, written as Go writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    ms: u64,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ns = api::duration::parse(text).and_then(|ns| u64::try_from(ns).ok());
        let ms = ns.map(|ns| ns / 1_000_000).filter(|ms| *ms > 0);
        ms.map(|ms| Self { ms }).ok_or_else(|| "give a span of time like 9s or 1m30s".to_owned())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ms / 1000, self.ms % 1000) {
            (seconds, 0) => write!(to, "{seconds}s"),
            _ => write!(to, "{}ms", self.ms),
        }
    }
}

/// How many a second, kept as the time between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    interval_ms: Option<u64>,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0);
        let rate = rate.ok_or("give how many a second, like 0.1; 0 is none at all")?;
        Ok(Self { interval_ms: (rate > 0.0).then(|| (1000.0 / rate).round() as u64) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interval_ms {
            None => to.write_str("0"),
            Some(interval) => write!(to, "{}", 1000.0 / interval.max(1) as f64),
        }
    }
}

/// A part of something, kept in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    percent: usize,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        let share = share.ok_or("give a share from 0 to 1, like 0.55")?;
        Ok(Self { percent: (share * 100.0).round() as usize })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.percent as f64 / 100.0)
    }
}

/// Numbers by which controllers act. Every master must be told the same.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// How long a node may be silent before it counts as not ready; longer if its Lease says so.
    #[arg(long, value_name = "SPAN", default_value_t = Self::default().node_monitor_grace_period)]
    node_monitor_grace_period: Span,
    /// The same for a node that never spoke.
    #[arg(long, value_name = "SPAN", default_value_t = Self::default().node_startup_grace_period)]
    node_startup_grace_period: Span,
    /// From how many silent nodes of a zone pods are driven a second.
    #[arg(long, value_name = "RATE", default_value_t = Self::default().node_eviction_rate)]
    node_eviction_rate: Rate,
    /// The same in a large zone of which too many nodes are silent.
    #[arg(long, value_name = "RATE", default_value_t = Self::default().secondary_node_eviction_rate)]
    secondary_node_eviction_rate: Rate,
    /// How many nodes a zone may have without being large.
    #[arg(long, value_name = "NODES", default_value_t = Self::default().large_cluster_size_threshold)]
    large_cluster_size_threshold: usize,
    /// Which share of a zone's nodes that are silent is too many.
    #[arg(long, value_name = "SHARE", default_value_t = Self::default().unhealthy_zone_threshold)]
    unhealthy_zone_threshold: Share,
    /// How many pods that ended may stay.
    #[arg(long, value_name = "PODS", default_value_t = Self::default().terminated_pod_gc_threshold)]
    terminated_pod_gc_threshold: usize,
    /// How long an Event stays after it was last written.
    #[arg(long, value_name = "SPAN", default_value_t = Self::default().event_ttl)]
    event_ttl: Span,
}

impl Default for Flags {
    fn default() -> Self {
        let rules = Rules::default();
        Self {
            node_monitor_grace_period: Span { ms: rules.node_monitor_grace_ms },
            node_startup_grace_period: Span { ms: rules.node_startup_grace_ms },
            node_eviction_rate: Rate { interval_ms: rules.node_eviction_interval_ms },
            secondary_node_eviction_rate: Rate { interval_ms: rules.secondary_node_eviction_interval_ms },
            large_cluster_size_threshold: rules.large_cluster_size_threshold,
            unhealthy_zone_threshold: Share { percent: rules.unhealthy_zone_percent },
            terminated_pod_gc_threshold: rules.terminated_pod_gc_threshold,
            event_ttl: Span { ms: rules.event_ttl_ms },
        }
    }
}

impl Flags {
    /// What they say.
    pub fn rules(&self) -> Rules {
        Rules {
            node_monitor_grace_ms: self.node_monitor_grace_period.ms,
            node_startup_grace_ms: self.node_startup_grace_period.ms,
            node_eviction_interval_ms: self.node_eviction_rate.interval_ms,
            secondary_node_eviction_interval_ms: self.secondary_node_eviction_rate.interval_ms,
            large_cluster_size_threshold: self.large_cluster_size_threshold,
            unhealthy_zone_percent: self.unhealthy_zone_threshold.percent,
            terminated_pod_gc_threshold: self.terminated_pod_gc_threshold,
            event_ttl_ms: self.event_ttl.ms,
        }
    }

    /// Each with its name and its value.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("node-monitor-grace-period", self.node_monitor_grace_period.to_string()),
            ("node-startup-grace-period", self.node_startup_grace_period.to_string()),
            ("node-eviction-rate", self.node_eviction_rate.to_string()),
            ("secondary-node-eviction-rate", self.secondary_node_eviction_rate.to_string()),
            ("large-cluster-size-threshold", self.large_cluster_size_threshold.to_string()),
            ("unhealthy-zone-threshold", self.unhealthy_zone_threshold.to_string()),
            ("terminated-pod-gc-threshold", self.terminated_pod_gc_threshold.to_string()),
            ("event-ttl", self.event_ttl.to_string()),
        ]
    }
}

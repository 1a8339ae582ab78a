//! Latencies and what is said about them.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Three significant digits: a bucket is never wider than 0.1 % of its value.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Longer than any limit in this program; what is longer still counts as this.
const LATENCY_MAX_US: u64 = 600_000_000;

/// How long operations took, in microseconds, kept as counts.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_US, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds and digits are constants in range"))
    }
}

impl Latencies {
    /// Counts one operation.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record((took.as_micros() as u64).clamp(1, LATENCY_MAX_US));
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The smallest latency that `share` (0 to 1) of the operations did not exceed; zero when none
    /// was counted.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }

    /// Half of the operations were no slower.
    pub fn p50(&self) -> Duration {
        self.quantile(0.50)
    }

    /// One in a hundred was slower.
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }
}

/// A few single measurements of the same thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The middle one (the mean of the middle two); zero when there is none.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        match sorted.len() {
            0 => Duration::ZERO,
            odd if odd % 2 == 1 => sorted[odd / 2],
            even => (sorted[even / 2 - 1] + sorted[even / 2]) / 2,
        }
    }

    /// The longest; zero when there is none.
    pub fn worst(&self) -> Duration {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// Every one in milliseconds, in the order taken, for a note under the table.
    pub fn listed_ms(&self) -> String {
        let texts: Vec<String> = self.0.iter().map(|sample| sample.as_millis().to_string()).collect();
        format!("[{}] ms", texts.join(", "))
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(micros: impl IntoIterator<Item = u64>) -> Latencies {
        let mut all = Latencies::default();
        micros.into_iter().for_each(|us| all.record(Duration::from_micros(us)));
        all
    }

    #[test]
    fn quantiles_of_a_uniform_thousand() {
        let all = latencies(1..=1000);
        assert_eq!(all.count(), 1000);
        assert_eq!(all.p50(), Duration::from_micros(500));
        assert_eq!(all.p99(), Duration::from_micros(990));
        assert_eq!(all.quantile(1.0), Duration::from_micros(1000));
    }

    #[test]
    fn merging_counts_both() {
        let mut all = latencies([10; 99]);
        all.merge(&latencies([9000]));
        assert_eq!((all.count(), all.p50()), (100, Duration::from_micros(10)));
        assert!(all.quantile(1.0) >= Duration::from_micros(8991), "{:?}", all.quantile(1.0));
    }

    #[test]
    fn nothing_counted_is_zero_and_the_endless_is_the_bound() {
        assert_eq!(Latencies::default().p99(), Duration::ZERO);
        let endless = latencies([u64::MAX / 2]).p50().as_micros() as u64;
        assert!(endless.abs_diff(LATENCY_MAX_US) < LATENCY_MAX_US / 1000, "{endless}");
    }

    #[test]
    fn medians() {
        let check = |given: &[u64], median: u64, worst: u64| {
            let samples: Samples = given.iter().copied().map(Duration::from_millis).collect();
            assert_eq!(samples.median(), Duration::from_millis(median), "{given:?}");
            assert_eq!(samples.worst(), Duration::from_millis(worst), "{given:?}");
        };
        check(&[], 0, 0);
        check(&[7], 7, 7);
        check(&[9, 1, 5], 5, 9);
        check(&[4, 1, 100, 2], 3, 100);
    }
}

//! Stands in for the crate of this name, in which openraft counts the sizes of its batches: as much of it as openraft
//! uses. The other one makes tables for sixteen precisions, of which one is used, when the first value is counted: 27 MiB
//! in each master, as much as all else that an idle one holds.

use std::fmt;
use std::marker::PhantomData;

/// How often values were seen, in four buckets for each power of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: Box<[u64]>,
    samples: u64,
    of: PhantomData<T>,
}

/// The values below 4, and four buckets for each higher bit.
const BUCKETS: usize = 4 + 4 * 62;

impl<T> Histogram<T> {
    /// Nothing was seen.
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into(), samples: 0, of: PhantomData }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value so many times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        self.counts[bucket(value)] += count;
        self.samples += count;
    }

    /// How many values were seen, and up to the bucket of which how many lie.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.samples,
            p0_1: self.percentile(1),
            p1: self.percentile(10),
            p5: self.percentile(50),
            p10: self.percentile(100),
            p50: self.percentile(500),
            p90: self.percentile(900),
            p99: self.percentile(990),
            p99_9: self.percentile(999),
        }
    }

    /// The lowest value of the bucket up to which so many of a thousand lie; 0 when nothing was seen.
    fn percentile(&self, permille: u128) -> u64 {
        let wanted = (u128::from(self.samples) * permille).div_ceil(1_000);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += u128::from(*count);
            seen >= wanted
        });
        lowest(found.unwrap_or(0))
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn bucket(value: u64) -> usize {
    let Some(top) = value.checked_ilog2().filter(|top| *top >= 2) else { return value as usize };
    let within = (value >> (top - 2)) & 3;
    4 * (top as usize - 1) + within as usize
}

/// The lowest value of a bucket.
fn lowest(bucket: usize) -> u64 {
    match bucket {
        0..4 => bucket as u64,
        _ => ((4 + bucket % 4) as u64) << (bucket / 4 - 1),
    }
}

/// How many values there are, and up to the bucket of which so many of them lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p50, p90, p99, p99_9, .. } = self;
        write!(
            f,
            "{samples} samples, half up to about {p50}, 90 % to {p90}, 99 % to {p99}, 99.9 % to {p99_9}"
        )
    }
}

/// Histograms by name.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart(Vec<(String, Histogram)>);

impl AsciiChart {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    #[must_use]
    pub fn add(mut self, name: &str, histogram: Histogram) -> Self {
        self.0.push((name.to_owned(), histogram));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_what_belongs_to_them() {
        for found in 0..BUCKETS {
            let begins = lowest(found);
            assert_eq!(bucket(begins), found);
            if found > 0 {
                assert_eq!(bucket(begins - 1), found - 1);
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_seen() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats().p99_9, 0);
        (1..=1_000).for_each(|value| histogram.record(value));
        let found = histogram.percentile_stats();
        assert_eq!((found.samples, found.p0_1, found.p1, found.p10), (1_000, 1, 10, 96));
        assert_eq!((found.p5, found.p50, found.p90, found.p99, found.p99_9), (48, 448, 896, 896, 896));
    }
}

//! How long recent operations took, as a percentile over the last minute.

use std::time::Duration;

use base::env::{Instant, monotonic};
use parking_lot::Mutex;

/// Slices that make up the window; the oldest is dropped as a whole.
const SLICES: usize = 6;

/// What one slice covers: six of them are the last minute.
const SLICE: Duration = Duration::from_secs(10);

/// Bucket `i` counts durations up to `FIRST_BUCKET_US * 1.25^i`; the last is about 3.4 hours.
const BUCKETS: usize = 88;

/// The upper end of the first bucket, in microseconds.
const FIRST_BUCKET_US: f64 = 40.0;

/// How much wider each bucket is than the one before: a percentile is at most this much too high.
const GROWTH: f64 = 1.25;

/// A histogram over the last minute.
#[derive(Debug)]
pub struct Latency {
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    slices: [[u32; BUCKETS]; SLICES],
    current: usize,
    current_since: Instant,
}

impl Default for Latency {
    fn default() -> Self {
        let window = Window { slices: [[0; BUCKETS]; SLICES], current: 0, current_since: monotonic() };
        Self { window: Mutex::new(window) }
    }
}

impl Latency {
    /// Counts one operation.
    pub fn record(&self, took: Duration) {
        self.record_at(monotonic(), took);
    }

    /// The 99th percentile of the last minute in milliseconds, `None` when nothing was recorded.
    pub fn p99_ms(&self) -> Option<f64> {
        self.p99_ms_at(monotonic())
    }

    fn record_at(&self, now: Instant, took: Duration) {
        let mut window = self.window.lock();
        window.turn_to(now);
        let current = window.current;
        window.slices[current][bucket_of(took)] += 1;
    }

    fn p99_ms_at(&self, now: Instant) -> Option<f64> {
        let mut window = self.window.lock();
        window.turn_to(now);
        let count_of =
            |bucket: usize| window.slices.iter().map(|slice| u64::from(slice[bucket])).sum::<u64>();
        let total: u64 = (0..BUCKETS).map(count_of).sum();
        let mut rest = total.div_ceil(100);
        // From the slowest down: the bucket that holds the slowest hundredth's fastest member.
        for bucket in (0..BUCKETS).rev() {
            let count = count_of(bucket);
            if count > 0 && count >= rest {
                return Some(upper_us(bucket) / 1_000.0);
            }
            rest -= count;
        }
        None
    }
}

impl Window {
    /// Clears the slices that have become older than a minute.
    fn turn_to(&mut self, now: Instant) {
        let slices_passed = now.saturating_duration_since(self.current_since).as_secs() / SLICE.as_secs();
        for _ in 0..slices_passed.min(SLICES as u64) {
            self.current = (self.current + 1) % SLICES;
            self.slices[self.current] = [0; BUCKETS];
        }
        self.current_since += SLICE * slices_passed as u32;
    }
}

fn upper_us(bucket: usize) -> f64 {
    FIRST_BUCKET_US * GROWTH.powi(bucket as i32)
}

fn bucket_of(took: Duration) -> usize {
    let us = took.as_micros() as f64;
    (0..BUCKETS).find(|&bucket| us <= upper_us(bucket)).unwrap_or(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_hundredth_decides_and_is_forgotten_after_a_minute() {
        let latency = Latency::default();
        let start = monotonic();
        let p99_at = |second| latency.p99_ms_at(start + Duration::from_secs(second));
        assert_eq!(p99_at(0), None);
        for _ in 0..98 {
            latency.record_at(start, Duration::from_millis(1));
        }
        let within =
            |found: Option<f64>, ms: f64| found.is_some_and(|found| found >= ms && found < ms * GROWTH);
        assert!(within(p99_at(0), 1.0), "{:?}", p99_at(0));
        latency.record_at(start, Duration::from_millis(80));
        latency.record_at(start, Duration::from_millis(90));
        assert!(within(p99_at(1), 80.0) || within(p99_at(1), 90.0), "{:?}", p99_at(1));
        assert!(p99_at(49).is_some());
        assert_eq!(p99_at(75), None);
        assert_eq!(p99_at(1_000_000), None);
    }
}

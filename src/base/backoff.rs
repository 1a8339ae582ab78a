//! How long to wait before the next try.

use std::time::Duration;

/// Doubling delays between two bounds, with up to a quarter of jitter so that callers spread out.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `min` and doubles up to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The delay before the next try; each call doubles it.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.max);
        let quarter_ms = (delay.as_millis() as u64 / 4).max(1);
        delay + Duration::from_millis(crate::env::random_u64() % quarter_ms)
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_the_bound_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        let floors: Vec<u128> = (0..4).map(|_| backoff.next_delay().as_millis() / 50 * 50).collect();
        assert!(floors[0] >= 100 && floors[0] < 130, "{floors:?}");
        assert!(floors[1] >= 200 && floors[1] < 260, "{floors:?}");
        assert!(floors[3] >= 350 && floors[3] < 440, "{floors:?}");
        backoff.reset();
        assert!(backoff.next_delay() < Duration::from_millis(130));
    }
}

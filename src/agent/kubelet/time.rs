//! Milliseconds since the epoch, and the seconds that objects hold.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// The time as an object holds it: whole seconds.
pub fn time(ms: u64) -> Time {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}

/// The milliseconds of an object's time.
pub fn millis(time: &Time) -> u64 {
    u64::try_from(time.0.as_millisecond()).unwrap_or(0)
}

/// The milliseconds of a text as engines write it; 0 for what never was.
pub fn parse(text: &str) -> u64 {
    let parsed: Option<Timestamp> = text.parse().ok();
    parsed.map_or(0, |time| u64::try_from(time.as_millisecond()).unwrap_or(0))
}

/// A wait as Go writes it: `10s`, `2m40s`, `5m0s`, `1.203s`, `15ms`.
pub fn span(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let (minutes, rest) = (ms / 60_000, ms % 60_000);
    let seconds = match rest % 1000 {
        0 => format!("{}s", rest / 1000),
        fraction => format!("{}.{}s", rest / 1000, format!("{fraction:03}").trim_end_matches('0')),
    };
    match minutes {
        0 => seconds,
        1..60 => format!("{minutes}m{seconds}"),
        _ => format!("{}h{}m{seconds}", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_read_as_in_go() {
        let shown: Vec<String> = [0, 15, 1203, 1500, 10_000, 160_000, 300_000, 3_600_000].map(span).to_vec();
        assert_eq!(shown, ["0s", "15ms", "1.203s", "1.5s", "10s", "2m40s", "5m0s", "1h0m0s"]);
    }

    #[test]
    fn an_engine_that_never_started_a_container_gives_no_time() {
        assert_eq!(parse("0001-01-01T00:00:00Z"), 0);
        assert_eq!(parse("2026-01-01T00:00:00.123456789Z"), 1_767_225_600_123);
    }
}

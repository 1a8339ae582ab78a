//! Times as the API writes them (RFC 3339, whole seconds, UTC), and ages as tables show them.

mod layout;

pub use layout::refusal;

const DAY_S: u64 = 86_400;

/// `2026-01-01T00:00:00Z` for milliseconds since the Unix epoch; fractions of a second are cut.
pub fn rfc3339(epoch_ms: u64) -> String {
    seconds(i64::try_from(epoch_ms).unwrap_or(i64::MAX / 1000).saturating_mul(1000))
}

/// The same for microseconds, which may lie before the epoch.
pub fn seconds(epoch_us: i64) -> String {
    let epoch_s = epoch_us.div_euclid(1_000_000);
    let (year, month, day) = civil_from_days(epoch_s.div_euclid(DAY_S as i64));
    let second = epoch_s.rem_euclid(DAY_S as i64);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// `2026-01-01T00:00:00.000000Z`.
pub fn micro(epoch_us: i64) -> String {
    let whole = seconds(epoch_us);
    format!("{}.{:06}Z", whole.trim_end_matches('Z'), epoch_us.rem_euclid(1_000_000))
}

/// Milliseconds since the Unix epoch for RFC 3339 text with any offset; `None` for anything else and
/// for times before the epoch.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    u64::try_from(parse(text)?).ok().map(|epoch_us| epoch_us / 1000)
}

/// Microseconds since the Unix epoch for RFC 3339 text with six decimals; `None` for anything else.
pub fn parse_micro(text: &str) -> Option<i64> {
    let decimals = text.get(19..)?.strip_prefix('.')?;
    let length = decimals.bytes().take_while(u8::is_ascii_digit).count();
    if length == 6 { parse(text) } else { None }
}

/// Microseconds since the Unix epoch for RFC 3339 text with any offset; `None` for anything else.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !text.is_ascii() || bytes.len() < 20 || separators.iter().any(|&(at, byte)| bytes[at] != byte) {
        return None;
    }
    let year = digits(&bytes[..4])? as i64;
    let month = digits(&bytes[5..7]).filter(|month| (1..=12).contains(month))?;
    let day = digits(&bytes[8..10]).filter(|day| *day >= 1 && *day <= days_in(year, month))?;
    let hour = digits(&bytes[11..13]).filter(|hour| *hour < 24)?;
    let minute = digits(&bytes[14..16]).filter(|minute| *minute < 60)?;
    let second = digits(&bytes[17..19]).filter(|second| *second < 60)?;
    let (fraction_us, zone) = split_fraction(&bytes[19..])?;
    let offset_s = zone_offset_s(zone)?;
    let local_s =
        days_from_civil(year, month, day) * DAY_S as i64 + (hour * 3600 + minute * 60 + second) as i64;
    Some((local_s - offset_s) * 1_000_000 + fraction_us)
}

/// A span of time in a table: `45s`, `3m2s`, `5h`, `2d3h`, `400d`, in the steps `kubectl` users know. Clocks may differ
/// a little: what lies up to a second ahead is now.
pub fn span(elapsed_us: i64) -> String {
    let seconds = match elapsed_us / 1_000_000 {
        ..-1 => return "<invalid>".to_owned(),
        seconds => seconds.max(0).unsigned_abs(),
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / DAY_S);
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => pair(days, "d", hours % 24, "h"),
        () if days < 2 * 365 => format!("{days}d"),
        () if days < 8 * 365 => pair(days / 365, "y", days % 365, "d"),
        () => format!("{}y", days / 365),
    }
}

fn pair(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

fn digits(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}

/// Splits `.123456Z` into its microseconds and the zone behind them.
fn split_fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(fraction) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let place = |at: usize| fraction[..length].get(at).map_or(0, |byte| i64::from(byte - b'0'));
    Some(((0..6).fold(0, |us, at| us * 10 + place(at)), &fraction[length..]))
}

fn zone_offset_s(zone: &[u8]) -> Option<i64> {
    let (sign, rest) = match zone {
        b"Z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    if rest.len() != 5 || rest[2] != b':' {
        return None;
    }
    let (hours, minutes) = (digits(&rest[..2])?, digits(&rest[3..])?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i64)
}

fn days_in(year: i64, month: u64) -> u64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: years begin in March, so that the leap
/// day comes last, and 400-year eras all have 146,097 days.
fn days_from_civil(year: i64, month: u64, day: u64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month as i64 + 9) % 12) + 2) / 5 + day as i64 - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u64;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u64;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_to_text_and_back() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_000, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ];
        for (epoch_ms, text) in cases {
            assert_eq!(rfc3339(epoch_ms), text);
            assert_eq!(parse_rfc3339(text), Some(epoch_ms));
        }
    }

    #[test]
    fn every_day_of_four_centuries_round_trips() {
        for day in 0..146_097 * 2 {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
        }
    }

    #[test]
    fn other_spellings_and_what_is_no_time() {
        assert_eq!(parse_rfc3339("2026-01-01T01:00:00.250+01:00"), Some(1_767_225_600_250));
        assert_eq!(parse_rfc3339("2025-12-31T19:00:00-05:00"), Some(1_767_225_600_000));
        for text in [
            "",
            "2026-01-01",
            "2026-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1:00",
            "1969-12-31T23:59:59Z",
            "2026-01-01 00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn microseconds_and_times_before_the_epoch() {
        let text = "2026-01-01T00:00:00.000250Z";
        assert_eq!(parse_micro(text), Some(1_767_225_600_000_250));
        assert_eq!(micro(1_767_225_600_000_250), text);
        assert_eq!(parse_micro("2026-01-01T00:00:00Z"), None);
        assert_eq!(parse_micro("2026-01-01T00:00:00.25Z"), None);
        let before = parse("1969-12-31T23:59:59.5Z").expect("a time");
        assert_eq!((seconds(before).as_str(), before), ("1969-12-31T23:59:59Z", -500_000));
        assert_eq!(parse("0001-01-01T00:00:00Z").map(seconds).as_deref(), Some("0001-01-01T00:00:00Z"));
    }

    #[test]
    fn spans() {
        let (minute, hour, day) = (60, 3600, 86_400);
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 5, "2m5s"),
            (10 * minute + 5, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (7 * hour + 30 * minute, "7h30m"),
            (47 * hour, "47h"),
            (2 * day + hour, "2d1h"),
            (8 * day, "8d"),
            (729 * day, "729d"),
            (800 * day, "2y70d"),
            (9 * 365 * day, "9y"),
        ];
        for (seconds, expect) in cases {
            assert_eq!(span(seconds * 1_000_000), expect);
        }
    }
}

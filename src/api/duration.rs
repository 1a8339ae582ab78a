//! Spans of time in Go's words: `1h30m0s`, `1.5s`, `300ms`.

/// Units by their nanoseconds, the largest first. The last three are two spellings of one letter, and `us`.
const UNITS: &[(&str, i64)] = &[
    ("h", 3_600_000_000_000),
    ("ms", 1_000_000),
    ("m", 60_000_000_000),
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("s", 1_000_000_000),
];

/// Nanoseconds; `None` for what is no span, or none that fits.
pub fn parse(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some(0);
    }
    let mut rest = unsigned;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let (whole, behind) = split_digits(rest);
        let (decimals, behind) = behind.strip_prefix('.').map_or(("", behind), split_digits);
        if whole.is_empty() && decimals.is_empty() {
            return None;
        }
        let (unit, unit_ns) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        // As Go does it: more digits than fit into a number count for nothing, and whole nanoseconds come out whole.
        let decimals = &decimals[..decimals.len().min(DECIMALS_MAX)];
        let unit_share = *unit_ns as f64 / 10_f64.powi(decimals.len() as i32);
        let part = format!("0{decimals}").parse::<i64>().ok()? as f64 * unit_share;
        total = total.checked_add(whole.checked_mul(*unit_ns)?)?.checked_add(part as i64)?;
        rest = &behind[unit.len()..];
    }
    (!unsigned.is_empty()).then(|| if text.starts_with('-') { -total } else { total })
}

/// The text of a span in nanoseconds.
pub fn text(span_ns: i64) -> String {
    let sign = if span_ns < 0 { "-" } else { "" };
    let ns = span_ns.unsigned_abs();
    let small = |unit_ns: u64, unit: &str| format!("{sign}{}{unit}", decimal(ns, unit_ns));
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => small(1, "ns"),
        1_000..1_000_000 => small(1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => small(1_000_000, "ms"),
        _ => {
            let minutes = ns / 60_000_000_000;
            let seconds = decimal(ns % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `ns` in units, with as many decimals as it takes.
fn decimal(ns: u64, unit_ns: u64) -> String {
    let digits = unit_ns.ilog10() as usize;
    let text = format!("{}.{:0digits$}", ns / unit_ns, ns % unit_ns);
    if ns.is_multiple_of(unit_ns) {
        (ns / unit_ns).to_string()
    } else {
        text.trim_end_matches('0').to_owned()
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Digits that certainly fit into 63 bits.
const DECIMALS_MAX: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_go_writes_them() {
        let cases = [
            ("0", "0s"),
            ("90m", "1h30m0s"),
            ("1.5h", "1h30m0s"),
            ("1500ms", "1.5s"),
            ("-30s", "-30s"),
            ("1h", "1h0m0s"),
            ("300ms", "300ms"),
            ("1500us", "1.5ms"),
            ("1ns", "1ns"),
            ("61.25s", "1m1.25s"),
            ("1h0.5us0.5s", "1h0m0.5000005s"),
            ("1h0m0.5000005s", "1h0m0.5000005s"),
        ];
        for (given, expect) in cases {
            assert_eq!(parse(given).map(text).as_deref(), Some(expect), "{given}");
        }
        for wrong in ["", "1", "h", "1x", "-", ".s", "1h 1m", "9999999999h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

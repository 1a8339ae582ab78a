//! What Go says about text that is no time of a layout: the first element of the layout that does not fit.

use std::fmt::Write as _;

use super::days_in;

/// An element of a layout, as Go writes it, and what reads it off the front of a text.
struct Element {
    layout: &'static str,
    read: fn(&str) -> Result<(u64, &str), Misfit>,
    /// What a number is called that is not in its range, and the range.
    range: Option<(&'static str, std::ops::Range<u64>)>,
}

/// The text does not begin with such an element.
struct Misfit;

const fn element(layout: &'static str, read: fn(&str) -> Result<(u64, &str), Misfit>) -> Element {
    Element { layout, read, range: None }
}

const fn number(layout: &'static str, name: &'static str, range: std::ops::Range<u64>) -> Element {
    Element { layout, read: two_digits, range: Some((name, range)) }
}

/// Date and time to the second; a fraction may follow in any text.
static TO_THE_SECOND: &[Element] = &[
    element("2006", |text| {
        let (year, rest) = text.split_at_checked(4).ok_or(Misfit)?;
        Ok((year.parse().map_err(|_| Misfit)?, rest))
    }),
    element("-", |text| literal(text, '-')),
    number("01", "month", 1..13),
    element("-", |text| literal(text, '-')),
    element("02", two_digits),
    element("T", |text| literal(text, 'T')),
    number("15", "hour", 0..24),
    element(":", |text| literal(text, ':')),
    number("04", "minute", 0..60),
    element(":", |text| literal(text, ':')),
    number("05", "second", 0..60),
];

static FRACTION: Element = element("", |text| {
    let digits = text.strip_prefix(['.', ',']).map_or("", |rest| rest);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    Ok((0, if length == 0 { text } else { &digits[length..] }))
});

static MICROSECONDS: Element = element(".000000", |text| {
    let digits = text.strip_prefix(['.', ',']).and_then(|rest| rest.split_at_checked(6)).ok_or(Misfit)?;
    let is_number = digits.0.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Ok((0, digits.1)) } else { Err(Misfit) }
});

static ZONE: Element = element("Z07:00", |text| {
    if let Some(rest) = text.strip_prefix('Z') {
        return Ok((0, rest));
    }
    let rest = text.strip_prefix(['+', '-']).ok_or(Misfit)?;
    let (_, rest) = two_digits(rest)?;
    let (_, rest) = literal(rest, ':')?;
    two_digits(rest)
});

fn literal(text: &str, wanted: char) -> Result<(u64, &str), Misfit> {
    text.strip_prefix(wanted).map(|rest| (0, rest)).ok_or(Misfit)
}

fn two_digits(text: &str) -> Result<(u64, &str), Misfit> {
    let (digits, rest) = text.split_at_checked(2).ok_or(Misfit)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Ok((digits.parse().map_err(|_| Misfit)?, rest)) } else { Err(Misfit) }
}

/// Why a text is no time as RFC 3339 has it, to the second or with six decimals.
pub fn refusal(text: &str, with_micros: bool) -> String {
    let fraction = if with_micros { &MICROSECONDS } else { &FRACTION };
    let layout = format!("2006-01-02T15:04:05{}Z07:00", fraction.layout);
    let mut numbers = Vec::new();
    let mut rest = text;
    for element in TO_THE_SECOND.iter().chain([fraction, &ZONE]) {
        let Ok((number, behind)) = (element.read)(rest) else {
            let (text, rest) = (quoted(text), quoted(rest));
            return format!("parsing time {text} as {layout:?}: cannot parse {rest} as {:?}", element.layout);
        };
        match &element.range {
            Some((name, range)) if !range.contains(&number) => {
                return format!("parsing time {}: {name} out of range", quoted(text));
            }
            _ => {}
        }
        numbers.push(number);
        rest = behind;
    }
    if !rest.is_empty() {
        return format!("parsing time {}: extra text: {}", quoted(text), quoted(rest));
    }
    // Year, month and day stand at even places.
    let is_day = (1..=days_in(numbers[0] as i64, numbers[2])).contains(&numbers[4]);
    let what = if is_day { "time zone offset" } else { "day" };
    format!("parsing time {}: {what} out of range", quoted(text))
}

/// As Go's package for times quotes: no letter but those of ASCII is shown.
fn quoted(text: &str) -> String {
    let mut out = "\"".to_owned();
    for byte in text.bytes() {
        let written = match byte {
            b'"' | b'\\' => write!(out, "\\{}", char::from(byte)),
            b' '..0x80 => write!(out, "{}", char::from(byte)),
            byte => write!(out, "\\x{byte:02x}"),
        };
        written.expect("text grows in memory");
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_that_does_not_fit() {
        let second = "2006-01-02T15:04:05Z07:00";
        let micro = "2006-01-02T15:04:05.000000Z07:00";
        let misfits = [
            ("yesterday", second, "yesterday", "2006"),
            ("2026-1-01T00:00:00Z", second, "1-01T00:00:00Z", "01"),
            ("2026-01-01", second, "", "T"),
            ("2026-01-01 00:00:00Z", second, " 00:00:00Z", "T"),
            ("2026-01-01T00:00:00", second, "", "Z07:00"),
            ("2026-01-01T00:00:00.25+01", second, "+01", "Z07:00"),
            ("2026-01-01T00:00:00Z", micro, "Z", ".000000"),
        ];
        for (text, layout, rest, element) in misfits {
            let expect =
                format!(r#"parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{element}""#);
            assert_eq!(refusal(text, layout == micro), expect);
        }
        let others = [
            ("2026-13-01T00:00:00Z", "month out of range"),
            ("2026-01-01T24:00:00Z", "hour out of range"),
            ("2026-02-29T00:00:00Z", "day out of range"),
            ("2026-02-28T00:00:00+30:00", "time zone offset out of range"),
            ("2026-02-29T00:00:00Zx", r#"extra text: "x""#),
            ("2026-01-01T00:00:00Z\u{e4}", r#"extra text: "\xc3\xa4""#),
        ];
        for (text, why) in others {
            assert_eq!(refusal(text, false), format!("parsing time {}: {why}", quoted(text)));
        }
    }
}

//! Numbers, and the bounds that schemas set them.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::found::{Found, Mistake, Place, Wrong};
use crate::custom::structural::{Kind, Rules, Structural};
use crate::field_error::go_float;

pub(super) fn number(
    given: &Number,
    schema: &Structural,
    rules: &Rules,
    place: &Place<'_>,
    found: &mut Found,
) {
    // A bound that is no value of the type is told as well, and compared as any number.
    let mut native = |limit: f64, what: &str| {
        let limit = Number::from_f64(limit)?;
        let fits = in_range(&limit, what, schema, &rules.format, place, found);
        given.as_i64().filter(|_| fits)
    };
    let natives = [
        rules.multiple_of.and_then(|limit| native(limit, "MultipleOf")),
        rules.minimum.and_then(|limit| native(limit, "Minimum boundary")),
        rules.maximum.and_then(|limit| native(limit, "Maximum boundary")),
    ];
    let float = given.as_f64().unwrap_or_default();
    if let Some(factor) = rules.multiple_of {
        multiple(float, factor, natives[0], place, found);
    }
    let bounds = [
        (rules.minimum, rules.exclusive_minimum, natives[1], Ordering::Less, "greater"),
        (rules.maximum, rules.exclusive_maximum, natives[2], Ordering::Greater, "less"),
    ];
    for (limit, is_exclusive, native, beyond, word) in bounds {
        let Some(limit) = limit else { continue };
        let (order, shown, value) = match native {
            Some(given) => (Some(given.cmp(&(limit as i64))), (limit as i64).to_string(), given.into()),
            None => (float.partial_cmp(&limit), go_float(limit), Value::from(float)),
        };
        if order == Some(beyond) || is_exclusive && order == Some(Ordering::Equal) {
            let equal = if is_exclusive { "" } else { " or equal to" };
            let told = format!("{place} in body should be {word} than{equal} {shown}");
            found.add(place, Mistake::Invalid(value), told);
        }
    }
}

fn multiple(float: f64, factor: f64, native: Option<i64>, place: &Place<'_>, found: &mut Found) {
    let (is_positive, is_multiple, shown, value) = match (native, factor as i64) {
        (Some(given), whole) => {
            let is_multiple = whole > 0 && given % whole == 0;
            (whole > 0, is_multiple, whole.to_string(), [Value::from(whole), given.into()])
        }
        _ => {
            let quotient = if factor < 1.0 { 1.0 / factor * float } else { float / factor };
            (factor > 0.0, is_whole(quotient), go_float(factor), [Value::from(factor), float.into()])
        }
    };
    let [factor, value] = value;
    if !is_positive {
        let told = format!("factor MultipleOf declared for {place} must be positive: {shown}");
        found.add(place, Mistake::Invalid(factor), told);
    } else if !is_multiple {
        found.add(place, Mistake::Invalid(value), format!("{place} in body should be a multiple of {shown}"));
    }
}

/// Whether a number is one of its type. Tells when it is not.
pub(super) fn in_range(
    given: &Number,
    what: &str,
    schema: &Structural,
    format: &str,
    place: &Place<'_>,
    found: &mut Found,
) -> bool {
    let format = match (schema.kind, format) {
        (Some(Kind::Integer), format @ ("int32" | "int64"))
        | (Some(Kind::Number), format @ ("float" | "double")) => format,
        _ => "",
    };
    let (word, fits) = match (schema.kind.filter(|_| !schema.is_int_or_string), format) {
        (Some(Kind::Integer), "int32") => {
            ("integer", whole_i64(given).is_some_and(|given| i32::try_from(given).is_ok()))
        }
        (Some(Kind::Integer), _) => ("integer", whole_i64(given).is_some()),
        (Some(Kind::Number), "float") => {
            ("number", given.as_f64().is_some_and(|given| (given as f32).is_finite()))
        }
        _ => return true,
    };
    if !fits {
        let format = match format {
            "" => " (default format)".to_owned(),
            format => format!(" with format {format}"),
        };
        let text = format!("{what} value must be of type {word}{format} in {place}");
        found.push(Wrong { place: String::new(), mistake: Mistake::Composite, text });
    }
    fits
}

/// What a number is when it is written without a fraction or exponent.
fn whole_i64(given: &Number) -> Option<i64> {
    given.as_i64().or_else(|| {
        let float = given.as_f64()?;
        (float.fract() == 0.0 && float.abs() < 9.2e18).then_some(float as i64)
    })
}

/// Whether a number stands for a whole one, within what numbers of JSON can tell.
pub(super) fn is_whole(number: f64) -> bool {
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    const TOLERANCE: f64 = 1e-9;
    let rounded = number.round();
    number.abs() <= LARGEST && (number == rounded || (number - rounded).abs() < TOLERANCE * rounded.abs())
}

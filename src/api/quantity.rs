//! Amounts of resources: `500m`, `2Gi`, `1e3`. Read, written in the one form that Kubernetes stores, compared.

use std::cmp::Ordering;
use std::fmt;

/// The text about what is no quantity, in the words of Kubernetes.
pub const FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const SUFFIX: &str = "unable to parse quantity's suffix";
const NUMERIC: &str = "unable to parse numeric part of quantity";

/// How many digits are read; more cannot be told apart by anything that counts resources.
const DIGITS_MAX: usize = 36;

/// Nothing is finer than this power of ten; what is, is rounded away from zero.
const SCALE_MIN: i32 = -9;

/// Up to so many digits Kubernetes keeps a text that is in order as it was written.
const DIGITS_KEPT_MAX: i32 = 18;

/// Which suffixes the text uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `Ki`, `Mi`...
    Binary,
    /// `m`, `k`, `M`...
    Decimal,
    /// `e3`.
    Exponent,
}

/// Suffixes by power of ten.
const DECIMAL: &[(&str, i32)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// Suffixes by power of 1024.
const BINARY: &[&str] = &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// An amount: `mantissa` times ten to the power of `scale`.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    mantissa: i128,
    scale: i32,
    format: Format,
}

/// A text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QuantityError(pub &'static str);

/// The text in the form in which Kubernetes stores it.
///
/// # Errors
/// Says what is wrong with the text.
pub fn canonical(text: &str) -> Result<String, QuantityError> {
    let parts = Parts::of(text)?;
    let quantity = parts.quantity()?;
    Ok(if parts.is_kept(quantity.format) { text.to_owned() } else { quantity.to_string() })
}

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, scale: 0, format: Format::Decimal };

    /// Reads a quantity.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        Parts::of(text)?.quantity()
    }

    /// Less than, equal to, or more than zero.
    pub fn signum(self) -> i128 {
        self.mantissa.signum()
    }

    /// Both together, in the form of the first that is not zero.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let scale = self.scale.min(other.scale);
        let format = if self.mantissa == 0 { other.format } else { self.format };
        Self { mantissa: self.in_units(scale).saturating_add(other.in_units(scale)), scale, format }
    }

    /// Whether it is a whole number.
    pub fn is_whole(self) -> bool {
        self.scale >= 0 || self.mantissa % power_of_ten(-self.scale) == 0
    }

    /// The same rounded up to thousandths; `None` when it is not finer.
    pub fn to_milli(self) -> Option<Self> {
        const MILLI: i32 = -3;
        let rounded = Self {
            mantissa: divide_up(self.mantissa, power_of_ten(MILLI - self.scale)),
            scale: MILLI,
            ..self
        };
        (self.scale < MILLI && rounded != self).then_some(rounded)
    }

    /// How many units of ten to the power of `scale` it is, rounded up, at most what fits.
    pub fn in_units(self, scale: i32) -> i128 {
        if self.scale >= scale {
            self.mantissa.saturating_mul(power_of_ten(self.scale - scale))
        } else {
            divide_up(self.mantissa, power_of_ten(scale - self.scale))
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        // Beyond what fits, the power of ten decides.
        let scale = self.scale.min(other.scale);
        let (one, another) = (self.in_units(scale), other.in_units(scale));
        one.cmp(&another).then_with(|| {
            let saturated = one == i128::MAX || one == i128::MIN;
            if saturated { self.scale.cmp(&other.scale) } else { Ordering::Equal }
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mantissa == 0 {
            return f.write_str("0");
        }
        if self.format == Format::Binary && self.is_whole() {
            let whole = self.in_units(0);
            if whole.unsigned_abs() >= 1024 {
                return binary(f, whole);
            }
        }
        let (mut mantissa, mut scale) = (self.mantissa, self.scale);
        while mantissa % 10 == 0 {
            (mantissa, scale) = (mantissa / 10, scale + 1);
        }
        let largest = if self.format == Format::Exponent { i32::MAX } else { 18 };
        let target = (scale - scale.rem_euclid(3)).min(largest);
        let mantissa = mantissa.saturating_mul(power_of_ten(scale - target));
        match DECIMAL.iter().find(|(_, power)| *power == target) {
            Some((suffix, _)) if self.format != Format::Exponent => write!(f, "{mantissa}{suffix}"),
            _ if target == 0 => write!(f, "{mantissa}"),
            _ => write!(f, "{mantissa}e{target}"),
        }
    }
}

fn binary(f: &mut fmt::Formatter<'_>, mut whole: i128) -> fmt::Result {
    let mut suffix = 0;
    while whole % 1024 == 0 && suffix + 1 < BINARY.len() {
        (whole, suffix) = (whole / 1024, suffix + 1);
    }
    write!(f, "{whole}{}", BINARY[suffix])
}

/// A text, taken apart.
struct Parts<'t> {
    negative: bool,
    /// Whether there is a number at all; without one some suffixes mean zero.
    has_digits: bool,
    /// Digits before the point, without leading zeros.
    whole: &'t str,
    /// Digits behind it.
    fraction: &'t str,
    suffix: &'t str,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Result<Self, QuantityError> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, rest) = split_digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        let behind_letters = suffix.trim_start_matches(|letter| "eEinumkKMGTP".contains(letter));
        let exponent = behind_letters.strip_prefix(['+', '-']).unwrap_or(behind_letters);
        // Zeros alone are a number, and so is a point alone, but not nothing.
        if text.is_empty() || !exponent.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(QuantityError(FORMAT));
        }
        let negative = text.starts_with('-');
        let has_digits = !whole.is_empty() || !fraction.is_empty();
        Ok(Self { negative, has_digits, whole: whole.trim_start_matches('0'), fraction, suffix })
    }

    fn quantity(&self) -> Result<Quantity, QuantityError> {
        let (format, power) = self.unit()?;
        let digits = [self.whole, self.fraction].concat();
        let digits = digits.trim_start_matches('0');
        let is_readable = self.has_digits || self.is_quick(format, power);
        if digits.len() > DIGITS_MAX || !is_readable {
            return Err(QuantityError(NUMERIC));
        }
        let amount: i128 =
            if digits.is_empty() { 0 } else { digits.parse().map_err(|_| QuantityError(NUMERIC))? };
        let fraction = i32::try_from(self.fraction.len()).map_err(|_| QuantityError(NUMERIC))?;
        let (mut mantissa, mut scale) = match format {
            // What does not fit is far above the cap below.
            Format::Binary => {
                amount.checked_mul(1 << power).map_or((i128::MAX, 0), |bytes| (bytes, -fraction))
            }
            Format::Decimal | Format::Exponent => (amount, power.saturating_sub(fraction)),
        };
        if scale < SCALE_MIN {
            let finer = SCALE_MIN - scale;
            (mantissa, scale) = (divide_up(mantissa, power_of_ten(finer)), SCALE_MIN);
        }
        let whole = Quantity { mantissa, scale, format }.in_units(0);
        if format == Format::Binary && whole > i128::from(i64::MAX) {
            (mantissa, scale) = (i64::MAX.into(), 0);
        }
        if self.negative {
            mantissa = -mantissa;
        }
        Ok(Quantity { mantissa, scale, format })
    }

    /// The format, and the power of its base.
    fn unit(&self) -> Result<(Format, i32), QuantityError> {
        if let Some((_, power)) = DECIMAL.iter().find(|(suffix, _)| *suffix == self.suffix) {
            return Ok((Format::Decimal, *power));
        }
        if let Some(power) = BINARY.iter().position(|suffix| *suffix == self.suffix) {
            return Ok((Format::Binary, 10 * power as i32));
        }
        let exponent = self.suffix.strip_prefix(['e', 'E']).and_then(|digits| digits.parse().ok());
        exponent.map(|power| (Format::Exponent, power)).ok_or(QuantityError(SUFFIX))
    }

    /// Whether Kubernetes takes the text for canonical: it looks at little more than its last digits.
    fn is_kept(&self, format: Format) -> bool {
        let Ok((_, power)) = self.unit() else { return false };
        let digits = [self.whole, self.fraction].concat();
        if digits.is_empty() || self.whole.is_empty() || !self.is_quick(format, power) {
            return false;
        }
        match format {
            Format::Binary => digits.parse::<u64>().is_ok_and(|value| value % 8 != 0),
            Format::Decimal | Format::Exponent => {
                (power - self.fraction.len() as i32) % 3 == 0 && !digits.ends_with("000")
            }
        }
    }

    /// Whether Kubernetes reads it without arithmetic of any precision.
    fn is_quick(&self, format: Format, power: i32) -> bool {
        let length = (self.whole.len().max(1) + self.fraction.len()) as i32;
        match format {
            Format::Binary => self.fraction.is_empty() && 15 - length - power * 3 / 10 > 0,
            Format::Decimal | Format::Exponent => {
                length <= DIGITS_KEPT_MAX && power - self.fraction.len() as i32 >= SCALE_MIN
            }
        }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Ten to a power that is not negative, at most what fits.
fn power_of_ten(power: i32) -> i128 {
    10_i128.saturating_pow(power.unsigned_abs())
}

/// Divides away from zero.
fn divide_up(amount: i128, by: i128) -> i128 {
    let whole = amount / by;
    if amount % by == 0 { whole } else { whole + amount.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pair as `resource.ParseQuantity(...).String()` of k8s.io/apimachinery gives it.
    #[test]
    fn one_form_for_each_amount() {
        let cases = [
            ("0", "0"),
            ("0.0", "0"),
            ("00", "0"),
            ("-0", "0"),
            ("100m", "100m"),
            ("0.1", "100m"),
            ("1", "1"),
            ("1.0", "1"),
            ("1.5", "1500m"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("10000", "10k"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1024", "1024"),
            ("1Ki", "1Ki"),
            ("1024Ki", "1Mi"),
            ("1024Mi", "1Gi"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000Ki", "1000Ki"),
            ("1e3", "1e3"),
            ("1E3", "1E3"),
            ("1000e3", "1e6"),
            ("1e4", "10e3"),
            ("0.0000000001", "1n"),
            ("100u", "100u"),
            ("1n", "1n"),
            ("-5", "-5"),
            ("+5", "+5"),
            ("05", "05"),
            ("1.500", "1.500"),
            ("0.5Ki", "512"),
            ("8Gi", "8Gi"),
            ("9Ei", "9223372036854775807"),
            ("5E", "5E"),
            (".5", "500m"),
            ("1.", "1."),
            ("0.001", "1m"),
        ];
        for (text, expect) in cases {
            assert_eq!(canonical(text).as_deref(), Ok(expect), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity() {
        for (text, expect) in [
            ("", FORMAT),
            ("abc", FORMAT),
            ("1x", FORMAT),
            ("1 Gi", FORMAT),
            ("1Kii", SUFFIX),
            ("1e", SUFFIX),
            ("1mm", SUFFIX),
        ] {
            assert_eq!(canonical(text), Err(QuantityError(expect)), "{text}");
        }
    }

    #[test]
    fn order_is_by_amount() {
        let of = |text| Quantity::parse(text).expect("quantity");
        assert_eq!(of("1024Mi"), of("1Gi"));
        assert!(of("999m") < of("1") && of("1k") < of("1Ki") && of("-1") < of("0"));
        assert!(of("1e300") > of("1e200") && of("1e300") > of("9Ei"));
        assert_eq!((of("1.2").in_units(0), of("1.2").in_units(-3), of("-1.2").in_units(0)), (2, 1200, -2));
        assert!(of("2.0").is_whole() && !of("2.5").is_whole());
    }
}

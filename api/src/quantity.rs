//! resource.Quantity: fixed-point numbers with SI and binary suffixes.
//!
//! A quantity is `mantissa * 10^exponent`, exact down to a billionth (smaller parts are rounded away from zero, so that
//! who asks for something gets something) and up to 38 significant digits.

use std::cmp::Ordering;
use std::fmt;

/// The family of suffixes that a quantity is written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `12M`: n, u, m, none, k, M, G, T, P, E
    #[default]
    DecimalSi,
    /// `12e6`
    DecimalExponent,
    /// `12Mi`: Ki, Mi, Gi, Ti, Pi, Ei
    BinarySi,
}

/// A parsed quantity. Two are equal if their values are, whatever they are written like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    /// Without factors of ten where `exponent` can carry them; 0 only with exponent 0.
    mantissa: i128,
    /// At least [`NANO`].
    exponent: i32,
    format: Format,
}

/// The finest exponent.
const NANO: i32 = -9;
const FORMAT_WRONG: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const NUMERIC: &str = "unable to parse numeric part of quantity";
const SUFFIX: &str = "unable to parse quantity's suffix";
/// Digits that surely fit, whatever the suffix: 10^18 * 2^60 < 2^127.
const FAST_DIGITS: usize = 18;
/// Nobody means more; keeps [`parse_long`] cheap.
const MAX_TEXT: usize = 1024;

impl Quantity {
    /// Parses `100m`, `1.5Gi`, `2e3`, … The error is worded as the reference's.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).map(|(quantity, _)| quantity)
    }

    /// Parses, and says whether the reference would write the text back as it stands.
    fn read(text: &str) -> Result<(Self, bool), String> {
        let parts = Parts::split(text).ok_or(FORMAT_WRONG)?;
        let suffix = Suffix::of(parts.suffix).ok_or(SUFFIX)?;
        let digits = parts.whole.len() + parts.fraction.len();
        let (mantissa, exponent) = match digits <= FAST_DIGITS {
            true => parse_short(&parts, suffix),
            false => parse_long(&parts, suffix).ok_or(NUMERIC)?,
        };
        let mut quantity = Self { mantissa, exponent, format: suffix.format }.normalised();
        if suffix.format == Format::BinarySi {
            quantity = quantity.min(Self { mantissa: i64::MAX.into(), exponent: 0, format: Format::BinarySi });
            if (1..1_000_000_000).contains(&quantity.scaled_up(NANO)) {
                quantity.format = Format::DecimalSi;
            }
        }
        if parts.negative {
            quantity.mantissa = -quantity.mantissa;
        }
        let kept = parts.is_kept(suffix, mantissa);
        Ok((quantity, kept))
    }

    /// A whole number.
    pub fn from_int(value: i64, format: Format) -> Self {
        Self { mantissa: value.into(), exponent: 0, format }.normalised()
    }

    /// A number of thousandths.
    pub fn from_milli(value: i64) -> Self {
        Self { mantissa: value.into(), exponent: -3, format: Format::DecimalSi }.normalised()
    }

    /// The value rounded up to a whole number (`Value()`), away from zero and saturating.
    pub fn value(&self) -> i64 {
        saturate(self.scaled_up(0))
    }

    /// Thousandths, rounded up (`MilliValue()`), away from zero and saturating.
    pub fn milli(&self) -> i64 {
        saturate(self.scaled_up(-3))
    }

    /// The nearest float.
    pub fn as_f64(&self) -> f64 {
        self.mantissa as f64 * 10f64.powi(self.exponent)
    }

    /// The family of suffixes it is written with.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// Whether it is less than nothing.
    pub fn is_negative(&self) -> bool {
        self.mantissa < 0
    }

    /// The sum, written like `self`, or like `other` where `self` is zero. Where the exact sum would need more than 38
    /// digits it is rounded away from zero.
    pub fn add(&self, other: &Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        if self.is_zero() || other.is_zero() {
            return Self { format, ..if self.is_zero() { *other } else { *self } };
        }
        let mut exponent = self.exponent.min(other.exponent);
        loop {
            let sum = self.aligned(exponent).zip(other.aligned(exponent)).and_then(|(a, b)| a.checked_add(b));
            if let Some(mantissa) = sum {
                return Self { mantissa, exponent, format }.normalised();
            }
            exponent += 1;
        }
    }

    /// The difference, written like [`Quantity::add`].
    pub fn sub(&self, other: &Self) -> Self {
        self.add(&Self { mantissa: -other.mantissa, ..*other })
    }

    /// The number of `10^exponent`s in it, rounded away from zero, saturating.
    fn scaled_up(&self, exponent: i32) -> i128 {
        self.aligned(exponent).unwrap_or(if self.mantissa < 0 { i128::MIN } else { i128::MAX })
    }

    /// The same, `None` where it does not fit.
    fn aligned(&self, exponent: i32) -> Option<i128> {
        if self.exponent >= exponent {
            let factor = 10i128.checked_pow(self.exponent.abs_diff(exponent))?;
            return self.mantissa.checked_mul(factor);
        }
        Some(round_up(self.mantissa, self.exponent.abs_diff(exponent)))
    }

    fn normalised(mut self) -> Self {
        if self.mantissa == 0 {
            self.exponent = 0;
        }
        while self.mantissa != 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.exponent += 1;
        }
        self
    }

    /// With decimal suffixes: an exponent that is a multiple of three and has a name.
    fn write_decimal(&self, format: Format, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut exponent = self.exponent - self.exponent.rem_euclid(3);
        if format != Format::DecimalExponent {
            exponent = exponent.min(18);
        }
        write!(f, "{}", self.mantissa)?;
        for _ in exponent..self.exponent {
            f.write_str("0")?;
        }
        match (format, exponent) {
            (_, 0) => Ok(()),
            (Format::DecimalExponent, _) => write!(f, "e{exponent}"),
            _ => f.write_str(DECIMAL[usize::try_from(exponent / 3 + 3).expect("at least nano")].0),
        }
    }
}

/// The canonical form of a text, in the same family of suffixes: `1000m` is `1`, `1024Ki` is `1Mi`, `0.5` is `500m`.
///
/// As in the reference, a text that is nearly canonical (`1.500`, `+5`) stays as it is.
pub fn canonical(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (quantity, kept) = Quantity::read(text)?;
    Ok(if kept { text.to_owned() } else { quantity.to_string() })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let whole = self.aligned(0).filter(|_| self.exponent >= 0);
        match whole {
            Some(mut value) if self.format == Format::BinarySi && value.abs() >= 1024 => {
                let mut at = 0;
                while value % 1024 == 0 && at < BINARY.len() {
                    value /= 1024;
                    at += 1;
                }
                write!(f, "{value}{}", if at == 0 { "" } else { BINARY[at - 1] })
            }
            _ if self.format == Format::BinarySi => self.write_decimal(Format::DecimalSi, f),
            _ => self.write_decimal(self.format, f),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
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
        let exponent = self.exponent.min(other.exponent);
        match (self.aligned(exponent), other.aligned(exponent)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // What does not fit at the other's exponent is larger than it.
            (None, _) => self.mantissa.cmp(&0),
            (_, None) => 0.cmp(&other.mantissa),
        }
    }
}

/// Decimal suffixes and their exponents, from nano on.
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Binary suffixes, from 2^10 on.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

#[derive(Clone, Copy)]
struct Suffix {
    format: Format,
    /// Of ten, or of two for [`Format::BinarySi`].
    exponent: i32,
}

impl Suffix {
    fn of(text: &str) -> Option<Self> {
        if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == text) {
            return Some(Self { format: Format::DecimalSi, exponent: *exponent });
        }
        if let Some(at) = BINARY.iter().position(|name| *name == text) {
            return Some(Self { format: Format::BinarySi, exponent: 10 * (at as i32 + 1) });
        }
        let exponent = text.strip_prefix(['e', 'E'])?.parse().ok().filter(|e| (-9999..=9999).contains(e))?;
        Some(Self { format: Format::DecimalExponent, exponent })
    }
}

/// A text taken apart.
struct Parts<'a> {
    negative: bool,
    /// Digits without leading zeros.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Option<Self> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return None;
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, rest) = split_digits(unsigned.trim_start_matches('0'));
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        let after = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
        let (_, rest) = split_digits(after.strip_prefix(['+', '-']).unwrap_or(after));
        let parts = Self { negative: text.starts_with('-'), whole, fraction, suffix };
        rest.is_empty().then_some(parts)
    }

    /// Whether the reference keeps the text instead of writing the canonical form: it is short, and no zeros could be
    /// moved into the suffix.
    fn is_kept(&self, suffix: Suffix, mantissa: i128) -> bool {
        let digits = self.whole.len().max(1) + self.fraction.len();
        if mantissa == 0 || digits > FAST_DIGITS {
            return false;
        }
        if suffix.format == Format::BinarySi {
            // How many digits of the number the reference's fast path takes with this suffix.
            let room = 14 - suffix.exponent * 3 / 10;
            let value: u64 = self.whole.parse().unwrap_or(0);
            return self.fraction.is_empty() && self.whole.len() as i32 <= room && !value.is_multiple_of(8);
        }
        let exponent = suffix.exponent - self.fraction.len() as i32;
        let zeros = match self.fraction.len() {
            0..3 => format!("{}{}", self.whole, self.fraction).ends_with("000"),
            _ => self.fraction.ends_with("000"),
        };
        exponent >= NANO && exponent % 3 == 0 && !zeros && !self.whole.is_empty()
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// At most [`FAST_DIGITS`] digits: arithmetic.
fn parse_short(parts: &Parts<'_>, suffix: Suffix) -> (i128, i32) {
    let digits = parts.whole.bytes().chain(parts.fraction.bytes());
    let mantissa = digits.fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let shift = -(parts.fraction.len() as i32);
    let (mantissa, exponent) = match suffix.format {
        Format::BinarySi => (mantissa << suffix.exponent, shift),
        _ => (mantissa, shift + suffix.exponent),
    };
    if exponent < NANO { (round_up(mantissa, exponent.abs_diff(NANO)), NANO) } else { (mantissa, exponent) }
}

/// Any number of digits: as on paper. `None` for more than 38 significant ones.
fn parse_long(parts: &Parts<'_>, suffix: Suffix) -> Option<(i128, i32)> {
    // Lowest first.
    let mut digits: Vec<u8> = parts.fraction.bytes().rev().chain(parts.whole.bytes().rev()).map(|d| d - b'0').collect();
    let mut exponent = -(parts.fraction.len() as i32);
    match suffix.format {
        Format::BinarySi => (0..suffix.exponent).for_each(|_| double(&mut digits)),
        _ => exponent += suffix.exponent,
    }
    if exponent < NANO {
        let cut = (exponent.abs_diff(NANO) as usize).min(digits.len());
        let rest = digits.drain(..cut).any(|digit| digit != 0);
        exponent = NANO;
        if rest {
            increment(&mut digits);
        }
    }
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..zeros);
    if digits.is_empty() {
        return Some((0, 0));
    }
    exponent += zeros as i32;
    let top = digits.iter().rposition(|digit| *digit != 0).map_or(0, |at| at + 1);
    digits.truncate(top);
    if digits.len() > 38 && suffix.format == Format::BinarySi && digits.len() as i32 + exponent > 20 {
        // Capped by the caller anyway.
        return Some((i64::MAX.into(), 0));
    }
    let mantissa = digits.iter().rev().try_fold(0i128, |sum, digit| sum.checked_mul(10)?.checked_add((*digit).into()));
    Some((mantissa?, exponent))
}

fn double(digits: &mut Vec<u8>) {
    let mut carry = 0;
    for digit in digits.iter_mut() {
        let sum = *digit * 2 + carry;
        (*digit, carry) = (sum % 10, sum / 10);
    }
    if carry > 0 {
        digits.push(carry);
    }
}

fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut() {
        *digit = (*digit + 1) % 10;
        if *digit != 0 {
            return;
        }
    }
    digits.push(1);
}

/// Divides by a power of ten, away from zero.
fn round_up(mantissa: i128, places: u32) -> i128 {
    match 10i128.checked_pow(places) {
        Some(factor) if mantissa % factor == 0 => mantissa / factor,
        Some(factor) => mantissa / factor + mantissa.signum(),
        None => mantissa.signum(),
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;

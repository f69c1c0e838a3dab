//! Types of flag values, and descriptions of the allowed values.

use std::path::PathBuf;
use std::time::Duration;

/// Smallest and largest value of a number or, in seconds, of a duration, both allowed.
pub type Bounds = (f64, f64);

/// A type that a flag's text can be parsed as.
pub trait Value: Sized {
    /// Parses the text.
    ///
    /// # Errors
    /// Describes the allowed values, to follow the word "expected".
    fn parse(text: &str, bounds: Bounds) -> Result<Self, String>;
}

fn whole<T: TryFrom<u64>>(text: &str, (least, most): Bounds) -> Result<T, String> {
    let number = text.parse().ok().filter(|number: &u64| (least..=most).contains(&(*number as f64)));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("a whole number from {least} to {most}"))
}

macro_rules! whole_numbers {
    ($($number:ty)*) => {$(
        impl Value for $number {
            fn parse(text: &str, bounds: Bounds) -> Result<$number, String> {
                whole(text, bounds)
            }
        }
    )*};
}

whole_numbers!(u16 u32 u64 usize);

impl Value for f64 {
    fn parse(text: &str, (least, most): Bounds) -> Result<f64, String> {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("a number from {least} to {most}"))
    }
}

impl Value for PathBuf {
    fn parse(text: &str, _: Bounds) -> Result<PathBuf, String> {
        if text.is_empty() { Err("a path".to_owned()) } else { Ok(text.into()) }
    }
}

impl Value for Duration {
    fn parse(text: &str, (least, most): Bounds) -> Result<Duration, String> {
        let duration = duration(text).filter(|time| (least..=most).contains(&time.as_secs_f64()));
        duration
            .ok_or_else(|| format!("a duration from {least}s to {most}s, such as 500ms, 60s, 2m or 1m30s"))
    }
}

/// A duration of whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeSeconds(pub u64);

impl Value for WholeSeconds {
    fn parse(text: &str, (least, most): Bounds) -> Result<WholeSeconds, String> {
        let whole = duration(text).filter(|time| time.subsec_nanos() == 0).map(|time| time.as_secs());
        let seconds = whole.filter(|seconds| (least..=most).contains(&(*seconds as f64)));
        let allowed = || format!("whole seconds from {least}s to {most}s, such as 60s, 2m or 1h30m");
        seconds.map(WholeSeconds).ok_or_else(allowed)
    }
}

/// Parses a sequence of numbers with units, such as `1m30s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let seconds = match &after[..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        total =
            total.checked_add(Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?)?;
        rest = &after[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units_and_may_be_compound() {
        for (text, ms) in
            [("500ms", 500), ("60s", 60_000), ("2m", 120_000), ("1m30s", 90_000), ("1.5s", 1_500)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "60", "s", "5 s", "-1s", "1d", "1.2.3s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn values_outside_their_bounds_are_rejected_with_the_allowed_ones() {
        let fraction = "a number from 0 to 1".to_owned();
        assert_eq!(f64::parse("1.01", (0.0, 1.0)), Err(fraction.clone()));
        assert_eq!(f64::parse("NaN", (0.0, 1.0)), Err(fraction));
        assert_eq!(usize::parse("0", (1.0, 5.0)), Err("a whole number from 1 to 5".to_owned()));
        assert_eq!(u16::parse("70000", (1.0, 90_000.0)), Err("a whole number from 1 to 90000".to_owned()));
        assert_eq!(WholeSeconds::parse("1h30m", (1.0, 1e4)), Ok(WholeSeconds(5_400)));
        let whole = "whole seconds from 1s to 60s, such as 60s, 2m or 1h30m".to_owned();
        for text in ["60", "0s", "61s", "1.5s", "-1s", ""] {
            assert_eq!(WholeSeconds::parse(text, (1.0, 60.0)), Err(whole.clone()), "{text}");
        }
        let most = "a duration from 0s to 60s, such as 500ms, 60s, 2m or 1m30s";
        assert_eq!(Duration::parse("61s", (0.0, 60.0)), Err(most.to_owned()));
    }
}

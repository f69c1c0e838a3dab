//! Numbers with a few decimals, without binary fractions: `5.33` is exactly 5,330 thousandths.

use std::fmt;

/// A number of at least 0 with up to three decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    thousandths: u32,
}

impl Decimal {
    /// Largest number of decimals.
    pub const PLACES: usize = 3;

    /// Returns the number as an operator writes it, such as `4`, `5.33` or `0.125`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > Self::PLACES {
            return None;
        }
        let thousandths = format!("{whole}{decimals:0<width$}", width = Self::PLACES).parse().ok()?;
        Some(Self { thousandths })
    }

    /// Returns the number times a thousand.
    pub fn thousandths(self) -> u32 {
        self.thousandths
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.thousandths / 1_000, self.thousandths % 1_000);
        out.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_reads_as_it_is_written(thousandths in 0u32..=u32::MAX) {
            let number = Decimal { thousandths };
            prop_assert_eq!(Decimal::parse(&number.to_string()), Some(number));
        }
    }

    #[test]
    fn only_digits_and_one_point_are_a_number() {
        for (text, thousandths) in [("4", 4_000), ("5.33", 5_330), ("05.330", 5_330), ("0.125", 125)] {
            assert_eq!(Decimal::parse(text).map(Decimal::thousandths), Some(thousandths), "{text}");
        }
        for text in ["", ".", "4.", ".5", "5,33", "5.3333", "-1", "+4", "4e1", "1.2.3", " 4", "99999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}

//! Targets, and their comparison with the runs of a row.

use std::fmt;

use game_client::statistics::Spread;
use serde::{Deserialize, Serialize};

use super::figures::{Figure, Judged};
use crate::results::NOT_MEASURED;

/// The allowed range of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
}

impl Bound {
    fn allows(self, value: f64) -> bool {
        match self {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
            Bound::Below(limit) => value < limit,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtMost(most) => write!(out, "<= {most}"),
            Bound::AtLeast(least) => write!(out, ">= {least}"),
            Bound::Below(limit) => write!(out, "< {limit}"),
        }
    }
}

/// A figure's key and its allowed range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Key of the figure.
    pub key: &'static str,
    /// Its allowed range.
    pub bound: Bound,
}

/// A figure of several runs, compared with its target, if any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Key of the figure.
    pub key: String,
    /// Its name in reports.
    pub name: String,
    /// Its unit; empty for counts.
    pub unit: String,
    /// Significant decimals.
    pub decimals: usize,
    /// The judged value: the median of the runs, or the worst.
    pub value: Option<f64>,
    /// Median and range of the runs.
    pub spread: Option<Spread>,
    /// Values of the runs in which it was measured.
    pub runs: Vec<f64>,
    /// The target, such as `<= 1.5`.
    pub target: Option<String>,
    /// Whether the target is met; `None` without a target.
    pub met: Option<bool>,
}

impl Measured {
    /// Judges a figure by its values in the runs. A figure with a target misses it if any run lacks a value. Returns
    /// `None` for a figure with neither target nor value.
    pub fn judge(figure: &Figure, values: &[Option<f64>], bound: Option<Bound>) -> Option<Measured> {
        let runs: Vec<f64> = values.iter().copied().flatten().collect();
        let spread = Spread::of(&runs);
        let value = spread.map(|spread| match (figure.judged, bound) {
            (Judged::ByMedian, _) => spread.median,
            (Judged::ByWorst, Some(Bound::AtLeast(_))) => spread.min,
            (Judged::ByWorst, _) => spread.max,
        });
        let is_complete = runs.len() == values.len();
        let met = bound.map(|bound| is_complete && value.is_some_and(|value| bound.allows(value)));
        (value.is_some() || bound.is_some()).then(|| Measured {
            key: figure.key.to_owned(),
            name: figure.name.to_owned(),
            unit: figure.unit.to_owned(),
            decimals: figure.decimals,
            value,
            spread,
            runs,
            target: bound.map(|bound| bound.to_string()),
            met,
        })
    }

    /// Whether the target is missed.
    pub fn is_missed(&self) -> bool {
        self.met == Some(false)
    }

    /// Returns the judged value with its unit, or `not measured`.
    pub fn value_text(&self) -> String {
        self.value.map_or(NOT_MEASURED.to_owned(), |value| self.with_unit(&self.rounded(value)))
    }

    /// Returns the range of the runs; empty for a single run.
    pub fn spread_text(&self) -> String {
        match self.spread {
            Some(spread) if self.runs.len() > 1 => {
                format!("{}..{}", self.rounded(spread.min), self.rounded(spread.max))
            }
            _ => String::new(),
        }
    }

    /// Returns the target with its unit; empty without a target.
    pub fn target_text(&self) -> String {
        self.target.as_ref().map(|target| self.with_unit(target)).unwrap_or_default()
    }

    /// Returns `yes` or `no`; empty without a target.
    pub fn met_text(&self) -> &'static str {
        match self.met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        }
    }

    fn rounded(&self, value: f64) -> String {
        format!("{value:.*}", self.decimals)
    }

    fn with_unit(&self, text: &str) -> String {
        if self.unit.is_empty() { text.to_owned() } else { format!("{text} {}", self.unit) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::by_key;

    fn judge(key: &str, values: &[Option<f64>], bound: Bound) -> Measured {
        Measured::judge(by_key(key), values, Some(bound)).unwrap()
    }

    #[test]
    fn times_are_judged_by_their_median() {
        let values = [Some(1.0), Some(9.0), Some(1.4)];
        let measured = judge("ack_mean_ms", &values, Bound::AtMost(1.5));
        assert_eq!((measured.value, measured.met), (Some(1.4), Some(true)));
        assert_eq!(measured.value_text(), "1.40 ms");
        assert_eq!(measured.spread_text(), "1.00..9.00");
        assert_eq!(measured.target_text(), "<= 1.5 ms");
        assert!(judge("ack_mean_ms", &values, Bound::Below(1.4)).is_missed());
    }

    #[test]
    fn forbidden_events_are_judged_by_the_worst_run() {
        let lost = judge("connections_lost", &[Some(0.0), Some(0.0), Some(1.0)], Bound::AtMost(0.0));
        assert!(lost.is_missed());
        let ticks = judge("tick_rate_hz", &[Some(60.0), Some(60.0), Some(59.0)], Bound::AtLeast(59.9));
        assert_eq!((ticks.value, ticks.met), (Some(59.0), Some(false)));
    }

    #[test]
    fn an_unmeasured_target_is_missed() {
        let part = judge("ack_mean_ms", &[Some(1.0), None], Bound::AtMost(1.5));
        assert!(part.is_missed());
        let none = judge("ack_mean_ms", &[None], Bound::AtMost(1.5));
        assert_eq!((none.value_text().as_str(), none.met_text()), ("not measured", "no"));
        assert_eq!(Measured::judge(by_key("ack_mean_ms"), &[None], None), None);
    }
}

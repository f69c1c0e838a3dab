//! Targets, and their comparison with the values of several runs.

use std::fmt;

use game_client::statistics::Spread;
use serde::{Deserialize, Serialize};

use crate::figures::{Figure, Judged, NOT_MEASURED};

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

/// A figure of several runs, compared with its target, if any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Returns a name with its unit and decimals, to be judged.
    pub fn new(name: &str, unit: &str, decimals: usize) -> Measured {
        Measured { name: name.to_owned(), unit: unit.to_owned(), decimals, ..Measured::default() }
    }

    /// Judges a figure of the load test. Returns `None` for a figure with neither target nor value.
    pub fn of(figure: &Figure, values: &[Option<f64>], bound: Option<Bound>) -> Option<Measured> {
        let measured = Measured::new(figure.name, figure.unit, figure.decimals);
        let measured =
            Measured { key: figure.key.to_owned(), ..measured }.judge(figure.judged, values, bound);
        Some(measured).filter(|measured| measured.value.is_some() || bound.is_some())
    }

    /// Judges the values in the runs. A target is missed if any run lacks a value.
    #[must_use]
    pub fn judge(self, judged: Judged, values: &[Option<f64>], bound: Option<Bound>) -> Measured {
        let runs: Vec<f64> = values.iter().copied().flatten().collect();
        let spread = Spread::of(&runs);
        let value = spread.map(|spread| match (judged, bound) {
            (Judged::ByMedian, _) => spread.median,
            (Judged::ByWorst, Some(Bound::AtLeast(_))) => spread.min,
            (Judged::ByWorst, _) => spread.max,
        });
        let value = value.filter(|_| bound.is_none() || runs.len() == values.len());
        let met = bound.map(|bound| value.is_some_and(|value| bound.allows(value)));
        let target = bound.map(|bound| bound.to_string());
        Measured { value, spread, runs, target, met, ..self }
    }

    /// Returns the judged value with its unit, or `not measured`.
    pub fn value_text(&self) -> String {
        self.value.map_or(NOT_MEASURED.to_owned(), |value| self.with_unit(&self.rounded(value)))
    }

    /// Returns the target with its unit; empty without a target.
    pub fn target_text(&self) -> String {
        self.target.as_ref().map(|target| self.with_unit(target)).unwrap_or_default()
    }

    /// Returns the name, the value and the target.
    pub fn comparison(&self) -> String {
        format!("{} {} ({})", self.name, self.value_text(), self.target_text())
    }

    /// Returns `yes` or `no`; empty without a target.
    pub fn met_text(&self) -> &'static str {
        self.met.map_or("", |is_met| if is_met { "yes" } else { "no" })
    }

    /// Formats a line for the terminal.
    pub fn line(&self) -> String {
        let (value, spread, target) = (self.value_text(), self.spread_text(), self.target_text());
        let text = format!("   {:<4} {:<62} {value:>12}  {spread:<16} {target}", self.met_text(), self.name);
        format!("{}\n", text.trim_end())
    }

    /// Returns the range of the runs; empty for a single run.
    fn spread_text(&self) -> String {
        match self.spread {
            Some(spread) if self.runs.len() > 1 => {
                format!("{}..{}", self.rounded(spread.min), self.rounded(spread.max))
            }
            _ => String::new(),
        }
    }

    fn rounded(&self, value: f64) -> String {
        format!("{value:.*}", self.decimals)
    }

    fn with_unit(&self, text: &str) -> String {
        if self.unit.is_empty() { text.to_owned() } else { format!("{text} {}", self.unit) }
    }
}

/// Formats figures as a Markdown table. Those with a target come first.
pub fn table(figures: &[Measured]) -> String {
    let row = |measured: &Measured| {
        let target = measured.target_text().replace("<=", "≤").replace(">=", "≥");
        let (name, met) = (&measured.name, measured.met_text());
        format!("| {name} | {} | {} | {target} | {met} |\n", measured.value_text(), measured.spread_text())
    };
    let (judged, others): (Vec<&Measured>, Vec<&Measured>) =
        figures.iter().partition(|measured| measured.met.is_some());
    let rows: String = judged.into_iter().chain(others).map(row).collect();
    format!("| figure | measured | runs | target | met |\n|---|---:|---:|---:|---|\n{rows}")
}

/// Returns a sentence for each missed target: figure, value, target.
pub fn missed(figures: &[Measured]) -> impl Iterator<Item = String> {
    figures.iter().filter(|measured| measured.met == Some(false)).map(Measured::comparison)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Judged::{ByMedian, ByWorst};

    fn judge(judged: Judged, values: &[Option<f64>], bound: Bound) -> Measured {
        Measured::new("ack", "ms", 2).judge(judged, values, Some(bound))
    }

    #[test]
    fn the_median_or_the_worst_run_is_judged() {
        let values = [Some(1.0), Some(9.0), Some(1.4)];
        let median = judge(ByMedian, &values, Bound::AtMost(1.5));
        assert_eq!((median.value, median.met), (Some(1.4), Some(true)));
        assert_eq!(judge(ByMedian, &values, Bound::Below(1.4)).met, Some(false));
        let worst = judge(ByWorst, &values, Bound::AtLeast(1.2));
        assert_eq!((worst.value, worst.met), (Some(1.0), Some(false)));
        let text = table(&[Measured::new("x", "", 0), worst.clone(), median]);
        let rows = "| ack | 1.00 ms | 1.00..9.00 | ≥ 1.2 ms | no |\n| ack | 1.40 ms | 1.00..9.00 | ≤ 1.5 ms | yes |\n\
                    | x | not measured |  |  |  |\n";
        assert!(text.ends_with(rows), "{text}");
        assert_eq!(missed(&[worst]).collect::<Vec<_>>(), ["ack 1.00 ms (>= 1.2 ms)"]);
    }

    #[test]
    fn an_unmeasured_target_is_missed() {
        for values in [&[Some(1.0), None][..], &[None]] {
            let none = judge(ByMedian, values, Bound::AtMost(1.5));
            assert_eq!((none.value_text().as_str(), none.met_text()), ("not measured", "no"));
        }
    }
}

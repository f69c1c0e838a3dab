//! What is remembered of a server: its last answer, the rates since the one before, and how some figures went.

use std::collections::VecDeque;
use std::time::Instant;

use stage::text::printable;

use crate::poll::Answer;
use crate::sample::{Rates, Sample};

/// Answers whose figures are remembered: what fits on the widest terminal.
const POINTS_MAX: usize = 400;

/// A figure that is shown as it went.
#[derive(Clone, Copy, Debug)]
pub enum Trend {
    /// Players.
    Players,
    /// The 99th percentile of tick durations, in microseconds.
    TickP99,
    /// Bytes written a second.
    BytesOut,
}

/// One server, as far as it is known.
#[derive(Debug, Default)]
pub struct History {
    last: Option<(Instant, Sample)>,
    rates: Option<Rates>,
    /// Since when it does not answer, and why.
    unreachable: Option<(Instant, String)>,
    points: VecDeque<[u64; 3]>,
}

impl History {
    /// Takes note of an answer.
    pub fn take(&mut self, answer: Answer) {
        let metrics = match answer.metrics {
            Ok(metrics) => metrics,
            Err(why) => {
                let since = self.unreachable.take().map_or(answer.at, |(since, _)| since);
                self.unreachable = Some((since, printable(&why).into_owned()));
                self.rates = None;
                return;
            }
        };
        let sample = Sample::new(metrics);
        self.unreachable = None;
        self.rates = self
            .last
            .as_ref()
            .and_then(|(at, earlier)| Rates::between(earlier, &sample, answer.at.duration_since(*at)));
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        let bytes_out = self.rates.map_or(0.0, |rates| rates.bytes_out);
        let tick_p99_us = sample.number("tick_p99_ns") / 1e3;
        self.points.push_back([sample.number("players") as u64, tick_p99_us as u64, bytes_out as u64]);
        self.last = Some((answer.at, sample));
    }

    /// The last answer.
    pub fn last(&self) -> Option<&Sample> {
        self.last.as_ref().map(|(_, sample)| sample)
    }

    /// What happened in a second before it; nothing before the second answer.
    pub fn rates(&self) -> Rates {
        self.rates.unwrap_or_default()
    }

    /// Whether two answers in a row were had.
    pub fn has_rates(&self) -> bool {
        self.rates.is_some()
    }

    /// Whether the last question was not answered.
    pub fn is_unreachable(&self) -> bool {
        self.unreachable.is_some()
    }

    /// Since when it does not answer, and why, if that is so.
    pub fn unreachable(&self) -> Option<(Instant, &str)> {
        self.unreachable.as_ref().map(|(since, why)| (*since, why.as_str()))
    }

    /// The last figures of a kind, at most so many, the newest last.
    pub fn trend(&self, trend: Trend, most: usize) -> Vec<u64> {
        let skipped = self.points.len().saturating_sub(most);
        self.points.iter().skip(skipped).map(|point| point[trend as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn it_remembers_since_when_a_server_is_gone_and_forgets_once_it_is_back() {
        let (start, mut history) = (Instant::now(), History::default());
        let at = |second: u64| start + Duration::from_secs(second);
        let up = |second: u64, ticks: u64| Answer {
            at: at(second),
            metrics: Ok(json!({ "ticks_total": ticks, "players": ticks })),
        };
        history.take(up(0, 60));
        assert!(!history.has_rates());
        history.take(up(1, 120));
        assert!(history.has_rates());
        for second in 2..4 {
            history.take(Answer { at: at(second), metrics: Err("refused".to_owned()) });
        }
        assert_eq!(history.unreachable(), Some((at(2), "refused")));
        assert!(!history.has_rates() && history.last().is_some());
        history.take(up(4, 5));
        assert!(!history.is_unreachable() && !history.has_rates(), "it was started anew");
        assert_eq!(history.trend(Trend::Players, 2), [120, 5]);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut history = History::default();
        for _ in 0..2 * POINTS_MAX {
            history.take(Answer { at: Instant::now(), metrics: Ok(json!({})) });
        }
        assert_eq!(history.trend(Trend::TickP99, usize::MAX).len(), POINTS_MAX);
    }
}

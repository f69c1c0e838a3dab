//! Recent metrics of a server: the last response, its rates, and trends of some figures.

use std::collections::VecDeque;
use std::time::Instant;

use game_client::text::printable;

use super::poll::Response;
use super::sample::{Rates, Sample};

/// Most points of a trend: as many as fit on the widest terminal.
const POINTS_MAX: usize = 400;

/// A figure with a trend.
#[derive(Clone, Copy, Debug)]
pub enum Trend {
    /// Players.
    Players,
    /// The 99th percentile of tick durations, in microseconds.
    TickP99,
    /// Bytes written per second.
    BytesOut,
}

/// Recent metrics of one server.
#[derive(Debug, Default)]
pub struct History {
    last: Option<(Instant, Sample)>,
    rates: Option<Rates>,
    /// Time since which the server is unreachable, and the reason.
    unreachable: Option<(Instant, String)>,
    points: VecDeque<[u64; 3]>,
}

impl History {
    /// Records a response.
    pub fn record(&mut self, response: Response) {
        let metrics = match response.metrics {
            Ok(metrics) => metrics,
            Err(why) => {
                let since = self.unreachable.take().map_or(response.at, |(since, _)| since);
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
            .and_then(|(at, earlier)| Rates::between(earlier, &sample, response.at.duration_since(*at)));
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        let bytes_out = self.rates.map_or(0.0, |rates| rates.bytes_out);
        let tick_p99_us = sample.number("tick_p99_ns") / 1e3;
        self.points.push_back([sample.number("players") as u64, tick_p99_us as u64, bytes_out as u64]);
        self.last = Some((response.at, sample));
    }

    /// Returns the last metrics.
    pub fn last(&self) -> Option<&Sample> {
        self.last.as_ref().map(|(_, sample)| sample)
    }

    /// Returns the rates between the last two responses; zeros before the second one.
    pub fn rates(&self) -> Rates {
        self.rates.unwrap_or_default()
    }

    /// Whether the last two requests succeeded.
    pub fn has_rates(&self) -> bool {
        self.rates.is_some()
    }

    /// Whether the last request failed.
    pub fn is_unreachable(&self) -> bool {
        self.unreachable.is_some()
    }

    /// Returns the time since which the server is unreachable, and the reason; `None` if it is reachable.
    pub fn unreachable(&self) -> Option<(Instant, &str)> {
        self.unreachable.as_ref().map(|(since, why)| (*since, why.as_str()))
    }

    /// Returns the last points of a trend, at most `most`, the newest last.
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
    fn an_unreachable_server_has_a_start_time_until_it_responds() {
        let (start, mut history) = (Instant::now(), History::default());
        let at = |second: u64| start + Duration::from_secs(second);
        let up = |second: u64, ticks: u64| Response {
            at: at(second),
            metrics: Ok(json!({ "ticks_total": ticks, "players": ticks })),
        };
        history.record(up(0, 60));
        assert!(!history.has_rates());
        history.record(up(1, 120));
        assert!(history.has_rates());
        for second in 2..4 {
            history.record(Response { at: at(second), metrics: Err("refused".to_owned()) });
        }
        assert_eq!(history.unreachable(), Some((at(2), "refused")));
        assert!(!history.has_rates() && history.last().is_some());
        history.record(up(4, 5));
        assert!(!history.is_unreachable() && !history.has_rates(), "the server was restarted");
        assert_eq!(history.trend(Trend::Players, 2), [120, 5]);
    }

    #[test]
    fn a_history_is_bounded() {
        let mut history = History::default();
        for _ in 0..2 * POINTS_MAX {
            history.record(Response { at: Instant::now(), metrics: Ok(json!({})) });
        }
        assert_eq!(history.trend(Trend::TickP99, usize::MAX).len(), POINTS_MAX);
    }
}

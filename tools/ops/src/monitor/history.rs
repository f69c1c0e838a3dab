//! Recent metrics of a server: the last response, rates between the last two, and trends of some figures.

use std::collections::VecDeque;
use std::time::Instant;

use game_client::text::{printable, printable_json};
use serde_json::{Value as Json, json};

use super::poll::Response;

/// Most points of a trend: as many as fit on the widest terminal.
const POINTS_MAX: usize = 400;

/// Most processes behind one address of which the last response is kept: those of one port.
const NODES_MAX: usize = 64;

/// Rates per second: name, path of the total, and its amount in the unit of the rate.
const RATES: [(&str, &str, f64); 12] = [
    ("messages_in", "messages_in_total", 1.0),
    ("messages_out", "messages_out_total", 1.0),
    ("bytes_in", "bytes_in_total", 1.0),
    ("bytes_out", "bytes_out_total", 1.0),
    ("acks", "frames_out.ack", 1.0),
    ("writes", "socket_writes_total", 1.0),
    ("write_stalls", "write_stalls_total", 1.0),
    ("rate_limited", "rate_limited_total", 1.0),
    ("joined", "connections.upgraded_total", 1.0),
    ("ended", "closed", 1.0),
    ("refused", "refused", 1.0),
    ("cores", "cpu_ns_total", 1e9),
];

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
    /// The last metrics of each process that shares the address, the newest last. Their strings and names are escaped for the
    /// terminal.
    last: Vec<(Instant, Json)>,
    /// In the order of [`RATES`].
    rates: Option<[f64; RATES.len()]>,
    /// Time since which the server is unreachable, and the reason.
    unreachable: Option<(Instant, String)>,
    points: VecDeque<[u64; 3]>,
}

impl History {
    /// Records a response.
    pub fn record(&mut self, response: Response) {
        let metrics = match response.metrics {
            Ok(metrics) => printable_json(metrics),
            Err(why) => {
                let since = self.unreachable.take().map_or(response.at, |(since, _)| since);
                self.unreachable = Some((since, printable(&why).into_owned()));
                self.rates = None;
                return;
            }
        };
        self.unreachable = None;
        let earlier = self.last.iter().position(|(_, earlier)| earlier["node"] == metrics["node"]);
        self.rates = earlier.and_then(|index| {
            let (at, earlier) = self.last.remove(index);
            rates(&earlier, &metrics, response.at.duration_since(at).as_secs_f64())
        });
        if self.last.len() == NODES_MAX {
            self.last.remove(0);
        }
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        self.last.push((response.at, metrics));
        let figures = [self.number("players"), self.number("tick_p99_ns") / 1e3, self.rate("bytes_out")];
        self.points.push_back(figures.map(|figure| figure as u64));
    }

    /// Returns the last metrics.
    pub fn last(&self) -> Option<&Json> {
        self.last.last().map(|(_, metrics)| metrics)
    }

    /// Returns a number of the last metrics by its path, with dots between names, or the sum of an object of counts; 0
    /// if it is absent.
    pub fn number(&self, path: &str) -> f64 {
        self.last().map_or(0.0, |metrics| number(metrics, path))
    }

    /// Returns the rate of this name between the last two responses; 0 before the second one.
    pub fn rate(&self, name: &str) -> f64 {
        let index = RATES.iter().position(|(rate, ..)| *rate == name).expect("a name of the table");
        self.rates.map_or(0.0, |rates| rates[index])
    }

    /// Returns all rates as JSON; `None` unless the last two requests succeeded.
    pub fn rates(&self) -> Option<Json> {
        let names = RATES.map(|(name, ..)| name);
        Some(names.into_iter().zip(self.rates?).map(|(name, rate)| (name, json!(rate))).collect())
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

fn number(metrics: &Json, path: &str) -> f64 {
    match path.split('.').try_fold(metrics, |value, name| value.get(name)) {
        Some(Json::Object(counts)) => counts.values().filter_map(Json::as_f64).sum(),
        value => value.and_then(Json::as_f64).unwrap_or(0.0),
    }
}

/// Returns the rates between two responses, or `None` if the server was restarted or no time has passed.
fn rates(earlier: &Json, later: &Json, seconds: f64) -> Option<[f64; RATES.len()]> {
    if seconds <= 0.0 || number(later, "ticks_total") < number(earlier, "ticks_total") {
        return None;
    }
    let more = |path| (number(later, path) - number(earlier, path)).max(0.0);
    Some(RATES.map(|(_, path, unit)| more(path) / unit / seconds))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A history of responses, each a second after the one before; `None` is a failed request.
    fn history(responses: &[Option<Json>]) -> (Instant, History) {
        let (start, mut history) = (Instant::now(), History::default());
        for (second, metrics) in responses.iter().enumerate() {
            let at = start + Duration::from_secs(second as u64);
            history.record(Response { at, metrics: metrics.clone().ok_or("refused".to_owned()) });
        }
        (start, history)
    }

    fn up(ticks: u64, closed: u64) -> Json {
        json!({
            "ticks_total": ticks, "players": ticks, "cpu_ns_total": ticks * 1_000_000,
            "frames_out": { "ack": ticks, "joined": 7 }, "closed": { "idle": closed, "left": 1 },
        })
    }

    #[test]
    fn rates_are_differences_of_numbers_or_sums_over_time() {
        let (_, history) = history(&[Some(up(60, 1)), Some(up(180, 3))]);
        let rates = ["acks", "ended", "messages_in"].map(|name| history.rate(name) as u64);
        assert_eq!((rates, history.rate("cores").to_string().as_str()), ([120, 2, 0], "0.12"));
        assert_eq!(history.rates().map(|rates| rates["acks"].clone()), Some(json!(120.0)));
        let (_, restarted) = self::history(&[Some(up(60, 1)), Some(up(5, 0))]);
        assert_eq!(restarted.rates(), None);
    }

    #[test]
    fn rates_are_those_of_one_process_of_several_behind_an_address() {
        let of = |node: &str, ticks| {
            let mut metrics = up(ticks, 0);
            metrics["node"] = json!(node);
            Some(metrics)
        };
        let (_, mixed) = history(&[of("one", 60), of("two", 5_000)]);
        assert_eq!(mixed.rates(), None);
        let (_, mixed) = history(&[of("one", 60), of("two", 5_000), of("one", 180)]);
        assert_eq!(mixed.rate("acks") as u64, 60, "120 in two seconds");
    }

    #[test]
    fn an_unreachable_server_has_a_start_time_until_it_responds() {
        let (start, mut history) = history(&[Some(up(60, 0)), Some(up(120, 0)), None, None]);
        assert_eq!(history.unreachable(), Some((start + Duration::from_secs(2), "refused")));
        assert!(history.rates().is_none() && history.last().is_some());
        let at = start + Duration::from_secs(4);
        history.record(Response { at, metrics: Ok(up(5, 0)) });
        assert!(history.unreachable().is_none());
        assert_eq!(history.trend(Trend::Players, 2), [120, 5]);
    }

    #[test]
    fn a_history_is_bounded() {
        let (_, history) = history(&vec![Some(json!({})); 2 * POINTS_MAX]);
        assert_eq!(history.trend(Trend::TickP99, usize::MAX).len(), POINTS_MAX);
    }
}

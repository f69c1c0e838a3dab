//! The result of a run as plain data: its JSON is derived, and text and HTML are made from it.

mod server;
mod text;
mod verdict;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::load::churn::{Churn, Storm};
use crate::measure::{FRAME_KINDS, Second, Tally, Times};
use crate::options::Options;
use crate::truth::Fault;
pub use server::ServerAccount;
pub use text::text;

/// The HTML report without its data.
const TEMPLATE: &str = include_str!("report/report.html");

/// The place of the data in the template.
const DATA: &str = "\"DATA\"";

/// Returns the report as one JSON object. Times are in milliseconds.
pub fn json(report: &Report) -> Json {
    rounded(json!(report))
}

/// Rounds all numbers, except those of the options, to four decimals; more would be noise.
fn rounded(json: Json) -> Json {
    match json {
        Json::Number(number) if number.is_f64() => {
            number.as_f64().map_or(Json::Null, |number| json!((number * 1e4).round() / 1e4))
        }
        Json::Array(values) => values.into_iter().map(rounded).collect(),
        Json::Object(members) => {
            let is_given = |name: &str| name == "options";
            let round = |name: &str, value| if is_given(name) { value } else { rounded(value) };
            members.into_iter().map(|(name, value)| (name.clone(), round(&name, value))).collect()
        }
        other => other,
    }
}

/// Returns the report as one HTML file without external resources. Its script draws the data.
pub fn html(report: &Report) -> String {
    let data = json!({ "headline": text::headline(report), "text": text(report), "report": json(report) });
    // The end tag of a script ends it even inside a string.
    TEMPLATE.replace(DATA, &data.to_string().replace('<', "\\u003c"))
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Start time in RFC 3339 format.
    pub started: String,
    /// The machine of the generator.
    pub machine: String,
    /// Whether Ctrl-C ended the run.
    pub interrupted: bool,
    /// Whether there are no problems.
    pub ok: bool,
    /// Losses and faults, one line each.
    pub problems: Vec<String>,
    /// The options.
    pub options: Options,
    /// Connects and disconnects.
    pub connections: Connections,
    /// Reconnects; `None` if no client disconnected.
    pub churn: Option<Churn>,
    /// The storm; `None` if there was none, or the run ended before it.
    pub storm: Option<Storm>,
    /// From the due time of a MOVE to its ack.
    #[serde(rename = "ack_ms")]
    pub ack: Times,
    /// From the write of a MOVE to its ack.
    #[serde(rename = "ack_from_write_ms")]
    pub ack_from_write: Times,
    /// Like `ack`, while clients were still connecting.
    #[serde(rename = "ack_while_connecting_ms")]
    pub ack_while_connecting: Times,
    /// Histogram of `ack`: upper ends of ranges in milliseconds, and counts.
    #[serde(rename = "ack_ranges_ms")]
    pub ack_ranges: Vec<(f64, u64)>,
    /// Outcomes of all MOVEs of the run.
    pub moves: Moves,
    /// From the due time of a player's change to another player's screen.
    #[serde(rename = "to_screen_ms")]
    pub to_screen: Times,
    /// Histogram of `to_screen`, like `ack_ranges`.
    #[serde(rename = "to_screen_ranges_ms")]
    pub to_screen_ranges: Vec<(f64, u64)>,
    /// Traffic in the measured window.
    pub traffic: Traffic,
    /// The comparison of the sampled replicas; `None` without viewers.
    #[serde(rename = "pictures")]
    pub replicas: Option<Replicas>,
    /// Number of position corrections by the server.
    pub corrections: u64,
    /// The server's resource usage and metrics.
    pub server: ServerAccount,
    /// This program.
    pub generator: Generator,
    /// All seconds of the run.
    pub timeline: Vec<Second>,
}

/// Connects and disconnects.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Connections {
    /// Clients that joined.
    pub joined: usize,
    /// Time until the last join, in seconds.
    pub joined_in_s: f64,
    /// From the start of a connection to its first snapshot.
    #[serde(rename = "connect_ms")]
    pub connect: Times,
    /// Failed connections, by reason.
    #[serde(rename = "failed")]
    pub failures: BTreeMap<String, u64>,
    /// Unexpected disconnects, by reason.
    #[serde(rename = "lost")]
    pub disconnects: BTreeMap<String, u64>,
    /// Clients whose close frame the server did not answer.
    #[serde(rename = "goodbyes_unanswered")]
    pub unclosed: usize,
    /// Clients playing; in the report, once all players stood still.
    pub playing: usize,
    /// Players on the server at that time; `None` without metrics.
    pub players_there: Option<u64>,
    /// Upgrades minus players minus closed connections, from the server's metrics. 0 if they are consistent.
    pub unaccounted: Option<i64>,
}

/// Outcomes of all MOVEs of the run, warm-up included.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Moves {
    /// Sent.
    pub sent: u64,
    /// Acknowledged.
    pub answered: u64,
    /// Not acknowledged on a live connection. During the run, these may still be.
    pub missing: u64,
    /// Not acknowledged, and part of a backlog that may have exceeded the rate limit on arrival. Up to `rate_limited` of
    /// them are not the server's fault.
    #[serde(rename = "held_up")]
    pub backlogged: u64,
    /// Messages of all clients that the server dropped for the rate limit; `None` without metrics.
    pub rate_limited: Option<u64>,
    /// Not acknowledged because the connection was lost.
    pub lost: u64,
    /// Not acknowledged because the client disconnected on purpose.
    pub abandoned: u64,
    /// Acks of no pending MOVE.
    #[serde(rename = "unexpected_answers")]
    pub unexpected: u64,
}

/// Traffic in the measured window.
#[derive(Debug, Default, Serialize)]
pub struct Traffic {
    /// Length of the window in seconds.
    pub seconds: f64,
    /// Clients playing at its end.
    pub clients: usize,
    /// MOVEs per second of all clients.
    pub moves_per_s: f64,
    /// Counts per client and second.
    pub per_client_s: Rates,
}

/// Counts per client and second. Bytes are payload bytes of TCP.
#[derive(Debug, Default, Serialize)]
pub struct Rates {
    /// Frames received.
    pub frames_in: f64,
    /// Bytes received.
    pub bytes_in: f64,
    /// Frames sent.
    pub frames_out: f64,
    /// Bytes sent.
    pub bytes_out: f64,
    /// Frames received, by kind.
    pub frames_in_by_kind: Named<f64>,
}

impl Traffic {
    /// Returns the traffic of this many seconds and clients.
    pub fn of(seconds: f64, clients: usize, tally: &Tally) -> Traffic {
        let client_seconds = seconds * clients as f64;
        let rate = |count: u64| if client_seconds > 0.0 { count as f64 / client_seconds } else { 0.0 };
        let kinds = FRAME_KINDS.into_iter().zip(tally.frames_in);
        let per_client_s = Rates {
            frames_in: rate(tally.frames_in_total()),
            bytes_in: rate(tally.bytes_in),
            frames_out: rate(tally.frames_out),
            bytes_out: rate(tally.bytes_out),
            frames_in_by_kind: Named(kinds.map(|(kind, count)| (kind, rate(count))).collect()),
        };
        Traffic { seconds, clients, moves_per_s: tally.moves as f64 / seconds.max(1e-9), per_client_s }
    }
}

/// The sampled replicas compared with the true positions once all players stood still.
#[derive(Debug, Default, Serialize)]
pub struct Replicas {
    /// Replicas compared.
    pub compared: usize,
    /// Sprites in them.
    pub sprites: usize,
    /// Faults by kind; every kind is present.
    pub faults: BTreeMap<Fault, u64>,
    /// Descriptions of the first few.
    pub examples: Vec<String>,
    /// Violations during the run that the browser does not tolerate, by kind, with an example.
    pub violations: BTreeMap<String, Violations>,
    /// Permanent duplicate sprites.
    #[serde(rename = "doubles")]
    pub duplicates: usize,
    /// Players on the server that are not part of this run. If there are any, phantoms cannot be detected.
    #[serde(rename = "strangers")]
    pub foreign_players: u64,
    /// The server's limit of visible players.
    pub max_visible: usize,
}

/// Violations of one kind.
#[derive(Debug, Serialize)]
pub struct Violations {
    /// Their number.
    pub count: u64,
    /// The first one.
    pub example: String,
}

/// This program in the measured window.
#[derive(Debug, Default, Serialize)]
pub struct Generator {
    /// Whether the generator and the machine kept up, so that the measured times are the server's.
    pub kept_up: bool,
    /// A statement about it.
    pub statement: String,
    /// Cores used.
    pub cores: f64,
    /// Fraction of the time for which it was runnable but not running.
    pub wait_ratio: f64,
    /// Fraction of the time for which its event loop was busy, including time without a processor.
    pub busy_ratio: f64,
    /// Lateness of its sends.
    #[serde(rename = "lateness_ms")]
    pub lateness: Times,
    /// Actions postponed for excessive lateness in the whole run.
    pub postponed: u64,
    /// Durations of loop iterations.
    #[serde(rename = "turn_ms")]
    pub iterations: Times,
    /// Mean delay between arrival and read of an ack, in milliseconds. It is part of every round trip.
    pub read_delay_ms: f64,
    /// Steal time, as a fraction of all cores' time.
    pub stolen_ratio: f64,
    /// CPU time of all processes but the server and this one, as a fraction of all cores' time; `None` without `--pid`.
    pub others_ratio: Option<f64>,
}

/// Named values, in order. They are serialized as an object.
#[derive(Debug, Default)]
pub struct Named<T>(Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::run;

    /// A clean run of 10,000 clients.
    pub fn sample() -> Report {
        let second = |at_s| Second { at_s, measured: at_s > 1.0, playing: 10_000, ..Second::default() };
        let mut report = Report {
            started: "2025-01-01T00:00:00Z".to_owned(),
            machine: "2 x Test".to_owned(),
            interrupted: false,
            ok: true,
            problems: Vec::new(),
            options: run(&["--clients=10000"]),
            connections: Connections { joined: 10_000, joined_in_s: 10.0, ..Connections::default() },
            churn: None,
            storm: None,
            ack: Times::of_ms(4),
            ack_from_write: Times::default(),
            ack_while_connecting: Times::default(),
            ack_ranges: vec![(1.0, 5), (2.0, 10), (4.0, 1)],
            moves: Moves { sent: 10, answered: 10, ..Moves::default() },
            to_screen: Times::default(),
            to_screen_ranges: vec![(50.0, 5)],
            traffic: Traffic::of(60.0, 10_000, &Tally::default()),
            replicas: Some(Replicas {
                compared: 50,
                faults: Fault::ALL.map(|fault| (fault, 0)).into(),
                ..Replicas::default()
            }),
            corrections: 0,
            server: ServerAccount::default(),
            generator: Generator { busy_ratio: 0.5, ..Generator::default() },
            timeline: vec![second(1.0), second(2.0), second(3.0)],
        };
        report.conclude();
        report
    }

    #[test]
    fn numbers_are_rounded_except_those_of_the_options() {
        assert_eq!(rounded(json!({ "a": [1.23456, 1], "options": { "b": 1.23456 } })), {
            json!({ "a": [1.2346, 1], "options": { "b": 1.23456 } })
        });
    }

    #[test]
    fn the_page_is_self_contained_and_its_data_cannot_end_the_script() {
        let mut report = sample();
        report.connections.failures.insert("</script>".to_owned(), 1);
        report.conclude();
        let page = html(&report);
        assert_eq!(page.matches("</script>").count(), 1);
        assert!(page.contains("\\u003c/script>") && !page.contains(DATA));
        for outside in ["http:", "https:", "src=", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}

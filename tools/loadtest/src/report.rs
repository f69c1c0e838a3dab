//! The result of a run as plain data, and its renderings as text, JSON and HTML.

mod chart;
mod html;
mod json;
mod text;
mod verdict;

use std::collections::BTreeMap;

use crate::measure::{Second, Summary, Tally};
use crate::options::Options;
use crate::truth::Fault;
pub use html::html;
pub use json::json;
pub use text::text;

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    /// The options.
    pub options: Options,
    /// Start time in RFC 3339 format.
    pub started: String,
    /// The machine of the generator.
    pub machine: String,
    /// Whether Ctrl-C ended the run.
    pub interrupted: bool,
    /// Connects and disconnects.
    pub connections: Connections,
    /// Reconnects; `None` if no client disconnected.
    pub churn: Option<Churn>,
    /// The storm; `None` if there was none, or the run ended before it.
    pub storm: Option<Storm>,
    /// From the due time of a MOVE to its ack.
    pub ack: Summary,
    /// From the write of a MOVE to its ack.
    pub ack_from_write: Summary,
    /// Like `ack`, while clients were still connecting.
    pub ack_while_connecting: Summary,
    /// Histogram of `ack`: upper ends of ranges in milliseconds, and counts.
    pub ack_ranges: Vec<(f64, u64)>,
    /// Outcomes of all MOVEs of the run.
    pub moves: Moves,
    /// From the due time of a player's change to another player's screen.
    pub to_screen: Summary,
    /// Histogram of `to_screen`, like `ack_ranges`.
    pub to_screen_ranges: Vec<(f64, u64)>,
    /// Traffic in the measured window.
    pub traffic: Traffic,
    /// The comparison of the sampled replicas; `None` without viewers.
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
#[derive(Debug, Default)]
pub struct Connections {
    /// Clients that joined.
    pub joined: usize,
    /// Time until the last join, in seconds.
    pub joined_in_s: f64,
    /// From the start of a connection to its first snapshot.
    pub connect: Summary,
    /// Failed connections, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Unexpected disconnects, by reason.
    pub disconnects: BTreeMap<String, u64>,
    /// Clients whose close frame the server did not answer.
    pub unclosed: usize,
    /// Clients playing once all players stood still.
    pub playing: usize,
    /// Players on the server at that time; `None` without metrics.
    pub players_there: Option<u64>,
    /// Upgrades minus players minus closed connections, from the server's metrics. 0 if they are consistent.
    pub unaccounted: Option<i64>,
}

/// Reconnects.
#[derive(Debug, Default)]
pub struct Churn {
    /// Disconnects by kind.
    pub left: Vec<(&'static str, u64)>,
    /// Reconnected clients that received their id.
    pub returned: u64,
    /// Disconnects per second in the measured window.
    pub left_per_s: f64,
    /// From the start of a connection to its first snapshot, of reconnecting clients.
    pub connect: Summary,
    /// Number of different ids assigned.
    pub ids: usize,
    /// The highest id.
    pub id_highest: u32,
    /// Ids assigned more than once.
    pub ids_repeated: u64,
    /// Ids not above every id known when the connection began.
    pub ids_not_above: u64,
}

impl Churn {
    /// Returns the number of all disconnects.
    pub fn left_total(&self) -> u64 {
        self.left.iter().map(|(_, count)| count).sum()
    }
}

/// A storm: many clients disconnected at once.
#[derive(Debug, Default)]
pub struct Storm {
    /// Number of disconnected clients.
    pub killed: usize,
    /// Duration of the resets, in seconds.
    pub reset_s: f64,
    /// Number of reconnected clients.
    pub returned: usize,
    /// Time from the first reset until all had reconnected, in seconds; `None` if some never did.
    pub back_s: Option<f64>,
    /// Number of unaffected clients.
    pub stayed: usize,
    /// Ack round trips of the unaffected clients, until all others had reconnected.
    pub ack_of_stayed: Summary,
}

/// Outcomes of all MOVEs of the run, warm-up included.
#[derive(Debug, Default)]
pub struct Moves {
    /// Sent.
    pub sent: u64,
    /// Acknowledged.
    pub answered: u64,
    /// Not acknowledged on a live connection.
    pub missing: u64,
    /// Not acknowledged, and part of a backlog that may have exceeded the rate limit on arrival. Up to `rate_limited` of
    /// them are not the server's fault.
    pub backlogged: u64,
    /// Messages of all clients that the server dropped for the rate limit; `None` without metrics.
    pub rate_limited: Option<u64>,
    /// Not acknowledged because the connection was lost.
    pub lost: u64,
    /// Not acknowledged because the client disconnected on purpose.
    pub abandoned: u64,
    /// Acks of no pending MOVE.
    pub unexpected: u64,
}

/// Traffic in the measured window.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Length of the window in seconds.
    pub seconds: f64,
    /// Clients playing at its end.
    pub clients: usize,
    /// The counts.
    pub tally: Tally,
}

impl Traffic {
    /// Returns a count per client and second.
    pub fn per_client_s(&self, count: u64) -> f64 {
        let client_seconds = self.seconds * self.clients as f64;
        if client_seconds > 0.0 { count as f64 / client_seconds } else { 0.0 }
    }
}

/// The sampled replicas compared with the true positions once all players stood still.
#[derive(Debug, Default)]
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
    pub violations: BTreeMap<String, (u64, String)>,
    /// Permanent duplicate sprites.
    pub duplicates: usize,
    /// Players on the server that are not part of this run. If there are any, phantoms cannot be detected.
    pub foreign_players: u64,
    /// The server's limit of visible players.
    pub max_visible: usize,
}

/// The server in the measured window, from the kernel and its metrics.
#[derive(Debug, Default)]
pub struct ServerAccount {
    /// CPU time, in seconds.
    pub cpu_s: Option<f64>,
    /// Cores used.
    pub cores: Option<f64>,
    /// Fraction of the time for which its main thread was runnable but not running.
    pub wait_ratio: Option<f64>,
    /// Highest resident memory at the end of a second, in bytes.
    pub resident_bytes_max: Option<u64>,
    /// Resident memory at the begin of the window, in bytes.
    pub resident_bytes_begin: Option<u64>,
    /// Resident memory at the end of the window, in bytes.
    pub resident_bytes_end: Option<u64>,
    /// Open descriptors before the first client connected.
    pub descriptors_before: Option<u64>,
    /// Open descriptors after the last client disconnected.
    pub descriptors_after: Option<u64>,
    /// Its metrics.
    pub metrics: Option<ServerMetrics>,
}

impl ServerAccount {
    /// Returns the CPU time per socket read or write, in microseconds.
    pub fn cpu_us_per_call(&self) -> Option<f64> {
        let metrics = self.metrics.as_ref()?;
        let calls_per_s = metrics.reads_per_s? + metrics.writes_per_s?;
        Some(self.cores? / calls_per_s * 1e6)
    }
}

/// The server's metrics of the measured window, as far as it provides them.
#[derive(Debug, Default)]
pub struct ServerMetrics {
    /// Ticks per second.
    pub tick_rate_hz: Option<f64>,
    /// Ticks skipped.
    pub ticks_skipped: Option<f64>,
    /// 99th percentile of recent tick durations, in milliseconds.
    pub tick_p99_ms: Option<f64>,
    /// Fraction of bytes saved compared with a snapshot in every tick.
    pub bandwidth_saved_ratio: Option<f64>,
    /// Socket reads per second.
    pub reads_per_s: Option<f64>,
    /// Socket writes per second.
    pub writes_per_s: Option<f64>,
    /// Partial or blocked writes.
    pub write_stalls: Option<f64>,
    /// Messages dropped for the rate limit.
    pub rate_limited: Option<f64>,
    /// Fraction of the time for which its event loop was busy.
    pub busy_ratio: Option<f64>,
    /// Flush interval at the end, in milliseconds.
    pub flush_interval_ms: Option<f64>,
    /// Limit of visible players at the end.
    pub max_visible: Option<f64>,
    /// Quality level of its governor at the end.
    pub governor_level: Option<f64>,
}

/// This program in the measured window.
#[derive(Debug, Default)]
pub struct Generator {
    /// Cores used.
    pub cores: f64,
    /// Fraction of the time for which it was runnable but not running.
    pub wait_ratio: f64,
    /// Fraction of the time for which its event loop was busy, including time without a processor.
    pub busy_ratio: f64,
    /// Lateness of its sends.
    pub lateness: Summary,
    /// Actions postponed for excessive lateness in the whole run.
    pub postponed: u64,
    /// Durations of loop iterations.
    pub iterations: Summary,
    /// Mean delay between arrival and read of an ack, in milliseconds. It is part of every round trip.
    pub read_delay_ms: f64,
    /// Steal time, as a fraction of all cores' time.
    pub stolen_ratio: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Command, parse};

    /// A clean run of 10,000 clients.
    pub fn sample() -> Report {
        let Ok(Command::Run(options)) = parse(["--clients=10000".to_owned()]) else { panic!("valid flags") };
        let times = Summary {
            count: 1_200_000,
            mean_ms: 4.0,
            p50_ms: 3.0,
            p90_ms: 5.0,
            p99_ms: 8.0,
            p999_ms: 9.0,
            max_ms: 12.0,
        };
        let second =
            |at_s| Second { at_s, measured: at_s > 1.0, playing: 10_000, ack: times, ..Second::default() };
        Report {
            options: *options,
            started: "2025-01-01T00:00:00Z".to_owned(),
            machine: "2 x Test".to_owned(),
            interrupted: false,
            connections: Connections { joined: 10_000, joined_in_s: 10.0, ..Connections::default() },
            churn: None,
            storm: None,
            ack: times,
            ack_from_write: times,
            ack_while_connecting: times,
            ack_ranges: vec![(1.0, 5), (2.0, 10), (4.0, 1)],
            moves: Moves { sent: 10, answered: 10, ..Moves::default() },
            to_screen: times,
            to_screen_ranges: vec![(50.0, 5)],
            traffic: Traffic { seconds: 60.0, clients: 10_000, tally: Tally::default() },
            replicas: Some(Replicas {
                compared: 50,
                faults: Fault::ALL.map(|fault| (fault, 0)).into(),
                ..Replicas::default()
            }),
            corrections: 0,
            server: ServerAccount {
                metrics: Some(ServerMetrics { tick_rate_hz: Some(60.0), ..ServerMetrics::default() }),
                ..ServerAccount::default()
            },
            generator: Generator { busy_ratio: 0.5, ..Generator::default() },
            timeline: vec![second(1.0), second(2.0), second(3.0)],
        }
    }
}

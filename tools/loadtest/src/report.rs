//! What a run found, as plain data; and the three forms in which people and programs read it.

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

/// Everything a run found.
#[derive(Debug)]
pub struct Report {
    /// What was asked for.
    pub options: Options,
    /// When it began, as RFC 3339 writes it.
    pub started: String,
    /// The machine of the generator.
    pub machine: String,
    /// Somebody pressed ctrl-C.
    pub interrupted: bool,
    /// Who came in, and who did not stay.
    pub connections: Connections,
    /// Who left and came back; none when nobody was to.
    pub churn: Option<Churn>,
    /// Those killed at once; none when nobody was to be, or the run ended before.
    pub storm: Option<Storm>,
    /// From the moment a MOVE was to be sent to its answer.
    pub ack: Summary,
    /// From the write of a MOVE to its answer.
    pub ack_from_write: Summary,
    /// As `ack`, while clients were still connecting.
    pub ack_while_connecting: Summary,
    /// How many answers took how long: upper ends of ranges in milliseconds, and counts.
    pub ack_ranges: Vec<(f64, u64)>,
    /// What became of all MOVEs of the run.
    pub moves: Moves,
    /// From a change of one player to the screen of another.
    pub to_screen: Summary,
    /// As `ack_ranges`.
    pub to_screen_ranges: Vec<(f64, u64)>,
    /// What was sent and received in the measured window.
    pub traffic: Traffic,
    /// The sampled pictures; none when no viewer was asked for.
    pub replicas: Option<Replicas>,
    /// How often the server put a player elsewhere than its client had it.
    pub corrections: u64,
    /// The server, as far as it or the kernel tells.
    pub server: ServerAccount,
    /// This program.
    pub generator: Generator,
    /// Second by second.
    pub timeline: Vec<Second>,
}

/// Who came in, and who did not stay.
#[derive(Debug, Default)]
pub struct Connections {
    /// Clients that came in.
    pub joined: usize,
    /// Time until the last of them was in, in seconds.
    pub joined_in_s: f64,
    /// From the begin of a connection to its first full state.
    pub connect: Summary,
    /// Those that could not come in, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Those whose connection ended although nobody wanted it, by reason.
    pub disconnects: BTreeMap<String, u64>,
    /// Clients whose goodbye the server did not answer.
    pub unclosed: usize,
    /// Clients playing once everybody stood still.
    pub playing: usize,
    /// Players the server had then; none when it does not tell.
    pub players_there: Option<u64>,
    /// Upgrades that the server counts, less its players and those it counts as closed: none of its counts is lost when
    /// this is 0.
    pub unaccounted: Option<i64>,
}

/// Clients that left and came back.
#[derive(Debug, Default)]
pub struct Churn {
    /// How many left, by how.
    pub left: Vec<(&'static str, u64)>,
    /// How many came back, and learned who they are.
    pub returned: u64,
    /// How many left a second in the measured window.
    pub left_per_s: f64,
    /// From the begin of a connection to its first full state, of those who came back.
    pub connect: Summary,
    /// Different ids that clients were given.
    pub ids: usize,
    /// The highest of them.
    pub id_highest: u32,
    /// Ids given that somebody had had before.
    pub ids_repeated: u64,
    /// Ids given that were not above all those known when their client began to connect.
    pub ids_not_above: u64,
}

impl Churn {
    /// How many left in all.
    pub fn left_total(&self) -> u64 {
        self.left.iter().map(|(_, count)| count).sum()
    }
}

/// Many clients killed at the same instant.
#[derive(Debug, Default)]
pub struct Storm {
    /// How many were killed.
    pub killed: usize,
    /// How long that took, in seconds.
    pub reset_s: f64,
    /// How many came back.
    pub returned: usize,
    /// Time from the first reset until all were back, in seconds; none when they never were.
    pub back_s: Option<f64>,
    /// How many stayed.
    pub stayed: usize,
    /// Round trips of those who stayed, until all the others were back.
    pub ack_of_stayed: Summary,
}

/// What became of all MOVEs of the run, warm-up included.
#[derive(Debug, Default)]
pub struct Moves {
    /// Sent.
    pub sent: u64,
    /// Answered.
    pub answered: u64,
    /// Never answered although the connection was well.
    pub missing: u64,
    /// Never answered, and sent while so many others were unanswered that they may have been over the rate limit when
    /// they arrived. As many as the server has dropped for that are no fault of its.
    pub backlogged: u64,
    /// Messages the server has dropped for being over the rate limit, whosever they were; none if it does not say.
    pub rate_limited: Option<u64>,
    /// Never answered since the connection was lost.
    pub lost: u64,
    /// Never answered since their client left first, as it was to.
    pub abandoned: u64,
    /// Answers to no MOVE, or to one answered before.
    pub unexpected: u64,
}

/// What was sent and received in the measured window.
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
    /// A count as so many per client and second.
    pub fn per_client_s(&self, count: u64) -> f64 {
        let client_seconds = self.seconds * self.clients as f64;
        if client_seconds > 0.0 { count as f64 / client_seconds } else { 0.0 }
    }
}

/// The sampled pictures compared with the truth, once everybody stood still.
#[derive(Debug, Default)]
pub struct Replicas {
    /// Pictures compared.
    pub compared: usize,
    /// Sprites on them.
    pub sprites: usize,
    /// Faults by kind, all kinds present.
    pub faults: BTreeMap<Fault, u64>,
    /// The first few, in words.
    pub examples: Vec<String>,
    /// What the browser would not have forgiven during the run, by kind, with an example each.
    pub violations: BTreeMap<String, (u64, String)>,
    /// Surplus sprites that would stand on the screens for good.
    pub duplicates: usize,
    /// Players on the server that are not of this run, so that phantoms can't be told.
    pub foreign_players: u64,
    /// Most players the server showed to a client.
    pub max_visible: usize,
}

/// The server in the measured window, as far as it or the kernel tells.
#[derive(Debug, Default)]
pub struct ServerAccount {
    /// CPU time it used, in seconds.
    pub cpu_s: Option<f64>,
    /// Cores it used.
    pub cores: Option<f64>,
    /// Part of the time its main thread was ready to run and had no processor.
    pub wait_ratio: Option<f64>,
    /// Most memory it had in RAM at the end of a second, in bytes.
    pub resident_bytes_max: Option<u64>,
    /// Memory it had in RAM when the window began, in bytes.
    pub resident_bytes_begin: Option<u64>,
    /// Memory it had in RAM when the window ended, in bytes.
    pub resident_bytes_end: Option<u64>,
    /// Descriptors it had open before the first client came.
    pub descriptors_before: Option<u64>,
    /// Descriptors it had open after the last client was gone.
    pub descriptors_after: Option<u64>,
    /// From its own metrics.
    pub metrics: Option<ServerMetrics>,
}

impl ServerAccount {
    /// CPU time for each read and write of a socket, in microseconds.
    pub fn cpu_us_per_call(&self) -> Option<f64> {
        let metrics = self.metrics.as_ref()?;
        let calls_per_s = metrics.reads_per_s? + metrics.writes_per_s?;
        Some(self.cores? / calls_per_s * 1e6)
    }
}

/// The server's own account of the measured window; each only where the server gives it.
#[derive(Debug, Default)]
pub struct ServerMetrics {
    /// Ticks a second.
    pub tick_rate_hz: Option<f64>,
    /// Ticks skipped.
    pub ticks_skipped: Option<f64>,
    /// 99th percentile of the last ticks' durations, in milliseconds.
    pub tick_p99_ms: Option<f64>,
    /// Part of the bytes of full states at every tick that was not sent.
    pub bandwidth_saved_ratio: Option<f64>,
    /// Reads of sockets a second.
    pub reads_per_s: Option<f64>,
    /// Writes to sockets a second.
    pub writes_per_s: Option<f64>,
    /// Writes not taken in full.
    pub write_stalls: Option<f64>,
    /// MOVEs dropped for coming too fast.
    pub rate_limited: Option<f64>,
    /// Part of the time its loop did not wait.
    pub busy_ratio: Option<f64>,
    /// Time between two flushes to a client at the end, in milliseconds.
    pub flush_interval_ms: Option<f64>,
    /// Most players it showed to a client at the end.
    pub max_visible: Option<f64>,
    /// How far its governor had stretched its measures at the end, in steps.
    pub governor_level: Option<f64>,
}

/// This program in the measured window.
#[derive(Debug, Default)]
pub struct Generator {
    /// Cores it used.
    pub cores: f64,
    /// Part of the time it was ready to run and had no processor.
    pub wait_ratio: f64,
    /// Part of the time its loop did not wait for events; without a processor counts as well.
    pub busy_ratio: f64,
    /// How late it sent.
    pub lateness: Summary,
    /// What it was so late for that it put it off instead of making up for it, in the whole run.
    pub postponed: u64,
    /// How long the turns of its loop took.
    pub iterations: Summary,
    /// How long an arriving answer waited for its turn to be read, on average, in milliseconds; part of every answer's
    /// time.
    pub read_delay_ms: f64,
    /// Part of all cores' time that other machines took.
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

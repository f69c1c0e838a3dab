//! Measures the server's cost of one client's bytes: bytes out and CPU time per byte in, for each message, route and event.
//!
//! One attacker acts where idle viewers see it. Bytes out are those to all connections. The load without the attacker is
//! measured first and subtracted. It includes the viewers' regular snapshots, because one player turns once a second.
//!
//! ```text
//! amplification ──> cases     inputs and their rates
//!               └─> measure   a case between two samples of the server's counters
//! ```

mod cases;
mod measure;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use game_client::Failure;
use game_client::options::{Bounds, CommandLine, Flag, Program, Value as _, WholeSeconds, verdict};
use game_client::text::thousands;
use serde::Serialize;
use serde_json::json;

use crate::figures::{Judged, NOT_MEASURED};
use crate::judge::{Bound, Measured};
use crate::machine::Occasion;
use crate::results::{folder, report, write_json};
use crate::stage::Stage;

const PROGRAM: Program<'_> = Program {
    name: "bench amplification",
    about: "Measures bytes and CPU time of the server for each byte that one client sends.\n\n\
            Exit status: 0 if every message is within its limit, 1 otherwise, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

const FLAGS: &[Flag] = &[
    Flag::new("viewers", "N", "120", "idle players that see the client").within(1.0, 1e4).variable("VIEWERS"),
    Flag::new("duration", "TIME", "5s", "measured time of each message")
        .within(5.0, 600.0)
        .variable("DURATION"),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("RESULTS"),
];

/// Seconds between a viewer's regular snapshots. The measured time is a multiple, so that all windows contain equally many.
const SNAPSHOT_INTERVAL_S: u64 = 5;

/// A valid set of options.
struct Options {
    /// Idle players that see the attacker.
    viewers: u32,
    /// Measured time of each message, in seconds.
    seconds: u64,
    /// Folder for the results, if given.
    results: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| verdict(bench(&options)))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    Options {
        viewers: line.value("viewers"),
        seconds: line.value_with("duration", intervals),
        results: line.optional("results"),
    }
}

fn intervals(text: &str, bounds: Bounds) -> Result<u64, String> {
    let WholeSeconds(seconds) = WholeSeconds::parse(text, bounds)?;
    let is_multiple = seconds.is_multiple_of(SNAPSHOT_INTERVAL_S);
    is_multiple.then_some(seconds).ok_or_else(|| format!("a multiple of {SNAPSHOT_INTERVAL_S}s"))
}

/// The results of one case, per second.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    name: &'static str,
    /// Actions.
    rate: f64,
    /// Bytes sent by the attacker.
    bytes_in: f64,
    /// Bytes that the server sent to all connections because of it.
    bytes_out: f64,
    /// CPU time that it cost the server, in nanoseconds.
    cpu_ns: f64,
    /// Maximum bytes out per byte in, if limited.
    ratio_max: Option<f64>,
    /// The reason for missing figures.
    problem: Option<String>,
}

impl Row {
    /// Returns an amount per byte in; `None` without bytes in.
    fn per_byte(&self, amount: f64) -> Option<f64> {
        (self.problem.is_none() && self.bytes_in > 0.0).then(|| amount / self.bytes_in)
    }

    /// Returns the judged bytes out per byte in.
    fn ratio(&self) -> Measured {
        let ratio = self.per_byte(self.bytes_out);
        let name = format!("{} at {:.0}/s: bytes out per byte in", self.name, self.rate);
        Measured::new(&name, "", 1).judge(Judged::ByMedian, &[ratio], self.ratio_max.map(Bound::AtMost))
    }

    /// Describes a missed limit or a missing measurement.
    fn missed(&self) -> Option<String> {
        let ratio = self.ratio();
        let why = self.problem.as_ref().map_or(String::new(), |problem| format!(": {problem}"));
        (ratio.value.is_none() || ratio.met == Some(false))
            .then(|| format!("{} {} ({}){why}", ratio.name, ratio.value_text(), ratio.target_text()))
    }

    /// Formats a row of the table.
    fn markdown(&self) -> String {
        let (ratio, whole) = (self.ratio(), |number: f64| thousands(number.round() as u64));
        let cpu_us = self.per_byte(self.cpu_ns / 1e3);
        format!(
            "| {} | {:.0} | {} | {} | {} | {} | {} | {} | {:.2} |\n",
            self.name,
            self.rate,
            whole(self.bytes_in),
            whole(self.bytes_out),
            ratio.value_text(),
            ratio.target_text(),
            ratio.met_text(),
            cpu_us.map_or(NOT_MEASURED.to_owned(), |us| format!("{us:.2}")),
            self.cpu_ns / 1e7,
        )
    }
}

/// Measures all cases, writes and prints the results, and returns whether every case keeps to its limit.
fn bench(options: &Options) -> Result<bool, Failure> {
    let stage = Stage::new()?;
    let occasion = Occasion::current();
    let server = stage.start("pixi-game-server", &mut stage.game(), "/health", None)?;
    let rows = measure::all(server.address, options, &stage.interrupt)?;
    drop(server);
    let Options { viewers, seconds, results } = options;
    let folder = folder(results.as_deref(), &occasion.machine)?;
    let command = format!("make bench-amplification VIEWERS={viewers} DURATION={seconds}s");
    let mut text = occasion.head("The server's cost of one client's bytes", &command);
    let _ = write!(
        text,
        "One client sends to a fresh server with default settings; {viewers} idle players see it.\n\
         Bytes in are the client's, bytes out are those to all connections, without the load before the client.\n\
         One of the players turns once a second and causes the viewers' regular snapshots, so they are subtracted;\n\
         only the row of the still world contains them.\n\n\
         | input | per second | bytes in/s | bytes out/s | out per byte in | target | met | CPU per byte in, us | \
         CPU, % of a core |\n|---|---:|---:|---:|---:|---:|---|---:|---:|\n"
    );
    text.extend(rows.iter().map(Row::markdown));
    write_json(&folder.join("amplification.json"), &json!({ "occasion": occasion, "rows": rows }))?;
    let missed: Vec<String> = rows.iter().filter_map(Row::missed).collect();
    report(&folder.join("amplification.md"), &text, &missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_judged_and_pages_are_not() {
        let row = |name: &'static str, bytes_out, ratio_max| Row {
            name,
            rate: 19.0,
            bytes_in: 100.0,
            bytes_out,
            cpu_ns: 1e6,
            ratio_max,
            problem: None,
        };
        let (turns, mut page) = (row("turns", 21_900.0, Some(220.0)), row("page", 1e6, None));
        assert_eq!((turns.missed(), page.missed()), (None, None));
        assert_eq!(turns.markdown(), "| turns | 19 | 100 | 21,900 | 219.0 | <= 220 | yes | 10.00 | 0.10 |\n");
        assert_eq!(page.markdown(), "| page | 19 | 100 | 1,000,000 | 10000.0 |  |  | 10.00 | 0.10 |\n");
        let missed = row("turns", 30_000.0, Some(220.0)).missed();
        assert_eq!(missed.as_deref(), Some("turns at 19/s: bytes out per byte in 300.0 (<= 220)"));
        page.problem = Some("closed with 1008".to_owned());
        assert!(page.missed().is_some_and(|missed| missed.ends_with("not measured (): closed with 1008")));
    }
}

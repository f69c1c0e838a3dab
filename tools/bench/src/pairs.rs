//! CPU time per socket call of the server and of the floor, in turns.
//!
//! A single run of each is imprecise: the same calls cost up to twice as much from one hour to the next. Programs that run
//! in turns share the hour, so the quotient of a pair is the figure, and its median is judged.
//!
//! The floor flushes as often, and as many bytes, as the server did in its last run. `--with` adds a program of the floor's
//! flags and metrics, such as one on another socket layer, and `--other-server` another build of the server.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use game_client::Failure;
use game_client::console::progress;
use game_client::options::{CommandLine, Flag, Program, verdict};
use game_client::statistics::Spread;

use crate::figures::{Judged, Run, median, spread_text};
use crate::judge::{Bound, Measured, missed};
use crate::kernel;
use crate::load::run::{ENVIRONMENT, FLOOR_FLAGS, MAX_CONNECTIONS, matching_flushes};
use crate::machine::Occasion;
use crate::results::{folder, report};
use crate::stage::{Stage, command_of, game_of};

const PROGRAM: Program<'_> = Program {
    name: "bench pairs",
    about: "Measures the CPU time per socket call of the server and of the floor, in turns.\n\n\
            Exit status: 0 if nothing is lost and the median of the quotients is within the limit, 1 otherwise, 2 for \
            invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("players", "N", "1000", "players").within(1.0, 19_000.0).variable("PLAYERS"),
    Flag::new("moves", "N", "2", "MOVEs per second of each").within(0.1, 60.0).variable("MOVES"),
    Flag::new("pairs", "N", "9", "pairs of runs").within(1.0, 99.0).variable("PAIRS"),
    Flag::new("seconds", "N", "15", "measured time of each run").within(1.0, 600.0).variable("SECONDS"),
    Flag::new("limit", "RATIO", "1.15", "largest median of the quotients").within(0.0, 100.0).variable("LIMIT"),
    Flag::new("with", "PROGRAM", "", "another floor, which runs in turns too").variable("WITH"),
    Flag::new("other-server", "PROGRAM", "", "another build of the server, which runs in turns too").variable("OTHER_SERVER"),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("RESULTS"),
];

struct Options {
    players: u64,
    moves: f64,
    pairs: u64,
    seconds: u64,
    limit: f64,
    with: Option<PathBuf>,
    other_server: Option<PathBuf>,
    results: Option<PathBuf>,
}

/// A program that runs in turns with the others.
struct Contender {
    name: &'static str,
    /// Its file, if it is not beside this program.
    file: Option<PathBuf>,
    is_server: bool,
    runs: Vec<Run>,
    sleeps_per_s: Vec<f64>,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| verdict(bench(&options)))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    Options {
        players: line.value("players"),
        moves: line.value("moves"),
        pairs: line.value("pairs"),
        seconds: line.value("seconds"),
        limit: line.value("limit"),
        with: line.optional("with"),
        other_server: line.optional("other-server"),
        results: line.optional("results"),
    }
}

impl Options {
    fn load(&self) -> String {
        format!(
            "--clients {} --moves-per-second {} --connect-rate 1500 --duration {}s",
            self.players, self.moves, self.seconds
        )
    }

    fn command(&self) -> String {
        let Options { players, moves, pairs, seconds, .. } = self;
        // The results don't depend on where the programs are.
        let others = [(&self.with, " WITH=PROGRAM"), (&self.other_server, " OTHER_SERVER=PROGRAM")];
        let others: String =
            others.iter().filter(|(file, _)| file.is_some()).map(|(_, text)| *text).collect();
        format!("make bench-pairs PLAYERS={players} MOVES={moves} PAIRS={pairs} SECONDS={seconds}{others}")
    }

    /// The server comes first: the floor needs its flushes.
    fn contenders(&self) -> Vec<Contender> {
        let new = |name, file: Option<&PathBuf>, is_server| Contender {
            name,
            file: file.cloned(),
            is_server,
            runs: Vec::new(),
            sleeps_per_s: Vec::new(),
        };
        let mut contenders = vec![new("server", None, true), new("floor", None, false)];
        contenders.extend(self.with.as_ref().map(|file| new("other floor", Some(file), false)));
        contenders.extend(self.other_server.as_ref().map(|file| new("other server", Some(file), true)));
        contenders
    }
}

fn bench(options: &Options) -> Result<bool, Failure> {
    let stage = Stage::new()?;
    let occasion = Occasion::current();
    let folder = folder(options.results.as_deref(), &occasion.machine)?;
    let mut contenders = options.contenders();
    let mut flushes = String::new();
    for pair in 1..=options.pairs {
        progress(format_args!("pair {pair} of {}", options.pairs));
        for at in 0..contenders.len() {
            // Every second pair runs in the opposite order.
            let at = if pair % 2 == 1 { at } else { contenders.len() - 1 - at };
            contenders[at].run(&stage, options, &mut flushes)?;
        }
    }
    let quotients = quotients(&contenders[0], &contenders[1]);
    let judged = [Measured::new("CPU per socket call, relative to the floor", "", 2).judge(
        Judged::ByMedian,
        &quotients,
        Some(Bound::AtMost(options.limit)),
    )];
    let mut text = occasion.head("Server and floor in turns", &options.command());
    let _ = writeln!(text, "* {}\n", judged[0].line().trim());
    text.push_str(&table(&contenders));
    let losses = contenders.iter().flat_map(|contender| &contender.runs).flat_map(|run| run.problems.clone());
    let missed: Vec<String> = missed(&judged).chain(losses).collect();
    report(&folder.join("pairs.md"), &text, &missed)
}

impl Contender {
    fn run(&mut self, stage: &Stage, options: &Options, flushes: &mut String) -> Result<(), Failure> {
        let mut command = match (&self.file, self.is_server) {
            (None, true) => stage.game(),
            (Some(file), true) => game_of(file),
            (None, false) => stage.program("bench"),
            (Some(file), false) => command_of(file),
        };
        command.env(ENVIRONMENT.0, ENVIRONMENT.1);
        let mut flags = options.load();
        let path = if self.is_server {
            command.env("MAX_CONNECTIONS", MAX_CONNECTIONS);
            "/health"
        } else {
            progress(format_args!("  {}: {flushes}", self.name));
            command.args(self.file.is_none().then_some("floor")).args(flushes.split_whitespace());
            flags = format!("{flags} {FLOOR_FLAGS}");
            "/metrics"
        };
        let server = stage.start(self.name, &mut command, path, None)?;
        let pid = server.process.id();
        let (start, sleeps) = (Instant::now(), kernel::sleeps(pid));
        let load = stage.load(server.address, &format!("--pid {pid} {flags}"))?;
        let slept = kernel::sleeps(pid).zip(sleeps).map(|(after, before)| (after - before) as f64);
        self.sleeps_per_s.extend(slept.map(|slept| slept / start.elapsed().as_secs_f64()));
        if self.name == "server" {
            *flushes = matching_flushes(&load)
                .ok_or_else(|| Failure::Failed("the load test measured no writes".to_owned()))?;
        }
        self.runs.push(Run::of(&load));
        Ok(())
    }
}

/// Returns the quotients of the CPU time per call, pair by pair.
fn quotients(contender: &Contender, floor: &Contender) -> Vec<Option<f64>> {
    let cost = |run: &Run| median(std::slice::from_ref(run), "cpu_us_per_call");
    let pairs = contender.runs.iter().zip(&floor.runs);
    pairs.map(|(run, floor)| Some(cost(run)? / cost(floor).filter(|cost| *cost > 0.0)?)).collect()
}

fn table(contenders: &[Contender]) -> String {
    let mut text =
        "| | us of CPU per call | relative to the floor | reads per s | writes per s | bytes per write | \
                    sleeps per s | ack, mean, ms | changes to the screen, p99, ms |\n\
                    |---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for contender in contenders {
        let spread = |key: &str, decimals| {
            let figures = contender.runs.iter().filter_map(|run| run.figures.get(key).copied());
            spread_text(&figures.collect::<Vec<f64>>(), decimals)
        };
        let quotients: Vec<f64> = quotients(contender, &contenders[1]).into_iter().flatten().collect();
        let sleeps = Spread::of(&contender.sleeps_per_s).map_or(0.0, |spread| spread.median);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {sleeps:.0} | {} | {} |",
            contender.name,
            spread("cpu_us_per_call", 2),
            spread_text(&quotients, 2),
            spread("reads_per_s", 0),
            spread("writes_per_s", 0),
            spread("bytes_per_write", 0),
            spread("ack_mean_ms", 2),
            spread("to_screen_p99_ms", 0),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn contender(name: &'static str, costs: &[f64]) -> Contender {
        let run =
            |cost: &f64| Run::of(&json!({ "problems": [], "server": { "cpu_us_per_socket_call": cost } }));
        Contender {
            name,
            file: None,
            is_server: true,
            runs: costs.iter().map(run).collect(),
            sleeps_per_s: Vec::new(),
        }
    }

    #[test]
    fn quotients_are_formed_within_a_pair() {
        let contenders = [contender("server", &[6.0, 9.0, 7.5]), contender("floor", &[5.0, 6.0, 5.0])];
        assert_eq!(quotients(&contenders[0], &contenders[1]), [Some(1.2), Some(1.5), Some(1.5)]);
        assert!(
            table(&contenders).contains("| server | 7.50 (6.00..9.00) | 1.50 (1.20..1.50) |"),
            "{}",
            table(&contenders)
        );
    }
}

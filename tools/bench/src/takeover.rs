//! Takeovers under load: the pause between the two processes, and what players notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use game_client::Failure;
use game_client::console::progress;
use game_client::options::{CommandLine, Flag, Program, verdict};

use crate::figures::{Judged, MIB, Run, losses, spread_text, values};
use crate::judge::{Bound, Measured, missed};
use crate::kernel::{Usage, descriptors};
use crate::machine::Occasion;
use crate::process::{Process, Scratch, log_file, tail};
use crate::results::{folder, report};
use crate::stage::{Server, Stage};

const PROGRAM: Program<'_> = Program {
    name: "bench takeover",
    about: "Lets processes take a loaded server over from each other, and measures the pauses.\n\n\
            Exit status: 0 if nothing is lost and every pause is within its limit, 1 otherwise, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("players", "LIST", "1000,10000,19000", "numbers of players").variable("PLAYERS"),
    Flag::new("takeovers", "N", "20", "takeovers for each number of players").within(1.0, 1_000.0).variable("TAKEOVERS"),
    Flag::new("hostile", "N", "500", "slow and silent peers beside 1,000 players; 0 for none").within(0.0, 10_000.0),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("RESULTS"),
];

/// Time between two takeovers.
const INTERVAL: Duration = Duration::from_secs(3);

/// Longest time until the old process has ended.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Most players that the load test moves at 10 MOVEs a second; more move once.
const BUSY_PLAYERS_MAX: u64 = 1_000;

/// Most players beside which hostile peers connect.
const HOSTILE_PLAYERS_MAX: u64 = 1_000;

/// The longest pause, in milliseconds, up to this number of players.
const PAUSES_MAX: [(u64, f64); 2] = [(10_000, 100.0), (u64::MAX, 250.0)];

struct Options {
    players: Vec<u64>,
    takeovers: u64,
    hostile: u64,
    results: Option<PathBuf>,
}

/// What one number of players gave.
struct Outcome {
    players: u64,
    pauses_ms: Vec<f64>,
    /// Resident memory and descriptors of the first and of the last process that took over.
    memory_mib: [f64; 2],
    descriptors: [u64; 2],
    load: Run,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| verdict(bench(&options)))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    Options {
        players: line.value_with("players", |text, _| numbers(text)),
        takeovers: line.value("takeovers"),
        hostile: line.value("hostile"),
        results: line.optional("results"),
    }
}

fn numbers(text: &str) -> Result<Vec<u64>, String> {
    let number = |text: &str| text.trim().parse().ok().filter(|number| (1..=19_000).contains(number));
    text.split(',')
        .map(number)
        .collect::<Option<_>>()
        .ok_or_else(|| "whole numbers from 1 to 19000".to_owned())
}

/// Measures each number of players. Returns whether every limit is met.
fn bench(options: &Options) -> Result<bool, Failure> {
    let stage = Stage::new()?;
    let occasion = Occasion::current();
    let folder = folder(options.results.as_deref(), &occasion.machine)?;
    let list: Vec<String> = options.players.iter().map(u64::to_string).collect();
    let command = format!("make bench-takeover PLAYERS={} TAKEOVERS={}", list.join(","), options.takeovers);
    let mut text = occasion.head("Takeovers under load", &command);
    text.push_str(
        "| players | takeovers | pause, ms | ack p99, ms | ack max, ms | lost or wrong | memory, MiB: first, last \
         | descriptors: first, last |\n|---:|---:|---:|---:|---:|---|---|---|\n",
    );
    let mut missed = Vec::new();
    for &players in &options.players {
        let outcome = measure(&stage, options, players)?;
        text.push_str(&outcome.row());
        missed.extend(outcome.missed());
    }
    report(&folder.join("takeover.md"), &text, &missed)
}

/// Measures takeovers with this number of players.
fn measure(stage: &Stage, options: &Options, players: u64) -> Result<Outcome, Failure> {
    let scratch = Scratch::new()?;
    let (socket, log) = (scratch.0.join("control.sock"), scratch.0.join("log"));
    let command = || {
        let mut command = stage.game();
        command.env("CONTROL_SOCKET", &socket).env("MAX_CONNECTIONS", "19400").env("LOG_LEVEL", "info");
        command.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        command
    };
    let mut server =
        stage.start("pixi-game-server", command().stderr(log_file(&log)?), "/health", Some(&log))?;
    // Slow and silent peers, for as long as this value lives.
    let _hostile = (options.hostile > 0 && players <= HOSTILE_PLAYERS_MAX)
        .then(|| stage.start_hostile(server.address, &format!("--peers {}", options.hostile)))
        .transpose()?;
    let seconds = (INTERVAL * options.takeovers as u32).as_secs() + 5;
    let moves = if players > BUSY_PLAYERS_MAX { 1 } else { 10 };
    let flags =
        format!("--clients {players} --moves-per-second {moves} --connect-rate 1500 --duration {seconds}s");
    progress(format_args!("  loadtest {flags}, with {} takeovers", options.takeovers));
    let mut load = stage.start_load(server.address, &flags)?;
    let joined = Duration::from_secs(60 + players / 500);
    let is_full = || server.players().map(|count| (count >= players).then_some(())).or(Ok(None));
    stage.interrupt.wait_for(joined, is_full)?.ok_or_else(|| failed("the players did not join"))?;
    stage.interrupt.sleep(INTERVAL)?;
    let (mut memory_mib, mut open) = ([0.0; 2], [0; 2]);
    let port = server.address.port().to_string();
    for takeover in 0..options.takeovers {
        take_over(stage, &mut server, command().env("PORT", &port), &log)?;
        stage.interrupt.sleep(INTERVAL / 2)?;
        // The first takeover sets both values, each later one the second.
        for index in usize::from(takeover > 0)..2 {
            memory_mib[index] =
                Usage::of(server.process.id()).unwrap_or_default().resident_bytes as f64 / MIB;
            open[index] = descriptors(server.process.id()).unwrap_or(0);
        }
        stage.interrupt.sleep(INTERVAL / 2)?;
    }
    let end = load.wait(&stage.interrupt, Duration::from_secs(seconds + 60))?;
    end.ok_or_else(|| failed("the load test did not end"))?;
    Ok(Outcome {
        players,
        pauses_ms: pauses_ms(&fs::read_to_string(&log)?),
        memory_mib,
        descriptors: open,
        load: Run::of(&load.results()?),
    })
}

/// Starts a process that takes the server over, and waits until the old one has ended.
fn take_over(
    stage: &Stage,
    server: &mut Server,
    command: &mut std::process::Command,
    log: &Path,
) -> Result<(), Failure> {
    let file = fs::OpenOptions::new().append(true).open(log)?;
    command.arg("--takeover").stdout(Stdio::null()).stderr(file);
    let new = Process::start("pixi-game-server", command)?;
    let mut old = std::mem::replace(&mut server.process, new);
    let status = stage.interrupt.wait_for(END_TIMEOUT, || Ok(old.status()?))?;
    match status {
        Some(status) if status.success() => Ok(()),
        _ => Err(failed(&format!("a takeover failed:\n{}", tail(log)))),
    }
}

/// Returns the pauses that the log states, in milliseconds.
fn pauses_ms(log: &str) -> Vec<f64> {
    let stated = log.lines().filter_map(|line| line.split_once("the pause was ")?.1.strip_suffix(" ms"));
    stated.filter_map(|number| number.parse().ok()).collect()
}

impl Outcome {
    /// Returns the losses, and a pause over its limit.
    fn missed(&self) -> Vec<String> {
        let limit =
            PAUSES_MAX.iter().find(|(most, _)| self.players <= *most).map_or(0.0, |(_, limit)| *limit);
        let pauses: Vec<Option<f64>> = self.pauses_ms.iter().copied().map(Some).collect();
        let pause =
            Measured::new("pause", "ms", 0).judge(Judged::ByMedian, &pauses, Some(Bound::AtMost(limit)));
        let missed = missed(std::slice::from_ref(&pause)).chain(self.load.problems.iter().cloned());
        missed.map(|missed| format!("{} players: {missed}", self.players)).collect()
    }

    fn row(&self) -> String {
        let Outcome { players, pauses_ms, memory_mib: memory, descriptors: open, load } = self;
        let load = std::slice::from_ref(load);
        let ack = |key: &str| spread_text(&values(load, key), 1);
        format!(
            "| {players} | {} | {} | {} | {} | {} | {:.1}, {:.1} | {}, {} |\n",
            pauses_ms.len(),
            spread_text(pauses_ms, 0),
            ack("ack_p99_ms"),
            ack("ack_max_ms"),
            losses(load),
            memory[0],
            memory[1],
            open[0],
            open[1]
        )
    }
}

fn failed(what: &str) -> Failure {
    Failure::Failed(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_pauses_and_losses_are_missed_limits() {
        let log = "x [INFO] took over 9 players; the pause was 40 ms\nother\nx took over 9 players; the pause was 60 ms\n";
        assert_eq!(pauses_ms(log), [40.0, 60.0]);
        let outcome = |players, pause, problems: &[&str]| Outcome {
            players,
            pauses_ms: vec![pause],
            memory_mib: [1.0; 2],
            descriptors: [1; 2],
            load: Run::of(&json!({ "problems": problems })),
        };
        assert!(outcome(10_000, 100.0, &[]).missed().is_empty());
        assert!(outcome(19_000, 250.0, &[]).missed().is_empty());
        assert_eq!(outcome(10_000, 101.0, &[]).missed(), ["10000 players: pause 101 ms (<= 100 ms)"]);
        assert_eq!(outcome(10, 1.0, &["1 ack is missing"]).missed(), ["10 players: 1 ack is missing"]);
        let none = Outcome { pauses_ms: Vec::new(), ..outcome(10, 1.0, &[]) };
        assert_eq!(none.missed(), ["10 players: pause not measured (<= 100 ms)"]);
    }
}

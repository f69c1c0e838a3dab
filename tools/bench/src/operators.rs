//! Players beside scripts that are stuck in a loop over the control socket.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use game_client::Failure;
use game_client::console::progress;
use game_client::options::{CommandLine, Flag, Program, verdict};

use crate::figures::{Judged, Run, median, rows};
use crate::judge::{Bound, Measured, missed};
use crate::machine::Occasion;
use crate::process::Scratch;
use crate::results::{folder, report};
use crate::stage::Stage;

const PROGRAM: Program<'_> = Program {
    name: "bench operators",
    about: "Measures acks alone, and beside scripts that list all players in a loop over the control socket.\n\n\
            Exit status: 0 if nothing is lost and acks are not delayed, 1 otherwise, 2 for invalid usage.",
    flags: FLAGS,
    takes_arguments: false,
};

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("players", "N", "10000", "players, at one MOVE a second each").within(1.0, 19_000.0).variable("PLAYERS"),
    Flag::new("pairs", "N", "3", "pairs of runs, alone and beside scripts").within(1.0, 99.0).variable("PAIRS"),
    Flag::new("results", "FOLDER", "", "folder to write to [bench/results/DATE-CORES]").variable("RESULTS"),
];

/// Scripts at once: as many as the server serves.
const SCRIPTS: usize = 4;

/// Requests that a script sends before it reads the answers, so that one always waits.
const PIPELINED: usize = 8;

/// Measured time of a run, in seconds.
const SECONDS: u64 = 15;

/// Longest mean ack beside the scripts, relative to that alone; the median of the pairs is judged.
const RATIO_MAX: f64 = 1.25;

struct Options {
    players: u64,
    pairs: u64,
    results: Option<PathBuf>,
}

/// Scripts in a loop. They end when this value is dropped.
struct Scripts {
    is_over: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    since: Instant,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| verdict(bench(&options)))
}

fn options(line: &mut CommandLine<'_>) -> Options {
    Options { players: line.value("players"), pairs: line.value("pairs"), results: line.optional("results") }
}

fn bench(options: &Options) -> Result<bool, Failure> {
    let stage = Stage::new()?;
    let occasion = Occasion::current();
    let folder = folder(options.results.as_deref(), &occasion.machine)?;
    let (mut alone, mut beside, mut answers_per_s) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 1..=options.pairs {
        progress(format_args!("  pair {pair} of {}", options.pairs));
        alone.push(measure(&stage, options.players, false)?.0);
        let (run, answers) = measure(&stage, options.players, true)?;
        beside.push(run);
        answers_per_s.push(answers);
    }
    let ratios: Vec<Option<f64>> =
        alone.iter().zip(&beside).map(|(alone, beside)| ratio(alone, beside)).collect();
    let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
    let judged = [
        Measured::new("mean ack beside scripts, relative to that alone", "", 2).judge(
            Judged::ByMedian,
            &ratios,
            Some(Bound::AtMost(RATIO_MAX)),
        ),
        Measured::new("lists of players answered a second", "", 0).judge(
            Judged::ByMedian,
            &some(&answers_per_s),
            Some(Bound::AtLeast(1.0)),
        ),
    ];
    let command = format!("make bench-operators PLAYERS={} PAIRS={}", options.players, options.pairs);
    let mut text = occasion.head("Players beside stuck scripts of operators", &command);
    for figure in &judged {
        let _ = writeln!(text, "* {}", figure.line().trim());
    }
    let _ = writeln!(
        text,
        "\n| {} players | alone | beside {SCRIPTS} scripts |\n|---|---:|---:|",
        options.players
    );
    text.push_str(&rows(&["ack_mean_ms", "ack_p99_ms", "ack_max_ms", "cpu_percent"], &[&alone, &beside]));
    let losses = alone.iter().chain(&beside).flat_map(|run| run.problems.clone());
    let missed: Vec<String> = missed(&judged).chain(losses).collect();
    report(&folder.join("operators.md"), &text, &missed)
}

fn ratio(alone: &Run, beside: &Run) -> Option<f64> {
    let mean = |run: &Run| median(std::slice::from_ref(run), "ack_mean_ms");
    Some(mean(beside)? / mean(alone).filter(|mean| *mean > 0.0)?)
}

/// Returns the results of a load, and the answers a second to scripts beside it.
fn measure(stage: &Stage, players: u64, has_scripts: bool) -> Result<(Run, f64), Failure> {
    let scratch = Scratch::new()?;
    let socket = scratch.0.join("control.sock");
    let mut command = stage.game();
    command.env("CONTROL_SOCKET", &socket).env("MAX_CONNECTIONS", "19400");
    let server = stage.start("pixi-game-server", &mut command, "/health", None)?;
    let flags = format!(
        "--clients {players} --moves-per-second 1 --connect-rate 1500 --duration {SECONDS}s --pid {}",
        server.process.id()
    );
    let mut load = stage.start_load(server.address, &flags)?;
    let is_full = || server.players().map(|count| (count >= players).then_some(())).or(Ok(None));
    let joined = stage.interrupt.wait_for(Duration::from_secs(60 + players / 500), is_full)?;
    joined.ok_or_else(|| Failure::Failed("the players did not join".to_owned()))?;
    let scripts = has_scripts.then(|| Scripts::start(&socket));
    load.wait(&stage.interrupt, Duration::from_secs(SECONDS + 60))?
        .ok_or_else(|| Failure::Failed("the load test did not end".to_owned()))?;
    let answers = scripts.map_or(0.0, |scripts| scripts.answers_per_s());
    Ok((Run::of(&load.results()?), answers))
}

impl Scripts {
    fn start(socket: &Path) -> Scripts {
        let scripts = Scripts { is_over: Arc::default(), answers: Arc::default(), since: Instant::now() };
        for _ in 0..SCRIPTS {
            let (socket, is_over, answers) =
                (socket.to_path_buf(), Arc::clone(&scripts.is_over), Arc::clone(&scripts.answers));
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    // A script that is displaced connects again.
                    let _ = list_in_a_loop(&socket, &is_over, &answers);
                }
            });
        }
        scripts
    }

    fn answers_per_s(&self) -> f64 {
        self.answers.load(Ordering::Relaxed) as f64 / self.since.elapsed().as_secs_f64()
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn list_in_a_loop(socket: &Path, is_over: &AtomicBool, answers: &AtomicU64) -> std::io::Result<()> {
    let request = "{\"version\":1,\"command\":\"players\",\"sort\":\"bytes\"}\n";
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    stream.write_all(request.repeat(PIPELINED).as_bytes())?;
    while !is_over.load(Ordering::Relaxed) {
        let mut answer = String::new();
        if reader.read_line(&mut answer)? == 0 {
            break;
        }
        answers.fetch_add(u64::from(answer.contains("\"players\":[")), Ordering::Relaxed);
        stream.write_all(request.as_bytes())?;
    }
    Ok(())
}

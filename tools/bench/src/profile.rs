//! Profiles the server's CPU time or heap: starts the server and the load test, measures, and prints a summary.
//!
//! ```text
//! profile ──> rig             the server and the load test with all clients connected
//!         ├─> cpu             sampling with perf, flame graph by inferno ──> stacks: the summary
//!         └─> mem             counting allocations in the server ──> dhat: call sites
//! ```

mod cpu;
mod dhat;
mod mem;
mod rig;
mod stacks;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use game_client::Failure;
use game_client::console::output;
use game_client::options::{CommandLine, Flag, Program};

use crate::stage::Stage;

const PROGRAM: Program<'_> = Program {
    name: "bench profile",
    about: "Starts a server and a load test, and profiles the server's CPU time or heap.\n\n    \
            bench profile cpu [FLAGS]\n    bench profile mem [FLAGS]\n\n\
            cpu: samples stacks with perf. Writes a flame graph to cpu.svg and the top functions to cpu.txt.\n\
            mem: counts every allocation in two phases: until all clients have settled, and in the steady state.\n     \
            Writes a summary to mem.txt. Valgrind's dh_view.html shows dhat-heap.json and dhat-heap-steady.json.",
    flags: FLAGS,
    takes_arguments: true,
};

#[rustfmt::skip] // One row per flag.
const FLAGS: &[Flag] = &[
    Flag::new("seconds", "N", "10", "duration of the measurement, after all clients have settled").within(1.0, 3_600.0).variable("PROFILE_SECONDS"),
    // A prime, so that sampling does not run in step with periodic work such as ticks.
    Flag::new("frequency", "HZ", "997", "cpu: samples per second of CPU time").within(1.0, 1e4),
    Flag::new("load", "FLAGS", "--clients 10000 --moves-per-second 2", "flags of the load test").variable("LOAD"),
    Flag::new("output", "FOLDER", "", "folder of the results [../profile, from this program's folder]"),
];

/// Load test flags that this program sets itself.
const RESERVED_LOAD_FLAGS: [&str; 13] =
    ["server", "s", "duration", "d", "warm-up", "pid", "json", "report", "r", "help", "h", "version", "V"];

/// The load test's default of `--clients`.
const CLIENTS_DEFAULT: u64 = 1_000;

/// A valid set of options.
struct Options {
    /// Whether to measure the heap instead of CPU time.
    is_mem: bool,
    /// Duration of the measurement, after all clients have joined and settled.
    duration: Duration,
    /// Samples per second of CPU time.
    frequency_hz: u32,
    /// Folder of the results, if given.
    output: Option<PathBuf>,
    load: Load,
}

/// The load during the measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Load {
    /// The load test's flags.
    flags: String,
    /// Number of clients that these flags select.
    clients: u64,
}

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, options, |options| {
        run(&options).map(|text| {
            output(format_args!("{}", text.trim_end()));
            ExitCode::SUCCESS
        })
    })
}

fn options(line: &mut CommandLine<'_>) -> Options {
    let arguments = line.arguments.join(" ");
    let is_mem = arguments == "mem";
    if !is_mem && arguments != "cpu" {
        line.problems.push(format!("{arguments:?}: expected cpu or mem; see --help"));
    }
    if is_mem {
        line.reject("frequency", "valid only with cpu");
    }
    Options {
        is_mem,
        duration: Duration::from_secs(line.value("seconds")),
        frequency_hz: line.value("frequency"),
        output: line.optional("output"),
        load: line.value_with("load", |text, _| load(text)),
    }
}

/// Rejects reserved flags and reads the number of clients. The load test validates the other flags.
fn load(text: &str) -> Result<Load, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut clients = CLIENTS_DEFAULT;
    for (at, word) in words.iter().enumerate().filter(|(_, word)| word.starts_with('-')) {
        let flag = word.trim_start_matches('-');
        let next = || words.get(at + 1).copied().unwrap_or_default();
        let (name, value) = flag.split_once('=').unwrap_or_else(|| (flag, next()));
        if RESERVED_LOAD_FLAGS.contains(&name) {
            return Err(format!("flags without {word}, which this program sets"));
        }
        if ["clients", "c"].contains(&name) {
            clients = value.parse().map_err(|_| format!("a whole number after {word}"))?;
        }
    }
    Ok(Load { flags: text.to_owned(), clients })
}

/// Measures and returns the text to print.
fn run(options: &Options) -> Result<String, Failure> {
    let stage = Stage::new()?;
    let output = options.output.clone().unwrap_or_else(|| stage.folder().with_file_name("profile"));
    std::fs::create_dir_all(&output).map_err(|error| {
        Failure::Usage(format!("--output {}: can't create the folder: {error}", output.display()))
    })?;
    // The output folder is the server's working directory, where a relative path would not resolve.
    let output = output.canonicalize()?;
    if options.is_mem { mem::run(options, &stage, &output) } else { cpu::run(options, &stage, &output) }
}

/// Prefix of the names of the server's functions.
const PROJECT: &str = "pixi_game_server::";

/// Formats a part of a whole as a percentage; 0 if the whole is 0.
fn percent(part: u64, whole: u64) -> String {
    format!("{:5.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

/// Whether a function belongs to the server's crate, as opposed to a library or the kernel.
fn is_ours(function: &str) -> bool {
    function.trim_start_matches(['<', '&']).starts_with(PROJECT)
}

/// Returns a function's name without the crate. For a method whose `impl` block is in another module than its type,
/// drops the type as well: `server::core::flush::<impl server::Server>::write_slice` becomes
/// `server::core::flush::write_slice`.
fn short_name(function: &str) -> String {
    let name = function.replace(PROJECT, "");
    match name.split_once("::<impl ").and_then(|(module, rest)| Some((module, rest.split_once(">::")?.1))) {
        Some((module, method)) if is_ours(function) => format!("{module}::{method}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use game_client::options::Command;

    use super::*;

    fn parse(args: &[&str], load: &str) -> Result<(bool, Load), String> {
        let variable = |name: &str| (name == "LOAD").then(|| load.to_owned());
        match PROGRAM.parse(args.iter().map(ToString::to_string), variable, options)? {
            Command::Run(options) => Ok((options.is_mem, options.load)),
            Command::Help(text) => Err(text),
        }
    }

    #[test]
    fn the_number_of_clients_is_read_in_every_spelling_and_the_last_one_wins() {
        for (flags, clients) in [
            ("", 10_000),
            ("-m 2", 1_000),
            ("-c 7", 7),
            ("-clients=20 -m 2", 20),
            ("--clients 7 --clients=8", 8),
        ] {
            let (is_mem, load) = parse(&["mem"], flags).unwrap();
            assert_eq!((is_mem, load.clients), (true, clients), "{flags}");
        }
    }

    #[test]
    fn an_invalid_argument_is_named() {
        for (args, load, problem) in [
            (&["cpu", "--seconds", "0"][..], "", "--seconds 0: expected a whole number from 1 to 3600"),
            (&["mem", "--frequency=99"], "", "--frequency 99: valid only with cpu"),
            (&["disk"], "", "\"disk\": expected cpu or mem; see --help"),
            (&[], "", "\"\": expected cpu or mem; see --help"),
            (&["cpu"], "--clients=many", "LOAD=--clients=many: expected a whole number after --clients=many"),
            (&["cpu"], "-d 9s", "LOAD=-d 9s: expected flags without -d, which this program sets"),
        ] {
            assert_eq!(parse(args, load), Err(problem.to_owned()));
        }
    }

    #[test]
    fn crate_and_type_are_dropped_from_names_of_the_server_only() {
        let method =
            "pixi_game_server::server::core::flush::<impl pixi_game_server::server::Server>::write_slice";
        assert_eq!(short_name(method), "server::core::flush::write_slice");
        assert_eq!(short_name("pixi_game_server::wire::write_flush"), "wire::write_flush");
        assert_eq!(short_name("alloc::slice::<impl [T]>::to_vec"), "alloc::slice::<impl [T]>::to_vec");
        assert!(is_ours("<pixi_game_server::wire::Memory as std::io::Read>::read"));
        assert!(!is_ours("core::ptr::drop_in_place<pixi_game_server::replication::Viewer>"));
    }
}

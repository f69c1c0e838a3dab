//! The command line: the kind of measurement, its duration and the load.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use game_client::{Failure, cli};
use getopts::{Matches, Options as Getopts};

/// Load test flags that this program sets itself and rejects on its command line.
const RESERVED_LOAD_FLAGS: [&str; 13] =
    ["server", "s", "duration", "d", "warm-up", "pid", "json", "report", "r", "help", "h", "version", "V"];

/// The load test's default of `--clients`.
const CLIENTS_DEFAULT: usize = 1_000;

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The kind of measurement.
    pub measurement: Measurement,
    /// Duration of the measurement, after all clients have joined and settled.
    pub duration: Duration,
    /// Directory of the results.
    pub output: PathBuf,
    /// The load during the measurement.
    pub load: Load,
}

/// A kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measurement {
    /// CPU time, sampled by perf.
    Cpu {
        /// Samples per second of CPU time.
        frequency_hz: u32,
    },
    /// Heap allocations, counted in the server.
    Mem,
}

/// Arguments of the load test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The load test's flags, unchanged.
    pub args: Vec<String>,
    /// Number of clients that these flags select.
    pub clients: usize,
}

/// A parsed command line.
pub type Command = cli::Command<Options>;

/// Parses the arguments that follow the program's name. `output` is the default of `--output`.
///
/// # Errors
/// One line with the flag, the value and the allowed values.
pub fn parse(args: impl Iterator<Item = String>, output: PathBuf) -> Result<Command, Failure> {
    let mut args: Vec<String> = args.collect();
    let own_args = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let load_args = args.split_off(own_args).into_iter().skip(1).collect();
    let command = cli::parse_with_arguments("profile", args.into_iter(), BRIEF, declare, |matches| {
        Ok(Options {
            measurement: measurement(matches)?,
            duration: Duration::from_secs(number(matches, "seconds", 10, 3600)?),
            output: matches.opt_str("output").map_or(output, PathBuf::from),
            load: load(load_args)?,
        })
    });
    command.map_err(Failure::Usage)
}

const BRIEF: &str = "Starts a server and a load test, and profiles the server's CPU time or heap.

    profile cpu [flags] [-- flags of the load test]
    profile mem [flags] [-- flags of the load test]

cpu: samples stacks with perf. Writes a flame graph to cpu.svg and the top functions to cpu.txt.
mem: counts every allocation in two phases: until all clients have settled, and in the steady state.
     Writes a summary to mem.txt. Valgrind's dh_view.html shows dhat-heap.json and dhat-heap-steady.json.";

fn declare(getopts: &mut Getopts) {
    getopts.optopt("", "seconds", "duration of the measurement, after all clients have settled [10]", "N");
    getopts.optopt("", "frequency", "cpu: samples per second of CPU time [997]", "HZ");
    getopts.optopt(
        "",
        "output",
        "directory of the results [../profile, from this program's directory]",
        "DIR",
    );
}

fn measurement(matches: &Matches) -> Result<Measurement, String> {
    if let Some(stray) = matches.free.get(1) {
        return Err(format!("{stray}: unexpected argument; put flags of the load test after --"));
    }
    match matches.free.first().map(String::as_str) {
        // The default is a prime, so that sampling does not run in step with periodic work such as ticks.
        Some("cpu") => Ok(Measurement::Cpu { frequency_hz: number(matches, "frequency", 997, 10_000)? }),
        Some("mem") => match matches.opt_str("frequency") {
            Some(text) => Err(format!("--frequency {text}: valid only with cpu")),
            None => Ok(Measurement::Mem),
        },
        other => {
            let given = other.map_or(String::new(), |other| format!("{other}: "));
            Err(format!("{given}expected cpu or mem; see --help"))
        }
    }
}

fn number<T: FromStr + PartialOrd + From<u16>>(
    matches: &Matches,
    name: &str,
    default: u16,
    max: u16,
) -> Result<T, String> {
    let Some(text) = matches.opt_str(name) else { return Ok(default.into()) };
    let value = text.parse().ok().filter(|value| (T::from(1)..=max.into()).contains(value));
    value.ok_or_else(|| format!("--{name} {text}: expected a whole number from 1 to {max}"))
}

/// Rejects reserved flags and reads the number of clients. The load test validates the other flags.
fn load(args: Vec<String>) -> Result<Load, String> {
    let mut clients = CLIENTS_DEFAULT;
    for (index, arg) in args.iter().enumerate().filter(|(_, arg)| arg.starts_with('-')) {
        let (name, value) = match arg.trim_start_matches('-').split_once('=') {
            Some((name, value)) => (name, value),
            None => (arg.trim_start_matches('-'), args.get(index + 1).map_or("", String::as_str)),
        };
        if RESERVED_LOAD_FLAGS.contains(&name) {
            return Err(format!(
                "{arg}: not available here; profile sets the load test's server, duration and output"
            ));
        }
        if ["clients", "c"].contains(&name) {
            clients = value
                .parse()
                .ok()
                .filter(|clients| *clients > 0)
                .ok_or_else(|| format!("--{name} {value}: expected a whole number from 1 to 1000000"))?;
        }
    }
    Ok(Load { args, clients })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Command, Failure> {
        parse(args.iter().map(ToString::to_string), PathBuf::from("out"))
    }

    fn options(args: &[&str]) -> Options {
        match run(args) {
            Ok(Command::Run(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    fn usage_error(args: &[&str]) -> String {
        match run(args) {
            Err(Failure::Usage(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments_after_two_dashes_go_to_the_load_test() {
        let options = options(&["cpu", "--seconds=5", "--", "-clients=20", "--moves-per-second", "2"]);
        assert_eq!(options.measurement, Measurement::Cpu { frequency_hz: 997 });
        assert_eq!((options.duration.as_secs(), options.output.as_path()), (5, "out".as_ref()));
        assert_eq!(options.load.args, ["-clients=20", "--moves-per-second", "2"]);
        assert_eq!(options.load.clients, 20);
    }

    #[test]
    fn clients_is_read_in_every_spelling_and_the_last_value_wins() {
        assert_eq!(options(&["mem"]).load.clients, 1_000);
        assert_eq!(options(&["mem", "--", "-c", "7"]).load.clients, 7);
        assert_eq!(options(&["mem", "--", "--clients", "7", "--clients=8"]).load.clients, 8);
    }

    #[test]
    fn an_invalid_value_is_named_with_the_allowed_values() {
        assert_eq!(
            usage_error(&["cpu", "--seconds", "0"]),
            "--seconds 0: expected a whole number from 1 to 3600"
        );
        assert_eq!(usage_error(&["mem", "--frequency=99"]), "--frequency 99: valid only with cpu");
        assert_eq!(usage_error(&["disk"]), "disk: expected cpu or mem; see --help");
        assert_eq!(usage_error(&[]), "expected cpu or mem; see --help");
        assert!(usage_error(&["cpu", "--clients=9"]).contains("clients"));
        assert!(usage_error(&["cpu", "x"]).starts_with("x: unexpected argument"));
        assert!(usage_error(&["cpu", "--", "--clients=many"]).starts_with("--clients many: expected"));
        assert!(usage_error(&["cpu", "--", "-d", "9s"]).starts_with("-d: not available"));
    }

    #[test]
    fn help_wins_over_other_arguments() {
        assert!(matches!(run(&["--help"]), Ok(Command::Help(_))));
        assert!(matches!(run(&["disk", "--help"]), Ok(Command::Help(_))));
    }
}

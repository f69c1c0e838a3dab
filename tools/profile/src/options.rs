//! The command line: what to measure, for how long, and under which load.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use getopts::{Matches, Options as Getopts};
use stage::{Failure, cli};

/// Flags of the load test that are this program's to set.
const OWN_LOAD_FLAGS: [&str; 13] =
    ["server", "s", "duration", "d", "warm-up", "pid", "json", "report", "r", "help", "h", "version", "V"];

/// The load test's own default.
const CLIENTS: usize = 1_000;

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What to measure.
    pub what: What,
    /// How long to measure, once all are connected and settled.
    pub duration: Duration,
    /// Folder of the results.
    pub output: PathBuf,
    /// The load meanwhile.
    pub load: Load,
}

/// What there is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// CPU time.
    Cpu {
        /// Samples a second of CPU time.
        frequency_hz: u32,
    },
    /// Allocations.
    Mem,
}

/// What the load test is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its flags, as given.
    pub args: Vec<String>,
    /// The clients these flags ask for.
    pub clients: usize,
}

/// What the command line asks for.
pub type Command = cli::Command<Options>;

/// Reads the arguments that follow the program's name; `output` is the folder of the results unless one is named.
///
/// # Errors
/// One line that names the flag, the value and what is allowed.
pub fn parse(args: impl Iterator<Item = String>, output: PathBuf) -> Result<Command, Failure> {
    let mut args: Vec<String> = args.collect();
    let own_args = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let load_args = args.split_off(own_args).into_iter().skip(1).collect();
    let command = cli::parse_with_arguments("profile", args.into_iter(), BRIEF, declare, |matches| {
        Ok(Options {
            what: what(matches)?,
            duration: Duration::from_secs(number(matches, "seconds", 10, 3600)?),
            output: matches.opt_str("output").map_or(output, PathBuf::from),
            load: load(load_args)?,
        })
    });
    command.map_err(Failure::Usage)
}

const BRIEF: &str = "Measures a server of its own under load, and says where its CPU time or its memory goes.

    profile cpu [flags] [-- flags of the load test]
    profile mem [flags] [-- flags of the load test]

cpu: perf samples stacks; cpu.svg is a flame graph, cpu.txt the top functions.
mem: every allocation is counted, from the start until all have settled, and in the steady state after that;
     mem.txt is the summary, dhat-heap.json and dhat-heap-steady.json are for Valgrind's dh_view.html.";

fn declare(getopts: &mut Getopts) {
    getopts.optopt("", "seconds", "time measured, once all are connected and settled [10]", "N");
    getopts.optopt("", "frequency", "cpu: samples a second of CPU time [997]", "HZ");
    getopts.optopt("", "output", "folder of the results [profile, beside this program's folder]", "DIR");
}

fn what(matches: &Matches) -> Result<What, String> {
    if let Some(stray) = matches.free.get(1) {
        return Err(format!("{stray}: unexpected argument; flags of the load test follow after --"));
    }
    match matches.free.first().map(String::as_str) {
        // A prime number, so as not to beat with what happens at round intervals.
        Some("cpu") => Ok(What::Cpu { frequency_hz: number(matches, "frequency", 997, 10_000)? }),
        Some("mem") => match matches.opt_str("frequency") {
            Some(text) => Err(format!("--frequency {text}: only for cpu")),
            None => Ok(What::Mem),
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
    most: u16,
) -> Result<T, String> {
    let Some(text) = matches.opt_str(name) else { return Ok(default.into()) };
    let value = text.parse().ok().filter(|value| (T::from(1)..=most.into()).contains(value));
    value.ok_or_else(|| format!("--{name} {text}: expected a whole number from 1 to {most}"))
}

/// Looks for what this program has to know or to set itself; the rest the load test judges.
fn load(args: Vec<String>) -> Result<Load, String> {
    let mut clients = CLIENTS;
    for (place, arg) in args.iter().enumerate().filter(|(_, arg)| arg.starts_with('-')) {
        let (name, value) = match arg.trim_start_matches('-').split_once('=') {
            Some((name, value)) => (name, value),
            None => (arg.trim_start_matches('-'), args.get(place + 1).map_or("", String::as_str)),
        };
        if OWN_LOAD_FLAGS.contains(&name) {
            let text = format!("{arg}: the load lasts as long as the profile needs, on a server of its own");
            return Err(text);
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

    fn problem(args: &[&str]) -> String {
        match run(args) {
            Err(Failure::Usage(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_follows_two_dashes_is_the_load_tests() {
        let options = options(&["cpu", "--seconds=5", "--", "-clients=20", "--moves-per-second", "2"]);
        assert_eq!(options.what, What::Cpu { frequency_hz: 997 });
        assert_eq!((options.duration.as_secs(), options.output.as_path()), (5, "out".as_ref()));
        assert_eq!(options.load.args, ["-clients=20", "--moves-per-second", "2"]);
        assert_eq!(options.load.clients, 20);
    }

    #[test]
    fn clients_are_found_in_every_form_and_the_last_one_counts() {
        assert_eq!(options(&["mem"]).load.clients, 1_000);
        assert_eq!(options(&["mem", "--", "-c", "7"]).load.clients, 7);
        assert_eq!(options(&["mem", "--", "--clients", "7", "--clients=8"]).load.clients, 8);
    }

    #[test]
    fn bad_values_are_named_with_what_is_allowed() {
        assert_eq!(
            problem(&["cpu", "--seconds", "0"]),
            "--seconds 0: expected a whole number from 1 to 3600"
        );
        assert_eq!(problem(&["mem", "--frequency=99"]), "--frequency 99: only for cpu");
        assert_eq!(problem(&["disk"]), "disk: expected cpu or mem; see --help");
        assert_eq!(problem(&[]), "expected cpu or mem; see --help");
        assert!(problem(&["cpu", "--clients=9"]).contains("clients"));
        assert!(problem(&["cpu", "x"]).starts_with("x: unexpected argument"));
        assert!(problem(&["cpu", "--", "--clients=many"]).starts_with("--clients many: expected"));
        assert!(problem(&["cpu", "--", "-d", "9s"]).starts_with("-d: the load lasts"));
    }

    #[test]
    fn help_is_given_whatever_else_is_asked_for() {
        assert!(matches!(run(&["--help"]), Ok(Command::Help(_))));
        assert!(matches!(run(&["disk", "--help"]), Ok(Command::Help(_))));
    }
}

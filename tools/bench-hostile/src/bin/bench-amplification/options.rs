//! What is asked for: flags, and environment variables of the same names.

use std::path::PathBuf;

use getopts::Options as Flags;
use serde::{Deserialize, Serialize};
use stage::cli::{self, given, seconds, value, whole};

const VIEWERS_MAX: u32 = 10_000;
const SECONDS_MAX: u64 = 600;

/// Seconds between a viewer's regular snapshots: in any other time there may be more of them beside a message than without it.
const SNAPSHOT_INTERVAL_S: u64 = 5;

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Idle players in whose view the attacker is.
    pub viewers: u32,
    /// How long each message is measured, in seconds.
    pub seconds: u64,
    /// Where results go, where somebody says so.
    #[serde(skip)]
    pub results: Option<PathBuf>,
}

impl Options {
    /// The command line that measures the same.
    pub fn command(&self) -> String {
        format!("make bench-amplification VIEWERS={} DURATION={}s", self.viewers, self.seconds)
    }
}

/// What the command line asks for.
pub type Command = cli::Command<Options>;

/// Reads the arguments that follow the program's name; what they leave open is looked up by `variable`.
///
/// # Errors
/// One line that names the option, the value and what is allowed.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let brief = "Measures what the server sends and computes for each byte that one client sends.\n\n\
             Exit status: 0 when every message keeps to its limit, 1 otherwise, 2 for bad usage.";
    let declare = |flags: &mut Flags| {
        flags.optopt("", "viewers", "idle players who see the client [120], VIEWERS", "N");
        flags.optopt("", "duration", "how long each message is measured [5s], DURATION", "TIME");
        flags.optopt("", "results", "folder to write to [bench/results/DATE-CORES], RESULTS", "FOLDER");
    };
    cli::parse("bench-amplification", args, brief, declare, |matches| {
        let given = |name: &str| given(name, matches.opt_str(name), &variable);
        let viewers = format!("a whole number from 1 to {VIEWERS_MAX}");
        let times = format!("a multiple of {SNAPSHOT_INTERVAL_S}s up to {SECONDS_MAX}s, such as 5s or 1m");
        let rounds = |text: &str| {
            seconds(text, SECONDS_MAX).filter(|seconds| seconds.is_multiple_of(SNAPSHOT_INTERVAL_S))
        };
        Ok(Options {
            viewers: value(given("viewers"), "120", &viewers, |text| whole(text, VIEWERS_MAX))?,
            seconds: value(given("duration"), "5s", &times, rounds)?,
            results: given("results").map(|(_, folder)| PathBuf::from(folder)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default_and_wrong_values_are_named() {
        let run = |args: &[&str]| match parse(args.iter().map(ToString::to_string), |_| None)? {
            Command::Run(options) => Ok(options),
            Command::Help(text) => Err(text),
        };
        assert_eq!(run(&[]).unwrap().command(), "make bench-amplification VIEWERS=120 DURATION=5s");
        assert_eq!(run(&["--viewers=7"]).unwrap().viewers, 7);
        assert_eq!(
            run(&["--viewers=0"]).unwrap_err(),
            "--viewers 0: expected a whole number from 1 to 10000"
        );
    }
}

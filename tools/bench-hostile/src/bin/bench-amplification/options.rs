//! Options: flags, and environment variables of the same names.

use std::path::PathBuf;

use game_client::cli::{self, given, seconds, value, whole};
use getopts::Options as Flags;
use serde::{Deserialize, Serialize};

const VIEWERS_MAX: u32 = 10_000;
const SECONDS_MAX: u64 = 600;

/// Seconds between a viewer's regular snapshots. The measured time is a multiple, so that all windows contain equally many.
const SNAPSHOT_INTERVAL_S: u64 = 5;

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Idle players that see the attacker.
    pub viewers: u32,
    /// Measured time of each message, in seconds.
    pub seconds: u64,
    /// Folder for the results, if given.
    #[serde(skip)]
    pub results: Option<PathBuf>,
}

impl Options {
    /// The command that repeats the measurement.
    pub fn command(&self) -> String {
        format!("make bench-amplification VIEWERS={} DURATION={}s", self.viewers, self.seconds)
    }
}

/// A parsed command line.
pub type Command = cli::Command<Options>;

/// Parses the arguments after the program's name; `variable` looks up the missing ones.
///
/// # Errors
/// One line with the option, its value and the allowed values.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let brief = "Measures bytes and CPU time of the server for each byte that one client sends.\n\n\
             Exit status: 0 if every message is within its limit, 1 otherwise, 2 for invalid usage.";
    let declare = |flags: &mut Flags| {
        flags.optopt("", "viewers", "idle players that see the client [120], VIEWERS", "N");
        flags.optopt("", "duration", "measured time of each message [5s], DURATION", "TIME");
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
    fn missing_options_have_defaults_and_invalid_values_are_named() {
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

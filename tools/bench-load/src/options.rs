//! Options: flags, and environment variables of the same names, since `make` passes its variables on.

use std::path::PathBuf;

use game_client::cli::{self, given, seconds, value, whole};
use getopts::Options as Flags;

use crate::rows::{ROWS, Row};

/// Most runs of a row.
const RUNS_MAX: u32 = 99;

/// Longest run, in seconds.
const SECONDS_MAX: u64 = 3_600;

/// Defaults for recorded results, and for a quick check. A check covers enough ticks that one skipped tick does not
/// decide the verdict.
const TABLE: Defaults = Defaults { runs: "3", duration: "60s", rows: "a,b,c,d,e,f,g", floor_runs: 2 };
const CHECK: Defaults = Defaults { runs: "1", duration: "20s", rows: "c", floor_runs: 1 };

struct Defaults {
    runs: &'static str,
    duration: &'static str,
    rows: &'static str,
    floor_runs: usize,
}

/// A valid set of options.
#[derive(Debug)]
pub struct Options {
    /// Runs of each row.
    pub runs: u32,
    /// Measured time of each run, in seconds.
    pub seconds: u64,
    /// Rows to run, in the order of the table.
    pub rows: Vec<&'static Row>,
    /// Runs of the floor after each run of a row.
    pub floor_runs: usize,
    /// Folder for the results, if given.
    pub results: Option<PathBuf>,
    /// Whether to print yes or no and write nothing.
    pub is_check: bool,
}

/// A parsed command line.
pub type Command = cli::Command<Options>;

const BRIEF: &str = "Runs the table of loads against its own servers, checks the targets, and records the results.\n\n\
     Each run of the server is followed by two of the floor (one for a check): the same reads and writes without a game.";

/// Parses the arguments that follow the program's name. `variable` returns environment variables for missing flags.
///
/// # Errors
/// One line with the option, the value and the allowed values.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let declare = |flags: &mut Flags| {
        flags.optopt("", "runs", "runs of each row [3; check: 1], RUNS", "N");
        flags.optopt("", "duration", "measured time of each run [60s; check: 20s], DURATION", "TIME");
        flags.optopt("", "rows", "rows to run, such as a,c [all; check: c], ROWS", "LETTERS");
        flags.optopt("", "results", "folder to write to [bench/results/DATE-CORES], RESULTS", "FOLDER");
        flags.optflag("", "check", "print yes or no, and write nothing");
    };
    cli::parse("bench-load", args, &brief(), declare, |matches| {
        let is_check = matches.opt_present("check");
        let defaults = if is_check { CHECK } else { TABLE };
        let given = |name: &str| given(name, matches.opt_str(name), &variable);
        Ok(Options {
            runs: value(
                given("runs"),
                defaults.runs,
                &format!("a whole number from 1 to {RUNS_MAX}"),
                |text| whole(text, RUNS_MAX),
            )?,
            seconds: value(
                given("duration"),
                defaults.duration,
                &format!("whole seconds or minutes up to {SECONDS_MAX}s, such as 60s or 2m"),
                |text| seconds(text, SECONDS_MAX),
            )?,
            rows: value(
                given("rows"),
                defaults.rows,
                &format!("a comma-separated list of {}", TABLE.rows),
                rows,
            )?,
            floor_runs: defaults.floor_runs,
            results: given("results").map(|(_, folder)| PathBuf::from(folder)),
            is_check,
        })
    })
}

fn rows(text: &str) -> Option<Vec<&'static Row>> {
    let wanted: Vec<&str> = text.split(',').map(str::trim).collect();
    let all_known = wanted.iter().all(|id| Row::of(id).is_some());
    all_known.then(|| ROWS.iter().filter(|row| wanted.contains(&row.id)).collect())
}

/// Returns the text of `--help` above the flags.
fn brief() -> String {
    let rows: Vec<String> = ROWS.iter().map(|row| format!("    {}  {}\n", row.id, row.title)).collect();
    let statuses = "Exit status: 0 if every target is met, 1 otherwise, 2 for invalid usage.";
    format!("{BRIEF}\n\nRows:\n{}\n{statuses}", rows.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str], variables: &[(&str, &str)]) -> Result<Options, String> {
        let variable = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, text)| (*text).to_owned())
        };
        match parse(args.iter().map(ToString::to_string), variable)? {
            Command::Run(options) => Ok(options),
            Command::Help(text) => Err(text),
        }
    }

    fn letters(options: &Options) -> String {
        options.rows.iter().map(|row| row.id).collect()
    }

    #[test]
    fn all_rows_are_run_by_default() {
        let options = run(&[], &[("ROWS", "")]).unwrap();
        assert_eq!((options.runs, options.seconds, letters(&options).as_str()), (3, 60, "abcdefg"));
        assert_eq!(options.floor_runs, 2);
        let check = run(&["--check"], &[]).unwrap();
        assert_eq!((check.runs, check.seconds, letters(&check).as_str()), (1, 20, "c"));
        assert_eq!(check.floor_runs, 1);
    }

    #[test]
    fn flags_override_variables() {
        let variables = [("RUNS", "5"), ("DURATION", "2m"), ("ROWS", "c, a")];
        let options = run(&["--runs=1"], &variables).unwrap();
        assert_eq!((options.runs, options.seconds, letters(&options).as_str()), (1, 120, "ac"));
    }

    #[test]
    fn an_invalid_value_is_reported_with_the_allowed_values() {
        for (args, variables, problem) in [
            (&["--runs", "0"][..], &[][..], "--runs 0: expected a whole number from 1 to 99"),
            (&[], &[("ROWS", "a,z")], "ROWS=a,z: expected a comma-separated list of a,b,c,d,e,f,g"),
            (
                &[],
                &[("DURATION", "60")],
                "DURATION=60: expected whole seconds or minutes up to 3600s, such as 60s or 2m",
            ),
            (&["x"], &[], "x: unexpected argument; see --help"),
        ] {
            assert_eq!(run(args, variables).unwrap_err(), problem);
        }
        assert!(run(&["--duration=0s"], &[]).is_err());
        assert!(run(&["--help"], &[]).unwrap_err().contains("    f  10,000 idle clients"));
    }
}

//! What is asked for: flags, and environment variables of the same names, since `make` passes what it is given on.

use std::path::PathBuf;

use getopts::Options as Flags;
use stage::cli::{self, given, seconds, value, whole};

use crate::rows::{ROWS, Row};

/// Most runs of a row.
const RUNS_MAX: u32 = 99;

/// Longest run, in seconds.
const SECONDS_MAX: u64 = 3_600;

/// What is run when nobody says otherwise: for results worth keeping, and for a quick yes or no. That one still counts
/// so many ticks that one more or less does not decide.
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
    /// How long each is measured, in seconds.
    pub seconds: u64,
    /// What is run, in the order of the table.
    pub rows: Vec<&'static Row>,
    /// Runs of the floor after each run of a row.
    pub floor_runs: usize,
    /// Where results go, where somebody says so.
    pub results: Option<PathBuf>,
    /// Says yes or no, and writes nothing.
    pub is_check: bool,
}

/// What the command line asks for.
pub type Command = cli::Command<Options>;

const BRIEF: &str = "Runs the table of loads against servers of its own, judges them, and writes down what came out.\n\n\
     Each run of the server is followed by two of the floor (to check by one), with the same reads and writes and no game.";

/// Reads the arguments that follow the program's name; what they leave open is looked up by `variable`.
///
/// # Errors
/// One line that names the option, the value and what is allowed.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let declare = |flags: &mut Flags| {
        flags.optopt("", "runs", "runs of each row [3, to check 1], RUNS", "N");
        flags.optopt("", "duration", "how long each is measured [60s, to check 20s], DURATION", "TIME");
        flags.optopt("", "rows", "rows to run, such as a,c [all, to check c], ROWS", "LETTERS");
        flags.optopt("", "results", "folder to write to [bench/results/DATE-CORES], RESULTS", "FOLDER");
        flags.optflag("", "check", "say yes or no, and write nothing");
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
                &format!("some of {} with commas between them", TABLE.rows),
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

/// What `--help` says beside the flags.
fn brief() -> String {
    let rows: Vec<String> = ROWS.iter().map(|row| format!("    {}  {}\n", row.id, row.title)).collect();
    let statuses = "Exit status: 0 when every target is met, 1 when one is missed, 2 for bad usage.";
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
    fn the_whole_table_is_run_unless_told_otherwise() {
        let options = run(&[], &[("ROWS", "")]).unwrap();
        assert_eq!((options.runs, options.seconds, letters(&options).as_str()), (3, 60, "abcdefg"));
        assert_eq!(options.floor_runs, 2);
        let check = run(&["--check"], &[]).unwrap();
        assert_eq!((check.runs, check.seconds, letters(&check).as_str()), (1, 20, "c"));
        assert_eq!(check.floor_runs, 1);
    }

    #[test]
    fn flags_win_over_variables() {
        let variables = [("RUNS", "5"), ("DURATION", "2m"), ("ROWS", "c, a")];
        let options = run(&["--runs=1"], &variables).unwrap();
        assert_eq!((options.runs, options.seconds, letters(&options).as_str()), (1, 120, "ac"));
    }

    #[test]
    fn bad_values_are_named_with_what_is_allowed() {
        for (args, variables, problem) in [
            (&["--runs", "0"][..], &[][..], "--runs 0: expected a whole number from 1 to 99"),
            (&[], &[("ROWS", "a,z")], "ROWS=a,z: expected some of a,b,c,d,e,f,g with commas between them"),
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
        assert!(run(&["--help"], &[]).unwrap_err().contains("    f  10,000 clients"));
    }
}

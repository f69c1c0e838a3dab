//! What is asked for: flags, and environment variables of the same names.

use std::path::PathBuf;

use getopts::Options as Flags;
use hostile::kind::Kind;
use serde::{Deserialize, Serialize};
use stage::ask::{self, given, seconds, value, whole};

const PAIRS_MAX: u32 = 99;
const SECONDS_MAX: u64 = 3_600;
const CONNECTIONS_MAX: u32 = 10_000;
const MOVES_MAX: u32 = 60;

/// The slow and the silent, who stay connected. Two in three of them are players in everybody's view, which costs the others
/// more than floods and noise do.
const KINDS: &str = "slow-heads,slow-upgrades,slow-frames,silent,deaf,zero-window";

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How often it is measured, alone and beside.
    pub pairs: u32,
    /// How long each is measured, in seconds.
    pub seconds: u64,
    /// Healthy players.
    pub clients: u32,
    /// MOVEs each of them sends a second.
    pub moves: u32,
    /// Hostile peers.
    pub peers: u32,
    /// What kinds of them there are, as the program `hostile` takes them.
    pub kinds: String,
    /// Where results go, where somebody says so.
    #[serde(skip)]
    pub results: Option<PathBuf>,
}

/// What the command line asks for.
pub type Command = ask::Command<Options>;

/// Reads the arguments that follow the program's name; what they leave open is looked up by `variable`.
///
/// # Errors
/// One line that names the option, the value and what is allowed.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let brief = "Measures what healthy players notice of hostile peers beside them.\n\n\
             Exit status: 0 when they lost nothing and their acks took hardly longer, 1 otherwise, 2 for bad usage.";
    let declare = |flags: &mut Flags| {
        flags.optopt("", "pairs", "how often it is measured, alone and beside [3], PAIRS", "N");
        flags.optopt("", "duration", "how long each is measured [20s], DURATION", "TIME");
        flags.optopt("", "clients", "healthy players [500], CLIENTS", "N");
        flags.optopt("", "moves", "MOVEs each of them sends a second [5], MOVES", "N");
        flags.optopt("", "peers", "hostile peers of all kinds [2000], PEERS", "N");
        flags.optopt("", "kinds", "kinds of hostile peers, or all [the slow and silent], KINDS", "LIST");
        flags.optopt("", "results", "folder to write to [bench/results/DATE-CORES], RESULTS", "FOLDER");
    };
    ask::command(args, brief, declare, |matches| {
        let given = |name: &str| given(name, matches.opt_str(name), &variable);
        let number = |name: &str, default: &str, most: u32| {
            value(given(name), default, &format!("a whole number from 1 to {most}"), |text| whole(text, most))
        };
        let times = format!("whole seconds or minutes up to {SECONDS_MAX}s, such as 60s or 2m");
        Ok(Options {
            pairs: number("pairs", "3", PAIRS_MAX)?,
            seconds: value(given("duration"), "20s", &times, |text| seconds(text, SECONDS_MAX))?,
            clients: number("clients", "500", CONNECTIONS_MAX)?,
            moves: number("moves", "5", MOVES_MAX)?,
            peers: number("peers", "2000", CONNECTIONS_MAX)?,
            kinds: value(given("kinds"), KINDS, &kinds_allowed(), |text| {
                Kind::list(text).map(|_| text.to_owned())
            })?,
            results: given("results").map(|(_, folder)| PathBuf::from(folder)),
        })
    })
}

fn kinds_allowed() -> String {
    format!("all or a list of {}", Kind::ALL.map(Kind::name).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str], variable: (&str, &str)) -> Result<Options, String> {
        let lookup = |name: &str| (name == variable.0).then(|| variable.1.to_owned());
        match parse(args.iter().map(ToString::to_string), lookup)? {
            Command::Run(options) => Ok(options),
            Command::Help(text) => Err(text),
        }
    }

    #[test]
    fn what_is_not_said_has_a_default_and_flags_win_over_variables() {
        let options = run(&["-pairs=1", "--peers", "900"], ("PAIRS", "7")).unwrap();
        assert_eq!((options.pairs, options.peers, options.clients, options.seconds), (1, 900, 500, 20));
        assert_eq!(run(&[], ("", "")).unwrap().kinds, KINDS);
        assert_eq!(run(&[], ("KINDS", "all")).unwrap().kinds, "all");
        assert_eq!(run(&[], ("DURATION", "1m")).unwrap().seconds, 60);
    }

    #[test]
    fn bad_values_are_named_with_what_is_allowed() {
        let problem = run(&["--kinds=slow"], ("", "")).unwrap_err();
        assert!(problem.starts_with("--kinds slow: expected all or a list of slow-heads, "), "{problem}");
        let problem = "PAIRS=0: expected a whole number from 1 to 99";
        assert_eq!(run(&[], ("PAIRS", "0")).unwrap_err(), problem);
        assert!(run(&["--duration=20"], ("", "")).unwrap_err().starts_with("--duration 20: expected whole"));
        assert_eq!(run(&["x"], ("", "")).unwrap_err(), "x: unexpected argument; see --help");
    }
}

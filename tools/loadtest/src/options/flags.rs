//! The table of flags, parsed with getopts. Long flags may have one dash (`-clients=5000`, `-clients 5000`), as in old
//! scripts.

use std::collections::BTreeMap;

use getopts::{Fail, HasArg, Occur, Options as Getopts};

use super::Problems;
use super::values::Bounds;

/// One flag that takes a value.
pub struct Flag {
    /// The long name without dashes.
    pub name: &'static str,
    /// The letter without its dash, or empty.
    short: &'static str,
    /// The default as text. Empty if omitting the flag has its own meaning.
    pub default: &'static str,
    /// Bounds of a number or, in seconds, of a duration.
    pub bounds: Bounds,
    /// Description in one line.
    help: &'static str,
}

const fn flag(
    name: &'static str,
    short: &'static str,
    default: &'static str,
    bounds: Bounds,
    help: &'static str,
) -> Flag {
    Flag { name, short, default, bounds, help }
}

const FREE: Bounds = (0.0, 0.0);
const PART: Bounds = (0.0, 1.0);
const DAY_S: f64 = 86_400.0;

/// Every flag that takes a value, in the order of the help.
#[rustfmt::skip] // One row per flag.
pub static FLAGS: &[Flag] = &[
    flag("server", "s", "ws://127.0.0.1:8108/ws", FREE, "Server to load, as ws://HOST:PORT/PATH"),
    flag("clients", "c", "1000", (1.0, 1e6), "Players"),
    flag("duration", "d", "60s", (0.1, DAY_S), "Length of the measured window, after connecting and warm-up"),
    flag("warm-up", "", "5s", (0.0, DAY_S), "Time between the last connect and the measured window"),
    flag("connect-rate", "", "1000", (0.1, 1e5), "Connections started per second"),
    flag("profile", "p", "seed", FREE, "Players' behavior: seed, player, artillery, idle or mixed"),
    flag("moves-per-second", "m", "", (0.01, 1000.0), "Profile seed: MOVEs per client and second [10; mixed: 2]"),
    flag("moving", "", "", PART, "Profile player: fraction of players walking [0.8; mixed: 0.2]"),
    flag("move-bytes", "", "", FREE, "Length of a MOVE: 6, or 14 with a position [player: 14, others: 6]"),
    flag("viewport", "", "", FREE, "Viewport of the clients, such as 800x600 [the whole world]"),
    flag("viewers", "", "50", (0.0, 1e4), "Clients whose replica is compared with the true positions"),
    flag("slow-readers", "", "0", PART, "Fraction of the clients that read only every ten seconds"),
    flag("reconnects-per-second", "", "0", (0.0, 1e4), "Clients per second that disconnect and reconnect"),
    flag("storm-at", "", "", (0.0, DAY_S), "Disconnect clients all at once at this time of the window; they reconnect"),
    flag("storm-clients", "", "", (1.0, 1e6), "Number of clients that a storm disconnects [all]"),
    flag("seed", "", "1", (0.0, u64::MAX as f64), "Seed of all random numbers"),
    flag("source-addresses", "", "", (0.0, 250.0), "Number of source addresses from 127.0.0.2 up [by clients]"),
    flag("pid", "", "", (1.0, u32::MAX as f64), "Process id of a local server, to measure its CPU and memory"),
    flag("max-visible", "", "128", (1.0, 4096.0), "MAX_VISIBLE of the server"),
    flag("sync-interval", "", "5s", (1.0, 300.0), "SYNC_INTERVAL_SEC of the server"),
    flag("world-side", "", "2000", (200.0, 65_535.0), "Side of the server's world, in units"),
    flag("report", "r", "", FREE, "Write an HTML report with charts to this file"),
];

/// Flags that take no value.
#[rustfmt::skip]
static SWITCHES: &[(&str, &str, &str)] = &[
    ("alone", "", "No other players: any other player is a ghost, any open descriptor a leak"),
    ("json", "", "Print the result as one JSON object"),
    ("help", "h", "Print this text"),
    ("version", "V", "Print the version"),
];

/// The command line, read but not validated.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent switch")]
pub struct CommandLine {
    pub help: bool,
    pub version: bool,
    pub alone: bool,
    pub json: bool,
    /// One line each.
    pub problems: Vec<String>,
    values: BTreeMap<&'static str, String>,
}

impl CommandLine {
    /// Returns the last text given for a flag, or its default.
    pub fn text(&self, name: &str) -> &str {
        let flag = FLAGS.iter().find(|flag| flag.name == name).expect("every flag read is in the table");
        self.values.get(flag.name).map_or(flag.default, String::as_str)
    }
}

/// Parses the arguments that follow the program's name.
///
/// # Errors
/// A problem that makes the other arguments ambiguous: a flag without its value, or a value for a switch.
pub fn read(args: impl IntoIterator<Item = String>) -> Result<CommandLine, Problems> {
    let mut line = CommandLine::default();
    let mut args: Vec<String> = args.into_iter().collect();
    let mut getopts = Getopts::new();
    getopts.long_only(true);
    for flag in FLAGS {
        getopts.opt(flag.short, flag.name, "", "", HasArg::Yes, Occur::Multi);
    }
    for (name, short, _) in SWITCHES {
        getopts.opt(short, name, "", "", HasArg::No, Occur::Multi);
    }
    let matches = loop {
        match getopts.parse(&args) {
            Ok(matches) => break matches,
            // getopts stops at an unknown flag. Without it, the next attempt finds the next problem.
            Err(Fail::UnrecognizedOption(name)) => line.problems.push(remove_unknown(&mut args, &name)),
            Err(fail) => {
                line.problems.push(describe(&fail));
                return Err(Problems(line.problems));
            }
        }
    };
    line.problems.extend(matches.free.iter().map(|arg| format!("{arg}: unexpected argument; see --help")));
    let given = |flag: &Flag| matches.opt_strs(flag.name).pop().map(|value| (flag.name, value));
    line.values = FLAGS.iter().filter_map(given).collect();
    (line.alone, line.json) = (matches.opt_present("alone"), matches.opt_present("json"));
    (line.help, line.version) = (matches.opt_present("help"), matches.opt_present("version"));
    Ok(line)
}

/// Removes the first flag of this name, and returns its problem.
fn remove_unknown(args: &mut Vec<String>, name: &str) -> String {
    let is_named = |arg: &String| {
        let flag = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'));
        flag.is_some_and(|flag| flag.split('=').next() == Some(name))
    };
    let at = args.iter().position(is_named).expect("getopts read the name here");
    let arg = args.remove(at);
    // The next argument is most likely its value, not another problem.
    if !arg.contains('=') && args.get(at).is_some_and(|next| !next.starts_with('-')) {
        args.remove(at);
    }
    format!("{}: unknown flag; see --help", arg.split('=').next().unwrap_or_default())
}

fn describe(fail: &Fail) -> String {
    match fail {
        Fail::ArgumentMissing(name) => format!("--{name}: expected a value after it; see --help"),
        Fail::UnexpectedArgument(name) => format!("--{name}: takes no value; see --help"),
        other => format!("{other}; see --help"),
    }
}

/// Returns the text of `--help`.
pub fn help() -> String {
    let name = game_client::console::name("loadtest");
    let mut text = format!(
        "Loads a game server with simulated players and reports a verdict.\n\n\
         Usage: {name} --clients 10000 --moves-per-second 2 --duration 60s --server ws://127.0.0.1:8108/ws\n\n\
         Flags (a single dash also works: -clients=5000):\n",
    );
    let row = |short: &str, name: &str, argument: &str, help: &str, default: &str| {
        let short = if short.is_empty() { String::new() } else { format!(", -{short}") };
        let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        format!("  {:<29} {help}{default}\n", format!("--{name}{short}{argument}"))
    };
    let argument = |name: &str| if name == "report" { " FILE" } else { " VALUE" };
    text.extend(
        FLAGS.iter().map(|flag| row(flag.short, flag.name, argument(flag.name), flag.help, flag.default)),
    );
    text.extend(SWITCHES.iter().map(|(name, short, help)| row(short, name, "", help, "")));
    text.push_str("\nExit status: 0 if nothing was lost or wrong, 1 otherwise, 2 for invalid usage.\n");
    text
}

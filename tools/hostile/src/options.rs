//! The command line.

use std::time::Duration;

use getopts::{Matches, Options as Getopts};
use loadtest::values::{Bounds, Server, Value};
use stage::cli;

use crate::attack::Attack;
use crate::kind::Kind;

const FREE: Bounds = (0.0, 0.0);
const DAY_S: f64 = 86_400.0;

/// Whom to bother, how, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub server: Server,
    /// Connections to keep up.
    pub peers: usize,
    /// Kinds of them, in equal parts.
    pub kinds: Vec<Kind>,
    /// What is done instead of what the kinds do, if anything is.
    pub attack: Option<Attack>,
    /// Path of a file that a healthy client downloads slowly beside the attack on HTTP.
    pub download: Option<String>,
    /// How long.
    pub duration: Duration,
    /// Most connections begun a second, those that come back included.
    pub connect_rate: f64,
    /// MOVEs a second of each flooder.
    pub flood_rate: f64,
    /// Source addresses in 127.0.0.0/8 over which connections are spread; 0 leaves the choice to the system.
    pub source_addresses: u32,
    /// Seed of everything left to chance.
    pub seed: u64,
    /// Print one JSON object instead of text.
    pub json: bool,
}

/// What the command line asks for.
pub type Command = cli::Command<Box<Options>>;

/// Reads the arguments that follow the program's name; one dash will do for each flag.
///
/// # Errors
/// One line that names the flag, the value and what is allowed.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
    cli::parse("hostile", args.into_iter(), &brief(), declare, read)
}

fn read(matches: &Matches) -> Result<Box<Options>, String> {
    let server: Server = value(matches, "server", "ws://127.0.0.1:8108/ws", FREE)?;
    let attack = attack(matches)?;
    let peers = attack.map_or(2_000, Attack::peers).to_string();
    Ok(Box::new(Options {
        peers: value(matches, "peers", &peers, (1.0, 1e5))?,
        attack,
        download: matches.opt_str("download"),
        kinds: kinds(matches)?,
        duration: value(matches, "duration", "60s", (0.1, DAY_S))?,
        connect_rate: value(matches, "connect-rate", "500", (0.1, 1e4))?,
        flood_rate: value(matches, "flood-rate", "240", (1.0, 1e4))?,
        source_addresses: source_addresses(matches, &server)?,
        seed: value(matches, "seed", "1", (0.0, u64::MAX as f64))?,
        json: matches.opt_present("json"),
        server,
    }))
}

fn declare(getopts: &mut Getopts) {
    getopts.optopt("", "server", "whom to bother [ws://127.0.0.1:8108/ws]", "URL");
    getopts.optopt("", "peers", "connections to keep up [2000; of an attack its own]", "N");
    getopts.optopt("", "kinds", "what they do, such as deaf,silent [all]", "LIST");
    getopts.optopt("", "attack", "let a few do this instead, such as jump", "NAME");
    getopts.optopt("", "download", "file that is downloaded slowly beside the attack on HTTP", "PATH");
    getopts.optopt("", "duration", "for how long [60s]", "TIME");
    getopts.optopt("", "connect-rate", "most connections begun a second [500]", "N");
    getopts.optopt("", "flood-rate", "MOVEs a second of each flooder [240]", "N");
    getopts.optopt("", "source-addresses", "connect from so many of 127.0.0.0/8 [250 to loopback]", "N");
    getopts.optopt("", "seed", "seed of everything left to chance [1]", "N");
    getopts.optflag("", "json", "print the counts as one JSON object");
}

/// What `--help` says beside the flags.
fn brief() -> String {
    format!(
        "Bothers a game server with peers that mean no good, and counts what it did about them.\n\n\
         Usage: hostile --server ws://127.0.0.1:8108/ws --peers 2000 --kinds all --duration 60s\n\n\
         Kinds: {}.\nAttacks: {}.\n\n\
         Exit status: 0 whatever the server did, 1 when the run failed, 2 for bad usage.",
        Kind::ALL.map(Kind::name).join(", "),
        Attack::ALL.map(Attack::name).join(", ")
    )
}

fn value<T: Value>(matches: &Matches, name: &str, default: &str, bounds: Bounds) -> Result<T, String> {
    let text = matches.opt_str(name).unwrap_or_else(|| default.to_owned());
    T::parse(&text, bounds).map_err(|expected| format!("--{name} {text}: expected {expected}"))
}

fn kinds(matches: &Matches) -> Result<Vec<Kind>, String> {
    let text = matches.opt_str("kinds").unwrap_or_else(|| "all".to_owned());
    Kind::list(&text).ok_or_else(|| {
        let names = Kind::ALL.map(Kind::name).join(", ");
        format!("--kinds {text}: expected all, or some of {names} with commas between them")
    })
}

fn attack(matches: &Matches) -> Result<Option<Attack>, String> {
    let read = |text: String| {
        let names = Attack::ALL.map(Attack::name).join(", ");
        Attack::named(&text).ok_or_else(|| format!("--attack {text}: expected one of {names}"))
    };
    matches.opt_str("attack").map(read).transpose()
}

/// As many as asked for; otherwise so many that none runs out of ports, where the server allows any.
fn source_addresses(matches: &Matches, server: &Server) -> Result<u32, String> {
    let default = if server.is_loopback() { "250" } else { "0" };
    let count = value(matches, "source-addresses", default, (0.0, 65_000.0))?;
    if count > 0 && !server.is_loopback() {
        let whom = &server.authority;
        return Err(format!(
            "--source-addresses {count}: only for a server on 127.0.0.0/8, and {whom} is not"
        ));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Options, String> {
        match parse(args.iter().map(ToString::to_string))? {
            Command::Run(options) => Ok(*options),
            Command::Help(text) => Err(text),
        }
    }

    #[test]
    fn every_default_is_valid_and_one_dash_will_do() {
        let options = run(&[]).unwrap();
        assert_eq!((options.peers, options.kinds.len(), options.source_addresses), (2_000, 9, 250));
        let line = ["-peers=20", "-kinds", "deaf", "--duration=1m30s", "-json", "-seed=7"];
        let options = run(&line).unwrap();
        assert_eq!((options.peers, options.duration.as_secs(), options.seed), (20, 90, 7));
        assert!(options.json && options.kinds == [Kind::Deaf] && options.attack.is_none());
        let options = run(&["--attack=jump"]).unwrap();
        assert_eq!((options.attack, options.peers), (Some(Attack::Jump), 15));
    }

    #[test]
    fn bad_values_are_named_with_what_is_allowed() {
        for (args, problem) in [
            (&["--peers=0"][..], "--peers 0: expected a whole number from 1 to 100000"),
            (
                &["--attack=slow"],
                "--attack slow: expected one of slots, pipelining, jump, join-attack-leave, desync, return",
            ),
            (&["x"], "x: unexpected argument; see --help"),
            (
                &["--server=ws://10.0.0.1:80/ws", "--source-addresses=2"],
                "--source-addresses 2: only for a server on 127.0.0.0/8, and 10.0.0.1:80 is not",
            ),
        ] {
            assert_eq!(run(args).unwrap_err(), problem);
        }
        assert_eq!(run(&["--server=ws://10.0.0.1:80/ws"]).unwrap().source_addresses, 0);
        assert!(run(&["--kinds=polite"]).unwrap_err().contains("expected all, or some of slow-heads, "));
        assert!(run(&["--help"]).unwrap_err().contains("zero-window"));
    }
}

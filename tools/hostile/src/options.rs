//! The command line.

use std::time::Duration;

use game_client::cli;
use getopts::{Matches, Options as Getopts};
use loadtest::values::{Bounds, Server, Value};

use crate::attack::Attack;
use crate::kind::Kind;

const FREE: Bounds = (0.0, 0.0);
const DAY_S: f64 = 86_400.0;

/// Target, behavior and duration.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub server: Server,
    /// Number of connections.
    pub peers: usize,
    /// Kinds of peers, in equal parts.
    pub kinds: Vec<Kind>,
    /// The attack that runs instead of the kinds, if any.
    pub attack: Option<Attack>,
    /// Path of a file that a healthy client downloads slowly beside the attack `slots`.
    pub download: Option<String>,
    /// Duration of the run.
    pub duration: Duration,
    /// Maximum number of new connections per second, including reconnects.
    pub connect_rate: f64,
    /// MOVEs per second of each flooder.
    pub flood_rate: f64,
    /// Number of source addresses in 127.0.0.0/8; 0 lets the system choose.
    pub source_addresses: u32,
    /// Seed of all random choices.
    pub seed: u64,
    /// Whether to print one JSON object instead of text.
    pub json: bool,
}

/// A parsed command line.
pub type Command = cli::Command<Box<Options>>;

/// Parses the arguments after the program's name; flags may have one dash.
///
/// # Errors
/// One line with the flag, its value and the allowed values.
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
    getopts.optopt("", "server", "target [ws://127.0.0.1:8108/ws]", "URL");
    getopts.optopt("", "peers", "number of connections [2000; each attack has its own]", "N");
    getopts.optopt("", "kinds", "kinds of peers, such as deaf,silent [all]", "LIST");
    getopts.optopt("", "attack", "run this attack instead, such as jump", "NAME");
    getopts.optopt("", "download", "file for a slow download beside the attack slots", "PATH");
    getopts.optopt("", "duration", "duration of the run [60s]", "TIME");
    getopts.optopt("", "connect-rate", "maximum of new connections per second [500]", "N");
    getopts.optopt("", "flood-rate", "MOVEs per second of each flooder [240]", "N");
    getopts.optopt(
        "",
        "source-addresses",
        "number of source addresses in 127.0.0.0/8 [250 to loopback]",
        "N",
    );
    getopts.optopt("", "seed", "seed of all random choices [1]", "N");
    getopts.optflag("", "json", "print the counts as one JSON object");
}

/// Returns the text of `--help` without the flags.
fn brief() -> String {
    format!(
        "Runs hostile peers against a game server, and counts its reactions.\n\n\
         Usage: hostile --server ws://127.0.0.1:8108/ws --peers 2000 --kinds all --duration 60s\n\n\
         Kinds: {}.\nAttacks: {}.\n\n\
         Exit status: 0 after a run, 1 when the run failed, 2 for invalid usage.",
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
        format!("--kinds {text}: expected all, or a comma-separated list of {names}")
    })
}

fn attack(matches: &Matches) -> Result<Option<Attack>, String> {
    let read = |text: String| {
        let names = Attack::ALL.map(Attack::name).join(", ");
        Attack::named(&text).ok_or_else(|| format!("--attack {text}: expected one of {names}"))
    };
    matches.opt_str("attack").map(read).transpose()
}

/// Returns the number of source addresses. The default for loopback leaves every address enough ports.
fn source_addresses(matches: &Matches, server: &Server) -> Result<u32, String> {
    let default = if server.is_loopback() { "250" } else { "0" };
    let count = value(matches, "source-addresses", default, (0.0, 65_000.0))?;
    if count > 0 && !server.is_loopback() {
        let target = &server.authority;
        return Err(format!(
            "--source-addresses {count}: only for a server on 127.0.0.0/8, and {target} is not"
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
    fn defaults_are_valid_and_flags_may_have_one_dash() {
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
    fn invalid_values_are_named_with_the_allowed_ones() {
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
        assert!(
            run(&["--kinds=polite"])
                .unwrap_err()
                .contains("expected all, or a comma-separated list of slow-heads, ")
        );
        assert!(run(&["--help"]).unwrap_err().contains("zero-window"));
    }
}

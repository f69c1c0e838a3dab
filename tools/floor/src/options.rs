//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use game_client::cli;
use getopts::{Matches, Options as Getopts};

/// A valid set of options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on.
    pub port: u16,
    /// Limit of connections.
    pub max_connections: usize,
    /// Bytes of a flush, rounded down to whole frames of nine bytes; 0 for no flushes.
    pub flush_bytes: usize,
    /// Flush interval per client, in milliseconds. Fractions make it possible to match another server's write rate.
    pub flush_interval_ms: f64,
}

/// A parsed command line.
pub type Command = cli::Command<Options>;

const BRIEF: &str = "Makes a game server's reads and writes without a game.

On SIGTERM, and on GET /metrics, it reports their number and CPU time.";

/// Parses the arguments that follow the program's name.
///
/// # Errors
/// One line with the flag, the value and the allowed values.
pub fn parse(args: impl Iterator<Item = String>) -> Result<Command, String> {
    cli::parse("floor", args, BRIEF, declare, read)
}

fn declare(getopts: &mut Getopts) {
    getopts.optopt("", "host", "address to listen on [127.0.0.1]", "ADDRESS");
    getopts.optopt("", "port", "port to listen on [8108]", "PORT");
    getopts.optopt("", "max-connections", "limit of connections [19900]", "N");
    getopts.optopt("", "flush-bytes", "bytes of a flush, 0 for no flushes [90]", "BYTES");
    getopts.optopt("", "flush-interval-ms", "flush interval per client [50]", "MS");
}

fn read(matches: &Matches) -> Result<Options, String> {
    let whole = "a whole number from 0 to";
    Ok(Options {
        host: value(matches, "host", Ipv4Addr::LOCALHOST.into(), "an address", |_| true)?,
        port: value(matches, "port", 8108, &format!("{whole} 65535"), |_| true)?,
        max_connections: value(matches, "max-connections", 19_900, &format!("{whole} 1000000"), |n| {
            *n <= 1_000_000
        })?,
        flush_bytes: value(matches, "flush-bytes", 90, &format!("{whole} 65536"), |n| *n <= 65_536)?,
        flush_interval_ms: value(matches, "flush-interval-ms", 50.0, "a number from 1 to 60000", |ms| {
            (1.0..=60_000.0).contains(ms)
        })?,
    })
}

fn value<T: FromStr>(
    matches: &Matches,
    name: &str,
    default: T,
    allowed: &str,
    is_allowed: impl Fn(&T) -> bool,
) -> Result<T, String> {
    let Some(text) = matches.opt_str(name) else { return Ok(default) };
    let value = text.parse().ok().filter(is_allowed);
    value.ok_or_else(|| format!("--{name} {text}: expected {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(ToString::to_string))
    }

    #[test]
    fn flags_override_defaults_in_either_form() {
        let Ok(Command::Run(options)) = run(&["-port=9", "--flush-interval-ms", "83.3"]) else { panic!() };
        assert_eq!((options.port, options.flush_bytes), (9, 90));
        assert!((options.flush_interval_ms - 83.3).abs() < 1e-9);
    }

    #[test]
    fn an_invalid_value_is_reported_with_the_allowed_values() {
        let problem = run(&["--flush-bytes=lots"]).unwrap_err();
        assert_eq!(problem, "--flush-bytes lots: expected a whole number from 0 to 65536");
        let problem = run(&["--flush-interval-ms=0"]).unwrap_err();
        assert_eq!(problem, "--flush-interval-ms 0: expected a number from 1 to 60000");
        assert_eq!(run(&["x"]).unwrap_err(), "x: unexpected argument; see --help");
        assert!(matches!(run(&["--help"]), Ok(Command::Help(_))));
    }
}

//! Options: flags, and environment variables of the same names.

use std::time::Duration;

use game_client::cli::{self, given, seconds, value};
use game_client::endpoint::Server;
use getopts::Options as Flags;

/// Longest polling interval, in seconds.
const INTERVAL_S_MAX: u64 = 3_600;

/// Most servers polled. Each has a thread.
const SERVERS_MAX: usize = 32;

const SERVER_ALLOWED: &str =
    "up to 32 comma-separated addresses, such as 127.0.0.1:8108 or http://game.example:9108";

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Servers to poll, at least one.
    pub servers: Vec<Server>,
    /// Polling interval per server.
    pub interval: Duration,
    /// Whether to end after one report per server.
    pub once: bool,
    /// Whether to print JSON.
    pub json: bool,
}

/// A parsed command line.
pub type Command = cli::Command<Options>;

/// Parses the arguments that follow the program's name. `variable` returns environment variables for missing flags.
///
/// # Errors
/// One line with the option, the value and the allowed values.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let brief = "Shows the state of servers: a dashboard on a terminal, lines elsewhere.\n\n\
             Keys: q quits, Tab or a digit selects a server, p pauses, + and - change the interval.";
    let declare = |flags: &mut Flags| {
        flags.optopt("", "server", "servers to poll [127.0.0.1:8108], SERVER", "LIST");
        flags.optopt("", "interval", "polling interval [1s], INTERVAL", "TIME");
        flags.optflag("", "once", "report once and end; status 1 if a server is unreachable");
        flags.optflag("", "json", "print one JSON object per response");
    };
    cli::parse("monitor", args, brief, declare, |matches| {
        let given = |name: &str| given(name, matches.opt_str(name), &variable);
        let times = format!("whole seconds or minutes up to {INTERVAL_S_MAX}s, such as 1s or 2m");
        let interval_s = value(given("interval"), "1s", &times, |text| seconds(text, INTERVAL_S_MAX))?;
        Ok(Options {
            servers: value(given("server"), "127.0.0.1:8108", SERVER_ALLOWED, servers)?,
            interval: Duration::from_secs(interval_s),
            once: matches.opt_present("once"),
            json: matches.opt_present("json"),
        })
    })
}

fn servers(text: &str) -> Option<Vec<Server>> {
    cli::servers(text, SERVERS_MAX, &["http://"], &[])
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
    fn servers_have_a_port_or_the_default() {
        let options = run(&["-server=http://127.0.0.1:9108/, 127.0.0.2"], ("SERVER", "x")).unwrap();
        let at = |host: [u8; 4], port: u16| Server::at((host, port).into());
        assert_eq!(options.servers[0], at([127, 0, 0, 1], 9_108));
        assert_eq!(options.servers[1], Server { name: "127.0.0.2".to_owned(), ..at([127, 0, 0, 2], 8_108) });
        assert_eq!(run(&[], ("SERVER", "[::1]:1")).unwrap().servers[0].port, 1);
    }

    #[test]
    fn an_invalid_value_is_reported_with_the_allowed_values() {
        for text in ["", "127.0.0.1:port", "127.0.0.1,,127.0.0.1", "https://127.0.0.1:1", "127.0.0.256"] {
            let problem = run(&["--server", text], ("", "")).unwrap_err();
            assert_eq!(problem, format!("--server {text}: expected {SERVER_ALLOWED}"));
        }
        let problem = "INTERVAL=1: expected whole seconds or minutes up to 3600s, such as 1s or 2m";
        assert_eq!(run(&[], ("INTERVAL", "1")).unwrap_err(), problem);
        assert_eq!(run(&["x"], ("", "")).unwrap_err(), "x: unexpected argument; see --help");
    }
}

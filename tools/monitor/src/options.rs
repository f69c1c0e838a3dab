//! What is asked for: flags, and environment variables of the same names.

use std::time::Duration;

use getopts::Options as Flags;
use stage::cli::{self, given, seconds, value};
use stage::endpoint::Server;

/// Longest time between two questions, in seconds.
const INTERVAL_S_MAX: u64 = 3_600;

/// Most servers watched at a time; each has a thread.
const SERVERS_MAX: usize = 32;

const SERVER_ALLOWED: &str =
    "up to 32 addresses with commas between them, such as 127.0.0.1:8108 or http://game.example:9108";

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whom to watch, at least one.
    pub servers: Vec<Server>,
    /// Time between two questions to a server.
    pub interval: Duration,
    /// End after one report of each server.
    pub once: bool,
    /// Objects for programs.
    pub json: bool,
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
    let brief = "Shows what servers are doing: a dashboard in a terminal, lines elsewhere.\n\n\
             Keys: q ends, Tab or a digit chooses the server, p pauses, + and - change the interval.";
    let declare = |flags: &mut Flags| {
        flags.optopt("", "server", "whose metrics to show [127.0.0.1:8108], SERVER", "LIST");
        flags.optopt("", "interval", "time between two questions [1s], INTERVAL", "TIME");
        flags.optflag("", "once", "report once and end; status 1 if a server does not answer");
        flags.optflag("", "json", "print one JSON object for each answer");
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
    fn servers_have_a_port_or_the_usual_one() {
        let options = run(&["-server=http://127.0.0.1:9108/, 127.0.0.2"], ("SERVER", "x")).unwrap();
        let at = |host: [u8; 4], port: u16| Server::at((host, port).into());
        assert_eq!(options.servers[0], at([127, 0, 0, 1], 9_108));
        assert_eq!(options.servers[1], Server { name: "127.0.0.2".to_owned(), ..at([127, 0, 0, 2], 8_108) });
        assert_eq!(run(&[], ("SERVER", "[::1]:1")).unwrap().servers[0].port, 1);
    }

    #[test]
    fn bad_values_are_named_with_what_is_allowed() {
        for text in ["", "127.0.0.1:port", "127.0.0.1,,127.0.0.1", "https://127.0.0.1:1", "127.0.0.256"] {
            let problem = run(&["--server", text], ("", "")).unwrap_err();
            assert_eq!(problem, format!("--server {text}: expected {SERVER_ALLOWED}"));
        }
        let problem = "INTERVAL=1: expected whole seconds or minutes up to 3600s, such as 1s or 2m";
        assert_eq!(run(&[], ("INTERVAL", "1")).unwrap_err(), problem);
        assert_eq!(run(&["x"], ("", "")).unwrap_err(), "x: unexpected argument; see --help");
    }
}

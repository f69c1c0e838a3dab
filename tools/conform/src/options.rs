//! Options: flags, and environment variables of the same names.

use game_client::cli::{self, given, value};
use game_client::endpoint::Server;
use getopts::Options as Flags;

/// Maximum number of servers to compare.
const SERVERS_MAX: usize = 4;

const SERVER_ALLOWED: &str =
    "up to 4 addresses with commas between them, such as 127.0.0.1:8108 or ws://game.example:8109/ws";

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Servers to check; empty means a server started by this program.
    pub servers: Vec<Server>,
    /// Print JSON instead of a table.
    pub json: bool,
}

/// A parsed command line.
pub type Command = cli::Command<Options>;

/// Parses the arguments after the program's name. `variable` looks up the environment for missing ones.
///
/// # Errors
/// One line with the option, its value and the allowed values.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let brief = "Checks that servers behave as the game's client requires, and reports each result.\n\n\
             Exit status: 0 when the last server passes every check, 1 when it does not, 2 for bad usage.";
    let declare = |flags: &mut Flags| {
        flags.optopt("", "server", "servers to check and compare [starts one], SERVER", "LIST");
        flags.optflag("", "json", "print a JSON object");
    };
    cli::parse("conform", args, brief, declare, |matches| {
        let server = given("server", matches.opt_str("server"), variable);
        Ok(Options {
            servers: value(server, "", SERVER_ALLOWED, servers)?,
            json: matches.opt_present("json"),
        })
    })
}

fn servers(text: &str) -> Option<Vec<Server>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    cli::servers(text, SERVERS_MAX, &["ws://", "http://"], &["/ws"])
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
    fn servers_are_accepted_in_any_form_and_default_to_none() {
        assert_eq!(run(&[], ("", "")).unwrap().servers, []);
        let options = run(&["-server=ws://127.0.0.1:8109/ws,127.0.0.2"], ("SERVER", "x")).unwrap();
        let names: Vec<&str> = options.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["127.0.0.1:8109", "127.0.0.2"]);
        assert_eq!(options.servers[1].port, 8_108);
    }

    #[test]
    fn errors_name_the_bad_value_and_the_allowed_ones() {
        let problem = run(&[], ("SERVER", "127.0.0.1:x")).unwrap_err();
        assert!(problem.starts_with("SERVER=127.0.0.1:x: expected up to 4 addresses"), "{problem}");
        assert_eq!(run(&["x"], ("", "")).unwrap_err(), "x: unexpected argument; see --help");
    }
}

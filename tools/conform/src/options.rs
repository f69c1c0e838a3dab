//! What is asked for: flags, and environment variables of the same names.

use std::net::{SocketAddr, ToSocketAddrs as _};

use getopts::Options as Getopts;
use stage::ask::{given, value};

/// The port of an address that names none: the game's.
const PORT: &str = "8108";

/// Most servers compared.
const SERVERS_MAX: usize = 4;

const SERVER_ALLOWED: &str =
    "up to 4 addresses with commas between them, such as 127.0.0.1:8108 or ws://game.example:8109/ws";

/// A server to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// As somebody wrote it, without what all addresses have in common.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// A valid set of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whom to ask; nobody means a server of the run's own.
    pub servers: Vec<Server>,
    /// An object for programs.
    pub json: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Print this.
    Help(String),
    /// Run.
    Run(Options),
}

/// Reads the arguments that follow the program's name; what they leave open is looked up by `variable`.
///
/// # Errors
/// One line that names the option, the value and what is allowed.
pub fn parse(
    args: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let mut getopts = Getopts::new();
    getopts.long_only(true);
    getopts.optopt("", "server", "servers to ask and compare [one of its own], SERVER", "LIST");
    getopts.optflag("", "json", "print a JSON object");
    getopts.optflag("", "help", "print this text");
    let matches = getopts.parse(args).map_err(|fail| format!("{fail}; see --help"))?;
    if matches.opt_present("help") {
        return Ok(Command::Help(getopts.usage(
            "Asks servers everything the game's client relies on, and says what each answered.\n\n\
             Exit status: 0 when the last server passes every check, 1 when it does not, 2 for bad usage.",
        )));
    }
    if let Some(stray) = matches.free.first() {
        return Err(format!("{stray}: unexpected argument; see --help"));
    }
    let server = given("server", matches.opt_str("server"), variable);
    Ok(Command::Run(Options {
        servers: value(server, "", SERVER_ALLOWED, servers)?,
        json: matches.opt_present("json"),
    }))
}

fn servers(text: &str) -> Option<Vec<Server>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let servers = text.split(',').map(server).collect::<Option<Vec<_>>>()?;
    (servers.len() <= SERVERS_MAX).then_some(servers)
}

fn server(text: &str) -> Option<Server> {
    let name = text.trim();
    let name = ["ws://", "http://"].iter().find_map(|scheme| name.strip_prefix(scheme)).unwrap_or(name);
    let name = name.trim_end_matches('/').trim_end_matches("/ws");
    let resolve = |text: &str| text.to_socket_addrs().ok()?.next();
    let address = resolve(name).or_else(|| resolve(&format!("{name}:{PORT}")))?;
    Some(Server { name: name.to_owned(), address })
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
    fn servers_are_named_in_any_form_and_none_is_one_of_its_own() {
        assert_eq!(run(&[], ("", "")).unwrap().servers, []);
        let options = run(&["-server=ws://127.0.0.1:8109/ws,127.0.0.2"], ("SERVER", "x")).unwrap();
        let names: Vec<&str> = options.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["127.0.0.1:8109", "127.0.0.2"]);
        assert_eq!(options.servers[1].address, "127.0.0.2:8108".parse().unwrap());
    }

    #[test]
    fn bad_values_are_named_with_what_is_allowed() {
        let problem = run(&[], ("SERVER", "127.0.0.1:x")).unwrap_err();
        assert!(problem.starts_with("SERVER=127.0.0.1:x: expected up to 4 addresses"), "{problem}");
        assert_eq!(run(&["x"], ("", "")).unwrap_err(), "x: unexpected argument; see --help");
    }
}

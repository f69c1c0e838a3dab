//! `pixi-game-server ctl`: sends a command to the control socket, and prints the answer as a table or as JSON.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use getopts::{Matches, Options};
use serde_json::Value as Json;

use super::{Command, Network, Sort, VERSION, group, table};
use crate::config::{self, Config};
use crate::limits::LISTED_PLAYERS_MAX;

/// Longest time for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of an answer: a thousand players need a third.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where the systemd unit has its socket, which a shell's environment does not name.
const SERVICE_SOCKET: &str = "/run/pixi-game-server/control.sock";

/// A command line of `ctl`.
#[derive(Debug, PartialEq)]
pub enum Call {
    /// Print this text.
    Help(String),
    /// Send a command.
    Send {
        /// The command.
        command: Command,
        /// The control socket, if it is given.
        socket: Option<PathBuf>,
        /// The node of several that share a port, if it is given.
        node: Option<String>,
        /// The server's environment file, if it is given.
        env_file: Option<OsString>,
        /// Print the answer as JSON.
        is_json: bool,
    },
    /// Start a process with these arguments, which takes over.
    TakeOver(Vec<OsString>),
}

/// A command: its name, its arguments, and what it does.
#[rustfmt::skip] // One row per command.
pub static COMMANDS: &[(&str, &str, &str)] = &[
    ("status", "", "Print what the server is doing"),
    ("nodes", "", "List the nodes of the world with their load"),
    ("players", "[--sort ORDER] [--near X,Y] [--address NETWORK] [--limit N]", "List players"),
    ("player", "ID", "Print everything about one player"),
    ("kick", "ID | --address NETWORK [--code N] [--reason TEXT]", "Close the connections of a player or a network"),
    ("ban", "NETWORK [--for TIME]", "Refuse a network, and close its players' connections"),
    ("bans", "", "List the bans"),
    ("unban", "NETWORK", "End a ban"),
    ("drain", "[--for TIME]", "Admit no new players, and report 503 on /health; nobody is closed"),
    ("undrain", "", "Admit players again"),
    ("set", "NAME VALUE", "Change a live setting until the next reload"),
    ("log-level", "LEVEL", "Change the log level until the next reload"),
    ("reload", "", "Read configuration and files again, as SIGHUP does"),
    ("trace", "ID", "Print one player's messages as they arrive, until its connection ends"),
    ("takeover", "", "Start a process that takes over"),
];

/// Parses the arguments after `ctl`.
///
/// # Errors
/// An unknown flag or command, a missing argument or an invalid value, with what is allowed.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Call, String> {
    let options = options();
    let matches = options.parse(args).map_err(|fail| format!("{fail}; see ctl --help"))?;
    if matches.opt_present("help") {
        return Ok(Call::Help(help(&options)));
    }
    let mut words = matches.free.iter().map(String::as_str);
    let name = words.next().ok_or("no command; see ctl --help")?;
    let socket = matches.opt_str("socket").map(PathBuf::from);
    let env_file = matches.opt_str("env-file").map(OsString::from);
    if name == "takeover" {
        no_more(words.next())?;
        let socket = socket.map(PathBuf::into_os_string);
        let flags = [("--control-socket", socket), ("--env-file", env_file)].into_iter();
        let given = flags.filter_map(|(flag, value)| Some([OsString::from(flag), value?]));
        return Ok(Call::TakeOver(
            [OsString::from("--takeover")].into_iter().chain(given.flatten()).collect(),
        ));
    }
    let mut argument = |what: &str| words.next().map(str::to_owned).ok_or(format!("{name}: expected {what}"));
    let command = match name {
        "status" => Command::Status {},
        "nodes" => Command::Nodes {},
        "players" => Command::Players {
            sort: sort(&matches)?,
            near: given(&matches, "near", "two whole numbers such as 100,200", point)?,
            address: network_of(&matches)?,
            limit: limit(&matches)?,
        },
        "player" => Command::Player { id: id(&argument("an id")?)? },
        "kick" => {
            let address = network_of(&matches)?;
            let id = if address.is_some() { None } else { Some(id(&argument("an id or --address")?)?) };
            let code = given(&matches, "code", "1008, or a whole number from 4000 to 4999", |text| {
                text.parse().ok()
            })?;
            Command::Kick {
                id,
                address,
                code: code.unwrap_or_else(super::kick_code),
                reason: matches.opt_str("reason").unwrap_or_else(super::kick_reason),
            }
        }
        "ban" => Command::Ban { network: network(&argument("a network")?)?, seconds: time(&matches)? },
        "bans" => Command::Bans {},
        "unban" => Command::Unban { network: network(&argument("a network")?)? },
        "drain" => Command::Drain { seconds: time(&matches)? },
        "undrain" => Command::Undrain {},
        "set" => Command::Set { name: argument("a setting")?, value: argument("a value")? },
        "log-level" => Command::Set { name: "LOG_LEVEL".to_owned(), value: argument("a level")? },
        "reload" => Command::Reload {},
        "trace" => Command::Trace { id: id(&argument("an id")?)? },
        _ => {
            let known: Vec<&str> = COMMANDS.iter().map(|(name, ..)| *name).collect();
            return Err(format!("{name}: no such command; expected one of {}", known.join(", ")));
        }
    };
    no_more(words.next())?;
    command.check()?;
    let node = matches.opt_str("node");
    Ok(Call::Send { command, socket, node, env_file, is_json: matches.opt_present("json") })
}

fn options() -> Options {
    let mut options = Options::new();
    options.optflag("h", "help", "print this text");
    options.optflag("", "json", "print the answer as JSON");
    options.optopt("", "socket", "the server's CONTROL_SOCKET", "PATH");
    options.optopt("", "node", "only this node, of several that share the port", "NAME");
    options.optopt("", "env-file", "the server's environment file, which may name the socket", "FILE");
    options.optopt("", "sort", &format!("order: {} [id]", Sort::NAMES.join(", ")), "ORDER");
    options.optopt("", "near", "nearest to this position first", "X,Y");
    options.optopt("", "address", "players of this address or network", "NETWORK");
    options.optopt("", "limit", &format!("players to list, 1 to {LISTED_PLAYERS_MAX} [50]"), "N");
    options.optopt("", "for", "how long: 90, 90s, 15m, 2h, 7d", "TIME");
    options.optopt("", "code", "close code: 1008, or 4000 to 4999 [1008]", "N");
    options.optopt("", "reason", "reason in the close frame", "TEXT");
    options
}

fn help(options: &Options) -> String {
    let commands: Vec<String> = COMMANDS
        .iter()
        .map(|(name, arguments, about)| format!("    {name} {arguments}\n        {about}"))
        .collect();
    let usage = options.usage("Usage: pixi-game-server ctl [OPTIONS] COMMAND");
    format!("{}\n\nCommands:\n{}", usage.trim_end(), commands.join("\n"))
}

fn given<T>(
    matches: &Matches,
    flag: &str,
    allowed: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    let Some(text) = matches.opt_str(flag) else { return Ok(None) };
    read(&text).map(Some).ok_or_else(|| format!("--{flag} {text}: expected {allowed}"))
}

/// Refuses a word after the last argument.
fn no_more(extra: Option<&str>) -> Result<(), String> {
    extra.map_or(Ok(()), |extra| Err(format!("{extra}: unexpected; see ctl --help")))
}

fn sort(matches: &Matches) -> Result<Sort, String> {
    let read = |text: &str| serde_json::from_value(Json::from(text)).ok();
    let allowed = format!("one of {}", Sort::NAMES.join(", "));
    Ok(given(matches, "sort", &allowed, read)?.unwrap_or_default())
}

fn limit(matches: &Matches) -> Result<usize, String> {
    let allowed = format!("a whole number from 1 to {LISTED_PLAYERS_MAX}");
    let read = |text: &str| text.parse().ok().filter(|limit| (1..=LISTED_PLAYERS_MAX).contains(limit));
    Ok(given(matches, "limit", &allowed, read)?.unwrap_or_else(super::listed))
}

fn network_of(matches: &Matches) -> Result<Option<Network>, String> {
    matches
        .opt_str("address")
        .map(|text| network(&text).map_err(|why| format!("--address: {why}")))
        .transpose()
}

fn network(text: &str) -> Result<Network, String> {
    Network::try_from(text.to_owned())
}

fn id(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text}: expected a player's id, a whole number"))
}

fn point(text: &str) -> Option<(u16, u16)> {
    let (x, y) = text.split_once(',')?;
    Some((x.trim().parse().ok()?, y.trim().parse().ok()?))
}

/// Reads `--for` in seconds: a whole number with an optional unit.
fn time(matches: &Matches) -> Result<Option<u64>, String> {
    given(matches, "for", "a time such as 90s, 15m, 2h or 7d", seconds)
}

fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit_s = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit_s).filter(|seconds| *seconds > 0)
}

/// Sends a command, and returns what to print.
///
/// # Errors
/// No server answers, or it refuses the command; the message is for the operator.
pub fn send(
    command: &Command,
    socket: Option<PathBuf>,
    node: Option<&str>,
    env_file: Option<OsString>,
    is_json: bool,
) -> Result<String, String> {
    let flags = env_file.into_iter().flat_map(|file| [OsString::from("--env-file"), file]);
    let mut members = group::members(&socket.map_or_else(|| default_socket(flags), Ok)?);
    if let Some(node) = node {
        let names: Vec<String> = members.iter().map(|member| member.node.clone()).collect();
        members.retain(|member| member.node == node);
        if members.is_empty() {
            return Err(format!("--node {node}: expected one of {}", names.join(", ")));
        }
    }
    if let Command::Trace { id } = *command {
        let member = if members.len() > 1 { group::owner(id, &members)? } else { &members[0] };
        return follow(command, &member.socket, is_json);
    }
    group::send(command, &members, is_json)
}

/// Sends a command to this socket, and returns the result. Its strings are not escaped for a terminal.
///
/// # Errors
/// No server answers before the deadline, or it refuses the command; the message is for the operator.
pub fn ask(command: &Command, path: &Path, deadline: Instant) -> Result<Json, String> {
    let answer = exchange(path, &command.to_line(), deadline)
        .map_err(|error| format!("no server answers at {}: {error}", path.display()))?;
    result_of(&answer)
}

/// Sends a command to all processes of a server with this socket, or to the one that it concerns, and returns the result. Its strings
/// are not escaped for a terminal.
///
/// # Errors
/// As for [`ask`].
pub fn ask_all(command: &Command, path: &Path, deadline: Instant) -> Result<Json, String> {
    group::ask(command, &group::members(path), deadline)
}

/// Prints the answers of a trace as they come, and returns the last line to print.
fn follow(command: &Command, path: &Path, is_json: bool) -> Result<String, String> {
    let lost = |error: io::Error| format!("no server answers at {}: {error}", path.display());
    let mut stream = UnixStream::connect(path).map_err(lost)?;
    stream.write_all(command.to_line().as_bytes()).map_err(lost)?;
    for line in BufReader::new(stream).lines() {
        let result = result_of(line.map_err(lost)?.as_bytes())?;
        if result["ended"] == true {
            return Ok("the connection has ended, or another trace has begun".to_owned());
        }
        let text = if is_json { result.to_string() } else { table::line(&result) };
        if writeln!(io::stdout(), "{text}").is_err() {
            return Ok(String::new());
        }
    }
    Err("the server has ended the trace".to_owned())
}

/// Returns the result of an answer.
fn result_of(answer: &[u8]) -> Result<Json, String> {
    let mut answer: Json =
        serde_json::from_slice(answer).map_err(|error| format!("the answer is not JSON: {error}"))?;
    if answer["version"] != VERSION {
        return Err(format!(
            "the answer has version {}, and this program knows {VERSION}",
            answer["version"]
        ));
    }
    if let Some(error) = answer["error"].as_str() {
        return Err(error.to_owned());
    }
    Ok(answer["result"].take())
}

/// Sends a line, and reads one. The deadline is that of the whole exchange, except that a full backlog delays it.
fn exchange(path: &Path, line: &str, deadline: Instant) -> io::Result<Vec<u8>> {
    let timeout = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(Some(left)) }
    };
    let mut stream = UnixStream::connect(path)?;
    stream.set_write_timeout(timeout()?)?;
    stream.write_all(line.as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 8_192]);
    while answer.last() != Some(&b'\n') {
        stream.set_read_timeout(timeout()?)?;
        let count = match stream.read(&mut buffer).map_err(|error| error.kind()) {
            Err(ErrorKind::Interrupted) => continue,
            Err(ErrorKind::WouldBlock) => return Err(ErrorKind::TimedOut.into()),
            count => count?,
        };
        answer.extend_from_slice(&buffer[..count]);
        if count == 0 || answer.len() > ANSWER_BYTES_MAX {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(answer)
}

/// Returns the socket of a server with this environment and these flags, or that of the systemd service.
///
/// # Errors
/// The configuration is invalid, or has no socket; the message is for the operator.
pub fn default_socket(flags: impl IntoIterator<Item = OsString>) -> Result<PathBuf, String> {
    let command = config::parse(flags, |name| std::env::var_os(name)).map_err(|error| error.to_string())?;
    let config = if let config::Command::Run(config, _) = command { config } else { Config::default() };
    let of_config = config.control_socket();
    let of_service = PathBuf::from(SERVICE_SOCKET);
    let is_there = |path: &Path| group::members(path).iter().any(|member| member.socket.exists());
    let has_config = of_config.as_deref().is_some_and(is_there);
    Ok(if has_config || config.control_socket.is_some() || !is_there(&of_service) {
        of_config.ok_or("the socket is unknown: give --socket, or the server's PORT or CONTROL_SOCKET")?
    } else {
        of_service
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        match parse(line.split_whitespace().map(OsString::from))? {
            Call::Send { command, .. } => Ok(command),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn commands_and_their_flags_are_read() {
        let network = |text: &str| network(text).unwrap();
        let kick =
            |id, address, code, reason: &str| Command::Kick { id, address, code, reason: reason.to_owned() };
        for (line, command) in [
            ("status --json", Command::Status {}),
            (
                "players --sort bytes --near 3,4 --address 192.0.2.0/24 --limit 7",
                Command::Players {
                    sort: Sort::Bytes,
                    near: Some((3, 4)),
                    address: Some(network("192.0.2.0/24")),
                    limit: 7,
                },
            ),
            ("kick 17", kick(Some(17), None, 1008, "kicked by an operator")),
            ("kick --address ::1 --code 4001 --reason spam", kick(None, Some(network("::1")), 4001, "spam")),
            (
                "ban 192.0.2.9 --for 2h",
                Command::Ban { network: network("192.0.2.9/32"), seconds: Some(7_200) },
            ),
            ("drain", Command::Drain { seconds: None }),
            ("log-level debug", Command::Set { name: "LOG_LEVEL".to_owned(), value: "debug".to_owned() }),
        ] {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
        let arguments = ["takeover", "--socket", "/s"].map(OsString::from);
        let taken = ["--takeover", "--control-socket", "/s"].map(OsString::from);
        assert_eq!(parse(arguments), Ok(Call::TakeOver(taken.into())));
    }

    #[test]
    fn a_wrong_argument_is_named() {
        for (line, problem) in [
            ("", "no command; see ctl --help"),
            ("dance", "dance: no such command; expected one of status, nodes,"),
            ("player", "player: expected an id"),
            ("player x", "x: expected a player's id"),
            ("kick", "kick: expected an id or --address"),
            ("kick 1 --code 1000", "code 1000: expected 1008, or"),
            ("players --sort x", "--sort x: expected one of id, acks, bytes, age, rejected"),
            ("players --near 1", "--near 1: expected two whole numbers"),
            ("players --limit 1001", "--limit 1001: expected a whole number from 1 to 1000"),
            ("ban 10.0.0.0/7", "network 10.0.0.0/7: expected a prefix of 8 to 32"),
            ("ban 10.0.0.1 --for 2y", "--for 2y: expected a time such as"),
            ("status now", "now: unexpected"),
            ("takeover now", "now: unexpected"),
            ("status --loud", "Unrecognized option: 'loud'; see ctl --help"),
        ] {
            let found = parsed(line).unwrap_err();
            assert!(found.starts_with(problem), "{line}: {found}");
        }
    }

    #[test]
    fn every_command_is_in_the_help_and_is_read() {
        let Ok(Call::Help(text)) = parse([OsString::from("--help")]) else { panic!("no help") };
        for (name, ..) in COMMANDS {
            assert!(text.contains(&format!("    {name} ")), "{name}");
            let read = parse([OsString::from(name)]);
            assert!(!read.is_err_and(|problem| problem.contains("no such command")), "{name}");
        }
    }
}

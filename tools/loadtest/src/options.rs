//! The command line: parsed and validated in one pass that reports all problems.

mod flags;
pub mod values;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::behaviour::Profile;
pub use flags::help;
use flags::{CommandLine, FLAGS};
pub use values::Server;
use values::{MoveBytes, Value};

/// Default number of connections per source address. An address has 28,000 ports. Ports of closed connections stay in
/// `TIME_WAIT` for a minute. Once half of all ports are taken, the kernel needs milliseconds to find a free one.
const CONNECTIONS_PER_ADDRESS: usize = 2_000;

/// Time a port of a closed connection stays in `TIME_WAIT`, in seconds.
const PORT_REST_S: f64 = 60.0;

/// Most source addresses.
const ADDRESSES_MAX: usize = 250;

/// A valid set of options.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server to load.
    pub server: Server,
    /// Players.
    pub clients: usize,
    /// Length of the measured window.
    pub duration: Duration,
    /// Time between the last connect and the measured window.
    pub warm_up: Duration,
    /// Connections started per second.
    pub connect_rate: f64,
    /// The players' behavior.
    pub profile: Profile,
    /// Whether MOVEs carry a claimed position: 14 bytes instead of 6. `None` is the profile's default.
    pub claims: Option<bool>,
    /// Viewport that every client sends: width and height, in units.
    pub viewport: Option<(u16, u16)>,
    /// Number of sampled clients, which keep a replica as the real client does.
    pub viewers: usize,
    /// Fraction of the clients that read only rarely.
    pub slow_readers: f64,
    /// Clients per second that disconnect in various ways and reconnect.
    pub reconnects_per_s: f64,
    /// Time of a reconnect storm, after the beginning of the measured window.
    pub storm_at: Option<Duration>,
    /// Number of clients a storm disconnects.
    pub storm_clients: usize,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of source addresses, from 127.0.0.2 up, over which connections are spread. 0 leaves the choice to the
    /// kernel.
    pub source_addresses: u32,
    /// Process id of a server on this machine.
    pub pid: Option<u32>,
    /// The server's limit of visible players per client.
    pub max_visible: usize,
    /// The server's interval between two snapshots to one client.
    pub sync_interval: Duration,
    /// Side of the world, in units.
    pub world_side: u16,
    /// Whether no other players are on the server.
    pub alone: bool,
    /// Print one JSON object instead of text.
    pub json: bool,
    /// Path of the HTML report.
    pub report: Option<PathBuf>,
}

/// A parsed command line.
#[derive(Debug)]
pub enum Command {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Load a server.
    Run(Box<Options>),
}

/// All problems of a command line, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("\n"))
    }
}

/// Parses the arguments that follow the program's name.
///
/// # Errors
/// All problems. Each names the flag, the value and the allowed values.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, Problems> {
    let mut line = flags::read(args)?;
    if line.help {
        return Ok(Command::Help);
    }
    if line.version {
        return Ok(Command::Version);
    }
    let options = validate(&mut line);
    if line.problems.is_empty() { Ok(Command::Run(Box::new(options))) } else { Err(Problems(line.problems)) }
}

fn validate(line: &mut CommandLine) -> Options {
    let clients = line.value("clients");
    let profile = profile(line);
    let world_side: u16 = line.value("world-side");
    let server: Server = line.value("server");
    let reconnects_per_s = line.value("reconnects-per-second");
    let storm_at = line.optional("storm-at");
    let storm_clients = storm_clients(line, storm_at.is_some(), clients);
    let connections = clients + storm_clients + (reconnects_per_s * PORT_REST_S) as usize;
    let source_addresses = source_addresses(line, &server, connections);
    Options {
        server,
        clients,
        duration: line.value("duration"),
        warm_up: line.value("warm-up"),
        connect_rate: line.value("connect-rate"),
        claims: line.optional::<MoveBytes>("move-bytes").map(|bytes| bytes == MoveBytes(14)),
        profile,
        viewport: line.optional("viewport"),
        viewers: line.value::<usize>("viewers").min(clients),
        slow_readers: line.value("slow-readers"),
        reconnects_per_s,
        storm_at,
        storm_clients,
        seed: line.value("seed"),
        source_addresses,
        pid: line.optional("pid"),
        max_visible: line.value("max-visible"),
        sync_interval: line.value("sync-interval"),
        world_side,
        alone: line.alone,
        json: line.json,
        report: (!line.text("report").is_empty()).then(|| PathBuf::from(line.text("report"))),
    }
}

/// Returns the number of clients that a storm disconnects: all by default, none without a storm.
fn storm_clients(line: &mut CommandLine, has_storm: bool, clients: usize) -> usize {
    let asked: Option<usize> = line.optional("storm-clients");
    match asked {
        Some(count) if !has_storm => {
            line.problems.push(format!("--storm-clients {count}: only with --storm-at"));
            0
        }
        Some(count) => count.min(clients),
        None if has_storm => clients,
        None => 0,
    }
}

/// Returns the given number of source addresses. The default suffices for several runs in a row, if the server is on
/// loopback.
fn source_addresses(line: &mut CommandLine, server: &Server, connections: usize) -> u32 {
    let asked: Option<u32> = line.optional("source-addresses");
    match asked {
        Some(count) if count > 0 && !server.is_loopback() => {
            line.problems.push(format!(
                "--source-addresses {count}: only for a server on 127.0.0.0/8, not {}",
                server.authority
            ));
            0
        }
        Some(count) => count,
        None if server.is_loopback() => (1 + connections / CONNECTIONS_PER_ADDRESS).min(ADDRESSES_MAX) as u32,
        None => 0,
    }
}

fn profile(line: &mut CommandLine) -> Profile {
    let name = line.text("profile").to_owned();
    let only_for = [("moves-per-second", "seed"), ("moving", "player")];
    for (flag, owner) in only_for {
        if name != owner && name != "mixed" && !line.text(flag).is_empty() {
            let given = line.text(flag).to_owned();
            line.problems.push(format!("--{flag} {given}: only for --profile {owner}"));
        }
    }
    match name.as_str() {
        "seed" => Profile::Seed { moves_per_s: line.optional("moves-per-second").unwrap_or(10.0) },
        "player" => Profile::Player { moving: line.optional("moving").unwrap_or(0.8) },
        "artillery" => Profile::Artillery,
        "idle" => Profile::Idle,
        "mixed" => Profile::Mixed {
            moving: line.optional("moving").unwrap_or(0.2),
            moves_per_s: line.optional("moves-per-second").unwrap_or(2.0),
        },
        other => {
            let problem = format!("--profile {other}: expected one of seed, player, artillery, idle, mixed");
            line.problems.push(problem);
            Profile::Idle
        }
    }
}

impl CommandLine {
    /// Returns the value of a flag. Records a problem and returns the default if the value is invalid.
    fn value<T: Value>(&mut self, name: &str) -> T {
        let flag = FLAGS.iter().find(|flag| flag.name == name).expect("every flag read is in the table");
        self.optional(name)
            .unwrap_or_else(|| T::parse(flag.default, flag.bounds).expect("a test parses every default"))
    }

    /// Returns the value of an optional flag.
    fn optional<T: Value>(&mut self, name: &str) -> Option<T> {
        let flag = FLAGS.iter().find(|flag| flag.name == name).expect("every flag read is in the table");
        let text = self.text(name).to_owned();
        if text.is_empty() && flag.default.is_empty() {
            return None;
        }
        match T::parse(&text, flag.bounds) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.problems.push(format!("--{name} {text}: expected {expected}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Options {
        match parse(args.iter().map(ToString::to_string)) {
            Ok(Command::Run(options)) => *options,
            other => panic!("{other:?}"),
        }
    }

    fn problems(args: &[&str]) -> Vec<String> {
        parse(args.iter().map(ToString::to_string)).unwrap_err().0
    }

    #[test]
    fn every_default_is_valid() {
        let options = run(&[]);
        assert_eq!(options.clients, 1_000);
        assert_eq!(options.duration.as_secs(), 60);
        assert_eq!(options.server.authority, "127.0.0.1:8108");
        assert_eq!(options.profile, Profile::Seed { moves_per_s: 10.0 });
        assert_eq!(options.claims, None);
        assert_eq!((options.storm_at, options.storm_clients), (None, 0));
    }

    #[test]
    fn accepts_single_dash_long_flags_of_old_scripts() {
        let line = ["-clients=5000", "-duration=2m", "-server=ws://127.0.0.1:9/x", "-json", "-seed", "7"];
        let options = run(&line);
        assert_eq!((options.clients, options.duration.as_secs()), (5_000, 120));
        assert_eq!((options.server.authority.as_str(), options.server.path.as_str()), ("127.0.0.1:9", "/x"));
        assert!(options.json);
        assert_eq!(options.seed, 7);
        assert_eq!(run(&["-c=20", "-d", "500ms"]).clients, 20);
    }

    #[test]
    fn profiles_accept_their_own_flags() {
        assert_eq!(run(&["--profile=player", "--move-bytes=6"]).claims, Some(false));
        assert_eq!(run(&["--profile=seed", "--move-bytes=14"]).claims, Some(true));
        let options = run(&["--profile=player", "--moving", "0.1"]);
        assert_eq!(options.profile, Profile::Player { moving: 0.1 });
        let options = run(&["--profile=mixed", "--moves-per-second", "3"]);
        assert_eq!(options.profile, Profile::Mixed { moving: 0.2, moves_per_s: 3.0 });
    }

    #[test]
    fn all_problems_are_reported_with_flag_value_and_allowed_values() {
        let line =
            ["--clients=none", "--moving=0.5", "--profil=x", "--viewport", "800", "--move-bytes=7", "stray"];
        assert_eq!(
            problems(&line),
            [
                "--profil: unknown flag; see --help",
                "stray: unexpected argument; see --help",
                "--clients none: expected a whole number from 1 to 1000000",
                "--moving 0.5: only for --profile player",
                "--move-bytes 7: expected 6 or 14",
                "--viewport 800: expected WIDTHxHEIGHT in units, such as 800x600",
            ]
        );
        assert_eq!(problems(&["--pid"]), ["--pid: expected a value after it; see --help"]);
        assert_eq!(problems(&["--json=yes"]), ["--json: takes no value; see --help"]);
        let remote = ["--server=ws://10.0.0.1:80/ws", "--source-addresses=2"];
        assert_eq!(
            problems(&remote),
            ["--source-addresses 2: only for a server on 127.0.0.0/8, not 10.0.0.1:80"]
        );
    }

    #[test]
    fn many_connections_are_spread_over_loopback_addresses() {
        assert_eq!(run(&["--clients=19000"]).source_addresses, 10);
        assert_eq!(run(&["--clients=3000", "--reconnects-per-second=1000"]).source_addresses, 32);
        assert_eq!(run(&["--clients=19000", "--source-addresses=0"]).source_addresses, 0);
        assert_eq!(run(&["--clients=19000", "--server=ws://10.0.0.1:80/ws"]).source_addresses, 0);
    }

    #[test]
    fn a_storm_hits_all_clients_by_default() {
        let line = ["--clients=50", "--storm-at=20s"];
        assert_eq!(run(&line).storm_at, Some(Duration::from_secs(20)));
        assert_eq!(run(&line).storm_clients, 50);
        assert_eq!(run(&[&line[..], &["--storm-clients=20"]].concat()).storm_clients, 20);
        assert_eq!(problems(&["--storm-clients=20"]), ["--storm-clients 20: only with --storm-at"]);
    }

    #[test]
    fn viewers_are_limited_to_the_clients() {
        assert_eq!(run(&["--clients=3"]).viewers, 3);
    }
}

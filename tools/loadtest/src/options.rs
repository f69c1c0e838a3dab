//! The command line: parsed and validated in one pass that reports all problems.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use game_client::console;
use game_client::endpoint::Target;
use game_client::options::{Bounds, CommandLine, Flag};
use serde::{Serialize, Serializer};

use crate::behaviour::{Kind, Profile};

/// Default number of connections per source address. An address has 28,000 ports. Ports of closed connections stay in
/// `TIME_WAIT` for a minute. Once half of all ports are taken, the kernel needs milliseconds to find a free one.
const CONNECTIONS_PER_ADDRESS: u32 = 2_000;

/// Time a port of a closed connection stays in `TIME_WAIT`, in seconds.
const PORT_REST_S: f64 = 60.0;

/// Most source addresses.
const ADDRESSES_MAX: u32 = 250;

/// A valid set of options. The report repeats them.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// The server to load.
    pub server: Target,
    /// Players.
    pub clients: usize,
    /// Length of the measured window.
    #[serde(rename = "duration_s", serialize_with = "seconds")]
    pub duration: Duration,
    /// Time between the last connect and the measured window.
    #[serde(rename = "warm_up_s", serialize_with = "seconds")]
    pub warm_up: Duration,
    /// Connections started per second.
    #[serde(rename = "connect_rate_per_s")]
    pub connect_rate: f64,
    /// The players' behavior.
    #[serde(flatten)]
    pub profile: Profile,
    /// Length of a MOVE: 14 bytes with a claimed position, 6 without. `None` is the default of each player's profile.
    pub move_bytes: Option<u8>,
    /// Viewport that every client sends: width and height, in units.
    #[serde(serialize_with = "size")]
    pub viewport: Option<(u16, u16)>,
    /// Number of sampled clients, which keep a replica as the real client does.
    pub viewers: usize,
    /// Fraction of the clients that read only rarely.
    pub slow_readers: f64,
    /// Interval between two reads of all clients that are no viewers; `None` reads at once.
    #[serde(rename = "read_every_s", serialize_with = "seconds")]
    pub read_every: Option<Duration>,
    /// Clients per second that disconnect in various ways and reconnect.
    pub reconnects_per_s: f64,
    /// Time of a reconnect storm, after the beginning of the measured window.
    #[serde(rename = "storm_at_s", serialize_with = "seconds")]
    pub storm_at: Option<Duration>,
    /// Number of clients a storm disconnects.
    pub storm_clients: usize,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of source addresses, from 127.0.0.2 up, over which connections are spread. 0 leaves the choice to the
    /// kernel.
    pub source_addresses: u32,
    /// Addresses of the metrics of all servers of the world; empty if the server has them at its own.
    pub metrics: Vec<SocketAddr>,
    /// Process id of a server on this machine.
    pub pid: Option<u32>,
    /// The server's limit of visible players per client.
    pub max_visible: usize,
    /// The server's interval between two snapshots to one client.
    #[serde(rename = "sync_interval_s", serialize_with = "seconds")]
    pub sync_interval: Duration,
    /// Side of the world, in units.
    pub world_side: u16,
    /// The server's `PLAYER_SPEED`: distance of a step, in units.
    pub player_speed: f64,
    /// Whether no other players are on the server.
    pub alone: bool,
    /// Print one JSON object instead of text.
    #[serde(skip)]
    pub json: bool,
    /// Path of the HTML report.
    #[serde(skip)]
    pub report: Option<PathBuf>,
}

const DAY_S: f64 = 86_400.0;

/// Every flag, in the order of the help.
#[rustfmt::skip] // One row per flag.
pub const FLAGS: &[Flag] = &[
    Flag::new("server", "URL", "ws://127.0.0.1:8108/ws", "server to load").letter("s"),
    Flag::new("clients", "N", "1000", "players").letter("c").within(1.0, 1e6),
    Flag::new("duration", "TIME", "60s", "measured window, after connecting and warm-up").letter("d").within(0.1, DAY_S),
    Flag::new("warm-up", "TIME", "5s", "time between the last connect and the measured window").within(0.0, DAY_S),
    Flag::new("connect-rate", "N", "1000", "connections started per second").within(0.1, 1e5),
    Flag::new("profile", "NAME", "seed", "players' behavior: seed, player, artillery, idle or mixed").letter("p"),
    Flag::new("moves-per-second", "N", "", "profile seed: MOVEs per client and second [10; mixed: 2]").letter("m").within(0.01, 1000.0),
    Flag::new("moving", "PART", "", "profile player: fraction of players walking [0.8; mixed: 0.2]").within(0.0, 1.0),
    Flag::new("move-bytes", "N", "", "length of a MOVE: 6, or 14 with a position [player: 14, others: 6]"),
    Flag::new("viewport", "SIZE", "", "viewport of the clients, such as 800x600 [the whole world]"),
    Flag::new("viewers", "N", "50", "clients whose replica is compared with the true positions").within(0.0, 1e4),
    Flag::new("slow-readers", "PART", "0", "fraction of the clients that read only every ten seconds").within(0.0, 1.0),
    Flag::new("read-every", "TIME", "", "clients that are no viewers read only this often, which costs little; only acks of viewers are timed").within(0.01, 60.0),
    Flag::new("reconnects-per-second", "N", "0", "clients per second that disconnect and reconnect").within(0.0, 1e4),
    Flag::new("storm-at", "TIME", "", "disconnect clients at once at this time of the window; they reconnect").within(0.0, DAY_S),
    Flag::new("storm-clients", "N", "", "clients that a storm disconnects [all]").within(1.0, 1e6),
    Flag::new("seed", "N", "1", "seed of all random numbers"),
    Flag::new("source-addresses", "N", "", "source addresses from 127.0.0.2 up [by clients]").within(0.0, 250.0),
    Flag::new("metrics", "LIST", "", "addresses of the metrics of all servers of the world, such as 127.0.0.1:9108 [the server's]"),
    Flag::new("pid", "PID", "", "process of a local server, to measure its CPU and memory").within(1.0, u32::MAX as f64),
    Flag::new("max-visible", "N", "128", "MAX_VISIBLE of the server").within(1.0, 4096.0),
    Flag::new("sync-interval", "TIME", "5s", "SYNC_INTERVAL_SEC of the server").within(1.0, 300.0),
    Flag::new("world-side", "UNITS", "2000", "side of the server's world").within(200.0, 65_535.0),
    Flag::new("player-speed", "UNITS", "4", "PLAYER_SPEED of the server").within(1.0, 50.0),
    Flag::new("report", "FILE", "", "write an HTML report with charts").letter("r"),
    Flag::switch("alone", "no other players: any other player is a ghost, any open descriptor a leak"),
    Flag::switch("json", "print the result as one JSON object"),
];

/// Returns the text of `--help` above the flags.
pub fn about() -> String {
    format!(
        "Loads a game server with simulated players and reports a verdict.\n\n\
         Usage: {0} --clients 10000 --moves-per-second 2 --duration 60s --server ws://127.0.0.1:8108/ws\n\
         Hostile peers instead of players: {0} hostile --help\n\n\
         Exit status: 0 if nothing was lost or wrong, 1 otherwise, 2 for invalid usage.",
        console::name("loadtest")
    )
}

/// Reads the options. An invalid value becomes a problem of the line.
pub fn read(line: &mut CommandLine<'_>) -> Options {
    let clients = line.value("clients");
    let profile = profile(line);
    let world_side: u16 = line.value("world-side");
    let server: Target = line.value("server");
    let reconnects_per_s = line.value("reconnects-per-second");
    let storm_at = line.optional("storm-at");
    let storm_clients = storm_clients(line, storm_at.is_some(), clients);
    let connections = (clients + storm_clients) as u32 + (reconnects_per_s * PORT_REST_S) as u32;
    let source_addresses =
        source_addresses(line, &server, (1 + connections / CONNECTIONS_PER_ADDRESS).min(ADDRESSES_MAX));
    Options {
        server,
        clients,
        duration: line.value("duration"),
        warm_up: line.value("warm-up"),
        connect_rate: line.value("connect-rate"),
        move_bytes: line.optional_with("move-bytes", move_bytes).or(profile.move_bytes()),
        profile,
        viewport: line.optional_with("viewport", viewport),
        viewers: line.value::<usize>("viewers").min(clients),
        slow_readers: line.value("slow-readers"),
        read_every: line.optional("read-every"),
        reconnects_per_s,
        storm_at,
        storm_clients,
        seed: line.value("seed"),
        source_addresses,
        metrics: line.optional_with("metrics", addresses).unwrap_or_default(),
        pid: line.optional("pid"),
        max_visible: line.value("max-visible"),
        sync_interval: line.value("sync-interval"),
        world_side,
        player_speed: line.value("player-speed"),
        alone: line.is_given("alone"),
        json: line.is_given("json"),
        report: line.optional("report"),
    }
}

/// Returns the number of clients that a storm disconnects: all by default, none without a storm.
fn storm_clients(line: &mut CommandLine<'_>, has_storm: bool, clients: usize) -> usize {
    if !has_storm {
        line.reject("storm-clients", "only with --storm-at");
        return 0;
    }
    line.optional("storm-clients").unwrap_or(clients).min(clients)
}

/// Returns the given number of source addresses, by default `loopback` for a server on loopback, and otherwise 0.
pub fn source_addresses(line: &mut CommandLine<'_>, server: &Target, loopback: u32) -> u32 {
    let default = if server.is_loopback() { loopback } else { 0 };
    let count = line.optional("source-addresses").unwrap_or(default);
    if count > 0 && !server.is_loopback() {
        let target = &server.authority;
        line.reject("source-addresses", &format!("only for a server on 127.0.0.0/8, not {target}"));
    }
    count
}

/// Reads the kind of players and its parameters. Their defaults differ for a mix.
fn profile(line: &mut CommandLine<'_>) -> Profile {
    let kind: Kind = line.value("profile");
    let mut parameter = |flag, owner: Kind, default: f64, mixed: f64| {
        if kind == owner || kind == Kind::Mixed {
            return Some(line.optional(flag).unwrap_or(if kind == owner { default } else { mixed }));
        }
        line.reject(flag, &format!("only for --profile {}", owner.name()));
        None
    };
    let moves_per_s = parameter("moves-per-second", Kind::Seed, 10.0, 2.0);
    Profile { kind, moves_per_s, moving: parameter("moving", Kind::Player, 0.8, 0.2) }
}

fn move_bytes(text: &str, _: Bounds) -> Result<u8, String> {
    text.parse().ok().filter(|bytes| [6, 14].contains(bytes)).ok_or_else(|| "6 or 14".to_owned())
}

fn viewport(text: &str, _: Bounds) -> Result<(u16, u16), String> {
    text.split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)))
        .ok_or_else(|| "WIDTHxHEIGHT in units, such as 800x600".to_owned())
}

fn addresses(text: &str, _: Bounds) -> Result<Vec<SocketAddr>, String> {
    let addresses = text.split(',').map(|address| address.trim().parse().ok());
    addresses
        .collect::<Option<_>>()
        .ok_or_else(|| "addresses with ports, such as 127.0.0.1:9108,127.0.0.1:9109".to_owned())
}

fn seconds<S: Serializer>(time: &(impl Copy + Into<Option<Duration>>), to: S) -> Result<S::Ok, S::Error> {
    let time: Option<Duration> = (*time).into();
    time.map(|time| time.as_secs_f64()).serialize(to)
}

fn size<S: Serializer>(size: &(impl Copy + Into<Option<(u16, u16)>>), to: S) -> Result<S::Ok, S::Error> {
    let size: Option<(u16, u16)> = (*size).into();
    size.map(|(width, height)| format!("{width}x{height}")).serialize(to)
}

#[cfg(test)]
pub mod tests {
    use game_client::options::{Command, Program};

    use super::*;

    fn parse(args: &[&str]) -> Result<Command<Options>, String> {
        let program = Program { name: "", about: "", flags: FLAGS, takes_arguments: false };
        program.parse(args.iter().map(ToString::to_string), |_| None, read)
    }

    /// Returns the options of a valid command line.
    pub fn run(args: &[&str]) -> Options {
        match parse(args) {
            Ok(Command::Run(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    fn problems(args: &[&str]) -> Vec<String> {
        parse(args).unwrap_err().lines().map(str::to_owned).collect()
    }

    #[test]
    fn profiles_accept_their_own_flags() {
        let options = run(&["--profile=player", "--move-bytes=6", "--moving", "0.1"]);
        let profile = Profile { kind: Kind::Player, moves_per_s: None, moving: Some(0.1) };
        assert_eq!((options.profile, options.move_bytes), (profile, Some(6)));
        assert_eq!(run(&["--profile=seed", "--move-bytes=14"]).move_bytes, Some(14));
        let options = run(&["--profile=mixed", "--moves-per-second", "3"]);
        let profile = Profile { kind: Kind::Mixed, moves_per_s: Some(3.0), moving: Some(0.2) };
        assert_eq!(options.profile, profile);
        assert_eq!(options.move_bytes, None);
    }

    #[test]
    fn all_problems_are_reported_with_flag_value_and_allowed_values() {
        let line =
            ["--clients=none", "--moving=0.5", "--profil=x", "--viewport", "800", "--move-bytes=7", "stray"];
        let problems_of_line = [
            "--profil: unknown flag; see --help",
            "stray: unexpected argument; see --help",
            "--clients none: expected a whole number from 1 to 1000000",
            "--moving 0.5: only for --profile player",
            "--move-bytes 7: expected 6 or 14",
            "--viewport 800: expected WIDTHxHEIGHT in units, such as 800x600",
        ];
        assert_eq!(problems(&line), problems_of_line);
        let remote = ["--server=ws://10.0.0.1:80/ws", "--source-addresses=2", "--storm-clients=20"];
        let problems_of_remote = [
            "--storm-clients 20: only with --storm-at",
            "--source-addresses 2: only for a server on 127.0.0.0/8, not 10.0.0.1:80",
        ];
        assert_eq!(problems(&remote), problems_of_remote);
    }

    #[test]
    fn many_connections_are_spread_over_loopback_addresses() {
        for (flag, addresses) in [
            ("--source-addresses=1", 1),
            ("--reconnects-per-second=0", 10),
            ("--reconnects-per-second=1000", 40),
            ("--source-addresses=0", 0),
            ("--server=ws://10.0.0.1:80/ws", 0),
        ] {
            assert_eq!(run(&["--clients=19000", flag]).source_addresses, addresses, "{flag}");
        }
    }
}

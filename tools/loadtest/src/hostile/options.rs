//! The command line.

use std::time::Duration;

use game_client::console;
use game_client::endpoint::Target;
use game_client::options::{CommandLine, Flag};

use super::attack::Attack;
use super::kind::Kind;
use crate::options::source_addresses;

const DAY_S: f64 = 86_400.0;

/// Default number of source addresses, which leaves every address enough ports.
const SOURCE_ADDRESSES: u32 = 250;

/// Target, behavior and duration.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub server: Target,
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

/// Every flag, in the order of the help.
#[rustfmt::skip] // One row per flag.
pub const FLAGS: &[Flag] = &[
    Flag::new("server", "URL", "ws://127.0.0.1:8108/ws", "target"),
    Flag::new("peers", "N", "", "number of connections [2000; each attack has its own]").within(1.0, 1e5),
    Flag::new("kinds", "LIST", "all", "kinds of peers, such as deaf,silent"),
    Flag::new("attack", "NAME", "", "run this attack instead, such as jump"),
    Flag::new("download", "PATH", "", "file for a slow download beside the attack slots"),
    Flag::new("duration", "TIME", "60s", "duration of the run").within(0.1, DAY_S),
    Flag::new("connect-rate", "N", "500", "maximum of new connections per second").within(0.1, 1e4),
    Flag::new("flood-rate", "N", "240", "MOVEs per second of each flooder").within(1.0, 1e4),
    Flag::new("source-addresses", "N", "", "number of source addresses in 127.0.0.0/8 [250 to loopback]").within(0.0, 65_000.0),
    Flag::new("seed", "N", "1", "seed of all random choices"),
    Flag::switch("json", "print the counts as one JSON object"),
];

/// Returns the text of `--help` above the flags.
pub fn about() -> String {
    format!(
        "Runs hostile peers against a game server, and counts its reactions.\n\n\
         Usage: {} hostile --server ws://127.0.0.1:8108/ws --peers 2000 --kinds all --duration 60s\n\n\
         Kinds: {}.\nAttacks: {}.\n\n\
         Exit status: 0 after a run, 1 when the run failed, 2 for invalid usage.",
        console::name("loadtest"),
        Kind::names(),
        Attack::names()
    )
}

/// Reads the options. An invalid value becomes a problem of the line.
pub fn read(line: &mut CommandLine<'_>) -> Options {
    let server: Target = line.value("server");
    let attack: Option<Attack> = line.optional("attack");
    Options {
        peers: line.optional("peers").unwrap_or_else(|| attack.map_or(2_000, Attack::peers)),
        attack,
        download: line.is_given("download").then(|| line.text("download").to_owned()),
        kinds: line.value_with("kinds", Kind::list),
        duration: line.value("duration"),
        connect_rate: line.value("connect-rate"),
        flood_rate: line.value("flood-rate"),
        source_addresses: source_addresses(line, &server, SOURCE_ADDRESSES),
        seed: line.value("seed"),
        json: line.is_given("json"),
        server,
    }
}

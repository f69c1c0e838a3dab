//! Turns flags and environment into one validated [`Config`]; no other module reads a flag or a variable.
//!
//! [`SETTINGS`] declares every setting. `command_line` parses the arguments and `env_file` the file they may name. `sources`
//! chooses between flag, file, variable and default and validates the value. `render` prints, and `reload` merges a new
//! configuration into a running server's. [`parse`] is pure except that it reads that file, checks paths in the file system
//! and queries the number of cores.

mod command_line;
mod env_file;
mod reload;
mod render;
#[cfg(test)]
mod secret_tests;
mod settings;
mod sources;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod value_tests;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use ipnet::IpNet;
use log::LevelFilter;

use crate::admission::origins::AllowedOrigins;
use crate::ops::logging::Format;
use crate::ops::printable::printable;
use crate::ops::secret::Secret;
use command_line::{Action, CommandLine, ENV_FILE_FLAG};
pub use command_line::{ActionFlag, actions};
use env_file::EnvFile;
pub use reload::{Change, Reloaded};
pub use settings::{Allowed, RETIRED, Retired, SETTINGS, Setting, WORKERS_MAX};
use sources::Sources;

/// The configuration of a server. [`parse`] guarantees the bounds of [`SETTINGS`], a spawn area that is not empty and lies
/// within the world, and an idle timeout above the ping interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address to listen on.
    pub host: IpAddr,
    /// TCP port to listen on; 0 picks a free port.
    pub port: u16,
    /// Address of the metrics; `None` serves them on the public listener.
    pub admin_addr: Option<SocketAddr>,
    /// Origins of web pages that may open a game connection.
    pub allowed_origins: AllowedOrigins,
    /// Whether a handshake without an `Origin` header is refused.
    pub require_origin: bool,
    /// Worker threads, at least one.
    pub workers: usize,
    /// Maximum number of concurrent WebSocket connections.
    pub max_connections: usize,
    /// Maximum number of concurrent game connections per address, 0 for no limit; `None` is [`MAX_CONNS_PER_IP_DEFAULT`], and
    /// no limit for loopback.
    pub max_conns_per_ip: Option<u32>,
    /// New game connections per address and second, 0 for no limit; `None` is [`IP_CONN_RATE_DEFAULT`], and no limit for
    /// loopback.
    pub ip_conn_rate: Option<u32>,
    /// New game connections per address in a burst after a pause; 0 for no limit.
    pub ip_conn_burst: u32,
    /// Maximum number of concurrent non-player connections per address, 0 for no limit; `None` is
    /// [`HTTP_CONNS_PER_IP_DEFAULT`], and no limit for loopback.
    pub http_conns_per_ip: Option<u32>,
    /// HTTP requests per address and second, 0 for no limit; `None` is [`HTTP_RATE_DEFAULT`], and no limit for loopback.
    pub http_rate: Option<u32>,
    /// HTTP requests per address in a burst after a pause; 0 for no limit.
    pub http_burst: u32,
    /// Minimum average rate at which a client must read a response, in bytes per second; 0 for no limit.
    pub http_min_rate: u32,
    /// Time an HTTP connection may stay idle between requests, in seconds.
    pub keepalive_timeout_s: u32,
    /// Proxies whose forwarding headers set the client's address.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether trusted proxies, and no other peers, start each connection with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Simulation ticks per second.
    pub tick_rate_hz: u32,
    /// Time between full snapshots to a client, in seconds.
    pub sync_interval_s: u32,
    /// Time between updates to a client, in milliseconds.
    pub batch_interval_ms: u32,
    /// Units a player walks in one client step, of which there are [`crate::limits::CLIENT_STEPS_PER_S`] per second.
    pub player_speed: u32,
    /// Width of the world, in units; positions go from 0 up to and including it.
    pub world_width: u16,
    /// Height of the world, in units; positions go from 0 up to and including it.
    pub world_height: u16,
    /// Left edge of the spawn area, in units, inclusive.
    pub spawn_min_x: u16,
    /// Right edge of the spawn area, in units, exclusive.
    pub spawn_max_x: u16,
    /// Top edge of the spawn area, in units, inclusive.
    pub spawn_min_y: u16,
    /// Bottom edge of the spawn area, in units, exclusive.
    pub spawn_max_y: u16,
    /// Seed of the spawn positions; `None` uses the operating system's entropy.
    pub spawn_seed: Option<u64>,
    /// Time a disconnected player's position is kept, in seconds; 0 disables.
    pub resume_ttl_s: u32,
    /// The `Path` of the session cookie.
    pub cookie_path: String,
    /// Directory that keeps the positions of disconnected players across restarts.
    pub state_dir: Option<PathBuf>,
    /// Redis URL of the bus that joins servers into one world; `None` runs a single server.
    pub cluster_url: Option<Secret>,
    /// Secret that authenticates the servers of a world; `None` trusts every client of the bus.
    pub cluster_secret: Option<Secret>,
    /// Name of the world on that bus.
    pub cluster_world: String,
    /// Name of this node on that bus; `None` is its host and port.
    pub node_name: Option<String>,
    /// Messages per second a client may send.
    pub rate_limit_msg_per_s: u32,
    /// Messages a client may send in a burst after a pause.
    pub rate_limit_burst: u32,
    /// WebSocket read buffer per connection, in bytes.
    pub read_buffer_bytes: usize,
    /// Maximum bytes of replies (acks, pongs) queued for a client; at the maximum its socket is not read until they drain.
    pub write_buffer_bytes: usize,
    /// Directory of files to serve over HTTP.
    pub static_dir: Option<PathBuf>,
    /// Maximum number of files and directories below `static_dir`.
    pub static_max_files: usize,
    /// Maximum total size of the files below `static_dir`, in MiB.
    pub static_max_mib: u64,
    /// Maximum number of entities in a client's interest set.
    pub max_visible: usize,
    /// Duration of an attack, in milliseconds.
    pub attack_duration_ms: u32,
    /// Time between pings to a client, in seconds.
    pub ping_interval_s: u32,
    /// Silence after which a client is disconnected, in seconds.
    pub idle_timeout_s: u32,
    /// Time after which a client that reads none of its queued bytes is disconnected, in seconds.
    pub write_stall_s: u32,
    /// Time clients have at shutdown to read their last bytes, in seconds.
    pub shutdown_timeout_s: u32,
    /// Least severe level that is logged; at least debug when `debug` is set.
    pub log_level: LevelFilter,
    /// Whether `DEBUG` is set.
    pub debug: bool,
    /// File to log to; `None` is standard error.
    pub log_file: Option<PathBuf>,
    /// Format of log lines.
    pub log_format: Format,
}

impl Config {
    /// Returns the secrets in all settings, for [`crate::ops::secret::register`].
    pub fn secrets(&self) -> Vec<Secret> {
        let values = render::values(self);
        let parts =
            values.iter().map(|(variable, value)| sources::setting(variable).secrecy.secrets_in(value));
        parts.flatten().collect()
    }
}

/// Maximum number of concurrent game connections per address when `MAX_CONNS_PER_IP` is unset; loopback has no limit.
pub const MAX_CONNS_PER_IP_DEFAULT: u32 = 1_000;

/// New game connections per address and second when `IP_CONN_RATE` is unset; loopback has no limit.
pub const IP_CONN_RATE_DEFAULT: u32 = 50;

/// Maximum number of concurrent non-player connections per address when `HTTP_CONNS_PER_IP` is unset; loopback has no limit.
/// This is half of all HTTP connections, and more than thirty browsers behind one address open.
pub const HTTP_CONNS_PER_IP_DEFAULT: u32 = 256;

/// HTTP requests per address and second when `HTTP_RATE` is unset; loopback has no limit.
pub const HTTP_RATE_DEFAULT: u32 = 1_000;

impl Default for Config {
    /// The defaults of [`SETTINGS`], with one worker per core.
    fn default() -> Self {
        let line = CommandLine::default();
        read_config(&mut Sources::new(&line, &EnvFile::default(), &|_| None))
    }
}

/// The action of a command line. Texts have no final newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the server, and log the notices, one line per setting without effect.
    Run(Config, Vec<String>),
    /// Print the help text.
    Help(String),
    /// Print the name and the version.
    Version(String),
    /// Print the effective configuration, `NAME=value` lines.
    PrintConfig(String),
    /// Check this configuration as a start would, and print all problems and the notices.
    CheckConfig(Config, Vec<String>),
    /// Query the health of the server that runs with this configuration.
    HealthCheck(Config),
}

/// All problems of the flags and the environment; `Display` writes one per line. The caller prints them and exits with
/// status 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    fn new(problems: &[String]) -> Self {
        Self { problems: problems.iter().map(|problem| printable(problem).into_owned()).collect() }
    }

    /// Returns the problems, one line each, with the flag or variable concerned; never empty.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// Parses the arguments after the program's name; settings without a flag come from the file of `--env-file`, then from the
/// environment. Help and version work with any values of the settings.
///
/// # Errors
///
/// Every unknown flag, unexpected argument, invalid value and violated relation between settings. An ambiguous command line
/// (a flag without its value, text that is not UTF-8) or a malformed environment file is reported without checking values.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, ConfigError> {
    let line = command_line::read(args).map_err(|problems| ConfigError::new(&problems))?;
    match line.action {
        Some(Action::Help) => return Ok(Command::Help(render::help())),
        Some(Action::Version) => return Ok(Command::Version(render::version())),
        _ => {}
    }

    let path = line.values.get(ENV_FILE_FLAG).filter(|path| !path.is_empty());
    let file = path.map_or_else(|| Ok(EnvFile::default()), |path| EnvFile::read(Path::new(path)));
    let file = file.map_err(|problems| ConfigError::new(&[line.problems.clone(), problems].concat()))?;
    let mut sources = Sources::new(&line, &file, &env);
    let config = read_config(&mut sources);
    let notices = sources.notices();
    let problems = sources.into_problems();
    if !problems.is_empty() {
        return Err(ConfigError::new(&problems));
    }

    Ok(match line.action {
        Some(Action::CheckConfig) => Command::CheckConfig(config, notices),
        Some(Action::PrintConfig) => Command::PrintConfig(render::environment(&config)),
        Some(Action::HealthCheck) => Command::HealthCheck(config),
        _ => Command::Run(config, notices),
    })
}

fn read_config(sources: &mut Sources<'_>) -> Config {
    let debug = sources.switch("DEBUG");
    let log_level = sources.log_level("LOG_LEVEL");
    let config = Config {
        host: sources.address("HOST"),
        port: sources.whole("PORT"),
        admin_addr: sources.socket_address("ADMIN_ADDR"),
        allowed_origins: sources.origins("ALLOWED_ORIGINS"),
        require_origin: sources.switch("REQUIRE_ORIGIN"),
        workers: resolve_workers(sources.whole("WORKERS")),
        max_connections: sources.whole("MAX_CONNECTIONS"),
        max_conns_per_ip: sources.optional_whole("MAX_CONNS_PER_IP"),
        ip_conn_rate: sources.optional_whole("IP_CONN_RATE"),
        ip_conn_burst: sources.whole("IP_CONN_BURST"),
        http_conns_per_ip: sources.optional_whole("HTTP_CONNS_PER_IP"),
        http_rate: sources.optional_whole("HTTP_RATE"),
        http_burst: sources.whole("HTTP_BURST"),
        http_min_rate: sources.whole("HTTP_MIN_RATE"),
        keepalive_timeout_s: sources.whole("KEEPALIVE_TIMEOUT_SEC"),
        trusted_proxies: sources.networks("TRUSTED_PROXIES"),
        proxy_protocol: sources.switch("PROXY_PROTOCOL"),
        tick_rate_hz: sources.whole("TICK_RATE"),
        sync_interval_s: sources.whole("SYNC_INTERVAL_SEC"),
        batch_interval_ms: sources.whole("BATCH_INTERVAL_MS"),
        player_speed: sources.whole("PLAYER_SPEED"),
        world_width: sources.whole("WORLD_WIDTH"),
        world_height: sources.whole("WORLD_HEIGHT"),
        spawn_min_x: sources.whole("SPAWN_MIN_X"),
        spawn_max_x: sources.whole("SPAWN_MAX_X"),
        spawn_min_y: sources.whole("SPAWN_MIN_Y"),
        spawn_max_y: sources.whole("SPAWN_MAX_Y"),
        spawn_seed: sources.optional_whole("SPAWN_SEED"),
        resume_ttl_s: sources.whole("RESUME_TTL_SEC"),
        cookie_path: sources.cookie_path("COOKIE_PATH"),
        state_dir: sources.path("STATE_DIR"),
        cluster_url: sources.redis_url("CLUSTER_URL"),
        cluster_secret: sources.shared_secret("CLUSTER_SECRET"),
        cluster_world: sources.name("CLUSTER_WORLD"),
        node_name: sources.optional_name("NODE_NAME"),
        rate_limit_msg_per_s: sources.whole("RATE_LIMIT_MSG_SEC"),
        rate_limit_burst: sources.whole("RATE_LIMIT_BURST"),
        read_buffer_bytes: sources.whole("READ_BUFFER_SIZE"),
        write_buffer_bytes: sources.whole("WRITE_BUFFER_SIZE"),
        static_dir: sources.path("STATIC_DIR"),
        static_max_files: sources.whole("STATIC_MAX_FILES"),
        static_max_mib: sources.whole("STATIC_MAX_MIB"),
        max_visible: sources.whole("MAX_VISIBLE"),
        attack_duration_ms: sources.whole("ATTACK_DURATION_MS"),
        ping_interval_s: sources.whole("PING_INTERVAL_SEC"),
        idle_timeout_s: sources.whole("IDLE_TIMEOUT_SEC"),
        write_stall_s: sources.whole("WRITE_STALL_SEC"),
        shutdown_timeout_s: sources.whole("SHUTDOWN_TIMEOUT_SEC"),
        log_level: if debug { log_level.max(LevelFilter::Debug) } else { log_level },
        debug,
        log_file: sources.path("LOG_FILE"),
        log_format: sources.log_format("LOG_FORMAT"),
    };
    check_relations(&config, sources);
    config
}

fn check_relations(config: &Config, sources: &mut Sources<'_>) {
    let (below, at_most, above) = ("less than", "at most", "greater than");
    sources.require(config.spawn_min_x < config.spawn_max_x, "SPAWN_MIN_X", below, "SPAWN_MAX_X");
    sources.require(config.spawn_min_y < config.spawn_max_y, "SPAWN_MIN_Y", below, "SPAWN_MAX_Y");
    sources.require(config.spawn_max_x <= config.world_width, "SPAWN_MAX_X", at_most, "WORLD_WIDTH");
    sources.require(config.spawn_max_y <= config.world_height, "SPAWN_MAX_Y", at_most, "WORLD_HEIGHT");
    sources.require(
        config.idle_timeout_s > config.ping_interval_s,
        "IDLE_TIMEOUT_SEC",
        above,
        "PING_INTERVAL_SEC",
    );
    let (game, admin) = (SocketAddr::new(config.host, config.port), config.admin_addr);
    sources.require(
        !sources.is_valid("HOST") || !admin.is_some_and(|admin| conflict(game, admin)),
        "ADMIN_ADDR",
        "on another port than",
        "PORT",
    );
    sources.require(
        !config.proxy_protocol || !config.trusted_proxies.is_empty(),
        "PROXY_PROTOCOL",
        "off unless a proxy is named by",
        "TRUSTED_PROXIES",
    );
}

/// Returns whether two sockets can't listen on both addresses at the same time. `::` includes all IPv4 addresses.
fn conflict(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |one: IpAddr, other: IpAddr| {
        one == other || (one.is_unspecified() && (one.is_ipv6() || other.is_ipv4()))
    };
    let (ips, ports) = ((one.ip(), other.ip()), (one.port(), other.port()));
    ports.0 == ports.1 && ports.0 != 0 && (covers(ips.0, ips.1) || covers(ips.1, ips.0))
}

fn resolve_workers(workers: usize) -> usize {
    match workers {
        0 => default_workers(thread::available_parallelism().map_or(1, NonZero::get)),
        _ => workers,
    }
}

/// Returns one worker per core, but a single one on two cores: handing half of the replication work to a second thread and
/// collecting the result costs as much as that half.
fn default_workers(cores: usize) -> usize {
    if cores == 2 { 1 } else { cores.min(WORKERS_MAX as usize) }
}

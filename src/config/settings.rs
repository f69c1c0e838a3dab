//! The table of settings: names, defaults, bounds and help texts. Parsing, `--help`, `--print-config` and the documents
//! derive from it; no default or bound is repeated elsewhere.

use std::fmt;
use std::ops::Range;

use crate::limits;
use crate::ops::secret::Secrecy;

/// Maximum value of `WORKERS`.
pub const WORKERS_MAX: u64 = 64;

/// A setting of the server: an environment variable, and a flag that overrides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable; in kebab-case it is the long flag, see [`Setting::flag`].
    pub variable: &'static str,
    /// The one-letter flag without its dash, or empty.
    pub short: &'static str,
    /// The default as an operator would write it; empty is unset.
    pub default: &'static str,
    /// The allowed values.
    pub allowed: Allowed,
    /// Description in one line.
    pub help: &'static str,
    /// Whether a reload applies a new value; other settings need a restart.
    pub is_live: bool,
    /// The secret part of the value. It is never printed, and refused in a flag, since every user of the machine can read
    /// flags.
    pub secrecy: Secrecy,
}

impl Setting {
    /// Returns the long flag without its dashes: `max-connections` for `MAX_CONNECTIONS`.
    pub fn flag(&self) -> String {
        flag_of(self.variable)
    }

    const fn secret(self, secrecy: Secrecy) -> Self {
        Self { secrecy, ..self }
    }
}

/// The allowed values of a setting; `Display` writes the text of error messages and `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// A whole number within both bounds.
    Whole {
        /// Smallest number allowed.
        min: u64,
        /// Largest number allowed.
        max: u64,
    },
    /// An address to listen on.
    Address,
    /// An address and a port to listen on.
    SocketAddress,
    /// A list as [`crate::admission::origins::AllowedOrigins`] reads it.
    Origins,
    /// A list of networks and single addresses.
    Networks,
    /// A name of [`log::LevelFilter`], or `warning`, in any case.
    LogLevel,
    /// A name of [`crate::ops::logging::Format`], in any case.
    LogFormat,
    /// A boolean, in any case. As a flag it needs no value.
    Switch,
    /// The path of a directory that exists when the configuration is read.
    Directory,
    /// The path of a file, which need not exist.
    File,
    /// The URL of a Redis server.
    RedisUrl,
    /// A shared secret.
    SharedSecret,
    /// A short name.
    Name,
    /// The `Path` of a cookie.
    CookiePath,
}

impl fmt::Display for Allowed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { min, max } => write!(out, "a whole number from {min} to {max}"),
            Self::Address => out.write_str("an IPv4 or IPv6 address or localhost"),
            Self::SocketAddress => out.write_str("ADDRESS:PORT, as in 127.0.0.1:9108 or [::1]:9108"),
            Self::Origins => out.write_str(
                "* or a comma-separated list of origins (https://game.example:8443), \
                 subdomains of one (https://*.example.com), file:// or null",
            ),
            Self::Networks => {
                out.write_str("a comma-separated list of addresses and networks such as 10.0.0.0/8")
            }
            Self::LogLevel => out.write_str("one of off, error, warn, warning, info, debug, trace"),
            Self::LogFormat => out.write_str("one of text, json"),
            Self::Switch => out.write_str("one of true, false, 1, 0, yes, no, on, off"),
            Self::Directory => out.write_str("the path of an existing directory"),
            Self::File => out.write_str("the path of a file"),
            Self::RedisUrl => out.write_str("redis://[user:password@]host[:port][/db]"),
            Self::SharedSecret => {
                let Range { start, end } = limits::CLUSTER_SECRET_BYTES;
                write!(out, "{start} to {} letters, digits and other visible ASCII characters", end - 1)
            }
            Self::CookiePath => write!(
                out,
                "a path that begins with /, of 1 to {} visible ASCII characters, none of them a semicolon",
                limits::COOKIE_PATH_BYTES_MAX
            ),
            Self::Name => out.write_str("1 to 64 letters, digits, dots, colons, hyphens and underscores"),
        }
    }
}

/// A variable, and its flag, that tuned an earlier server. It is accepted without effect, and a notice reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    /// The environment variable; in kebab-case it is the long flag.
    pub variable: &'static str,
    /// The setting to use instead, or why none is needed.
    pub instead: &'static str,
}

/// Returns the long flag, without its dashes, of an environment variable.
pub(super) fn flag_of(variable: &str) -> String {
    variable.to_ascii_lowercase().replace('_', "-")
}

const fn setting(
    variable: &'static str,
    short: &'static str,
    default: &'static str,
    allowed: Allowed,
    help: &'static str,
) -> Setting {
    Setting { variable, short, default, allowed, help, is_live: false, secrecy: Secrecy::Public }
}

/// A setting that a reload applies.
const fn live(
    variable: &'static str,
    short: &'static str,
    default: &'static str,
    allowed: Allowed,
    help: &'static str,
) -> Setting {
    Setting { variable, short, default, allowed, help, is_live: true, secrecy: Secrecy::Public }
}

const fn whole(min: u64, max: u64) -> Allowed {
    Allowed::Whole { min, max }
}

const WORLD_SIDE: Allowed = whole(200, limits::WORLD_SIDE_MAX as u64);
const RESUME_TTL: Allowed = whole(0, limits::SESSION_TTL_S_MAX as u64);
const SPAWN_START: Allowed = whole(0, limits::WORLD_SIDE_MAX as u64 - 1);
const SPAWN_END: Allowed = whole(1, limits::WORLD_SIDE_MAX as u64);

/// Every setting, in the order of help and documents.
#[rustfmt::skip] // One row per setting.
pub static SETTINGS: &[Setting] = &[
    setting("HOST", "H", "0.0.0.0", Allowed::Address, "Address to listen on"),
    setting("PORT", "p", "8108", whole(0, 65_535), "TCP port to listen on; 0 picks a free port"),
    setting("ADMIN_ADDR", "", "", Allowed::SocketAddress, "Address and port of the metrics; unset serves them on PORT"),
    live("ALLOWED_ORIGINS", "", "*", Allowed::Origins, "Origins of web pages that may open a game connection"),
    live("REQUIRE_ORIGIN", "", "false", Allowed::Switch, "Refuse handshakes without an Origin header"),
    live("STATIC_DIR", "s", "", Allowed::Directory, "Directory of files to serve over HTTP"),
    live("STATIC_MAX_FILES", "", "16384", whole(1, 1_000_000), "Maximum number of files and directories in STATIC_DIR"),
    live("STATIC_MAX_MIB", "", "256", whole(1, 65_536), "Maximum total size of the files in STATIC_DIR, in MiB"),
    setting("WORKERS", "w", "0", whole(0, WORKERS_MAX), "Worker threads; 0 selects one per core, but a single one on two cores"),
    live("MAX_CONNECTIONS", "c", "12000", whole(1, 1_000_000), "Maximum number of concurrent WebSocket connections"),
    live("MAX_CONNS_PER_IP", "", "", whole(0, 1_000_000), "Maximum players per address; 0 for no limit; unset is 1000, no limit for loopback"),
    live("IP_CONN_RATE", "", "", whole(0, 100_000), "New players per address and second; 0 for no limit; unset is 50, no limit for loopback"),
    live("IP_CONN_BURST", "", "100", whole(0, 1_000_000), "New players per address in a burst after a pause; 0 for no limit"),
    live("HTTP_CONNS_PER_IP", "", "", whole(0, 512), "Maximum non-player connections per address; 0 for no limit; unset is 256, no limit for loopback"),
    live("HTTP_RATE", "", "", whole(0, 1_000_000), "HTTP requests per address and second; 0 for no limit; unset is 1000, no limit for loopback"),
    live("HTTP_BURST", "", "10000", whole(0, 1_000_000), "HTTP requests per address in a burst after a pause; 0 for no limit"),
    live("HTTP_MIN_RATE", "", "2000", whole(0, 1_000_000), "Minimum bytes per second at which a client must read a response; 0 for no limit"),
    live("KEEPALIVE_TIMEOUT_SEC", "", "75", whole(1, 3_600), "Seconds an HTTP connection may stay idle between requests"),
    setting("TRUSTED_PROXIES", "", "", Allowed::Networks, "Proxies whose forwarding headers set the client's address"),
    setting("PROXY_PROTOCOL", "", "false", Allowed::Switch, "Require a PROXY protocol header from trusted proxies"),
    setting("TICK_RATE", "t", "60", whole(10, 128), "Simulation ticks per second"),
    live("BATCH_INTERVAL_MS", "", "50", whole(10, 1_000), "Milliseconds between updates to a client"),
    live("SYNC_INTERVAL_SEC", "", "5", whole(1, 300), "Seconds between full snapshots to a client"),
    live("MAX_VISIBLE", "", "128", whole(1, limits::INTEREST_SET_MAX as u64), "Maximum number of players shown to a client"),
    setting("WORLD_WIDTH", "", "2000", WORLD_SIDE, "Width of the world, in units"),
    setting("WORLD_HEIGHT", "", "2000", WORLD_SIDE, "Height of the world, in units"),
    setting("SPAWN_MIN_X", "", "100", SPAWN_START, "Left edge of the spawn area, in units, inclusive"),
    setting("SPAWN_MAX_X", "", "900", SPAWN_END, "Right edge of the spawn area, in units, exclusive"),
    setting("SPAWN_MIN_Y", "", "100", SPAWN_START, "Top edge of the spawn area, in units, inclusive"),
    setting("SPAWN_MAX_Y", "", "900", SPAWN_END, "Bottom edge of the spawn area, in units, exclusive"),
    setting("SPAWN_SEED", "", "", whole(0, u64::MAX), "Seed of the spawn positions; unset uses the system's entropy"),
    setting("PLAYER_SPEED", "", "4", whole(1, 50), "Units a player walks per client step, which is 1/24 s"),
    setting("ATTACK_DURATION_MS", "", "1000", whole(100, 60_000), "Milliseconds an attack lasts"),
    live("RESUME_TTL_SEC", "", "300", RESUME_TTL, "Seconds a disconnected player's position is kept; 0 disables"),
    live("COOKIE_PATH", "", "/", Allowed::CookiePath, "Path attribute of the session cookie"),
    setting("STATE_DIR", "", "", Allowed::Directory, "Directory that keeps the positions of disconnected players across restarts"),
    setting("CLUSTER_URL", "", "", Allowed::RedisUrl, "Redis that joins servers into one world; unset runs a single server").secret(Secrecy::Password),
    setting("CLUSTER_SECRET", "", "", Allowed::SharedSecret, "Secret that authenticates the servers of a world; unset trusts every client of that Redis").secret(Secrecy::Whole),
    setting("CLUSTER_WORLD", "", "main", Allowed::Name, "Name of the world on that Redis"),
    setting("NODE_NAME", "", "", Allowed::Name, "Name of this server on that Redis; unset is its host and port"),
    live("RATE_LIMIT_MSG_SEC", "", "60", whole(1, 10_000), "Messages per second a client may send"),
    live("RATE_LIMIT_BURST", "", "60", whole(1, 100_000), "Messages a client may send in a burst after a pause"),
    setting("READ_BUFFER_SIZE", "", "256", whole(256, 65_536), "Bytes of WebSocket read buffer per connection"),
    live("WRITE_BUFFER_SIZE", "", "4096", whole(1_024, 65_536), "Maximum bytes of replies queued for a client"),
    live("PING_INTERVAL_SEC", "", "30", whole(1, 3_600), "Seconds between pings to a client"),
    live("IDLE_TIMEOUT_SEC", "", "60", whole(2, 7_200), "Seconds of silence after which a client is disconnected"),
    live("WRITE_STALL_SEC", "", "30", whole(1, 3_600), "Seconds after which a client that reads nothing is disconnected"),
    live("SHUTDOWN_TIMEOUT_SEC", "", "5", whole(1, 300), "Seconds that clients have at shutdown to read their last bytes"),
    live("LOG_LEVEL", "l", "info", Allowed::LogLevel, "Least severe level that is logged"),
    setting("LOG_FILE", "", "", Allowed::File, "File to log to; unset logs to standard error"),
    setting("LOG_FORMAT", "", "text", Allowed::LogFormat, "Format of log lines"),
    live("DEBUG", "d", "false", Allowed::Switch, "Raise LOG_LEVEL to at least debug"),
];

/// Every variable of earlier servers that has no effect.
pub static RETIRED: &[Retired] = &[
    Retired { variable: "GOMAXPROCS", instead: "WORKERS sets the number of worker threads" },
    Retired { variable: "BROADCAST_WORKERS", instead: "WORKERS sets the number of worker threads" },
    Retired { variable: "GOGC", instead: "memory per connection is bounded and needs no tuning" },
    Retired { variable: "GOMEMLIMIT", instead: "memory per connection is bounded and needs no tuning" },
    Retired {
        variable: "EVENT_CHANNEL_SIZE",
        instead: "there is no event queue; WRITE_BUFFER_SIZE bounds the replies queued for a client",
    },
];

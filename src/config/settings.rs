//! The table of settings: names, defaults, bounds and help texts. Reading, `--help`, `--print-config` and the
//! documents all follow it, and a default or a bound stands nowhere else.

use std::fmt;
use std::ops::Range;

use crate::limits;
use crate::ops::secret::Secrecy;

/// Most worker threads `WORKERS` may ask for.
pub const WORKERS_MAX: u64 = 64;

/// One setting of the server: an environment variable and the flag that wins over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable; in kebab-case it is the long flag, see [`Setting::flag`].
    pub variable: &'static str,
    /// The one-letter flag without its dash, or empty.
    pub short: &'static str,
    /// The default as an operator would write it; empty means unset.
    pub default: &'static str,
    /// The values it takes.
    pub allowed: Allowed,
    /// What it does, in one line.
    pub help: &'static str,
    /// Whether a running server takes over a new value when it is reloaded; any other needs a restart.
    pub is_live: bool,
    /// Which part of it is secret: shown nowhere, and refused as a flag, which every user of the machine can read.
    pub secrecy: Secrecy,
}

impl Setting {
    /// The long flag without its dashes: `max-connections` for `MAX_CONNECTIONS`.
    pub fn flag(&self) -> String {
        flag_of(self.variable)
    }

    const fn secret(self, secrecy: Secrecy) -> Self {
        Self { secrecy, ..self }
    }
}

/// The values a setting takes; displayed, they are the words that error messages and `--help` use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// A whole number within both bounds.
    Whole {
        /// The smallest number allowed.
        min: u64,
        /// The largest number allowed.
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
    /// Yes or no, in any case. As a flag it needs no value.
    Switch,
    /// The path of a directory that exists when the configuration is read.
    Directory,
    /// The path of a file, which need not exist.
    File,
    /// The address of a Redis.
    RedisUrl,
    /// A text that nobody guesses.
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
                "* or, with commas between them, origins (https://game.example:8443), \
                 subdomains of one (https://*.example.com), file:// or null",
            ),
            Self::Networks => out.write_str("addresses and networks such as 10.0.0.0/8, separated by commas"),
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
                "a path that begins with /, of 1 to {} visible ASCII characters without ;",
                limits::COOKIE_PATH_BYTES_MAX
            ),
            Self::Name => out.write_str("1 to 64 letters, digits, dots, colons, hyphens and underscores"),
        }
    }
}

/// A variable (and its flag) that tuned another runtime: accepted, without effect, and answered with a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    /// The environment variable; in kebab-case it is the long flag.
    pub variable: &'static str,
    /// What takes its place.
    pub instead: &'static str,
}

/// The long flag without its dashes that belongs to an environment variable.
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

/// A setting that a running server takes over.
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

/// Every setting, in the order in which help and documents show them.
#[rustfmt::skip] // One row a setting.
pub static SETTINGS: &[Setting] = &[
    setting("HOST", "H", "0.0.0.0", Allowed::Address, "Address to listen on"),
    setting("PORT", "p", "8108", whole(0, 65_535), "TCP port to listen on; 0 takes any free one"),
    setting("ADMIN_ADDR", "", "", Allowed::SocketAddress, "Where metrics are served instead of on PORT"),
    live("ALLOWED_ORIGINS", "", "*", Allowed::Origins, "Web pages that may open a game connection"),
    live("REQUIRE_ORIGIN", "", "false", Allowed::Switch, "Refuse handshakes without an Origin header"),
    live("STATIC_DIR", "s", "", Allowed::Directory, "Directory of files to serve over HTTP"),
    live("STATIC_MAX_FILES", "", "16384", whole(1, 1_000_000), "Most files and directories in STATIC_DIR"),
    live("STATIC_MAX_MIB", "", "256", whole(1, 65_536), "Most MiB of all files in STATIC_DIR together"),
    setting("WORKERS", "w", "0", whole(0, WORKERS_MAX), "Worker threads; 0 is one per core, and one on two cores"),
    live("MAX_CONNECTIONS", "c", "12000", whole(1, 1_000_000), "Most WebSocket connections at a time"),
    live("MAX_CONNS_PER_IP", "", "", whole(0, 1_000_000), "Most players of one address; unset, 1000, loopback free"),
    live("IP_CONN_RATE", "", "", whole(0, 100_000), "Players of one address a second; unset, 50, loopback free"),
    live("IP_CONN_BURST", "", "100", whole(0, 1_000_000), "Players of one address at once after a pause"),
    live("HTTP_CONNS_PER_IP", "", "", whole(0, 512), "Most other connections of one address; unset, 256, loopback free"),
    live("HTTP_RATE", "", "", whole(0, 1_000_000), "HTTP requests of one address a second; unset, 1000, loopback free"),
    live("HTTP_BURST", "", "10000", whole(0, 1_000_000), "HTTP requests of one address at once after a pause"),
    live("HTTP_MIN_RATE", "", "2000", whole(0, 1_000_000), "Bytes a second of an answer that a client must take"),
    live("KEEPALIVE_TIMEOUT_SEC", "", "75", whole(1, 3_600), "Seconds an HTTP connection may be idle between requests"),
    setting("TRUSTED_PROXIES", "", "", Allowed::Networks, "Proxies whose word about a client's address counts"),
    setting("PROXY_PROTOCOL", "", "false", Allowed::Switch, "Whether trusted proxies speak the PROXY protocol"),
    setting("TICK_RATE", "t", "60", whole(10, 128), "Simulation steps a second"),
    live("BATCH_INTERVAL_MS", "", "50", whole(10, 1_000), "Milliseconds between updates to one client"),
    live("SYNC_INTERVAL_SEC", "", "5", whole(1, 300), "Seconds between full states to one client"),
    live("MAX_VISIBLE", "", "128", whole(1, limits::INTEREST_SET_MAX as u64), "Most players shown to one client"),
    setting("WORLD_WIDTH", "", "2000", WORLD_SIDE, "Width of the world, in units"),
    setting("WORLD_HEIGHT", "", "2000", WORLD_SIDE, "Height of the world, in units"),
    setting("SPAWN_MIN_X", "", "100", SPAWN_START, "Left edge of the spawn area, in units, inside it"),
    setting("SPAWN_MAX_X", "", "900", SPAWN_END, "Right edge of the spawn area, in units, outside it"),
    setting("SPAWN_MIN_Y", "", "100", SPAWN_START, "Top edge of the spawn area, in units, inside it"),
    setting("SPAWN_MAX_Y", "", "900", SPAWN_END, "Bottom edge of the spawn area, in units, outside it"),
    setting("SPAWN_SEED", "", "", whole(0, u64::MAX), "Seed of the spawn positions; unset, the system's entropy"),
    setting("PLAYER_SPEED", "", "4", whole(1, 50), "Units a player walks in 1/24 s, a client's step"),
    setting("ATTACK_DURATION_MS", "", "1000", whole(100, 60_000), "Milliseconds until an attack ends by itself"),
    live("RESUME_TTL_SEC", "", "300", RESUME_TTL, "Seconds for which who left may come back to its place; 0 is off"),
    live("COOKIE_PATH", "", "/", Allowed::CookiePath, "Path for which browsers send the session cookie again"),
    setting("STATE_DIR", "", "", Allowed::Directory, "Directory that keeps those places over a restart"),
    setting("CLUSTER_URL", "", "", Allowed::RedisUrl, "Redis that joins servers to one world; unset, this is the only one").secret(Secrecy::Password),
    setting("CLUSTER_SECRET", "", "", Allowed::SharedSecret, "What servers of a world prove themselves with; unset, all of that Redis is believed").secret(Secrecy::Whole),
    setting("CLUSTER_WORLD", "", "main", Allowed::Name, "Which world of that Redis this is"),
    setting("NODE_NAME", "", "", Allowed::Name, "What this server is called there; unset, its host and port"),
    live("RATE_LIMIT_MSG_SEC", "", "60", whole(1, 10_000), "Messages a second a client may send"),
    live("RATE_LIMIT_BURST", "", "60", whole(1, 100_000), "Messages a client may send at once after a pause"),
    setting("READ_BUFFER_SIZE", "", "256", whole(256, 65_536), "Bytes of WebSocket read buffer a connection"),
    live("WRITE_BUFFER_SIZE", "", "4096", whole(1_024, 65_536), "Bytes of replies that may wait for a client"),
    live("PING_INTERVAL_SEC", "", "30", whole(1, 3_600), "Seconds between pings to a client"),
    live("IDLE_TIMEOUT_SEC", "", "60", whole(2, 7_200), "Seconds of silence after which a client is closed"),
    live("WRITE_STALL_SEC", "", "30", whole(1, 3_600), "Seconds a client may leave what it is sent unread"),
    live("SHUTDOWN_TIMEOUT_SEC", "", "5", whole(1, 300), "Seconds clients get to take their last bytes"),
    live("LOG_LEVEL", "l", "info", Allowed::LogLevel, "Least severity that is logged"),
    setting("LOG_FILE", "", "", Allowed::File, "File to log to; unset, standard error"),
    setting("LOG_FORMAT", "", "text", Allowed::LogFormat, "How lines of the log are written"),
    live("DEBUG", "d", "false", Allowed::Switch, "Log at level debug at least"),
];

/// Every variable that only meant something to another runtime.
pub static RETIRED: &[Retired] = &[
    Retired { variable: "GOMAXPROCS", instead: "WORKERS sets the number of worker threads" },
    Retired { variable: "BROADCAST_WORKERS", instead: "WORKERS sets the number of worker threads" },
    Retired { variable: "GOGC", instead: "nothing to tune, memory per connection is capped" },
    Retired { variable: "GOMEMLIMIT", instead: "nothing to tune, memory per connection is capped" },
    Retired {
        variable: "EVENT_CHANNEL_SIZE",
        instead: "there is no event queue, WRITE_BUFFER_SIZE caps the replies that wait for a client",
    },
];

//! The table of settings. `Config`, its values, `--help` and the effect of a reload derive from it here; flags, files and
//! `--print-config` read [`SETTINGS`]. No default or bound is repeated elsewhere.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;

use ipnet::IpNet;
use log::LevelFilter;

use super::address_range::AddressRange;
use super::decimal::Decimal;
use super::sources::Sources;
use super::value::Value as _;
use crate::admission::origins::AllowedOrigins;
use crate::auth::{self, Auth};
use crate::limits;
use crate::ops::logging::Format;
use crate::ops::secret::{Secrecy, Secret};

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
    /// The secret part of the value: never printed, and refused in a flag, which every user of the machine can read.
    pub secrecy: Secrecy,
}

impl Setting {
    /// Returns the long flag without its dashes: `max-connections` for `MAX_CONNECTIONS`.
    pub fn flag(&self) -> String {
        flag_of(self.variable)
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
    /// A number within both bounds, with up to three decimals.
    Decimal {
        /// Smallest number allowed.
        min: u64,
        /// Largest number allowed.
        max: u64,
    },
    /// An address to listen on.
    Address,
    /// An address, and a port or a range of ports, to listen on.
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
    /// The path of a file that exists when the configuration is read.
    ExistingFile,
    /// The path of a Unix socket.
    Socket,
    /// The URL of a Redis server.
    RedisUrl,
    /// A shared secret.
    SharedSecret,
    /// A short name.
    Name,
    /// The `Path` of a cookie.
    CookiePath,
    /// The name of a cookie.
    CookieName,
    /// A name of [`crate::auth::Auth`], in any case.
    Auth,
    /// The `aud` of a token.
    Audience,
}

impl Allowed {
    const fn whole(min: u64, max: u64) -> Self {
        Self::Whole { min, max }
    }

    const fn decimal(min: u64, max: u64) -> Self {
        Self::Decimal { min, max }
    }

    /// Returns which part of such a value is secret.
    const fn secrecy(self) -> Secrecy {
        match self {
            Self::RedisUrl => Secrecy::Password,
            Self::SharedSecret => Secrecy::Whole,
            _ => Secrecy::Public,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { min, max } => write!(out, "a whole number from {min} to {max}"),
            Self::Decimal { min, max } => {
                write!(out, "a number from {min} to {max} with up to {} decimals", Decimal::PLACES)
            }
            Self::Address => out.write_str("an IPv4 or IPv6 address or localhost"),
            Self::SocketAddress => {
                out.write_str("ADDRESS:PORT or ADDRESS:FIRST-LAST, as in 127.0.0.1:9108 or [::1]:9108-9111")
            }
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
            Self::ExistingFile => out.write_str("the path of an existing file"),
            Self::Socket => {
                write!(out, "an absolute path of at most {} bytes", limits::SOCKET_PATH_BYTES_MAX)
            }
            Self::RedisUrl => out.write_str(
                "redis://[user:password@]host[:port][/db] or redis+unix://[user:password@]/path[?db=N]",
            ),
            Self::SharedSecret => {
                let Range { start, end } = limits::CLUSTER_SECRET_BYTES;
                write!(out, "{start} to {} letters, digits and other visible ASCII characters", end - 1)
            }
            Self::CookiePath => write!(
                out,
                "a path that begins with /, of 1 to {} visible ASCII characters, none of them a semicolon",
                limits::COOKIE_PATH_BYTES_MAX
            ),
            Self::CookieName => {
                write!(out, "1 to {} letters, digits, dots, hyphens and underscores", auth::COOKIE_BYTES_MAX)
            }
            Self::Auth => out.write_str("one of none, jwt"),
            Self::Audience => {
                write!(out, "1 to {} visible ASCII characters, none of them an @", auth::AUDIENCE_BYTES_MAX)
            }
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

/// Marks a setting that a reload applies.
const LIVE: bool = true;

/// Marks a setting that only a restart applies.
const RESTART: bool = false;

macro_rules! settings {
    ($(#[doc = $help:literal] $(#[$doc:meta])*
       $applies:ident $variable:ident $(-$short:ident)?, $field:ident: $type:ty = $default:literal
       in $allowed:ident $(($($bound:expr),*))?;)*) => {
        /// Every setting, in the order of help and documents.
        pub static SETTINGS: &[Setting] = &[$(Setting {
            variable: stringify!($variable),
            short: concat!($(stringify!($short))?),
            default: $default,
            allowed: Allowed::$allowed $(($($bound),*))?,
            help: $help.trim_ascii_start(),
            is_live: $applies,
            secrecy: Allowed::$allowed $(($($bound),*))?.secrecy(),
        }),*];

        /// The configuration of a server. [`parse`](super::parse) guarantees the bounds of [`SETTINGS`], a spawn area that is
        /// not empty and lies within the world, and an idle timeout above the ping interval.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $(#[doc = concat!($help, ".")] $(#[$doc])* pub $field: $type,)*
        }

        impl Config {
            pub(super) fn read(sources: &mut Sources<'_>) -> Self {
                Self { $($field: sources.read(stringify!($variable)),)* }
            }

            /// Returns every setting with its value, secrets included: the caller must not print them.
            pub(super) fn values(&self) -> Vec<(&'static Setting, String)> {
                SETTINGS.iter().zip([$(self.$field.text()),*]).collect()
            }

            /// Returns the new configuration with every setting that isn't live taken from this one.
            pub(super) fn with_live(&self, fresh: Self) -> Self {
                Self { $($field: if $applies { fresh.$field } else { self.$field.clone() },)* }
            }
        }
    };
}

// Each row: its help, which is also the field's documentation; remarks on the field; when a change applies; the variable
// and its one-letter flag; the field; the default as an operator would write it, empty for unset; the allowed values.
settings! {
    /// Address to listen on
    RESTART HOST -H, host: IpAddr = "0.0.0.0" in Address;
    /// TCP port to listen on; 0 picks a free port
    RESTART PORT -p, port: u16 = "8108" in whole(0, 65_535);
    /// Share PORT with other processes of this user, between which the kernel divides connections
    RESTART REUSE_PORT, reuse_port: bool = "false" in Switch;
    /// Address and port of the metrics, or the first free one of a range; unset serves them on PORT
    RESTART ADMIN_ADDR, admin_addr: Option<AddressRange> = "" in SocketAddress;
    /// Origins of web pages that may open a game connection
    LIVE ALLOWED_ORIGINS, allowed_origins: AllowedOrigins = "*" in Origins;
    /// Refuse handshakes without an Origin header
    LIVE REQUIRE_ORIGIN, require_origin: bool = "false" in Switch;
    /// Clients that may join: all, or only those with a signed token (JSON Web Token)
    LIVE AUTH, auth: Auth = "none" in Auth;
    /// File with the keys that verify tokens, a JSON Web Key Set
    LIVE AUTH_KEYS, auth_keys: Option<PathBuf> = "" in ExistingFile;
    /// Name of the cookie with the token
    LIVE AUTH_COOKIE, auth_cookie: String = "pixi_auth" in CookieName;
    /// Audience (aud) that tokens must name; unset refuses tokens that name one
    LIVE AUTH_AUDIENCE, auth_audience: Option<String> = "" in Audience;
    /// Tolerance of a token's exp and nbf, in seconds
    LIVE AUTH_LEEWAY_SEC, auth_leeway_s: u32 = "30" in whole(0, 600);
    /// Maximum players of one account (sub); a newer one closes the oldest
    LIVE AUTH_SESSIONS_PER_SUB, auth_sessions_per_sub: u32 = "1" in whole(1, 1_000);
    /// Directory of files to serve over HTTP
    LIVE STATIC_DIR -s, static_dir: Option<PathBuf> = "" in Directory;
    /// Maximum number of files and directories in STATIC_DIR
    LIVE STATIC_MAX_FILES, static_max_files: usize = "16384" in whole(1, 1_000_000);
    /// Maximum total size of the files in STATIC_DIR, in MiB
    LIVE STATIC_MAX_MIB, static_max_mib: u64 = "256" in whole(1, 65_536);
    /// Worker threads; 0 selects one per core, but a single one on two cores
    RESTART WORKERS -w, workers: usize = "0" in whole(0, WORKERS_MAX);
    /// Maximum number of concurrent WebSocket connections
    LIVE MAX_CONNECTIONS -c, max_connections: usize = "12000" in whole(1, 1_000_000);
    /// Maximum players per address; 0 for no limit; unset is 1000, no limit for loopback
    /// `None` is [`MAX_CONNS_PER_IP_DEFAULT`](super::MAX_CONNS_PER_IP_DEFAULT).
    LIVE MAX_CONNS_PER_IP, max_conns_per_ip: Option<u32> = "" in whole(0, 1_000_000);
    /// New players per address and second; 0 for no limit; unset is 50, no limit for loopback
    /// `None` is [`IP_CONN_RATE_DEFAULT`](super::IP_CONN_RATE_DEFAULT).
    LIVE IP_CONN_RATE, ip_conn_rate: Option<u32> = "" in whole(0, 100_000);
    /// New players per address in a burst after a pause; 0 for no limit
    LIVE IP_CONN_BURST, ip_conn_burst: u32 = "100" in whole(0, 1_000_000);
    /// Maximum non-player connections per address; 0 for no limit; unset is 256, no limit for loopback
    /// `None` is [`HTTP_CONNS_PER_IP_DEFAULT`](super::HTTP_CONNS_PER_IP_DEFAULT).
    LIVE HTTP_CONNS_PER_IP, http_conns_per_ip: Option<u32> = "" in whole(0, 512);
    /// HTTP requests per address and second; 0 for no limit; unset is 1000, no limit for loopback
    /// `None` is [`HTTP_RATE_DEFAULT`](super::HTTP_RATE_DEFAULT).
    LIVE HTTP_RATE, http_rate: Option<u32> = "" in whole(0, 1_000_000);
    /// HTTP requests per address in a burst after a pause; 0 for no limit
    LIVE HTTP_BURST, http_burst: u32 = "10000" in whole(0, 1_000_000);
    /// Minimum bytes per second at which a client must read a response; 0 for no limit
    LIVE HTTP_MIN_RATE, http_min_rate: u32 = "2000" in whole(0, 1_000_000);
    /// Seconds an HTTP connection may stay idle between requests
    LIVE KEEPALIVE_TIMEOUT_SEC, keepalive_timeout_s: u32 = "75" in whole(1, 3_600);
    /// Proxies whose forwarding headers set the client's address
    RESTART TRUSTED_PROXIES, trusted_proxies: Vec<IpNet> = "" in Networks;
    /// Require a PROXY protocol header from trusted proxies
    RESTART PROXY_PROTOCOL, proxy_protocol: bool = "false" in Switch;
    /// Simulation ticks per second
    RESTART TICK_RATE -t, tick_rate_hz: u32 = "60" in whole(10, 128);
    /// Milliseconds between updates to a client
    LIVE BATCH_INTERVAL_MS, batch_interval_ms: u32 = "50" in whole(10, 1_000);
    /// Seconds between full snapshots to a client
    LIVE SYNC_INTERVAL_SEC, sync_interval_s: u32 = "5" in whole(1, 300);
    /// Maximum number of players shown to a client
    LIVE MAX_VISIBLE, max_visible: usize = "128" in whole(1, limits::INTEREST_SET_MAX as u64);
    /// Width of the world, in units Positions go from 0 up to and including it.
    RESTART WORLD_WIDTH, world_width: u16 = "2000" in whole(200, limits::WORLD_SIDE_MAX as u64);
    /// Height of the world, in units Positions go from 0 up to and including it.
    RESTART WORLD_HEIGHT, world_height: u16 = "2000" in whole(200, limits::WORLD_SIDE_MAX as u64);
    /// Left edge of the spawn area, in units, inclusive
    RESTART SPAWN_MIN_X, spawn_min_x: u16 = "100" in whole(0, limits::WORLD_SIDE_MAX as u64 - 1);
    /// Right edge of the spawn area, in units, exclusive
    RESTART SPAWN_MAX_X, spawn_max_x: u16 = "900" in whole(1, limits::WORLD_SIDE_MAX as u64);
    /// Top edge of the spawn area, in units, inclusive
    RESTART SPAWN_MIN_Y, spawn_min_y: u16 = "100" in whole(0, limits::WORLD_SIDE_MAX as u64 - 1);
    /// Bottom edge of the spawn area, in units, exclusive
    RESTART SPAWN_MAX_Y, spawn_max_y: u16 = "900" in whole(1, limits::WORLD_SIDE_MAX as u64);
    /// Seed of the spawn positions; unset uses the system's entropy
    RESTART SPAWN_SEED, spawn_seed: Option<u64> = "" in whole(0, u64::MAX);
    /// Units a player walks per client step, which is 1/24 s There are [`limits::CLIENT_STEPS_PER_S`] steps per second.
    RESTART PLAYER_SPEED, player_speed: Decimal = "4" in decimal(1, 50);
    /// Milliseconds an attack lasts
    RESTART ATTACK_DURATION_MS, attack_duration_ms: u32 = "1000" in whole(100, 60_000);
    /// Seconds a disconnected player's position is kept; 0 disables
    LIVE RESUME_TTL_SEC, resume_ttl_s: u32 = "300" in whole(0, limits::SESSION_TTL_S_MAX as u64);
    /// Path attribute of the session cookie
    LIVE COOKIE_PATH, cookie_path: String = "/" in CookiePath;
    /// Directory that keeps the positions of disconnected players across restarts
    RESTART STATE_DIR, state_dir: Option<PathBuf> = "" in Directory;
    /// Unix socket for ctl and takeovers; unset is in the runtime directory of the service or user, or in /tmp
    RESTART CONTROL_SOCKET, control_socket: Option<PathBuf> = "" in Socket;
    /// Redis that joins servers into one world; unset runs a single server
    RESTART CLUSTER_URL, cluster_url: Option<Secret> = "" in RedisUrl;
    /// Secret that authenticates the servers of a world; unset trusts every client of that Redis
    RESTART CLUSTER_SECRET, cluster_secret: Option<Secret> = "" in SharedSecret;
    /// Name of the world on that Redis
    RESTART CLUSTER_WORLD, cluster_world: String = "main" in Name;
    /// Name of this server on that Redis; unset is its host and port
    RESTART NODE_NAME, node_name: Option<String> = "" in Name;
    /// Messages per second a client may send
    LIVE RATE_LIMIT_MSG_SEC, rate_limit_msg_per_s: u32 = "60" in whole(1, 10_000);
    /// Messages a client may send in a burst after a pause
    LIVE RATE_LIMIT_BURST, rate_limit_burst: u32 = "60" in whole(1, 100_000);
    /// Bytes of WebSocket read buffer per connection
    RESTART READ_BUFFER_SIZE, read_buffer_bytes: usize = "256" in whole(256, 65_536);
    /// Maximum bytes of replies queued for a client At the maximum its socket is not read until they drain.
    LIVE WRITE_BUFFER_SIZE, write_buffer_bytes: usize = "4096" in whole(1_024, 65_536);
    /// Seconds between pings to a client
    LIVE PING_INTERVAL_SEC, ping_interval_s: u32 = "30" in whole(1, 3_600);
    /// Seconds of silence after which a client is disconnected
    LIVE IDLE_TIMEOUT_SEC, idle_timeout_s: u32 = "60" in whole(2, 7_200);
    /// Seconds after which a client that reads nothing is disconnected
    LIVE WRITE_STALL_SEC, write_stall_s: u32 = "30" in whole(1, 3_600);
    /// Seconds that clients have at shutdown to read their last bytes
    LIVE SHUTDOWN_TIMEOUT_SEC, shutdown_timeout_s: u32 = "5" in whole(1, 300);
    /// Least severe level that is logged At least debug when `debug` is set.
    LIVE LOG_LEVEL -l, log_level: LevelFilter = "info" in LogLevel;
    /// File to log to; unset logs to standard error
    RESTART LOG_FILE, log_file: Option<PathBuf> = "" in File;
    /// Format of log lines
    RESTART LOG_FORMAT, log_format: Format = "text" in LogFormat;
    /// Raise LOG_LEVEL to at least debug
    LIVE DEBUG -d, debug: bool = "false" in Switch;
}

/// Every variable of earlier servers that has no effect.
pub static RETIRED: &[Retired] = &[
    Retired { variable: "GOMAXPROCS", instead: "WORKERS sets the number of worker threads" },
    Retired { variable: "BROADCAST_WORKERS", instead: "WORKERS sets the number of worker threads" },
    Retired {
        variable: "RATE_LIMIT_WINDOW_MS",
        instead: "RATE_LIMIT_MSG_SEC and RATE_LIMIT_BURST limit messages without a window",
    },
    Retired { variable: "GOGC", instead: "memory per connection is bounded and needs no tuning" },
    Retired { variable: "GOMEMLIMIT", instead: "memory per connection is bounded and needs no tuning" },
    Retired {
        variable: "EVENT_CHANNEL_SIZE",
        instead: "there is no event queue; WRITE_BUFFER_SIZE bounds the replies queued for a client",
    },
];

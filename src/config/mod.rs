//! Turns flags and environment into one validated [`Config`]; no other module reads a flag or a variable.
//!
//! [`SETTINGS`] declares every setting. `command_line` parses the arguments and `env_file` the file they may name. `sources`
//! chooses between flag, file, variable and default, and `value` parses and validates the text. `render` prints, and `reload`
//! merges a new configuration into a running server's. [`parse`] is pure except that it reads that file, checks paths in the file system
//! and queries the number of cores.

mod address_range;
mod command_line;
mod decimal;
mod env_file;
mod reload;
mod render;
#[cfg(test)]
mod secret_tests;
mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod value;
#[cfg(test)]
mod value_tests;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use log::LevelFilter;

use crate::auth::Auth;
use crate::ops::printable::printable;
use crate::ops::secret::Secret;
pub use address_range::AddressRange;
pub use command_line::{ACTIONS, ActionFlag};
use command_line::{Action, CommandLine, ENV_FILE_FLAG};
pub use decimal::Decimal;
use env_file::EnvFile;
pub use reload::{Change, Reloaded};
pub use settings::{Allowed, Config, RETIRED, Retired, SETTINGS, Setting, WORKERS_MAX};
use sources::Sources;

impl Config {
    /// Returns the secrets in all settings, for [`crate::ops::secret::register`].
    pub fn secrets(&self) -> Vec<Secret> {
        self.values().iter().flat_map(|(setting, value)| setting.secrecy.secrets_in(value)).collect()
    }

    /// Returns the control socket: the configured one, or that in the runtime directory of the service, or else of the user, or
    /// else in `/tmp`. `None` if none is configured and the port is unknown. Both sides of a takeover check the other's user.
    pub fn control_socket(&self) -> Option<PathBuf> {
        let port = self.port;
        let directory = |variable| {
            let paths = std::env::var_os(variable)?;
            std::env::split_paths(&paths).next().filter(|path| path.is_absolute())
        };
        // Processes that share a port have a socket each.
        let node = self.node_name.as_deref().filter(|_| self.reuse_port);
        let suffix = node.map_or_else(String::new, |name| format!("-{name}"));
        let of_service = || Some(directory("RUNTIME_DIRECTORY")?.join(format!("control{suffix}.sock")));
        let of_user =
            || Some(directory("XDG_RUNTIME_DIR")?.join(format!("pixi-game-server-{port}{suffix}.sock")));
        let of_all = || {
            let user = std::fs::metadata("/proc/self").map_or(0, |own| own.uid());
            PathBuf::from(format!("/tmp/pixi-game-server-{user}-{port}{suffix}.sock"))
        };
        let default = || (port > 0).then(|| of_service().or_else(of_user).unwrap_or_else(of_all));
        self.control_socket.clone().or_else(default)
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
    /// Start a process that takes over, and wait for it.
    BackgroundTakeover,
    /// Take over the players of the server that runs with this configuration, and serve them; with the notices.
    TakeOver(Config, Vec<String>),
}

/// All problems of flags and environment; `Display` writes one per line. The caller prints them and exits with 2.
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
        Some(Action::BackgroundTakeover) => Command::BackgroundTakeover,
        Some(Action::TakeOver) => Command::TakeOver(config, notices),
        _ => Command::Run(config, notices),
    })
}

impl Config {
    /// Returns this configuration with another value of one live setting, checked as at a start.
    ///
    /// # Errors
    /// No setting has this name, it needs a restart, or the value is not allowed.
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Self, String> {
        let setting = SETTINGS.iter().find(|setting| setting.variable == name);
        let setting = setting.ok_or_else(|| format!("{name}: no such setting"))?;
        if !setting.is_live {
            return Err(format!("{name}: a change needs a restart"));
        }
        if matches!(setting.allowed, Allowed::Auth | Allowed::Directory | Allowed::ExistingFile) {
            return Err(format!("{name}: a change needs a reload, which reads its files"));
        }
        let values = self.values();
        let value_of = |variable: &str| {
            let known = values.iter().find(|(setting, _)| setting.variable == variable);
            let known = known.map(|(_, value)| value.as_str());
            (if variable == name { Some(value) } else { known }).map(OsString::from)
        };
        let (line, file) = (CommandLine::default(), EnvFile::default());
        let mut sources = Sources::new(&line, &file, &value_of);
        let config = read_config(&mut sources);
        let problems = sources.into_problems();
        if problems.is_empty() { Ok(config) } else { Err(problems.join("; ")) }
    }
}

fn read_config(sources: &mut Sources<'_>) -> Config {
    let mut config = Config::read(sources);
    config.workers = resolve_workers(config.workers);
    if config.debug {
        config.log_level = config.log_level.max(LevelFilter::Debug);
    }
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
        !sources.is_valid("HOST")
            || !admin.is_some_and(|admin| admin.addresses().any(|admin| conflict(game, admin))),
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
    sources.require(
        config.auth == Auth::None || config.auth_keys.is_some(),
        "AUTH",
        "none unless a file with keys is named by",
        "AUTH_KEYS",
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

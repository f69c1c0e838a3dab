//! Resolves a setting's value (flag, file, variable or default) and validates it. Problems are collected, and the default
//! replaces an invalid value, so that one pass finds all problems.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use log::LevelFilter;

use super::command_line::CommandLine;
use super::env_file::EnvFile;
use super::settings::{Allowed, RETIRED, SETTINGS, Setting, flag_of};
use crate::admission::origins::AllowedOrigins;
use crate::cluster::link::Address;
use crate::limits::{CLUSTER_SECRET_BYTES, COOKIE_PATH_BYTES_MAX, NODE_NAME_BYTES_MAX};
use crate::ops::logging::Format;
use crate::ops::secret::Secret;

/// Flags, environment file and environment, with the problems found so far.
pub(super) struct Sources<'a> {
    line: &'a CommandLine,
    file: &'a EnvFile,
    env: &'a dyn Fn(&str) -> Option<OsString>,
    /// One line for each problem.
    problems: Vec<String>,
    /// Variables of the settings with an invalid value. Their relations to other settings are not checked.
    invalid: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Flag,
    File,
    Variable,
    Default,
}

/// A setting's value as given; `Display` writes its origin and masks secrets.
struct Given<'a> {
    variable: &'static str,
    origin: Origin,
    text: String,
    file: &'a EnvFile,
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &*setting(self.variable).secrecy.redacted_unvalidated(&self.text);
        match self.origin {
            Origin::File => write!(out, "{}: {}={text}", self.file.position(self.variable), self.variable),
            Origin::Flag if text.is_empty() => write!(out, "--{} ''", flag_of(self.variable)),
            Origin::Flag => write!(out, "--{} {text}", flag_of(self.variable)),
            Origin::Variable => write!(out, "{}={text}", self.variable),
            Origin::Default => write!(out, "{}={text} (the default)", self.variable),
        }
    }
}

impl<'a> Sources<'a> {
    pub fn new(line: &'a CommandLine, file: &'a EnvFile, env: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self { line, file, env, problems: line.problems.clone(), invalid: Vec::new() }
    }

    /// Returns every problem found, one per line; empty if all values are valid.
    pub fn into_problems(self) -> Vec<String> {
        self.problems
    }

    /// Returns one line per variable or flag of earlier servers that is set.
    pub fn notices(&self) -> Vec<String> {
        let set = RETIRED.iter().filter_map(|retired| {
            let variable = retired.variable;
            // The value is not validated, so it is not printed.
            let place = match self.lookup(variable)?.0 {
                Origin::File => format!("{}: {variable}", self.file.position(variable)),
                Origin::Flag => format!("--{}", flag_of(variable)),
                Origin::Variable | Origin::Default => variable.to_owned(),
            };
            Some(format!("{place} has no effect: {}", retired.instead))
        });
        set.collect()
    }

    /// Reads a whole number.
    pub fn whole<T: TryFrom<u64>>(&mut self, variable: &str) -> T {
        self.read(variable, whole)
    }

    /// Reads a whole number that may be unset.
    pub fn optional_whole<T: TryFrom<u64>>(&mut self, variable: &str) -> Option<T> {
        self.read_optional(variable, whole)
    }

    /// Reads an address; `localhost` is 127.0.0.1.
    pub fn address(&mut self, variable: &str) -> IpAddr {
        self.read(variable, |_, text| {
            if text.eq_ignore_ascii_case("localhost") {
                Some(Ipv4Addr::LOCALHOST.into())
            } else {
                address(text)
            }
        })
    }

    /// Reads an address and a port, which may be unset; `localhost` is 127.0.0.1.
    pub fn socket_address(&mut self, variable: &str) -> Option<SocketAddr> {
        self.read_optional(variable, |_, text| match text.rsplit_once(':') {
            Some((host, port)) if host.eq_ignore_ascii_case("localhost") => {
                format!("{}:{port}", Ipv4Addr::LOCALHOST).parse().ok()
            }
            _ => text.parse().ok(),
        })
    }

    /// Reads a list of origins.
    pub fn origins(&mut self, variable: &str) -> AllowedOrigins {
        self.read(variable, |_, text| AllowedOrigins::parse(list(text)))
    }

    /// Reads a log level.
    pub fn log_level(&mut self, variable: &str) -> LevelFilter {
        self.read(variable, |_, text| {
            if text.eq_ignore_ascii_case("warning") { Some(LevelFilter::Warn) } else { text.parse().ok() }
        })
    }

    /// Reads a log format.
    pub fn log_format(&mut self, variable: &str) -> Format {
        self.read(variable, |_, text| Format::named(&text.to_ascii_lowercase()))
    }

    /// Reads a list of networks, empty when unset.
    pub fn networks(&mut self, variable: &str) -> Vec<IpNet> {
        self.read_optional(variable, |_, text| list(text).split(',').map(network).collect())
            .unwrap_or_default()
    }

    /// Reads a boolean.
    pub fn switch(&mut self, variable: &str) -> bool {
        self.read(variable, |_, text| match &*text.to_ascii_lowercase() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        })
    }

    /// Reads a path that may be unset.
    pub fn path(&mut self, variable: &str) -> Option<PathBuf> {
        self.read_optional(variable, path)
    }

    /// Reads a Redis URL that may be unset.
    pub fn redis_url(&mut self, variable: &str) -> Option<Secret> {
        self.read_optional(variable, |_, text| Address::parse(text).map(|(url, _)| Secret::new(url)))
    }

    /// Reads a shared secret that may be unset.
    pub fn shared_secret(&mut self, variable: &str) -> Option<Secret> {
        self.read_optional(variable, |_, text| {
            let is_fit = CLUSTER_SECRET_BYTES.contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic());
            is_fit.then(|| Secret::new(text))
        })
    }

    /// Reads a cookie path.
    pub fn cookie_path(&mut self, variable: &str) -> String {
        self.read(variable, cookie_path)
    }

    /// Reads a name.
    pub fn name(&mut self, variable: &str) -> String {
        self.read(variable, name)
    }

    /// Reads a name that may be unset.
    pub fn optional_name(&mut self, variable: &str) -> Option<String> {
        self.read_optional(variable, name)
    }

    /// Reports a violated relation between two settings, unless one of them is already invalid.
    pub fn require(&mut self, holds: bool, left: &'static str, relation: &str, right: &'static str) {
        if holds || self.invalid.contains(&left) || self.invalid.contains(&right) {
            return;
        }
        let (left, right) = (self.given(setting(left)), self.given(setting(right)));
        self.problems.push(format!("{left}: must be {relation} {right}"));
    }

    /// Returns whether a setting that was read has a valid value.
    pub fn is_valid(&self, variable: &str) -> bool {
        !self.invalid.contains(&variable)
    }

    fn read<T>(&mut self, variable: &str, parse: impl Fn(Allowed, &str) -> Option<T>) -> T {
        let setting = setting(variable);
        let given = self.given(setting);
        let is_exposed = given.origin == Origin::Flag && setting.secrecy.is_present_in(&given.text);
        let value = if is_exposed { None } else { parse(setting.allowed, &given.text) };
        value.unwrap_or_else(|| {
            let problem = if is_exposed {
                format!(
                    "--{}: refused, since every user of this machine can read flags: set this secret as {variable} in the \
                     environment or in the file of --env-file",
                    flag_of(variable)
                )
            } else {
                format!("{given}: expected {}", setting.allowed)
            };
            self.report(setting, problem);
            parse(setting.allowed, setting.default).expect("defaults are valid: a test parses them all")
        })
    }

    /// Reads an optional value. An empty text is unset, so that an empty flag overrides the environment.
    fn read_optional<T>(&mut self, variable: &str, parse: impl Fn(Allowed, &str) -> Option<T>) -> Option<T> {
        self.read(
            variable,
            |allowed, text| if text.is_empty() { Some(None) } else { parse(allowed, text).map(Some) },
        )
    }

    fn report(&mut self, setting: &Setting, problem: String) {
        self.invalid.push(setting.variable);
        self.problems.push(problem);
    }

    fn given(&mut self, setting: &Setting) -> Given<'a> {
        let (variable, file) = (setting.variable, self.file);
        let default = || Given { variable, origin: Origin::Default, text: setting.default.to_owned(), file };
        match self.lookup(variable).map(|(origin, text)| (origin, text.into_string())) {
            Some((origin, Ok(text))) => Given { variable, origin, text, file },
            Some((_, Err(text))) => {
                let text = text.to_string_lossy();
                let shown = setting.secrecy.redacted_unvalidated(&text);
                self.report(setting, format!("{variable}={shown}: not valid UTF-8"));
                default()
            }
            None => default(),
        }
    }

    /// Looks up a value: a flag wins over the file, the file over the environment. An empty value counts as unset, except in
    /// a flag. Surrounding spaces are trimmed.
    fn lookup(&self, variable: &str) -> Option<(Origin, OsString)> {
        if let Some(text) = self.line.values.get(&flag_of(variable)) {
            return Some((Origin::Flag, text.trim().into()));
        }
        if let Some(text) = self.file.value(variable).map(str::trim).filter(|text| !text.is_empty()) {
            return Some((Origin::File, text.into()));
        }
        let text = (self.env)(variable)?;
        let text = text.to_str().map_or_else(|| text.clone(), |text| text.trim().into());
        (!text.is_empty()).then_some((Origin::Variable, text))
    }
}

/// Trims commas and spaces at the end of a list.
fn list(text: &str) -> &str {
    text.trim_end_matches(|character: char| character == ',' || character.is_whitespace())
}

/// Parses an address; an IPv6 address may be in brackets, as before a port.
fn address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => text.parse().ok(),
    }
}

fn name(_: Allowed, text: &str) -> Option<String> {
    let is_fit = |character: char| character.is_ascii_alphanumeric() || ".:-_".contains(character);
    let fits = !text.is_empty() && text.len() <= NODE_NAME_BYTES_MAX && text.chars().all(is_fit);
    fits.then(|| text.to_owned())
}

fn cookie_path(_: Allowed, text: &str) -> Option<String> {
    let is_fit = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    let fits = text.starts_with('/') && text.len() <= COOKIE_PATH_BYTES_MAX && text.bytes().all(is_fit);
    fits.then(|| text.to_owned())
}

/// Returns the setting of this variable.
pub(super) fn setting(variable: &str) -> &'static Setting {
    SETTINGS.iter().find(|setting| setting.variable == variable).expect("only settings of the table are read")
}

fn whole<T: TryFrom<u64>>(allowed: Allowed, text: &str) -> Option<T> {
    let Allowed::Whole { min, max } = allowed else { return None };
    let number = text.parse().ok().filter(|number| (min..=max).contains(number))?;
    T::try_from(number).ok()
}

/// Parses a network or a single address; bits beyond the prefix are ignored. An IPv4-mapped IPv6 address would match no peer
/// and is refused.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let (host, prefix) = text.split_once('/').map_or((text, None), |(host, prefix)| (host, Some(prefix)));
    let address = address(host)?;
    let network = match prefix {
        Some(prefix) => format!("{address}/{prefix}").parse().ok()?,
        None => IpNet::from(address),
    };
    (network.addr().to_canonical() == network.addr()).then_some(network.trunc())
}

/// Parses a path. Control characters are refused, so that a printed configuration has one line per setting.
fn path(allowed: Allowed, text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    let fits = if allowed == Allowed::Directory { path.is_dir() } else { !path.is_dir() };
    (fits && !text.contains(char::is_control)).then_some(path)
}

//! Server endpoints: parsing of host and port, and name resolution.

mod target;

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

pub use target::Target;

/// Default port: the game's.
const PORT: u16 = 8108;

/// Longest host name and longest label, in bytes (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// A server's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The text without scheme, path and trailing slashes.
    pub name: String,
    /// The host: an address, or a name that is not resolved yet.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Server {
    /// Parses `host`, `host:port`, `[v6]:port` or a bare address, without resolving names. The text may begin with
    /// one of `schemes` and end with one of `paths`. Returns `None` for an invalid address.
    pub fn parse(text: &str, schemes: &[&str], paths: &[&str]) -> Option<Server> {
        let name = text.trim();
        let name = schemes.iter().find_map(|scheme| name.strip_prefix(scheme)).unwrap_or(name);
        let name = name.trim_end_matches('/');
        let name = paths.iter().find_map(|path| name.strip_suffix(path)).unwrap_or(name);
        let (host, port) = host_and_port(name, PORT)?;
        Some(Server { name: name.to_owned(), host, port })
    }

    /// Returns the server at this address.
    pub fn at(address: SocketAddr) -> Server {
        Server { name: address.to_string(), host: address.ip().to_string(), port: address.port() }
    }
}

/// Parses a comma-separated list of at most `most` servers. Each may begin with one of `schemes` and end with one of
/// `paths`.
pub fn servers(text: &str, most: usize, schemes: &[&str], paths: &[&str]) -> Option<Vec<Server>> {
    let text = text.trim_end_matches([',', ' ']);
    let servers =
        text.split(',').map(|text| Server::parse(text, schemes, paths)).collect::<Option<Vec<_>>>()?;
    (servers.len() <= most).then_some(servers)
}

/// Parses a host and its port; `port` is the default. Returns `None` for an invalid address.
pub fn host_and_port(text: &str, port: u16) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() > 0).then(|| (address.ip().to_string(), address.port()));
    }
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Ok(address) = bracketed.map_or_else(|| text.parse(), |text| text.parse().map(IpAddr::V6)) {
        return Some((address.to_string(), port));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, digits.parse().ok().filter(|&port| port > 0)?)
        }
        Some(_) => return None,
        None => (text, port),
    };
    is_name(name).then(|| (name.to_owned(), port))
}

/// Whether the text is a valid host name. A last label of digits only is a mistyped address (`10.0.0.256`).
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(allowed) && !label.starts_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= NAME_BYTES_MAX
        && text.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Name resolution of a host on a separate thread, since the system's resolver may block for half a minute. The
/// result is cached until [`Lookup::forget`].
#[derive(Debug)]
pub struct Lookup {
    host: String,
    port: u16,
    found: Vec<SocketAddr>,
    /// The pending resolution. There is at most one.
    pending: Option<Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl Lookup {
    /// Returns a lookup that has not resolved anything yet.
    pub fn new(host: String, port: u16) -> Lookup {
        Lookup { host, port, found: Vec::new(), pending: None }
    }

    /// Waits for the addresses. A resolution that exceeds the deadline continues, and the next call waits for it.
    ///
    /// # Errors
    /// The name does not resolve, or not in time.
    pub fn addresses(&mut self, deadline: Instant) -> Result<&[SocketAddr], String> {
        let name = &self.host;
        if self.found.is_empty() {
            let pending = match self.pending.take() {
                Some(pending) => pending,
                None => resolve(name.clone(), self.port).map_err(|error| error.to_string())?,
            };
            match pending.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(found)) => self.found = found,
                Ok(Err(error)) => return Err(unresolved(name, &error)),
                Err(RecvTimeoutError::Timeout) => {
                    self.pending = Some(pending);
                    return Err(format!("the name {name} does not resolve in time"));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(format!("{name}: the resolver failed")),
            }
        }
        Ok(&self.found)
    }

    /// Drops the cached addresses after a failed connection. The next call resolves the name again.
    pub fn forget(&mut self) {
        self.found.clear();
    }
}

fn resolve(name: String, port: u16) -> io::Result<Receiver<io::Result<Vec<SocketAddr>>>> {
    let (sender, answer) = sync_channel(1);
    thread::Builder::new().name("lookup".to_owned()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs();
        // Fails if the lookup has been dropped.
        let _ = sender.send(found.map(|found| found.take(ADDRESSES_MAX).collect()));
    })?;
    Ok(answer)
}

fn unresolved(name: &str, error: &io::Error) -> String {
    let error = error.to_string();
    let why = error.strip_prefix("failed to lookup address information: ").unwrap_or(&error);
    format!("the name {name} does not resolve: {why}")
}

/// Resolves a host once.
///
/// # Errors
/// The name does not resolve, or not in time.
pub fn addresses(host: &str, port: u16, timeout: Duration) -> Result<Vec<SocketAddr>, String> {
    let mut lookup = Lookup::new(host.to_owned(), port);
    lookup.addresses(Instant::now() + timeout).map(<[SocketAddr]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, u16)> {
        host_and_port(text, PORT)
    }

    #[test]
    fn parses_addresses_and_names_and_rejects_other_text() {
        let address = str::to_owned;
        assert_eq!(read("127.0.0.1"), Some((address("127.0.0.1"), PORT)));
        assert_eq!(read("127.0.0.1:9"), Some((address("127.0.0.1"), 9)));
        assert_eq!(read("[::1]:9"), Some((address("::1"), 9)));
        assert_eq!(
            (read("[::1]"), read("::1")),
            (Some((address("::1"), PORT)), Some((address("::1"), PORT)))
        );
        for name in ["localhost", "game.example", "a_b.c-d.example.", "4you", "1.2.3.4.example"] {
            assert_eq!(read(name), Some((name.to_owned(), PORT)), "{name}");
            assert_eq!(read(&format!("{name}:65535")), Some((name.to_owned(), 65_535)), "{name}");
        }
        let long = ["a".repeat(64), vec!["a"; 128].join(".")];
        let malformed =
            ["", ":1", "a:", "a:0", "a:65536", "a:x", "a:+1", "a b", "a..b", ".", "-a", "a/b", "ü"];
        let numbers =
            ["10.0.0.256", "1.2.3", "300", "127.0.0.1:0", "127.0.0.1:x", "[::1", "[::1]:x", "[a]:1"];
        for text in malformed.into_iter().chain(numbers).chain(long.iter().map(String::as_str)) {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn an_unresolvable_name_is_reported_and_retried() {
        let mut lookup = Lookup::new("no-such-host.invalid".to_owned(), 1);
        let deadline = Instant::now() + Duration::from_mins(1);
        for _ in 0..2 {
            let problem = lookup.addresses(deadline).unwrap_err();
            assert!(problem.starts_with("the name no-such-host.invalid does not resolve: "), "{problem}");
        }
    }

    #[test]
    fn a_slow_resolution_times_out_and_is_not_repeated() {
        let (sender, answer) = sync_channel(1);
        let mut lookup = Lookup::new("slow.example".to_owned(), 1);
        lookup.pending = Some(answer);
        let problem = lookup.addresses(Instant::now()).unwrap_err();
        assert_eq!(problem, "the name slow.example does not resolve in time");
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        sender.send(Ok(vec![address])).unwrap();
        assert_eq!(lookup.addresses(Instant::now()), Ok(&[address][..]), "the pending resolution was kept");
        assert_eq!(lookup.addresses(Instant::now()), Ok(&[address][..]), "the result is cached");
        lookup.forget();
        assert!(lookup.found.is_empty());
    }
}

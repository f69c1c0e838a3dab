//! The addresses of a server as a browser opens them, for the last line of its start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::pages::{DASHBOARD, PLAY};
use super::routes::METRICS;
use crate::config::Config;

/// Returns the name and URL of each page that a browser on this machine can open. `has_front_page`: `STATIC_DIR` has an
/// `index.html`. With `PROXY_PROTOCOL`, browsers reach the public listener only through its proxy, whose address is not known.
pub fn browser_addresses(
    config: &Config,
    has_front_page: bool,
    public: SocketAddr,
    admin: Option<SocketAddr>,
) -> Vec<(&'static str, String)> {
    let public = (!config.proxy_protocol).then_some(public);
    let game = public.filter(|_| has_front_page).map(|address| ("game", address, "/"));
    let play = public.map(|address| ("play", address, PLAY));
    let operators = admin.or(public).into_iter();
    let operators =
        operators.flat_map(|address| [("dashboard", address, DASHBOARD), ("metrics", address, METRICS[0])]);
    let all = game.into_iter().chain(play).chain(operators);
    all.map(|(name, address, path)| (name, format!("http://{}{path}", on_this_machine(address)))).collect()
}

/// Returns an address to connect to from this machine: no browser opens the address that stands for all.
fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(config: &Config, has_front_page: bool, public: &str, admin: Option<&str>) -> Vec<String> {
        let parse = |text: &str| text.parse().unwrap();
        let found = browser_addresses(config, has_front_page, parse(public), admin.map(parse));
        found.into_iter().map(|(name, url)| format!("{name} {url}")).collect()
    }

    #[test]
    fn one_listener_serves_all() {
        let config = Config::default();
        let all = ["game http://127.0.0.1:8108/", "play http://127.0.0.1:8108/play"];
        let operators =
            ["dashboard http://127.0.0.1:8108/dashboard", "metrics http://127.0.0.1:8108/metrics"];
        let expected = [&all[..], &operators].concat();
        assert_eq!(addresses(&config, true, "0.0.0.0:8108", None), expected);
        assert_eq!(addresses(&config, false, "0.0.0.0:8108", None), expected[1..]);
        assert_eq!(addresses(&config, false, "[::]:1", None)[0], "play http://[::1]:1/play");
        assert_eq!(addresses(&config, false, "192.0.2.1:80", None)[0], "play http://192.0.2.1:80/play");
    }

    #[test]
    fn an_admin_listener_serves_the_operators() {
        let found = addresses(&Config::default(), false, "0.0.0.0:8108", Some("10.0.0.1:9108"));
        let expected = [
            "play http://127.0.0.1:8108/play",
            "dashboard http://10.0.0.1:9108/dashboard",
            "metrics http://10.0.0.1:9108/metrics",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn behind_the_proxy_protocol_a_browser_reaches_only_the_admin_listener() {
        let config = Config { proxy_protocol: true, ..Config::default() };
        assert_eq!(addresses(&config, true, "0.0.0.0:8108", None), [] as [&str; 0]);
        let found = addresses(&config, true, "0.0.0.0:8108", Some("0.0.0.0:9108"));
        let expected = ["dashboard http://127.0.0.1:9108/dashboard", "metrics http://127.0.0.1:9108/metrics"];
        assert_eq!(found, expected);
    }
}

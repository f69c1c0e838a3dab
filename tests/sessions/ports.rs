//! Several servers on one host: browsers key cookies by host and ignore the port.

use game_client::Vector;

use super::server;
use crate::support::cookie_jar::CookieJar;
use crate::support::http::Response;
use crate::support::raw::{Raw, UPGRADE};
use crate::support::walker::walk;
use crate::support::{Client, Server, Settings, wait_for_acks};

/// The cookie that an upgrade with this `Host` sets.
fn set_for(server: &Server, host: &str) -> String {
    let response: Response =
        Raw::exchange(server.address(), UPGRADE.replacen("Host: localhost", &format!("Host: {host}"), 1));
    assert_eq!(response.status, 101, "{host}");
    response.header("set-cookie").expect("a cookie").to_owned()
}

#[test]
fn two_servers_on_one_host_use_separate_cookies() {
    let servers = [server(), server()];
    let mut jar = CookieJar::default();
    let visit = |server: &Server, jar: &mut CookieJar| {
        let (address, authority) = (server.address(), server.address().to_string());
        Client::connect_with_cookies(address, &authority, "/ws", jar)
    };
    for (server, way) in servers.iter().zip([Vector::DOWN, Vector::RIGHT]) {
        let mut clients = [visit(server, &mut jar)];
        walk(&mut clients, 0, way, 10);
        wait_for_acks(&mut clients);
    }
    for server in &servers {
        server.wait_for_players(0);
    }
    assert_eq!(jar.len(), 2);
    assert_eq!(visit(&servers[0], &mut jar).position(), (500, 540));
    assert_eq!(visit(&servers[1], &mut jar).position(), (540, 500));
    assert_eq!(jar.len(), 2, "the next token replaces the previous one");
}

#[test]
fn the_cookie_name_contains_the_requested_port() {
    let server = server();
    let own = server.address().port().to_string();
    for (host, port) in [
        ("game.example:8108", "8108"),
        ("game.example", "80"),
        ("[::1]:8109", "8109"),
        ("game.example:99999", "80"),
        ("", &*own),
    ] {
        let set = set_for(&server, host);
        assert!(set.starts_with(&format!("pixi_resume_{port}=")), "{host}: {set}");
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{host}: {set}");
    }
}

#[test]
fn the_cookie_path_is_configurable() {
    let server = Settings::new().set("COOKIE_PATH", "/game").start();
    let set = set_for(&server, "game.example");
    assert!(set.ends_with("; Path=/game; HttpOnly; SameSite=Lax"), "{set}");
}

//! A proxy that serves the game below a path and strips the path from forwarded requests.

use game_client::Vector;

use super::programs::Proxy;
use crate::support::cookie_jar::CookieJar;
use crate::support::walker::walk;
use crate::support::{Client, Server, Settings, wait_for_acks};

fn nginx(server: &Server) -> Proxy {
    Proxy::nginx_before(server, "/game/", "/", "proxy_set_header Host $http_host;\n")
}

/// Lets a player walk, leave and reconnect through the proxy. Returns the browser's cookies.
fn reconnect_through(settings: &Settings) -> (CookieJar, String) {
    let server = settings.clone().spawn_at(500, 500).start();
    let proxy = nginx(&server);
    let (address, authority) = (proxy.place.address, proxy.place.address.to_string());
    let mut jar = CookieJar::default();
    let mut clients = [Client::connect_with_cookies(address, &authority, "/game/ws", &mut jar)];
    walk(&mut clients, 0, Vector::DOWN, 10);
    wait_for_acks(&mut clients);
    drop(clients);
    server.wait_for_players(0);
    let back = Client::connect_with_cookies(address, &authority, "/game/ws", &mut jar);
    assert_eq!(back.position(), (500, 540));
    assert_eq!(jar.len(), 1);
    let cookie = back.cookie.expect("a cookie");
    assert!(cookie.starts_with(&format!("pixi_resume_{}=", address.port())), "the proxy's port: {cookie}");
    (jar, authority)
}

#[test]
fn a_browser_keeps_the_cookie_of_a_game_below_a_path() {
    let (jar, authority) = reconnect_through(&Settings::new());
    assert!(jar.header(&authority, "/").is_some());
}

#[test]
fn a_cookie_with_the_game_path_is_sent_to_no_other_path() {
    let (jar, authority) = reconnect_through(&Settings::new().set("COOKIE_PATH", "/game"));
    assert!(jar.header(&authority, "/game/ws").is_some());
    for path in ["/", "/other/ws", "/gamesomething"] {
        assert_eq!(jar.header(&authority, path), None, "{path}");
    }
}

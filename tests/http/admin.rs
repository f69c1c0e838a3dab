//! The admin listener: its resources, the resources that players lose, and its separate connections.

use crate::support::http::{get, request};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::server::program;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings};

/// Most simultaneous connections of the admin listener.
const CONNECTIONS_MAX: usize = 16;

/// More connections than the public listener allows for plain HTTP.
const HTTP_CONNECTIONS: usize = 520;

fn with_admin() -> Server {
    Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start()
}

#[test]
fn metrics_move_to_the_admin_listener() {
    let server = with_admin();
    let (game, admin) = (server.address(), server.admin_address());
    assert_ne!(game.port(), admin.port());
    let _player = Client::join(&server);
    for path in ["/metrics", "/metrics/prometheus", "/metrics?x=1"] {
        assert_eq!(get(game, path).status, 404, "{path} for players");
        assert_eq!(get(admin, path).status, 200, "{path} for operators");
    }
    assert_eq!(server.admin_metrics()["players"], 1);
    assert!(get(admin, "/metrics/prometheus").text().contains("\npixi_players 1\n"));
}

#[test]
fn the_admin_listener_serves_health_but_no_game_and_no_files() {
    let server = with_admin();
    let (game, admin) = (server.address(), server.admin_address());
    assert_eq!((get(game, "/health").status, get(admin, "/health").status), (200, 200));
    assert_eq!((get(game, "/").status, get(admin, "/").status), (200, 404));
    assert_eq!(Raw::exchange(admin, UPGRADE).status, 404, "the admin listener has no game");
    assert_eq!(request(admin, "POST", "/metrics", &[]).status, 405);
    assert_eq!(server.admin_metrics()["players"], 0);
}

#[test]
fn without_the_setting_one_port_serves_everything() {
    let server = Server::start();
    assert_eq!(get(server.address(), "/metrics").status, 200);
    assert_eq!(server.admin_address(), server.address());
}

#[test]
fn the_health_check_connects_to_the_public_listener() {
    let server = with_admin();
    let port = server.address().port().to_string();
    let output = program()
        .envs([("HOST", "127.0.0.1"), ("PORT", &port), ("ADMIN_ADDR", "127.0.0.1:1")])
        .arg("--health-check")
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn players_cannot_exhaust_the_admin_connections() {
    let server = with_admin();
    let silent: Vec<_> = (0..HTTP_CONNECTIONS).map(|_| Raw::connect(server.address())).collect();
    wait_until("the public listener to be full", || {
        server.admin_metrics()["refused"]["handshake_displaced"].as_u64() > Some(0)
    });
    assert_eq!(get(server.admin_address(), "/health").status, 200);
    assert_eq!(get(server.address(), "/health").status, 200, "an idle connection is closed");
    drop(silent);
}

#[test]
fn new_admin_connections_replace_idle_ones() {
    let server = with_admin();
    let admin = server.admin_address();
    let mut held: Vec<_> = (0..CONNECTIONS_MAX).map(|_| Raw::connect(admin)).collect();
    for raw in held.iter_mut().skip(1) {
        raw.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(raw.response().status, 200);
    }
    for gone in 1..CONNECTIONS_MAX {
        assert_eq!(get(admin, "/health").status, 200, "an idle connection is closed");
        assert!(gone > 1 || held[1].read_to_end().is_empty());
    }
    let _player = Client::join(&server);
    drop(held);
    for _ in 0..3 * CONNECTIONS_MAX {
        assert_eq!(get(admin, "/health").status, 200, "each slot is reused");
    }
    assert_eq!(server.admin_metrics()["refused"]["full"], 0);
}

#[test]
fn a_silent_admin_connection_times_out() {
    let server = with_admin();
    let mut silent = Raw::connect(server.admin_address());
    assert_eq!(silent.read_to_end(), b"", "the server closes without a response after ten seconds");
    assert_eq!(server.admin_metrics()["refused"]["handshake_timeout"], 1);
}

//! Shutdown: clients receive 1001, the drain has a timeout, and a second signal skips the rest of it.

use game_client::{ReplicaOptions, Vector};
use nix::sys::signal::Signal;

use crate::support::client::replica_options;
use crate::support::http::get;
use crate::support::raw::{CLOSE, Raw, UPGRADE};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, now_ms, poll_until};

const PLAYERS: usize = 200;

fn wait_for_drain(server: &Server) {
    wait_until("the drain", || get(server.address(), "/health").status == 503);
}

/// Stops a server with many players, and asserts that each of them receives 1001.
fn stop_with(signal: Signal) {
    let mut server = Server::start();
    let mut clients = Client::join_many(&server, PLAYERS, replica_options());
    server.signal(signal);
    poll_until(&mut clients, "every connection to end", |clients| clients.iter().all(|client| client.ended));
    for client in &clients {
        assert_eq!(client.close_code, Some(1001), "{client:?}");
    }
    assert_eq!(server.wait_for_exit().code(), Some(0));
}

#[test]
fn sigterm_closes_all_clients_and_exits_with_0() {
    stop_with(Signal::SIGTERM);
}

#[test]
fn sigint_closes_all_clients_and_exits_with_0() {
    stop_with(Signal::SIGINT);
}

#[test]
fn the_players_on_the_screens_of_closed_clients_stand_still() {
    let mut server = Settings::new().set("SPAWN_SEED", 3).start();
    let options = ReplicaOptions { loading_ms: 0, ..replica_options() };
    let mut clients = Client::join_many(&server, 12, options);
    // Every second player walks when the signal arrives; every fourth has only now turned or stopped.
    for client in clients.iter_mut().step_by(2) {
        client.send_short_move(Vector::RIGHT, 1);
    }
    poll_until(&mut clients, "all clients to show all walking players", |clients| {
        clients.iter().all(|client| {
            let walking = client.replica.shown().filter(|remote| remote.vector == Vector::RIGHT).count();
            walking >= 5 && client.visible().len() == 11
        })
    });
    for (at, client) in clients.iter_mut().enumerate().step_by(4) {
        client.send_short_move([Vector::ZERO, Vector::DOWN][at / 4 % 2], 2);
    }
    server.signal(Signal::SIGTERM);
    poll_until(&mut clients, "every connection to end", |clients| clients.iter().all(|client| client.ended));
    for client in &mut clients {
        assert_eq!(client.close_code, Some(1001), "{client:?}");
        let drawn = |client: &Client| -> Vec<_> {
            client.replica.shown().map(|remote| (remote.id, remote.x, remote.y)).collect()
        };
        let before = drawn(client);
        assert_eq!(before.len(), 11, "{client:?}");
        client.replica.advance(now_ms() + 60_000);
        assert_eq!(drawn(client), before, "{client:?}");
    }
    assert_eq!(server.wait_for_exit().code(), Some(0));
}

#[test]
fn a_server_without_players_exits_at_once() {
    let mut server = Settings::new().set("SHUTDOWN_TIMEOUT_SEC", 300).start();
    let _idle = Raw::connect(server.address());
    server.terminate();
}

#[test]
fn a_draining_server_reports_it_and_refuses_players() {
    let mut server = Server::start();
    let mut stubborn = Raw::upgraded(server.address());
    server.signal(Signal::SIGTERM);
    wait_for_drain(&server);
    let health = get(server.address(), "/health");
    assert_eq!(health.status, 503);
    assert!(health.text().contains("\"draining\""), "{}", health.text());
    assert_eq!(Raw::exchange(server.address(), UPGRADE).status, 503);
    // This client received its Close and ignores it; the server exits nevertheless.
    assert_eq!(stubborn.next_frame_of(CLOSE).payload[..2], 1001_u16.to_be_bytes());
    assert_eq!(server.wait_for_exit().code(), Some(0));
}

#[test]
fn a_second_signal_exits_at_once() {
    let mut server = Settings::new().set("SHUTDOWN_TIMEOUT_SEC", 300).start();
    let _stubborn = Raw::upgraded(server.address());
    server.signal(Signal::SIGTERM);
    wait_for_drain(&server);
    server.signal(Signal::SIGTERM);
    assert_ne!(server.wait_for_exit().code(), Some(0), "the drain was cut short");
}

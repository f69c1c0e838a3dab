//! Token rotation: every reconnect issues a token, which may get lost. A session reconnects once a second at most.

use std::time::{Duration, Instant};

use game_client::Vector;

use super::server;
use crate::support::raw::{Raw, upgrade_with_cookie};
use crate::support::wait::wait_until;
use crate::support::walker::{cookie_of_walked_client, walked_client};
use crate::support::{Client, Server, wait_for, wait_for_acks};

/// A player that has reconnected once, and the cookie that it used. Its client may be silent.
fn reconnected(server: &Server) -> (Client, String) {
    let first = cookie_of_walked_client(server);
    (Client::reconnect(server, &first), first)
}

#[test]
fn a_cookie_is_invalid_after_its_successor_was_used() {
    let server = server();
    let (mut client, first) = reconnected(&server);
    client.step(Vector::ZERO);
    wait_for_acks(std::slice::from_mut(&mut client));
    let copy = Client::reconnect(&server, &first);
    assert_eq!(copy.position(), (500, 500));
    assert_eq!(
        (server.reconnects("miss"), server.reconnects("second_tab")),
        (1, 0),
        "no connection was checked"
    );
    let second = client.cookie();
    drop((client, copy));
    server.wait_for_players(0);
    let at_first = Client::reconnect(&server, &first).position();
    wait_until("a reconnect to be allowed", || Client::reconnect(&server, &second).position() == (500, 540));
    assert_eq!(at_first, (500, 500));
}

#[test]
fn a_cookie_is_valid_while_its_successor_is_unconfirmed() {
    let server = server();
    let first = cookie_of_walked_client(&server);
    // Its response is never read, and it sends no frame.
    let mut lost = Raw::connect(server.address());
    lost.send(upgrade_with_cookie(&first).as_bytes());
    wait_until("the reconnect", || server.reconnects("hit") == 1);
    let back = Client::reconnect(&server, &first);
    assert_eq!(back.position(), (500, 540));
    assert_eq!((server.reconnects("taken_over"), server.count("players")), (1, 1));
}

#[test]
fn a_cookie_is_valid_after_an_unconfirmed_connection_broke() {
    let server = server();
    let (client, first) = reconnected(&server);
    let second = client.cookie();
    client.reset();
    server.wait_for_players(0);
    wait_until("a reconnect to be allowed", || Client::reconnect(&server, &first).position() == (500, 540));
    // Both cookies belong to one session, and the other reconnect has restored it.
    server.wait_for_players(0);
    assert_eq!(Client::reconnect(&server, &second).position(), (500, 500));
}

#[test]
fn the_newest_of_two_claimants_waits_for_the_session() {
    let server = server();
    let mut client = walked_client(&server);
    let cookie = client.cookie();
    let mut first = Raw::connect(server.address());
    first.send(upgrade_with_cookie(&cookie).as_bytes());
    wait_until("a ping", || server.metrics()["frames_out"]["ping"] == 1);
    let second = Client::reconnect(&server, &cookie);
    assert_eq!(second.position(), (500, 540));
    assert_eq!(first.response().status, 101, "as a new player, without a wait");
    assert_eq!((server.reconnects("second_tab"), server.reconnects("taken_over")), (1, 1));
    assert_eq!(server.metrics()["frames_out"]["ping"], 1);
    wait_for(&mut client, "the silent connection to end", |client| client.ended);
}

#[test]
fn an_aborted_reconnect_changes_nothing() {
    let server = server();
    let mut client = walked_client(&server);
    let mut gone = Raw::connect(server.address());
    gone.send(upgrade_with_cookie(&client.cookie()).as_bytes());
    wait_until("a ping", || server.metrics()["frames_out"]["ping"] == 1);
    drop(gone);
    std::thread::sleep(Duration::from_millis(1_300));
    client.step(Vector::ZERO);
    wait_for_acks(std::slice::from_mut(&mut client));
    assert_eq!((client.acknowledged(), server.count("players")), ((500, 540), 1));
}

#[test]
fn a_session_reconnects_at_most_once_a_second() {
    let server = server();
    let first = cookie_of_walked_client(&server);
    let start = Instant::now();
    let back = Client::reconnect(&server, &first);
    let second = back.cookie();
    back.reset();
    server.wait_for_players(0);
    let mut tries = 0;
    wait_until("the second reconnect", || {
        tries += 1;
        Client::reconnect(&server, &second).position() == (500, 540)
    });
    // The server saw both reconnects in between. Its clock may lag by one poll of the event loop.
    assert!(start.elapsed() >= Duration::from_millis(900), "{tries} tries in {:?}", start.elapsed());
    assert_eq!((server.reconnects("hit"), server.reconnects("too_soon")), (2, tries - 1));
}

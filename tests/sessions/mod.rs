//! Reconnecting: the handshake's cookie restores a player's position, under a new id, on any server.

mod damage;
mod ports;
mod speed;
mod store;
mod tokens;

use std::thread;
use std::time::Duration;

use game_client::{ClientMessage, Facing, ServerMessage, Vector};

use crate::support::raw::{BINARY, FIN, MADE_UP_COOKIE, Raw, upgrade_with_cookie};
use crate::support::wait::{reconnect_while_polling, wait_until};
use crate::support::walker::{cookie_of_walked_client, walk, walked_client};
use crate::support::{Client, Server, Settings, poll_until, wait_for, wait_for_acks};

fn server() -> Server {
    Settings::new().spawn_at(500, 500).start()
}

/// The player's own facing in its first `GAME_STATE`.
fn facing_at_first(client: &Client) -> Facing {
    let mut own_entries = client.since(0).filter_map(|message| match message {
        ServerMessage::GameState(entries) => entries.iter().find(|entry| entry.id == client.id()),
        _ => None,
    });
    own_entries.next().expect("the player's own entry").facing
}

#[test]
fn a_reconnect_restores_the_position_under_a_new_id() {
    let server = server();
    let client = walked_client(&server);
    let (id, place, cookie) = (client.id(), client.position(), client.cookie());
    assert_eq!(place, (500, 540));
    client.reset();
    server.wait_for_players(0);
    assert_eq!(server.count("resumes_remembered"), 1);

    let back = Client::reconnect(&server, &cookie);
    assert!(back.id() > id, "a new id");
    assert_eq!(back.position(), place);
    assert_eq!(facing_at_first(&back), Facing::Left);
    assert!(back.cookie.as_ref().is_some_and(|next| *next != cookie), "a new cookie replaces the old one");
    assert_eq!((server.reconnects("hit"), server.count("resumes_remembered")), (1, 0));
}

#[test]
fn a_reconnect_restores_the_viewport() {
    let server = server();
    let mut client = Client::join(&server);
    client.send(&ClientMessage::Viewport { width: 200, height: 100 });
    wait_for_acks(std::slice::from_mut(&mut client));
    let cookie = client.cookie();
    client.close(None);
    // Another player stands outside that viewport, but inside the default viewport.
    let mut others = [Client::join(&server)];
    walk(&mut others, 0, Vector::DOWN, 25);
    let back = Client::reconnect(&server, &cookie);
    assert!(back.visible().is_empty(), "{back:?}");
    let mut newcomer = Client::join(&server);
    wait_for(&mut newcomer, "a newcomer to see both players", |client| client.visible().len() == 2);
}

#[test]
fn a_second_tab_is_a_separate_player() {
    let server = server();
    let mut client = walked_client(&server);
    // The standing client sends no message for any length of time, but it answers the ping.
    let second = reconnect_while_polling(&server, &client.cookie(), std::slice::from_mut(&mut client));
    assert_eq!(second.position(), (500, 500));
    assert_ne!(second.cookie, client.cookie);
    assert_eq!((client.pings, client.ended), (1, false));
    client.step(Vector::ZERO);
    wait_for_acks(std::slice::from_mut(&mut client));
    assert_eq!(client.acknowledged(), (500, 540));
    assert_eq!(server.reconnects("second_tab"), 1);
}

#[test]
fn any_frame_counts_as_an_answer() {
    let server = server();
    let cookie = cookie_of_walked_client(&server);
    let mut mute = Raw::connect(server.address());
    mute.send(upgrade_with_cookie(&cookie).as_bytes());
    let next = mute.response().header("set-cookie").expect("a cookie").to_owned();
    let next = next.split(';').next().expect("name and value");
    let second = thread::scope(|scope| {
        let second = scope.spawn(|| Client::reconnect(&server, next));
        wait_until("the other client to upgrade", || {
            mute.send_frame(FIN | BINARY, &[6]);
            second.is_finished()
        });
        second.join().expect("it joins")
    });
    assert_eq!(second.position(), (500, 500));
    assert_eq!(server.reconnects("second_tab"), 1);
}

#[test]
fn a_silent_connection_is_taken_over() {
    // The takeover works even if the server is full.
    let server = Settings::new().spawn_at(500, 500).set("MAX_CONNECTIONS", 1).start();
    let mut client = walked_client(&server);
    let back = Client::reconnect(&server, &client.cookie());
    assert_eq!(back.position(), (500, 540));
    wait_for(&mut client, "the old connection to end", |client| client.ended);
    assert_eq!(client.close_code, Some(1001));
    let metrics = server.metrics();
    assert_eq!((&metrics["resumes"]["taken_over"], &metrics["closed"]["taken_over"]), (&1.into(), &1.into()));
    assert_eq!(server.count("players"), 1);
}

#[test]
fn a_full_server_refuses_a_second_tab() {
    let server = Settings::new().spawn_at(500, 500).set("MAX_CONNECTIONS", 1).start();
    let mut client = walked_client(&server);
    let cookie = client.cookie();
    let status = thread::scope(|scope| {
        let second = scope.spawn(|| Raw::exchange(server.address(), upgrade_with_cookie(&cookie)).status);
        poll_until(std::slice::from_mut(&mut client), "the refusal", |_| second.is_finished());
        second.join().expect("a response")
    });
    assert_eq!((status, client.ended), (503, false));
}

#[test]
fn a_connection_that_ends_during_the_check_frees_its_session() {
    let server = server();
    let client = walked_client(&server);
    let cookie = client.cookie();
    let back = thread::scope(|scope| {
        let back = scope.spawn(|| Client::reconnect(&server, &cookie));
        wait_until("a ping", || server.metrics()["frames_out"]["ping"] == 1);
        client.reset();
        back.join().expect("it joins")
    });
    assert_eq!(back.position(), (500, 540));
}

#[test]
fn an_unknown_cookie_is_replaced() {
    let server = server();
    let client = Client::reconnect(&server, MADE_UP_COOKIE);
    assert_eq!(client.position(), (500, 500));
    assert_ne!(client.cookie(), MADE_UP_COOKIE);
    assert_eq!(server.reconnects("miss"), 1);
}

#[test]
fn sessions_expire() {
    let server = Settings::new().spawn_at(500, 500).set("RESUME_TTL_SEC", 1).start();
    let cookie = cookie_of_walked_client(&server);
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(Client::reconnect(&server, &cookie).position(), (500, 500));
}

#[test]
fn disabled_sessions_set_no_cookie() {
    let server = Settings::new().set("RESUME_TTL_SEC", 0).start();
    assert_eq!(Client::join(&server).cookie, None);
}

#[test]
fn other_cookies_are_ignored() {
    let server = server();
    let cookie = cookie_of_walked_client(&server);
    let among_others = format!("theme=dark; {cookie}; name=J\u{fc}rgen");
    assert_eq!(Client::reconnect(&server, &among_others).position(), (500, 540));
    server.assert_healthy();
}

#[test]
fn many_sessions_are_restored_independently() {
    let server = server();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::join(&server)).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.send_claim(Vector::ZERO, 1, 500 + at as i32, 500);
    }
    poll_until(&mut clients, "every claim to be accepted", |clients| {
        clients.iter().enumerate().all(|(at, client)| {
            client.replica.own().last_answer.is_some_and(|(_, x, _)| usize::from(x) == 500 + at)
        })
    });
    let cookies: Vec<String> = clients.iter().map(Client::cookie).collect();
    drop(clients);
    server.wait_for_players(0);
    for (at, cookie) in cookies.iter().enumerate().rev() {
        assert_eq!(Client::reconnect(&server, cookie).position(), (500 + at as i32, 500));
    }
}

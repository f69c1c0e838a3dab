//! The sessions of an account: the number of its connections, and the player that continues at a saved position.

use std::slice;

use game_client::Vector;
use nix::sys::signal::Signal;

use super::login::{Login, cookie};
use crate::support::http::get;
use crate::support::process::{stderr_text, stdout_text, succeed};
use crate::support::raw::{Raw, upgrade_with_cookie};
use crate::support::server::program;
use crate::support::wait::wait_until;
use crate::support::walker::walk;
use crate::support::{Client, Server, Settings, folder};

/// Close code of a connection whose account has joined elsewhere.
const DISPLACED: u16 = 4001;

const SPAWN: (i32, i32) = (500, 500);
const WALKED: (i32, i32) = (500, 540);

fn closed(server: &Server, reason: &str) -> u64 {
    server.metrics()["closed"][reason].as_u64().expect("a reason of closed connections")
}

fn upgraded(server: &Server, cookie: &str) -> Raw {
    let mut raw = Raw::connect(server.address());
    raw.send(upgrade_with_cookie(cookie).as_bytes());
    assert_eq!(raw.response().status, 101);
    raw
}

/// The cookies of a browser whose player has walked: its token, and its session.
fn walked(server: &Server, user: &str) -> (Client, String) {
    let mut client = Client::reconnect(server, &cookie(user));
    walk(slice::from_mut(&mut client), 0, Vector::DOWN, 10);
    assert_eq!(client.position(), WALKED);
    let session = client.cookie();
    (client, session)
}

fn position(server: &Server, cookies: &[&str]) -> (i32, i32) {
    Client::reconnect(server, &cookies.join("; ")).position()
}

#[test]
fn a_newer_connection_closes_the_oldest_of_its_account() {
    let login = Login::new("auth-newer");
    let server = login.settings().set("AUTH_SESSIONS_PER_SUB", 2).start();
    let mut first = upgraded(&server, &cookie("anna"));
    let mut other = upgraded(&server, &cookie("bert"));
    let mut second = upgraded(&server, &cookie("anna"));
    server.wait_for_players(3);
    let mut third = upgraded(&server, &cookie("anna"));
    assert_eq!(first.close_code(), DISPLACED);
    let mut fourth = upgraded(&server, &cookie("anna"));
    assert_eq!(second.close_code(), DISPLACED);
    assert_eq!((closed(&server, "same_account"), server.count("players")), (2, 3));
    for alive in [&mut other, &mut third, &mut fourth] {
        alive.send_frame(crate::support::raw::FIN | crate::support::raw::PING, b"x");
        alive.next_frame_of(crate::support::raw::PONG);
    }
}

#[test]
fn the_rules_of_the_game_page_have_the_limit_of_an_account() {
    let (login, folder) = (Login::new("auth-rules"), folder("auth-rules-socket"));
    let socket = folder.join("control.sock");
    let server = login.settings().set("CONTROL_SOCKET", socket.to_str().expect("UTF-8")).start();
    let ends_with = |end: &str| {
        let rules = get(server.address(), "/play/rules.json");
        assert!(rules.text().ends_with(end), "{}", rules.text());
    };
    ends_with("\"attack_duration_ms\":1000,\"connections_per_account\":1}");
    let mut command = program();
    succeed(command.arg("ctl").arg("--socket").arg(&socket).args(["set", "AUTH_SESSIONS_PER_SUB", "7"]));
    ends_with("\"connections_per_account\":7}");
}

#[test]
fn operators_see_the_account_of_a_player() {
    let (login, folder) = (Login::new("auth-ctl"), folder("auth-ctl-socket"));
    let socket = folder.join("control.sock");
    let server = login.settings().set("CONTROL_SOCKET", socket.to_str().expect("UTF-8")).start();
    let client = Client::reconnect(&server, &cookie("anna"));
    for arguments in [vec!["players".to_owned()], vec!["player".to_owned(), client.id().to_string()]] {
        let mut command = program();
        let output = succeed(command.arg("ctl").arg("--socket").arg(&socket).args(&arguments));
        let text = stdout_text(&output);
        assert!(text.contains("account") && text.contains("anna"), "{arguments:?}: {text}");
    }
}

#[test]
fn a_full_server_admits_an_account_that_is_connected() {
    let login = Login::new("auth-full");
    let server = login.settings().set("MAX_CONNECTIONS", 1).start();
    let mut first = upgraded(&server, &cookie("anna"));
    let refused = Raw::exchange(server.address(), upgrade_with_cookie(&cookie("bert")));
    assert_eq!(refused.status, 503);
    let _second = upgraded(&server, &cookie("anna"));
    assert_eq!(first.close_code(), DISPLACED);
    assert_eq!(server.count("players"), 1);
}

#[test]
fn a_second_tab_of_an_account_continues_at_its_position() {
    let login = Login::new("auth-tab");
    let server = login.settings().spawn_at(500, 500).start();
    let (first, session) = walked(&server, "anna");
    assert_eq!(position(&server, &[&cookie("anna"), &session]), WALKED);
    assert_eq!((closed(&server, "same_account"), server.reconnects("taken_over")), (1, 1));
    drop(first);
}

#[test]
fn a_session_returns_to_its_account_only() {
    let login = Login::new("auth-return");
    let server = login.settings().spawn_at(500, 500).start();
    let (client, session) = walked(&server, "anna");
    let (anna, bert) = (cookie("anna"), cookie("bert"));
    // While the player is connected.
    assert_eq!(position(&server, &[&bert, &session]), SPAWN);
    assert_eq!((server.reconnects("other_account"), closed(&server, "same_account")), (1, 0));
    drop(client);
    server.wait_for_players(0);
    // While it is disconnected.
    for attempt in 2..5 {
        assert_eq!(position(&server, &[&bert, &session]), SPAWN);
        assert_eq!(server.reconnects("other_account"), attempt);
    }
    assert_eq!(position(&server, &[&anna, &session]), WALKED, "the session is still there");
    assert_eq!(server.reconnects("hit"), 1);
}

#[test]
fn stored_sessions_keep_their_account() {
    let (login, folder) = (Login::new("auth-stored"), folder("auth-stored-state"));
    let state = folder.to_str().expect("UTF-8");
    let place = |settings: Settings| settings.spawn_at(500, 500).set("STATE_DIR", state);
    let stop = |mut server: Server| {
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait_for_exit().code(), Some(0));
    };
    let (anna, bert) = (cookie("anna"), cookie("bert"));

    let server = place(login.settings()).start();
    let (client, session) = walked(&server, "anna");
    drop(client);
    stop(server);

    let open = place(Settings::new()).start();
    assert_eq!(position(&open, &[&session]), SPAWN, "without authentication");
    assert_eq!(open.reconnects("other_account"), 1);
    let mut anonymous = Client::join(&open);
    walk(slice::from_mut(&mut anonymous), 0, Vector::DOWN, 10);
    let anonymous_session = anonymous.cookie();
    drop(anonymous);
    stop(open);

    let server = place(login.settings()).start();
    assert_eq!(position(&server, &[&bert, &session]), SPAWN);
    assert_eq!(position(&server, &[&anna, &anonymous_session]), SPAWN, "a session without an account");
    assert_eq!(server.reconnects("other_account"), 2);
    assert_eq!(position(&server, &[&anna, &session]), WALKED);
}

#[test]
fn a_takeover_keeps_accounts() {
    let (login, folder) = (Login::new("auth-takeover"), folder("auth-takeover-socket"));
    let socket = folder.join("control.sock");
    let settings = login.settings().spawn_at(500, 500).set("CONTROL_SOCKET", socket.to_str().expect("UTF-8"));
    let mut old = settings.start();
    let mut first = upgraded(&old, &cookie("anna"));
    let (client, session) = walked(&old, "bert");
    drop(client);
    old.wait_for_players(1);

    let mut command = settings.command();
    command.arg("--takeover");
    let new = Server::run(command);
    assert_eq!(old.wait_for_exit().code(), Some(0));
    assert_eq!(position(&new, &[&cookie("carl"), &session]), SPAWN);
    assert_eq!(position(&new, &[&cookie("bert"), &session]), WALKED);
    let _second = upgraded(&new, &cookie("anna"));
    assert_eq!(first.close_code(), DISPLACED);

    // Without its keys a new process refuses to take over, and the old one continues.
    login.write("{}");
    let output = { settings.command().arg("--takeover").output().expect("it runs") };
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr_text(&output).contains("not a JSON Web Key Set"), "{}", stderr_text(&output));
    wait_until("the players of the old process", || new.count("players") == 1);
}

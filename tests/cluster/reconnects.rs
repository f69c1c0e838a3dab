//! Reconnecting to another server of the cluster restores a player's position, as on the same server.

use std::thread;
use std::time::Instant;

use game_client::Vector;
use nix::sys::signal::Signal;

use super::redis::Redis;
use super::{cluster, health, pair, settings, start, two, two_of};
use crate::auth::login::{Login, cookie};
use crate::support::raw::{MADE_UP_COOKIE, Raw, upgrade_with_cookie};
use crate::support::wait::{reconnect_while_polling, wait_until};
use crate::support::walker::{cookie_of_walked_client, walk, walked_client};
use crate::support::{Client, Server, poll_until, wait_for, wait_for_acks};

#[test]
fn a_session_reconnects_to_another_server_once() {
    let redis = Redis::start();
    let [first, second] = two(&redis);
    let cookie = cookie_of_walked_client(&first);
    let back = Client::reconnect(&second, &cookie);
    assert_eq!(back.position(), (500, 540));
    assert!(back.cookie.as_deref().is_some_and(|next| next != cookie));
    assert_eq!(second.reconnects("hit"), 1);
    // The previous cookie is valid as long as the client may not have received its successor.
    let mut clients = [back];
    let copy = reconnect_while_polling(&first, &cookie, &mut clients);
    assert_eq!(copy.position(), (500, 500));
    assert_eq!(first.reconnects("second_tab"), 1);
    // The client has answered a ping, so it has received the new cookie.
    let copy = Client::reconnect(&first, &cookie);
    assert_eq!((copy.position(), first.reconnects("miss")), ((500, 500), 1));
}

#[test]
fn a_cookie_is_valid_while_its_successor_from_another_server_is_unconfirmed() {
    let redis = Redis::start();
    let [first, second] = two(&redis);
    let cookie = cookie_of_walked_client(&first);
    // The client never reads the response, and is silent.
    let mut lost = Raw::connect(second.address());
    lost.send(upgrade_with_cookie(&cookie).as_bytes());
    wait_until("the reconnect", || second.reconnects("hit") == 1);
    assert_eq!(Client::reconnect(&first, &cookie).position(), (500, 540));
    second.wait_for_players(0);
    assert_eq!(first.reconnects("taken_over"), 1);
}

#[test]
fn changing_servers_after_each_claim_gains_no_distance() {
    let redis = Redis::start();
    let servers = two(&redis);
    let start = Instant::now();
    let mut client = Client::join(&servers[0]);
    for round in 1..=4u32 {
        let (x, y) = client.position();
        client.send_claim(Vector::ZERO, round, x + 50, y);
        wait_for_acks(std::slice::from_mut(&mut client));
        let place = client.acknowledged();
        let allowed = 500.0 + 50.0 + 24.0 * start.elapsed().as_secs_f64() + 1.0;
        assert!(f64::from(place.0) <= allowed, "round {round}: at {place:?}, {allowed} allowed");
        let cookie = client.cookie.clone().expect("a cookie");
        client.close(None);
        servers[(round as usize + 1) % 2].wait_for_players(0);
        let next = &servers[round as usize % 2];
        // A reconnect that is too early creates a new player, which this loop disconnects at once.
        wait_until("a reconnect to be allowed", || {
            client = Client::reconnect(next, &cookie);
            client.position() == place
        });
    }
}

#[test]
fn a_second_tab_on_another_server_is_a_separate_player() {
    let redis = Redis::start();
    let [first, second] = two(&redis);
    let mut client = walked_client(&first);
    let cookie = client.cookie();
    let other = reconnect_while_polling(&second, &cookie, std::slice::from_mut(&mut client));
    assert_eq!(other.position(), (500, 500));
    assert_ne!(other.cookie.as_deref(), Some(&*cookie));
    assert_eq!(second.reconnects("second_tab"), 1);
    wait_for(&mut client, "both players in one view", |client| client.sees(other.id()));
}

#[test]
fn a_silent_connection_on_another_server_is_taken_over() {
    let redis = Redis::start();
    let [first, second] = two(&redis);
    let mut client = walked_client(&first);
    let cookie = client.cookie();
    let back = Client::reconnect(&second, &cookie);
    assert_eq!(back.position(), (500, 540));
    assert_eq!(second.reconnects("taken_over"), 1);
    wait_for(&mut client, "the old connection to end", |client| client.ended);
    assert_eq!(client.close_code, Some(1001));
    assert_eq!(first.metrics()["closed"]["taken_over"], 1);
}

#[test]
fn players_of_a_killed_server_reconnect_to_another() {
    let redis = Redis::start();
    let [first, second] = two(&redis);
    let client = walked_client(&first);
    let cookie = client.cookie();
    wait_until_saved(&redis, &cookie);
    let _watcher = Client::join(&second);
    wait_until("the player to be seen", || cluster(&second, "ghosts") == 1);
    drop((client, first));
    wait_until("the server to drop its peer", || cluster(&second, "peers") == 0);
    assert_eq!(Client::reconnect(&second, &cookie).position(), (500, 540));
}

#[test]
fn players_of_a_killed_server_continue_where_others_saw_them_last() {
    let redis = Redis::start();
    let [mut first, second] = two(&redis);
    for waits_for_timeout in [false, true] {
        let mut clients = vec![Client::join(&second), Client::join(&first)];
        let (walker, cookie) = (clients[1].id(), clients[1].cookie());
        wait_until_saved(&redis, &cookie);
        clients[1].send_short_move(Vector::RIGHT, 1);
        let seen = |clients: &[Client]| clients[0].replica.remote(walker).map(|remote| remote.x);
        // Far from the place that was saved.
        poll_until(&mut clients, "the player to walk", |clients| seen(clients) > Some(750.0));
        first.signal(Signal::SIGKILL);
        let last = seen(&clients).expect("a place");
        first.wait_for_exit();
        if waits_for_timeout {
            wait_until("the server to drop its peer", || cluster(&second, "peers") == 0);
        }
        let (x, y) = Client::reconnect(&second, &cookie).position();
        assert!(y == 500 && (f64::from(x) - last).abs() < 100.0, "at {x}, {y} instead of {last}");
        first = start(&settings(&redis, "first"));
        wait_until("both servers to discover each other", || cluster(&second, "peers") == 1);
    }
}

/// Waits until Redis has the session of a cookie: a second after the join.
fn wait_until_saved(redis: &Redis, cookie: &str) {
    let (_, token) = cookie.split_once('=').expect("a name and a token");
    let key = format!("pixi:main:resume:{token}");
    wait_until("the session to be saved", || redis.command(&[b"EXISTS", key.as_bytes()]) == ":1\r\n");
}

#[test]
fn players_keep_their_positions_in_a_rolling_restart() {
    let redis = Redis::start();
    let [mut first, second] = two(&redis);
    let client = walked_client(&first);
    let cookie = client.cookie();
    first.signal(Signal::SIGTERM);
    drop(client);
    assert_eq!(first.wait_for_exit().code(), Some(0));
    assert_eq!(Client::reconnect(&second, &cookie).position(), (500, 540));
}

#[test]
fn all_players_of_a_stopped_server_reconnect_at_once() {
    let redis = Redis::start();
    let [mut first, second] = two(&redis);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::join(&first)).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.send_claim(Vector::ZERO, 1, 500 + at as i32 / 2, 500);
    }
    wait_for_acks(&mut clients);
    let left: Vec<(String, (i32, i32))> = clients
        .iter()
        .map(|client| (client.cookie.clone().expect("a cookie"), client.acknowledged()))
        .collect();
    first.signal(Signal::SIGTERM);
    drop(clients);
    assert_eq!(first.wait_for_exit().code(), Some(0));
    thread::scope(|scope| {
        for (cookie, place) in &left {
            let second = &second;
            scope.spawn(move || assert_eq!(Client::reconnect(second, cookie).position(), *place));
        }
    });
    assert_eq!(second.reconnects("hit"), 100);
    assert_eq!(cluster(&second, "bus_dropped_total"), 0);
}

#[test]
fn a_full_redis_keeps_no_sessions_and_logs_one_line() {
    let redis = Redis::start();
    let [first, second] = two(&redis);
    assert!(redis.command(&[b"CONFIG", b"SET", b"maxmemory", b"1"]).starts_with("+OK"));
    let client = walked_client(&first);
    let cookie = client.cookie();
    client.reset();
    wait_until("a refusal", || first.count("resume_store_failures_total") > 0);
    let back = Client::reconnect(&second, &cookie);
    assert_eq!(back.position(), (500, 500));
    // Everything else keeps working.
    let mut other = Client::join(&first);
    wait_for(&mut other, "the player on the other server", |client| client.sees(back.id()));
    assert_eq!((cluster(&first, "up"), cluster(&first, "bus_failures_total")), (1, 0));
    first.wait_for_log("refuses to store sessions");
    assert_eq!(first.log().matches("refuses to store sessions").count(), 1, "{}", first.log());
}

#[test]
fn an_unknown_cookie_creates_a_new_player() {
    let redis = Redis::start();
    let server = start(&settings(&redis, "only"));
    assert_eq!(Client::reconnect(&server, MADE_UP_COOKIE).position(), (500, 500));
    assert_eq!(server.reconnects("miss"), 1);
}

#[test]
fn without_redis_each_server_keeps_its_own_sessions() {
    let mut redis = Redis::start();
    let servers = two(&redis);
    let _clients = pair(&servers);
    let client = walked_client(&servers[0]);
    let cookie = client.cookie();
    redis.vanish();
    wait_until("the server to be degraded", || health(&servers[0]).1.contains("degraded"));
    client.reset();
    servers[0].wait_for_players(1);
    assert_eq!(Client::reconnect(&servers[0], &cookie).position(), (500, 540));
}

#[test]
fn a_hung_redis_delays_a_reconnect_only_briefly() {
    let redis = Redis::start();
    let server = start(&settings(&redis, "only"));
    redis.signal(Signal::SIGSTOP);
    let client = Client::reconnect(&server, MADE_UP_COOKIE);
    redis.signal(Signal::SIGCONT);
    assert_eq!(client.position(), (500, 500));
    assert_eq!(server.reconnects("miss"), 1);
}

#[test]
fn a_session_returns_to_its_account_only() {
    let (redis, login) = (Redis::start(), Login::new("auth-cluster"));
    let file = login.file.to_str().expect("UTF-8");
    let [first, second] = two_of(|name| settings(&redis, name).set("AUTH", "jwt").set("AUTH_KEYS", file));
    let mut client = Client::reconnect(&first, &cookie("anna"));
    walk(std::slice::from_mut(&mut client), 0, Vector::DOWN, 10);
    let session = client.cookie();
    let position = |server: &Server, user: &str| {
        Client::reconnect(server, &format!("{}; {session}", cookie(user))).position()
    };
    assert_eq!(position(&second, "bert"), (500, 500));
    assert_eq!((second.reconnects("other_account"), first.count("players")), (1, 1));
    drop(client);
    first.wait_for_players(0);
    wait_until("the entry of the disconnected player", || {
        assert_eq!(position(&second, "bert"), (500, 500));
        second.reconnects("other_account") >= 2
    });
    wait_until("the position", || position(&second, "anna") == (500, 540));
    assert_eq!(second.reconnects("hit"), 1);
}

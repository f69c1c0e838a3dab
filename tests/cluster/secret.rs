//! `CLUSTER_SECRET`: nodes accept only messages sealed with it.

use game_client::Vector;
use pixi_game_server::cluster::authentication::Authenticator;
use pixi_game_server::cluster::message::{Body, Header, Heartbeat, encode};
use pixi_game_server::cluster::status::Status;
use pixi_game_server::ops::secret::Secret;

use super::redis::Redis;
use super::{OTHER, VIEWER, cluster, health, pair, settings, start, wait_until_mutual};
use crate::support::process::stderr_text;
use crate::support::wait::wait_until;
use crate::support::walker::walk;
use crate::support::{Client, Server, Settings, poll_until};

const SECRET: &str = "a-secret-of-thirty-two-characters-or-more";

pub fn with_secret(redis: &Redis, name: &str) -> Settings {
    settings(redis, name).set("CLUSTER_SECRET", SECRET)
}

fn two_with_secret(redis: &Redis) -> [Server; 2] {
    super::two_of(|name| with_secret(redis, name))
}

fn beat(sent_us: u64) -> Vec<u8> {
    let beat = Heartbeat { name: "forged".to_owned(), ids_end: 0, players: 7, status: Status::default() };
    encode(&Header { world: (2_000, 2_000), node: 0xf0f0, sequence: 1, sent_us }, &Body::Heartbeat(beat))
}

pub fn sealed(place: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    Authenticator::new(&Secret::new(SECRET)).append_tag(place, &mut bytes);
    bytes
}

pub fn now_us() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("a clock").as_micros() as u64
}

#[test]
fn only_nodes_with_the_secret_form_a_cluster() {
    let redis = Redis::start();
    let servers = two_with_secret(&redis);
    let mut clients = pair(&servers);
    walk(&mut clients, OTHER, Vector::DOWN, 10);
    let (other, place) = (clients[OTHER].id(), clients[OTHER].position());
    poll_until(&mut clients, "the exact position", |clients| {
        super::is_shown_at(&clients[VIEWER], other, place)
    });
    let rejected = ["bus_unauthenticated_total", "bus_refused_total"].map(|name| cluster(&servers[0], name));
    assert_eq!(rejected, [0, 0]);
    for _ in 0..3 {
        redis.command(&[b"PUBLISH", b"pixi:main:all", &beat(now_us())]);
        redis.command(&[b"PUBLISH", b"pixi:main:all", b"short"]);
        // Valid tags of another channel and of another cluster.
        for place in ["pixi:main:region:20", "pixi:other:all"] {
            redis.command(&[b"PUBLISH", b"pixi:main:all", &sealed(place, beat(now_us()))]);
        }
    }
    wait_until("twelve dropped messages", || cluster(&servers[0], "bus_unauthenticated_total") == 12);
    assert_eq!(cluster(&servers[0], "peers"), 1);
    assert_eq!(servers[0].log().matches("has no valid tag").count(), 1, "{}", servers[0].log());
    // The same message with its own tag makes a peer.
    redis.command(&[b"PUBLISH", b"pixi:main:all", &sealed("pixi:main:all", beat(now_us()))]);
    wait_until("a peer", || cluster(&servers[0], "peers") == 2);
    let without = start(&settings(&redis, "without"));
    wait_until("the node without the secret to time out", || {
        cluster(&servers[0], "bus_unauthenticated_total") > 12 && health(&without).1.contains("degraded")
    });
    assert_eq!(cluster(&without, "peers"), 0);
    wait_until_mutual(&mut clients);
    assert!(servers.iter().all(|server| !server.log().contains(SECRET)));
}

#[test]
fn a_message_recorded_a_minute_ago_is_refused() {
    let redis = Redis::start();
    let server = start(&with_secret(&redis, "only"));
    let minute_us = 60_000_000;
    for sent_us in [now_us() - minute_us, now_us() + minute_us, 0, u64::MAX] {
        redis.command(&[b"PUBLISH", b"pixi:main:all", &sealed("pixi:main:all", beat(sent_us))]);
    }
    wait_until("four refusals", || cluster(&server, "bus_refused_total") == 4);
    assert_eq!(cluster(&server, "peers"), 0);
    assert_eq!(server.log().matches("replayed, or clocks differ").count(), 1, "{}", server.log());
}

#[test]
pub fn sealed_sessions_are_restored_and_forged_ones_ignored() {
    let redis = Redis::start();
    let servers = two_with_secret(&redis);
    let disconnected_cookie_and_key = |redis: &Redis| {
        let mut clients = [Client::join(&servers[0])];
        walk(&mut clients, 0, Vector::DOWN, 10);
        let [client] = clients;
        let cookie = client.cookie.clone().expect("a cookie");
        let key = format!("pixi:main:resume:{}", cookie.split_once('=').expect("a value").1);
        // Connected players are saved periodically too; only the save at the disconnect is the last.
        redis.command(&[b"DEL", key.as_bytes()]);
        client.reset();
        servers[0].wait_for_players(0);
        wait_until("the saved session", || redis.command(&[b"EXISTS", key.as_bytes()]).starts_with(":1"));
        (cookie, key)
    };
    let (cookie, _) = disconnected_cookie_and_key(&redis);
    assert_eq!(Client::reconnect(&servers[1], &cookie).position(), (500, 540));
    // Changing one byte of the saved session invalidates it.
    let (cookie, key) = disconnected_cookie_and_key(&redis);
    redis.command(&[b"SETRANGE", key.as_bytes(), b"11", b"\x07"]);
    assert_eq!(Client::reconnect(&servers[1], &cookie).position(), (500, 500));
    assert_eq!(cluster(&servers[1], "bus_unauthenticated_total"), 1);
    // A value that is no string or too long is invalid too. Other sessions are unaffected.
    let long = vec![0; 100_000];
    for (command, value) in [(b"LPUSH".as_slice(), b"1".as_slice()), (b"SET", &long)] {
        let (cookie, key) = disconnected_cookie_and_key(&redis);
        redis.command(&[b"DEL", key.as_bytes()]);
        redis.command(&[command, key.as_bytes(), value]);
        assert_eq!(Client::reconnect(&servers[1], &cookie).position(), (500, 500));
    }
    assert_eq!(servers[1].count("resume_store_failures_total"), 0);
}

#[test]
fn a_short_secret_is_refused_and_not_shown() {
    let output =
        Settings::new().set("CLUSTER_SECRET", "hunter2-hunter2").command().output().expect("it runs");
    let error = stderr_text(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error.contains("CLUSTER_SECRET") && error.contains("32 to 256") && !error.contains("hunter2"),
        "{error}"
    );
}

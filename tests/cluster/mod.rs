//! Several servers with one world and a real Redis between them, including failures of any of them.

mod balancing;
mod bans;
mod failover;
mod faults;
mod hostile;
mod ids;
mod port;
mod reconnects;
mod redis;
mod relay;
mod secret;
mod takeover;

use game_client::{ClientMessage, Facing, PlayerId, State, Vector};
use nix::sys::signal::Signal;

use crate::support::http::get;
use crate::support::process::stderr_text;
use crate::support::raw::Raw;
use crate::support::wait::wait_until;
use crate::support::walker::walk;
use crate::support::{Client, Server, Settings, poll_until};
use redis::Redis;

/// Index of the watching client, on one server.
const VIEWER: usize = 0;
/// Index of the watched client, on another server.
const OTHER: usize = 1;

fn settings(redis: &Redis, name: &str) -> Settings {
    let url = redis.url();
    Settings::new().spawn_at(500, 500).set("CLUSTER_URL", &*url).set("NODE_NAME", name)
}

/// A server that has joined the cluster and admits players.
fn start(settings: &Settings) -> Server {
    let server = settings.start();
    wait_until("the server to admit players", || health(&server).0 == 200);
    server
}

/// Two servers that have discovered each other.
fn two(redis: &Redis) -> [Server; 2] {
    two_of(|name| settings(redis, name))
}

/// [`two`] servers with other settings.
fn two_of(settings: impl Fn(&str) -> Settings) -> [Server; 2] {
    let servers = ["first", "second"].map(|name| start(&settings(name)));
    wait_until("two servers to discover each other", || {
        servers.iter().all(|server| cluster(server, "peers") == 1)
    });
    servers
}

/// Status and body of `/health`.
fn health(server: &Server) -> (u16, String) {
    let response = get(server.address(), "/health");
    (response.status, response.text().to_owned())
}

fn cluster(server: &Server, name: &str) -> u64 {
    let metrics = server.metrics();
    metrics["cluster"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// A viewer on one server and a player on the other, which see each other.
fn pair(servers: &[Server; 2]) -> Vec<Client> {
    let mut clients: Vec<Client> = servers.iter().map(Client::join).collect();
    wait_until_mutual(&mut clients);
    clients
}

/// Whether the replica shows the player exactly at this position.
fn is_shown_at(client: &Client, other: PlayerId, (x, y): (i32, i32)) -> bool {
    let drawn = client.replica.remote(other).map(|remote| (remote.x, remote.y));
    drawn == Some((f64::from(x), f64::from(y)))
}

fn wait_until_mutual(clients: &mut [Client]) {
    let ids = [clients[VIEWER].id(), clients[OTHER].id()];
    poll_until(clients, "both players to see each other", |clients| {
        clients[VIEWER].sees(ids[OTHER]) && clients[OTHER].sees(ids[VIEWER])
    });
}

#[test]
fn a_remote_player_is_replicated_like_a_local_one() {
    let redis = Redis::start();
    let servers = two(&redis);
    let mut clients = pair(&servers);
    let other = clients[OTHER].id();

    walk(&mut clients, OTHER, Vector::DOWN, 10);
    let place = clients[OTHER].position();
    poll_until(&mut clients, "the exact position", |clients| is_shown_at(&clients[VIEWER], other, place));
    clients[OTHER].send(&ClientMessage::Direction(Facing::Left));
    poll_until(&mut clients, "the turn", |clients| {
        clients[VIEWER].replica.remote(other).is_some_and(|remote| remote.facing == Facing::Left)
    });
    clients[OTHER].send(&ClientMessage::Attack { aim: None });
    poll_until(&mut clients, "the attack", |clients| {
        clients[VIEWER].replica.remote(other).is_some_and(|remote| remote.state == State::Attacking)
    });
    clients[OTHER].send(&ClientMessage::AttackEnd);
    poll_until(&mut clients, "the end of the attack", |clients| {
        clients[VIEWER].replica.remote(other).is_some_and(|remote| remote.state == State::Idle)
    });
    let left = clients.pop().expect("the other");
    left.reset();
    poll_until(&mut clients, "the player to leave", |clients| !clients[VIEWER].sees(other));
    for server in &servers {
        assert_eq!(cluster(server, "bus_dropped_total") + cluster(server, "bus_refused_total"), 0);
    }
}

#[test]
fn each_server_counts_its_own_players() {
    let redis = Redis::start();
    let servers = two(&redis);
    let _clients = pair(&servers);
    for server in &servers {
        assert_eq!((server.count("players"), cluster(server, "ghosts")), (1, 1));
        wait_until("the players of both", || {
            health(server).1.contains(r#""players":1,"#)
                && health(server).1.ends_with(r#""cluster":"ok","players_in_world":2}"#)
        });
    }
}

#[test]
fn only_local_players_count_towards_the_limit() {
    let redis = Redis::start();
    let limited = settings(&redis, "small").set("MAX_CONNECTIONS", 1);
    let servers = [start(&limited), start(&settings(&redis, "large"))];
    let mut clients: Vec<Client> = (0..5).map(|_| Client::join(&servers[1])).collect();
    poll_until(&mut clients, "the ghosts to appear", |_| cluster(&servers[0], "peer_players") == 5);
    clients.push(Client::join(&servers[0]));
    assert_eq!(Raw::exchange(servers[0].address(), crate::support::raw::UPGRADE).status, 503);
}

#[test]
fn only_visible_regions_are_subscribed() {
    let redis = Redis::start();
    let servers = two(&redis);
    let mut clients = pair(&servers);
    let other = clients[OTHER].id();
    assert_eq!(cluster(&servers[0], "regions"), 81, "the whole world without a viewport");
    clients[VIEWER].send(&ClientMessage::Viewport { width: 300, height: 300 });
    poll_until(&mut clients, "fewer subscribed regions", |_| cluster(&servers[0], "regions") <= 16);
    assert!(clients[VIEWER].sees(other));

    // The player walks out of the subscribed regions, and in again.
    walk(&mut clients, OTHER, Vector::RIGHT, 150);
    poll_until(&mut clients, "the player to leave", |clients| !clients[VIEWER].sees(other));
    poll_until(&mut clients, "the ghost to disappear", |_| cluster(&servers[0], "ghosts") == 0);
    walk(&mut clients, OTHER, Vector::LEFT, 150);
    poll_until(&mut clients, "the player to return", |clients| clients[VIEWER].sees(other));
}

#[test]
fn a_clean_shutdown_removes_its_players_at_once() {
    let redis = Redis::start();
    let [first, mut second] = two(&redis);
    let mut viewer = Client::join(&first);
    let other = Client::join(&second);
    poll_until(std::slice::from_mut(&mut viewer), "the other player to enter", |clients| {
        clients[0].sees(other.id())
    });
    second.signal(Signal::SIGTERM);
    poll_until(std::slice::from_mut(&mut viewer), "the player to leave", |clients| {
        !clients[0].sees(other.id())
    });
    assert_eq!(second.wait_for_exit().code(), Some(0));
    assert!(!first.log().contains("timed out"), "the server announced its shutdown: {}", first.log());
    assert_eq!(cluster(&first, "peers"), 0);
}

#[test]
fn a_single_node_publishes_only_heartbeats() {
    let redis = Redis::start();
    let server = start(&settings(&redis, "alone"));
    let mut clients = [Client::join(&server)];
    let before = cluster(&server, "bus_messages_out_total");
    walk(&mut clients, 0, Vector::DOWN, 20);
    let published = cluster(&server, "bus_messages_out_total") - before;
    assert!(published <= 10, "{published} messages, more than the heartbeats");
}

#[test]
fn clusters_of_different_names_are_separate() {
    let redis = Redis::start();
    let here = start(&settings(&redis, "here"));
    let there = start(&settings(&redis, "there").set("CLUSTER_WORLD", "elsewhere"));
    let mut clients = [Client::join(&here), Client::join(&there)];
    crate::support::observe(&mut clients, std::time::Duration::from_millis(1_500));
    assert_eq!((cluster(&here, "peers"), cluster(&there, "peers")), (0, 0));
    assert!(clients.iter().all(|client| client.visible().is_empty()));
}

#[test]
fn incompatible_nodes_are_ignored_and_logged_once() {
    let redis = Redis::start();
    let server = start(&settings(&redis, "here"));
    let other_size = start(&settings(&redis, "small").set("WORLD_WIDTH", 1_000));
    for _ in 0..3 {
        redis.command(&[b"PUBLISH", b"pixi:main:all", b"PX\x07whatever follows"]);
        redis.command(&[b"PUBLISH", b"pixi:main:all", b"no message"]);
        redis.command(&[b"PUBLISH", b"pixi:main:all", b""]);
    }
    wait_until("many refusals", || cluster(&server, "bus_refused_total") > 12);
    for line in [
        "a node with message format version 7 instead of 3",
        "malformed message",
        "a node whose world is 1000 by 2000 units instead of 2000 by 2000",
    ] {
        server.wait_for_log(line);
        assert_eq!(server.log().matches(line).count(), 1, "{line}: {}", server.log());
    }
    assert_eq!((cluster(&server, "peers"), cluster(&other_size, "peers")), (0, 0));
}

#[test]
fn the_password_is_used_and_never_shown() {
    let redis = Redis::start_with(Some("s3cr3t-of-the-bus"));
    let server = settings(&redis, "first").set("LOG_LEVEL", "trace").start();
    wait_until("the server to admit players", || health(&server).0 == 200);
    let wrong = redis.url().replace("s3cr3t", "wr0ng");
    let locked_out = settings(&redis, "second").set("CLUSTER_URL", &*wrong).set("LOG_LEVEL", "trace").start();
    locked_out.wait_for_log("does not answer");
    for log in [server.log(), locked_out.log()] {
        assert!(!log.contains("of-the-bus"), "{log}");
    }
    let broken = "redis://:s3cr3t-of-the-bus@host:port/x";
    let output = Settings::new().set("CLUSTER_URL", broken).command().output().expect("it runs");
    let error = stderr_text(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("CLUSTER_URL=***: expected redis://"), "{error}");
}

//! Servers and Redis crash, hang and recover: players stay connected, and the world becomes whole again.

use nix::sys::signal::Signal;

use game_client::Vector;

use super::redis::Redis;
use super::{OTHER, VIEWER, cluster, health, is_shown_at, pair, settings, start, two, wait_until_mutual};
use crate::support::wait::wait_until;
use crate::support::walker::walk;
use crate::support::{Client, poll_until};

/// Whether both servers report a degraded cluster and are healthy.
fn are_degraded(servers: &[crate::support::Server; 2]) -> bool {
    servers.iter().all(|server| {
        let (status, body) = health(server);
        assert_eq!(status, 200, "{body}");
        body.contains("\"cluster\":\"degraded\"")
    })
}

#[test]
fn players_of_a_killed_server_leave() {
    let redis = Redis::start();
    let [first, second] = two(&redis);
    let mut clients = vec![Client::join(&first)];
    let other = Client::join(&second);
    poll_until(&mut clients, "the other player to enter", |clients| clients[0].sees(other.id()));
    drop(second);
    poll_until(&mut clients, "the player to leave", |clients| !clients[0].sees(other.id()));
    first.wait_for_log("peer second timed out");
    walk(&mut clients, 0, Vector::DOWN, 3);
}

#[test]
fn players_continue_without_redis_and_meet_again_after_it_recovers() {
    let mut redis = Redis::start();
    let servers = two(&redis);
    let mut clients = pair(&servers);
    let other = clients[OTHER].id();
    redis.vanish();
    poll_until(&mut clients, "both servers to be degraded", |_| are_degraded(&servers));
    poll_until(&mut clients, "the remote player to leave", |clients| !clients[VIEWER].sees(other));
    walk(&mut clients, VIEWER, Vector::DOWN, 5);
    let mut neighbour = Client::join(&servers[0]);
    let neighbour_id = neighbour.id();
    poll_until(&mut clients, "the local player to enter", |clients| clients[VIEWER].sees(neighbour_id));
    neighbour.poll();

    redis.come_back();
    wait_until_mutual(&mut clients);
    wait_until("all servers to recover", || {
        servers.iter().all(|server| health(server).1.contains("\"cluster\":\"ok\""))
    });
}

#[test]
fn a_hung_redis_delays_no_player() {
    let redis = Redis::start();
    let servers = two(&redis);
    let mut clients = pair(&servers);
    let other = clients[OTHER].id();
    redis.signal(Signal::SIGSTOP);
    poll_until(&mut clients, "both servers to be degraded", |_| are_degraded(&servers));
    poll_until(&mut clients, "the remote player to leave", |clients| !clients[VIEWER].sees(other));
    walk(&mut clients, OTHER, Vector::DOWN, 5);
    redis.signal(Signal::SIGCONT);
    wait_until_mutual(&mut clients);
    // The position reached in the meantime is replicated too.
    let place = clients[OTHER].position();
    poll_until(&mut clients, "the position", |clients| is_shown_at(&clients[VIEWER], other, place));
    assert!(servers.iter().all(|server| cluster(server, "bus_failures_total") > 0));
}

#[test]
fn a_hung_server_is_dropped_and_rejoins() {
    let redis = Redis::start();
    let servers = two(&redis);
    let mut clients = pair(&servers);
    let other = clients[OTHER].id();
    servers[1].signal(Signal::SIGSTOP);
    let viewer = &mut clients[..1];
    poll_until(viewer, "the player of the hung server to leave", |clients| !clients[VIEWER].sees(other));
    walk(viewer, VIEWER, Vector::DOWN, 5);
    let place = viewer[VIEWER].position();
    servers[1].signal(Signal::SIGCONT);
    wait_until_mutual(&mut clients);
    let viewer = clients[VIEWER].id();
    poll_until(&mut clients, "the new position of the player that walked", |clients| {
        is_shown_at(&clients[OTHER], viewer, place)
    });
}

#[test]
fn servers_can_be_replaced_one_by_one() {
    let redis = Redis::start();
    let mut servers: Vec<_> = ["a", "b", "c"].map(|name| start(&settings(&redis, name))).into();
    let mut clients: Vec<Client> = servers.iter().map(Client::join).collect();
    for (at, server) in servers.iter_mut().enumerate() {
        let mut old = std::mem::replace(server, start(&settings(&redis, "fresh")));
        old.signal(Signal::SIGTERM);
        let gone = clients.remove(at);
        let gone_id = gone.id();
        drop(gone);
        poll_until(&mut clients, "the player of the stopped server to leave", |clients| {
            clients.iter().all(|client| !client.sees(gone_id))
        });
        assert_eq!(old.wait_for_exit().code(), Some(0));
        clients.insert(at, Client::join(server));
        poll_until(&mut clients, "three players to see each other", |clients| {
            clients.iter().all(|client| client.visible().len() == 2)
        });
    }
}

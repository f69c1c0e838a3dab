//! Ids are unique over all servers and rise, also when the one who counts has forgotten where it was.

use std::collections::BTreeSet;

use super::redis::Redis;
use super::{cluster, health, settings, start, two};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::wait_until;
use crate::support::{Client, poll_until};

#[test]
fn no_id_is_given_twice_and_everybody_knows_its_own() {
    let redis = Redis::start();
    let servers = two(&redis);
    // Turn about, so that each joins where higher ids and lower ones are.
    let mut clients: Vec<Client> = (0..20).map(|at| Client::join(&servers[at % 2])).collect();
    let ids: BTreeSet<u32> = clients.iter().map(Client::id).collect();
    assert_eq!(ids.len(), clients.len());
    poll_until(&mut clients, "everybody on every screen", |clients| {
        clients.iter().all(|client| client.visible().len() == ids.len() - 1)
    });
}

#[test]
fn a_redis_that_has_forgotten_does_not_give_them_again() {
    let mut redis = Redis::start();
    let servers = two(&redis);
    let before: Vec<u32> = servers.iter().map(|server| Client::join(server).id()).collect();
    redis.vanish();
    wait_until("both degraded", || servers.iter().all(|server| cluster(server, "up") == 0));
    redis.come_back();
    wait_until("both back", || servers.iter().all(|server| cluster(server, "up") == 1));
    // A third one begins behind all that the first two were granted.
    let third = start(&settings(&redis, "third"));
    let fresh = Client::join(&third).id();
    let most = before.iter().max().expect("two");
    assert!(fresh > *most, "{fresh} after {before:?}");
    let mut ids: BTreeSet<u32> = before.iter().copied().chain([fresh]).collect();
    for server in &servers {
        let id = Client::join(server).id();
        assert!(ids.insert(id), "{id} twice: {ids:?}");
    }
}

#[test]
fn until_there_are_ids_nobody_is_let_in_and_everybody_is_told() {
    let mut redis = Redis::absent();
    let server = settings(&redis, "early").start();
    assert_eq!((health(&server).0, cluster(&server, "up")), (503, 0));
    assert!(health(&server).1.contains("\"status\":\"starting\""), "{:?}", health(&server));
    let mut early = Raw::connect(server.address());
    early.send(UPGRADE.as_bytes());
    let response = early.response();
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
    assert_eq!(server.metrics()["refused"]["no_ids"], 1);
    redis.come_back();
    wait_until("ids", || health(&server).0 == 200);
    assert!(Client::join(&server).id() >= 1001);
}

//! Ids are unique across all servers and ascending, even after Redis has lost its counter.

use std::collections::BTreeSet;

use super::redis::Redis;
use super::{cluster, health, settings, start, two};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::wait_until;
use crate::support::{Client, poll_until};

#[test]
fn ids_are_unique_and_each_client_knows_its_own() {
    let redis = Redis::start();
    let servers = two(&redis);
    // The servers alternate, so that each has joins with higher and with lower ids.
    let mut clients: Vec<Client> = (0..20).map(|at| Client::join(&servers[at % 2])).collect();
    let ids: BTreeSet<u32> = clients.iter().map(Client::id).collect();
    assert_eq!(ids.len(), clients.len());
    poll_until(&mut clients, "all players to see each other", |clients| {
        clients.iter().all(|client| client.visible().len() == ids.len() - 1)
    });
}

#[test]
fn a_redis_that_lost_its_counter_reuses_no_id() {
    let mut redis = Redis::start();
    let servers = two(&redis);
    let before: Vec<u32> = servers.iter().map(|server| Client::join(server).id()).collect();
    redis.vanish();
    wait_until("both servers to be degraded", || servers.iter().all(|server| cluster(server, "up") == 0));
    redis.come_back();
    wait_until("both servers to recover", || servers.iter().all(|server| cluster(server, "up") == 1));
    // The third server must start above all ids leased to the first two.
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
fn without_ids_joins_are_refused_with_a_reason() {
    let mut redis = Redis::absent();
    let server = settings(&redis, "early").start();
    assert_eq!((health(&server).0, cluster(&server, "up")), (503, 0));
    assert!(health(&server).1.contains("\"status\":\"starting\""), "{:?}", health(&server));
    let response = Raw::exchange(server.address(), UPGRADE);
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
    assert_eq!(server.metrics()["refused"]["no_ids"], 1);
    redis.come_back();
    wait_until("ids", || health(&server).0 == 200);
    assert!(Client::join(&server).id() >= 1001);
}

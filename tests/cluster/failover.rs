//! A failover of Redis: another instance becomes the primary, and the cluster stays whole.

use std::collections::BTreeSet;

use super::redis::Redis;
use super::relay::Relay;
use super::{cluster, health, settings, start};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, poll_until};

fn at(url: &str, name: &str) -> Settings {
    Settings::new().spawn_at(500, 500).set("CLUSTER_URL", url).set("NODE_NAME", name)
}

fn have_discovered_each_other(servers: &[Server]) -> bool {
    servers.iter().all(|server| {
        cluster(server, "peers") == servers.len() as u64 - 1
            && health(server).1.contains("\"cluster\":\"ok\"")
    })
}

fn replicate(replica: &Redis, primary: &Redis) {
    let port = primary.port().to_string();
    assert!(replica.command(&[b"REPLICAOF", b"127.0.0.1", port.as_bytes()]).starts_with("+OK"));
    wait_until("the replica to be in sync", || {
        let role = replica.command(&[b"ROLE"]);
        role.contains("slave") && role.contains("connected")
    });
}

#[test]
fn a_failover_keeps_the_cluster_whole() {
    let (old, new) = (Redis::start(), Redis::start());
    replicate(&new, &old);
    let name = Relay::to(old.port());
    let servers = ["a", "b", "c"].map(|node| start(&at(&name.url(), node)));
    wait_until("three nodes to discover each other", || have_discovered_each_other(&servers));
    let mut clients: Vec<Client> = servers.iter().map(Client::join).collect();
    // Each node leases its next ids now, and the replica may not have received these leases.
    assert!(new.command(&[b"REPLICAOF", b"NO", b"ONE"]).starts_with("+OK"));
    name.move_to(new.port());
    // The old primary still responds, and forwards messages published on the new one.
    let port = new.port().to_string();
    assert!(old.command(&[b"REPLICAOF", b"127.0.0.1", port.as_bytes()]).starts_with("+OK"));
    poll_until(&mut clients, "all nodes to subscribe at the new primary", |_| {
        new.command(&[b"PUBSUB", b"NUMSUB", b"pixi:main:all"]).ends_with(":3\r\n")
    });
    poll_until(&mut clients, "three nodes to discover each other again", |_| {
        have_discovered_each_other(&servers)
    });
    assert!(old.command(&[b"PUBSUB", b"NUMSUB", b"pixi:main:all"]).ends_with(":0\r\n"));

    clients.extend(servers.iter().map(Client::join));
    poll_until(&mut clients, "six players to see each other", |clients| {
        clients.iter().all(|client| client.visible().len() == 5)
    });
    let ids: BTreeSet<u32> = clients.iter().map(Client::id).collect();
    assert_eq!(ids.len(), clients.len());
    let log = servers[0].log();
    assert!(log.contains("the instance is not the primary") || log.contains("read only replica"), "{log}");
}

#[test]
fn a_replica_is_not_used_as_the_bus() {
    let (primary, replica) = (Redis::start(), Redis::start());
    replicate(&replica, &primary);
    let server = at(&replica.url(), "lost").start();
    server.wait_for_log("the instance is not the primary");
    assert_eq!((health(&server).0, cluster(&server, "up")), (503, 0));
}

#[test]
fn a_node_that_receives_no_heartbeats_of_a_subscriber_is_degraded() {
    let redis = Redis::start();
    let server = start(&settings(&redis, "alone"));
    assert!(health(&server).1.contains("\"cluster\":\"ok\""));
    // Subscribes to the common channel as a node does, but publishes nothing.
    let silent = redis.subscribe("pixi:main:all");
    wait_until("the node to be degraded", || health(&server).1.contains("\"cluster\":\"degraded\""));
    assert_eq!((health(&server).0, cluster(&server, "up")), (200, 0));
    server.wait_for_log("no messages from peers arrive although");
    drop(silent);
    wait_until("all servers to recover", || health(&server).1.contains("\"cluster\":\"ok\""));
}

#[test]
fn a_user_that_may_not_query_the_role_is_logged() {
    let redis = Redis::start();
    let rules: [&[u8]; 15] = [
        b"ACL", b"SETUSER", b"node", b"on", b">secret", b"~pixi:*", b"&pixi:*", b"+publish", b"+subscribe",
        b"+unsubscribe", b"+eval", b"+get", b"+getdel", b"+set", b"+incrby",
    ];
    assert!(redis.command(&rules).starts_with("+OK"));
    let server = start(&at(&redis.url().replace("redis://", "redis://node:secret@"), "small"));
    server.wait_for_log("denies ROLE");
    assert_eq!(server.log().matches("denies ROLE").count(), 1);
    assert!(Client::join(&server).id() >= 1001);
}

//! Another process takes a node over: it keeps its identity and its ids, and its peers notice nothing.

use std::time::Duration;

use game_client::Vector;

use super::redis::Redis;
use super::relay::Relay;
use super::{OTHER, VIEWER, cluster, is_shown_at, pair, settings, start};
use crate::support::wait::wait_until;
use crate::support::walker::walk;
use crate::support::{Client, Server, folder, poll_until};

#[test]
fn peers_do_not_notice_a_takeover() {
    let redis = Redis::start();
    let socket = folder("cluster-takeover").join("control.sock");
    // A new process connects several ticks after it has taken over.
    let relay = Relay::delayed(redis.port(), Duration::from_millis(100));
    let first = settings(&redis, "first")
        .set("CLUSTER_URL", relay.url().as_str())
        .set("CONTROL_SOCKET", socket.to_str().expect("UTF-8"));
    let [mut old, second] = [start(&first), start(&settings(&redis, "second"))];
    wait_until("the servers to discover each other", || {
        cluster(&old, "peers") + cluster(&second, "peers") == 2
    });
    let servers = [old, second];
    let mut clients = pair(&servers);
    let marks: Vec<usize> = clients.iter().map(Client::mark).collect();
    let second;
    [old, second] = servers;
    for _ in 0..3 {
        let mut command = first.command();
        command.arg("--takeover");
        let new = Server::run(command);
        assert_eq!(std::mem::replace(&mut old, new).wait_for_exit().code(), Some(0));
        old.wait_for_log("connected to the bus");
        assert!(!old.log().contains("unreachable"), "{}", old.log());
        for (walker, viewer) in [(VIEWER, OTHER), (OTHER, VIEWER)] {
            walk(&mut clients, walker, Vector::DOWN, 10);
            let (id, place) = (clients[walker].id(), clients[walker].position());
            poll_until(&mut clients, "the exact position", |clients| {
                is_shown_at(&clients[viewer], id, place)
            });
        }
    }
    for (at, other) in [(VIEWER, OTHER), (OTHER, VIEWER)] {
        let id = clients[other].id();
        assert_eq!(clients[at].leaves_since(marks[at], id), 0);
        assert_eq!(clients[at].joins_since(marks[at], id), 0);
    }
    // The leased ids continue.
    let newcomer = Client::join(&old);
    assert_eq!(newcomer.id(), clients[VIEWER].id() + 1);
    assert_eq!((cluster(&old, "peers"), cluster(&second, "peers")), (1, 1));
    assert_eq!(cluster(&second, "ghosts"), 2);
}

//! Bans in a cluster: with a secret, a decision on one node holds on all.

use std::path::{Path, PathBuf};

use super::redis::Redis;
use super::secret::{now_us, sealed, with_secret};
use super::{cluster, settings, start};
use crate::control::control;
use crate::support::http::get;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, folder};
use pixi_game_server::cluster::message::{BanDecision, Body, Header, encode};

fn node(settings: Settings, name: &str) -> (Server, PathBuf) {
    let socket = folder(name).join("control.sock");
    (start(&settings.set("CONTROL_SOCKET", socket.to_str().expect("UTF-8"))), socket)
}

fn bans(socket: &Path) -> usize {
    control(socket, "bans")["bans"].as_array().expect("a list").len()
}

/// A message of a node that knows no other.
fn forged_ban() -> Vec<u8> {
    let network = "127.0.0.0/8".parse().expect("a network");
    let decision = BanDecision { network, is_ban: true, until_s: None, decided_us: now_us() };
    let header = Header { world: (2_000, 2_000), node: 0xf0f0, sequence: 1, sent_us: now_us() };
    encode(&header, &Body::Bans(vec![decision]))
}

#[test]
fn a_ban_on_one_node_holds_on_all() {
    let redis = Redis::start();
    let (first, first_socket) = node(with_secret(&redis, "first"), "bans-first");
    let (second, second_socket) = node(with_secret(&redis, "second"), "bans-second");
    wait_until("peers", || cluster(&first, "peers") == 1 && cluster(&second, "peers") == 1);
    let player = Client::join(&second);
    control(&first_socket, "ban 198.51.100.0/24");
    control(&first_socket, "ban 127.0.0.0/8 --for 1h");
    wait_until("no players on the second node", || control(&second_socket, "status")["players"] == 0);
    assert_eq!((bans(&second_socket), get(second.address(), "/health").status), (2, 403));
    drop(player);
    // A node that starts later learns them, and a decision on any node counts.
    let (_third, third_socket) = node(with_secret(&redis, "third"), "bans-third");
    wait_until("the bans on the third node", || bans(&third_socket) == 2);
    control(&third_socket, "unban 127.0.0.0/8");
    wait_until("the end of a ban on all nodes", || {
        [&first_socket, &second_socket].map(|socket| bans(socket)) == [1, 1]
    });
    assert_eq!(get(first.address(), "/health").status, 200);
    assert!(second.log().contains("another node bans 127.0.0.0/8: 1 connections"), "{}", second.log());
}

#[test]
fn only_a_node_with_the_secret_can_ban() {
    let redis = Redis::start();
    let (open, open_socket) = node(settings(&redis, "open"), "bans-open");
    redis.command(&[b"PUBLISH", b"pixi:main:all", &forged_ban()]);
    wait_until("a refusal", || cluster(&open, "bus_refused_total") == 1);
    assert_eq!(bans(&open_socket), 0);
    drop(open);
    let (closed, closed_socket) = node(with_secret(&redis, "closed"), "bans-closed");
    redis.command(&[b"PUBLISH", b"pixi:main:all", &forged_ban()]);
    wait_until("a message without a tag", || cluster(&closed, "bus_unauthenticated_total") == 1);
    assert_eq!(bans(&closed_socket), 0);
    redis.command(&[b"PUBLISH", b"pixi:main:all", &sealed("pixi:main:all", forged_ban())]);
    wait_until("the ban", || closed.log().contains("another node bans 127.0.0.0/8"));
}

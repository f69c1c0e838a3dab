//! A peer that vanishes without a FIN or reset: both sides are in network namespaces, and the link between
//! them goes down. The test needs root and iproute2, and fails without them.

use std::process::Command;
use std::{process, thread};

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;

use crate::support::debian::program;
use crate::support::process::stderr_text;
use crate::support::raw::Raw;
use crate::support::wait::wait_until;
use crate::support::{Client, Settings};

const SERVER_ADDRESS: &str = "198.18.0.1";
const PEER_ADDRESS: &str = "198.18.0.2";

/// Two network namespaces with a link between them, deleted on drop.
struct Network {
    server: String,
    peer: String,
}

impl Network {
    fn new() -> Network {
        let name = |side: &str| format!("pixi-{side}-{}", process::id());
        let network = Network { server: name("server"), peer: name("peer") };
        let (server, peer) = (network.server.as_str(), network.peer.as_str());
        ip(&["netns", "add", server]);
        ip(&["netns", "add", peer]);
        ip(&[
            "-n", server, "link", "add", "name", "link", "type", "veth", "peer", "name", "link", "netns",
            peer,
        ]);
        for (side, address) in [(server, SERVER_ADDRESS), (peer, PEER_ADDRESS)] {
            ip(&["-n", side, "address", "add", &format!("{address}/30"), "dev", "link"]);
            ip(&["-n", side, "link", "set", "dev", "link", "up"]);
            ip(&["-n", side, "link", "set", "lo", "up"]);
        }
        network
    }

    /// Takes the link down: further packets are lost.
    fn cut(&self) {
        ip(&["-n", &self.peer, "link", "set", "dev", "link", "down"]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for side in [&self.server, &self.peer] {
            let _ = Command::new("ip").args(["netns", "delete", side]).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let command = format!("ip {}", arguments.join(" "));
    let output = Command::new(program("ip")).args(arguments).output().expect("ip runs");
    let complaint = stderr_text(&output);
    assert!(
        output.status.success(),
        "{command}: {complaint}. This test creates network namespaces: run it as root, in a container with CAP_SYS_ADMIN"
    );
}

/// Runs a function on a thread inside a namespace.
fn within<T: Send>(namespace: &str, run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let path = format!("/run/netns/{namespace}");
            let file =
                open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).expect("a namespace");
            setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            run()
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn a_vanished_peer_is_dropped_after_the_idle_timeout() {
    let network = Network::new();
    within(&network.server, || {
        let mut settings =
            Settings::new().set("IP_CONN_RATE", 0).set("PING_INTERVAL_SEC", 1).set("IDLE_TIMEOUT_SEC", 2);
        settings = settings.set("HOST", SERVER_ADDRESS);
        let server = settings.start();
        let mut clients = [Client::join(&server)];
        let before = server.descriptors();
        let peers = within(&network.peer, || [(); 3].map(|()| Raw::upgraded(server.address())));
        server.wait_for_players(4);
        network.cut();
        crate::support::poll_until(&mut clients, "the silent peers to be disconnected", |clients| {
            clients[0].visible().is_empty() && server.count("players") == 1
        });
        assert_eq!(server.metrics()["closed"]["idle"], 3);
        wait_until("their descriptors", || server.descriptors() <= before);
        assert!(!clients[0].ended);
        drop(peers);
    });
}

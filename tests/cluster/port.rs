//! Servers that share one port of a machine, with a Redis on a Unix socket between them.

use std::net::TcpStream;

use nix::sys::signal::Signal;

use super::redis::Redis;
use super::{OTHER, VIEWER};
use crate::control::control;
use crate::support::http::get;
use crate::support::process::stderr_text;
use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, free_port, free_ports, poll_until};

const SECRET: &str = "secret-of-all-servers-of-this-world";

fn settings(redis: &Redis, port: u16, name: &str) -> Settings {
    let (url, folder) = (redis.unix_url(), std::env::temp_dir());
    let socket = folder.join(format!("pixi-{port}-{name}.sock")).display().to_string();
    Settings::new()
        .spawn_at(500, 500)
        .set("PORT", port)
        .set("REUSE_PORT", true)
        .set("ADMIN_ADDR", "127.0.0.1:0")
        .set("CONTROL_SOCKET", socket.as_str())
        .set("CLUSTER_URL", url.as_str())
        .set("CLUSTER_SECRET", SECRET)
        .set("NODE_NAME", name)
}

/// Servers of one port that have discovered each other.
fn start<const N: usize>(settings: [Settings; N]) -> [Server; N] {
    let servers = settings.map(|settings| settings.start());
    wait_until("the servers to discover each other and to admit players", || {
        servers.iter().all(|server| {
            cluster(server, "peers") == N as u64 - 1 && get(server.admin_address(), "/health").status == 200
        })
    });
    servers
}

fn cluster(server: &Server, name: &str) -> u64 {
    server.admin_metrics()["cluster"][name].as_u64().unwrap_or(0)
}

/// Players of all nodes that a server knows.
fn all_players(server: &Server) -> u64 {
    let metrics = server.admin_metrics();
    let nodes = metrics["nodes"].as_array().expect("all nodes");
    nodes.iter().filter_map(|node| node["players"].as_u64()).sum()
}

#[test]
fn players_of_one_port_are_divided_and_see_each_other() {
    let (redis, port) = (Redis::start_with(Some("s3cr3t-of-the-bus")), free_port());
    let servers = start(["one", "two"].map(|name| settings(&redis, port, name)));
    assert_eq!(servers[0].address(), servers[1].address());
    for server in &servers {
        assert!(!server.log().contains("not listening"), "{}", server.log());
    }
    // With 40 connections, one server gets none once in 5 * 10^11 runs.
    let mut clients: Vec<Client> = (0..40).map(|_| Client::join(&servers[0])).collect();
    let players = || servers.each_ref().map(|server| server.admin_metrics()["players"].as_u64());
    wait_until("the players of both", || players().iter().flatten().sum::<u64>() == 40);
    assert!(players().iter().all(|count| *count > Some(0)), "{:?}", players());
    let ids = [clients[VIEWER].id(), clients[OTHER].id()];
    poll_until(&mut clients, "all players to be seen", |clients| {
        clients.iter().all(|client| ids.iter().all(|&id| id == client.id() || client.sees(id)))
    });
    assert!(servers.iter().all(|server| cluster(server, "peer_players") > 0));
    // The answer names its node.
    wait_until("all players in the health of any", || {
        let health = get(servers[0].address(), "/health").text().to_owned();
        ["one", "two"].iter().any(|name| {
            health.contains(&format!(r#""node":"{name}","cluster":"ok","players_in_world":40}}"#))
        })
    });
    for (server, [own, other]) in servers.iter().zip([["one", "two"], ["two", "one"]]) {
        let metrics = server.admin_metrics();
        let nodes = metrics["nodes"].as_array().expect("all nodes");
        assert_eq!((metrics["node"].as_str(), nodes.len()), (Some(own), 2));
        assert_eq!((nodes[0]["node"].as_str(), nodes[1]["node"].as_str()), (Some(own), Some(other)));
        assert_eq!(nodes.iter().filter_map(|node| node["players"].as_u64()).sum::<u64>(), 40);
        assert!(nodes.iter().all(|node| node["resident_bytes"].as_u64() > Some(1 << 20)), "{nodes:?}");
        let text = get(server.admin_address(), "/metrics/prometheus").text().to_owned();
        assert!(text.contains(&format!("pixi_node_info{{node=\"{own}\"}} 1")));
    }
}

#[test]
fn a_server_above_its_fair_share_lets_the_others_catch_up() {
    let (redis, port) = (Redis::start(), free_port());
    let first = settings(&redis, port, "first").start();
    wait_until("the first server to admit players", || get(first.admin_address(), "/health").status == 200);
    let mut clients: Vec<Client> = (0..120).map(|_| Client::join(&first)).collect();
    let mut second = settings(&redis, port, "second").start();
    first.wait_for_log("not listening for a while: 120 players here");
    clients.extend((0..110).map(|_| Client::join(&first)));
    let players = |server: &Server| server.admin_metrics()["players"].as_u64();
    assert_eq!((players(&first), players(&second)), (Some(120), Some(110)));
    first.wait_for_log("port group: listening: 120 players here");
    drop(clients);

    // A server that goes on alone listens, however many players it has.
    let _clients: Vec<Client> = (0..200).map(|_| Client::join(&first)).collect();
    wait_until("all players of both", || players(&first) > Some(0) && players(&second) > Some(0));
    second.signal(Signal::SIGKILL);
    second.wait_for_exit();
    wait_until("the first server to admit players", || {
        TcpStream::connect(first.address()).is_ok() && players(&first).is_some()
    });
    Client::join(&first);
}

#[test]
fn limits_are_those_of_all_servers_of_the_port() {
    let (redis, port) = (Redis::start(), free_port());
    for (name, value, status) in [("MAX_CONNECTIONS", 12, 503), ("MAX_CONNS_PER_IP", 10, 429)] {
        let servers = start(["one", "two"].map(|node| settings(&redis, port, node).set(name, value)));
        let players =
            || servers.iter().filter_map(|server| server.admin_metrics()["players"].as_u64()).sum::<u64>();
        let mut clients = Vec::new();
        while clients.len() < value {
            clients.push(Client::join(&servers[0]));
            // Until the last two, no server could admit too many.
            if clients.len() + 2 >= value {
                wait_until("both servers to know all players", || {
                    servers.iter().all(|server| all_players(server) == clients.len() as u64)
                });
            }
        }
        // What the other server says counts within a tenth of a second.
        let is_refused = || Raw::exchange(servers[0].address(), UPGRADE).status == status;
        wait_until("every connection to be refused", || (0..20).all(|_| is_refused()));
        assert_eq!(players(), value as u64, "{name}");
    }
}

#[test]
fn a_server_that_shuts_down_leaves_the_port_to_the_others() {
    let port = free_port();
    let start =
        || Settings::new().set("PORT", port).set("REUSE_PORT", true).set("ADMIN_ADDR", "127.0.0.1:0").start();
    let mut old = start();
    // It never closes its side, so the server waits for it.
    let silent = Client::join(&old);
    let new = start();
    old.signal(Signal::SIGTERM);
    old.wait_for_log("shutting down");
    for _ in 0..40 {
        assert_eq!(Raw::exchange(new.address(), "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    }
    assert_eq!(old.exit_status(), None, "the old server still waits");
    drop(silent);
    assert!(old.wait_for_exit().success());
}

#[test]
fn ctl_reaches_all_servers_of_a_port() {
    let (redis, port) = (Redis::start(), free_port());
    let servers = start(["one", "two"].map(|name| settings(&redis, port, name)));
    let mut clients: Vec<Client> = (0..20).map(|_| Client::join(&servers[0])).collect();
    let base = std::env::temp_dir().join(format!("pixi-{port}.sock"));
    let ask = |arguments: &str| control(&base, arguments);
    wait_until("both nodes to know all players", || {
        let nodes = ask("nodes")["nodes"].clone();
        (0..2).filter_map(|at| nodes[at]["players"].as_u64()).sum::<u64>() == 20
    });
    let status = ask("status");
    assert_eq!((&status["one"]["node"], &status["two"]["node"]), (&"one".into(), &"two".into()));
    assert_eq!(ask("status --node two")["pid"], servers[1].pid());
    let list = ask("players --limit 7");
    let rows = list["players"].as_array().expect("a list");
    let listed: Vec<u64> = rows.iter().filter_map(|row| row["id"].as_u64()).collect();
    let mut ids: Vec<u64> = clients.iter().map(|client| client.id().into()).collect();
    ids.sort_unstable();
    assert_eq!((listed.as_slice(), &list["matching"]), (&ids[..7], &20.into()));
    assert!(rows.iter().all(|row| row["node"] == "one" || row["node"] == "two"), "{rows:?}");
    // Only one of them has the player.
    let id = clients[7].id();
    assert_eq!(ask(&format!("player {id}"))["id"], id);
    assert_eq!(ask(&format!("kick {id}"))["kicked"], 1);
    poll_until(&mut clients, "the player to be closed", |clients| clients[7].close_code.is_some());
    ask("set MAX_VISIBLE 100");
    assert!(servers.iter().all(|server| server.admin_metrics()["max_visible"] == 100));
}

#[test]
fn a_port_is_shared_only_by_servers_that_all_agree() {
    let server = Settings::new().start();
    let port = server.address().port();
    let output =
        Settings::new().set("PORT", port).set("REUSE_PORT", true).command().output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "HOST=127.0.0.1 PORT={port}: Address already in use (os error 98); a program of another user"
    );
    assert!(stderr_text(&output).contains(&expected), "{}", stderr_text(&output));
}

#[test]
fn each_server_takes_the_first_free_port_of_the_admin_range() {
    let first = free_ports(4);
    let range = format!("127.0.0.1:{first}-{}", first + 3);
    let servers = [(); 2].map(|()| Settings::new().set("ADMIN_ADDR", range.as_str()).start());
    let ports = servers.each_ref().map(|server| server.admin_address().port());
    assert!(ports.iter().all(|port| (first..=first + 3).contains(port)) && ports[0] != ports[1], "{ports:?}");
    assert!(servers.iter().all(|server| get(server.admin_address(), "/health").status == 200));
    let one = format!("127.0.0.1:{0}-{0}", ports[0]);
    let output = Settings::new().set("ADMIN_ADDR", one.as_str()).command().output().expect("it runs");
    let expected = format!("ADMIN_ADDR=127.0.0.1:{}: Address already in use", ports[0]);
    assert!(stderr_text(&output).contains(&expected), "{}", stderr_text(&output));
}

#[test]
fn a_server_without_ids_leaves_the_port_to_others() {
    let (redis, port) = (Redis::start(), free_port());
    let first = settings(&redis, port, "first").start();
    wait_until("the first server to admit players", || get(first.admin_address(), "/health").status == 200);
    // Its Redis does not exist, so it gets no ids.
    let second = settings(&redis, port, "second").set("CLUSTER_URL", "redis://127.0.0.1:1").start();
    assert_eq!(get(second.admin_address(), "/health").status, 503);
    // It looks for others first, and then listens to say why it admits nobody.
    let mut refusal = String::new();
    wait_until("the second server to listen", || {
        let health = get(first.address(), "/health");
        if health.status == 503 {
            refusal = health.text().to_owned();
        }
        !refusal.is_empty()
    });
    assert!(
        refusal.contains("\"node\":\"second\"") && !refusal.contains("\"uptime_seconds\":0"),
        "{refusal}"
    );
}

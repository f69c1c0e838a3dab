//! Servers that share one port of a machine, with a Redis on a Unix socket between them.

use super::redis::Redis;
use super::{OTHER, VIEWER};
use crate::support::http::get;
use crate::support::process::stderr_text;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, free_port, poll_until};

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

#[test]
fn players_of_one_port_are_divided_and_see_each_other() {
    let (redis, port) = (Redis::start_with(Some("s3cr3t-of-the-bus")), free_port());
    let servers = start(["one", "two"].map(|name| settings(&redis, port, name)));
    assert_eq!(servers[0].address(), servers[1].address());
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
    let first = free_port();
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

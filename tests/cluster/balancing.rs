//! Three servers behind the example configurations, with only addresses and paths replaced.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use nix::sys::signal::Signal;

use super::redis::Redis;
use super::settings;
use crate::admission::proxies::programs::{Place, Proxy, example};
use crate::support::http::get;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, poll_until};

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Three servers that have discovered each other.
fn three(redis: &Redis, also: impl Fn(Settings) -> Settings) -> Vec<Server> {
    let servers: Vec<Server> = NAMES.iter().map(|name| also(settings(redis, name)).start()).collect();
    wait_until("three servers to discover each other and admit players", || {
        servers.iter().all(|server| {
            get(server.admin_address(), "/health").status == 200 && server_metric(server, "peers") == 2
        })
    });
    servers
}

fn server_metric(server: &Server, name: &str) -> u64 {
    let metrics = server.admin_metrics();
    metrics["cluster"][name].as_u64().expect("a metric")
}

fn players(server: &Server) -> u64 {
    server.admin_metrics()["players"].as_u64().expect("a count")
}

fn with_proxy_listener(settings: Settings) -> Settings {
    settings.set("ADMIN_ADDR", "127.0.0.1:0")
}

/// Connects players through the balancer, stops one server, and checks where new players connect.
fn assert_balanced(address: SocketAddr, mut servers: Vec<Server>) {
    wait_until("the balancer to reach the servers", || get(address, "/health").status == 200);
    let paths = ["/play", "/play/rules.json", "/metrics", "/dashboard"];
    assert_eq!(paths.map(|path| get(address, path).status), [200, 200, 404, 404]);
    let mut clients: Vec<Client> = (0..9).map(|_| Client::join_at(address)).collect();
    let spread: Vec<u64> = servers.iter().map(players).collect();
    assert_eq!(spread, [3, 3, 3]);
    poll_until(&mut clients, "nine players to see each other", |clients| {
        clients.iter().all(|client| client.visible().len() == 8)
    });

    let mut stopped = servers.remove(0);
    let left = players(&stopped);
    stopped.signal(Signal::SIGTERM);
    let ended = |clients: &[Client]| clients.iter().filter(|client| client.ended).count() as u64;
    poll_until(&mut clients, "its players' connections to end", |clients| ended(clients) == left);
    assert!(clients.iter().all(|client| !client.ended || client.close_code == Some(1001)));
    clients.retain(|client| !client.ended);
    // The players reconnect to the other servers.
    for _ in 0..left {
        clients.push(Client::join_at(address));
    }
    assert_eq!(servers.iter().map(players).sum::<u64>(), 9);
    poll_until(&mut clients, "nine players to see each other again", |clients| {
        clients.iter().all(|client| client.visible().len() == 8)
    });
    assert_eq!(stopped.wait_for_exit().code(), Some(0));
}

/// Settings of a server behind the balancer of [`haproxy`].
fn behind_haproxy(settings: Settings) -> Settings {
    with_proxy_listener(settings).set("PROXY_PROTOCOL", "on").set("TRUSTED_PROXIES", "127.0.0.0/8")
}

/// Starts the balancer for these servers, with its example configuration.
fn haproxy(servers: [SocketAddr; 3]) -> Proxy {
    let place = Place::new();
    let replacements = [
        ("\"${BIND-:8108}\"", place.address.to_string()),
        ("\"${MAXCONN-13000}\"", "900".to_owned()),
        ("\"${SERVER_1-127.0.0.1:8111}\"", servers[0].to_string()),
        ("\"${SERVER_2-127.0.0.1:8112}\"", servers[1].to_string()),
        ("\"${SERVER_3-127.0.0.1:8113}\"", servers[2].to_string()),
    ];
    let text = example("haproxy-cluster.cfg", &replacements);
    Proxy::haproxy(place, &text)
}

#[test]
fn haproxy_spreads_players_and_avoids_a_draining_server() {
    let redis = Redis::start();
    let servers = three(&redis, behind_haproxy);
    let proxy = haproxy([0, 1, 2].map(|at: usize| servers[at].address()));
    assert_balanced(proxy.place.address, servers);
}

/// A server that passes health checks, and ends each other request with `response`, or without one. Returns its address, and a
/// message for each request that it ended.
fn failing_server(response: &'static str) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (failed, failures) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(length) if length > 0 => request.extend_from_slice(&part[..length]),
                    _ => break,
                }
            }
            let is_check = request.windows(12).any(|part| part == b"GET /health ");
            let answer = if is_check { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" } else { response };
            let _ = stream.write_all(answer.as_bytes());
            if !is_check {
                let _ = failed.send(());
            }
        }
    });
    (address, failures)
}

#[test]
fn haproxy_gives_players_of_a_server_that_just_failed_to_another() {
    let draining = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for response in ["", draining] {
        let server = behind_haproxy(Settings::new()).start();
        let (failing, failures) = failing_server(response);
        let proxy = haproxy([failing, server.address(), server.address()]);
        let address = proxy.place.address;
        wait_until("the balancer to reach the servers", || get(address, "/health").status == 200);
        let clients: Vec<Client> = (0..6).map(|_| Client::join_at(address)).collect();
        assert_eq!(players(&server), clients.len() as u64);
        assert!(failures.try_recv().is_ok(), "no player was given to the failing server");
    }
}

#[test]
fn nginx_spreads_players_and_avoids_a_draining_server() {
    let redis = Redis::start();
    let servers =
        three(&redis, |settings| with_proxy_listener(settings).set("TRUSTED_PROXIES", "127.0.0.0/8"));
    let place = Place::new();
    let folder = place.folder.display().to_string();
    let mut replacements = vec![
        ("listen 8108", format!("listen {}", place.address)),
        ("user www-data;", String::new()),
        ("pid /run/nginx.pid;", format!("pid {folder}/nginx.pid;")),
        ("/var/log/nginx/error.log", format!("{folder}/error.log")),
        ("worker_rlimit_nofile 65536;", String::new()),
        ("worker_connections 30000", "worker_connections 500".to_owned()),
    ];
    let lines = ["127.0.0.1:8111", "127.0.0.1:8112", "127.0.0.1:8113"];
    let addresses: Vec<String> = servers.iter().map(|server| server.address().to_string()).collect();
    replacements.extend(lines.into_iter().zip(addresses));
    let text = example("nginx-cluster.conf", &replacements);
    let proxy = Proxy::nginx(place, &text);
    assert_balanced(proxy.place.address, servers);
}

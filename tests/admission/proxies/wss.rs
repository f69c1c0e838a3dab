//! The example configurations with only names, paths and addresses replaced: a game over TLS.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tungstenite::{Bytes, Error, Message, WebSocket};

use super::programs::{Place, Proxy, example};
use crate::support::debian::program;
use crate::support::process::stderr_text;
use crate::support::{Server, Settings};

const ALICE: Ipv4Addr = Ipv4Addr::new(127, 4, 0, 1);
const BOB: Ipv4Addr = Ipv4Addr::new(127, 4, 0, 2);

/// The host that players address.
const HOST: &str = "localhost:8443";

/// A TLS connection by the openssl program, which verifies the certificate. A timeout ends it.
struct Tls {
    child: Child,
}

impl Tls {
    fn connect(place: &Place, source: Ipv4Addr) -> Tls {
        let mut command = Command::new("timeout");
        command.arg("20").arg(program("openssl")).args(["s_client", "-quiet", "-verify_return_error"]);
        command.args(["-verify_hostname", "localhost", "-servername", "localhost", "-alpn", "http/1.1"]);
        command.arg("-CAfile").arg(place.folder.join("certificate.pem"));
        command.args(["-connect", &place.address.to_string(), "-bind", &format!("{source}:0")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Tls { child: command.spawn().expect("openssl starts") }
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.child.stdout.as_mut().expect("piped").read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.child.stdin.as_mut().expect("piped").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.child.stdin.as_mut().expect("piped").flush()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // Signals `timeout`, which passes the signal on.
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// Plays over wss: upgrade, first `GAME_STATE`, one MOVE and its ack. Returns the status of a refusal.
fn play(place: &Place, source: Ipv4Addr) -> Result<WebSocket<Tls>, u16> {
    let mut socket = match tungstenite::client(format!("ws://{HOST}/ws"), Tls::connect(place, source)) {
        Ok((socket, response)) => {
            let set = response.headers()["set-cookie"].to_str().expect("text");
            assert!(set.starts_with("pixi_resume_8443="), "the proxy forwards the host with its port: {set}");
            socket
        }
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
            return Err(response.status().as_u16());
        }
        Err(error) => panic!("the upgrade failed: {error}"),
    };
    let kind = |message: Message| match message {
        Message::Binary(payload) => payload[0],
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(socket.read().expect("a frame")), 7, "GAME_STATE");
    socket.send(Message::Binary(Bytes::from_static(&[3, 0b0101, 1, 0, 0, 0]))).expect("sent");
    while kind(socket.read().expect("an ack")) != 8 {}
    Ok(socket)
}

/// Status of the proxy's response for a path.
fn status(place: &Place, path: &str) -> String {
    let mut connection = Tls::connect(place, ALICE);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).expect("a response");
    String::from_utf8_lossy(&answer).split(' ').nth(1).expect("a status").to_owned()
}

/// Asserts one connection per forwarded address, and that admin resources are hidden.
fn assert_game_over_tls(place: &Place) {
    for path in ["/health", "/play", "/play/rules.json"] {
        assert_eq!(status(place, path), "200", "{path}");
    }
    for path in ["/metrics", "/metrics/", "/metrics/prometheus", "/dashboard", "/dashboard/"] {
        assert_eq!(status(place, path), "404", "{path}");
    }
    let _alice = play(place, ALICE).expect("the first address is admitted");
    let _bob = play(place, BOB).expect("another address is admitted");
    assert_eq!(play(place, ALICE).err(), Some(429));
}

fn server() -> Server {
    Settings::new().set("TRUSTED_PROXIES", "127.0.0.1").set("MAX_CONNS_PER_IP", 1).start()
}

fn certify(place: &Place) -> [PathBuf; 2] {
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| place.folder.join(name));
    let mut command = Command::new(program("openssl"));
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    let output =
        command.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().expect("openssl starts");
    assert!(output.status.success(), "{}", stderr_text(&output));
    [certificate, key]
}

#[test]
fn the_example_for_nginx_serves_the_game_over_tls() {
    let (server, place) = (server(), Place::new());
    let [certificate, key] = certify(&place);
    let folder = place.folder.display();
    let paths = place.nginx_paths();
    let text = example(
        "nginx.conf",
        &[
            ("pid /run/nginx.pid;", format!("pid {folder}/pid;")),
            ("/var/log/nginx/error.log", "stderr".to_owned()),
            ("http {", format!("http {{\n{paths}")),
            ("listen 443 ssl;", format!("listen {} ssl;", place.address)),
            ("/etc/ssl/game/fullchain.pem", certificate.display().to_string()),
            ("/etc/ssl/game/privkey.pem", key.display().to_string()),
            ("server 127.0.0.1:8108;", format!("server {};", server.address())),
        ],
    );
    let proxy = Proxy::nginx(place, &text);
    assert_game_over_tls(&proxy.place);
}

#[test]
fn the_example_for_haproxy_serves_the_game_over_tls() {
    let (server, place) = (server(), Place::new());
    let [certificate, key] = certify(&place).map(|path| fs::read_to_string(path).expect("PEM"));
    let both = place.write("both.pem", &(certificate + &key));
    let text = example(
        "haproxy.cfg",
        &[
            // A value that fits any limit of open files.
            ("maxconn 13000", "maxconn 100".to_owned()),
            // These lines need root.
            ("    chroot /var/lib/haproxy\n    user haproxy\n    group haproxy\n", String::new()),
            ("bind :443 ", format!("bind {} ", place.address)),
            ("/etc/ssl/game/both.pem", both.display().to_string()),
            ("server one 127.0.0.1:8108", format!("server one {}", server.address())),
        ],
    );
    let proxy = Proxy::haproxy(place, &text);
    assert_game_over_tls(&proxy.place);
}

#[test]
fn the_examples_have_longer_timeouts_than_the_server() {
    for (name, before) in [("nginx.conf", "proxy_read_timeout"), ("haproxy.cfg", "timeout tunnel")] {
        let text = example(name, &[]);
        let after = text.split(before).nth(1).expect(before).trim_start();
        let seconds: String = after.chars().take_while(char::is_ascii_digit).collect();
        assert!(after[seconds.len()..].starts_with('s'), "{name} in seconds");
        let longest = pixi_game_server::config::Config::default().idle_timeout_s;
        assert!(seconds.parse::<u32>().expect("seconds") > longest, "{name}: {seconds}");
    }
}

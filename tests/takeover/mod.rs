//! Takeovers: a new process continues the game on the sockets of the running one, and nobody notices.

mod failures;
mod killed;
mod service;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use game_client::Vector;

use crate::support::client::replica_options;
use crate::support::ground_truth::{matches_ground_truth, walk_around};
use crate::support::http::get;
use crate::support::raw::{PONG, Raw, masked};
use crate::support::wait::wait_until;
use crate::support::walker::{walk, walked_client};
use crate::support::{Client, Server, Settings, folder, poll_until, wait_for_acks};

/// A server that processes take over from each other.
struct Subject {
    folder: PathBuf,
    settings: Settings,
    server: Server,
}

impl Subject {
    fn start(name: &str, settings: Settings) -> Subject {
        let folder = folder(name);
        let socket = folder.join("control.sock");
        let settings = settings.set("CONTROL_SOCKET", socket.to_str().expect("UTF-8"));
        let server = settings.start();
        Subject { folder, settings, server }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    fn command(&self) -> Command {
        takeover(&self.settings)
    }

    /// Another process takes over; the old one exits with 0.
    fn take_over(&mut self) {
        let new = Server::run(self.command());
        let mut old = std::mem::replace(&mut self.server, new);
        assert_eq!(old.wait_for_exit().code(), Some(0), "{}", old.log());
        let taken = |server: &Server| server.log().contains("took over");
        wait_until("the takeover", || taken(&self.server));
        assert_eq!(self.server.address(), old.address());
    }
}

/// Runs a takeover that fails, and returns its output.
fn fail_to_take_over(settings: &Settings) -> Output {
    let output = takeover(settings).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    output
}

fn takeover(settings: &Settings) -> Command {
    let mut command = settings.command();
    command.arg("--takeover");
    command
}

#[test]
fn players_walk_on_through_takeovers() {
    const TAKEOVERS: usize = 4;
    let mut subject = Subject::start("walk-on", Settings::new());
    let mut clients = Client::join_many(&subject.server, 60, replica_options());
    let truth = thread::scope(|scope| {
        let takeovers = scope.spawn(|| (0..TAKEOVERS).for_each(|_| subject.take_over()));
        let mut truth = walk_around(&mut clients);
        while !takeovers.is_finished() {
            truth = walk_around(&mut clients);
        }
        truth
    });
    poll_until(&mut clients, "the true picture", |clients| {
        clients.iter().all(|client| matches_ground_truth(client, &truth))
    });
    for client in &clients {
        assert!(!client.ended && client.replica.violations().is_empty(), "{client:?}");
    }
    assert_eq!(subject.server.count("players"), 60);
    assert_eq!(subject.server.count("takeovers_total"), TAKEOVERS as u64);
    drop(clients);
    subject.server.wait_for_players(0);
    subject.server.terminate();
    assert!(!subject.socket().exists(), "the last process removes its socket");
}

#[test]
fn half_a_frame_and_half_a_request_are_completed_after_a_takeover() {
    let mut subject = Subject::start("halves", Settings::new());
    let address = subject.server.address();
    let mut player = Raw::upgraded(address);
    let mut visitor = Raw::connect(address);
    let ping = masked(0x89, b"halves");
    player.send(&ping[..5]);
    visitor.send(b"GET /health HTTP/1.1\r\nHo");
    subject.take_over();
    player.send(&ping[5..]);
    visitor.send(b"st: localhost\r\n\r\n");
    assert_eq!(player.next_frame_of(PONG).payload, b"halves");
    assert_eq!(visitor.response().status, 200);
}

#[test]
fn a_slow_download_continues_in_the_next_process() {
    let files = folder("takeover-files");
    let body: Vec<u8> = (0..8_000_000_u32).map(|at| ((at * 31) >> 7) as u8).collect();
    fs::write(files.join("large.bin"), &body).expect("a file");
    let mut subject =
        Subject::start("download", Settings::new().set("STATIC_DIR", files.to_str().expect("UTF-8")));
    let mut visitor = Raw::connect(subject.server.address());
    visitor.send(b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(visitor.head_response().status, 200);
    // The file changes meanwhile: the download continues with the bytes that it began with.
    fs::write(files.join("large.bin"), b"another").expect("a file");
    (0..2).for_each(|_| subject.take_over());
    let received = visitor.read_to_end();
    assert!(received == body, "{} of {} bytes, or other ones", received.len(), body.len());
    assert_eq!(get(subject.server.address(), "/large.bin").body, b"another");
}

#[test]
fn players_come_back_to_their_place_after_a_takeover() {
    let state = folder("takeover-state");
    for settings in [Settings::new(), Settings::new().set("STATE_DIR", state.to_str().expect("UTF-8"))] {
        let mut subject = Subject::start("sessions", settings);
        let gone = walked_client(&subject.server);
        let (there, cookie) = (gone.position(), gone.cookie());
        gone.reset();
        subject.server.wait_for_players(0);
        let mut clients = [Client::join(&subject.server)];
        walk(&mut clients, 0, Vector::RIGHT, 10);
        let (here, second) = (clients[0].position(), clients[0].cookie());
        subject.take_over();
        let returned = Client::reconnect(&subject.server, &cookie);
        assert_eq!(returned.position(), there);
        returned.reset();
        let [client] = clients;
        client.reset();
        subject.server.wait_for_players(0);
        assert_eq!(Client::reconnect(&subject.server, &second).position(), here);
    }
}

#[test]
fn the_new_settings_apply_and_close_nobody() {
    let mut subject = Subject::start("new-settings", Settings::new());
    let mut clients = Client::join_many(&subject.server, 20, replica_options());
    let settings = subject.settings.clone().set("MAX_VISIBLE", 5).set("MAX_CONNECTIONS", 10);
    subject.settings = settings.set("ATTACK_DURATION_MS", 2_000);
    subject.take_over();
    // The clients read on at once: their lateness is bounded.
    walk_around(&mut clients);
    let metrics = subject.server.metrics();
    assert_eq!(
        ["players", "max_visible", "players_max"].map(|name| metrics[name].as_u64()),
        [20, 5, 10].map(Some)
    );
    let rules = get(subject.server.address(), "/play/rules.json");
    assert!(rules.text().contains("\"attack_duration_ms\":2000}"), "{}", rules.text());
    poll_until(&mut clients, "smaller pictures", |clients| {
        clients.iter().all(|client| client.visible().len() <= 5)
    });
    assert!(clients.iter().all(|client| !client.ended));
}

#[test]
fn takeovers_leak_no_descriptor() {
    let mut subject = Subject::start("flat", Settings::new());
    let mut clients = Client::join_many(&subject.server, 20, replica_options());
    subject.take_over();
    let before = subject.server.descriptors();
    for _ in 0..8 {
        subject.take_over();
        for client in &mut clients {
            client.step(Vector::ZERO);
        }
        wait_for_acks(&mut clients);
    }
    assert_eq!(subject.server.descriptors(), before);
}

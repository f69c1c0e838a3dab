//! The control socket: every command end to end, its limits, and what it refuses.

mod bans;
mod hostile;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Output;

use game_client::Vector;
use serde_json::Value as Json;

use crate::support::client::replica_options;
use crate::support::http::get;
use crate::support::process::stderr_text;
use crate::support::raw::{CLOSE, Raw, UPGRADE};
use crate::support::server::program;
use crate::support::wait::wait_until;
use crate::support::walker::walk;
use crate::support::{Client, DEADLINE, Server, Settings, folder, poll_until, wait_for_acks};

/// A server with a control socket.
struct Subject {
    socket: PathBuf,
    server: Server,
}

impl Subject {
    fn start(name: &str, settings: Settings) -> Subject {
        let socket = folder(name).join("control.sock");
        let server = settings.set("CONTROL_SOCKET", socket.to_str().expect("UTF-8")).start();
        Subject { socket, server }
    }

    /// Runs `ctl` with these arguments.
    fn run(&self, arguments: &str) -> Output {
        run(&self.socket, arguments)
    }

    /// Returns the result of a command that succeeds.
    fn control(&self, arguments: &str) -> Json {
        control(&self.socket, arguments)
    }

    /// Returns the problem of a command that fails.
    fn refusal(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments}");
        stderr_text(&output)
    }

    fn log_has(&self, text: &str) {
        wait_until(text, || self.server.log().contains(text));
    }
}

fn run(socket: &Path, arguments: &str) -> Output {
    let mut command = program();
    command.arg("ctl").arg("--socket").arg(socket).args(arguments.split(' '));
    command.output().expect("the program runs")
}

/// Runs `ctl` with these arguments at a socket. Returns the result of a command that succeeds.
pub fn control(socket: &Path, arguments: &str) -> Json {
    let output = run(socket, &format!("--json {arguments}"));
    assert_eq!(output.status.code(), Some(0), "{arguments}: {}", stderr_text(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn ids(list: &Json) -> Vec<u64> {
    let players = list["players"].as_array().expect("a list");
    players.iter().map(|player| player["id"].as_u64().expect("an id")).collect()
}

#[test]
fn status_and_players_tell_who_is_on() {
    let subject = Subject::start("control-players", Settings::new());
    let mut clients = Client::join_many(&subject.server, 5, replica_options());
    walk(&mut clients, 3, Vector::RIGHT, 10);
    let (id, position) = (u64::from(clients[3].id()), clients[3].position());
    let status = subject.control("status");
    assert_eq!((&status["state"], &status["players"]), (&"serving".into(), &5.into()));
    let list = subject.control("players");
    assert_eq!(list["matching"], 5);
    let sorted = ids(&list);
    assert!(sorted.is_sorted() && sorted.len() == 5, "{sorted:?}");
    assert_eq!(ids(&subject.control("players --sort acks --limit 1")), [id]);
    assert_eq!(ids(&subject.control("players --sort bytes --limit 1")), [id]);
    let near = format!("players --near {},{} --limit 1", position.0, position.1);
    assert_eq!(ids(&subject.control(&near)), [id]);
    assert_eq!(subject.control("players --address 192.0.2.0/24")["matching"], 0);
    assert_eq!(subject.control("players --address 127.0.0.0/8")["matching"], 5);

    let player = subject.control(&format!("player {id}"));
    assert_eq!((&player["x"], &player["y"]), (&position.0.into(), &position.1.into()));
    assert_eq!((player["acks"].as_u64() >= Some(10), &player["visible"]), (true, &4.into()), "{player}");
    assert!(player["bytes_in"].as_u64() > Some(0) && player["bytes_out"].as_u64() > Some(0), "{player}");
    assert!(player["bytes_out_per_s"].as_u64() > Some(0) && player["acks_per_s"].is_u64(), "{player}");
    assert!(subject.refusal("player 999999").contains("player 999999: not here"));
    let table = String::from_utf8(subject.run("players").stdout).expect("text");
    assert!(table.lines().count() == 7 && table.contains("round_trip_ms"), "{table}");
}

#[test]
fn a_kicked_player_is_told_and_the_others_stay() {
    let subject = Subject::start("control-kick", Settings::new());
    let mut clients = Client::join_many(&subject.server, 3, replica_options());
    let mut raw = Raw::upgraded(subject.server.address());
    let all = ids(&subject.control("players --sort id"));
    let own: Vec<u64> = clients.iter().map(|client| u64::from(client.id())).collect();
    let id = all.into_iter().find(|id| !own.contains(id)).expect("the last player");
    let kicked = Json::from(1);
    assert_eq!(subject.run(&format!("kick {id} --code 4001 --reason enough")).status.code(), Some(0));
    let close = raw.next_frame_of(CLOSE);
    assert_eq!(close.payload, [&4001_u16.to_be_bytes()[..], b"enough"].concat());
    subject.log_has(&format!("control: user {} kicks player {id}", nix::unistd::getuid()));
    assert_eq!(subject.server.metrics()["closed"]["kicked"], kicked);
    for client in &mut clients {
        client.step(Vector::RIGHT);
    }
    wait_for_acks(&mut clients);
    assert_eq!(subject.control("kick --address 127.0.0.0/8")["kicked"], 3);
    poll_until(&mut clients, "the end", |clients| clients.iter().all(|client| client.ended));
    assert!(subject.refusal("kick 1").contains("player 1: not here"));
}

#[test]
fn a_drained_server_admits_nobody_and_closes_nobody() {
    let subject = Subject::start("control-drain", Settings::new());
    let address = subject.server.address();
    let mut client = Client::join(&subject.server);
    assert_eq!(subject.control("drain")["players"], 1);
    let health = get(address, "/health");
    assert_eq!(health.status, 503);
    assert!(health.text().contains("\"status\":\"draining\""), "{}", health.text());
    let refused = |address| {
        let mut late = Raw::connect(address);
        late.send(UPGRADE.as_bytes());
        late.response().status
    };
    assert_eq!(refused(address), 503);
    client.step(Vector::RIGHT);
    wait_for_acks(std::slice::from_mut(&mut client));
    subject.control("undrain");
    assert_eq!(get(address, "/health").status, 200);
    drop(Raw::upgraded(address));
    // A drain with an end needs no `undrain`.
    subject.control("drain --for 1s");
    assert_eq!(refused(address), 503);
    wait_until("the end of the drain", || get(address, "/health").status == 200);
}

#[test]
fn live_settings_change_until_the_next_reload() {
    let subject = Subject::start("control-set", Settings::new());
    assert_eq!(subject.control("set MAX_VISIBLE 9")["changed"], "MAX_VISIBLE=9, was 128");
    assert_eq!(subject.server.count("max_visible"), 9);
    subject.control("log-level debug");
    for (arguments, problem) in [
        ("set MAX_VISIBLE many", "MAX_VISIBLE=many: expected a whole number from 1"),
        ("set STATIC_DIR /", "STATIC_DIR: a change needs a reload, which reads its files"),
        ("set PORT 1", "PORT: a change needs a restart"),
        ("set NOTHING 1", "NOTHING: no such setting"),
        ("log-level loud", "LOG_LEVEL=loud: expected"),
    ] {
        let found = subject.refusal(arguments);
        assert!(found.contains(problem), "{arguments}: {found}");
    }
    subject.control("reload");
    subject.log_has("reload: MAX_VISIBLE=128, was 9");
    wait_until("the configured value", || subject.server.count("max_visible") == 128);
}

#[test]
fn a_trace_follows_one_player_until_its_end() {
    let subject = Subject::start("control-trace", Settings::new());
    let mut clients = Client::join_many(&subject.server, 2, replica_options());
    let mut stream = UnixStream::connect(&subject.socket).expect("the control socket");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let request = format!("{{\"version\":1,\"command\":\"trace\",\"id\":{}}}\n", clients[0].id());
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("an answer"));
    let mut next = || -> Json { serde_json::from_str(&lines.next().expect("a line")).expect("JSON") };
    assert_eq!(next()["result"]["following"], u64::from(clients[0].id()));
    for client in &mut clients {
        client.step(Vector::RIGHT);
    }
    let step = &next()["result"];
    assert!(step["event"].as_str().is_some_and(|event| event.contains("Move")), "{step}");
    assert_eq!((&step["verdict"], &step["reply_bytes"]), (&"accept".into(), &15.into()));
    wait_for_acks(&mut clients);
    let [first, second] = <[Client; 2]>::try_from(clients).expect("two clients");
    first.reset();
    assert_eq!(next()["result"], serde_json::json!({ "ended": true }));
    // A trace whose operator has gone leaves nothing behind.
    let mut command = program();
    command.args(["ctl", "trace", &second.id().to_string(), "--socket"]).arg(&subject.socket);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("the program runs");
    let mut first_line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    output.read_line(&mut first_line).expect("a line");
    assert_eq!(first_line, format!("following {}\n", second.id()));
    child.kill().expect("it runs");
    child.wait().expect("its status");
    assert!(subject.refusal("trace 999999").contains("player 999999: not here"));
    subject.server.assert_healthy();
}

#[test]
fn ctl_starts_a_takeover() {
    let mut subject = Subject::start("control-takeover", Settings::new());
    let port = subject.server.address().port();
    drop(subject.server);
    let settings = Settings::new().set("CONTROL_SOCKET", subject.socket.to_str().expect("UTF-8"));
    subject.server = settings.clone().set("PORT", port).start();
    let mut client = Client::join(&subject.server);
    subject.control("ban 198.51.100.0/24");
    subject.control("drain");
    let mut command = settings.set("PORT", port).command();
    let output = command.args(["ctl", "takeover"]).stderr(std::process::Stdio::null()).output();
    assert_eq!(output.expect("the program runs").status.code(), Some(0));
    assert_eq!(subject.server.wait_for_exit().code(), Some(0));
    client.step(Vector::RIGHT);
    wait_for_acks(std::slice::from_mut(&mut client));
    let status = subject.control("status");
    assert_eq!((&status["bans"], &status["state"]), (&1.into(), &"draining".into()));
    let new = status["pid"].as_u64().expect("a process");
    crate::support::process::send_signal(new as u32, nix::sys::signal::Signal::SIGTERM);
    wait_until("the new process to end", || !crate::support::proc::exists(new as u32));
}

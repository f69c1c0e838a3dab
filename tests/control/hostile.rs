//! Clients of the control socket that misbehave: they harm themselves only.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use game_client::Vector;
use pixi_game_server::limits::CONTROL_CLIENTS_MAX;

use super::Subject;
use crate::support::debian::program;
use crate::support::process::{as_root, stderr_text};
use crate::support::server::PROGRAM;
use crate::support::{Client, Settings, wait_for_acks};

fn connect(subject: &Subject) -> UnixStream {
    let stream = UnixStream::connect(&subject.socket).expect("the control socket");
    stream.set_read_timeout(Some(crate::support::DEADLINE)).expect("a timeout");
    stream
}

fn answer(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    line
}

#[test]
fn invalid_lines_are_answered_and_cost_nothing_else() {
    let subject = Subject::start("control-lines", Settings::new());
    let mut stream = connect(&subject);
    for (line, problem) in [
        ("nonsense\n", "not JSON"),
        ("{\"version\":7,\"command\":\"status\"}\n", "version 7: expected 1"),
        ("{\"version\":1,\"command\":\"dance\"}\n", "unknown variant `dance`, expected one of `status`"),
        ("\n", "not JSON"),
    ] {
        stream.write_all(line.as_bytes()).expect("the server reads");
        let answer = answer(&stream);
        assert!(answer.starts_with("{\"version\":1,\"error\":") && answer.contains(problem), "{answer}");
    }
    // Several requests at once are answered in their order.
    let status = b"{\"version\":1,\"command\":\"status\"}\n{\"version\":1,\"command\":\"bans\"}\n";
    stream.write_all(status).expect("the server reads");
    let mut lines = BufReader::new(&stream).lines();
    assert!(lines.next().expect("a line").expect("text").contains("\"state\""));
    assert!(lines.next().expect("a line").expect("text").contains("\"bans\":[]"));
    // A line without an end is too long at some point.
    let mut endless = connect(&subject);
    let _ = endless.write_all(&vec![b'x'; 100_000]);
    assert!(!matches!(endless.read(&mut [0]), Ok(1)), "no answer");
    subject.server.assert_healthy();
}

#[test]
fn silent_clients_are_displaced_by_new_ones() {
    let subject = Subject::start("control-silent", Settings::new());
    let before = subject.server.descriptors();
    let silent: Vec<UnixStream> = (0..20).map(|_| connect(&subject)).collect();
    assert_eq!(subject.control("status")["players"], 0);
    assert!(subject.server.descriptors() <= before + CONTROL_CLIENTS_MAX);
    drop(silent);
}

#[test]
fn another_user_is_refused() {
    // A folder that every user may enter: the socket itself refuses.
    let folder = std::env::temp_dir().join(format!("pixi-control-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("its mode");
    let (socket, copy) = (folder.join("control.sock"), folder.join("copy"));
    fs::copy(PROGRAM, &copy).expect("a copy");
    let server = Settings::new().set("CONTROL_SOCKET", socket.to_str().expect("UTF-8")).start();
    assert_eq!(fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o600);
    if let Some(as_root) = as_root("the control socket of another user") {
        program("setpriv");
        let other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
        let words = [as_root, &other].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(copy).args(["ctl", "status", "--socket"]).arg(&socket);
        let output = command.output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr_text(&output).contains("Permission denied"), "{}", stderr_text(&output));
    }
    drop(server);
    fs::remove_dir_all(folder).expect("it is removed");
}

/// Requests for lists as fast as they are answered, and requests whose answers nobody reads.
#[test]
fn acks_flow_while_a_script_is_stuck_in_a_loop() {
    let subject = Subject::start("control-loop", Settings::new());
    let mut clients = [Client::join(&subject.server)];
    let (mut fast, mut deaf) = (connect(&subject), connect(&subject));
    deaf.set_nonblocking(true).expect("a socket");
    let request = b"{\"version\":1,\"command\":\"players\"}\n";
    let end = Instant::now() + Duration::from_secs(1);
    let mut answers = 0;
    while Instant::now() < end {
        let _ = deaf.write(request);
        fast.write_all(request).expect("the server reads");
        assert!(answer(&fast).contains("\"matching\":1"));
        answers += 1;
        clients[0].step(Vector::RIGHT);
        wait_for_acks(&mut clients);
    }
    assert!(answers > 1);
    subject.server.assert_healthy();
}

//! Takeovers that end at each step of their protocol: the running server continues as if nothing had happened.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use game_client::Vector;
use serde_json::Value as Json;

use super::{Subject, fail_to_take_over, takeover};
use crate::support::client::replica_options;
use crate::support::process::stderr_text;
use crate::support::wait::wait_until;
use crate::support::{Client, Settings, folder, wait_for_acks};

/// The request that a process with these settings sends.
fn request(name: &str) -> Vec<u8> {
    let socket = folder(name).join("control.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let settings = Settings::new().set("CONTROL_SOCKET", socket.to_str().expect("UTF-8"));
    let child = takeover(&settings).stderr(Stdio::null()).spawn().expect("the program starts");
    let (stream, line) = accept(&listener);
    drop(stream);
    let output = child.wait_with_output().expect("its status");
    assert_eq!(output.status.code(), Some(1), "nobody was taken over");
    line
}

/// Accepts the connection on which a process asks to take over, and reads its request. The question before, which tells it how much
/// memory it will need, stays without an answer.
pub fn accept(listener: &UnixListener) -> (UnixStream, Vec<u8>) {
    loop {
        let (mut stream, _) = listener.accept().expect("a connection");
        let line = line_from(&mut stream);
        if !String::from_utf8_lossy(&line).contains("\"status\"") {
            return (stream, line);
        }
    }
}

pub fn line_from(stream: &mut UnixStream) -> Vec<u8> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.last() != Some(&b'\n') && stream.read(&mut byte).expect("a readable socket") > 0 {
        line.extend(byte);
    }
    line
}

/// Number of sockets of connections that an answer announces. The server accepts the takeover.
pub fn sockets_in(answer: &[u8]) -> usize {
    let answer: Json = serde_json::from_slice(answer).expect("JSON");
    answer["accepted"]["sockets"].as_u64().expect("accepted") as usize
}

/// Reads the answer of a server with few sockets, and the tokens. The descriptors come with one byte and are closed unread.
/// Returns the length of the image that follows.
fn image_bytes(stream: &mut UnixStream) -> usize {
    let sockets = sockets_in(&line_from(stream));
    let mut head = vec![0; sockets * 8 + 1 + 8];
    stream.read_exact(&mut head).expect("the server sends");
    u64::from_le_bytes(*head.last_chunk().expect("eight bytes")) as usize
}

/// The step after which the new process ends.
#[derive(Clone, Copy, Debug)]
enum Step {
    Connected,
    HalfTheRequest,
    Requested,
    Answered,
    HalfTheImage,
    WholeImage,
    /// It commits, but too late.
    Late,
}

#[test]
fn the_server_goes_on_when_the_new_process_ends_at_any_step() {
    use Step::*;
    let request = request("failures-request");
    let mut subject = Subject::start("failures", Settings::new());
    let mut clients = Client::join_many(&subject.server, 30, replica_options());
    let mut failed = 0;
    for step in [Connected, HalfTheRequest, Requested, Answered, HalfTheImage, WholeImage, Late] {
        let mut stream = UnixStream::connect(subject.socket()).expect("the control socket");
        if !matches!(step, Connected) {
            let count = if matches!(step, HalfTheRequest) { request.len() / 2 } else { request.len() };
            stream.write_all(&request[..count]).expect("the server reads");
        }
        if matches!(step, Answered | HalfTheImage | WholeImage | Late) {
            let image_bytes = image_bytes(&mut stream);
            let count = match step {
                Answered => 0,
                HalfTheImage => image_bytes / 2,
                _ => image_bytes,
            };
            stream.read_exact(&mut vec![0; count]).expect("the server sends");
        }
        if matches!(step, Late) {
            thread::sleep(Duration::from_millis(2_100));
            assert!(stream.write_all(&[1]).is_err(), "a commit after the deadline must fail");
        }
        drop(stream);
        for client in &mut clients {
            client.step(Vector::RIGHT);
        }
        wait_for_acks(&mut clients);
        failed += u64::from(!matches!(step, Connected | HalfTheRequest));
        assert!(clients.iter().all(|client| !client.ended), "{step:?}");
        assert_eq!(subject.server.count("takeovers_failed_total"), failed, "{step:?}");
    }
    subject.take_over();
    for client in &mut clients {
        client.step(Vector::ZERO);
    }
    wait_for_acks(&mut clients);
}

#[test]
fn a_takeover_with_other_terms_is_refused_by_name() {
    let subject = Subject::start("terms", Settings::new());
    let mut client = Client::join(&subject.server);
    for (name, value, problem) in [
        ("WORLD_WIDTH", "3000", "WORLD_WIDTH can't change in a takeover: 2000 is in use, not 3000"),
        ("TICK_RATE", "30", "TICK_RATE can't change in a takeover: 60 is in use, not 30"),
        ("PORT", "8109", "PORT can't change in a takeover: 0 is in use, not 8109"),
        ("ADMIN_ADDR", "127.0.0.1:0", "ADMIN_ADDR can't change in a takeover"),
        ("CLUSTER_URL", "redis://127.0.0.1:1", "CLUSTER_URL can't change in a takeover"),
    ] {
        let output = fail_to_take_over(&subject.settings.clone().set(name, value));
        assert!(stderr_text(&output).contains(problem), "{}", stderr_text(&output));
        wait_until("the reason in the log", || subject.server.log().contains(problem));
    }
    client.step(Vector::RIGHT);
    wait_for_acks(std::slice::from_mut(&mut client));
}

#[test]
fn another_version_is_refused() {
    let request = String::from_utf8(request("failures-version")).expect("text");
    assert!(request.contains("\"version\":1,"), "{request}");
    let subject = Subject::start("version", Settings::new());
    let other_terms = "{\"command\":\"takeover\",\"terms\":\"of another age\"}\n".to_owned();
    for line in [request.replace("\"version\":1,", "\"version\":2,"), other_terms] {
        let mut stream = UnixStream::connect(subject.socket()).expect("the control socket");
        stream.write_all(line.as_bytes()).expect("the server reads");
        let answer = String::from_utf8(line_from(&mut stream)).expect("text");
        assert!(answer.contains("drain the running server"), "{answer}");
    }
    subject.server.assert_healthy();
}

#[test]
fn a_new_process_says_why_it_can_not_take_over() {
    let folder = folder("nobody");
    let socket = folder.join("control.sock");
    let settings = Settings::new().set("CONTROL_SOCKET", socket.to_str().expect("UTF-8"));
    let output = takeover(&settings).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr_text(&output).contains("no server answers at CONTROL_SOCKET="),
        "{}",
        stderr_text(&output)
    );
    let output = takeover(&Settings::new()).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr_text(&output).contains("CONTROL_SOCKET is not set"), "{}", stderr_text(&output));
    // The old process ends in the middle.
    let listener = UnixListener::bind(&socket).expect("a socket");
    let accepted = br#"{"accepted":{"has_admin":false,"sockets":0,"node":null,"stopped_ns":0}}"#;
    for answer in [&b""[..], b"{\"refused\":{\"reason\":\"busy\"}}\n", b"nonsense\n", accepted] {
        let child = takeover(&settings).stderr(Stdio::piped()).spawn().expect("the program starts");
        let (mut stream, _) = accept(&listener);
        stream.write_all(answer).expect("the program reads");
        drop(stream);
        let output = child.wait_with_output().expect("its status");
        assert_eq!(output.status.code(), Some(1), "{}", stderr_text(&output));
    }
}

#[test]
fn the_control_socket_is_for_its_user_and_for_one_server() {
    use std::os::unix::fs::PermissionsExt as _;
    let subject = Subject::start("owner", Settings::new());
    let mode = std::fs::metadata(subject.socket()).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = subject.settings.start();
    assert!(
        second.log().contains("another server listens there; ctl and takeovers are off"),
        "{}",
        second.log()
    );
    drop(second);
    assert!(subject.socket().exists(), "it belongs to the first server");
    // A line without an end, and garbage, cost nothing but the connection.
    let mut stream = UnixStream::connect(subject.socket()).expect("the control socket");
    let _ = stream.write_all(&vec![b'x'; 100_000]);
    assert!(!matches!(stream.read(&mut [0]), Ok(1)), "no answer");
    let open = subject.server.descriptors();
    let mut stream = UnixStream::connect(subject.socket()).expect("the control socket");
    stream.write_all(b"half a line").expect("the server reads");
    drop(stream);
    wait_until("its descriptor to be closed", || subject.server.descriptors() == open);
    subject.server.assert_healthy();
}

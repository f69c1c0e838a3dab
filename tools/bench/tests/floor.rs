//! `floor`: acks for MOVEs, flushes in between, and its counts at the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: floor\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A MOVE of sequence 7, with a mask of zeros.
const MOVE: [u8; 12] = [0x82, 0x86, 0, 0, 0, 0, 3, 6, 7, 0, 0, 0];

/// A floor on a free port, which is killed on drop.
struct Floor(Child, String);

impl Floor {
    fn start(flags: &[&str]) -> Floor {
        let mut command = Command::new(crate::PROGRAM);
        command.args(["floor", "--port", "0"]).args(flags).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut line = String::new();
        let stderr = child.stderr.take().expect("piped");
        BufReader::new(stderr).read_line(&mut line).expect("it prints its address");
        let (_, address) = line.trim_end().split_once("http://").expect("an address");
        Floor(child, address.to_owned())
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.1).expect("it listens")
    }

    fn metrics(&self) -> Json {
        let mut stream = self.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: floor\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it closes after the response");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a response");
        serde_json::from_str(body).expect("one JSON object")
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Reads until these bytes have arrived.
fn wait_for(stream: &mut TcpStream, wanted: &[u8]) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a valid timeout");
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    while !received.windows(wanted.len()).any(|window| window == wanted) {
        let count = stream.read(&mut buffer).expect("the bytes arrive in time");
        assert!(count > 0, "the stream ended before {wanted:?}");
        received.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn moves_are_acked_clients_flushed_and_both_counted() {
    let floor = Floor::start(&["--flush-bytes=18", "--flush-interval-ms=20"]);
    let counts = floor.metrics();
    assert_eq!((&counts["players"], &counts["socket_writes_total"]), (&0.into(), &0.into()));
    let mut stream = floor.connect();
    stream.write_all(HANDSHAKE).expect("it reads");
    // The first snapshot: only this client, with the first id.
    wait_for(&mut stream, &[0x82, 16, 7, 1, 0, 0, 0, 0xe9, 3, 0, 0]);
    stream.write_all(&MOVE).expect("it reads");
    wait_for(&mut stream, &[0x82, 13, 8, 0xe9, 3, 0, 0, 244, 1, 244, 1, 7, 0, 0, 0]);
    wait_for(&mut stream, &[0x82, 7, 255, 0, 0, 0, 0, 0, 0].repeat(2));
    let counts = floor.metrics();
    assert_eq!(counts["players"], 1);
    assert!(counts["socket_reads_total"].as_u64() >= Some(4), "{counts}");
    assert!(counts["socket_writes_total"].as_u64() >= Some(4), "{counts}");
}

//! `monitor` as started by scripts, against a real server in this process.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;

use crate::{PROGRAM, ops, serve_text, stderr, stdout};

fn server() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| crate::server::serve(&[]))
}

fn monitor(flags: &[&str]) -> Output {
    ops(&[&["monitor"], flags].concat())
}

fn printed(output: &Output) -> String {
    stdout(output) + &stderr(output)
}

#[test]
fn once_prints_a_page_with_every_block() {
    let server = server().to_string();
    let output = monitor(&["--once", "--server", &server]);
    let printed = printed(&output);
    assert!(output.status.success(), "{printed}");
    for words in
        [&server, "Loop", "Traffic per second", "Process", "Refused and closed", "ticks per second", "cores"]
    {
        assert!(printed.contains(words), "{words} is missing: {printed}");
    }
    let first = printed.lines().skip(1).find(|line| !line.is_empty());
    assert_eq!(first, Some("players                 0"), "{printed}");
}

#[test]
fn json_prints_one_object_per_line_with_rates() {
    let output = monitor(&["--once", "--json", "--server", &server().to_string()]);
    assert!(output.status.success(), "{}", printed(&output));
    let object: Json = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(object["reachable"], true);
    assert!(object["per_second"]["cores"].as_f64() > Some(0.0), "{object}");
    assert!(object["metrics"]["ticks_total"].as_u64() > Some(0), "{object}");
}

#[test]
fn an_unreachable_server_is_reported_and_sets_the_status() {
    let both = format!("{},127.0.0.1:1", server());
    let output = monitor(&["--once", "--server", &both]);
    assert_eq!(output.status.code(), Some(1));
    let printed = printed(&output);
    assert!(
        printed.contains("ticks per second") && printed.contains("127.0.0.1:1\n\nunreachable: "),
        "{printed}"
    );
}

#[test]
fn an_unresolvable_name_is_unreachable_and_affects_no_other_server() {
    let both = format!("no-such-host.invalid,{}", server());
    let output = monitor(&["--once", "--server", &both]);
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let problem = "no-such-host.invalid\n\nunreachable: the name no-such-host.invalid does not resolve: ";
    assert!(printed.contains("ticks per second") && printed.contains(problem), "{printed}");
    for text in ["127.0.0.1:port", "127.0.0.256", "a b"] {
        assert_eq!(monitor(&["--once", "--server", text]).status.code(), Some(2), "{text}");
    }
}

/// A server that repeats `piece` until the client disconnects.
fn endless_server(piece: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || while stream.write_all(piece).is_ok() {});
        }
    });
    address
}

#[test]
fn an_endless_response_is_rejected() {
    for piece in [&b"HTTP/1.1 200 OK\r\n"[..], &[b' '; 8_192]] {
        let output = monitor(&["--once", "--server", &endless_server(piece).to_string()]);
        assert_eq!(output.status.code(), Some(1));
        let problem = "unreachable: the response is longer than 1048576 bytes";
        assert!(printed(&output).contains(problem), "{}", printed(&output));
    }
}

#[test]
fn a_signal_ends_it_while_it_is_blocked_on_a_full_pipe() {
    let mut command = Command::new(PROGRAM);
    command
        .args(["monitor", "--json", "--interval=1s", "--server", &server().to_string()])
        .env_remove("SERVER");
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut filler = writer.try_clone().expect("a descriptor");
    let mut child = command.stdin(Stdio::null()).stdout(writer).spawn().expect("it starts");
    // After the first object the signals are handled. Then the pipe fills up without a reader.
    reader.read_exact(&mut [0; 64]).expect("an object");
    std::thread::spawn(move || while filler.write_all(&[b' '; 4_096]).is_ok() {});
    // The first argument of the pending system call is the descriptor: 1 means that it blocks in the write.
    let waits = || std::fs::read_to_string(format!("/proc/{}/syscall", child.id())).unwrap_or_default();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while waits().split(' ').nth(1) != Some("0x1") {
        assert!(std::time::Instant::now() < deadline, "it still writes: {}", waits());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("it is there");
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
}

/// A server whose names and strings contain terminal control sequences.
fn malicious_server() -> SocketAddr {
    let payload = "\\u001b[2J\\nplayers 9\\u009b\\u202e";
    serve_text(format!(
        "HTTP/1.1 200 OK\r\n\r\n{{\"players\":1,\"ticks_total\":1,\"closed\":{{\"{payload}\":3}},\"refused\":{{\"{payload}\":3}},\
         \"protocol_errors\":{{\"{payload}\":3}},\"version\":\"{payload}\"}}"
    ))
}

#[test]
fn control_sequences_of_a_server_are_escaped() {
    let server = malicious_server().to_string();
    for flags in [&["--once"][..], &["--once", "--json"]] {
        let printed = printed(&monitor(&[flags, &["--server", &server]].concat()));
        let acts = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
        assert!(
            !printed.contains(acts) && !printed.lines().any(|line| line.starts_with("players 9")),
            "{printed:?}"
        );
        assert!(printed.contains("\\u{1b}[2J"), "{printed:?}");
    }
}

#[test]
fn a_full_output_device_does_not_panic() {
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("a full device");
    for (args, expected) in
        [(&["monitor", "--no-such-flag"][..], 2), (&["monitor", "--help"], 0), (&["--help"], 0)]
    {
        let status = Command::new(PROGRAM).args(args).stdout(full()).stderr(full()).status();
        assert_eq!(status.expect("it runs").code(), Some(expected), "{args:?}");
    }
}

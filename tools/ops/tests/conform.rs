//! `conform` against game servers in this process, and against an HTTP server without a game.

use std::net::{SocketAddr, TcpListener};
use std::process::Output;
use std::thread;

use serde_json::Value as Json;

use crate::server::serve;

use crate::{ops, serve_text, stdout};

fn conform(servers: &[SocketAddr], flags: &[&str]) -> Output {
    let list = servers.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    ops(&[&["conform", "--server", &list], flags].concat())
}

#[test]
fn two_passing_servers_have_no_differences() {
    let servers = [serve(&[]), serve(&[("MAX_VISIBLE", "32"), ("TICK_RATE", "30")])];
    let output = conform(&servers, &[]);
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.ends_with(&format!("\n0 checks differ from {}\n", servers[0])), "{shown}");
    assert!(!shown.contains("NO"), "{shown}");
}

#[test]
fn failures_are_reported_for_each_check() {
    let no_game = serve_text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_owned());
    // Players of the first server move at half the speed that the client expects.
    let servers = [serve(&[("PLAYER_SPEED", "2")]), no_game];
    let output = conform(&servers, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["servers"][1], servers[1].to_string());
    let checks = report["checks"].as_array().expect("checks");
    let passed = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}"));
        (check["passed"][0].as_bool(), check["passed"][1].as_bool())
    };
    assert_eq!(passed("/health answers 200 with JSON"), (Some(true), Some(true)));
    assert_eq!(passed("/health counts players"), (Some(true), Some(false)));
    assert_eq!(passed("a MOVE of 6 bytes is acked with its number"), (Some(true), Some(false)));
    assert_eq!(passed("a walking player moves 24 steps a second"), (Some(false), Some(false)));
    for check in checks.iter().filter(|check| check["part"] != "HTTP") {
        let found = check["found"][1].as_str().unwrap_or_default();
        assert!(found.contains("joining: "), "{check}");
    }
}

#[test]
fn a_server_with_a_fractional_speed_passes_with_that_speed() {
    let server = [serve(&[("PLAYER_SPEED", "8.25")])];
    let status = |speed: &str| conform(&server, &["--player-speed", speed]).status.code();
    // Each takes 18 s, nearly all of it waiting.
    let wrong = thread::scope(|scope| {
        let wrong = scope.spawn(|| status("4"));
        assert_eq!(status("8.25"), Some(0));
        wrong.join().expect("a status")
    });
    assert_eq!(wrong, Some(1));
}

#[test]
fn an_unresolvable_name_does_not_affect_other_servers() {
    let named = format!("no-such-host.invalid,{}", serve(&[]));
    let output = ops(&["conform", "--server", &named]);
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "the last server passes: {shown}");
    assert!(shown.contains("no-such-host.invalid: 0 of 22 that the client needs"), "{shown}");
    assert!(shown.contains(": unreachable: the name no-such-host.invalid does not resolve: "), "{shown}");
    assert!(shown.contains(": 22 of 22 that the client needs"), "{shown}");
}

#[test]
fn an_unreachable_server_fails_all_checks() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let output = conform(&[free], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains(": 0 of 22 that the client needs, 0 of 11 beyond\n"),
        "{}",
        stdout(&output)
    );
}

//! The command line and the environment: output, refused settings, exit codes.
//!
//! - `check`: `--check-config`
//! - `files`: special files as settings
//! - `addresses`: unusable addresses
//! - `secrets`: secrets never appear in output

mod addresses;
mod check;
mod files;
mod secrets;

use std::io::Write as _;
use std::net::TcpListener;
use std::process::Output;
use std::time::Duration;

use crate::support::server::program;
use crate::support::{Server, Settings};

/// Runs the program with these variables and arguments until it exits.
fn run(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let variables = variables.iter().copied();
    program().envs(variables).args(arguments).output().expect("the program runs")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

/// Value of a setting in the output of `--print-config`.
fn value<'a>(printed: &'a str, name: &str) -> Option<&'a str> {
    printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn help_and_version_are_printed() {
    let version = concat!("pixi-game-server ", env!("CARGO_PKG_VERSION"));
    for (flag, words) in [
        ("--help", "--max-visible"),
        ("-h", "--max-visible"),
        ("-help", "--max-visible"),
        ("--version", version),
    ] {
        let output = run(&[], &[flag]);
        assert_eq!(output.status.code(), Some(0), "{flag}");
        assert!(stdout(&output).contains(words), "{flag}");
    }
}

#[test]
fn the_defaults_match_the_game() {
    let output = run(&[], &["--print-config"]);
    let defaults = [
        ("PORT", "8108"),
        ("TICK_RATE", "60"),
        ("SYNC_INTERVAL_SEC", "5"),
        ("BATCH_INTERVAL_MS", "50"),
        ("MAX_VISIBLE", "128"),
        ("WORLD_WIDTH", "2000"),
        ("WORLD_HEIGHT", "2000"),
        ("SPAWN_MIN_X", "100"),
        ("SPAWN_MAX_X", "900"),
        ("SPAWN_MIN_Y", "100"),
        ("SPAWN_MAX_Y", "900"),
        ("ATTACK_DURATION_MS", "1000"),
        ("PING_INTERVAL_SEC", "30"),
        ("IDLE_TIMEOUT_SEC", "60"),
        ("KEEPALIVE_TIMEOUT_SEC", "75"),
    ];
    for (name, text) in defaults {
        assert_eq!(value(stdout(&output), name), Some(text), "{name}");
    }
}

#[test]
fn invalid_settings_are_named_and_exit_with_2() {
    type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);
    let cases: [Case; 9] = [
        (&[("PORT", "65536")], &["PORT"]),
        (&[("TICK_RATE", "fast")], &["TICK_RATE", "fast"]),
        (&[("HOST", "nowhere.example")], &["HOST"]),
        (&[("ADMIN_ADDR", "9108")], &["ADMIN_ADDR=9108", "ADDRESS:PORT"]),
        (
            &[("ALLOWED_ORIGINS", "game.example")],
            &["ALLOWED_ORIGINS=game.example", "https://*.example.com", "file:// or null"],
        ),
        (&[("STATIC_DIR", "/no/such/directory")], &["STATIC_DIR"]),
        (&[("MAX_VISIBLE", "0"), ("DEBUG", "perhaps")], &["MAX_VISIBLE", "DEBUG"]),
        (&[("SPAWN_MIN_X", "500"), ("SPAWN_MAX_X", "500")], &["SPAWN_MIN_X", "SPAWN_MAX_X"]),
        (&[("PING_INTERVAL_SEC", "60"), ("IDLE_TIMEOUT_SEC", "60")], &["IDLE_TIMEOUT_SEC"]),
    ];
    for (variables, names) in cases {
        for arguments in [&[][..], &["--check-config"]] {
            assert_invalid(&run(variables, arguments), names);
        }
    }
    assert_invalid(&run(&[], &["--port=x", "--no-such-flag"]), &["--no-such-flag", "port"]);
    assert_invalid(&run(&[], &["start"]), &["argument 1: unexpected"]);
}

fn assert_invalid(output: &Output, names: &[&str]) {
    let problems = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{problems}");
    for name in names {
        assert!(problems.contains(name), "{name} in {problems}");
    }
}

#[test]
fn a_health_check_has_a_total_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    let output = run(&[("HOST", "127.0.0.1"), ("PORT", port.as_str())], &["--health-check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no complete response in time"), "{}", stderr(&output));
}

#[test]
fn a_health_check_reports_whether_a_server_runs() {
    let server = Server::start();
    let port = server.address().port().to_string();
    let variables = [("HOST", "127.0.0.1"), ("PORT", port.as_str())];
    let output = run(&variables, &["--health-check"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let unspecified = run(&[("PORT", port.as_str())], &["--health-check"]);
    assert_eq!(unspecified.status.code(), Some(0), "for 0.0.0.0 the check connects to loopback");
    drop(server);
    let output = run(&variables, &["--health-check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&port), "{}", stderr(&output));
}

#[test]
fn settings_of_the_go_server_are_logged() {
    let retired = [
        "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "BROADCAST_WORKERS", "EVENT_CHANNEL_SIZE", "RATE_LIMIT_WINDOW_MS",
    ];
    let settings = retired.iter().fold(Settings::new(), |settings, name| settings.set(name, 100));
    let server = settings.start();
    let log = server.log();
    for name in retired {
        assert!(log.contains(name), "{name} in {log}");
    }
}

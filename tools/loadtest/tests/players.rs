//! The built program against the game server: a good server passes, and a server that loses acks fails.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;

use crate::server::serve;

fn command(server: SocketAddr, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(["-json", "-clients=20", "-duration=1s", "-warm-up=100ms", "-sync-interval=1s"]);
    if !flags.iter().any(|flag| flag.starts_with("--server")) {
        command.arg(format!("-server=ws://{server}/ws"));
    }
    command.args(flags);
    command
}

fn loadtest(server: SocketAddr, flags: &[&str]) -> (Output, Json) {
    results(command(server, flags).output().expect("it runs"))
}

fn results(output: Output) -> (Output, Json) {
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Json::Null);
    (output, json)
}

#[test]
fn a_good_server_passes_with_every_profile() {
    let judge = |profile| {
        let server = serve(&[("SYNC_INTERVAL_SEC", "1")]);
        let (output, json) = loadtest(server, &["--profile", profile]);
        assert_eq!(output.status.code(), Some(0), "{profile}: {json:#}");
        assert_eq!(json["connections"]["joined"], 20);
        assert_eq!(json["pictures"]["compared"], 20);
        assert_eq!(json["pictures"]["sprites"], 20 * 19);
        assert_eq!(json["moves"]["sent"], json["moves"]["answered"]);
    };
    std::thread::scope(|scope| {
        for profile in ["seed", "player", "artillery", "idle", "mixed"] {
            scope.spawn(move || judge(profile));
        }
    });
}

#[test]
fn a_good_server_passes_with_churn_and_slow_readers() {
    let server = serve(&[("SYNC_INTERVAL_SEC", "1")]);
    let flags = ["--reconnects-per-second=20", "--slow-readers=0.2", "--viewers=5", "--viewport=300x300"];
    let (output, json) = loadtest(server, &flags);
    assert_eq!(output.status.code(), Some(0), "{json:#}");
    assert!(json["churn"]["returned"].as_u64() > Some(0), "{json:#}");
}

#[test]
fn a_good_server_passes_a_storm() {
    let server = serve(&[("SYNC_INTERVAL_SEC", "1")]);
    let flags = ["--storm-at=300ms", "--storm-clients=15", "--viewers=10", "--alone", "--duration=2s"];
    let (output, json) = loadtest(server, &flags);
    assert_eq!(output.status.code(), Some(0), "{json:#}");
    let storm = &json["storm"];
    assert_eq!((&storm["killed"], &storm["returned"], &storm["stayed"]), (&15.into(), &15.into(), &5.into()));
    assert!(storm["back_s"].as_f64() > Some(0.0), "{json:#}");
    assert_eq!(json["connections"]["unaccounted"], 0);
    assert_eq!(json["churn"]["ids"], 35);
    assert_eq!(json["churn"]["id_highest"], 1_035);
    assert_eq!(json["pictures"]["compared"], 10, "replicas of disconnected viewers have restarted");
}

#[test]
fn missing_acks_fail_the_run() {
    let server = serve(&[("RATE_LIMIT_MSG_SEC", "2"), ("RATE_LIMIT_BURST", "2")]);
    let (output, json) = loadtest(server, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(json["moves"]["missing"].as_u64() > Some(0), "{json:#}");
    assert_eq!(json["ok"], false);
}

#[test]
fn a_pause_of_the_generator_is_reported_and_not_a_problem() {
    let server = serve(&[("SYNC_INTERVAL_SEC", "1")]);
    let mut load = command(server, &["--profile=player", "--moving=1", "--duration=7s"]);
    let load = load.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
    let pid = Pid::from_raw(i32::try_from(load.id()).expect("process ids are small"));
    sleep(Duration::from_secs(2));
    kill(pid, Signal::SIGSTOP).expect("it is there");
    // Twenty walkers would have sent 96 MOVEs each, and the rate limit accepts a burst of 60.
    sleep(Duration::from_secs(4));
    kill(pid, Signal::SIGCONT).expect("it is there");
    let (output, json) = results(load.wait_with_output().expect("it ends"));
    assert_eq!(output.status.code(), Some(0), "{json:#}");
    assert!(json["generator"]["postponed"].as_u64() >= Some(20), "{json:#}");
    assert_eq!(json["generator"]["kept_up"], false);
    assert_eq!(json["moves"]["sent"], json["moves"]["answered"]);
}

#[test]
fn wrong_replicas_fail_the_run() {
    // With rare snapshots, replicas that expect one per second show displaced players.
    let server = serve(&[("SYNC_INTERVAL_SEC", "300")]);
    let (output, json) = loadtest(server, &["--moves-per-second=20", "--duration=3s"]);
    assert_eq!(output.status.code(), Some(1), "{json:#}");
    assert!(json["pictures"]["faults"]["displaced"].as_u64() > Some(0), "{json:#}");
}

#[test]
fn an_absent_server_or_an_invalid_flag_fails_the_run() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = closed.local_addr().expect("a listener has an address");
    drop(closed);
    let (output, json) = loadtest(address, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json["connections"]["failed"]["Connection refused (os error 111)"], 20);
    let (output, _) = loadtest(address, &["--server=ws://no-such-host.invalid/ws"]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let problem = "loadtest: the server is unreachable: the name no-such-host.invalid does not resolve: ";
    assert!(message.starts_with(problem), "{message}");
    let (output, _) = loadtest(address, &["--clients=many"]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(message, "loadtest: --clients many: expected a whole number from 1 to 1000000\n");
}

#[test]
fn progress_in_a_file_has_no_carriage_return_and_fits_a_terminal() {
    let server = serve(&[]);
    let (output, _) = loadtest(server, &["--duration=6s"]);
    let progress = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(progress.contains(" players ") && progress.contains(" moves/s "), "{progress:?}");
    let plain = |line: &str| line.len() <= 80 && !line.contains(['\r', '\u{1b}']);
    assert!(progress.lines().all(plain) && !progress.contains('\r'), "{progress:?}");
}

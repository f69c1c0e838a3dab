//! The built program against the game server: a clean run is judged clean, and a server that loses acks is not.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;
use test_server::serve;

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
fn a_good_server_is_found_good_by_every_profile() {
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
fn a_restless_crowd_is_told_from_a_bad_server() {
    let server = serve(&[("SYNC_INTERVAL_SEC", "1")]);
    let flags = ["--reconnects-per-second=20", "--slow-readers=0.2", "--viewers=5", "--viewport=300x300"];
    let (output, json) = loadtest(server, &flags);
    assert_eq!(output.status.code(), Some(0), "{json:#}");
    assert!(json["churn"]["returned"].as_u64() > Some(0), "{json:#}");
}

#[test]
fn a_storm_is_weathered_and_leaves_no_trace() {
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
    assert_eq!(json["pictures"]["compared"], 10, "those of viewers who were killed have begun anew");
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
fn a_pause_of_its_own_is_told_and_held_against_nobody() {
    let server = serve(&[("SYNC_INTERVAL_SEC", "1")]);
    let mut load = command(server, &["--profile=player", "--moving=1", "--duration=7s"]);
    let load = load.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
    let pid = Pid::from_raw(i32::try_from(load.id()).expect("process ids are small"));
    sleep(Duration::from_secs(2));
    kill(pid, Signal::SIGSTOP).expect("it is there");
    // Twenty walkers would have sent 96 MOVEs each, and the rate limit lets 60 pass at once.
    sleep(Duration::from_secs(4));
    kill(pid, Signal::SIGCONT).expect("it is there");
    let (output, json) = results(load.wait_with_output().expect("it ends"));
    assert_eq!(output.status.code(), Some(0), "{json:#}");
    assert!(json["generator"]["postponed"].as_u64() >= Some(20), "{json:#}");
    assert_eq!(json["generator"]["kept_up"], false);
    assert_eq!(json["moves"]["sent"], json["moves"]["answered"]);
}

#[test]
fn wrong_pictures_fail_the_run() {
    // A server that hardly ever sends a full state leaves displaced players on the pictures of those who believe
    // that it sends one a second.
    let server = serve(&[("SYNC_INTERVAL_SEC", "300")]);
    let (output, json) = loadtest(server, &["--moves-per-second=20", "--duration=3s"]);
    assert_eq!(output.status.code(), Some(1), "{json:#}");
    assert!(json["pictures"]["faults"]["displaced"].as_u64() > Some(0), "{json:#}");
}

#[test]
fn a_server_that_is_not_there_fails_the_run_and_bad_flags_do_not_start_it() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = nobody.local_addr().expect("a listener has an address");
    drop(nobody);
    let (output, json) = loadtest(address, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json["connections"]["failed"]["Connection refused (os error 111)"], 20);
    let (output, _) = loadtest(address, &["--server=ws://no-such-host.invalid/ws"]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let problem = "loadtest: the server is unreachable: the name no-such-host.invalid does not resolve: ";
    assert!(complaint.starts_with(problem), "{complaint}");
    let (output, _) = loadtest(address, &["--clients=many"]);
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(complaint, "loadtest: --clients many: expected a whole number from 1 to 1000000\n");
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

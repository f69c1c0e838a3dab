//! `MAX_CONNECTIONS` above the limit of open files: the server raises the limit or serves fewer players.

use std::process::Command;

use super::see_each_other;
use crate::support::client::replica_options;
use crate::support::http::get;
use crate::support::process::{succeed, without};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::server::{PROGRAM, program};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, poll_until, proc};

/// A hard limit far below the need of the default `MAX_CONNECTIONS`, and the connections that fit into it.
const SMALL_LIMIT: &str = "ulimit -n 64; exec \"$@\"";
const PLAYERS_FITTING: usize = 12;
const HTTP_FITTING: usize = 4;

/// A server that may not raise its limit of 64 open files.
fn small() -> Server {
    let wrapper = [without("sys_resource"), vec!["sh", "-c", SMALL_LIMIT, "sh"]].concat();
    Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start_through(&wrapper)
}

#[test]
fn the_server_serves_as_many_players_as_its_limit_allows() {
    let server = small();
    let log = server.log();
    assert!(log.contains("MAX_CONNECTIONS=12000 needs 12560 open files and the limit is 64"), "{log}");
    assert!(log.contains(&format!("serving {PLAYERS_FITTING}; ")), "{log}");
    assert!(
        log.contains("as root in the shell that starts the server: prlimit --pid $$ --nofile=12560:12560")
    );
    let at_rest = server.descriptors();

    let mut players: Vec<_> = (0..PLAYERS_FITTING).map(|_| Client::join(&server)).collect();
    see_each_other(&mut players);
    let mut late = Raw::connect(server.address());
    late.send(UPGRADE.as_bytes());
    let refused = late.response();
    assert_eq!((refused.status, refused.text()), (503, "the server is full\n"));
    assert!(refused.header("retry-after").is_some());
    drop(late);
    wait_until("the slot to be free", || get(server.address(), "/health").status == 200);

    let silent: Vec<_> = (0..3 * HTTP_FITTING).map(|_| Raw::connect(server.address())).collect();
    wait_until("the oldest idle connection to be closed", || {
        server.admin_metrics()["refused"]["handshake_displaced"].as_u64() >= Some(2)
    });
    server.assert_healthy();
    drop(silent);
    let metrics = server.admin_metrics();
    assert_eq!(metrics["connections"]["accept_exhausted_total"], 0, "descriptors never ran out");
    assert_eq!(metrics["players"], PLAYERS_FITTING);

    players.pop();
    poll_until(&mut players, "the player to leave", |_| {
        server.admin_metrics()["players"] == PLAYERS_FITTING - 1
    });
    players.push(Client::connect(&server, replica_options()));
    see_each_other(&mut players);
    drop(players);
    wait_until("every descriptor to be closed", || server.descriptors() == at_rest);
}

#[test]
fn a_soft_limit_is_raised_silently() {
    let wrapper = [without("sys_resource"), vec!["sh", "-c", "ulimit -Sn 64; exec \"$@\"", "sh"]].concat();
    let server = Settings::new().set("MAX_CONNECTIONS", 200).start_through(&wrapper);
    assert!(!server.log().contains("open files"), "{}", server.log());
    assert_eq!(
        proc::open_files_limits(server.pid()).0,
        "760",
        "players, HTTP, admin connections and the reserve"
    );
    let table: Option<u64> = proc::status_field(server.pid(), "FDSize").and_then(|size| size.parse().ok());
    let table = table.expect("a number");
    assert!(table >= 760, "the table of open files has its size from the start, not {table}");
}

/// Raising a hard limit needs a privilege that even root may lack; lowering it to the proposed value needs none.
#[test]
fn the_logged_command_works() {
    let settings = Settings::new().set("MAX_CONNECTIONS", 100);
    let small = [without("sys_resource"), vec!["sh", "-c", SMALL_LIMIT, "sh"]].concat();
    let log = settings.start_through(&small).log();
    let (_, command) = log.split_once("starts the server: ").expect("the command");
    let command = command.lines().next().expect("a line").trim();
    let script = format!("ulimit -Sn 64; {command} && exec \"$@\"");
    let server = settings.start_through(&["sh", "-c", &script, "sh"]);
    assert!(!server.log().contains("needs"), "{}", server.log());
    assert_eq!(proc::open_files_limits(server.pid()), ("660".to_owned(), "660".to_owned()));
}

/// The environment of a service, in which systemd has started exactly this process.
#[test]
fn a_service_is_told_the_setting_of_its_unit() {
    let service = "ulimit -n 64; SYSTEMD_EXEC_PID=$$ INVOCATION_ID=0123456789abcdef exec \"$@\"";
    let wrapper = [without("sys_resource"), vec!["sh", "-c", service, "sh"]].concat();
    let log = Settings::new().start_through(&wrapper).log();
    assert!(
        log.contains(
            "run this as root and add LimitNOFILE=12560 below [Service], then reload or restart the service: "
        ),
        "{log}"
    );
    assert!(log.contains("systemctl edit ") && !log.contains("prlimit"), "{log}");
}

#[test]
fn help_needs_no_free_descriptor() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 8; exec \"$@\"", "sh", PROGRAM, "--version"]);
    succeed(&mut command);
    succeed(program().arg("--check-config"));
}

//! The demonstration as somebody runs it: Redis, three servers, `HAProxy`, and the load test's oracle over all of them.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the demonstration from the folder of the project.
fn demo(variables: &[(&str, &str)]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster-demo"));
    command.current_dir(root).env_remove("LOAD").envs(variables.iter().copied());
    command.output().expect("cluster-demo runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn six_hundred_players_on_three_servers_are_served_as_on_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    drop(listener);
    let load = "--clients 600 --moves-per-second 2 --duration 8s --warm-up 2s";
    let output = demo(&[("PORT", &port), ("LOAD", load)]);
    let said = said(&output);
    // Identity, acks and pictures; that the machine of a test was too slow now and then is no matter.
    assert!(output.status.success(), "{said}");
    assert!(said.contains("nothing was lost or wrong"), "{said}");
}

#[test]
fn a_wrong_port_is_named() {
    let output = demo(&[("PORT", "0")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("PORT=0: expected a whole number from 1 to 65535"), "{}", said(&output));
}

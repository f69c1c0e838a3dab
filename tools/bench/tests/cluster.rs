//! End-to-end test of the demo: Redis, three servers, `HAProxy`, and the load test's oracle over all of them.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the demo from the root of the project.
fn demo(variables: &[(&str, &str)]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(crate::PROGRAM);
    command.args(["cluster", "--demo"]).current_dir(root).env_remove("LOAD").envs(variables.iter().copied());
    command.output().expect("it runs")
}

fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_load_on_three_servers_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    drop(listener);
    let load = "--clients 600 --moves-per-second 2 --duration 8s --warm-up 2s";
    let output = demo(&[("PORT", &port), ("LOAD", load)]);
    let text = text_of(&output);
    // The verdict covers ids, acks and replicas, but no delays, which a slow machine would exceed.
    assert!(output.status.success(), "{text}");
    assert!(text.contains("nothing was lost or wrong"), "{text}");
    assert!(text.contains("/dashboard"), "{text}");
}

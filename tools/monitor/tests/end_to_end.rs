//! The program as scripts start it, against a real server in this process.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value as Json;

fn server() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| test_server::serve(&[]))
}

fn monitor(flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor"));
    command.args(flags).env_remove("SERVER").env_remove("INTERVAL").stdin(Stdio::null());
    command.output().expect("the program runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn once_is_a_page_with_every_block() {
    let server = server().to_string();
    let output = monitor(&["--once", "--server", &server]);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    for words in
        [&server, "Loop", "Traffic a second", "Process", "Turned away, in all", "ticks a second", "cores"]
    {
        assert!(said.contains(words), "{words} is missing: {said}");
    }
}

#[test]
fn json_is_an_object_a_line_with_rates() {
    let output = monitor(&["--once", "--json", "--server", &server().to_string()]);
    assert!(output.status.success(), "{}", said(&output));
    let object: Json = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(object["reachable"], true);
    assert!(object["per_second"]["cores"].as_f64() > Some(0.0), "{object}");
    assert!(object["metrics"]["ticks_total"].as_u64() > Some(0), "{object}");
}

#[test]
fn one_of_several_that_does_not_answer_is_said_and_costs_the_status() {
    let both = format!("{},127.0.0.1:1", server());
    let output = monitor(&["--once", "--server", &both]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(said.contains("ticks a second") && said.contains("127.0.0.1:1\n\nunreachable: "), "{said}");
}

#[test]
fn bad_usage_ends_with_2() {
    let output = monitor(&["--interval=0s"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).starts_with("monitor: --interval 0s: expected whole seconds"), "{}", said(&output));
}

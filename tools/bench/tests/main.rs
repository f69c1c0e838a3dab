//! The built program: its arguments, and the subcommands that need no minutes.

mod cluster;
mod floor;
mod load;

use std::process::{Command, Output};

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_bench");

/// Returns the exit status and the last line of standard error.
fn end_of(output: &Output) -> (Option<i32>, String) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), stderr.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn an_invalid_option_is_named_before_any_run() {
    for (line, variable, problem) in [
        ("load --rows z", ("RUNS", ""), "--rows z: expected a comma-separated list of a,b,c,d,e,f,g"),
        ("hostile", ("PAIRS", "0"), "PAIRS=0: expected a whole number from 1 to 99"),
        ("amplification --duration 7s", ("VIEWERS", ""), "--duration 7s: expected a multiple of 5s"),
        ("soak", ("SOAK_CLIENTS", "many"), "SOAK_CLIENTS=many: expected a whole number from 1 to 19000"),
        ("cluster", ("PARTS", "all"), "PARTS=all: expected some of views,faults,cost"),
        ("cluster --demo", ("PORT", "0"), "PORT=0: expected a whole number from 1 to 65535"),
        (
            "floor --flush-interval-ms 0",
            ("PORT", ""),
            "--flush-interval-ms 0: expected a number from 1 to 60000",
        ),
        ("profile", ("LOAD", ""), "\"\": expected cpu or mem; see --help"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let output =
            Command::new(PROGRAM).args(&words).env(variable.0, variable.1).output().expect("it runs");
        assert_eq!(end_of(&output), (Some(2), format!("bench {}: {problem}", words[0])), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_missing_perf_exits_with_1_and_names_the_package() {
    // The folder of programs does not exist, so perf counts as not installed.
    let mut command = Command::new(PROGRAM);
    command.args(["profile", "cpu"]).env("PATH", "/nowhere");
    let (status, problem) = end_of(&command.output().expect("it runs"));
    assert_eq!(status, Some(1));
    assert!(problem.contains("apt-get install linux-perf"), "{problem}");
}

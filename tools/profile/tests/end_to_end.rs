//! Error messages and exit statuses of the built program. A measurement is not tested: it needs a minute, perf and a
//! server built for profiling.

use std::process::{Command, Output};

fn profile(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_profile"));
    // The directory does not exist, so perf counts as not installed.
    command.env("PATH", "/nowhere").arg(format!("--output={}", env!("CARGO_TARGET_TMPDIR")));
    command.args(args).output().expect("the program starts")
}

#[test]
fn an_invalid_flag_value_is_named_and_exits_with_2() {
    let output = profile(&["cpu", "--seconds=soon"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "profile: --seconds soon: expected a whole number from 1 to 3600\n");
}

#[test]
fn a_missing_perf_exits_with_1_and_names_the_package() {
    let output = profile(&["cpu"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("apt-get install linux-perf"));
    assert!(output.stdout.is_empty());
}

#[test]
fn help_goes_to_standard_output() {
    let output = profile(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("--frequency HZ"));
}

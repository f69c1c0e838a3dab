//! The built program where it can't measure: what it says, and with which status it ends. A measurement itself needs a
//! server built for it, perf, and a minute.

use std::process::{Command, Output};

fn profile(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_profile"));
    // Without any program to be found, perf least of all.
    command.env("PATH", "/nowhere").arg(format!("--output={}", env!("CARGO_TARGET_TMPDIR")));
    command.args(args).output().expect("it runs")
}

#[test]
fn bad_flags_are_named_and_end_with_two() {
    let output = profile(&["cpu", "--seconds=soon"]);
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(complaint, "profile: --seconds soon: expected a whole number from 1 to 3600\n");
}

#[test]
fn a_missing_perf_ends_with_one_and_the_name_of_the_package() {
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

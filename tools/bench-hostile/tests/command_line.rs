//! The built program rejects an invalid setting before it starts a child.

use std::process::Command;

#[test]
fn an_invalid_setting_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench-hostile"));
    let output = command.env("PAIRS", "0").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("PAIRS=0: expected a whole number from 1 to 99"), "{complaint}");
    assert!(output.stdout.is_empty());
}

//! The built program rejects an invalid setting before it starts a child.

use std::process::Command;

#[test]
fn an_invalid_setting_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    let output = command.env("SOAK_DURATION", "never").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("SOAK_DURATION=never: expected a time from 30s to 168h"), "{complaint}");
    assert!(output.stdout.is_empty());
}

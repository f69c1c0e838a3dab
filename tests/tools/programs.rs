//! `--help`, `--version` and argument errors of all programs of the workspace.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::folder;
use crate::support::process::stderr_text;
use crate::support::server::PROGRAM;

/// Names and versions of all programs, from cargo.
fn programs() -> BTreeMap<String, String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--offline", "--locked", "--format-version=1"]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", stderr_text(&output));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut programs = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let version = package["version"].as_str().expect("a version");
        for target in package["targets"].as_array().expect("targets") {
            if target["kind"].as_array().expect("kinds").iter().any(|kind| kind == "bin") {
                programs.insert(target["name"].as_str().expect("a name").to_owned(), version.to_owned());
            }
        }
    }
    assert!(programs.contains_key("pixi-game-server") && programs.len() > 3, "{programs:?}");
    programs
}

/// Runs a program built by `cargo test --workspace` with one argument and no settings. An outdated build may
/// not know the argument and start its work. It therefore finds no other program, writes into a new folder,
/// and is stopped after some seconds, with status 124.
fn run(name: &str, argument: &str) -> Output {
    let program = Path::new(PROGRAM).with_file_name(name);
    assert!(program.is_file(), "{} is not built: cargo build --workspace", program.display());
    let folder = folder(&format!("{name}{argument}"));
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "10", "env", "PATH=/nonexistent"]).arg(&program).arg(argument);
    command.env_clear().current_dir(&folder).stdin(Stdio::null());
    let output = command.output().expect("timeout runs");
    let written: Vec<_> = fs::read_dir(&folder).expect("the folder").flatten().collect();
    assert!(written.is_empty(), "{name} {argument} wrote {written:?}");
    fs::remove_dir(&folder).expect("an empty folder");
    output
}

/// Standard output of a program that must do nothing else.
fn printed(name: &str, argument: &str) -> String {
    let output = run(name, argument);
    let complaint = stderr_text(&output);
    assert_eq!((output.status.code(), &*complaint), (Some(0), ""), "{name} {argument}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_program_prints_its_name_and_version() {
    for (name, version) in programs() {
        for flag in ["--version", "-V"] {
            assert_eq!(printed(&name, flag), format!("{name} {version}\n"), "{name} {flag}");
        }
    }
}

#[test]
fn every_program_lists_its_flags_with_two_dashes_first() {
    for name in programs().into_keys() {
        for flag in ["--help", "-h"] {
            let help = printed(&name, flag);
            let flags: Vec<&str> =
                help.lines().map(str::trim_start).filter(|line| line.starts_with('-')).collect();
            for known in ["--help, -h", "--version, -V"] {
                assert!(flags.iter().any(|line| line.starts_with(known)), "{name}: {known} in\n{help}");
            }
            let one_dash = flags.iter().find(|line| !line.starts_with("--"));
            assert_eq!(one_dash, None, "{name}: {help}");
        }
    }
}

#[test]
fn every_program_exits_with_2_on_an_unknown_flag() {
    for name in programs().into_keys() {
        let output = run(&name, "--no-such-flag");
        let complaint = stderr_text(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {complaint}");
        assert!(
            complaint.starts_with(&format!("{name}: ")) && complaint.contains("no-such-flag"),
            "{complaint}"
        );
    }
}

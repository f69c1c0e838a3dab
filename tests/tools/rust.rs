//! Scripts and make targets that build, where cargo is missing or too old: they say what to install, and start nothing.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use crate::support::debian::program;
use crate::support::folder;
use crate::support::process::{stderr_text, stdout_text, write_script};

/// Programs that the scripts need before they build.
const NEEDED: [&str; 6] = ["bash", "env", "dirname", "mkdir", "make", "sh"];

/// Commands that build.
const BUILDS: [&str; 8] = [
    "./start.sh", "./start.sh --processes=3", "./demo.sh", "tools/load-test.sh", "tools/with-server.sh true",
    "make run", "make metrics", "make soak",
];

/// A folder for `PATH` with the needed programs only, and a cargo of this version, if any. Its builds fail.
fn programs(name: &str, cargo: Option<&str>) -> PathBuf {
    let folder = folder(name);
    for name in NEEDED {
        symlink(program(name), folder.join(name)).expect("a link");
    }
    if let Some(version) = cargo {
        let script = format!("#!/bin/sh\n[ \"$1\" = --version ] || {{ echo BUILDS; exit 9; }}\n{version}\n");
        write_script(&folder.join("cargo"), &script);
    }
    folder
}

/// Runs a command that builds, and returns its exit status, standard output, and standard error.
fn run(line: &str, path: &PathBuf) -> (Option<i32>, String, String) {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a word"));
    command.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env_clear().env("PATH", path).env("DEMO_REPORT", path.join("demo.html"));
    let output = command.output().unwrap_or_else(|error| panic!("{line}: {error}"));
    (output.status.code(), stdout_text(&output), stderr_text(&output))
}

#[test]
fn a_build_without_cargo_or_with_an_old_one_says_what_to_install() {
    let needed = format!("; the build needs Rust {} or later: ", env!("CARGO_PKG_RUST_VERSION"));
    for (number, (cargo, problem, advice)) in [
        (None, "cargo is not installed", "install it as on https://rustup.rs: curl "),
        (
            Some("echo cargo 1.63.0 \\(fd9c4297c 2022-07-01\\)"),
            "cargo 1.63.0 is too old",
            "rustup update stable",
        ),
        (Some("exit 1"), "cargo does not run", "rustup default stable"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = programs(&format!("rust-{number}"), cargo);
        for line in BUILDS {
            let (status, stdout, stderr) = run(line, &path);
            // Make has one status for all failures.
            let expected = if line.starts_with("make") { 2 } else { 1 };
            assert_eq!(status, Some(expected), "{line}: {stderr}");
            assert!(stderr.starts_with(&format!("cargo.sh: {problem}{needed}{advice}")), "{line}: {stderr}");
            assert!(!stdout.contains("BUILDS"), "{line}: {stdout}");
        }
    }
}

#[test]
fn a_cargo_that_suffices_or_is_unknown_builds() {
    let own = format!("echo cargo {}.0 \\(hash date\\)", env!("CARGO_PKG_RUST_VERSION"));
    for (number, cargo) in
        [own.as_str(), "echo cargo 1.1000.0-nightly", "echo cargo 2.0.0", "echo mine"].into_iter().enumerate()
    {
        let path = programs(&format!("rust-builds-{number}"), Some(cargo));
        let (status, stdout, stderr) = run("./start.sh", &path);
        assert_eq!((status, stdout.trim()), (Some(9), "BUILDS"), "{cargo}: {stderr}");
    }
}

//! Every release build of the Makefile and the scripts selects equal features. Cargo unifies the features of a dependency over all
//! packages of one command. Two commands with different features would each compile the server again: a minute of link-time
//! optimization.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use super::root;

/// Scripts with build commands; a dry run lists those of the Makefile.
const SCRIPTS: [&str; 5] =
    ["demo.sh", "start.sh", "tools/load-test.sh", "tools/with-server.sh", "tests/page/run.sh"];

/// Features of each crate by its name and version.
type Features = BTreeMap<String, String>;

/// The packages that a release build names; empty for the package of the root folder.
type Build = BTreeSet<String>;

fn makefile() -> String {
    let text = fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    let targets =
        text.split_once(".PHONY: ").and_then(|(_, rest)| rest.split_once("\n\n")).expect("targets").0;
    let mut command = Command::new("make");
    command.args(["--dry-run", "--no-print-directory", "CARGO=cargo"]).current_dir(root());
    command.args(targets.split_whitespace().filter(|word| *word != "\\"));
    for inherited in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        command.env_remove(inherited);
    }
    let output = command.output().expect("make runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The Makefile's commands, and the scripts.
fn texts() -> [String; 2] {
    let scripts = SCRIPTS.map(|script| fs::read_to_string(root().join(script)).expect("a script"));
    [makefile(), scripts.join("\n")]
}

/// The release builds of a text, except builds with extra features, which produce another server.
fn builds(text: &str) -> Vec<Build> {
    let lines = text.replace("\\\n", " ").replace("tools/cargo.sh ", "cargo ");
    let commands = lines.lines().flat_map(|line| line.split("&&")).map(str::trim);
    let commands = commands.filter_map(|command| command.strip_prefix("cargo build "));
    let release = |command: &&str| command.contains("--release") || command.contains("--profile \"${BUILD");
    commands.filter(release).filter(|command| !command.contains("--features")).map(packages).collect()
}

fn packages(command: &str) -> Build {
    let words: Vec<&str> = command.split_whitespace().collect();
    assert!(!words.contains(&"--workspace"), "it unifies the features of all tools: {command}");
    words.windows(2).filter(|pair| pair[0] == "--package").map(|pair| pair[1].to_owned()).collect()
}

/// The dependencies of these packages with their features.
fn features(packages: &Build) -> Features {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--locked", "--edges=normal,build", "--prefix=none", "--format={p}|{f}"]);
    command.args(packages.iter().flat_map(|package| ["--package", package])).current_dir(root());
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines =
        text.lines().map(|line| line.trim_end_matches(" (*)")).filter_map(|line| line.split_once('|'));
    lines.map(|(name, features)| (name.to_owned(), features.to_owned())).collect()
}

#[test]
fn every_release_build_makes_the_same_programs() {
    let builds: BTreeSet<Build> = texts().iter().flat_map(|text| builds(text)).collect();
    let server = BTreeSet::from(["pixi-game-server".to_owned()]);
    assert!(builds.len() > 3 && builds.contains(&server), "the commands were not read: {builds:?}");
    let all: Vec<(&Build, Features)> = builds.iter().map(|build| (build, features(build))).collect();
    for package in builds.iter().flatten().collect::<BTreeSet<_>>() {
        let alone = features(&BTreeSet::from([package.clone()]));
        let mut with = all.iter().filter(|(build, _)| build.contains(package));
        let Some((first, expected)) = with.next() else { continue };
        for (build, found) in with {
            for name in alone.keys() {
                assert_eq!(
                    found[name], expected[name],
                    "{build:?} and {first:?} build {package} with different features of {name}"
                );
            }
        }
    }
}

/// A build takes minutes, and shows its progress.
#[test]
fn no_build_is_silent() {
    let texts = texts().map(|text| text.replace("\\\n", " "));
    let builds: Vec<&str> =
        texts.iter().flat_map(|text| text.lines()).filter(|line| line.contains(" build ")).collect();
    assert!(builds.len() > 20, "{builds:?}");
    for build in builds {
        assert!(!build.contains("--quiet") && !build.contains(" -q "), "{build}");
    }
}

#[test]
fn every_script_with_a_build_is_checked() {
    for folder in [".", "tools", "tools/artillery", "tests", "tests/page"] {
        for entry in fs::read_dir(root().join(folder)).expect("a folder").flatten() {
            let path = entry.path();
            let script = path.strip_prefix(root()).expect("it is below").display().to_string();
            let script = script.trim_start_matches("./");
            if path.extension().is_some_and(|extension| extension == "sh") && !SCRIPTS.contains(&script) {
                let text = fs::read_to_string(&path).expect("a script");
                let builds = ["cargo build", "cargo.sh build"].into_iter().any(|words| text.contains(words));
                assert!(!builds || script == "tools/cargo.sh", "{script} builds, and is not in the list");
            }
        }
    }
}

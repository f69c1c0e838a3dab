//! The installed units of several processes: derived from the unit of one, and as hardened.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::install::make;
use super::unit;
use crate::support::debian::program;
use crate::support::folder;
use crate::support::process::output_text;

const UNITS: &str = "usr/lib/systemd/system";
const TEMPLATE: &str = "pixi-game-server@.service";

/// Settings of the unit of one process that the template replaces.
const REPLACED: [&str; 5] = ["Description", "After", "ExecStart", "ExecReload", "WantedBy"];

fn installed(name: &str) -> PathBuf {
    let root = folder(name);
    make("install", &root, &[]);
    root.join(UNITS)
}

/// Lines that are neither empty nor comments.
fn lines(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_template_differs_from_the_unit_only_where_it_says() {
    let units = installed("template");
    let read = |name: &str| fs::read_to_string(units.join(name)).expect("a unit");
    let (one, several) = (read("pixi-game-server.service"), read(TEMPLATE));
    let key = |line: &String| line.split('=').next().unwrap_or_default().to_owned();
    let (only_one, own): (BTreeSet<_>, BTreeSet<_>) = (
        lines(&one).difference(&lines(&several)).map(key).collect(),
        lines(&several).difference(&lines(&one)).cloned().collect(),
    );
    assert_eq!(only_one, REPLACED.map(str::to_owned).into());
    for line in [
        "PartOf=pixi-game-server.target",
        "ExecStart=/usr/bin/pixi-game-server --env-file /etc/pixi-game-server.env --reuse-port=true --node-name=%H-%i",
        "ExecReload=/usr/bin/pixi-game-server --env-file /etc/pixi-game-server.env --reuse-port=true --node-name=%H-%i \
         --background-takeover",
        "Slice=pixi-game-server.slice",
        "RuntimeDirectoryPreserve=yes",
        "WantedBy=pixi-game-server.target",
    ] {
        assert!(own.contains(line), "{line} in {own:?}");
    }
    // Comments stay with their lines, and the head says how to start several processes.
    assert!(several.starts_with("# One of several processes"), "{several}");
    assert!(several.contains("systemctl enable --now pixi-game-server@{1..4} pixi-game-server.target"));
    assert!(several.contains("\nRestart=on-failure\n") && several.matches("\n[Service]\n").count() == 1);
}

#[test]
fn systemd_accepts_the_units_of_several_processes() {
    let units = installed("template-verified");
    let mut command = Command::new(program("systemd-analyze"));
    command.args(["verify", "--man=no"]);
    for name in [TEMPLATE, "pixi-game-server.target", "pixi-game-server.slice"] {
        command.arg(units.join(name));
    }
    let text = output_text(&command.output().expect("it runs"));
    let complaints: Vec<&str> =
        text.lines().filter(|line| !line.contains("/usr/bin/pixi-game-server")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    assert!(unit::exposure(&units.join(TEMPLATE)) <= unit::EXPOSURE_MAX);
}

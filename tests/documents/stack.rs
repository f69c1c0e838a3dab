//! The container stack without an engine: valid files of compose and `HAProxy`, existing mounts and flags.

use std::process::Command;

use serde_json::Value as Json;

use super::{root, text};
use crate::support::debian::program;
use crate::support::process::succeed;
use crate::support::server::PROGRAM;

#[test]
fn the_compose_file_is_valid_and_its_mounts_exist() {
    let compose = program("docker-compose");
    let output = succeed(Command::new(compose).arg("config").current_dir(root()).env("PORT", "9000"));
    let config = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in [
        "published: 9000\n      target: 8108",
        "MAX_CONNECTIONS: ''\n",
        "net.core.somaxconn: '4096'",
        "soft: 32768",
        "read_only: true",
    ] {
        assert!(config.contains(expected), "{expected}: {config}");
    }
    let mounts: Vec<&str> = config
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.strip_prefix(root().to_str()?)?.split(':').next())
        .collect();
    assert_eq!(mounts.len(), 4, "{config}");
    for mount in mounts {
        assert!(root().join(mount.trim_start_matches('/')).exists(), "{mount}");
    }
}

#[test]
fn the_compose_file_of_the_cluster_is_valid_and_uses_existing_settings() {
    let mut command = Command::new(program("docker-compose"));
    command.args(["--file", "docker-compose.cluster.yml", "config"]).current_dir(root());
    let output = succeed(&mut command);
    let config = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(config.matches("CLUSTER_URL: redis://redis:6379/0").count(), 3, "{config}");
    for name in ["one", "two", "three"] {
        assert!(config.contains(&format!("NODE_NAME: {name}\n")), "{name}: {config}");
        assert!(config.contains(&format!(": {name}:8108\n")), "{name}: {config}");
    }
    let mount = root().join("deploy/haproxy-cluster.cfg");
    assert!(mount.exists() && config.contains(mount.to_str().expect("UTF-8")), "{config}");
}

#[test]
fn haproxy_accepts_the_configuration_of_the_stack() {
    let file = root().join("deploy/haproxy-compose.cfg");
    let output =
        Command::new(program("haproxy")).arg("-c").arg("-f").arg(file).output().expect("haproxy runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    // The host name exists only between containers.
    let complaints: Vec<&str> =
        said.lines().filter(|line| line.contains("[WARNING]") || line.contains("[ALERT]")).collect();
    assert!(
        complaints.iter().all(|line| line.contains("could not resolve address 'game'")),
        "{complaints:?}"
    );
}

#[test]
fn the_image_uses_existing_flags() {
    let dockerfile = text("Dockerfile");
    let line = |word: &str| {
        let found = dockerfile.lines().find_map(|line| line.strip_prefix(word));
        found.unwrap_or_else(|| panic!("no {word}")).trim().to_owned()
    };
    let health = line("HEALTHCHECK");
    let (_, command) = health.split_once("CMD ").expect("a command");
    let command: Json = serde_json::from_str(command).expect("a list");
    let flag = command[1].as_str().expect("a flag");
    let help = succeed(Command::new(PROGRAM).arg("--help"));
    assert!(String::from_utf8_lossy(&help.stdout).contains(flag), "{flag}");
    assert_eq!(line("STOPSIGNAL"), "SIGTERM");
    assert_eq!(line("EXPOSE"), "8108");
    assert!(line("USER").split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "not root");
    assert!(dockerfile.contains("\nFROM scratch\n"));
    assert_eq!(line("ARG VERSION="), env!("CARGO_PKG_VERSION"));
}

//! The container stack without an engine: valid files of compose and `HAProxy`, existing mounts and flags.

use std::fs;
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
        // Metrics and dashboard for operators on this machine.
        "127.0.0.1:9108:9108",
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
    // Metrics and dashboard of each server: on loopback, beside the port of the players.
    let ports: Vec<_> = (9108..=9110).map(|port| format!("127.0.0.1:{port}:9108")).collect();
    assert!(ports.iter().all(|port| config.contains(port)), "{config}");
    assert_eq!(config.matches("ADMIN_ADDR: 0.0.0.0:9108\n").count(), 3, "{config}");
    let mount = root().join("deploy/haproxy-cluster.cfg");
    assert!(mount.exists() && config.contains(mount.to_str().expect("UTF-8")), "{config}");
}

/// A dashboard needs its metrics, so a proxy file blocks both, and the guide names the way in for operators.
#[test]
fn each_proxy_file_blocks_metrics_and_dashboard_together() {
    let (guide, mut proxies) = (text("docs/DEPLOYMENT.md"), 0);
    for entry in fs::read_dir(root().join("deploy")).expect("the folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        if !name.starts_with("haproxy") && !name.starts_with("nginx") {
            continue;
        }
        // The server of the stack has an admin listener, so its public one serves neither.
        let blocks = if name == "haproxy-compose.cfg" {
            text("docker-compose.yml").contains("ADMIN_ADDR: ")
        } else {
            text(&format!("deploy/{name}")).contains("^/(metrics|dashboard)(/|$)")
        };
        assert!(blocks && guide.contains(&format!("`deploy/{name}`")), "{name}");
        proxies += 1;
    }
    assert_eq!(proxies, 6);
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

//! The page "Tonight" of OPERATIONS.md, run as written in a folder in place of the root. Programs that change a machine are
//! stubs, which only note their arguments; all others are real.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::{documents, root};
use crate::support::debian::program;
use crate::support::folder;
use crate::support::process::{output_text, write_script};
use crate::support::server::path_with_program;

/// Programs that change the machine.
const STUBS: [&str; 7] = ["make", "apt-get", "systemctl", "journalctl", "sysctl", "nginx", "editor"];

/// Folders of the machine that the commands write to or read from.
const FOLDERS: [&str; 6] = [
    "etc/sysctl.d", "etc/default", "etc/nginx", "etc/prometheus", "etc/grafana/provisioning",
    "var/lib/grafana",
];

/// The commands, with absolute paths below this folder.
fn commands(machine: &Path) -> String {
    let documents = documents();
    let blocks = documents.iter().flat_map(|document| document.split().0);
    let found: Vec<String> =
        blocks.filter(|block| block.info == "sh tonight").map(|block| block.code.join("\n")).collect();
    assert_eq!(found.len(), 1);
    let below = |path: &str| format!("{}{path}", machine.display());
    let text = found.concat();
    ["/etc/", "/usr/share/doc/", "/var/lib/"]
        .into_iter()
        .fold(text, |text, path| text.replace(path, &below(path)))
}

#[test]
fn the_commands_run_in_their_order() {
    let machine = folder("tonight");
    for name in FOLDERS {
        fs::create_dir_all(machine.join(name)).expect("a folder");
    }
    // The package has these files as examples (tests/process/package.rs).
    let documents = machine.join("usr/share/doc/pixi-game-server");
    fs::create_dir_all(&documents).expect("a folder");
    symlink(root().join("deploy"), documents.join("examples")).expect("a link");
    let bin = machine.join("bin");
    fs::create_dir(&bin).expect("a folder");
    for name in STUBS {
        write_script(&bin.join(name), "#!/bin/sh\necho \"NOTED ${0##*/} $*\"\n");
    }
    write_script(
        &bin.join("runuser"),
        "#!/bin/sh\n[ \"$1 $2 $3\" = \"-u pixi-game-server --\" ] && shift 3 && exec \"$@\"\n",
    );
    symlink(program("promtool"), bin.join("promtool")).expect("a link");

    let mut command = Command::new("sh");
    command.args(["-eu", "-c", &commands(&machine)]).current_dir(&machine);
    command.env_clear().env("PATH", format!("{}:{}", bin.display(), path_with_program()));
    let output = command.output().expect("sh runs");
    let text = output_text(&output);
    assert!(output.status.success(), "{text}");

    let mut rest = text.as_str();
    for expected in [
        "NOTED make deb",
        "NOTED apt-get install --yes ./target/debian/pixi-game-server_",
        "configuration is valid",
        "NOTED sysctl --system",
        "NOTED systemctl enable --now pixi-game-server",
        "NOTED journalctl --unit pixi-game-server",
        "NOTED apt-get install --yes --no-install-recommends nginx-light prometheus",
        "NOTED editor ",
        "NOTED nginx -t",
        "NOTED systemctl restart nginx",
        "SUCCESS",
        "NOTED systemctl restart prometheus",
        "NOTED systemctl restart grafana-server",
    ] {
        rest = rest
            .split_once(expected)
            .unwrap_or_else(|| panic!("{expected:?} is missing or too late: {text}"))
            .1;
    }
    let read =
        |path: &str| fs::read_to_string(machine.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let settings = read("etc/pixi-game-server.env");
    let admin = settings.lines().find_map(|line| line.strip_prefix("ADMIN_ADDR=")).expect("an address");
    assert!(
        read("etc/prometheus/prometheus.yml").contains(&format!("targets: [{admin}]")),
        "Prometheus asks {admin}"
    );
    // Debian's Prometheus and Grafana listen on all addresses.
    assert!(read("etc/default/prometheus").contains(r#"ARGS="--web.listen-address=127.0.0.1:9090""#));
    assert!(read("etc/default/grafana-server").contains("GF_SERVER_HTTP_ADDR=127.0.0.1"));
    assert!(read("etc/prometheus/alerts.yml").contains("GameServerDown"));
    assert!(
        read("etc/grafana/provisioning/datasources/prometheus.yml").contains("url: http://127.0.0.1:9090")
    );
    let path = "path: /var/lib/grafana/dashboards";
    assert!(read("etc/grafana/provisioning/dashboards/dashboards.yml").contains(path));
    assert!(read("var/lib/grafana/dashboards/pixi-game-server.json").contains("pixi_players"));
    assert!(
        read("etc/sysctl.d/60-pixi-game-server.conf").starts_with("# pixi-game-server for 12000 players")
    );
    assert!(read("etc/nginx/nginx.conf").contains("server 127.0.0.1:8108;"));
}

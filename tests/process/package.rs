//! The Debian package: its contents, and the effects of installation, removal and purge.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::install::make;
use crate::support::debian::program;
use crate::support::folder;
use crate::support::process::{as_root, stdout_text, succeed};

const PROGRAMS: [&str; 3] = ["pixi-game-server", "pixi-game-ops", "pixi-game-loadtest"];

/// Script that installs the package as root in an overlay over this system, which stays unchanged.
const SYSTEM: &str = r#"set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --rbind /dev "$1/root/dev"
mount --rbind /proc "$1/root/proc"
mkdir -p "$1/root/run"
cp "$2" "$1/root/run/package.deb"
exec chroot "$1/root" sh -ec "$3"
"#;

/// The steps of an administrator, and the state after each of them.
const LIFE: &str = r#"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
settings=/etc/pixi-game-server.env state=/var/lib/pixi-game-server logs=/var/log/pixi-game-server
there() { for path in "$@"; do if [ -e "$path" ]; then echo "there: $path"; else echo "gone: $path"; fi; done; }
dpkg --install /run/package.deb
echo "mode: $(stat -c '%a %U:%G' $settings)"
echo "verified:$(dpkg --verify pixi-game-server)"
for program in server ops loadtest; do "pixi-game-$program" --version; done
pixi-game-server --check-config --env-file $settings
there /etc/systemd/system/multi-user.target.wants/pixi-game-server.service
mkdir -p $state $logs
echo place >$state/resume.redb
echo line >$logs/game.log
echo PORT=8109 >>$settings
echo "== upgrade"
dpkg --install --force-confold /run/package.deb
grep PORT=8109 $settings
there $state/resume.redb
echo "== remove"
dpkg --remove pixi-game-server
there /usr/bin/pixi-game-server $state/resume.redb $logs/game.log $settings
echo "== purge"
dpkg --purge pixi-game-server
there $state $logs $settings /etc/logrotate.d/pixi-game-server
echo "left:" $(find /etc /usr /var -name '*pixi-game*')
"#;

/// The package, built from the programs that the tests use.
pub fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let output = make("deb", &folder("package-unused"), &["DEB_COMPRESSION=none".to_owned()]);
        PathBuf::from(output.lines().last().expect("the path of the package"))
    })
}

fn text_of(command: &mut Command) -> String {
    stdout_text(&succeed(command))
}

fn dpkg_deb(action: &str) -> String {
    text_of(Command::new(program("dpkg-deb")).arg(action).arg(package()))
}

/// Content of a file in the package.
fn content(path: &str) -> String {
    let root = folder(&format!("package-{}", path.replace('/', "-")));
    let archive = root.join("package.tar");
    fs::write(&archive, succeed(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(package())).stdout)
        .expect("a file");
    text_of(
        Command::new("tar")
            .args(["--extract", "--to-stdout", "--file"])
            .arg(archive)
            .arg(format!("./{path}")),
    )
}

#[test]
fn the_package_contains_all_files() {
    let listing = dpkg_deb("--contents");
    let rows: Vec<Vec<&str>> = listing.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.iter().all(|row| row[1] == "root/root"), "{listing}");
    let files: BTreeSet<&str> =
        rows.iter().filter(|row| !row[5].ends_with('/')).map(|row| row[5].trim_start_matches('.')).collect();
    let doc = "/usr/share/doc/pixi-game-server";
    let mut expected = vec![
        "/etc/logrotate.d/pixi-game-server".to_owned(),
        "/etc/pixi-game-server.env".to_owned(),
        "/usr/lib/sysusers.d/pixi-game-server.conf".to_owned(),
    ];
    let units = ["server.service", "server@.service", "server.target", "server.slice"];
    expected.extend(units.map(|unit| format!("/usr/lib/systemd/system/pixi-game-{unit}")));
    for name in PROGRAMS {
        expected.extend([
            format!("/usr/bin/{name}"),
            format!("/usr/share/man/man8/{name}.8.gz"),
            format!("/usr/share/bash-completion/completions/{name}"),
            format!("/usr/share/zsh/vendor-completions/_{name}"),
            format!("/usr/share/fish/vendor_completions.d/{name}.fish"),
        ]);
    }
    let documents = [
        "ARCHITECTURE.md", "CHANGELOG.md", "README.md", "README.ru.md", "SECURITY.md", "docs/play.png",
        "docs/dashboard.png",
    ];
    let pages = [
        "BENCHMARKS", "CLUSTER", "CONFIGURATION", "DEPLOYMENT", "LEXICON", "METRICS", "MIGRATION",
        "OPERATIONS", "PERFORMANCE", "PROFILING", "PROTOCOL",
    ];
    let pages = pages.map(|name| format!("docs/{name}.md"));
    let examples = [
        "haproxy-cluster.cfg",
        "haproxy-compose.cfg",
        "haproxy-migration.cfg",
        "haproxy.cfg",
        "nginx-cluster.conf",
        "nginx.conf",
        "prometheus/alerts.yml",
        "prometheus/prometheus.yml",
        "grafana/dashboards/pixi-game-server.json",
        "grafana/provisioning/dashboards/dashboards.yml",
        "grafana/provisioning/datasources/prometheus.yml",
    ];
    let beside = ["changelog.gz", "copyright", "third-party-licences.txt"];
    expected.extend(documents.iter().chain(&beside).map(|name| format!("{doc}/{name}")));
    expected.extend(pages.iter().map(|name| format!("{doc}/{name}")));
    expected.extend(examples.iter().map(|name| format!("{doc}/examples/{name}")));
    assert_eq!(files, expected.iter().map(String::as_str).collect());

    let settings = rows.iter().find(|row| row[5] == "./etc/pixi-game-server.env").expect("the settings");
    assert_eq!(settings[0], "-rw-r-----");
    let fields = dpkg_deb("--field");
    assert!(fields.contains("\nVersion: 0.1.0\n") && fields.contains("\nDepends: libc6 (>= "), "{fields}");
    assert!(!fields.contains('@') || fields.matches('@').count() == 1, "only the address: {fields}");
}

#[test]
fn the_package_contains_the_licenses_of_all_crates() {
    let copyright = content("usr/share/doc/pixi-game-server/copyright");
    let format = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";
    assert!(copyright.starts_with(format), "{copyright}");
    assert!(copyright.contains("\nFiles: *\nCopyright: 2026 The pixi-game-server authors\nLicense: MIT\n"));
    // The license text, verbatim.
    let words =
        |text: &str| text.split_whitespace().filter(|word| *word != ".").collect::<Vec<_>>().join(" ");
    let licence = include_str!("../../LICENSE").split_once("authors\n").expect("its head").1;
    assert!(words(&copyright).ends_with(&words(licence)), "{copyright}");

    let texts = content("usr/share/doc/pixi-game-server/third-party-licences.txt");
    let lock = include_str!("../../Cargo.lock");
    for name in ["mio", "tungstenite", "redb", "redis", "ratatui", "hdrhistogram"] {
        let after = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).expect("it is locked").1;
        let version = after.split('"').next().expect("a version");
        assert!(copyright.contains(&format!("\n  {name} {version}: ")), "{name} {version}: {copyright}");
        assert!(texts.contains(&format!("\n{name} {version} (LICENSE")), "{name} {version}");
    }
    for tool in ["criterion", "proptest", "syn"] {
        assert!(!copyright.contains(&format!("\n  {tool} ")), "{tool} is not part of any program");
    }
    assert!(texts.contains("Copyright (c) 2014 Carl Lerche and other MIO contributors"));
    assert!(texts.contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"));
}

#[test]
fn removal_keeps_the_data_of_the_service_and_purge_removes_it() {
    // The files of the system belong to root: without privileges no namespace may change even a copy of them.
    let Some(as_root) = as_root("installation and removal of the package") else { return };
    for needed in ["sysctl", "systemd-sysusers"] {
        program(needed);
    }
    let place = folder("package-system");
    let words = [as_root, &["unshare", "--mount", "sh", "-c", SYSTEM, "sh"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(&place).arg(package()).arg(LIFE);
    let output = text_of(&mut command);
    let steps: Vec<&str> = output.split("\n== ").collect();
    let [installed, upgraded, removed, purged] = steps.as_slice() else { panic!("{output}") };

    assert!(installed.contains("run: systemctl enable --now pixi-game-server\n"), "{output}");
    assert!(installed.contains("\nmode: 640 root:pixi-game-server\nverified:\n"), "{output}");
    let versions = ["pixi-game-server 0.1.0", "pixi-game-ops 0.1.0", "pixi-game-loadtest 0.1.0"];
    assert!(installed.contains(&versions.join("\n")), "{output}");
    let wanted = "gone: /etc/systemd/system/multi-user.target.wants/pixi-game-server.service";
    assert!(installed.contains(wanted), "{output}");
    assert!(upgraded.contains("\nPORT=8109\nthere: /var/lib/pixi-game-server/resume.redb"), "{output}");
    assert!(!upgraded.contains("systemctl enable"), "an upgrade needs no hint: {output}");
    for kept in [
        "/var/lib/pixi-game-server/resume.redb",
        "/var/log/pixi-game-server/game.log",
        "/etc/pixi-game-server.env",
    ] {
        assert!(
            removed.contains(&format!("there: {kept}\n")) || removed.ends_with(&format!("there: {kept}")),
            "{output}"
        );
    }
    assert!(removed.contains("gone: /usr/bin/pixi-game-server\n"), "{output}");
    for path in [
        "/var/lib/pixi-game-server",
        "/var/log/pixi-game-server",
        "/etc/pixi-game-server.env",
        "/etc/logrotate.d/pixi-game-server",
    ] {
        assert!(purged.contains(&format!("gone: {path}\n")), "{output}");
    }
    assert!(purged.ends_with("left:\n"), "{output}");
}

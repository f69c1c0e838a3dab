//! Rules that the compiler does not check: dependencies between modules, lengths of files, words, documents.

mod architecture;
mod builds;
mod supply;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use pixi_game_server::config::{
    HTTP_CONNS_PER_IP_DEFAULT, HTTP_RATE_DEFAULT, IP_CONN_RATE_DEFAULT, MAX_CONNS_PER_IP_DEFAULT, SETTINGS,
    Setting,
};

/// Maximum number of lines in a Rust file.
const FILE_LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder of the project, with their text.
pub fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no Rust file");
    found
}

/// Lines of code without comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let without_comment = |line| str::split(line, "//").next().unwrap_or_default();
    text.lines().map(without_comment).enumerate().map(|(index, line)| (index + 1, line))
}

/// Whether the line contains the word, except as the end of a longer one (`unix::` is not `nix::`).
fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric()))
}

/// Asserts that code below `folder` contains none of the words, except in files whose path starts with an exception.
fn forbid(folder: &str, words: &[&str], exceptions: &[&str]) {
    for (path, text) in sources(folder) {
        if exceptions.iter().any(|exception| path.starts_with(exception)) {
            continue;
        }
        for (number, line) in code(&text) {
            for word in words {
                assert!(!mentions(line, word), "{}:{number} uses `{word}`", path.display());
            }
        }
    }
}

#[test]
fn sockets_belong_to_the_server() {
    forbid("src", &["TcpStream", "TcpListener", "UdpSocket"], &["src/server"]);
}

/// One lint with all features covers the builds without them.
#[test]
fn no_code_exists_only_without_a_feature() {
    for folder in ["src", "tools"] {
        forbid(folder, &["not(feature"], &[]);
    }
}

#[test]
fn pure_modules_do_not_read_the_clock() {
    for folder in ["src/admission", "src/world", "src/replication", "src/wire", "src/ops/metrics"] {
        forbid(folder, &["Instant", "SystemTime", "monotonic_ns"], &[]);
    }
}

#[test]
fn the_core_is_deterministic() {
    let environment = [
        "Instant", "SystemTime", "RandomState", "getrandom", "std::fs", "std::thread", "mio::", "nix::",
        "rustix::",
    ];
    forbid("src/server/core", &environment, &[]);
}

#[test]
fn no_dependency_is_an_async_runtime() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    for runtime in ["tokio", "async-std", "smol", "async-executor", "monoio", "glommio"] {
        assert!(!lock.contains(&format!("name = \"{runtime}\"")), "{runtime} is a dependency");
    }
}

#[test]
fn a_file_has_a_summary_and_at_most_500_lines() {
    for folder in ["src", "tests", "tools", "bench"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
            assert!(
                text.starts_with("//!") || folder == "tests",
                "{} does not start with a summary",
                path.display()
            );
        }
    }
}

fn configuration() -> String {
    fs::read_to_string(root().join("docs/CONFIGURATION.md")).expect("docs/CONFIGURATION.md")
}

#[test]
fn the_configuration_lists_every_setting_with_its_default_and_allowed_values() {
    let page = configuration();
    let rows = page.lines().skip_while(|line| !line.starts_with("| variable |")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), SETTINGS.len(), "a row for each setting");
    for (row, setting) in rows.iter().zip(SETTINGS) {
        let default = if setting.default.is_empty() { "unset" } else { setting.default };
        let allowed = setting.allowed.to_string().replace("a whole number from ", "");
        let expected = format!("| `{}` | {default} | {allowed} | ", setting.variable);
        assert!(row.starts_with(&expected), "docs/CONFIGURATION.md: {row}\nmust begin with {expected}");
        // The table has no default for these, since loopback has another.
        let default = match setting.variable {
            "MAX_CONNS_PER_IP" => MAX_CONNS_PER_IP_DEFAULT,
            "IP_CONN_RATE" => IP_CONN_RATE_DEFAULT,
            "HTTP_CONNS_PER_IP" => HTTP_CONNS_PER_IP_DEFAULT,
            "HTTP_RATE" => HTTP_RATE_DEFAULT,
            _ => continue,
        };
        assert!(row.contains(&format!("unset is {default} with loopback unlimited")), "{row}");
        assert!(setting.help.ends_with(&format!("unset is {default}, no limit for loopback")), "{row}");
    }
}

#[test]
fn the_unit_states_defaults_as_they_are() {
    let unit = fs::read_to_string(root().join("deploy/pixi-game-server.service")).expect("the unit");
    let mut stated = 0;
    for Setting { variable, default, .. } in SETTINGS {
        for form in [format!("{variable} ("), format!("{variable}=")] {
            for rest in unit.split(&form).skip(1) {
                stated += 1;
                assert_eq!(rest.split([')', ' ']).next(), Some(*default), "{variable}");
            }
        }
    }
    assert_eq!(stated, 3, "the unit was not read");
}

#[test]
fn the_readme_shows_settings_with_their_defaults() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let rows = readme.lines().skip_while(|line| !line.starts_with("| variable |")).skip(2);
    let rows: Vec<Vec<&str>> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|row| row.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 8, "the settings that operators change");
    for row in rows {
        let setting = SETTINGS.iter().find(|setting| format!("`{}`", setting.variable) == row[1]);
        let setting = setting.unwrap_or_else(|| panic!("{} is no setting", row[1]));
        let default = if setting.default.is_empty() { "unset" } else { setting.default };
        assert_eq!(row[2], default, "{}", row[1]);
    }
}

#[test]
fn the_configuration_lists_the_settings_that_a_reload_applies() {
    let page = configuration();
    let (_, rest) = page.split_once("It applies changes of these\nsettings: ").expect("the list");
    let (list, _) = rest.split_once(". ").expect("its end");
    let listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let live = SETTINGS.iter().filter(|setting| setting.is_live).map(|setting| setting.variable);
    assert_eq!(listed, live.collect::<Vec<_>>());
}

#[test]
fn the_architecture_gives_a_reason_for_every_dependency() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let tables = manifest.split("\n[").filter(|table| {
        let name = table.lines().next().unwrap_or_default();
        name == "dependencies]" || name == "dev-dependencies]"
    });
    let mut dependencies = 0;
    for line in tables.flat_map(|table| table.lines().skip(1)) {
        if let Some((name, _)) = line.split_once(" = ") {
            dependencies += 1;
            assert!(
                architecture.contains(&format!("`{name}`")),
                "ARCHITECTURE.md gives no reason for {name}"
            );
        }
    }
    assert!(dependencies > 10, "the manifest was not read");
}

/// A setting that differs from the server's default on purpose may stay; an equal one would have to follow every change.
#[test]
fn scripts_and_images_repeat_no_default_of_a_setting() {
    let scripts =
        fs::read_dir(root().join("tools")).expect("the folder").map(|entry| entry.expect("an entry").path());
    let scripts = scripts.filter(|path| path.extension().is_some_and(|extension| extension == "sh"));
    let others = ["demo.sh", "start.sh", "Dockerfile", "docker-compose.yml", "docker-compose.cluster.yml"];
    for path in others.map(|name| root().join(name)).into_iter().chain(scripts) {
        let text = fs::read_to_string(&path).expect("a text file");
        // The published port is not the setting.
        let text = text.replace("${PORT:-8108}:8108", "");
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            let (variable, default) = (setting.variable, setting.default);
            for repeated in [
                format!("{variable}:-{default}}}"),
                format!("{variable}={default}\n"),
                format!("{variable}: {default}\n"),
            ] {
                assert!(!text.contains(&repeated), "{} repeats {repeated}", path.display());
            }
        }
    }
}

#[test]
fn the_start_script_leaves_settings_to_the_server() {
    let script = fs::read_to_string(root().join("start.sh")).expect("the script");
    for setting in SETTINGS {
        assert!(!mentions(&script, setting.variable), "start.sh repeats {}", setting.variable);
    }
}

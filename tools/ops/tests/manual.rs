//! The generated files, checked by the programs that read them: mandoc and three shells.

use std::path::{Path, PathBuf};
use std::process::Command;

use pixi_game_server::config;

use crate::ops;

/// The installed programs.
const PROGRAMS: [&str; 3] = ["pixi-game-server", "pixi-game-ops", "pixi-game-loadtest"];

/// Generates the files in a folder for this test.
fn written(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let output = ops(&["manual", folder.to_str().expect("a path of text")]);
    // The other programs are in the same folder when the whole workspace is built.
    assert!(output.status.success(), "cargo build --workspace --bins: {output:?}");
    folder
}

/// Runs a program, which `tests/install.sh` installs when missing, and returns its output.
fn run(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(file).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tests/install.sh installs it"));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program}: {text}");
    text
}

#[test]
fn mandoc_reports_no_warning() {
    let folder = written("lint");
    for program in PROGRAMS {
        let page = &format!("{program}.8");
        let output = Command::new("mandoc")
            .args(["-W", "warning", "-T", "lint"])
            .arg(folder.join(page))
            .output()
            .expect("mandoc runs; tests/install.sh installs it");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let is_style = |line: &str| line.contains(": STYLE: input text line longer than 80 bytes");
        let complaints: Vec<&str> =
            text.lines().filter(|line| line.contains(page) && !is_style(line)).collect();
        // Pages have no date, so that the same source gives the same page.
        let is_about_the_date = |line: &str| line.contains("missing date");
        assert!(complaints.len() == 1 && is_about_the_date(complaints[0]), "{page}: {complaints:?}");
    }
    let page = run("mandoc", &["-T", "utf8"], &folder.join("pixi-game-server.8"));
    let words: Vec<&str> = page.split_whitespace().collect();
    for wanted in [
        "MAX_CONNECTIONS: a whole number from 1 to 1000000; default 12000; changes on SIGHUP",
        "Refuse a network, and close its",
    ] {
        assert!(words.join(" ").contains(wanted), "{page}");
    }
}

#[test]
fn the_shells_parse_their_completions() {
    let folder = written("shells");
    for program in PROGRAMS {
        for (shell, file) in [
            ("bash", format!("{program}.bash")),
            ("zsh", format!("_{program}")),
            ("fish", format!("{program}.fish")),
        ] {
            assert_eq!(run(shell, &["-n"], &folder.join(file)), "", "{shell}");
        }
    }
}

/// Returns the completions that bash offers for a line.
fn offered_by_bash(line: &[&str]) -> Vec<String> {
    let program = line[0];
    let folder = written(&format!("bash-{program}"));
    let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let script = format!(
        ". \"$0\"; COMP_WORDS=({words}); COMP_CWORD={}; _{}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        line.len() - 1,
        program.replace('-', "_")
    );
    let text = run("bash", &["-c", &script], &folder.join(format!("{program}.bash")));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_flags_and_fixed_values() {
    let flags = offered_by_bash(&["pixi-game-server", "--max-c"]);
    assert_eq!(flags, ["--max-connections", "--max-conns-per-ip"]);
    assert_eq!(offered_by_bash(&["pixi-game-server", "--log-format", ""]), ["text", "json"]);
    assert_eq!(offered_by_bash(&["pixi-game-server", "--log-format", "=", "j"]), ["json"]);
    assert_eq!(offered_by_bash(&["pixi-game-server", "--log-format", "="]), ["text", "json"]);
    assert_eq!(offered_by_bash(&["pixi-game-server", "--port", ""]), [""]);
    assert_eq!(offered_by_bash(&["pixi-game-server", "--debug", "--max-v"]), ["--max-visible"]);
    assert_eq!(offered_by_bash(&["pixi-game-server", "--debug", "t"]), [""], "a switch takes no value");
    assert_eq!(offered_by_bash(&["pixi-game-server", "--vers"]), ["--version"]);
    assert_eq!(offered_by_bash(&["pixi-game-server", "c"]), ["ctl"]);
    assert_eq!(offered_by_bash(&["pixi-game-server", "ctl", "ba"]), ["ban", "bans"]);
}

#[test]
fn bash_offers_subcommands_and_their_flags() {
    assert_eq!(offered_by_bash(&["pixi-game-ops", "m"]), ["monitor", "manual"]);
    assert_eq!(offered_by_bash(&["pixi-game-ops", "tune", "--p"]), ["--players", "--print-sysctl"]);
    assert_eq!(offered_by_bash(&["pixi-game-ops", "monitor", "--i"]), ["--interval"]);
    assert_eq!(offered_by_bash(&["pixi-game-ops", "monitor", "--once", "--js"]), ["--json"]);
    assert_eq!(offered_by_bash(&["pixi-game-loadtest", "--cl"]), ["--clients"]);
    assert_eq!(offered_by_bash(&["pixi-game-loadtest", "--clients", "--"]), [""], "a number comes next");
    assert_eq!(
        offered_by_bash(&["pixi-game-loadtest", "--alone", "--js"]),
        ["--json"],
        "a switch takes no value"
    );
}

#[test]
fn fish_offers_flags() {
    let folder = written("fish");
    let offered = |line: &str| {
        let program = line.split(' ').next().unwrap_or_default();
        let file = folder.join(format!("{program}.fish"));
        let script = format!("source {}; complete -C '{line}'", file.display());
        let output = Command::new("fish").args(["--no-config", "-c", &script]).output().expect("fish runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = offered("pixi-game-server --log-f");
    assert!(text.contains("--log-file") && text.contains("--log-format"), "{text}");
    assert_eq!(offered("pixi-game-ops mon"), "monitor\n");
    assert_eq!(offered("pixi-game-server ctl unb"), "unban\n");
    assert!(offered("pixi-game-ops tune --play").starts_with("--players\t"));
    assert!(offered("pixi-game-server --log-format j").starts_with("json\t"));
    assert_eq!(offered("pixi-game-server --debug t"), "", "a switch takes no value");
}

#[test]
fn the_server_accepts_the_environment_file() {
    let folder = written("env");
    let text = std::fs::read_to_string(folder.join("pixi-game-server.env")).expect("the file");
    // Uncomments every setting.
    let settings =
        text.lines().filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')));
    let settings: Vec<&str> = settings.collect();
    assert_eq!(settings.len(), config::SETTINGS.len());
    let file = folder.join("all.env");
    std::fs::write(&file, settings.join("\n")).expect("a file");
    let arguments = ["--env-file", file.to_str().expect("a path of text"), "--check-config"];
    let command = config::parse(arguments.map(Into::into), |_| None).expect("the server takes it");
    assert!(matches!(command, config::Command::CheckConfig(..)));
}

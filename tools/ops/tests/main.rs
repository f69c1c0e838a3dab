//! The built program, one module for each subcommand, and its own flags.

mod conform;
mod manual;
mod monitor;
#[path = "../../loadtest/tests/server.rs"]
mod server;
mod terminal;
mod tune;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_pixi-game-ops");

/// Runs the program without the environment's settings.
fn ops(args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_remove("SERVER").env_remove("INTERVAL").env_remove("PLAYERS");
    command.stdin(std::process::Stdio::null()).output().expect("the program runs")
}

/// Answers every request to a free port with this text.
fn serve_text(response: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(response.as_bytes());
        }
    });
    address
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn subcommands_are_listed_and_an_unknown_one_is_reported() {
    let nothing = ops(&[]);
    assert_eq!((nothing.status.code(), stdout(&nothing)), (Some(2), String::new()));
    let help = ops(&["--help"]);
    assert_eq!((help.status.code(), stdout(&help)), (Some(0), stderr(&nothing)));
    for name in ["monitor", "conform", "tune", "manual"] {
        assert!(stdout(&help).contains(&format!("\n  {name} ")), "{name}");
        let version = ops(&[name, "--version"]);
        assert_eq!(stdout(&version), format!("pixi-game-ops {name} {}\n", env!("CARGO_PKG_VERSION")));
    }
    let unknown = ops(&["watch"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(stderr(&unknown), "pixi-game-ops: watch: expected a subcommand; see --help\n");
}

#[test]
fn invalid_options_are_reported_with_the_allowed_values() {
    for (line, problem) in [
        ("tune --players 0", "--players 0: expected a whole number from 1 to 1000000"),
        ("tune --apply --print-sysctl", "--print-sysctl and --apply: expected one of them"),
        ("monitor --interval=0s", "--interval 0s: expected whole seconds from 1s to 3600s"),
        (
            "monitor --server=https://127.0.0.1:1",
            "--server https://127.0.0.1:1: expected up to 32 comma-separated",
        ),
        ("conform --server=127.0.0.1:x", "--server 127.0.0.1:x: expected up to 4 addresses"),
        ("conform x", "x: unexpected argument; see --help"),
        ("manual", "expected one argument, the folder to write to, and got 0"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let output = ops(&words);
        assert_eq!(output.status.code(), Some(2), "{line}");
        let expected = format!("pixi-game-ops {}: {problem}", words[0]);
        assert!(stderr(&output).starts_with(&expected), "{line}: {}", stderr(&output));
    }
}

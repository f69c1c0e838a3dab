//! Commands that tests run, and restrictions that apply to them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::debian::is_root;

/// Arguments that run a command without some capabilities; empty unless the tests run as root, which alone has them.
pub fn without(capability: &'static str) -> Vec<&'static str> {
    let flag = match capability {
        "sys_resource" => "--bounding-set=-sys_resource",
        // Without these capabilities, file modes apply to root too.
        "dac" => "--bounding-set=-dac_override,-dac_read_search",
        "net_bind_service" => "--bounding-set=-net_bind_service",
        _ => panic!("no flag for the capability {capability}"),
    };
    if is_root() { vec!["setpriv", flag] } else { Vec::new() }
}

/// Arguments that run a command in a new namespace (`--net`), after a shell script that ends with `exec "$@"`.
pub fn unshared<'a>(namespace: &'a str, script: &'a str) -> Vec<&'a str> {
    let root: &[&str] = if is_root() { &[] } else { &["--map-root-user"] };
    [&["unshare", namespace], root, &["sh", "-c", script, "sh"]].concat()
}

/// Arguments that run a command as root: none for root, else `sudo` if it asks for no password. Without both, standard error
/// says what is not tested: written to directly, it is shown for tests that pass, too.
pub fn as_root(subject: &str) -> Option<&'static [&'static str]> {
    const SUDO: [&str; 2] = ["sudo", "--non-interactive"];
    if is_root() {
        return Some(&[]);
    }
    let sudo = Command::new(SUDO[0]).args([SUDO[1], "true"]).output();
    if sudo.is_ok_and(|output| output.status.success()) {
        return Some(&SUDO);
    }
    let line = format!("NOT TESTED: {subject}: needs root, or sudo without a password\n");
    let _ = io::stderr().write_all(line.as_bytes());
    None
}

/// Command that runs a script. Background tests ignore some signals, and a shell can't trap signals ignored at its start.
pub fn with_default_signals(script: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM,HUP", script]);
    command
}

/// Writes a script that can be run.
pub fn write_script(path: &Path, text: &str) {
    fs::write(path, text).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program");
}

/// Runs a command to its end. Panics unless it succeeds.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

pub fn stdout_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output and standard error as one text.
pub fn output_text(output: &Output) -> String {
    stdout_text(output) + &stderr_text(output)
}

pub fn send_signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("the process is running");
}

//! Takeovers under a service manager: the new main process is announced, and a reload can wait for it.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use game_client::Vector;
use nix::sys::signal::Signal;

use super::Subject;
use crate::support::process::{send_signal, stderr_text};
use crate::support::wait::wait_until;
use crate::support::{Client, DEADLINE, Settings, folder, proc, wait_for_acks};

/// The socket of a service manager.
fn manager(name: &str) -> (UnixDatagram, Settings) {
    let path = folder(name).join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    (socket, Settings::new().set("NOTIFY_SOCKET", path.to_str().expect("UTF-8")))
}

/// The main process that the next notification announces.
fn main_pid(socket: &UnixDatagram) -> u32 {
    let mut buffer = [0; 256];
    let count = socket.recv(&mut buffer).expect("a notification");
    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    assert!(text.lines().any(|line| line == "READY=1"), "{text}");
    let pid = text.lines().find_map(|line| line.strip_prefix("MAINPID=")).expect("a main process");
    pid.parse().expect("a process id")
}

#[test]
fn the_service_manager_is_told_each_main_process() {
    let (socket, settings) = manager("notify");
    let mut subject = Subject::start("notified", settings);
    assert_eq!(main_pid(&socket), subject.server.pid());
    subject.take_over();
    assert_eq!(main_pid(&socket), subject.server.pid());
}

#[test]
fn a_background_takeover_ends_once_the_new_process_serves() {
    let (socket, settings) = manager("background");
    let mut subject = Subject::start("background-server", settings);
    let old = main_pid(&socket);
    let mut client = Client::join(&subject.server);
    let mut command = subject.settings.command();
    command.arg("--background-takeover").stderr(Stdio::null());
    let mut child = command.spawn().expect("it runs");
    let new = main_pid(&socket);
    // A service manager asks for the parent now: it supervises without restrictions only its children.
    assert_ne!(proc::status_field(new, "PPid"), Some(child.id().to_string()));
    assert_eq!(child.wait().expect("it ran").code(), Some(0));
    assert_ne!(new, old);
    assert_eq!(subject.server.wait_for_exit().code(), Some(0));
    client.step(Vector::RIGHT);
    wait_for_acks(std::slice::from_mut(&mut client));
    send_signal(new, Signal::SIGTERM);
    wait_until("the new process to end", || !proc::exists(new));

    // Without a running server the status and the reason are those of the new process.
    let output = command.stderr(Stdio::piped()).output().expect("it ran");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr_text(&output).contains("no server answers"), "{output:?}");
    for (name, value) in [("LOG_FILE", "/nowhere/log"), ("TICK_RATE", "many")] {
        let output = command.env(name, value).output().expect("it ran");
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr_text(&output).contains(&format!("{name}={value}: ")), "{output:?}");
    }
}

//! A loop that stands still is ended by the watchdog; a process that was suspended goes on.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::fault::Fault;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, wait_for_acks};

/// Longer than the watchdog waits for a tick.
const SUSPENSION: Duration = Duration::from_secs(8);

/// Ticks of more than two of the watchdog's wake-ups.
const TICKS_OF_WAKE_UPS: u64 = 130;

#[test]
fn a_loop_that_stands_still_is_aborted_with_a_last_line() {
    let mut server = Server::start();
    wait_until("the first ticks", || server.count("ticks_total") > 10);
    // Each tick arms the timer anew: the next one stays in that system call.
    let fault = Fault::inject(server.pid(), "timerfd_settime:delay_enter=60s");
    server.wait_for_log("watchdog");
    // The thread can't die as long as strace holds it.
    drop(fault);
    assert_eq!(server.wait_for_exit().signal(), Some(Signal::SIGABRT as i32));
    let log = server.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("[ERROR] watchdog: no tick for 5 seconds after "), "{last}");
    // The loop's thread, under strace, is stopped in its system call.
    assert!(last.contains("pixi-game-serve t") && last.contains("watchdog R"), "{last}");
}

#[test]
fn a_suspended_process_goes_on_with_everybody_it_had() {
    let server = Server::start();
    let mut clients = [Client::join(&server), Client::join(&server)];
    let ids = clients.each_ref().map(Client::id);
    server.signal(Signal::SIGSTOP);
    thread::sleep(SUSPENSION);
    server.signal(Signal::SIGCONT);
    let before = server.count("ticks_total");
    wait_until("further ticks", || server.count("ticks_total") > before + TICKS_OF_WAKE_UPS);
    for client in &mut clients {
        client.send_short_move(game_client::Vector::RIGHT, 1);
    }
    wait_for_acks(&mut clients);
    assert!(clients.iter().all(|client| !client.ended), "{clients:?}");
    assert_eq!(clients.each_ref().map(Client::id), ids);
    assert_eq!(server.count("players"), 2);
}

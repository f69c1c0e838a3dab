//! The watchdog aborts a stalled event loop, and tolerates a suspended process.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::fault::Fault;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, wait_for_acks};

/// Length of the suspension, longer than the watchdog's timeout.
const SUSPENSION: Duration = Duration::from_secs(8);

/// Number of ticks in more than two intervals of the watchdog.
const TICKS_OF_WAKE_UPS: u64 = 130;

#[test]
fn a_stalled_loop_is_aborted_with_a_last_line() {
    let mut server = Server::start();
    wait_until("the first ticks", || server.count("ticks_total") > 10);
    // Each tick rearms the timer, so the fault blocks the loop in the next such call.
    let fault = Fault::inject(server.pid(), "timerfd_settime:delay_enter=60s");
    server.wait_for_log("watchdog");
    // The thread can't exit while strace holds it.
    drop(fault);
    assert_eq!(server.wait_for_exit().signal(), Some(Signal::SIGABRT as i32));
    let log = server.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("[ERROR] watchdog: no tick for 5 seconds after "), "{last}");
    // strace stopped the loop's thread in its system call.
    assert!(last.contains("pixi-game-serve t") && last.contains("watchdog R"), "{last}");
}

#[test]
fn a_suspended_process_resumes_with_all_players() {
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

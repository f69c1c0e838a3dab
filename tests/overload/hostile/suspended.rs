//! A server suspended for ten seconds: no spiral of ticks, no disconnect, no loss.

use std::time::{Duration, Instant};

use game_client::Vector;
use nix::sys::signal::Signal;

use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::poll_until_within;
use crate::support::{Client, DEADLINE, Settings, poll_until, wait_for_acks};

/// Length of the suspension, longer than the timeouts that the test sets.
const SUSPENSION: Duration = Duration::from_secs(10);

/// Time between two MOVEs of a client.
const MOVE_INTERVAL: Duration = Duration::from_millis(50);

/// Largest distance, per axis, at which a client keeps its predicted position instead of the acked one.
const DISPLACED_UNITS: f64 = 4.0;

/// Walking clients; one more client only answers pings.
const WALKERS: usize = 4;

/// Walks the walkers for a while.
fn walk(clients: &mut [Client], duration: Duration) {
    let (start, mut taken) = (Instant::now(), 0);
    poll_until_within(DEADLINE, clients, "a walk", |clients| {
        while MOVE_INTERVAL * taken <= start.elapsed() {
            for (index, client) in clients.iter_mut().take(WALKERS).enumerate() {
                let directions = [Vector::RIGHT, Vector::DOWN, Vector::LEFT, Vector::UP];
                client.step(directions[(index + taken as usize / 10) % directions.len()]);
            }
            taken += 1;
        }
        start.elapsed() >= duration
    });
}

#[test]
fn a_suspended_server_resumes_without_a_spiral_or_disconnects() {
    let settings = Settings::new().set("PING_INTERVAL_SEC", 1).set("IDLE_TIMEOUT_SEC", 3);
    let server = settings.set("SYNC_INTERVAL_SEC", 1).set("WRITE_STALL_SEC", 3).start();
    let mut clients: Vec<_> = (0..=WALKERS).map(|_| Client::join(&server)).collect();
    let mut late = Raw::connect(server.address());
    late.send(&UPGRADE.as_bytes()[..40]);
    walk(&mut clients, Duration::from_secs(1));
    wait_for_acks(&mut clients);
    let skipped_before = server.count("ticks_skipped_total");

    server.signal(Signal::SIGSTOP);
    walk(&mut clients, SUSPENSION);
    server.signal(Signal::SIGCONT);

    for client in &mut clients[..WALKERS] {
        client.step(Vector::ZERO);
    }
    wait_for_acks(&mut clients);
    assert_eq!(server.count("rate_limited_total"), 0, "the backlog must not count as a flood");
    let skipped = server.count("ticks_skipped_total");
    assert!(skipped - skipped_before >= 500, "{skipped} ticks skipped in ten seconds");
    let ticks = server.count("ticks_total");
    poll_until(&mut clients, "one second of ticks", |_| server.count("ticks_total") >= ticks + 60);
    assert!(server.count("ticks_skipped_total") - skipped < 60, "ticks are still skipped");

    let truth: Vec<_> = clients.iter().map(|client| (client.id(), client.position())).collect();
    poll_until(&mut clients, "all replicas to be correct", |clients| {
        clients.iter().all(|client| {
            truth[..WALKERS].iter().filter(|(id, _)| *id != client.id()).all(|(id, (x, y))| {
                let seen = client.replica.remote(*id);
                seen.is_some_and(|remote| {
                    let off = (remote.x - f64::from(*x)).abs().max((remote.y - f64::from(*y)).abs());
                    off <= DISPLACED_UNITS && remote.vector == Vector::ZERO
                })
            })
        })
    });
    assert!(clients.iter().all(|client| !client.ended), "{clients:?}");
    late.send(&UPGRADE.as_bytes()[40..]);
    assert_eq!(late.response().status, 101, "a suspension must not expire a deadline");
}

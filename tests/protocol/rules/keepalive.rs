//! Rule 12: pings keep a quiet client connected, and a silent one is closed.

use std::time::{Duration, Instant};

use super::VIEWER;
use crate::support::raw::Raw;
use crate::support::{Client, Settings, observe, poll_until};

#[test]
fn only_a_client_that_answers_pings_stays_connected() {
    let settings = Settings::new().set("PING_INTERVAL_SEC", 1).set("IDLE_TIMEOUT_SEC", 3);
    let server = settings.start();
    let start = Instant::now();
    let mut clients = vec![Client::join(&server)];
    let mut silent = Raw::upgraded(server.address());
    // Reading alone does not keep a connection alive: the kernel of a dead peer's host reads too.
    let silent_end = std::thread::spawn(move || {
        silent.read_to_end();
        Instant::now()
    });
    observe(&mut clients, Duration::from_secs(5));
    assert!(!clients[VIEWER].ended, "a client that answers pings was closed");
    assert!(clients[VIEWER].pings >= 3, "{} pings in five seconds", clients[VIEWER].pings);
    poll_until(&mut clients, "the silent client's connection to end", |_| silent_end.is_finished());
    let silent_end = silent_end.join().unwrap();
    assert!(silent_end - start >= Duration::from_millis(2_500), "closed after {:?}", silent_end - start);
}

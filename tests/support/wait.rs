//! Waiting: polls all clients until a condition holds, or panics at a deadline.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use super::{Client, DEADLINE, Server};

/// Pause after a round of polls in which no client received a message.
const IDLE: Duration = Duration::from_millis(1);

/// Most clients described when a test fails.
const CLIENTS_SHOWN: usize = 4;

/// Polls the clients until the condition holds. The condition runs after every round and may also act.
///
/// # Panics
///
/// If the condition does not hold within [`DEADLINE`], or as soon as a replica finds a violation.
pub fn poll_until(clients: &mut [Client], what: &str, is_done: impl FnMut(&mut [Client]) -> bool) {
    poll_until_within(DEADLINE, clients, what, is_done);
}

/// [`poll_until`] with another deadline, for slow conditions.
pub fn poll_until_within(
    deadline: Duration,
    clients: &mut [Client],
    what: &str,
    mut is_done: impl FnMut(&mut [Client]) -> bool,
) {
    let start = Instant::now();
    loop {
        let busy = poll_all(clients);
        if is_done(clients) {
            return;
        }
        assert!(start.elapsed() < deadline, "timed out waiting for {what}\n{}", describe(clients));
        if !busy {
            thread::sleep(IDLE);
        }
    }
}

/// [`poll_until`] for one client.
pub fn wait_for(client: &mut Client, what: &str, is_done: impl Fn(&Client) -> bool) {
    poll_until(std::slice::from_mut(client), what, |clients| is_done(&clients[0]));
}

/// Waits for a condition that involves no client.
pub fn wait_until(what: &str, mut is_done: impl FnMut() -> bool) {
    poll_until(&mut [], what, |_| is_done());
}

/// Polls the clients for a fixed time, to assert afterwards that something did *not* happen.
pub fn observe(clients: &mut [Client], duration: Duration) {
    let start = Instant::now();
    poll_until(clients, "the end of the observation", |_| start.elapsed() >= duration);
}

/// Polls the clients until every MOVE they sent is acked.
pub fn wait_for_acks(clients: &mut [Client]) {
    poll_until(clients, "an ack for every MOVE", |clients| clients.iter().all(Client::is_answered));
}

fn poll_all(clients: &mut [Client]) -> bool {
    let mut busy = false;
    for client in clients {
        busy |= client.poll();
        let violations = client.replica.violations();
        if let Some(first) = violations.first() {
            panic!(
                "the server violated a rule: {first} ({} violations in total)\n{client:?}",
                violations.len()
            );
        }
        assert_eq!(client.invalid, None, "a server sends no such frame");
    }
    busy
}

fn describe(clients: &[Client]) -> String {
    let mut text = String::new();
    for client in clients.iter().take(CLIENTS_SHOWN) {
        let _ = writeln!(text, "{client:?}");
    }
    if clients.len() > CLIENTS_SHOWN {
        let _ = write!(text, "and {} more clients", clients.len() - CLIENTS_SHOWN);
    }
    text
}

/// Reconnects with a cookie on another thread, while these clients keep answering pings.
pub fn reconnect_while_polling(server: &Server, cookie: &str, clients: &mut [Client]) -> Client {
    thread::scope(|scope| {
        let back = scope.spawn(|| Client::reconnect(server, cookie));
        poll_until(clients, "the other client's upgrade", |_| back.is_finished());
        back.join().expect("the client joins")
    })
}

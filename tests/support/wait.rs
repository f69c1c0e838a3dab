//! Waiting: clients are served in turn until a condition holds, or a deadline fails the test in words.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use super::{Client, DEADLINE, Server};

/// Pause when nothing had arrived for anybody.
const IDLE: Duration = Duration::from_millis(1);

/// Clients shown when a test with many of them fails.
const CLIENTS_SHOWN: usize = 4;

/// Serves the clients until the condition holds. The condition may act, too: it is asked after every round.
///
/// # Panics
///
/// When it does not hold within [`DEADLINE`], or as soon as a picture shows a violation.
pub fn poll_until(clients: &mut [Client], what: &str, is_done: impl FnMut(&mut [Client]) -> bool) {
    poll_until_within(DEADLINE, clients, what, is_done);
}

/// [`poll_until`] with a deadline of its own, for what takes long by itself.
pub fn poll_until_within(
    deadline: Duration,
    clients: &mut [Client],
    what: &str,
    mut is_done: impl FnMut(&mut [Client]) -> bool,
) {
    let start = Instant::now();
    loop {
        let busy = serve(clients);
        if is_done(clients) {
            return;
        }
        assert!(start.elapsed() < deadline, "waited in vain for {what}\n{}", describe(clients));
        if !busy {
            thread::sleep(IDLE);
        }
    }
}

/// [`poll_until`] for one client.
pub fn wait_for(client: &mut Client, what: &str, is_done: impl Fn(&Client) -> bool) {
    poll_until(std::slice::from_mut(client), what, |clients| is_done(&clients[0]));
}

/// Waits for a condition that concerns no client.
pub fn wait_until(what: &str, mut is_done: impl FnMut() -> bool) {
    poll_until(&mut [], what, |_| is_done());
}

/// Serves the clients for a while, for the sake of what must *not* happen in it.
pub fn observe(clients: &mut [Client], duration: Duration) {
    let start = Instant::now();
    poll_until(clients, "the end of the observation", |_| start.elapsed() >= duration);
}

/// Serves the clients until every MOVE they sent is answered.
pub fn wait_for_acks(clients: &mut [Client]) {
    poll_until(clients, "an answer to every MOVE", |clients| clients.iter().all(Client::is_answered));
}

fn serve(clients: &mut [Client]) -> bool {
    let mut busy = false;
    for client in clients {
        busy |= client.poll();
        let violations = client.replica.violations();
        if let Some(first) = violations.first() {
            panic!(
                "the server violated a rule: {first} ({} violations in all)\n{client:?}",
                violations.len()
            );
        }
        assert_eq!(client.texts, 0, "a text message was received");
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

/// Another client shows a cookie, while these ones go on answering pings.
pub fn reconnect_while_polling(server: &Server, cookie: &str, clients: &mut [Client]) -> Client {
    thread::scope(|scope| {
        let back = scope.spawn(|| Client::reconnect(server, cookie));
        poll_until(clients, "the other client's upgrade", |_| back.is_finished());
        back.join().expect("it joins")
    })
}

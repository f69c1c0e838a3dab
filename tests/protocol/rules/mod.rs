//! What the existing browser client needs of the server, rule by rule and over real sockets.
//!
//! Much of it is checked by the clients' pictures: every wait fails as soon as one of them shows a violation, such
//! as a second entrance, a message about a player that is not shown, or an ack too many.

mod attack;
mod entrance;
mod full_state;
mod identity;
mod keepalive;
mod lag_compensation;
mod movement;
mod passing;
mod viewport;
mod visible_max;
mod world;

use std::time::Duration;

use crate::support::{Client, Server, observe, poll_until};

/// The client that looks.
const VIEWER: usize = 0;
/// The client that is looked at.
const OTHER: usize = 1;

/// A viewer, and another player that it sees.
fn pair(server: &Server) -> Vec<Client> {
    let mut clients = vec![Client::join(server), Client::join(server)];
    let other = clients[OTHER].id();
    poll_until(&mut clients, "the other player's entrance", |clients| clients[VIEWER].sees(other));
    clients
}

/// A pair of which the other player came when the viewer had been there for a while, and so found it in its first
/// frame. Who comes within the same tick or two may follow as JOINED.
fn pair_of_late(server: &Server) -> Vec<Client> {
    let mut clients = vec![Client::join(server)];
    get_settled(&mut clients);
    clients.push(Client::join(server));
    let other = clients[OTHER].id();
    poll_until(&mut clients, "the other player's entrance", |clients| clients[VIEWER].sees(other));
    clients
}

/// Lets the players be there for a while, so that a newcomer finds them in its first frame.
fn get_settled(clients: &mut [Client]) {
    observe(clients, Duration::from_millis(400));
}

/// Waits until this long after the viewer's first remote entrance.
fn wait_after_entrance(clients: &mut [Client], after_ms: u64) {
    poll_until(clients, "some time after the first entrance", |clients| {
        let entered_ms = clients[VIEWER].replica.first_enter_ms().expect("somebody entered");
        crate::support::now_ms() >= entered_ms + after_ms
    });
}

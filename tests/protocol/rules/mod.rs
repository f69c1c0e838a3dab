//! Requirements of the existing browser client, rule by rule, over real sockets.
//!
//! The replicas of the clients check most rules. Every wait fails as soon as a replica finds a violation,
//! such as a second JOINED, a message about a player that is not shown, or a surplus ack.

mod attack;
mod enter_leave;
mod identity;
mod keepalive;
mod lag_compensation;
mod late_sheet;
mod movement;
mod short_lived;
mod snapshots;
mod viewport;
mod visible_max;
mod world;

use std::time::Duration;

use game_client::{PlayerId, Vector};

use crate::support::{Client, Server, Settings, observe, poll_until};

/// Index of the watching client.
const VIEWER: usize = 0;
/// Index of the watched client.
const OTHER: usize = 1;

/// A viewer, and another player that it sees.
fn pair(server: &Server) -> Vec<Client> {
    let mut clients = vec![Client::join(server), Client::join(server)];
    let other = clients[OTHER].id();
    poll_until(&mut clients, "the other player to enter", |clients| clients[VIEWER].sees(other));
    clients
}

/// A pair whose other player joined later and found the viewer in its first `GAME_STATE`. A player that joins
/// within a tick or two may be sent as JOINED instead.
fn pair_with_late_joiner(server: &Server) -> Vec<Client> {
    let mut clients = vec![Client::join(server)];
    let_others_settle(&mut clients);
    clients.push(Client::join(server));
    let other = clients[OTHER].id();
    poll_until(&mut clients, "the other player to enter", |clients| clients[VIEWER].sees(other));
    clients
}

/// Waits long enough for a newcomer to find these players in its first `GAME_STATE`.
fn let_others_settle(clients: &mut [Client]) {
    observe(clients, Duration::from_millis(400));
}

/// Settings without snapshots by interval during a test, and with one spawn point.
fn without_periodic_snapshots() -> Settings {
    Settings::new().set("SYNC_INTERVAL_SEC", 300).spawn_at(500, 500)
}

fn wait_for_vector(clients: &mut [Client], player: PlayerId, vector: Vector) {
    poll_until(clients, &format!("the replica to show vector {vector}"), |clients| {
        clients[VIEWER].replica.remote(player).is_some_and(|remote| remote.vector == vector)
    });
}

/// Waits until this long after the first remote player entered the viewer's replica.
fn wait_after_entrance(clients: &mut [Client], after_ms: u64) {
    poll_until(clients, "the time after the first JOINED", |clients| {
        let entered_ms = clients[VIEWER].replica.first_enter_ms().expect("a player entered");
        crate::support::now_ms() >= entered_ms + after_ms
    });
}

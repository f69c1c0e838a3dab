//! Thousands of seeded reconnects: ids, ghosts, counters, descriptors.

use game_client::ClientMessage;

use super::{assert_counts_add_up, assert_replicas_match_ground_truth, join, wait_for_descriptors};
use crate::simulation::machine::random::Random;
use crate::support::raw::{Raw, UPGRADE, reset};
use crate::support::{Client, Server, Settings, poll_until};

const PLAYERS: usize = 120;

/// Players that leave and reconnect per round.
const LEAVERS: usize = 40;

const ROUNDS: usize = 50;

/// Rounds between two checks that every replica shows the newest players.
const ROUNDS_PER_CHECK: usize = 5;

/// Clients per round that send an upgrade request and disconnect without reading.
const VANISHERS: usize = 4;

/// Number of disconnects of each kind.
#[derive(Default)]
struct Departures {
    closed: u64,
    left: u64,
    hung_up: u64,
    reset: u64,
    vanished: u64,
}

/// Disconnects some clients. A client that sends a Close or LEAVE waits for the server's Close.
fn depart(clients: &mut Vec<Client>, random: &mut Random, departures: &mut Departures) {
    let mut leaving = Vec::new();
    for _ in 0..LEAVERS {
        let mut client = clients.swap_remove(random.below(clients.len() as u64) as usize);
        match random.below(4) {
            0 => {
                departures.closed += 1;
                client.close(Some(1001));
                leaving.push(client);
            }
            1 => {
                departures.left += 1;
                client.send(&ClientMessage::Leave);
                leaving.push(client);
            }
            2 => {
                departures.hung_up += 1;
                drop(client);
            }
            _ => {
                departures.reset += 1;
                client.reset();
            }
        }
    }
    poll_until(&mut leaving, "the server's Close", |leaving| leaving.iter().all(|client| client.ended));
}

/// Sends upgrade requests and disconnects without reading the responses.
fn vanish(server: &Server, random: &mut Random, departures: &mut Departures) {
    for _ in 0..VANISHERS {
        let mut raw = Raw::connect(server.address());
        raw.send(UPGRADE.as_bytes());
        if random.chance(2) {
            reset(raw.stream());
        }
        departures.vanished += 1;
    }
}

#[test]
fn thousands_of_reconnects_leak_nothing_and_keep_exact_counts() {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 1).set("MAX_VISIBLE", 400).start();
    let descriptors = server.descriptors();
    let (mut random, mut departures) = (Random::new(7), Departures::default());
    let mut clients = Vec::new();
    let mut highest = join(&server, &mut clients, PLAYERS, 1_000);
    for round in 0..ROUNDS {
        depart(&mut clients, &mut random, &mut departures);
        vanish(&server, &mut random, &mut departures);
        highest = join(&server, &mut clients, LEAVERS, highest);
        // Rounds are faster than replication; every few rounds, wait until all replicas are complete.
        if round % ROUNDS_PER_CHECK == 0 {
            poll_until(&mut clients, "every replica to show the newest players", |clients| {
                clients.iter().all(|client| client.id() == highest || client.sees(highest))
            });
        }
    }

    let metrics = assert_counts_add_up(&server, PLAYERS as u64);
    let upgraded = metrics["connections"]["upgraded_total"].as_u64().expect("a count");
    let [closed, left, reset] =
        ["by_peer", "left", "reset"].map(|reason| metrics["closed"][reason].as_u64().expect("a count"));
    assert_eq!((closed, left), (departures.closed, departures.left), "{metrics}");
    // If a reset follows a request at once, the server may see only the reset.
    let certain = departures.hung_up + departures.reset;
    assert!((certain..=certain + departures.vanished).contains(&reset), "{metrics}");
    assert_eq!(upgraded, (PLAYERS + ROUNDS * LEAVERS) as u64 + (reset - certain), "{metrics}");

    assert_replicas_match_ground_truth(&mut clients);
    let last = join(&server, &mut clients, 1, highest);
    assert_eq!(u64::from(last), 1_000 + upgraded + 1, "every upgrade takes exactly one id");
    drop(clients);
    assert_counts_add_up(&server, 0);
    wait_for_descriptors(&server, descriptors);
}

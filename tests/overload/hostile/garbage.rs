//! Random bytes before, during and after the upgrade, on many connections. Other players are unaffected,
//! every connection ends, and the counters add up.

use std::net::SocketAddr;
use std::thread;

use game_client::Vector;

use crate::simulation::machine::random::Random;
use crate::support::raw::{BINARY, FIN, Raw, UPGRADE, masked};
use crate::support::wait::{poll_until_within, wait_until};
use crate::support::walker::step_when_answered;
use crate::support::{Client, DEADLINE, Settings, wait_for_acks};

/// Connections of each kind.
const CONNECTIONS: u64 = 150;

/// Most random bytes on one connection.
const BYTES_MAX: u64 = 2_000;

fn bytes(random: &mut Random) -> Vec<u8> {
    (0..=random.below(BYTES_MAX)).map(|_| random.below(256) as u8).collect()
}

/// Sends random bytes at a random stage of a connection, shuts down the sending side, and reads to the end.
fn send_garbage(address: SocketAddr, seed: u64) {
    let mut random = Random::new(seed);
    let mut raw = Raw::connect(address);
    match seed % 3 {
        0 => {}
        1 => {
            let cut = random.below(UPGRADE.len() as u64 - 1) as usize;
            raw.send(&UPGRADE.as_bytes()[..cut]);
        }
        _ => {
            raw.send(UPGRADE.as_bytes());
            assert_eq!(raw.response().status, 101);
            // A valid frame before the garbage, so that the decoder is in the middle of its work.
            raw.send(&masked(FIN | BINARY, &[4, 1]));
        }
    }
    for chunk in bytes(&mut random).chunks(1 + random.below(300) as usize) {
        raw.send(chunk);
    }
    raw.shut_down_write();
    raw.read_to_end();
}

#[test]
fn random_bytes_at_any_stage_do_not_affect_other_players() {
    // The other players take a step as soon as the previous one is acked.
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 10_000).set("RATE_LIMIT_BURST", 100_000).start();
    let mut clients = [Client::join(&server), Client::join(&server)];
    wait_for_acks(&mut clients);
    let before = server.descriptors();
    let address = server.address();
    let throwers: Vec<_> = (0..6)
        .map(|thrower| {
            thread::spawn(move || {
                (0..3 * CONNECTIONS)
                    .filter(|seed| seed % 6 == thrower)
                    .for_each(|seed| send_garbage(address, seed));
            })
        })
        .collect();
    let mut steps = 0_usize;
    poll_until_within(DEADLINE, &mut clients, "the connections with random bytes to end", |clients| {
        step_when_answered(clients, &mut steps);
        throwers.iter().all(thread::JoinHandle::is_finished)
    });
    for thrower in throwers {
        thrower.join().expect("every connection has an end");
    }
    for client in &mut clients {
        client.step(Vector::ZERO);
    }
    wait_for_acks(&mut clients);
    assert!(
        steps > 0 && clients.iter().all(|client| !client.ended && client.replica.violations().is_empty())
    );

    wait_until("their descriptors", || server.descriptors() <= before);
    server.wait_for_players(2);
    let metrics = server.metrics();
    let sum = |name: &str| -> u64 {
        metrics[name].as_object().expect("counts").values().filter_map(serde_json::Value::as_u64).sum()
    };
    assert_eq!(metrics["connections"]["upgraded_total"], 2 + CONNECTIONS, "{metrics:#}");
    assert_eq!(sum("closed"), CONNECTIONS, "{metrics:#}");
    assert!(sum("protocol_errors") >= CONNECTIONS / 2, "{metrics:#}");
    assert!(metrics["refused"]["bad_request"].as_u64() >= Some(CONNECTIONS), "{metrics:#}");
}

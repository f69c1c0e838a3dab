//! Rule 2: `GAME_STATE` replaces all players that a client shows: its times, contents, and the messages after it.

use std::time::Duration;

use game_client::{ClientMessage, Facing, ReplicaOptions, ServerMessage, Vector};

use super::{OTHER, VIEWER, pair, pair_with_late_joiner, wait_after_entrance, without_periodic_snapshots};
use crate::support::client::replica_options;
use crate::support::walker::walk;
use crate::support::{Client, Server, Settings, Walker, observe, poll_until};

/// Snapshots at the shortest interval that the settings allow.
fn with_frequent_snapshots() -> Server {
    Settings::new().set("SYNC_INTERVAL_SEC", 1).spawn_at(500, 500).start()
}

fn wait_for_full_state(clients: &mut [Client], what: &str) {
    let mark = clients[VIEWER].mark();
    poll_until(clients, &format!("a GAME_STATE after {what}"), |clients| {
        clients[VIEWER].game_states_since(mark) > 0
    });
}

#[test]
fn later_snapshots_omit_the_viewer() {
    let server = with_frequent_snapshots();
    let mut clients = pair(&server);
    let mut walkers = [Walker::new(Vector::RIGHT), Walker::new(Vector::DOWN)];
    poll_until(&mut clients, "both clients to receive two more GAME_STATEs", |clients| {
        for (walker, client) in walkers.iter_mut().zip(&mut *clients) {
            walker.drive(client, u32::MAX);
        }
        clients.iter().all(|client| client.game_states_since(1) >= 2)
    });
    for client in &clients {
        assert_eq!(client.replica.own().corrections(), 0, "a walking player must not stutter");
    }
}

#[test]
fn no_snapshot_is_sent_while_the_first_sprite_may_be_loading() {
    let server = with_frequent_snapshots();
    let mut clients = vec![Client::join(&server)];
    // The viewer is alone for longer than the interval, so a snapshot is due as soon as a player enters.
    observe(&mut clients, Duration::from_millis(1_500));
    assert_eq!(clients[VIEWER].game_states_since(1), 0);
    clients.push(Client::join(&server));
    let mut walkers = [Walker::new(Vector::DOWN), Walker::new(Vector::RIGHT)];
    poll_until(&mut clients, "both clients to receive another GAME_STATE", |clients| {
        for (walker, client) in walkers.iter_mut().zip(&mut *clients) {
            walker.drive(client, u32::MAX);
        }
        clients.iter().all(|client| client.game_states_since(1) >= 1)
    });
    // The replicas check this too, with the same clock.
    let entered_ms = clients[VIEWER].replica.first_enter_ms().unwrap();
    let is_state = |message: &ServerMessage| matches!(message, ServerMessage::GameState(_));
    let later = clients[VIEWER].received[1..].iter().find(|received| is_state(&received.message)).unwrap();
    assert!(
        later.at_ms >= entered_ms + 14_500,
        "{} ms after the first player entered",
        later.at_ms - entered_ms
    );
}

#[test]
fn the_vectors_of_all_visible_movers_follow_a_snapshot() {
    let server = with_frequent_snapshots();
    let mut clients = pair(&server);
    clients.push(Client::join(&server));
    let (right, down) = (clients[1].id(), clients[2].id());
    clients[1].send_short_move(Vector::RIGHT, 1);
    clients[2].send_short_move(Vector::DOWN, 1);
    wait_after_entrance(&mut clients, 14_500);
    for _ in 0..2 {
        wait_for_full_state(&mut clients, "some steps");
        let received = &clients[VIEWER].received;
        let is_state = |message: &ServerMessage| matches!(message, ServerMessage::GameState(_));
        let mark = received.iter().rposition(|received| is_state(&received.message)).unwrap();
        poll_until(&mut clients, "both vectors after the GAME_STATE", |clients| {
            let vectors_of = |id| clients[VIEWER].vectors_since(mark, id);
            !vectors_of(right).is_empty() && !vectors_of(down).is_empty()
        });
        assert_eq!(clients[VIEWER].vectors_since(mark, right)[0], Vector::RIGHT);
        assert_eq!(clients[VIEWER].vectors_since(mark, down)[0], Vector::DOWN);
    }
}

#[test]
fn a_viewer_without_changes_receives_no_snapshot() {
    let server = with_frequent_snapshots();
    let mut clients = pair_with_late_joiner(&server);
    wait_for_full_state(&mut clients, "a player entered");
    observe(&mut clients, Duration::from_millis(2_500));
    assert_eq!(clients[VIEWER].game_states_since(1), 1, "one for the entering player and no more");
    assert_eq!(clients[OTHER].game_states_since(1), 0, "its first GAME_STATE was complete");
    walk(&mut clients, VIEWER, Vector::UP, 36);
    assert_eq!(clients[VIEWER].game_states_since(1), 1, "its own walk changes nothing that it sees");
    clients[OTHER].send(&ClientMessage::Direction(Facing::Left));
    wait_for_full_state(&mut clients, "a player turned");
}

#[test]
fn every_kind_of_change_triggers_a_snapshot() {
    let server = with_frequent_snapshots();
    let mut clients = pair(&server);
    wait_for_full_state(&mut clients, "a player entered");
    clients[OTHER].send(&ClientMessage::Direction(Facing::Left));
    wait_for_full_state(&mut clients, "a player turned");
    walk(&mut clients, OTHER, Vector::UP, 3);
    wait_for_full_state(&mut clients, "a player walked");
    let (x, y) = clients[OTHER].acknowledged();
    clients[OTHER].send_claim(Vector::ZERO, 1 << 20, x + 5, y);
    wait_for_full_state(&mut clients, "a step aside without a vector");
    assert_eq!(clients[OTHER].acknowledged(), (x + 5, y));
    clients.push(Client::join(&server));
    wait_for_full_state(&mut clients, "a second player entered");
    let mut leaver = clients.pop().unwrap();
    leaver.close(Some(1001));
    wait_for_full_state(&mut clients, "a player left");
    assert!(!clients[VIEWER].sees(leaver.id()));
}

#[test]
fn a_snapshot_corrects_a_missed_turn_and_drift() {
    let server = with_frequent_snapshots();
    let slow = ReplicaOptions { loading_ms: 900, ..replica_options() };
    let mut clients = vec![Client::join_with(&server, slow), Client::join(&server)];
    clients[OTHER].send(&ClientMessage::Direction(Facing::Left));
    walk(&mut clients, OTHER, Vector::UP, 3);
    let (other, truth) = (clients[OTHER].id(), clients[OTHER].acknowledged());
    poll_until(&mut clients, "the replica to show the other player's position", |clients| {
        clients[VIEWER].replica.remote(other).is_some_and(|remote| {
            let at = (f64::from(truth.0), f64::from(truth.1));
            remote.is_shown && remote.facing == Facing::Left && (remote.x, remote.y) == at
        })
    });
}

#[test]
fn only_a_jump_makes_a_snapshot_due() {
    let server = without_periodic_snapshots().start();
    let mut clients = pair(&server);
    wait_after_entrance(&mut clients, 15_000);
    clients[OTHER].send_claim(Vector::ZERO, 1, 516, 500);
    observe(&mut clients, Duration::from_millis(1_700));
    assert_eq!(clients[OTHER].acknowledged(), (516, 500));
    assert_eq!(clients[VIEWER].game_states_since(1), 0, "16 units do not count as a jump");
    clients[OTHER].send_claim(Vector::ZERO, 2, 516, 517);
    wait_for_full_state(&mut clients, "a jump of 17 units");
    let remote = clients[VIEWER].replica.remote(clients[OTHER].id()).unwrap();
    assert_eq!((remote.x, remote.y), (516.0, 517.0));
}

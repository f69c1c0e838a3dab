//! Tests of the browser client's rules.

use super::*;
use crate::codec::{Facing, State};

const OWN: PlayerId = 1005;
const OTHER: PlayerId = 1004;

fn entry(id: PlayerId, x: u16, y: u16) -> Entry {
    Entry { id, x, y, vector: Vector::RIGHT, facing: Facing::Right, state: State::Idle }
}

fn movement(id: PlayerId, vector: Vector) -> ServerMessage {
    ServerMessage::Movement { id, vector }
}

fn ack(sequence: u32, x: u16, y: u16) -> ServerMessage {
    ServerMessage::MoveAck { id: OWN, x, y, sequence }
}

/// A viewer at (500, 500) with no other players, whose sprites load for 300 ms.
fn alone() -> Replica {
    let mut replica = Replica::new(ReplicaOptions::default());
    replica.receive(0, &ServerMessage::GameState(vec![entry(OWN, 500, 500)]));
    replica
}

/// A viewer at (500, 500) with one loaded player at (100, 100).
fn with_other() -> Replica {
    let mut replica = Replica::new(ReplicaOptions::default());
    let entries = vec![entry(OWN, 500, 500), entry(OTHER, 100, 100)];
    replica.receive(0, &ServerMessage::GameState(entries));
    replica.advance(10_000);
    replica
}

fn position(replica: &Replica, id: PlayerId) -> (f64, f64) {
    let remote = replica.remote(id).unwrap();
    (remote.x, remote.y)
}

#[test]
fn the_highest_id_of_the_first_game_state_is_the_viewer() {
    let replica = with_other();
    assert_eq!(replica.own_id(), Some(OWN));
    assert_eq!(replica.own().position(), (500, 500));
    assert_eq!(replica.remotes().map(|remote| remote.id).collect::<Vec<_>>(), [OTHER]);
    assert_eq!(replica.violations(), []);
}

#[test]
fn anything_before_the_first_game_state_is_a_violation() {
    let mut replica = Replica::new(ReplicaOptions::default());
    replica.receive(0, &ServerMessage::Joined(entry(OTHER, 0, 0)));
    assert_eq!(replica.violations(), [Violation::FirstFrameNotGameState]);
}

#[test]
fn an_empty_first_game_state_leaves_the_viewer_without_identity() {
    let mut replica = Replica::new(ReplicaOptions::default());
    replica.receive(0, &ServerMessage::GameState(vec![]));
    assert_eq!(replica.own_id(), None);
    assert_eq!(replica.violations(), [Violation::IdentityMissing]);
}

#[test]
fn a_later_game_state_updates_players_but_not_their_vectors() {
    let mut replica = with_other();
    replica.receive(10_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    replica.receive(16_000, &movement(OTHER, Vector::UP));
    let turned = Entry { facing: Facing::Left, ..entry(OTHER, 300, 200) };
    replica.receive(16_000, &ServerMessage::GameState(vec![turned, entry(1007, 7, 7)]));
    assert!(replica.remote(1006).is_none(), "a player missing from GAME_STATE is removed");
    assert!(replica.remote(1007).is_some(), "a player new in GAME_STATE enters");
    let other = replica.remote(OTHER).unwrap();
    assert_eq!((other.x, other.y, other.facing), (300.0, 200.0, Facing::Left));
    assert_eq!(other.vector, Vector::UP, "the entry's vector is ignored");
    assert_eq!(replica.violations(), []);
}

#[test]
fn the_own_entry_in_a_later_game_state_snaps_the_prediction() {
    let mut replica = alone();
    replica.receive(5_000, &ServerMessage::GameState(vec![entry(OWN, 505, 500)]));
    assert_eq!(replica.own().position(), (500, 500), "5 units are tolerated");
    replica.receive(5_000, &ServerMessage::GameState(vec![entry(OWN, 506, 500)]));
    assert_eq!(replica.own().position(), (506, 500));
    assert_eq!(replica.violations(), [Violation::OwnEntryInLaterGameState; 2]);
}

#[test]
fn a_game_state_while_the_first_sprite_loads_duplicates_every_player() {
    let mut replica = alone();
    replica.receive(1_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    replica.receive(1_299, &ServerMessage::GameState(vec![entry(1006, 0, 0), entry(1007, 0, 0)]));
    assert_eq!(replica.duplicates(), [1006, 1007]);
    let violation = Violation::GameStateWhileLoadingFirstSprite { after_ms: 299 };
    assert_eq!(replica.violations(), [violation]);
}

#[test]
fn a_game_state_is_forbidden_for_fifteen_seconds_after_the_first_remote_enter() {
    let mut replica = alone();
    replica.receive(1_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    replica.receive(15_999, &ServerMessage::GameState(vec![entry(1006, 0, 0)]));
    let violation = Violation::GameStateWhileLoadingFirstSprite { after_ms: 14_999 };
    assert_eq!(replica.violations(), [violation]);
    assert_eq!(replica.duplicates(), [] as [PlayerId; 0], "the sprite had loaded by then");
    replica.receive(16_000, &ServerMessage::Joined(entry(1007, 0, 0)));
    replica.receive(16_001, &ServerMessage::GameState(vec![entry(1006, 0, 0), entry(1007, 0, 0)]));
    assert_eq!(replica.violations(), [violation]);
}

#[test]
fn no_sprite_loads_before_a_late_sheet_and_each_game_state_before_it_duplicates_all_players() {
    let mut replica = Replica::new(ReplicaOptions { sheet_ms: 8_000, ..ReplicaOptions::default() });
    replica.receive(0, &ServerMessage::GameState(vec![entry(OWN, 0, 0), entry(OTHER, 0, 0)]));
    replica.receive(1_000, &ServerMessage::Joined(entry(1006, 50, 0)));
    replica.receive(3_500, &ServerMessage::GameState(vec![entry(OTHER, 0, 0), entry(1006, 0, 0)]));
    replica.receive(7_000, &movement(1006, Vector::RIGHT));
    replica.receive(7_990, &ServerMessage::GameState(vec![entry(1006, 0, 0)]));
    replica.receive(7_990, &ServerMessage::Joined(entry(1007, 0, 0)));
    assert_eq!(replica.shown().count(), 0);
    replica.advance(8_000);
    assert_eq!(
        replica.shown().map(|remote| (remote.id, remote.vector)).collect::<Vec<_>>(),
        [(1006, Vector::ZERO)]
    );
    assert_eq!(replica.duplicates(), [OTHER, 1006, 1006]);
    replica.advance(8_290);
    assert_eq!(replica.shown().count(), 2, "with the sheet, sprites load as usual");
}

#[test]
fn the_lateness_option_relaxes_time_checks() {
    let options = ReplicaOptions { lateness_ms: 500, ..ReplicaOptions::default() };
    let mut replica = Replica::new(options);
    replica.receive(0, &ServerMessage::GameState(vec![entry(OWN, 0, 0), entry(OTHER, 0, 0)]));
    replica.receive(14_500, &ServerMessage::GameState(vec![entry(OTHER, 0, 0)]));
    assert_eq!(replica.violations(), []);
}

#[test]
fn a_remote_player_is_extrapolated_by_its_vector_up_to_the_edge() {
    let mut replica = with_other();
    replica.receive(10_000, &movement(OTHER, Vector::new(1, -1).unwrap()));
    replica.advance(10_500);
    assert_eq!(position(&replica, OTHER), (148.0, 52.0));
    replica.receive(12_000, &movement(OTHER, Vector::RIGHT));
    assert_eq!(position(&replica, OTHER), (292.0, 0.0), "clamped, not wrapped");
    replica.advance(40_000);
    assert_eq!(position(&replica, OTHER), (2_000.0, 0.0));
    replica.receive(40_000, &movement(OTHER, Vector::ZERO));
    replica.advance(50_000);
    assert_eq!(position(&replica, OTHER), (2_000.0, 0.0));
}

#[test]
fn advancing_to_an_earlier_time_has_no_effect() {
    let mut replica = with_other();
    replica.receive(10_000, &movement(OTHER, Vector::RIGHT));
    replica.advance(11_000);
    replica.advance(10_500);
    replica.advance(11_000);
    assert_eq!(position(&replica, OTHER), (196.0, 100.0));
}

#[test]
fn a_loading_sprite_is_not_shown_and_misses_messages() {
    let mut replica = alone();
    replica.receive(1_000, &ServerMessage::Joined(entry(1006, 50, 50)));
    replica.receive(1_000, &movement(1006, Vector::RIGHT));
    replica.receive(1_100, &ServerMessage::Direction { id: 1006, facing: Facing::Left });
    replica.receive(1_200, &ServerMessage::Attack { id: 1006, x: 50, y: 50 });
    replica.advance(1_299);
    assert_eq!(replica.shown().count(), 0);
    replica.advance(1_300);
    let joined = replica.shown().next().unwrap();
    assert_eq!((joined.vector, joined.facing, joined.state), (Vector::ZERO, Facing::Right, State::Idle));
    assert_eq!((joined.x, joined.y, joined.entered_at_ms, joined.loaded_at_ms), (50.0, 50.0, 1_000, 1_300));
    replica.receive(2_000, &movement(1006, Vector::RIGHT));
    assert_eq!(replica.remote(1006).unwrap().vector, Vector::RIGHT, "the repeated vector is applied");
    assert_eq!(replica.violations(), []);
}

#[test]
fn left_removes_a_loaded_sprite_and_leaves_a_ghost_of_a_loading_one() {
    let mut replica = with_other();
    replica.receive(10_000, &ServerMessage::Left(OTHER));
    assert!(replica.remote(OTHER).is_none());
    assert_eq!(replica.violations(), []);

    replica.receive(11_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    replica.receive(11_100, &ServerMessage::Left(1006));
    replica.advance(12_000);
    assert_eq!(replica.violations(), [Violation::LeftWhileLoading { id: 1006, after_ms: 100 }]);
    assert_eq!(replica.shown().filter(|remote| remote.is_ghost).count(), 1);
    replica.receive(16_000, &ServerMessage::GameState(vec![]));
    assert_eq!(replica.shown().count(), 0, "a GAME_STATE removes the ghost");
}

#[test]
fn a_returning_player_reuses_its_ghost_at_the_ghosts_position() {
    let mut replica = alone();
    replica.receive(1_000, &ServerMessage::Joined(entry(1006, 10, 10)));
    replica.receive(1_100, &ServerMessage::Left(1006));
    replica.receive(2_000, &ServerMessage::Joined(entry(1006, 90, 90)));
    assert_eq!(position(&replica, 1006), (10.0, 10.0), "JOINED of a loaded sprite is ignored");
    assert!(!replica.remote(1006).unwrap().is_ghost);
    assert_eq!(replica.violations(), [Violation::LeftWhileLoading { id: 1006, after_ms: 100 }]);
}

#[test]
fn a_second_enter_is_a_violation_and_duplicates_a_loading_sprite() {
    let mut replica = alone();
    replica.receive(1_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    replica.receive(2_000, &ServerMessage::Joined(entry(1006, 9, 9)));
    assert_eq!(replica.duplicates(), [] as [PlayerId; 0]);
    assert_eq!(position(&replica, 1006), (0.0, 0.0));
    replica.receive(2_000, &ServerMessage::Joined(entry(1007, 0, 0)));
    replica.receive(2_299, &ServerMessage::Joined(entry(1007, 0, 0)));
    assert_eq!(replica.duplicates(), [1007]);
    let twice = |id| Violation::DuplicateEnter(id);
    assert_eq!(replica.violations(), [twice(1006), twice(1007)]);
}

#[test]
fn joined_for_a_player_of_the_first_game_state_is_a_second_enter() {
    let mut replica = Replica::new(ReplicaOptions::default());
    replica.receive(0, &ServerMessage::GameState(vec![entry(OWN, 0, 0), entry(OTHER, 0, 0)]));
    replica.receive(1, &ServerMessage::Joined(entry(OTHER, 0, 0)));
    assert_eq!(replica.duplicates(), [OTHER]);
    assert_eq!(replica.violations(), [Violation::DuplicateEnter(OTHER)]);
}

#[test]
fn joined_with_the_own_id_duplicates_the_viewer() {
    let mut replica = alone();
    replica.receive(1_000, &ServerMessage::Joined(entry(OWN, 500, 500)));
    assert_eq!(replica.duplicates(), [OWN]);
    assert_eq!(replica.violations(), [Violation::OwnIdJoined]);
}

#[test]
fn messages_about_players_that_are_not_shown_are_violations() {
    let mut replica = alone();
    replica.receive(1_000, &ServerMessage::Left(9));
    replica.receive(1_000, &movement(9, Vector::UP));
    replica.receive(1_000, &ServerMessage::Direction { id: 9, facing: Facing::Left });
    replica.receive(1_000, &ServerMessage::Attack { id: 9, x: 0, y: 0 });
    replica.receive(1_000, &movement(OWN, Vector::UP));
    let expected = [
        Violation::LeftUnknown(9),
        Violation::UnknownIdInMovement(9),
        Violation::UnknownIdInDirection(9),
        Violation::UnknownIdInAttack(9),
        Violation::UnknownIdInMovement(OWN),
    ];
    assert_eq!(replica.violations(), expected);
}

#[test]
fn an_attack_ends_with_its_animation_or_when_the_player_walks() {
    let mut replica = with_other();
    replica.receive(10_000, &ServerMessage::Attack { id: OTHER, x: 100, y: 100 });
    replica.receive(10_100, &movement(OTHER, Vector::ZERO));
    assert_eq!(replica.remote(OTHER).unwrap().state, State::Attacking);
    replica.advance(11_000);
    assert_eq!(replica.remote(OTHER).unwrap().state, State::Idle);
    replica.receive(12_000, &ServerMessage::Attack { id: OTHER, x: 100, y: 100 });
    replica.receive(12_100, &movement(OTHER, Vector::UP));
    assert_eq!(replica.remote(OTHER).unwrap().state, State::Moving);
}

#[test]
fn own_steps_are_predicted_and_sent_as_claims() {
    let mut replica = alone();
    let first = replica.step(Vector::RIGHT);
    let second = replica.step(Vector::UP);
    let claim = |vector, sequence, claim| ClientMessage::Move { vector, sequence, claim: Some(claim) };
    assert_eq!(first, claim(Vector::RIGHT, 1, (504, 500)));
    assert_eq!(second, claim(Vector::UP, 2, (504, 496)));
}

#[test]
fn an_ack_far_from_the_prediction_corrects_it_and_replays_later_steps() {
    let mut replica = alone();
    for _ in 0..3 {
        let message = replica.step(Vector::RIGHT);
        replica.sent(&message);
    }
    replica.receive(100, &ack(1, 504, 500));
    assert_eq!((replica.own().position(), replica.own().corrections()), ((512, 500), 0));
    replica.receive(200, &ack(2, 450, 500));
    assert_eq!((replica.own().position(), replica.own().corrections()), ((454, 500), 1));
    replica.receive(300, &ack(3, 458, 500));
    assert_eq!(replica.own().position(), (454, 500), "4 units are tolerated");
    assert_eq!(replica.own().missing_acks().len(), 0);
    assert_eq!(replica.violations(), []);
}

#[test]
fn at_most_ten_steps_are_replayed() {
    let mut replica = alone();
    for _ in 0..20 {
        let message = replica.step(Vector::RIGHT);
        replica.sent(&message);
    }
    replica.receive(100, &ack(1, 100, 500));
    assert_eq!(replica.own().position(), (140, 500));
}

#[test]
fn detects_duplicate_unknown_and_unordered_acks() {
    let mut replica = alone();
    for _ in 0..4 {
        let message = replica.step(Vector::ZERO);
        replica.sent(&message);
    }
    for sequence in [2, 1, 1, 5] {
        replica.receive(100, &ack(sequence, 500, 500));
    }
    replica.receive(100, &ServerMessage::MoveAck { id: OTHER, x: 0, y: 0, sequence: 3 });
    let expected = [
        Violation::AckOutOfOrder { sequence: 2, expected: 1 },
        Violation::DuplicateAck(1),
        Violation::AckForUnknownSequence(5),
        Violation::AckForOtherPlayer(OTHER),
    ];
    assert_eq!(replica.violations(), expected);
    assert_eq!(replica.own().missing_acks().collect::<Vec<_>>(), [4]);
    assert_eq!((replica.own().answered, replica.own().last_answer), (3, Some((3, 0, 0))));
}

#[test]
fn exceeding_the_visible_limit_is_a_violation() {
    let options = ReplicaOptions { visible_max: Some(1), ..ReplicaOptions::default() };
    let mut replica = Replica::new(options);
    replica.receive(0, &ServerMessage::GameState(vec![entry(OWN, 0, 0), entry(OTHER, 0, 0)]));
    assert_eq!(replica.violations(), []);
    replica.receive(0, &ServerMessage::Joined(entry(1006, 0, 0)));
    let violation = Violation::MoreThanVisibleMax { visible: 2, visible_max: 1 };
    assert_eq!(replica.violations(), [violation]);
}

#[test]
fn impossible_messages_are_violations() {
    let mut replica = with_other();
    let error = replica.receive_payload(10_000, &[9, 0]).unwrap_err();
    replica.receive(15_000, &ServerMessage::GameState(vec![entry(OTHER, 0, 2_001), entry(OTHER, 0, 0)]));
    let expected = [
        Violation::Undecodable(error),
        Violation::OutsideWorld { id: OTHER, x: 0, y: 2_001 },
        Violation::ListedTwice(OTHER),
    ];
    assert_eq!(replica.violations(), expected);
    assert_eq!(expected[2].to_string(), "one GAME_STATE lists player 1004 twice");
}

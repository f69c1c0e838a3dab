//! The client's rules, one test or more for each.

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

/// A viewer at (500, 500) that has seen nobody else, and whose sprites load for 300 ms.
fn alone() -> Picture {
    let mut picture = Picture::new(PictureOptions::default());
    picture.receive(0, &ServerMessage::GameState(vec![entry(OWN, 500, 500)]));
    picture
}

/// A viewer at (500, 500) with one loaded player at (100, 100).
fn with_other() -> Picture {
    let mut picture = Picture::new(PictureOptions::default());
    let everybody = vec![entry(OWN, 500, 500), entry(OTHER, 100, 100)];
    picture.receive(0, &ServerMessage::GameState(everybody));
    picture.advance(10_000);
    picture
}

fn position(picture: &Picture, id: PlayerId) -> (f64, f64) {
    let remote = picture.remote(id).unwrap();
    (remote.x, remote.y)
}

#[test]
fn the_highest_id_of_the_first_game_state_is_the_viewer() {
    let picture = with_other();
    assert_eq!(picture.own_id(), Some(OWN));
    assert_eq!(picture.own().position(), (500, 500));
    assert_eq!(picture.remotes().map(|remote| remote.id).collect::<Vec<_>>(), [OTHER]);
    assert_eq!(picture.violations(), []);
}

#[test]
fn anything_before_the_first_game_state_is_a_violation() {
    let mut picture = Picture::new(PictureOptions::default());
    picture.receive(0, &ServerMessage::Joined(entry(OTHER, 0, 0)));
    assert_eq!(picture.violations(), [Violation::FirstFrameNotGameState]);
}

#[test]
fn an_empty_first_game_state_leaves_the_viewer_without_identity() {
    let mut picture = Picture::new(PictureOptions::default());
    picture.receive(0, &ServerMessage::GameState(vec![]));
    assert_eq!(picture.own_id(), None);
    assert_eq!(picture.violations(), [Violation::IdentityMissing]);
}

#[test]
fn a_later_game_state_removes_moves_turns_and_adds_but_does_not_steer() {
    let mut picture = with_other();
    picture.receive(10_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    picture.receive(11_000, &movement(OTHER, Vector::UP));
    let turned = Entry { facing: Facing::Left, ..entry(OTHER, 300, 200) };
    picture.receive(11_000, &ServerMessage::GameState(vec![turned, entry(1007, 7, 7)]));
    assert!(picture.remote(1006).is_none(), "a player missing from GAME_STATE is removed");
    assert!(picture.remote(1007).is_some(), "a player new in GAME_STATE enters");
    let other = picture.remote(OTHER).unwrap();
    assert_eq!((other.x, other.y, other.facing), (300.0, 200.0, Facing::Left));
    assert_eq!(other.vector, Vector::UP, "the entry's vector is ignored");
    assert_eq!(picture.violations(), []);
}

#[test]
fn the_own_entry_in_a_later_game_state_snaps_the_prediction() {
    let mut picture = alone();
    picture.receive(5_000, &ServerMessage::GameState(vec![entry(OWN, 505, 500)]));
    assert_eq!(picture.own().position(), (500, 500), "5 units are tolerated");
    picture.receive(5_000, &ServerMessage::GameState(vec![entry(OWN, 506, 500)]));
    assert_eq!(picture.own().position(), (506, 500));
    assert_eq!(picture.violations(), [Violation::OwnEntryInLaterGameState; 2]);
}

#[test]
fn a_game_state_while_the_first_sprite_loads_draws_everybody_twice() {
    let mut picture = alone();
    picture.receive(1_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    picture.receive(1_299, &ServerMessage::GameState(vec![entry(1006, 0, 0), entry(1007, 0, 0)]));
    assert_eq!(picture.doubles(), [1006, 1007]);
    let violation = Violation::GameStateWhileLoadingFirstSprite { after_ms: 299 };
    assert_eq!(picture.violations(), [violation]);
}

#[test]
fn a_game_state_keeps_three_seconds_from_the_first_remote_entrance_only() {
    let mut picture = alone();
    picture.receive(1_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    picture.receive(3_999, &ServerMessage::GameState(vec![entry(1006, 0, 0)]));
    let violation = Violation::GameStateWhileLoadingFirstSprite { after_ms: 2_999 };
    assert_eq!(picture.violations(), [violation]);
    assert_eq!(picture.doubles(), [] as [PlayerId; 0], "the sprite had loaded by then");
    picture.receive(4_000, &ServerMessage::Joined(entry(1007, 0, 0)));
    picture.receive(4_001, &ServerMessage::GameState(vec![entry(1006, 0, 0), entry(1007, 0, 0)]));
    assert_eq!(picture.violations(), [violation]);
}

#[test]
fn a_picture_that_is_read_late_judges_times_by_so_much_more_kindly() {
    let options = PictureOptions { lateness_ms: 500, ..PictureOptions::default() };
    let mut picture = Picture::new(options);
    picture.receive(0, &ServerMessage::GameState(vec![entry(OWN, 0, 0), entry(OTHER, 0, 0)]));
    picture.receive(2_500, &ServerMessage::GameState(vec![entry(OTHER, 0, 0)]));
    assert_eq!(picture.violations(), []);
}

#[test]
fn a_remote_player_moves_on_by_its_vector_and_stops_at_the_edge() {
    let mut picture = with_other();
    picture.receive(10_000, &movement(OTHER, Vector::new(1, -1).unwrap()));
    picture.advance(10_500);
    assert_eq!(position(&picture, OTHER), (148.0, 52.0));
    picture.receive(12_000, &movement(OTHER, Vector::RIGHT));
    assert_eq!(position(&picture, OTHER), (292.0, 0.0), "clamped, not wrapped");
    picture.advance(40_000);
    assert_eq!(position(&picture, OTHER), (2_000.0, 0.0));
    picture.receive(40_000, &movement(OTHER, Vector::ZERO));
    picture.advance(50_000);
    assert_eq!(position(&picture, OTHER), (2_000.0, 0.0));
}

#[test]
fn time_does_not_run_backwards() {
    let mut picture = with_other();
    picture.receive(10_000, &movement(OTHER, Vector::RIGHT));
    picture.advance(11_000);
    picture.advance(10_500);
    picture.advance(11_000);
    assert_eq!(position(&picture, OTHER), (196.0, 100.0));
}

#[test]
fn a_loading_sprite_is_not_shown_and_misses_what_is_said_about_it() {
    let mut picture = alone();
    picture.receive(1_000, &ServerMessage::Joined(entry(1006, 50, 50)));
    picture.receive(1_000, &movement(1006, Vector::RIGHT));
    picture.receive(1_100, &ServerMessage::Direction { id: 1006, facing: Facing::Left });
    picture.receive(1_200, &ServerMessage::Attack { id: 1006, x: 50, y: 50 });
    picture.advance(1_299);
    assert_eq!(picture.shown().count(), 0);
    picture.advance(1_300);
    let joined = picture.shown().next().unwrap();
    assert_eq!((joined.vector, joined.facing, joined.state), (Vector::ZERO, Facing::Right, State::Idle));
    assert_eq!((joined.x, joined.y, joined.entered_at_ms, joined.loaded_at_ms), (50.0, 50.0, 1_000, 1_300));
    picture.receive(2_000, &movement(1006, Vector::RIGHT));
    assert_eq!(picture.remote(1006).unwrap().vector, Vector::RIGHT, "the repeated vector is heard");
    assert_eq!(picture.violations(), []);
}

#[test]
fn left_removes_a_loaded_sprite_and_leaves_a_ghost_of_a_loading_one() {
    let mut picture = with_other();
    picture.receive(10_000, &ServerMessage::Left(OTHER));
    assert!(picture.remote(OTHER).is_none());
    assert_eq!(picture.violations(), []);

    picture.receive(11_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    picture.receive(11_100, &ServerMessage::Left(1006));
    picture.advance(12_000);
    assert_eq!(picture.violations(), [Violation::LeftWhileLoading { id: 1006, after_ms: 100 }]);
    assert_eq!(picture.shown().filter(|remote| remote.is_ghost()).count(), 1);
    picture.receive(13_000, &ServerMessage::GameState(vec![]));
    assert_eq!(picture.shown().count(), 0, "a GAME_STATE removes the ghost");
}

#[test]
fn a_player_that_returns_takes_over_its_ghost_where_that_stands() {
    let mut picture = alone();
    picture.receive(1_000, &ServerMessage::Joined(entry(1006, 10, 10)));
    picture.receive(1_100, &ServerMessage::Left(1006));
    picture.receive(2_000, &ServerMessage::Joined(entry(1006, 90, 90)));
    assert_eq!(position(&picture, 1006), (10.0, 10.0), "JOINED of a loaded sprite is ignored");
    assert!(!picture.remote(1006).unwrap().is_ghost());
    assert_eq!(picture.violations(), [Violation::LeftWhileLoading { id: 1006, after_ms: 100 }]);
}

#[test]
fn a_second_entrance_is_a_violation_and_a_second_sprite_while_the_first_loads() {
    let mut picture = alone();
    picture.receive(1_000, &ServerMessage::Joined(entry(1006, 0, 0)));
    picture.receive(2_000, &ServerMessage::Joined(entry(1006, 9, 9)));
    assert_eq!(picture.doubles(), [] as [PlayerId; 0]);
    assert_eq!(position(&picture, 1006), (0.0, 0.0));
    picture.receive(2_000, &ServerMessage::Joined(entry(1007, 0, 0)));
    picture.receive(2_299, &ServerMessage::Joined(entry(1007, 0, 0)));
    assert_eq!(picture.doubles(), [1007]);
    let twice = |id| Violation::DuplicateEntrance { id };
    assert_eq!(picture.violations(), [twice(1006), twice(1007)]);
}

#[test]
fn joining_a_player_of_the_first_game_state_again_is_a_second_entrance() {
    let mut picture = Picture::new(PictureOptions::default());
    picture.receive(0, &ServerMessage::GameState(vec![entry(OWN, 0, 0), entry(OTHER, 0, 0)]));
    picture.receive(1, &ServerMessage::Joined(entry(OTHER, 0, 0)));
    assert_eq!(picture.doubles(), [OTHER]);
    assert_eq!(picture.violations(), [Violation::DuplicateEntrance { id: OTHER }]);
}

#[test]
fn joined_with_the_own_id_draws_a_ghost_of_the_viewer() {
    let mut picture = alone();
    picture.receive(1_000, &ServerMessage::Joined(entry(OWN, 500, 500)));
    assert_eq!(picture.doubles(), [OWN]);
    assert_eq!(picture.violations(), [Violation::OwnIdJoined]);
}

#[test]
fn messages_about_players_that_are_not_shown_are_violations() {
    let mut picture = alone();
    picture.receive(1_000, &ServerMessage::Left(9));
    picture.receive(1_000, &movement(9, Vector::UP));
    picture.receive(1_000, &ServerMessage::Direction { id: 9, facing: Facing::Left });
    picture.receive(1_000, &ServerMessage::Attack { id: 9, x: 0, y: 0 });
    picture.receive(1_000, &movement(OWN, Vector::UP));
    let expected = [
        Violation::LeftUnknown { id: 9 },
        Violation::UnknownIdInMovement { id: 9 },
        Violation::UnknownIdInDirection { id: 9 },
        Violation::UnknownIdInAttack { id: 9 },
        Violation::UnknownIdInMovement { id: OWN },
    ];
    assert_eq!(picture.violations(), expected);
}

#[test]
fn an_attack_lasts_as_long_as_its_animation_or_until_the_player_walks() {
    let mut picture = with_other();
    picture.receive(10_000, &ServerMessage::Attack { id: OTHER, x: 100, y: 100 });
    picture.receive(10_100, &movement(OTHER, Vector::ZERO));
    assert_eq!(picture.remote(OTHER).unwrap().state, State::Attacking);
    picture.advance(11_000);
    assert_eq!(picture.remote(OTHER).unwrap().state, State::Idle);
    picture.receive(12_000, &ServerMessage::Attack { id: OTHER, x: 100, y: 100 });
    picture.receive(12_100, &movement(OTHER, Vector::UP));
    assert_eq!(picture.remote(OTHER).unwrap().state, State::Moving);
}

#[test]
fn own_steps_are_predicted_and_sent_as_claims() {
    let mut picture = alone();
    let first = picture.step(Vector::RIGHT);
    let second = picture.step(Vector::UP);
    let claim = |vector, sequence, claim| ClientMessage::Move { vector, sequence, claim: Some(claim) };
    assert_eq!(first, claim(Vector::RIGHT, 1, (504, 500)));
    assert_eq!(second, claim(Vector::UP, 2, (504, 496)));
}

#[test]
fn an_ack_far_from_the_prediction_is_taken_and_later_steps_are_replayed() {
    let mut picture = alone();
    for _ in 0..3 {
        let message = picture.step(Vector::RIGHT);
        picture.sent(&message);
    }
    picture.receive(100, &ack(1, 504, 500));
    assert_eq!((picture.own().position(), picture.own().corrections()), ((512, 500), 0));
    picture.receive(200, &ack(2, 450, 500));
    assert_eq!((picture.own().position(), picture.own().corrections()), ((454, 500), 1));
    picture.receive(300, &ack(3, 458, 500));
    assert_eq!(picture.own().position(), (454, 500), "4 units are tolerated");
    assert_eq!(picture.own().missing_acks().len(), 0);
    assert_eq!(picture.violations(), []);
}

#[test]
fn no_more_than_ten_steps_are_replayed() {
    let mut picture = alone();
    for _ in 0..20 {
        let message = picture.step(Vector::RIGHT);
        picture.sent(&message);
    }
    picture.receive(100, &ack(1, 100, 500));
    assert_eq!(picture.own().position(), (140, 500));
}

#[test]
fn every_move_is_acknowledged_once_and_in_order() {
    let mut picture = alone();
    for _ in 0..4 {
        let message = picture.step(Vector::ZERO);
        picture.sent(&message);
    }
    for sequence in [2, 1, 1, 5] {
        picture.receive(100, &ack(sequence, 500, 500));
    }
    picture.receive(100, &ServerMessage::MoveAck { id: OTHER, x: 0, y: 0, sequence: 3 });
    let expected = [
        Violation::AckOutOfOrder { sequence: 2, expected: 1 },
        Violation::DuplicateAck { sequence: 1 },
        Violation::AckForUnknownSequence { sequence: 5 },
        Violation::AckForOtherPlayer { id: OTHER },
    ];
    assert_eq!(picture.violations(), expected);
    assert_eq!(picture.own().missing_acks().collect::<Vec<_>>(), [4]);
    assert_eq!((picture.own().answered(), picture.own().last_answer()), (3, Some((3, 0, 0))));
}

#[test]
fn more_players_than_the_server_may_show_are_a_violation() {
    let options = PictureOptions { visible_max: Some(1), ..PictureOptions::default() };
    let mut picture = Picture::new(options);
    picture.receive(0, &ServerMessage::GameState(vec![entry(OWN, 0, 0), entry(OTHER, 0, 0)]));
    assert_eq!(picture.violations(), []);
    picture.receive(0, &ServerMessage::Joined(entry(1006, 0, 0)));
    let violation = Violation::MoreThanVisibleMax { visible: 2, visible_max: 1 };
    assert_eq!(picture.violations(), [violation]);
}

#[test]
fn impossible_messages_are_violations() {
    let mut picture = with_other();
    let error = picture.receive_payload(10_000, &[9, 0]).unwrap_err();
    picture.receive(14_000, &ServerMessage::GameState(vec![entry(OTHER, 0, 2_001), entry(OTHER, 0, 0)]));
    let expected = [
        Violation::Undecodable(error),
        Violation::OutsideWorld { id: OTHER, x: 0, y: 2_001 },
        Violation::ListedTwice { id: OTHER },
    ];
    assert_eq!(picture.violations(), expected);
    assert_eq!(expected[2].to_string(), "one GAME_STATE lists player 1004 twice");
}

//! Tests of session lookup, token rotation and expiry.

use super::saved_player::tests::HERE;
use super::*;
use crate::world::ReconciliationBudget;
use proptest::prelude::*;

fn token(number: u128) -> SessionToken {
    SessionToken::of(number)
}

/// Starts a session and disconnects it.
fn join_and_leave(sessions: &mut Sessions<u32>, number: u128, saved: SavedPlayer, now_ms: u64) {
    sessions.start(token(number), 7);
    sessions.disconnect(token(number), saved, now_ms);
}

#[test]
fn a_saved_state_is_taken_once_and_only_within_the_ttl() {
    let mut sessions: Sessions<u32> = Sessions::new(300, None);
    assert_eq!(sessions.take(token(1), 0), Lookup::Unknown);
    sessions.start(token(1), 7);
    assert_eq!(sessions.take(token(1), 0), Lookup::Active(7));
    join_and_leave(&mut sessions, 1, HERE, 1_000);
    assert_eq!(sessions.take(token(1), 300_999), Lookup::Disconnected(HERE));
    assert_eq!(sessions.take(token(1), 300_999), Lookup::Unknown, "taken already");
    join_and_leave(&mut sessions, 1, HERE, 400_000);
    assert_eq!(sessions.take(token(1), 700_000), Lookup::Unknown);
    assert_eq!(sessions.disconnected_count(), 0);
}

#[test]
fn a_second_disconnect_replaces_the_first() {
    let mut sessions: Sessions<u32> = Sessions::new(10, None);
    join_and_leave(&mut sessions, 1, HERE, 0);
    assert_eq!(sessions.take(token(1), 5_000), Lookup::Disconnected(HERE));
    let there = SavedPlayer { x: 500, ..HERE };
    join_and_leave(&mut sessions, 1, there, 6_000);
    assert_eq!(sessions.take(token(1), 15_000), Lookup::Disconnected(there));
}

#[test]
fn a_ttl_of_zero_keeps_nothing() {
    let mut sessions: Sessions<u32> = Sessions::new(300, None);
    join_and_leave(&mut sessions, 1, HERE, 0);
    sessions.set_ttl(0);
    assert!(!sessions.is_enabled());
    join_and_leave(&mut sessions, 2, HERE, 1);
    assert_eq!(sessions.take(token(1), 2), Lookup::Unknown);
    assert_eq!(sessions.take(token(2), 2), Lookup::Unknown);
}

#[test]
fn the_oldest_session_is_evicted_at_the_bound() {
    let mut sessions: Sessions<u32> = Sessions::new(300, None);
    for number in 0..=SESSIONS_SAVED_MAX as u128 {
        join_and_leave(&mut sessions, number, HERE, 1);
    }
    assert_eq!(sessions.disconnected_count(), SESSIONS_SAVED_MAX);
    assert_eq!(sessions.take(token(0), 1), Lookup::Unknown);
    assert_eq!(sessions.take(token(1), 1), Lookup::Disconnected(HERE));
    assert!(sessions.expiry_queue.len() <= SESSIONS_SAVED_MAX);
}

proptest! {
    #[test]
    fn lookups_match_a_reference_model(
        actions in proptest::collection::vec((0u128..4, any::<bool>(), 0u64..6_000), 1..200),
    ) {
        let mut sessions: Sessions<u32> = Sessions::new(10, None);
        let (mut now_ms, mut saved_states) = (0, HashMap::new());
        for (number, leaves, wait_ms) in actions {
            now_ms += wait_ms;
            let saved = SavedPlayer { x: now_ms as u16, ..HERE };
            if leaves {
                join_and_leave(&mut sessions, number, saved, now_ms);
                saved_states.insert(number, (now_ms, saved));
            } else {
                let known = saved_states.remove(&number).filter(|&(at_ms, _)| now_ms - at_ms < 10_000);
                let expected = known.map_or(Lookup::Unknown, |(_, saved)| Lookup::Disconnected(saved));
                prop_assert_eq!(sessions.take(token(number), now_ms), expected);
            }
        }
    }
}

/// Returns sessions in which token 1 disconnected at 0 ms and reconnected at 2,000 ms with token 2.
fn reconnected(backend: Sessions<u32>) -> Sessions<u32> {
    let mut sessions = backend;
    join_and_leave(&mut sessions, 1, HERE, 0);
    assert_eq!(sessions.take(token(1), 2_000), Lookup::Disconnected(HERE));
    sessions.reconnect(token(2), token(1), 9, 2_000);
    sessions
}

#[test]
fn both_tokens_identify_the_session_until_the_new_one_is_confirmed() {
    let mut sessions = reconnected(Sessions::new(300, None));
    for presented in [1, 2] {
        assert_eq!(sessions.take(token(presented), 2_000), Lookup::Active(9), "token {presented}");
    }
    sessions.confirm(token(2));
    assert_eq!(sessions.take(token(1), 2_000), Lookup::Unknown);
    assert_eq!(sessions.take(token(2), 2_000), Lookup::Active(9));
    sessions.disconnect(token(2), HERE, 5_000);
    assert_eq!(sessions.take(token(1), 5_000), Lookup::Unknown);
    assert_eq!(sessions.take(token(2), 5_000), Lookup::Disconnected(HERE));
}

#[test]
fn after_a_lost_response_either_token_reconnects_but_only_once() {
    for (presented, other) in [(1, 2), (2, 1)] {
        let mut sessions = reconnected(Sessions::new(300, None));
        sessions.disconnect(token(2), HERE, 5_000);
        assert_eq!(sessions.take(token(presented), 6_000), Lookup::Disconnected(HERE));
        assert_eq!(sessions.take(token(other), 6_000), Lookup::Unknown);
        sessions.reconnect(token(3), token(presented), 11, 6_000);
        assert_eq!(sessions.take(token(presented), 6_000), Lookup::Active(11));
        assert_eq!(sessions.take(token(other), 6_000), Lookup::Unknown);
        assert!(sessions.previous.len() <= 1);
    }
}

#[test]
fn a_session_reconnects_at_most_once_a_second() {
    let mut sessions = reconnected(Sessions::new(300, None));
    sessions.disconnect(token(2), HERE, 2_020);
    assert_eq!(sessions.take(token(2), 2_999), Lookup::TooSoon);
    assert_eq!(sessions.take(token(1), 2_999), Lookup::TooSoon);
    assert_eq!(sessions.take(token(2), 3_000), Lookup::Disconnected(HERE), "a refused state stays in place");
}

#[test]
fn the_budget_refills_up_to_its_maximum_during_absence() {
    let mut sessions: Sessions<u32> = Sessions::new(300, None);
    join_and_leave(&mut sessions, 1, SavedPlayer { budget: ReconciliationBudget::EMPTY, ..HERE }, 500);
    let Lookup::Disconnected(saved) = sessions.take(token(1), 1_500) else { panic!("disconnected before") };
    assert_eq!(saved.budget, ReconciliationBudget::EMPTY.refilled(1_000));
    sessions.put_back(token(1), saved, 1_500);
    let Lookup::Disconnected(saved) = sessions.take(token(1), 100_000) else { panic!("put back before") };
    assert_eq!(saved.budget, ReconciliationBudget::FULL);
}

#[test]
fn a_released_session_leaves_nothing_behind() {
    let mut sessions = reconnected(Sessions::for_cluster(300));
    sessions.take_writes();
    sessions.release(token(2));
    sessions.disconnect(token(2), HERE, 5_000);
    assert_eq!((sessions.disconnected_count(), sessions.previous.len()), (0, 0));
    let deleted = |number| SessionWrite { token: token(number), entry: SessionEntry::Deleted };
    assert_eq!(sessions.take_writes(), [deleted(1), deleted(2)]);
}

#[test]
fn backend_entries_lead_from_the_previous_token_to_the_current_one() {
    let mut sessions = reconnected(Sessions::for_cluster(300));
    let write = |number, entry| SessionWrite { token: token(number), entry };
    assert_eq!(
        sessions.take_writes(),
        [write(1, SessionEntry::Disconnected(HERE)), write(1, SessionEntry::ReplacedBy(token(2)))]
    );
    sessions.disconnect(token(2), HERE, 9_000);
    assert_eq!(
        sessions.take_writes(),
        [write(1, SessionEntry::ReplacedBy(token(2))), write(2, SessionEntry::Disconnected(HERE))]
    );
    assert_eq!(sessions.take(token(1), 9_000), Lookup::Disconnected(HERE));
    assert_eq!(sessions.take_writes(), [write(2, SessionEntry::Deleted)]);
}

proptest! {
    /// A session has one player and at most two valid tokens, in any order of lost and presented tokens.
    #[test]
    fn a_session_never_has_two_players(
        actions in proptest::collection::vec((0usize..3, any::<bool>(), 0u64..3_000), 1..100),
    ) {
        let mut sessions: Sessions<u32> = Sessions::new(300, None);
        sessions.start(token(0), 0);
        let (mut now_ms, mut tokens, mut player) = (0, vec![0u128], 0u32);
        for (back, confirms, wait_ms) in actions {
            now_ms += wait_ms;
            let current = token(*tokens.last().unwrap());
            if confirms {
                sessions.confirm(current);
            }
            sessions.disconnect(current, HERE, now_ms);
            let presented = token(tokens[tokens.len().saturating_sub(1 + back)]);
            if let Lookup::Disconnected(_) = sessions.take(presented, now_ms) {
                for &other in &tokens {
                    prop_assert_eq!(sessions.take(token(other), now_ms), Lookup::Unknown);
                }
                player += 1;
                tokens.push(tokens.len() as u128);
                sessions.reconnect(token(*tokens.last().unwrap()), presented, player, now_ms);
            } else if let lookup @ (Lookup::Unknown | Lookup::Disconnected(_)) = sessions.take(current, now_ms) {
                prop_assert_eq!(lookup, Lookup::Disconnected(HERE), "the current token is always valid");
                sessions.reconnect(current, current, player, now_ms);
            }
            prop_assert!(sessions.previous.len() <= 1 && sessions.active.len() + sessions.disconnected.len() == 1);
        }
    }
}

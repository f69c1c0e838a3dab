//! What is remembered of a session, and for how long.

use super::saved_player::tests::HERE;
use super::*;
use crate::world::Budget;
use proptest::prelude::*;

fn ticket(number: u128) -> Ticket {
    Ticket::of(number)
}

/// A newcomer leaves.
fn depart(resumes: &mut Resumes<u32>, number: u128, saved: Saved, now_ms: u64) {
    resumes.enter(ticket(number), 7);
    resumes.leave(ticket(number), saved, now_ms);
}

#[test]
fn what_was_left_behind_is_found_once_and_in_time() {
    let mut resumes: Resumes<u32> = Resumes::new(300, None);
    assert_eq!(resumes.claim(ticket(1), 0), Claim::Unknown);
    resumes.enter(ticket(1), 7);
    assert_eq!(resumes.claim(ticket(1), 0), Claim::Playing(7));
    depart(&mut resumes, 1, HERE, 1_000);
    assert_eq!(resumes.claim(ticket(1), 300_999), Claim::Left(HERE));
    assert_eq!(resumes.claim(ticket(1), 300_999), Claim::Unknown, "it is playing, or gone");
    depart(&mut resumes, 1, HERE, 400_000);
    assert_eq!(resumes.claim(ticket(1), 700_000), Claim::Unknown);
    assert_eq!(resumes.remembered(), 0);
}

#[test]
fn who_left_twice_is_remembered_as_of_the_second_time() {
    let mut resumes: Resumes<u32> = Resumes::new(10, None);
    depart(&mut resumes, 1, HERE, 0);
    assert_eq!(resumes.claim(ticket(1), 5_000), Claim::Left(HERE));
    let there = Saved { x: 500, ..HERE };
    depart(&mut resumes, 1, there, 6_000);
    assert_eq!(resumes.claim(ticket(1), 15_000), Claim::Left(there));
}

#[test]
fn switched_off_nothing_is_kept() {
    let mut resumes: Resumes<u32> = Resumes::new(300, None);
    depart(&mut resumes, 1, HERE, 0);
    resumes.set_ttl(0);
    assert!(!resumes.is_on());
    depart(&mut resumes, 2, HERE, 1);
    assert_eq!(resumes.claim(ticket(1), 2), Claim::Unknown);
    assert_eq!(resumes.claim(ticket(2), 2), Claim::Unknown);
}

#[test]
fn with_too_many_the_first_are_forgotten() {
    let mut resumes: Resumes<u32> = Resumes::new(300, None);
    for number in 0..=SESSIONS_SAVED_MAX as u128 {
        depart(&mut resumes, number, HERE, 1);
    }
    assert_eq!(resumes.remembered(), SESSIONS_SAVED_MAX);
    assert_eq!(resumes.claim(ticket(0), 1), Claim::Unknown);
    assert_eq!(resumes.claim(ticket(1), 1), Claim::Left(HERE));
    assert!(resumes.order.len() <= SESSIONS_SAVED_MAX);
}

proptest! {
    #[test]
    fn it_answers_as_a_list_of_all_departures_would(
        deeds in proptest::collection::vec((0u128..4, any::<bool>(), 0u64..6_000), 1..200),
    ) {
        let mut resumes: Resumes<u32> = Resumes::new(10, None);
        let (mut now_ms, mut departures) = (0, HashMap::new());
        for (number, leaves, wait_ms) in deeds {
            now_ms += wait_ms;
            let saved = Saved { x: now_ms as u16, ..HERE };
            if leaves {
                depart(&mut resumes, number, saved, now_ms);
                departures.insert(number, (now_ms, saved));
            } else {
                let known = departures.remove(&number).filter(|&(at_ms, _)| now_ms - at_ms < 10_000);
                let expected = known.map_or(Claim::Unknown, |(_, saved)| Claim::Left(saved));
                prop_assert_eq!(resumes.claim(ticket(number), now_ms), expected);
            }
        }
    }
}

/// The player of token 1 left at 0, and returned at 2,000 with token 2.
fn returned(keeper: Resumes<u32>) -> Resumes<u32> {
    let mut resumes = keeper;
    depart(&mut resumes, 1, HERE, 0);
    assert_eq!(resumes.claim(ticket(1), 2_000), Claim::Left(HERE));
    resumes.reenter(ticket(2), ticket(1), 9, 2_000);
    resumes
}

#[test]
fn both_tokens_are_one_session_until_the_new_one_is_confirmed() {
    let mut resumes = returned(Resumes::new(300, None));
    for shown in [1, 2] {
        assert_eq!(resumes.claim(ticket(shown), 2_000), Claim::Playing(9), "token {shown}");
    }
    resumes.confirm(ticket(2));
    assert_eq!(resumes.claim(ticket(1), 2_000), Claim::Unknown);
    assert_eq!(resumes.claim(ticket(2), 2_000), Claim::Playing(9));
    resumes.leave(ticket(2), HERE, 5_000);
    assert_eq!(resumes.claim(ticket(1), 5_000), Claim::Unknown);
    assert_eq!(resumes.claim(ticket(2), 5_000), Claim::Left(HERE));
}

#[test]
fn a_session_whose_new_token_was_lost_returns_with_either_and_once() {
    for (shown, other) in [(1, 2), (2, 1)] {
        let mut resumes = returned(Resumes::new(300, None));
        resumes.leave(ticket(2), HERE, 5_000);
        assert_eq!(resumes.claim(ticket(shown), 6_000), Claim::Left(HERE));
        assert_eq!(resumes.claim(ticket(other), 6_000), Claim::Unknown);
        resumes.reenter(ticket(3), ticket(shown), 11, 6_000);
        assert_eq!(resumes.claim(ticket(shown), 6_000), Claim::Playing(11));
        assert_eq!(resumes.claim(ticket(other), 6_000), Claim::Unknown);
        assert!(resumes.former.len() <= 1);
    }
}

#[test]
fn a_token_returns_at_most_once_a_second() {
    let mut resumes = returned(Resumes::new(300, None));
    resumes.leave(ticket(2), HERE, 2_020);
    assert_eq!(resumes.claim(ticket(2), 2_999), Claim::TooSoon);
    assert_eq!(resumes.claim(ticket(1), 2_999), Claim::TooSoon);
    assert_eq!(resumes.claim(ticket(2), 3_000), Claim::Left(HERE), "what was refused is still there");
}

#[test]
fn the_budget_refills_while_its_player_is_away_and_no_further() {
    let mut resumes: Resumes<u32> = Resumes::new(300, None);
    depart(&mut resumes, 1, Saved { budget: Budget::EMPTY, ..HERE }, 500);
    let Claim::Left(saved) = resumes.claim(ticket(1), 1_500) else { panic!("it left") };
    assert_eq!(saved.budget, Budget::EMPTY.refilled(1_000));
    resumes.put_back(ticket(1), saved, 1_500);
    let Claim::Left(saved) = resumes.claim(ticket(1), 100_000) else { panic!("it left again") };
    assert_eq!(saved.budget, Budget::FULL);
}

#[test]
fn a_released_session_leaves_nothing_behind() {
    let mut resumes = returned(Resumes::kept_elsewhere(300));
    resumes.take_kept();
    resumes.release(ticket(2));
    resumes.leave(ticket(2), HERE, 5_000);
    assert_eq!((resumes.remembered(), resumes.former.len()), (0, 0));
    let gone = |number| Keepsake { ticket: ticket(number), what: Kept::Gone };
    assert_eq!(resumes.take_kept(), [gone(1), gone(2)]);
}

#[test]
fn what_is_kept_elsewhere_leads_from_the_token_before_to_the_current_one() {
    let mut resumes = returned(Resumes::kept_elsewhere(300));
    let kept = |number, what| Keepsake { ticket: ticket(number), what };
    assert_eq!(resumes.take_kept(), [kept(1, Kept::Left(HERE)), kept(1, Kept::Former(ticket(2)))]);
    resumes.leave(ticket(2), HERE, 9_000);
    assert_eq!(resumes.take_kept(), [kept(1, Kept::Former(ticket(2))), kept(2, Kept::Left(HERE))]);
    assert_eq!(resumes.claim(ticket(1), 9_000), Claim::Left(HERE));
    assert_eq!(resumes.take_kept(), [kept(2, Kept::Gone)]);
}

proptest! {
    /// Whatever tokens are shown and lost, a session has one player, and never more tokens than two.
    #[test]
    fn a_session_is_never_two_players(
        deeds in proptest::collection::vec((0usize..3, any::<bool>(), 0u64..3_000), 1..100),
    ) {
        let mut resumes: Resumes<u32> = Resumes::new(300, None);
        resumes.enter(ticket(0), 0);
        let (mut now_ms, mut tokens, mut player) = (0, vec![0u128], 0u32);
        for (back, confirms, wait_ms) in deeds {
            now_ms += wait_ms;
            let current = ticket(*tokens.last().unwrap());
            if confirms {
                resumes.confirm(current);
            }
            resumes.leave(current, HERE, now_ms);
            let shown = ticket(tokens[tokens.len().saturating_sub(1 + back)]);
            if let Claim::Left(_) = resumes.claim(shown, now_ms) {
                for &other in &tokens {
                    prop_assert_eq!(resumes.claim(ticket(other), now_ms), Claim::Unknown);
                }
                player += 1;
                tokens.push(tokens.len() as u128);
                resumes.reenter(ticket(*tokens.last().unwrap()), shown, player, now_ms);
            } else if let claim @ (Claim::Unknown | Claim::Left(_)) = resumes.claim(current, now_ms) {
                prop_assert_eq!(claim, Claim::Left(HERE), "the current token is never lost");
                resumes.reenter(current, current, player, now_ms);
            }
            prop_assert!(resumes.former.len() <= 1 && resumes.playing.len() + resumes.left.len() == 1);
        }
    }
}

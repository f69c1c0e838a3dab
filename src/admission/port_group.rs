//! The fair share of a process that shares its port with others: whether it listens, and its part of the limits.
//!
//! The kernel divides connections between listening sockets by a hash, without regard to the players of each process. A process
//! above its fair share therefore stops listening until the others have caught up. It first announces that it yields, and stops
//! only if another process listens then. Two processes that yield at the same time agree on the one that goes on listening: that
//! with the larger id. So at least one of a group listens while announcements pass within [`YIELD_MS`].

use serde::{Deserialize, Serialize};

/// Time between the announcement and the pause, in milliseconds: two heartbeats.
const YIELD_MS: u64 = 1_000;

/// Longest pause, in milliseconds. Then the process listens and decides again.
const PAUSE_MS_MAX: u64 = 60_000;

/// Age of a status after which its process no longer counts as listening, in milliseconds: two heartbeats, and a late one.
const FRESH_MS: u64 = 1_250;

/// A process pauses above its fair share by more than this many players, and by more than an eighth.
const EXCESS_MIN: u64 = 32;

/// Whether a process listens at the port of its group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listening {
    /// It listens.
    #[default]
    Open,
    /// It listens, and stops soon if another process listens.
    Yielding,
    /// It does not listen.
    Paused,
}

impl Listening {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Open, Self::Yielding, Self::Paused];
}

/// What a process knows about one of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its id, which differs from all others.
    pub id: u64,
    /// Its players.
    pub players: u32,
    /// Whether it listens.
    pub listening: Listening,
    /// Whether it admits players.
    pub is_admitting: bool,
    /// Age of this information, in milliseconds.
    pub age_ms: u64,
}

/// Whether this process listens, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FairShare {
    listening: Listening,
    since_ms: u64,
}

impl FairShare {
    /// Returns whether this process listens.
    pub fn listening(&self) -> Listening {
        self.listening
    }

    /// Decides with what this process knows about itself and the `others` of its group. `now_ms` is any monotonic clock.
    pub fn decide(&mut self, own: &Member, others: &[Member], now_ms: u64) -> Listening {
        let waited_ms = now_ms.saturating_sub(self.since_ms);
        let is_replaceable = others.iter().any(|other| listens_instead_of(own.id, other));
        let next = match self.listening {
            _ if !is_replaceable => Listening::Open,
            Listening::Open if is_above(own, others, 8) => Listening::Yielding,
            Listening::Yielding if !is_above(own, others, 8) => Listening::Open,
            Listening::Yielding if waited_ms >= YIELD_MS => Listening::Paused,
            Listening::Paused if waited_ms >= PAUSE_MS_MAX || !is_above(own, others, 16) => Listening::Open,
            unchanged => unchanged,
        };
        if next != self.listening {
            *self = Self { listening: next, since_ms: now_ms };
        }
        next
    }
}

/// Whether `other` listens, and goes on if the process with this id stops.
fn listens_instead_of(id: u64, other: &Member) -> bool {
    let stays = match other.listening {
        Listening::Open => true,
        Listening::Yielding => other.id > id,
        Listening::Paused => false,
    };
    stays && other.is_admitting && other.age_ms <= FRESH_MS
}

/// Whether this process should have no further players now: it admits none, or has more than the mean of those that do, by one
/// part in `parts` and by [`EXCESS_MIN`] of eight parts.
fn is_above(own: &Member, others: &[Member], parts: u64) -> bool {
    if !own.is_admitting {
        return true;
    }
    let admitting = others.iter().filter(|other| other.is_admitting);
    let (count, players) = admitting.fold((1, u64::from(own.players)), |(count, players), other| {
        (count + 1, players + u64::from(other.players))
    });
    let mean = players / count;
    u64::from(own.players) > mean + (mean / parts).max(EXCESS_MIN * 8 / parts)
}

/// Returns the part of a limit of an address for one of several processes. The kernel's hash divides the connections of an address
/// like a fair die, so the mean part is exceeded by chance: three standard deviations are added, and no client within the limit is
/// refused in 999 of 1,000 cases. All processes together allow `processes` times the result. 0 is unlimited.
pub fn part_of(limit: u32, processes: u32) -> u32 {
    if processes <= 1 || limit == 0 {
        return limit;
    }
    let mean = f64::from(limit) / f64::from(processes);
    limit.min((mean + 3.0 * mean.sqrt()).ceil() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(id: u64, players: u32, listening: Listening) -> Member {
        Member { id, players, listening, is_admitting: true, age_ms: 0 }
    }

    #[test]
    fn a_process_above_its_share_announces_then_pauses_then_listens_again() {
        let mut share = FairShare::default();
        let other = member(2, 100, Listening::Open);
        let own = |players| member(1, players, Listening::Open);
        assert_eq!(share.decide(&own(160), &[other], 0), Listening::Open, "30 more than the mean");
        assert_eq!(share.decide(&own(200), &[other], 0), Listening::Yielding);
        assert_eq!(share.decide(&own(200), &[other], YIELD_MS - 1), Listening::Yielding);
        assert_eq!(share.decide(&own(200), &[other], YIELD_MS), Listening::Paused);
        assert_eq!(share.decide(&own(200), &[other], YIELD_MS + PAUSE_MS_MAX - 1), Listening::Paused);
        let caught_up = Member { players: 190, ..other };
        assert_eq!(share.decide(&own(200), &[caught_up], YIELD_MS + 100), Listening::Open);
    }

    #[test]
    fn a_pause_ends_with_its_time_and_with_the_last_other_listener() {
        for end in [
            None,
            Some(Member { listening: Listening::Paused, ..member(2, 0, Listening::Open) }),
            Some(Member { age_ms: FRESH_MS + 1, ..member(2, 0, Listening::Open) }),
            Some(Member { is_admitting: false, ..member(2, 0, Listening::Open) }),
        ] {
            let (mut share, own) = (FairShare::default(), member(1, 200, Listening::Open));
            let other = member(2, 0, Listening::Open);
            share.decide(&own, &[other], 0);
            assert_eq!(share.decide(&own, &[other], YIELD_MS), Listening::Paused);
            assert_eq!(share.decide(&own, end.as_slice(), YIELD_MS), Listening::Open, "{end:?}");
        }
    }

    #[test]
    fn a_process_that_admits_nobody_pauses_while_another_listens() {
        let mut share = FairShare::default();
        let own = Member { is_admitting: false, ..member(1, 0, Listening::Open) };
        assert_eq!(share.decide(&own, &[], 0), Listening::Open);
        assert_eq!(share.decide(&own, &[member(2, 500, Listening::Open)], 0), Listening::Yielding);
        assert_eq!(share.decide(&own, &[member(2, 500, Listening::Open)], YIELD_MS), Listening::Paused);
    }

    #[test]
    fn parts_of_limits_leave_room_for_chance_and_never_exceed_the_limit() {
        assert_eq!((part_of(1_000, 1), part_of(0, 4), part_of(1_000, 4)), (1_000, 0, 298));
        assert_eq!((part_of(1, 64), part_of(4, 4), part_of(10, 2)), (1, 4, 10));
    }

    proptest! {
        /// Processes with any players exchange states with delays of up to half a second. At every time one listens.
        #[test]
        fn one_of_a_group_always_listens(
            players in proptest::collection::vec(0u32..2_000, 2..6),
            changes in proptest::collection::vec((0usize..6, 0u32..2_000), 1..40),
            delays_ms in proptest::collection::vec(1u64..480, 1..40),
        ) {
            let count = players.len();
            let (mut players, mut shares) = (players, vec![FairShare::default(); count]);
            // By sender and receiver: what has arrived, and what is under way with its time of arrival.
            let mut known: Vec<Vec<Member>> =
                vec![(0..count).map(|id| member(id as u64, players[id], Listening::Open)).collect(); count];
            let mut heard_ms = vec![vec![0; count]; count];
            let mut under_way: Vec<(u64, usize, usize, Member)> = Vec::new();
            let mut sent = vec![(0, Listening::Open); count];
            let mut delay = delays_ms.iter().cycle();
            for now_ms in (0..60_000).step_by(50) {
                let (process, number) = changes[(now_ms / 50) as usize % changes.len()];
                players[process % count] = number;
                under_way.retain(|&(at_ms, from, to, state)| {
                    if at_ms <= now_ms {
                        known[to][from] = state;
                        heard_ms[to][from] = now_ms;
                    }
                    at_ms > now_ms
                });
                for own in 0..count {
                    let me = member(own as u64, players[own], shares[own].listening());
                    let others: Vec<Member> = (0..count)
                        .filter(|&other| other != own)
                        .map(|other| Member { age_ms: now_ms - heard_ms[own][other], ..known[own][other] })
                        .collect();
                    let listening = shares[own].decide(&me, &others, now_ms);
                    if listening != sent[own].1 || now_ms >= sent[own].0 + 500 {
                        sent[own] = (now_ms, listening);
                        let state = Member { listening, ..me };
                        for to in (0..count).filter(|&to| to != own) {
                            under_way.push((now_ms + delay.next().unwrap(), own, to, state));
                        }
                    }
                }
                prop_assert!(shares.iter().any(|share| share.listening() != Listening::Paused), "at {now_ms} ms");
            }
        }
    }
}

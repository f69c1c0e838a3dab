//! Players who come back: who left, or whose connection broke, is where it was when it returns within a while.
//!
//! A [`Ticket`], which only the player's own browser has, tells who it is; [`Resumes`] remembers what it left behind. With a
//! [`store`] that outlives the process, so does the memory; without one, all of this is memory alone.

pub mod store;
mod ticket;

use std::collections::{HashMap, VecDeque};

use crate::limits::{RESUME_TTL_S_MAX, RESUMES_MAX};
use store::{Kept, Store};
pub use ticket::Ticket;

/// What a player finds again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Units from the left edge.
    pub x: u16,
    /// Units from the top edge.
    pub y: u16,
    /// Whether it looks right.
    pub faces_right: bool,
    /// Width and height of what its client shows, in units; none if it never said.
    pub viewport: Option<(u16, u16)>,
}

impl Saved {
    /// Bytes of one that is passed on.
    pub const BYTES: usize = 9;

    /// As it is passed on to other processes.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = u8::from(self.faces_right) | u8::from(self.viewport.is_some()) << 1;
        let (width, height) = self.viewport.unwrap_or_default();
        for (at, number) in [self.x, self.y, width, height].into_iter().enumerate() {
            bytes[1 + 2 * at..3 + 2 * at].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// What these bytes say; `None` if they are not ours.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let number = |at: usize| u16::from_le_bytes([bytes[1 + 2 * at], bytes[2 + 2 * at]]);
        let flags = bytes[0];
        let viewport = (flags & 2 != 0).then(|| (number(2), number(3)));
        let saved = Self { x: number(0), y: number(1), faces_right: flags & 1 != 0, viewport };
        (saved.to_bytes() == bytes).then_some(saved)
    }
}

/// What is known about a ticket; `P` is what a player is known by.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim<P> {
    /// Nothing, or nothing any more.
    Unknown,
    /// Its player is in the world.
    Playing(P),
    /// Its player left this behind.
    Left(Saved),
}

/// Who is to find what when it comes back. Times are milliseconds of any clock that only goes forward.
#[derive(Debug)]
pub struct Resumes<P> {
    ttl_ms: u64,
    playing: HashMap<Ticket, P>,
    left: HashMap<Ticket, Departure>,
    /// When each left, on the clock of [`clock_ms`], the earliest first; a ticket that has been claimed since, or has left anew,
    /// is in here all the same.
    order: VecDeque<(u64, Ticket)>,
    keeper: Keeper,
}

/// What outlives the process.
#[derive(Debug)]
enum Keeper {
    Nothing,
    /// A file.
    File(Store),
    /// The bus of a cluster: what is to be kept waits here until it is taken there.
    Bus(Vec<Keepsake>),
}

/// What is to be kept of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepsake {
    /// Whose it is.
    pub ticket: Ticket,
    /// Where it is.
    pub saved: Saved,
    /// Whether it has left, so that whoever shows the ticket may have it.
    pub has_left: bool,
}

#[derive(Debug, Clone, Copy)]
struct Departure {
    /// On the clock of [`clock_ms`].
    at_ms: u64,
    saved: Saved,
}

impl<P: Copy> Resumes<P> {
    /// Remembers for `ttl_s` seconds, 0 not at all; with a store, also what that holds.
    pub fn new(ttl_s: u32, store: Option<Store>) -> Self {
        Self::with(ttl_s, store.map_or(Keeper::Nothing, Keeper::File))
    }

    /// The same, where somebody takes what is to be kept with [`Resumes::take_kept`].
    pub fn kept_elsewhere(ttl_s: u32) -> Self {
        Self::with(ttl_s, Keeper::Bus(Vec::new()))
    }

    fn with(ttl_s: u32, keeper: Keeper) -> Self {
        Self {
            ttl_ms: u64::from(ttl_s) * 1000,
            playing: HashMap::new(),
            left: HashMap::new(),
            order: VecDeque::new(),
            keeper,
        }
    }

    /// What is to be kept elsewhere since it was taken last.
    pub fn take_kept(&mut self) -> Vec<Keepsake> {
        match &mut self.keeper {
            Keeper::Bus(waiting) => std::mem::take(waiting),
            _ => Vec::new(),
        }
    }

    /// Changes how long is remembered, in seconds, also for those who have left already.
    pub fn set_ttl(&mut self, ttl_s: u32) {
        self.ttl_ms = u64::from(ttl_s) * 1000;
        if let Keeper::File(store) = &self.keeper {
            store.set_ttl(ttl_s);
        }
    }

    /// Whether players get tickets.
    pub fn is_on(&self) -> bool {
        self.ttl_ms > 0
    }

    /// Whether what is remembered outlives the process, so that players are to be saved now and then.
    pub fn is_lasting(&self) -> bool {
        !matches!(self.keeper, Keeper::Nothing)
    }

    /// Those who have left and may come back.
    pub fn remembered(&self) -> usize {
        self.left.len()
    }

    /// Writes to the store that failed so far.
    pub fn failures(&self) -> u64 {
        match &self.keeper {
            Keeper::File(store) => store.failures(),
            _ => 0,
        }
    }

    /// The player in the world who has this ticket.
    pub fn player(&self, ticket: Ticket) -> Option<P> {
        self.playing.get(&ticket).copied()
    }

    /// Looks a ticket up. What its player left behind is handed out once.
    pub fn claim(&mut self, ticket: Ticket, now_ms: u64) -> Claim<P> {
        self.forget_expired(now_ms);
        if let Some(player) = self.player(ticket) {
            return Claim::Playing(player);
        }
        self.left.remove(&ticket).map_or(Claim::Unknown, |departure| Claim::Left(departure.saved))
    }

    /// This player has that ticket from now on.
    pub fn enter(&mut self, ticket: Ticket, player: P) {
        self.playing.insert(ticket, player);
    }

    /// The player of this ticket is gone, and this is what it left behind.
    pub fn leave(&mut self, ticket: Ticket, saved: Saved, now_ms: u64) {
        self.forget_expired(now_ms);
        self.playing.remove(&ticket);
        if self.is_on() {
            self.remember(ticket, saved, clock_ms(now_ms));
            self.keep(Keepsake { ticket, saved, has_left: true });
        }
    }

    /// Writes down where a player is, so that it is not lost with the process.
    pub fn save(&mut self, ticket: Ticket, saved: Saved) {
        self.keep(Keepsake { ticket, saved, has_left: false });
    }

    fn keep(&mut self, keepsake: Keepsake) {
        match &mut self.keeper {
            Keeper::Nothing => {}
            Keeper::File(store) => store.save(keepsake.ticket, keepsake.saved),
            Keeper::Bus(waiting) => waiting.push(keepsake),
        }
    }

    /// Forgets what a player left behind, since it is known elsewhere.
    pub fn forget(&mut self, ticket: Ticket) {
        self.left.remove(&ticket);
    }

    /// Takes over what the store has kept from an earlier process.
    pub fn recall(&mut self, now_ms: u64) {
        let Keeper::File(store) = &mut self.keeper else { return };
        let mut kept = store.take_kept();
        kept.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.age_s));
        for Kept { ticket, saved, age_s } in kept {
            let age_ms = u64::from(age_s) * 1000;
            if age_ms < self.ttl_ms {
                self.remember(ticket, saved, clock_ms(now_ms) - age_ms);
            }
        }
    }

    fn remember(&mut self, ticket: Ticket, saved: Saved, at_ms: u64) {
        while self.order.len() >= RESUMES_MAX {
            self.forget_first();
        }
        self.left.insert(ticket, Departure { at_ms, saved });
        self.order.push_back((at_ms, ticket));
    }

    fn forget_expired(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|&(at_ms, _)| clock_ms(now_ms) - at_ms >= self.ttl_ms) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((at_ms, ticket)) = self.order.pop_front() else { return };
        if self.left.get(&ticket).is_some_and(|departure| departure.at_ms == at_ms) {
            self.left.remove(&ticket);
        }
    }
}

/// The caller's clock, put forward so far that what an earlier process has kept has its time on it as well.
fn clock_ms(now_ms: u64) -> u64 {
    now_ms + u64::from(RESUME_TTL_S_MAX) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: Saved = Saved { x: 3, y: 4, faces_right: true, viewport: Some((800, 600)) };

    fn ticket(number: u128) -> Ticket {
        Ticket::of(number)
    }

    #[test]
    fn what_was_left_behind_is_found_once_and_in_time() {
        let mut resumes: Resumes<u32> = Resumes::new(300, None);
        assert_eq!(resumes.claim(ticket(1), 0), Claim::Unknown);
        resumes.enter(ticket(1), 7);
        assert_eq!(resumes.claim(ticket(1), 0), Claim::Playing(7));
        resumes.leave(ticket(1), HERE, 1_000);
        assert_eq!(resumes.claim(ticket(1), 300_999), Claim::Left(HERE));
        assert_eq!(resumes.claim(ticket(1), 300_999), Claim::Unknown, "it is playing, or gone");
        resumes.leave(ticket(1), HERE, 400_000);
        assert_eq!(resumes.claim(ticket(1), 700_000), Claim::Unknown);
        assert_eq!(resumes.remembered(), 0);
    }

    #[test]
    fn who_left_twice_is_remembered_as_of_the_second_time() {
        let mut resumes: Resumes<u32> = Resumes::new(10, None);
        resumes.leave(ticket(1), HERE, 0);
        assert_eq!(resumes.claim(ticket(1), 5_000), Claim::Left(HERE));
        let there = Saved { x: 500, ..HERE };
        resumes.leave(ticket(1), there, 6_000);
        assert_eq!(resumes.claim(ticket(1), 15_000), Claim::Left(there));
    }

    #[test]
    fn switched_off_nothing_is_kept() {
        let mut resumes: Resumes<u32> = Resumes::new(300, None);
        resumes.leave(ticket(1), HERE, 0);
        resumes.set_ttl(0);
        assert!(!resumes.is_on());
        resumes.leave(ticket(2), HERE, 1);
        assert_eq!(resumes.claim(ticket(1), 2), Claim::Unknown);
        assert_eq!(resumes.claim(ticket(2), 2), Claim::Unknown);
    }

    #[test]
    fn with_too_many_the_first_are_forgotten() {
        let mut resumes: Resumes<u32> = Resumes::new(300, None);
        for number in 0..=RESUMES_MAX as u128 {
            resumes.leave(ticket(number), HERE, 1);
        }
        assert_eq!(resumes.remembered(), RESUMES_MAX);
        assert_eq!(resumes.claim(ticket(0), 1), Claim::Unknown);
        assert_eq!(resumes.claim(ticket(1), 1), Claim::Left(HERE));
        assert!(resumes.order.len() <= RESUMES_MAX);
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
                    resumes.leave(ticket(number), saved, now_ms);
                    departures.insert(number, (now_ms, saved));
                } else {
                    let known = departures.remove(&number).filter(|&(at_ms, _)| now_ms - at_ms < 10_000);
                    let expected = known.map_or(Claim::Unknown, |(_, saved)| Claim::Left(saved));
                    prop_assert_eq!(resumes.claim(ticket(number), now_ms), expected);
                }
            }
        }
    }
}

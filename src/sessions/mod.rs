//! Sessions: who left, or whose connection broke, is where it was when it returns within a while.
//!
//! A session token ([`Ticket`]), which only the player's own browser has, tells who it is; [`Resumes`] remembers what it left
//! behind. With a [`store`] that outlives the process, so does the memory; without one, all of this is memory alone.
//!
//! Each return rotates the token. The response that carries the new one may get lost, so that the token before it stands
//! for the same session until the client has confirmed the new one with its first frame. Both are one session: whichever
//! of them returns first takes it, and the other is worth nothing from then on.

mod saved_player;
pub mod store;
mod token;

use std::collections::{HashMap, VecDeque};

use crate::limits::{RECONNECT_INTERVAL_MS, SESSION_TTL_S_MAX, SESSIONS_SAVED_MAX};
pub use saved_player::Saved;
use store::{Found, Store};
pub use token::Ticket;

/// What is known about a ticket; `P` is what a player is known by.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim<P> {
    /// Nothing, or nothing any more.
    Unknown,
    /// Its player is in the world.
    Playing(P),
    /// Its player left this behind.
    Left(Saved),
    /// Its player left something behind that stays there, since the session returned less than a second ago.
    TooSoon,
}

/// Who is to find what when it comes back. Times are milliseconds of any clock that only goes forward.
///
/// Every session has a current token, and at most one before that; `former` leads from that one to the current one. So
/// there are never more of those than sessions.
#[derive(Debug)]
pub struct Resumes<P> {
    ttl_ms: u64,
    playing: HashMap<Ticket, Playing<P>>,
    left: HashMap<Ticket, Departure>,
    former: HashMap<Ticket, Ticket>,
    /// When each left, on the clock of [`clock_ms`], the earliest first; a ticket that has been claimed since, or has left anew,
    /// is in here all the same.
    order: VecDeque<(u64, Ticket)>,
    keeper: Keeper,
}

#[derive(Debug)]
struct Playing<P> {
    player: P,
    /// When the session returned last; none for a newcomer.
    returned_ms: Option<u64>,
    /// The token before the current one, until that is confirmed.
    former: Option<Ticket>,
}

#[derive(Debug, Clone, Copy)]
struct Departure {
    /// On the clock of [`clock_ms`].
    at_ms: u64,
    saved: Saved,
    former: Option<Ticket>,
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

/// What is to be kept under a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepsake {
    /// The session's token, current or former.
    pub ticket: Ticket,
    /// What.
    pub what: Kept,
}

/// What is kept under a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Its player is in the world, and this is where.
    Playing(Saved),
    /// Its player left this behind, for the client that shows the token.
    Left(Saved),
    /// The session has this token now, which is not confirmed yet.
    Former(Ticket),
    /// Nothing any more.
    Gone,
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
            former: HashMap::new(),
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

    /// The current token of the session that this one stands for.
    pub fn current(&self, shown: Ticket) -> Ticket {
        self.former.get(&shown).copied().unwrap_or(shown)
    }

    /// The player in the world whose session this token stands for.
    pub fn player(&self, shown: Ticket) -> Option<P> {
        self.playing.get(&self.current(shown)).map(|playing| playing.player)
    }

    /// Looks a ticket up. What its player left behind is handed out once, for whichever of its tokens comes first.
    pub fn claim(&mut self, shown: Ticket, now_ms: u64) -> Claim<P> {
        self.forget_expired(now_ms);
        let ticket = self.current(shown);
        if let Some(playing) = self.playing.get(&ticket) {
            return Claim::Playing(playing.player);
        }
        let Some(&Departure { at_ms, saved, former }) = self.left.get(&ticket) else { return Claim::Unknown };
        let saved = saved.after(clock_ms(now_ms) - at_ms);
        if !saved.may_return() {
            return Claim::TooSoon;
        }
        self.take_left(ticket);
        // What is kept under the token shown stays until the session has been entered under the next one.
        for other in [Some(ticket), former].into_iter().flatten().filter(|&other| other != shown) {
            self.keep(other, Kept::Gone);
        }
        Claim::Left(saved)
    }

    /// A newcomer has this ticket from now on.
    pub fn enter(&mut self, ticket: Ticket, player: P) {
        self.playing.insert(ticket, Playing { player, returned_ms: None, former: None });
    }

    /// A returning player has this ticket from now on. The one it has shown stands for the same session until
    /// [`Resumes::confirm`]; it is the same when no new one could be had.
    pub fn reenter(&mut self, ticket: Ticket, shown: Ticket, player: P, now_ms: u64) {
        let former = (shown != ticket).then_some(shown);
        self.playing.insert(ticket, Playing { player, returned_ms: Some(now_ms), former });
        if let Some(former) = former {
            self.former.insert(former, ticket);
            self.keep(former, Kept::Former(ticket));
        }
    }

    /// The client has its ticket: the one before it is worth nothing any more.
    pub fn confirm(&mut self, ticket: Ticket) {
        let former = self.playing.get_mut(&ticket).and_then(|playing| playing.former.take());
        if let Some(former) = former {
            self.former.remove(&former);
            self.keep(former, Kept::Gone);
        }
    }

    /// The player of this ticket is gone, and this is what it left behind; nothing if the session has been released.
    pub fn leave(&mut self, ticket: Ticket, saved: Saved, now_ms: u64) {
        let Some(Playing { returned_ms, former, .. }) = self.playing.remove(&ticket) else { return };
        if self.is_on() {
            self.lay_down(ticket, former, timed(saved, returned_ms, now_ms), now_ms);
        } else if let Some(former) = former {
            self.former.remove(&former);
        }
    }

    /// What was handed out, here or elsewhere, is not taken after all: its player may try again.
    pub fn put_back(&mut self, ticket: Ticket, saved: Saved, now_ms: u64) {
        if self.is_on() {
            self.lay_down(ticket, None, saved, now_ms);
        }
    }

    fn lay_down(&mut self, ticket: Ticket, former: Option<Ticket>, saved: Saved, now_ms: u64) {
        self.forget_expired(now_ms);
        self.remember(ticket, Departure { at_ms: clock_ms(now_ms), saved, former });
        if let Some(former) = former {
            self.keep(former, Kept::Former(ticket));
        }
        self.keep(ticket, Kept::Left(saved));
    }

    /// The session of this player goes on elsewhere: nothing of it is left here, and nothing will be when it leaves.
    pub fn release(&mut self, ticket: Ticket) {
        let Some(Playing { former, .. }) = self.playing.remove(&ticket) else { return };
        if let Some(former) = former {
            self.former.remove(&former);
            self.keep(former, Kept::Gone);
        }
        self.keep(ticket, Kept::Gone);
    }

    /// Writes down where a player is, so that it is not lost with the process.
    pub fn save(&mut self, ticket: Ticket, saved: Saved, now_ms: u64) {
        let saved = self.as_of(ticket, saved, now_ms);
        self.keep(ticket, Kept::Playing(saved));
    }

    /// The same with the time since this player's session returned.
    pub fn as_of(&self, ticket: Ticket, saved: Saved, now_ms: u64) -> Saved {
        let returned_ms = self.playing.get(&ticket).and_then(|playing| playing.returned_ms);
        timed(saved, returned_ms, now_ms)
    }

    fn keep(&mut self, ticket: Ticket, what: Kept) {
        match &mut self.keeper {
            Keeper::Nothing => {}
            Keeper::File(store) => store.save(ticket, what),
            Keeper::Bus(waiting) => waiting.push(Keepsake { ticket, what }),
        }
    }

    /// Forgets what a player left behind, since it is known elsewhere.
    pub fn forget(&mut self, ticket: Ticket) {
        self.take_left(ticket);
    }

    /// Takes over what the store has kept from an earlier process.
    pub fn recall(&mut self, now_ms: u64) {
        let Keeper::File(store) = &mut self.keeper else { return };
        let mut found = store.take_found();
        found.sort_unstable_by_key(|found| std::cmp::Reverse(found.age_s));
        let mut formers = Vec::new();
        for Found { ticket, what, age_s } in found {
            let age_ms = u64::from(age_s) * 1000;
            match what {
                Kept::Playing(saved) | Kept::Left(saved) if age_ms < self.ttl_ms => {
                    // Seconds are rounded: one less counts, so that no budget gains by it.
                    let at_ms = clock_ms(now_ms) - age_ms.saturating_sub(1_000);
                    self.remember(ticket, Departure { at_ms, saved, former: None });
                }
                Kept::Former(current) => formers.push((ticket, current)),
                _ => {}
            }
        }
        for (former, current) in formers {
            if let Some(departure) =
                self.left.get_mut(&current).filter(|departure| departure.former.is_none())
            {
                departure.former = Some(former);
                self.former.insert(former, current);
            }
        }
    }

    fn remember(&mut self, ticket: Ticket, departure: Departure) {
        while self.order.len() >= SESSIONS_SAVED_MAX {
            self.forget_first();
        }
        self.left.insert(ticket, departure);
        self.order.push_back((departure.at_ms, ticket));
    }

    fn take_left(&mut self, ticket: Ticket) {
        if let Some(Departure { former: Some(former), .. }) = self.left.remove(&ticket) {
            self.former.remove(&former);
        }
    }

    fn forget_expired(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|&(at_ms, _)| clock_ms(now_ms) - at_ms >= self.ttl_ms) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((at_ms, ticket)) = self.order.pop_front() else { return };
        if self.left.get(&ticket).is_some_and(|departure| departure.at_ms == at_ms) {
            self.take_left(ticket);
        }
    }
}

/// The same with the time since a session returned.
fn timed(saved: Saved, returned_ms: Option<u64>, now_ms: u64) -> Saved {
    let ago_ms = returned_ms.map_or(u64::MAX, |returned_ms| now_ms - returned_ms);
    Saved { returned_ms_ago: ago_ms.min(RECONNECT_INTERVAL_MS.into()) as u16, ..saved }
}

/// The caller's clock, put forward so far that what an earlier process has kept has its time on it as well.
fn clock_ms(now_ms: u64) -> u64 {
    now_ms + u64::from(SESSION_TTL_S_MAX) * 1000
}

#[cfg(test)]
mod tests;

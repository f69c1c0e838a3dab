//! Sessions: who left, or whose connection broke, is where it was when it returns within a while.
//!
//! A session token ([`SessionToken`]), which only the player's own browser has, tells who it is; [`Sessions`] remembers what it left
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
pub use saved_player::SavedPlayer;
use store::{Store, StoredSession};
pub use token::SessionToken;

/// What is known about a token; `P` is what a player is known by.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<P> {
    /// Nothing, or nothing any more.
    Unknown,
    /// Its player is in the world.
    Active(P),
    /// Its player left this behind.
    Disconnected(SavedPlayer),
    /// Its player left something behind that stays there, since the session returned less than a second ago.
    TooSoon,
}

/// Who is to find what when it comes back. Times are milliseconds of any clock that only goes forward.
///
/// Every session has a current token, and at most one before that; `former` leads from that one to the current one. So
/// there are never more of those than sessions.
#[derive(Debug)]
pub struct Sessions<P> {
    ttl_ms: u64,
    active: HashMap<SessionToken, Active<P>>,
    disconnected: HashMap<SessionToken, Disconnected>,
    former: HashMap<SessionToken, SessionToken>,
    /// When each left, on the clock of [`clock_ms`], the earliest first; a token that has been claimed since, or has left anew,
    /// is in here all the same.
    expiry_queue: VecDeque<(u64, SessionToken)>,
    backend: Backend,
}

#[derive(Debug)]
struct Active<P> {
    player: P,
    /// When the session returned last; none for a newcomer.
    reconnected_ms: Option<u64>,
    /// The token before the current one, until that is confirmed.
    former: Option<SessionToken>,
}

#[derive(Debug, Clone, Copy)]
struct Disconnected {
    /// On the clock of [`clock_ms`].
    at_ms: u64,
    saved: SavedPlayer,
    former: Option<SessionToken>,
}

/// What outlives the process.
#[derive(Debug)]
enum Backend {
    None,
    /// A file.
    File(Store),
    /// The bus of a cluster: what is to be kept waits here until it is taken there.
    Bus(Vec<SessionWrite>),
}

/// What is to be kept under a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionWrite {
    /// The session's token, current or former.
    pub token: SessionToken,
    /// What.
    pub entry: SessionEntry,
}

/// What is kept under a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEntry {
    /// Its player is in the world, and this is where.
    Active(SavedPlayer),
    /// Its player left this behind, for the client that shows the token.
    Disconnected(SavedPlayer),
    /// The session has this token now, which is not confirmed yet.
    ReplacedBy(SessionToken),
    /// Nothing any more.
    Deleted,
}

impl<P: Copy> Sessions<P> {
    /// Remembers for `ttl_s` seconds, 0 not at all; with a store, also what that holds.
    pub fn new(ttl_s: u32, store: Option<Store>) -> Self {
        Self::with(ttl_s, store.map_or(Backend::None, Backend::File))
    }

    /// The same, where somebody takes what is to be kept with [`Sessions::take_writes`].
    pub fn for_cluster(ttl_s: u32) -> Self {
        Self::with(ttl_s, Backend::Bus(Vec::new()))
    }

    fn with(ttl_s: u32, backend: Backend) -> Self {
        Self {
            ttl_ms: u64::from(ttl_s) * 1000,
            active: HashMap::new(),
            disconnected: HashMap::new(),
            former: HashMap::new(),
            expiry_queue: VecDeque::new(),
            backend,
        }
    }

    /// What is to be kept elsewhere since it was taken last.
    pub fn take_writes(&mut self) -> Vec<SessionWrite> {
        match &mut self.backend {
            Backend::Bus(waiting) => std::mem::take(waiting),
            _ => Vec::new(),
        }
    }

    /// Changes how long is remembered, in seconds, also for those who have left already.
    pub fn set_ttl(&mut self, ttl_s: u32) {
        self.ttl_ms = u64::from(ttl_s) * 1000;
        if let Backend::File(store) = &self.backend {
            store.set_ttl(ttl_s);
        }
    }

    /// Whether players get tokens.
    pub fn is_enabled(&self) -> bool {
        self.ttl_ms > 0
    }

    /// Whether what is remembered outlives the process, so that players are to be saved now and then.
    pub fn is_persistent(&self) -> bool {
        !matches!(self.backend, Backend::None)
    }

    /// Those who have left and may come back.
    pub fn disconnected_count(&self) -> usize {
        self.disconnected.len()
    }

    /// Writes to the store that failed so far.
    pub fn failures(&self) -> u64 {
        match &self.backend {
            Backend::File(store) => store.failures(),
            _ => 0,
        }
    }

    /// The current token of the session that this one stands for.
    pub fn current(&self, presented: SessionToken) -> SessionToken {
        self.former.get(&presented).copied().unwrap_or(presented)
    }

    /// The player in the world whose session this token stands for.
    pub fn player(&self, presented: SessionToken) -> Option<P> {
        self.active.get(&self.current(presented)).map(|active| active.player)
    }

    /// Looks a token up. What its player left behind is handed out once, for whichever of its tokens comes first.
    pub fn take(&mut self, presented: SessionToken, now_ms: u64) -> Lookup<P> {
        self.expire(now_ms);
        let token = self.current(presented);
        if let Some(active) = self.active.get(&token) {
            return Lookup::Active(active.player);
        }
        let Some(&Disconnected { at_ms, saved, former }) = self.disconnected.get(&token) else {
            return Lookup::Unknown;
        };
        let saved = saved.after(clock_ms(now_ms) - at_ms);
        if !saved.may_reconnect() {
            return Lookup::TooSoon;
        }
        self.remove_disconnected(token);
        // What is kept under the token shown stays until the session has been entered under the next one.
        for other in [Some(token), former].into_iter().flatten().filter(|&other| other != presented) {
            self.write(other, SessionEntry::Deleted);
        }
        Lookup::Disconnected(saved)
    }

    /// A newcomer has this token from now on.
    pub fn start(&mut self, token: SessionToken, player: P) {
        self.active.insert(token, Active { player, reconnected_ms: None, former: None });
    }

    /// A returning player has this token from now on. The one it has shown stands for the same session until
    /// [`Sessions::confirm`]; it is the same when no new one could be had.
    pub fn reconnect(&mut self, token: SessionToken, presented: SessionToken, player: P, now_ms: u64) {
        let former = (presented != token).then_some(presented);
        self.active.insert(token, Active { player, reconnected_ms: Some(now_ms), former });
        if let Some(former) = former {
            self.former.insert(former, token);
            self.write(former, SessionEntry::ReplacedBy(token));
        }
    }

    /// The client has its token: the one before it is worth nothing any more.
    pub fn confirm(&mut self, token: SessionToken) {
        let former = self.active.get_mut(&token).and_then(|active| active.former.take());
        if let Some(former) = former {
            self.former.remove(&former);
            self.write(former, SessionEntry::Deleted);
        }
    }

    /// The player of this token is gone, and this is what it left behind; nothing if the session has been released.
    pub fn disconnect(&mut self, token: SessionToken, saved: SavedPlayer, now_ms: u64) {
        let Some(Active { reconnected_ms, former, .. }) = self.active.remove(&token) else { return };
        if self.is_enabled() {
            self.store_disconnected(token, former, with_age(saved, reconnected_ms, now_ms), now_ms);
        } else if let Some(former) = former {
            self.former.remove(&former);
        }
    }

    /// What was handed out, here or elsewhere, is not taken after all: its player may try again.
    pub fn put_back(&mut self, token: SessionToken, saved: SavedPlayer, now_ms: u64) {
        if self.is_enabled() {
            self.store_disconnected(token, None, saved, now_ms);
        }
    }

    fn store_disconnected(
        &mut self,
        token: SessionToken,
        former: Option<SessionToken>,
        saved: SavedPlayer,
        now_ms: u64,
    ) {
        self.expire(now_ms);
        self.insert_disconnected(token, Disconnected { at_ms: clock_ms(now_ms), saved, former });
        if let Some(former) = former {
            self.write(former, SessionEntry::ReplacedBy(token));
        }
        self.write(token, SessionEntry::Disconnected(saved));
    }

    /// The session of this player goes on elsewhere: nothing of it is left here, and nothing will be when it leaves.
    pub fn release(&mut self, token: SessionToken) {
        let Some(Active { former, .. }) = self.active.remove(&token) else { return };
        if let Some(former) = former {
            self.former.remove(&former);
            self.write(former, SessionEntry::Deleted);
        }
        self.write(token, SessionEntry::Deleted);
    }

    /// Writes down where a player is, so that it is not lost with the process.
    pub fn save(&mut self, token: SessionToken, saved: SavedPlayer, now_ms: u64) {
        let saved = self.with_reconnect_age(token, saved, now_ms);
        self.write(token, SessionEntry::Active(saved));
    }

    /// The same with the time since this player's session returned.
    pub fn with_reconnect_age(&self, token: SessionToken, saved: SavedPlayer, now_ms: u64) -> SavedPlayer {
        let reconnected_ms = self.active.get(&token).and_then(|active| active.reconnected_ms);
        with_age(saved, reconnected_ms, now_ms)
    }

    fn write(&mut self, token: SessionToken, entry: SessionEntry) {
        match &mut self.backend {
            Backend::None => {}
            Backend::File(store) => store.save(token, entry),
            Backend::Bus(waiting) => waiting.push(SessionWrite { token, entry }),
        }
    }

    /// Forgets what a player left behind, since it is known elsewhere.
    pub fn forget(&mut self, token: SessionToken) {
        self.remove_disconnected(token);
    }

    /// Takes over what the store has kept from an earlier process.
    pub fn load(&mut self, now_ms: u64) {
        let Backend::File(store) = &mut self.backend else { return };
        let mut found = store.take_loaded();
        found.sort_unstable_by_key(|found| std::cmp::Reverse(found.age_s));
        let mut formers = Vec::new();
        for StoredSession { token, entry, age_s } in found {
            let age_ms = u64::from(age_s) * 1000;
            match entry {
                SessionEntry::Active(saved) | SessionEntry::Disconnected(saved) if age_ms < self.ttl_ms => {
                    // Seconds are rounded: one less counts, so that no budget gains by it.
                    let at_ms = clock_ms(now_ms) - age_ms.saturating_sub(1_000);
                    self.insert_disconnected(token, Disconnected { at_ms, saved, former: None });
                }
                SessionEntry::ReplacedBy(current) => formers.push((token, current)),
                _ => {}
            }
        }
        for (former, current) in formers {
            if let Some(stored) = self.disconnected.get_mut(&current).filter(|stored| stored.former.is_none())
            {
                stored.former = Some(former);
                self.former.insert(former, current);
            }
        }
    }

    fn insert_disconnected(&mut self, token: SessionToken, stored: Disconnected) {
        while self.expiry_queue.len() >= SESSIONS_SAVED_MAX {
            self.evict_oldest();
        }
        self.disconnected.insert(token, stored);
        self.expiry_queue.push_back((stored.at_ms, token));
    }

    fn remove_disconnected(&mut self, token: SessionToken) {
        if let Some(Disconnected { former: Some(former), .. }) = self.disconnected.remove(&token) {
            self.former.remove(&former);
        }
    }

    fn expire(&mut self, now_ms: u64) {
        while self.expiry_queue.front().is_some_and(|&(at_ms, _)| clock_ms(now_ms) - at_ms >= self.ttl_ms) {
            self.evict_oldest();
        }
    }

    fn evict_oldest(&mut self) {
        let Some((at_ms, token)) = self.expiry_queue.pop_front() else { return };
        if self.disconnected.get(&token).is_some_and(|stored| stored.at_ms == at_ms) {
            self.remove_disconnected(token);
        }
    }
}

/// The same with the time since a session returned.
fn with_age(saved: SavedPlayer, reconnected_ms: Option<u64>, now_ms: u64) -> SavedPlayer {
    let ago_ms = reconnected_ms.map_or(u64::MAX, |reconnected_ms| now_ms - reconnected_ms);
    SavedPlayer { reconnected_ms_ago: ago_ms.min(RECONNECT_INTERVAL_MS.into()) as u16, ..saved }
}

/// The caller's clock, put forward so far that what an earlier process has kept has its time on it as well.
fn clock_ms(now_ms: u64) -> u64 {
    now_ms + u64::from(SESSION_TTL_S_MAX) * 1000
}

#[cfg(test)]
mod tests;

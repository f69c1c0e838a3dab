//! Sessions: a player whose connection breaks or closes can reconnect within a TTL and continue from its last position.
//!
//! A session token ([`SessionToken`]) identifies the session; only the player's browser has it. [`Sessions`] keeps the state
//! of disconnected players in memory. With a [`store`] or a cluster's bus, that state also outlives the process.
//!
//! Each reconnect rotates the token. The response that carries the new token may get lost, so the previous token stays valid
//! until the client confirms the new one with its first frame. Both tokens belong to one session: the first token that is
//! used to reconnect takes the session, and the other token becomes invalid.

mod saved_player;
pub mod store;
mod token;

use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};

use crate::limits::{RECONNECT_INTERVAL_MS, SESSION_TTL_S_MAX, SESSIONS_SAVED_MAX};
pub use saved_player::SavedPlayer;
use store::{Store, StoredSession};
pub use token::SessionToken;

/// Result of looking up a token; `P` identifies a player to the caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<P> {
    /// The token is not known, or has expired.
    Unknown,
    /// The session's player is in the world.
    Active(P),
    /// The session's player is disconnected; this is its saved state.
    Disconnected(SavedPlayer),
    /// The session reconnected less than [`RECONNECT_INTERVAL_MS`] ago. Its saved state stays in place.
    TooSoon,
}

/// Active and disconnected sessions. Times are milliseconds of any monotonic clock.
///
/// Every session has a current token and at most one previous token; `previous` maps a previous token to the current one, so it
/// never has more entries than there are sessions.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sessions<P> {
    ttl_ms: u64,
    active: HashMap<SessionToken, Active<P>>,
    disconnected: HashMap<SessionToken, Disconnected>,
    previous: HashMap<SessionToken, SessionToken>,
    /// Disconnect times on the clock of [`clock_ms`], oldest first, at most [`SESSIONS_SAVED_MAX`]. Entries are not removed when
    /// their session reconnects or disconnects again; a stale entry no longer matches the session's disconnect time.
    expiry_queue: VecDeque<(u64, SessionToken)>,
    #[serde(skip)]
    backend: Backend,
}

#[derive(Debug, Serialize, Deserialize)]
struct Active<P> {
    player: P,
    /// Time of the last reconnect; `None` for a new session.
    reconnected_ms: Option<u64>,
    /// The previous token, until the current one is confirmed.
    previous: Option<SessionToken>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Disconnected {
    /// Disconnect time, on the clock of [`clock_ms`].
    at_ms: u64,
    saved: SavedPlayer,
    previous: Option<SessionToken>,
}

/// Storage that outlives the process.
#[derive(Debug, Default)]
enum Backend {
    #[default]
    None,
    /// A file of this host.
    File(Store),
    /// The cluster's bus: writes wait here until [`Sessions::take_writes`].
    Bus(Vec<SessionWrite>),
}

/// A write to the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionWrite {
    /// The session's token, current or previous.
    pub token: SessionToken,
    /// The value to store under the token.
    pub entry: SessionEntry,
}

/// Value stored under a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEntry {
    /// The player with this id is in the world; this was its state when it was saved.
    Active(SavedPlayer, u32),
    /// The player is disconnected; a client that presents the token gets this state.
    Disconnected(SavedPlayer),
    /// The token is a previous one; this is the session's current token, not yet confirmed.
    ReplacedBy(SessionToken),
    /// The token is no longer valid.
    Deleted,
}

impl<P: Copy> Sessions<P> {
    /// Keeps sessions in memory for `ttl_s` seconds, and in the store if there is one. A TTL of 0 disables sessions.
    pub fn new(ttl_s: u32, store: Option<Store>) -> Self {
        Self::with(ttl_s, store.map_or(Backend::None, Backend::File))
    }

    /// Keeps sessions for `ttl_s` seconds. The caller passes the writes of [`Sessions::take_writes`] to the cluster's bus.
    pub fn for_cluster(ttl_s: u32) -> Self {
        Self::with(ttl_s, Backend::Bus(Vec::new()))
    }

    fn with(ttl_s: u32, backend: Backend) -> Self {
        Self {
            ttl_ms: u64::from(ttl_s) * 1000,
            active: HashMap::new(),
            disconnected: HashMap::new(),
            previous: HashMap::new(),
            expiry_queue: VecDeque::new(),
            backend,
        }
    }

    /// Returns the writes since the last call; empty unless the backend is the bus.
    pub fn take_writes(&mut self) -> Vec<SessionWrite> {
        match &mut self.backend {
            Backend::Bus(waiting) => std::mem::take(waiting),
            _ => Vec::new(),
        }
    }

    /// Replaces the backend by that of `other`, and the TTL. The old backend is written and closed.
    pub fn continue_with(&mut self, other: Self) {
        (self.backend, self.ttl_ms) = (other.backend, other.ttl_ms);
    }

    /// Sets the TTL, in seconds; it also applies to players that are already disconnected.
    pub fn set_ttl(&mut self, ttl_s: u32) {
        self.ttl_ms = u64::from(ttl_s) * 1000;
        if let Backend::File(store) = &self.backend {
            store.set_ttl(ttl_s);
        }
    }

    /// Returns whether players get session tokens.
    pub fn is_enabled(&self) -> bool {
        self.ttl_ms > 0
    }

    /// Returns whether a backend outlives the process. If so, the caller saves active players periodically.
    pub fn is_persistent(&self) -> bool {
        !matches!(self.backend, Backend::None)
    }

    /// Returns the number of disconnected sessions, including expired ones that have not been evicted yet.
    pub fn disconnected_count(&self) -> usize {
        self.disconnected.len()
    }

    /// Returns the number of failed writes to the store.
    pub fn failures(&self) -> u64 {
        match &self.backend {
            Backend::File(store) => store.failures(),
            _ => 0,
        }
    }

    /// Returns the current token of the session of `presented`, or `presented` itself if it is no previous token.
    pub fn current(&self, presented: SessionToken) -> SessionToken {
        self.previous.get(&presented).copied().unwrap_or(presented)
    }

    /// Returns the player in the world to whose session a token belongs.
    pub fn player(&self, presented: SessionToken) -> Option<P> {
        self.active.get(&self.current(presented)).map(|active| active.player)
    }

    /// Returns the saved state of the disconnected session of a token, as of its disconnect.
    pub fn saved(&self, presented: SessionToken) -> Option<&SavedPlayer> {
        self.disconnected.get(&self.current(presented)).map(|stored| &stored.saved)
    }

    /// Looks up a token, and takes the saved state of a disconnected session. Both tokens of the session are invalid afterwards.
    pub fn take(&mut self, presented: SessionToken, now_ms: u64) -> Lookup<P> {
        self.expire(now_ms);
        let token = self.current(presented);
        if let Some(active) = self.active.get(&token) {
            return Lookup::Active(active.player);
        }
        let Some(&Disconnected { at_ms, saved, previous }) = self.disconnected.get(&token) else {
            return Lookup::Unknown;
        };
        let saved = saved.after(clock_ms(now_ms) - at_ms);
        if !saved.may_reconnect() {
            return Lookup::TooSoon;
        }
        self.remove_disconnected(token);
        // The entry of the presented token stays in the backend until the session is written under its next token.
        for other in [Some(token), previous].into_iter().flatten().filter(|&other| other != presented) {
            self.write(other, SessionEntry::Deleted);
        }
        Lookup::Disconnected(saved)
    }

    /// Starts a session for a new player.
    pub fn start(&mut self, token: SessionToken, player: P) {
        self.active.insert(token, Active { player, reconnected_ms: None, previous: None });
    }

    /// Continues a session under a new token, or the same if none could be drawn. Both stay valid until
    /// [`Sessions::confirm`].
    pub fn reconnect(&mut self, token: SessionToken, presented: SessionToken, player: P, now_ms: u64) {
        let previous = (presented != token).then_some(presented);
        self.active.insert(token, Active { player, reconnected_ms: Some(now_ms), previous });
        if let Some(previous) = previous {
            self.previous.insert(previous, token);
            self.write(previous, SessionEntry::ReplacedBy(token));
        }
    }

    /// Confirms that the client has its token: the previous token becomes invalid.
    pub fn confirm(&mut self, token: SessionToken) {
        let previous = self.active.get_mut(&token).and_then(|active| active.previous.take());
        if let Some(previous) = previous {
            self.previous.remove(&previous);
            self.write(previous, SessionEntry::Deleted);
        }
    }

    /// Saves the state of a player that leaves the world. Does nothing if the session was released.
    pub fn disconnect(&mut self, token: SessionToken, saved: SavedPlayer, now_ms: u64) {
        let Some(Active { reconnected_ms, previous, .. }) = self.active.remove(&token) else { return };
        if self.is_enabled() {
            self.store_disconnected(token, previous, with_age(saved, reconnected_ms, now_ms), now_ms);
        } else if let Some(previous) = previous {
            self.previous.remove(&previous);
        }
    }

    /// Stores a state that was taken, here or from another node, but not used, so that the client can retry.
    pub fn put_back(&mut self, token: SessionToken, saved: SavedPlayer, now_ms: u64) {
        if self.is_enabled() {
            self.store_disconnected(token, None, saved, now_ms);
        }
    }

    fn store_disconnected(
        &mut self,
        token: SessionToken,
        previous: Option<SessionToken>,
        saved: SavedPlayer,
        now_ms: u64,
    ) {
        self.expire(now_ms);
        self.insert_disconnected(token, Disconnected { at_ms: clock_ms(now_ms), saved, previous });
        if let Some(previous) = previous {
            self.write(previous, SessionEntry::ReplacedBy(token));
        }
        self.write(token, SessionEntry::Disconnected(saved));
    }

    /// Gives the session to another node: its tokens become invalid here, and a later [`Sessions::disconnect`] saves nothing.
    pub fn release(&mut self, token: SessionToken) {
        let Some(Active { previous, .. }) = self.active.remove(&token) else { return };
        if let Some(previous) = previous {
            self.previous.remove(&previous);
            self.write(previous, SessionEntry::Deleted);
        }
        self.write(token, SessionEntry::Deleted);
    }

    /// Writes the state of an active player with this id to the backend, so that it survives a crash of the process.
    pub fn save(&mut self, token: SessionToken, saved: SavedPlayer, id: u32, now_ms: u64) {
        let saved = self.with_reconnect_age(token, saved, now_ms);
        self.write(token, SessionEntry::Active(saved, id));
    }

    /// Returns `saved` with the time since this session's last reconnect.
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

    /// Removes a disconnected session from memory when another store holds it.
    pub fn forget(&mut self, token: SessionToken) {
        self.remove_disconnected(token);
    }

    /// Loads the sessions that the store kept from earlier processes.
    pub fn load(&mut self, now_ms: u64) {
        let Backend::File(store) = &mut self.backend else { return };
        let mut rows = store.take_loaded();
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.age_s));
        let mut previous_tokens = Vec::new();
        for StoredSession { token, entry, age_s } in rows {
            let age_ms = u64::from(age_s) * 1000;
            match entry {
                SessionEntry::Active(saved, _) | SessionEntry::Disconnected(saved)
                    if age_ms < self.ttl_ms =>
                {
                    // Ages are rounded to seconds. One less is counted, so that the budget does not gain from the rounding.
                    let at_ms = clock_ms(now_ms) - age_ms.saturating_sub(1_000);
                    self.insert_disconnected(token, Disconnected { at_ms, saved, previous: None });
                }
                SessionEntry::ReplacedBy(current) => previous_tokens.push((token, current)),
                _ => {}
            }
        }
        for (previous, current) in previous_tokens {
            if let Some(stored) =
                self.disconnected.get_mut(&current).filter(|stored| stored.previous.is_none())
            {
                stored.previous = Some(previous);
                self.previous.insert(previous, current);
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
        if let Some(Disconnected { previous: Some(previous), .. }) = self.disconnected.remove(&token) {
            self.previous.remove(&previous);
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

/// Returns `saved` with the time since the last reconnect, capped at [`RECONNECT_INTERVAL_MS`].
fn with_age(saved: SavedPlayer, reconnected_ms: Option<u64>, now_ms: u64) -> SavedPlayer {
    let ago_ms = reconnected_ms.map_or(u64::MAX, |reconnected_ms| now_ms - reconnected_ms);
    SavedPlayer { reconnected_ms_ago: ago_ms.min(RECONNECT_INTERVAL_MS.into()) as u16, ..saved }
}

/// Shifts the caller's clock forward by the longest TTL, so that times before its zero can be represented.
fn clock_ms(now_ms: u64) -> u64 {
    now_ms + u64::from(SESSION_TTL_S_MAX) * 1000
}

#[cfg(test)]
mod tests;

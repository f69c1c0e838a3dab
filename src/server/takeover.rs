//! Handshakes whose session token is in use, here or on another node. They wait, and nothing else does.
//!
//! A connection that answers a ping is alive: then the newcomer is a fresh player, such as a second tab of the same browser.
//! One that stays silent for [`RECONNECT_PING_MS`] gives way. Another node that has the player asks it in the same way. One
//! handshake waits for a session at a time: the newest takes the place of the one before it, which becomes a fresh player
//! at once, and the clock goes on.

use std::collections::{HashMap, HashSet};

use mio::Token;

use super::Server;
use super::connection::Phase;
use super::http::{Handshake, ResumedSession};
use crate::cluster::link::Record;
use crate::cluster::message::{NodeId, SessionOutcome};
use crate::limits::{RECONNECT_LOOKUP_MS, RECONNECT_OWNER_MS, RECONNECT_PING_MS, RECONNECTS_PENDING_MAX};
use crate::ops::metrics::{Closed, FrameOut, Reconnect};
use crate::sessions::{Lookup, SavedPlayer, SessionToken};
use crate::wire::websocket::Code;

/// The client or node that waits.
#[derive(Debug)]
pub(super) enum Asker {
    /// A client of this node.
    Client(Handshake),
    /// A node to which a client shows the token.
    Node(NodeId),
}

/// What is waited for.
#[derive(Debug)]
enum Awaits {
    /// A frame from this player's connection, after it was pinged.
    Frame {
        /// The connection.
        owner: Token,
        /// When it was heard last before that, in milliseconds of the loop's clock.
        before_ms: u64,
    },
    /// What the bus keeps.
    Bus,
    /// The answer of the node that has the player.
    Owner {
        /// What the bus has kept.
        record: Record,
        /// When the bus is asked a second time, unless it was: the player may have left just now.
        asks_again_ms: Option<u64>,
    },
}

#[derive(Debug)]
struct Wait {
    asker: Asker,
    /// The token that was shown.
    shown: SessionToken,
    awaits: Awaits,
    until_ms: u64,
}

/// All that wait, by the current token of the session as far as it is known. At most [`RECONNECTS_PENDING_MAX`].
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_ticket: HashMap<SessionToken, Wait>,
    /// The connections of those of this node.
    tokens: HashSet<Token>,
}

impl Waiters {
    /// Whether this connection's handshake waits.
    pub(super) fn contains(&self, token: Token) -> bool {
        !self.tokens.is_empty() && self.tokens.contains(&token)
    }

    /// One more waits. One that waited for the same session gives up its place, and is returned.
    fn push(&mut self, ticket: SessionToken, mut wait: Wait) -> Option<Asker> {
        let before = self.remove(ticket).map(|before| {
            (wait.awaits, wait.until_ms) = (before.awaits, before.until_ms);
            before.asker
        });
        if let Asker::Client(handshake) = &wait.asker {
            self.tokens.insert(handshake.token);
        }
        self.by_ticket.insert(ticket, wait);
        before
    }

    fn remove(&mut self, ticket: SessionToken) -> Option<Wait> {
        let wait = self.by_ticket.remove(&ticket)?;
        if let Asker::Client(handshake) = &wait.asker {
            self.tokens.remove(&handshake.token);
        }
        Some(wait)
    }
}

impl Server {
    /// A client shows the token of a player of this node: its connection is pinged, and the handshake waits for what comes.
    pub(super) fn ask_player(&mut self, asker: Asker, shown: SessionToken, owner: Token) {
        let (ticket, now_ms) = (self.sessions.current(shown), self.now_ms());
        if self.is_waiting_room_full(ticket) {
            return self.be_present(ticket, asker);
        }
        // One that is asked already has its own moment, and its answer may have come in this millisecond.
        let before_ms = if self.returning.by_ticket.contains_key(&ticket) {
            now_ms
        } else {
            self.ping_now(owner);
            self.forget_this_millisecond(owner)
        };
        let awaits = Awaits::Frame { owner, before_ms };
        self.let_wait(ticket, Wait { asker, shown, awaits, until_ms: now_ms + RECONNECT_PING_MS });
    }

    /// Lets a handshake wait until it is known elsewhere what becomes of its token.
    pub(super) fn ask_elsewhere(&mut self, handshake: Handshake, shown: SessionToken) {
        let asker = Asker::Client(handshake);
        if self.is_waiting_room_full(shown) {
            return self.be_present(shown, asker);
        }
        if !self.returning.by_ticket.contains_key(&shown)
            && let Some(cluster) = &mut self.cluster
        {
            cluster.want(shown);
        }
        let until_ms = self.now_ms() + RECONNECT_LOOKUP_MS;
        self.let_wait(shown, Wait { asker, shown, awaits: Awaits::Bus, until_ms });
    }

    fn is_waiting_room_full(&self, ticket: SessionToken) -> bool {
        let most = RECONNECTS_PENDING_MAX.min(self.http_connections.capacity() / 2).max(1);
        let waiting = &self.returning.by_ticket;
        waiting.len() >= most && !waiting.contains_key(&ticket)
    }

    fn let_wait(&mut self, ticket: SessionToken, wait: Wait) {
        if let Some(displaced) = self.returning.push(ticket, wait) {
            self.be_present(ticket, displaced);
        }
    }

    /// This is what was kept under a token.
    pub(super) fn fetched(&mut self, shown: SessionToken, record: Option<Record>) {
        let now_ms = self.now_ms();
        let Some(wait) = self.returning.by_ticket.get(&shown) else {
            // The handshake is over; its player may try again.
            if let Some(Record { ticket, saved, has_left: true, .. }) = record {
                self.sessions.put_back(ticket, saved, now_ms);
            }
            return;
        };
        let Some(record) = record else {
            if matches!(wait.awaits, Awaits::Bus) {
                self.end_wait(shown, Reconnect::Miss, None);
            }
            return;
        };
        let Some(cluster) = &mut self.cluster else { return };
        if !record.has_left && cluster.knows(record.node) {
            // Only that node can tell whether its player is there.
            let Some(wait) = self.returning.remove(shown) else { return };
            self.claim_elsewhere(record.ticket, record.node);
            let awaits = Awaits::Owner { record, asks_again_ms: Some(now_ms + RECONNECT_LOOKUP_MS) };
            let until_ms = now_ms + RECONNECT_OWNER_MS;
            self.let_wait(record.ticket, Wait { awaits, until_ms, ..wait });
        } else if record.saved.may_reconnect() {
            self.end_wait(shown, Reconnect::Hit, Some(record.saved));
        } else {
            self.sessions.put_back(record.ticket, record.saved, now_ms);
            self.end_wait(shown, Reconnect::TooSoon, None);
        }
    }

    /// The node of a token's player has answered.
    pub(super) fn answered_elsewhere(&mut self, ticket: SessionToken, fate: SessionOutcome) {
        match fate {
            SessionOutcome::Transferred(saved) => self.end_wait(ticket, Reconnect::TakenOver, Some(saved)),
            SessionOutcome::Active => self.end_wait(ticket, Reconnect::SecondTab, None),
            SessionOutcome::Unknown => {
                let until_ms = self.now_ms() + RECONNECT_LOOKUP_MS;
                let Some(wait) = self.returning.by_ticket.get_mut(&ticket) else { return };
                // If it has left, that has been written down by now.
                (wait.awaits, wait.until_ms) = (Awaits::Bus, until_ms);
                if let Some(cluster) = &mut self.cluster {
                    cluster.want(ticket);
                }
            }
        }
    }

    /// A client shows a token to another node, and its player should be here.
    pub(super) fn hand_over(&mut self, ticket: SessionToken, asker: NodeId) {
        match self.sessions.take(ticket, self.now_ms()) {
            Lookup::Active(owner) => self.ask_player(Asker::Node(asker), ticket, owner),
            Lookup::Disconnected(saved) => {
                self.answer_claim(ticket, asker, SessionOutcome::Transferred(saved))
            }
            Lookup::TooSoon => self.answer_claim(ticket, asker, SessionOutcome::Active),
            Lookup::Unknown => self.answer_claim(ticket, asker, SessionOutcome::Unknown),
        }
    }

    /// Ends the waits that are over. To be called with each tick.
    pub(super) fn tend_waits(&mut self) {
        if self.returning.by_ticket.is_empty() {
            return;
        }
        let waiting: Vec<SessionToken> = self.returning.by_ticket.keys().copied().collect();
        for ticket in waiting {
            self.tend_wait(ticket);
        }
    }

    fn tend_wait(&mut self, ticket: SessionToken) {
        let now_ms = self.now_ms();
        let Some(wait) = self.returning.by_ticket.get_mut(&ticket) else { return };
        let is_over = now_ms >= wait.until_ms;
        match &mut wait.awaits {
            &mut Awaits::Frame { owner, before_ms } => match self.heard_ms(owner) {
                Some(heard_ms) if heard_ms > before_ms => self.end_wait(ticket, Reconnect::SecondTab, None),
                Some(_) if is_over => self.give_over(ticket, owner),
                Some(_) => {}
                // Its connection has ended meanwhile.
                None => self.give_over(ticket, owner),
            },
            Awaits::Bus if is_over => self.end_wait(ticket, Reconnect::Miss, None),
            Awaits::Owner { record, .. } if is_over => {
                // Nothing more is to be heard: what was kept must do.
                let saved = record.saved;
                self.end_wait(ticket, Reconnect::Hit, Some(saved));
            }
            Awaits::Owner { asks_again_ms, .. } if asks_again_ms.is_some_and(|at_ms| now_ms >= at_ms) => {
                *asks_again_ms = None;
                if let Some(cluster) = &mut self.cluster {
                    cluster.want(ticket);
                }
            }
            Awaits::Bus | Awaits::Owner { .. } => {}
        }
    }

    /// The session goes on with the handshake that waits for it: its player's connection is silent, or has ended.
    fn give_over(&mut self, ticket: SessionToken, owner: Token) {
        let Some(Wait { asker, shown, .. }) = self.returning.remove(ticket) else { return };
        match asker {
            Asker::Client(handshake) => {
                if !self.is_waiting(handshake.token) {
                    return;
                }
                let was_playing = self.sessions.player(ticket).is_some();
                self.close_player(owner, Code::GoingAway, "gone on elsewhere", Closed::TakenOver);
                if self.table.get(owner).is_some() {
                    self.peer_addresses.replace(owner, handshake.token);
                }
                let (outcome, saved) = match self.sessions.take(shown, self.now_ms()) {
                    Lookup::Disconnected(saved) if was_playing => (Reconnect::TakenOver, Some(saved)),
                    Lookup::Disconnected(saved) => (Reconnect::Hit, Some(saved)),
                    Lookup::TooSoon => (Reconnect::TooSoon, None),
                    Lookup::Active(_) | Lookup::Unknown => (Reconnect::Miss, None),
                };
                self.metrics.reconnects[outcome] += 1;
                self.admit_handshake(&handshake, saved.map(|saved| ResumedSession { shown, saved }).as_ref());
            }
            Asker::Node(node) => {
                let Some(saved) = self.saved_of(owner) else { return self.hand_over(ticket, node) };
                self.sessions.release(ticket);
                self.close_player(owner, Code::GoingAway, "gone on elsewhere", Closed::TakenOver);
                self.answer_claim(ticket, node, SessionOutcome::Transferred(saved));
            }
        }
    }

    /// Ends a wait with its outcome.
    fn end_wait(&mut self, ticket: SessionToken, outcome: Reconnect, saved: Option<SavedPlayer>) {
        let Some(Wait { asker, shown, .. }) = self.returning.remove(ticket) else { return };
        match asker {
            Asker::Client(handshake) => {
                self.metrics.reconnects[outcome] += 1;
                self.admit_handshake(&handshake, saved.map(|saved| ResumedSession { shown, saved }).as_ref());
            }
            // Nodes wait for nothing but a player's frames.
            Asker::Node(node) => self.answer_claim(ticket, node, SessionOutcome::Active),
        }
    }

    /// The token is in use and stays so.
    fn be_present(&mut self, ticket: SessionToken, asker: Asker) {
        match asker {
            Asker::Client(handshake) => {
                self.metrics.reconnects[Reconnect::SecondTab] += 1;
                self.admit_handshake(&handshake, None);
            }
            Asker::Node(node) => self.answer_claim(ticket, node, SessionOutcome::Active),
        }
    }

    /// Whether this connection is still there to become a player.
    pub(super) fn is_waiting(&self, token: Token) -> bool {
        self.table.get(token).is_some_and(|connection| matches!(connection.phase, Phase::Http(_)))
    }

    /// When a frame of this player's connection arrived last; none if it is no player any more.
    fn heard_ms(&self, owner: Token) -> Option<u64> {
        match &self.table.get(owner)?.phase {
            Phase::Player { player, .. } => Some(player.heard_ms),
            _ => None,
        }
    }

    /// What a player's connection said in the millisecond under way counts as said before it: an answer to a ping comes later.
    /// Returns when it was heard last.
    fn forget_this_millisecond(&mut self, owner: Token) -> u64 {
        let before_ms = self.now_ms().saturating_sub(1);
        if let Some(connection) = self.table.get_mut(owner)
            && let Phase::Player { player, .. } = &mut connection.phase
        {
            player.heard_ms = player.heard_ms.min(before_ms);
            return player.heard_ms;
        }
        before_ms
    }

    /// Pings a player's connection, unless it takes nothing at present.
    pub(super) fn ping_now(&mut self, token: Token) {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { player, .. } = &mut connection.phase else { return };
        player.pinged_ms = now_ms;
        // Behind unread bytes a ping would only add to them.
        if connection.outbox.is_empty() {
            player.session.ping(connection.outbox.bytes());
            self.metrics.frames_out[FrameOut::Ping] += 1;
            self.list_as_replied(token);
        }
    }
}

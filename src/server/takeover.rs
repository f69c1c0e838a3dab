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
pub(super) enum Requester {
    /// A client of this node.
    Client(Handshake),
    /// A node to which a client shows the token.
    Node(NodeId),
}

/// What is waited for.
#[derive(Debug)]
enum Awaiting {
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
        retry_ms: Option<u64>,
    },
}

#[derive(Debug)]
struct PendingReconnect {
    requester: Requester,
    /// The token that was shown.
    presented: SessionToken,
    awaiting: Awaiting,
    deadline_ms: u64,
}

/// All that wait, by the current token of the session as far as it is known. At most [`RECONNECTS_PENDING_MAX`].
#[derive(Debug, Default)]
pub(super) struct PendingReconnects {
    by_token: HashMap<SessionToken, PendingReconnect>,
    /// The connections of those of this node.
    tokens: HashSet<Token>,
}

impl PendingReconnects {
    /// Whether this connection's handshake waits.
    pub(super) fn contains(&self, token: Token) -> bool {
        !self.tokens.is_empty() && self.tokens.contains(&token)
    }

    /// One more waits. One that waited for the same session gives up its place, and is returned.
    fn push(&mut self, session: SessionToken, mut pending: PendingReconnect) -> Option<Requester> {
        let before = self.remove(session).map(|before| {
            (pending.awaiting, pending.deadline_ms) = (before.awaiting, before.deadline_ms);
            before.requester
        });
        if let Requester::Client(handshake) = &pending.requester {
            self.tokens.insert(handshake.token);
        }
        self.by_token.insert(session, pending);
        before
    }

    fn remove(&mut self, session: SessionToken) -> Option<PendingReconnect> {
        let pending = self.by_token.remove(&session)?;
        if let Requester::Client(handshake) = &pending.requester {
            self.tokens.remove(&handshake.token);
        }
        Some(pending)
    }
}

impl Server {
    /// A client shows the token of a player of this node: its connection is pinged, and the handshake waits for what comes.
    pub(super) fn ping_owner(&mut self, requester: Requester, presented: SessionToken, owner: Token) {
        let (session, now_ms) = (self.sessions.current(presented), self.now_ms());
        if self.is_pending_full(session) {
            return self.resolve_in_use(session, requester);
        }
        // One that is asked already has its own moment, and its answer may have come in this millisecond.
        let before_ms = if self.reconnects.by_token.contains_key(&session) {
            now_ms
        } else {
            self.ping_player(owner);
            self.discount_current_ms(owner)
        };
        let awaiting = Awaiting::Frame { owner, before_ms };
        self.add_pending(
            session,
            PendingReconnect { requester, presented, awaiting, deadline_ms: now_ms + RECONNECT_PING_MS },
        );
    }

    /// Lets a handshake wait until it is known elsewhere what becomes of its token.
    pub(super) fn fetch_remote_session(&mut self, handshake: Handshake, presented: SessionToken) {
        let requester = Requester::Client(handshake);
        if self.is_pending_full(presented) {
            return self.resolve_in_use(presented, requester);
        }
        if !self.reconnects.by_token.contains_key(&presented)
            && let Some(cluster) = &mut self.cluster
        {
            cluster.fetch_session(presented);
        }
        let deadline_ms = self.now_ms() + RECONNECT_LOOKUP_MS;
        self.add_pending(
            presented,
            PendingReconnect { requester, presented, awaiting: Awaiting::Bus, deadline_ms },
        );
    }

    fn is_pending_full(&self, session: SessionToken) -> bool {
        let most = RECONNECTS_PENDING_MAX.min(self.http_connections.capacity() / 2).max(1);
        let waiting = &self.reconnects.by_token;
        waiting.len() >= most && !waiting.contains_key(&session)
    }

    fn add_pending(&mut self, session: SessionToken, pending: PendingReconnect) {
        if let Some(displaced) = self.reconnects.push(session, pending) {
            self.resolve_in_use(session, displaced);
        }
    }

    /// This is what was kept under a token.
    pub(super) fn session_fetched(&mut self, presented: SessionToken, record: Option<Record>) {
        let now_ms = self.now_ms();
        let Some(pending) = self.reconnects.by_token.get(&presented) else {
            // The handshake is over; its player may try again.
            if let Some(Record { ticket: session, saved, has_left: true, .. }) = record {
                self.sessions.put_back(session, saved, now_ms);
            }
            return;
        };
        let Some(record) = record else {
            if matches!(pending.awaiting, Awaiting::Bus) {
                self.resolve(presented, Reconnect::Miss, None);
            }
            return;
        };
        let Some(cluster) = &mut self.cluster else { return };
        if !record.has_left && cluster.is_peer_alive(record.node) {
            // Only that node can tell whether its player is there.
            let Some(pending) = self.reconnects.remove(presented) else { return };
            self.claim_session(record.ticket, record.node);
            let awaiting = Awaiting::Owner { record, retry_ms: Some(now_ms + RECONNECT_LOOKUP_MS) };
            let deadline_ms = now_ms + RECONNECT_OWNER_MS;
            self.add_pending(record.ticket, PendingReconnect { awaiting, deadline_ms, ..pending });
        } else if record.saved.may_reconnect() {
            self.resolve(presented, Reconnect::Hit, Some(record.saved));
        } else {
            self.sessions.put_back(record.ticket, record.saved, now_ms);
            self.resolve(presented, Reconnect::TooSoon, None);
        }
    }

    /// The node of a token's player has answered.
    pub(super) fn owner_answered(&mut self, session: SessionToken, fate: SessionOutcome) {
        match fate {
            SessionOutcome::Transferred(saved) => self.resolve(session, Reconnect::TakenOver, Some(saved)),
            SessionOutcome::Active => self.resolve(session, Reconnect::SecondTab, None),
            SessionOutcome::Unknown => {
                let deadline_ms = self.now_ms() + RECONNECT_LOOKUP_MS;
                let Some(pending) = self.reconnects.by_token.get_mut(&session) else { return };
                // If it has left, that has been written down by now.
                (pending.awaiting, pending.deadline_ms) = (Awaiting::Bus, deadline_ms);
                if let Some(cluster) = &mut self.cluster {
                    cluster.fetch_session(session);
                }
            }
        }
    }

    /// A client shows a token to another node, and its player should be here.
    pub(super) fn release_to_node(&mut self, session: SessionToken, requester: NodeId) {
        match self.sessions.take(session, self.now_ms()) {
            Lookup::Active(owner) => self.ping_owner(Requester::Node(requester), session, owner),
            Lookup::Disconnected(saved) => {
                self.answer_claim(session, requester, SessionOutcome::Transferred(saved))
            }
            Lookup::TooSoon => self.answer_claim(session, requester, SessionOutcome::Active),
            Lookup::Unknown => self.answer_claim(session, requester, SessionOutcome::Unknown),
        }
    }

    /// Ends the waits that are over. To be called with each tick.
    pub(super) fn poll_reconnects(&mut self) {
        if self.reconnects.by_token.is_empty() {
            return;
        }
        let waiting: Vec<SessionToken> = self.reconnects.by_token.keys().copied().collect();
        for session in waiting {
            self.poll_reconnect(session);
        }
    }

    fn poll_reconnect(&mut self, session: SessionToken) {
        let now_ms = self.now_ms();
        let Some(pending) = self.reconnects.by_token.get_mut(&session) else { return };
        let is_over = now_ms >= pending.deadline_ms;
        match &mut pending.awaiting {
            &mut Awaiting::Frame { owner, before_ms } => match self.last_frame_ms(owner) {
                Some(last_frame_ms) if last_frame_ms > before_ms => {
                    self.resolve(session, Reconnect::SecondTab, None);
                }
                Some(_) if is_over => self.take_over_session(session, owner),
                Some(_) => {}
                // Its connection has ended meanwhile.
                None => self.take_over_session(session, owner),
            },
            Awaiting::Bus if is_over => self.resolve(session, Reconnect::Miss, None),
            Awaiting::Owner { record, .. } if is_over => {
                // Nothing more is to be heard: what was kept must do.
                let saved = record.saved;
                self.resolve(session, Reconnect::Hit, Some(saved));
            }
            Awaiting::Owner { retry_ms, .. } if retry_ms.is_some_and(|at_ms| now_ms >= at_ms) => {
                *retry_ms = None;
                if let Some(cluster) = &mut self.cluster {
                    cluster.fetch_session(session);
                }
            }
            Awaiting::Bus | Awaiting::Owner { .. } => {}
        }
    }

    /// The session goes on with the handshake that waits for it: its player's connection is silent, or has ended.
    fn take_over_session(&mut self, session: SessionToken, owner: Token) {
        let Some(PendingReconnect { requester, presented, .. }) = self.reconnects.remove(session) else {
            return;
        };
        match requester {
            Requester::Client(handshake) => {
                if !self.is_http(handshake.token) {
                    return;
                }
                let was_active = self.sessions.player(session).is_some();
                self.close_player(owner, Code::GoingAway, "gone on elsewhere", Closed::TakenOver);
                if self.table.get(owner).is_some() {
                    self.peer_addresses.replace(owner, handshake.token);
                }
                let (outcome, saved) = match self.sessions.take(presented, self.now_ms()) {
                    Lookup::Disconnected(saved) if was_active => (Reconnect::TakenOver, Some(saved)),
                    Lookup::Disconnected(saved) => (Reconnect::Hit, Some(saved)),
                    Lookup::TooSoon => (Reconnect::TooSoon, None),
                    Lookup::Active(_) | Lookup::Unknown => (Reconnect::Miss, None),
                };
                self.metrics.reconnects[outcome] += 1;
                self.admit_handshake(
                    &handshake,
                    saved.map(|saved| ResumedSession { presented, saved }).as_ref(),
                );
            }
            Requester::Node(node) => {
                let Some(saved) = self.saved_player(owner) else {
                    return self.release_to_node(session, node);
                };
                self.sessions.release(session);
                self.close_player(owner, Code::GoingAway, "gone on elsewhere", Closed::TakenOver);
                self.answer_claim(session, node, SessionOutcome::Transferred(saved));
            }
        }
    }

    /// Ends a wait with its outcome.
    fn resolve(&mut self, session: SessionToken, outcome: Reconnect, saved: Option<SavedPlayer>) {
        let Some(PendingReconnect { requester, presented, .. }) = self.reconnects.remove(session) else {
            return;
        };
        match requester {
            Requester::Client(handshake) => {
                self.metrics.reconnects[outcome] += 1;
                self.admit_handshake(
                    &handshake,
                    saved.map(|saved| ResumedSession { presented, saved }).as_ref(),
                );
            }
            // Nodes wait for nothing but a player's frames.
            Requester::Node(node) => self.answer_claim(session, node, SessionOutcome::Active),
        }
    }

    /// The token is in use and stays so.
    fn resolve_in_use(&mut self, session: SessionToken, requester: Requester) {
        match requester {
            Requester::Client(handshake) => {
                self.metrics.reconnects[Reconnect::SecondTab] += 1;
                self.admit_handshake(&handshake, None);
            }
            Requester::Node(node) => self.answer_claim(session, node, SessionOutcome::Active),
        }
    }

    /// Whether this connection is still there to become a player.
    pub(super) fn is_http(&self, token: Token) -> bool {
        self.table.get(token).is_some_and(|connection| matches!(connection.phase, Phase::Http(_)))
    }

    /// When a frame of this player's connection arrived last; none if it is no player any more.
    fn last_frame_ms(&self, owner: Token) -> Option<u64> {
        match &self.table.get(owner)?.phase {
            Phase::Player { player, .. } => Some(player.last_frame_ms),
            _ => None,
        }
    }

    /// What a player's connection said in the millisecond under way counts as said before it: an answer to a ping comes later.
    /// Returns when it was heard last.
    fn discount_current_ms(&mut self, owner: Token) -> u64 {
        let before_ms = self.now_ms().saturating_sub(1);
        if let Some(connection) = self.table.get_mut(owner)
            && let Phase::Player { player, .. } = &mut connection.phase
        {
            player.last_frame_ms = player.last_frame_ms.min(before_ms);
            return player.last_frame_ms;
        }
        before_ms
    }

    /// Pings a player's connection, unless it takes nothing at present.
    pub(super) fn ping_player(&mut self, token: Token) {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { player, .. } = &mut connection.phase else { return };
        player.last_ping_ms = now_ms;
        // Behind unread bytes a ping would only add to them.
        if connection.outbox.is_empty() {
            player.websocket.ping(connection.outbox.bytes());
            self.metrics.frames_out[FrameOut::Ping] += 1;
            self.queue_write(token);
        }
    }
}

//! Session takeover: a handshake whose session is in use, on this node or another, waits here without blocking the event loop.
//!
//! The connection in use is pinged. If it replies, it is alive, and the handshake becomes a new player, such as a second tab
//! of the same browser. If it stays silent for [`RECONNECT_PING_MS`], the handshake takes over the session. A node that gets a
//! handshake for another node's player sends a request, and the owner pings the player in the same way.
//!
//! At most one handshake waits per session. A newer one replaces it and keeps its deadline; the replaced one becomes a new
//! player immediately.

use std::collections::{HashMap, HashSet};

use super::table::Token;

use super::Core;
use super::connection::Phase;
use super::http::{Handshake, ResumedSession};
use super::system::System;
use crate::cluster::link::Record;
use crate::cluster::message::{NodeId, SessionOutcome};
use crate::limits::{RECONNECT_LOOKUP_MS, RECONNECT_OWNER_MS, RECONNECT_PING_MS, RECONNECTS_PENDING_MAX};
use crate::ops::metrics::{Closed, FrameOut, Reconnect};
use crate::sessions::{Lookup, SavedPlayer, SessionToken};
use crate::wire::websocket::Code;

/// The client or node that requests a session.
#[derive(Debug)]
pub(super) enum Requester {
    /// A handshake of this node.
    Client(Handshake),
    /// A node to which a client presented the token.
    Node(NodeId),
}

/// The event that decides a pending reconnect.
#[derive(Debug)]
enum Awaiting {
    /// A frame from the owner's connection after the ping.
    Frame {
        /// The player's connection.
        owner: Token,
        /// Arrival of its last frame before the ping, in milliseconds of the loop's clock.
        before_ms: u64,
    },
    /// The bus's entry of the session.
    Bus,
    /// The reply of the node that owns the player.
    Owner {
        /// The bus's entry, used if the owner doesn't reply.
        record: Record,
        /// Time to query the bus again, in case the player has just left the owner; `None` after that.
        retry_ms: Option<u64>,
    },
}

#[derive(Debug)]
struct PendingReconnect {
    requester: Requester,
    /// The token that the client presented.
    presented: SessionToken,
    awaiting: Awaiting,
    deadline_ms: u64,
}

/// Pending reconnects by the session's current token, or the presented one while the current one is unknown. At most
/// [`RECONNECTS_PENDING_MAX`].
#[derive(Debug, Default)]
pub(super) struct PendingReconnects {
    by_token: HashMap<SessionToken, PendingReconnect>,
    /// The connections of this node's pending handshakes.
    tokens: HashSet<Token>,
}

impl PendingReconnects {
    /// Whether this connection's handshake is pending.
    pub(super) fn contains(&self, token: Token) -> bool {
        !self.tokens.is_empty() && self.tokens.contains(&token)
    }

    /// Adds a pending reconnect. It inherits the deadline of an older one for the same session, whose requester is returned.
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

impl<S: System> Core<S> {
    /// Pings the player whose token was presented. The requester then waits for a frame.
    pub(super) fn ping_owner(&mut self, requester: Requester, presented: SessionToken, owner: Token) {
        let (session, now_ms) = (self.sessions.current(presented), self.now_ms());
        if self.is_pending_full(session) {
            return self.resolve_in_use(session, requester);
        }
        // If the owner is being pinged already, the deadline is inherited, and the pong may have arrived in this millisecond.
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

    /// Queries the bus for the session. The handshake then waits for the entry.
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

    /// Handles the bus's entry of a session.
    pub(super) fn session_fetched(&mut self, presented: SessionToken, record: Option<Record>) {
        let now_ms = self.now_ms();
        let Some(pending) = self.reconnects.by_token.get(&presented) else {
            // The handshake is gone. The state is kept, so that the client can retry.
            if let Some(Record { token: session, saved, has_left: true, .. }) = record {
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
            // Only the owner knows whether its player is still connected.
            let Some(pending) = self.reconnects.remove(presented) else { return };
            self.claim_session(record.token, record.node);
            let awaiting = Awaiting::Owner { record, retry_ms: Some(now_ms + RECONNECT_LOOKUP_MS) };
            let deadline_ms = now_ms + RECONNECT_OWNER_MS;
            self.add_pending(record.token, PendingReconnect { awaiting, deadline_ms, ..pending });
        } else if record.saved.may_reconnect() {
            self.resolve(presented, Reconnect::Hit, Some(record.saved));
        } else {
            self.sessions.put_back(record.token, record.saved, now_ms);
            self.resolve(presented, Reconnect::TooSoon, None);
        }
    }

    /// Handles the reply of the node that owns a session's player.
    pub(super) fn owner_answered(&mut self, session: SessionToken, fate: SessionOutcome) {
        match fate {
            SessionOutcome::Transferred(saved) => self.resolve(session, Reconnect::TakenOver, Some(saved)),
            SessionOutcome::Active => self.resolve(session, Reconnect::SecondTab, None),
            SessionOutcome::Unknown => {
                let deadline_ms = self.now_ms() + RECONNECT_LOOKUP_MS;
                let Some(pending) = self.reconnects.by_token.get_mut(&session) else { return };
                // If the player has left the owner, the bus has its state by now.
                (pending.awaiting, pending.deadline_ms) = (Awaiting::Bus, deadline_ms);
                if let Some(cluster) = &mut self.cluster {
                    cluster.fetch_session(session);
                }
            }
        }
    }

    /// Handles another node's request for a session whose player should be here.
    pub(super) fn release_to_node(&mut self, session: SessionToken, requester: NodeId) {
        match self.sessions.take(session, self.now_ms()) {
            Lookup::Active(owner) => self.ping_owner(Requester::Node(requester), session, owner),
            Lookup::Disconnected(saved) => {
                self.answer_claim(session, requester, SessionOutcome::Transferred(saved));
            }
            Lookup::TooSoon => self.answer_claim(session, requester, SessionOutcome::Active),
            Lookup::Unknown => self.answer_claim(session, requester, SessionOutcome::Unknown),
        }
    }

    /// Resolves the pending reconnects whose event has arrived or whose deadline has passed. Called once per tick.
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
                // The connection has closed meanwhile.
                None => self.take_over_session(session, owner),
            },
            Awaiting::Bus if is_over => self.resolve(session, Reconnect::Miss, None),
            Awaiting::Owner { record, .. } if is_over => {
                // The owner did not reply in time: fall back on the bus's entry.
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

    /// Gives the session to its requester, since the player's connection is silent or has closed.
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

    /// Ends a pending reconnect with this outcome.
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
            // A node's request only ever waits for a frame.
            Requester::Node(node) => self.answer_claim(session, node, SessionOutcome::Active),
        }
    }

    /// Treats the session as in use: a client becomes a new player, and a node gets the reply `Active`.
    fn resolve_in_use(&mut self, session: SessionToken, requester: Requester) {
        match requester {
            Requester::Client(handshake) => {
                self.metrics.reconnects[Reconnect::SecondTab] += 1;
                self.admit_handshake(&handshake, None);
            }
            Requester::Node(node) => self.answer_claim(session, node, SessionOutcome::Active),
        }
    }

    /// Whether this connection is still open and in the HTTP phase, so that it can become a player.
    pub(super) fn is_http(&self, token: Token) -> bool {
        self.table.get(token).is_some_and(|connection| matches!(connection.phase, Phase::Http(_)))
    }

    /// Returns the arrival of this player's last frame, in milliseconds of the loop's clock; `None` if it is no longer a player.
    fn last_frame_ms(&self, owner: Token) -> Option<u64> {
        match &self.table.get(owner)?.phase {
            Phase::Player { player, .. } => Some(player.last_frame_ms),
            _ => None,
        }
    }

    /// Backdates a frame of the current millisecond by one millisecond, since the pong can only arrive later. Returns the arrival
    /// of the last frame.
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

    /// Pings a player's connection, unless it has a write backlog.
    pub(super) fn ping_player(&mut self, token: Token) {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { player, .. } = &mut connection.phase else { return };
        player.last_ping_ms = now_ms;
        // With a backlog, a ping would only add to it.
        if connection.outbox.is_empty() {
            player.websocket.ping(connection.outbox.bytes());
            self.metrics.frames_out[FrameOut::Ping] += 1;
            self.queue_write(token);
        }
    }
}

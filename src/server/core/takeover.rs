//! Session takeover: a handshake whose session is in use, on this node or another, waits here without blocking the event loop.
//!
//! The connection in use is pinged. If it replies, it is alive, and the handshake becomes a new player, such as a second tab
//! of the same browser. If it stays silent for [`RECONNECT_PING_MS`], the handshake takes over the session. A node that gets a
//! handshake for another node's player sends a request, and the owner pings the player in the same way.
//!
//! At most one handshake waits per session. A newer one replaces it and keeps its deadline; the replaced one becomes a new
//! player immediately.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

use super::connection::Phase;
use super::http::{Handshake, ResumedSession};
use super::system::System;
use super::table::Token;
use super::{Core, authentication, close, cluster, http, player, reconnect};
use crate::cluster::link::Record;
use crate::cluster::message::{NodeId, SessionOutcome};
use crate::limits::{RECONNECT_LOOKUP_MS, RECONNECT_OWNER_MS, RECONNECT_PING_MS, RECONNECTS_PENDING_MAX};
use crate::ops::metrics::{Closed, FrameOut, Reconnect};
use crate::sessions::{Lookup, SavedPlayer, SessionToken};
use crate::wire::websocket::Code;

/// The client or node that requests a session.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Requester {
    /// A handshake of this node.
    Client(Handshake),
    /// A node to which a client presented the token.
    Node(NodeId),
}

impl Requester {
    fn client(&self) -> Option<&Handshake> {
        match self {
            Self::Client(handshake) => Some(handshake),
            Self::Node(_) => None,
        }
    }
}

/// The event that decides a pending reconnect.
#[derive(Debug, Serialize, Deserialize)]
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

/// What a pending reconnect's event or deadline requires.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// The owner is alive: the requester becomes a second player.
    SecondTab,
    /// The owner, on this connection, is silent or closed: the requester gets the session.
    TakeOver(Token),
    /// The bus has no entry.
    Miss,
    /// The bus's entry counts.
    Hit(Record),
    /// The bus is queried once more.
    QueryAgain,
}

#[derive(Debug, Serialize, Deserialize)]
struct PendingReconnect {
    requester: Requester,
    /// The token that the client presented.
    presented: SessionToken,
    awaiting: Awaiting,
    deadline_ms: u64,
}

/// Pending reconnects by the session's current token, or the presented one; at most [`RECONNECTS_PENDING_MAX`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct PendingReconnects {
    by_token: BTreeMap<SessionToken, PendingReconnect>,
    /// The connections of this node's pending handshakes.
    tokens: HashSet<Token>,
}

impl PendingReconnects {
    /// Whether this connection's handshake is pending.
    pub(super) fn contains(&self, token: Token) -> bool {
        !self.tokens.is_empty() && self.tokens.contains(&token)
    }

    /// Returns the number of pending reconnects.
    pub(super) fn len(&self) -> usize {
        self.by_token.len()
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

    /// Returns the reconnects whose event has arrived or whose deadline has passed, in the order of their tokens.
    /// `last_frame_ms` returns the arrival of a player's last frame; `None` if the connection is no longer a player.
    fn due(
        &mut self,
        now_ms: u64,
        last_frame_ms: impl Fn(Token) -> Option<u64>,
    ) -> Vec<(SessionToken, Decision)> {
        let decide = |pending: &mut PendingReconnect| {
            let is_over = now_ms >= pending.deadline_ms;
            match &mut pending.awaiting {
                &mut Awaiting::Frame { owner, before_ms } => match last_frame_ms(owner) {
                    Some(last_frame_ms) if last_frame_ms > before_ms => Some(Decision::SecondTab),
                    Some(_) if !is_over => None,
                    // Silent, or closed meanwhile.
                    Some(_) | None => Some(Decision::TakeOver(owner)),
                },
                Awaiting::Bus => is_over.then_some(Decision::Miss),
                // The owner did not reply in time: the bus's entry has to do.
                Awaiting::Owner { record, .. } if is_over => Some(Decision::Hit(*record)),
                Awaiting::Owner { retry_ms, .. } => {
                    retry_ms.take_if(|at_ms| now_ms >= *at_ms).map(|_| Decision::QueryAgain)
                }
            }
        };
        let pending = self.by_token.iter_mut();
        pending.filter_map(|(&session, pending)| Some((session, decide(pending)?))).collect()
    }

    fn remove(&mut self, session: SessionToken) -> Option<PendingReconnect> {
        let pending = self.by_token.remove(&session)?;
        if let Requester::Client(handshake) = &pending.requester {
            self.tokens.remove(&handshake.token);
        }
        Some(pending)
    }
}

/// Pings the player whose token was presented. The requester then waits for a frame.
pub(super) fn ping_owner<S: System>(
    core: &mut Core<S>,
    requester: Requester,
    presented: SessionToken,
    owner: Token,
) {
    let (session, now_ms) = (core.sessions.store.current(presented), core.clock.now_ms());
    if is_pending_full(core, session) {
        return resolve_in_use(core, session, requester);
    }
    // If the owner is being pinged already, the deadline is inherited, and the pong may have arrived in this millisecond.
    let before_ms = if core.sessions.pending.by_token.contains_key(&session) {
        now_ms
    } else {
        ping_player(core, owner);
        discount_current_ms(core, owner)
    };
    let awaiting = Awaiting::Frame { owner, before_ms };
    add_pending(
        core,
        session,
        PendingReconnect { requester, presented, awaiting, deadline_ms: now_ms + RECONNECT_PING_MS },
    );
}

/// Queries the bus for the session. The handshake then waits for the entry.
pub(super) fn fetch_remote_session<S: System>(
    core: &mut Core<S>,
    handshake: Handshake,
    presented: SessionToken,
) {
    let requester = Requester::Client(handshake);
    if is_pending_full(core, presented) {
        return resolve_in_use(core, presented, requester);
    }
    if !core.sessions.pending.by_token.contains_key(&presented)
        && let Some(cluster) = &mut core.cluster
    {
        cluster.fetch_session(presented);
    }
    let deadline_ms = core.clock.now_ms() + RECONNECT_LOOKUP_MS;
    add_pending(
        core,
        presented,
        PendingReconnect { requester, presented, awaiting: Awaiting::Bus, deadline_ms },
    );
}

fn is_pending_full<S: System>(core: &Core<S>, session: SessionToken) -> bool {
    let most = RECONNECTS_PENDING_MAX.min(core.gate.http_connections.capacity() / 2).max(1);
    let waiting = &core.sessions.pending.by_token;
    waiting.len() >= most && !waiting.contains_key(&session)
}

fn add_pending<S: System>(core: &mut Core<S>, session: SessionToken, pending: PendingReconnect) {
    if let Some(displaced) = core.sessions.pending.push(session, pending) {
        resolve_in_use(core, session, displaced);
    }
}

/// Handles the bus's entry of a session.
pub(super) fn session_fetched<S: System>(
    core: &mut Core<S>,
    presented: SessionToken,
    record: Option<Record>,
) {
    let now_ms = core.clock.now_ms();
    let Some(pending) = core.sessions.pending.by_token.get(&presented) else {
        // The handshake is gone. The state is kept, so that the client can retry.
        if let Some(Record { token: session, saved, player: None, .. }) = record {
            core.sessions.store.put_back(session, saved, now_ms);
        }
        return;
    };
    let Some(record) = record else {
        if matches!(pending.awaiting, Awaiting::Bus) {
            resolve(core, presented, Reconnect::Miss, None);
        }
        return;
    };
    let is_foreign = pending.requester.client().is_some_and(|handshake| !handshake.may_resume(&record.saved));
    let Some(cluster) = &mut core.cluster else { return };
    let is_active = record.player.is_some() && cluster.is_peer_alive(record.node);
    if is_foreign {
        // The owner writes the entry of an active session again.
        if !is_active {
            core.sessions.store.put_back(record.token, record.saved, now_ms);
        }
        resolve(core, presented, Reconnect::OtherAccount, None);
    } else if is_active {
        // Only the owner knows whether its player is still connected.
        let Some(pending) = core.sessions.pending.remove(presented) else { return };
        cluster::claim_session(core, record.token, record.node);
        let awaiting = Awaiting::Owner { record, retry_ms: Some(now_ms + RECONNECT_LOOKUP_MS) };
        let deadline_ms = now_ms + RECONNECT_OWNER_MS;
        add_pending(core, record.token, PendingReconnect { awaiting, deadline_ms, ..pending });
    } else if record.saved.may_reconnect() {
        let saved = cluster::with_last_place(core, &record);
        resolve(core, presented, Reconnect::Hit, Some(saved));
    } else {
        core.sessions.store.put_back(record.token, record.saved, now_ms);
        resolve(core, presented, Reconnect::TooSoon, None);
    }
}

/// Handles the reply of the node that owns a session's player.
pub(super) fn owner_answered<S: System>(core: &mut Core<S>, session: SessionToken, fate: SessionOutcome) {
    match fate {
        SessionOutcome::Transferred(saved) => resolve(core, session, Reconnect::TakenOver, Some(saved)),
        SessionOutcome::Active => resolve(core, session, Reconnect::SecondTab, None),
        SessionOutcome::Unknown => {
            let deadline_ms = core.clock.now_ms() + RECONNECT_LOOKUP_MS;
            let Some(pending) = core.sessions.pending.by_token.get_mut(&session) else { return };
            // If the player has left the owner, the bus has its state by now.
            (pending.awaiting, pending.deadline_ms) = (Awaiting::Bus, deadline_ms);
            if let Some(cluster) = &mut core.cluster {
                cluster.fetch_session(session);
            }
        }
    }
}

/// Handles another node's request for a session whose player should be here.
pub(super) fn release_to_node<S: System>(core: &mut Core<S>, session: SessionToken, requester: NodeId) {
    match core.sessions.store.take(session, core.clock.now_ms()) {
        Lookup::Active(owner) => ping_owner(core, Requester::Node(requester), session, owner),
        Lookup::Disconnected(saved) => {
            cluster::answer_claim(core, session, requester, SessionOutcome::Transferred(saved));
        }
        Lookup::TooSoon => cluster::answer_claim(core, session, requester, SessionOutcome::Active),
        Lookup::Unknown => cluster::answer_claim(core, session, requester, SessionOutcome::Unknown),
    }
}

/// Resolves the pending reconnects whose event has arrived or whose deadline has passed. Called once per tick.
pub(super) fn poll_reconnects<S: System>(core: &mut Core<S>) {
    let Core { sessions, connections, clock, .. } = core;
    let last_frame_ms = |owner| connections.player(owner).map(|(_, player)| player.last_frame_ms);
    for (session, decision) in sessions.pending.due(clock.now_ms(), last_frame_ms) {
        match decision {
            Decision::SecondTab => resolve(core, session, Reconnect::SecondTab, None),
            Decision::TakeOver(owner) => take_over_session(core, session, owner),
            Decision::Miss => resolve(core, session, Reconnect::Miss, None),
            Decision::Hit(record) => {
                let saved = cluster::with_last_place(core, &record);
                resolve(core, session, Reconnect::Hit, Some(saved));
            }
            Decision::QueryAgain => {
                if let Some(cluster) = &mut core.cluster {
                    cluster.fetch_session(session);
                }
            }
        }
    }
}

/// Gives the session to its requester, since the player's connection is silent or has closed.
fn take_over_session<S: System>(core: &mut Core<S>, session: SessionToken, owner: Token) {
    let Some(PendingReconnect { requester, presented, .. }) = core.sessions.pending.remove(session) else {
        return;
    };
    match requester {
        Requester::Client(handshake) => {
            if !is_http(core, handshake.token) {
                return;
            }
            let was_active = core.sessions.store.player(session).is_some();
            close::close_player(core, owner, Code::GoingAway, "gone on elsewhere", Closed::TakenOver);
            let resumed = take_closed(core, handshake.token, presented, owner, was_active);
            http::admit_handshake(core, &handshake, resumed);
        }
        Requester::Node(node) => {
            let Some(saved) = reconnect::saved_player(core, owner) else {
                return release_to_node(core, session, node);
            };
            core.sessions.store.release(session);
            close::close_player(core, owner, Code::GoingAway, "gone on elsewhere", Closed::TakenOver);
            cluster::answer_claim(core, session, node, SessionOutcome::Transferred(saved));
        }
    }
}

/// Continues the session of a connection that its account may no longer have.
pub(super) fn displace_owner<S: System>(
    core: &mut Core<S>,
    token: Token,
    presented: SessionToken,
    owner: Token,
) -> Option<ResumedSession> {
    authentication::close_displaced(core, owner);
    take_closed(core, token, presented, owner, true)
}

/// Takes the session of a connection that was closed for this handshake, and its permit. Counts the outcome.
fn take_closed<S: System>(
    core: &mut Core<S>,
    token: Token,
    presented: SessionToken,
    owner: Token,
    was_active: bool,
) -> Option<ResumedSession> {
    if core.connections.get(owner).is_some() {
        core.gate.peer_addresses.replace(owner, token);
    }
    let (outcome, saved) = match core.sessions.store.take(presented, core.clock.now_ms()) {
        Lookup::Disconnected(saved) if was_active => (Reconnect::TakenOver, Some(saved)),
        Lookup::Disconnected(saved) => (Reconnect::Hit, Some(saved)),
        Lookup::TooSoon => (Reconnect::TooSoon, None),
        Lookup::Active(_) | Lookup::Unknown => (Reconnect::Miss, None),
    };
    core.metrics.reconnects[outcome] += 1;
    saved.map(|saved| ResumedSession { presented, saved })
}

/// Ends a pending reconnect with this outcome.
fn resolve<S: System>(
    core: &mut Core<S>,
    session: SessionToken,
    outcome: Reconnect,
    saved: Option<SavedPlayer>,
) {
    let Some(PendingReconnect { requester, presented, .. }) = core.sessions.pending.remove(session) else {
        return;
    };
    match requester {
        Requester::Client(handshake) => {
            core.metrics.reconnects[outcome] += 1;
            http::admit_handshake(core, &handshake, saved.map(|saved| ResumedSession { presented, saved }));
        }
        // A node's request only ever waits for a frame.
        Requester::Node(node) => cluster::answer_claim(core, session, node, SessionOutcome::Active),
    }
}

/// Treats the session as in use: a client becomes a new player, and a node gets the reply `Active`.
fn resolve_in_use<S: System>(core: &mut Core<S>, session: SessionToken, requester: Requester) {
    match requester {
        Requester::Client(handshake) => {
            core.metrics.reconnects[Reconnect::SecondTab] += 1;
            http::admit_handshake(core, &handshake, None);
        }
        Requester::Node(node) => cluster::answer_claim(core, session, node, SessionOutcome::Active),
    }
}

/// Whether this connection is still open and in the HTTP phase, so that it can become a player.
pub(super) fn is_http<S: System>(core: &Core<S>, token: Token) -> bool {
    core.connections.get(token).is_some_and(|connection| matches!(connection.phase, Phase::Http(_)))
}

/// Backdates a frame of this millisecond, since the pong comes later. Returns the last frame's arrival.
fn discount_current_ms<S: System>(core: &mut Core<S>, owner: Token) -> u64 {
    let before_ms = core.clock.now_ms().saturating_sub(1);
    core.connections.player_mut(owner).map_or(before_ms, |(_, player)| {
        player.last_frame_ms = player.last_frame_ms.min(before_ms);
        player.last_frame_ms
    })
}

/// Pings a player's connection, unless it has a write backlog.
pub(super) fn ping_player<S: System>(core: &mut Core<S>, token: Token) {
    let now_ms = core.clock.now_ms();
    let Some(connection) = core.connections.get_mut(token) else { return };
    let Phase::Player { player, .. } = &mut connection.phase else { return };
    player.last_ping_ms = now_ms;
    // With a backlog, a ping would only add to it.
    if connection.outbox.is_empty() {
        player.is_pong_due = true;
        player.websocket.ping(connection.outbox.bytes());
        core.metrics.frames_out[FrameOut::Ping] += 1;
        player::queue_write(core, token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::ReconciliationBudget;

    const OWNER: Token = Token(1);

    /// The decisions about one reconnect at this time, given the owner's last frame.
    fn due(
        awaiting: Awaiting,
        now_ms: u64,
        last_frame_ms: Option<u64>,
    ) -> (Vec<Decision>, PendingReconnects) {
        let session = SessionToken::of(1);
        let mut pending = PendingReconnects::default();
        let requester = Requester::Node(7);
        let added = PendingReconnect { requester, presented: session, awaiting, deadline_ms: 1_000 };
        assert!(pending.push(session, added).is_none());
        let due = pending.due(now_ms, |owner| last_frame_ms.filter(|_| owner == OWNER));
        (due.into_iter().map(|(_, decision)| decision).collect(), pending)
    }

    #[test]
    fn a_frame_after_the_ping_makes_a_second_tab_and_silence_a_takeover() {
        let frame = || Awaiting::Frame { owner: OWNER, before_ms: 500 };
        assert_eq!(due(frame(), 999, Some(500)).0, []);
        assert_eq!(due(frame(), 999, Some(501)).0, [Decision::SecondTab]);
        assert_eq!(due(frame(), 1_000, Some(501)).0, [Decision::SecondTab]);
        assert_eq!(due(frame(), 1_000, Some(500)).0, [Decision::TakeOver(OWNER)]);
        assert_eq!(due(frame(), 0, None).0, [Decision::TakeOver(OWNER)], "the owner has closed");
    }

    #[test]
    fn a_silent_bus_is_a_miss() {
        assert_eq!(due(Awaiting::Bus, 999, None).0, []);
        assert_eq!(due(Awaiting::Bus, 1_000, None).0, [Decision::Miss]);
    }

    #[test]
    fn a_silent_node_is_asked_about_once_more_then_the_entry_counts() {
        let saved = SavedPlayer {
            x: 1,
            y: 2,
            faces_right: true,
            viewport: None,
            budget: ReconciliationBudget::FULL,
            reconnected_ms_ago: SavedPlayer::LONG_AGO,
            account: None,
        };
        let record = Record { token: SessionToken::of(1), saved, node: 7, player: Some(3) };
        let owner = || Awaiting::Owner { record, retry_ms: Some(500) };
        assert_eq!(due(owner(), 499, None).0, []);
        let (first, mut pending) = due(owner(), 500, None);
        assert_eq!(first, [Decision::QueryAgain]);
        assert_eq!(pending.due(501, |_| None), [], "once");
        assert_eq!(pending.due(1_000, |_| None), [(SessionToken::of(1), Decision::Hit(record))]);
    }
}

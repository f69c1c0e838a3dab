//! Labels of counters: enums of label values, and one counter per value.

use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;
use std::{
    marker::PhantomData,
    ops::{Index, IndexMut},
};

/// A closed set of label values.
pub trait Kind: Copy + 'static {
    /// The label.
    const LABEL: &'static str;

    /// All values, in the order of their [`index`](Self::index).
    const VALUES: &'static [&'static str];

    /// Returns the index in [`VALUES`](Self::VALUES).
    fn index(self) -> usize;
}

/// One counter per kind: `metrics.closed[Closed::Idle] += 1`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Counters<K, const N: usize> {
    #[serde(with = "BigArray")]
    counts: [u64; N],
    kinds: PhantomData<K>,
}

impl<K: Kind, const N: usize> Counters<K, N> {
    /// Iterates over label values and counts, in the order of [`Kind::VALUES`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        K::VALUES.iter().copied().zip(self.counts)
    }

    /// Returns the sum over all kinds.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl<K, const N: usize> Default for Counters<K, N> {
    fn default() -> Self {
        Self { counts: [0; N], kinds: PhantomData }
    }
}

impl<K: Kind, const N: usize> Index<K> for Counters<K, N> {
    type Output = u64;

    fn index(&self, kind: K) -> &u64 {
        &self.counts[kind.index()]
    }
}

impl<K: Kind, const N: usize> IndexMut<K> for Counters<K, N> {
    fn index_mut(&mut self, kind: K) -> &mut u64 {
        &mut self.counts[kind.index()]
    }
}

/// Declares an enum that implements [`Kind`], with its label and the label value of each variant.
macro_rules! kinds {
    ($(#[$doc:meta])* $kind:ident by $label:literal { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Kind for $kind {
            const LABEL: &'static str = $label;
            const VALUES: &'static [&'static str] = &[$($name,)+];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

kinds! {
    /// Frames sent to clients.
    FrameOut by "kind" {
        /// `GAME_STATE`.
        GameState = "game_state",
        /// `MOVEMENT_ACK`.
        Ack = "ack",
        /// `PLAYER_JOINED`.
        Joined = "joined",
        /// `PLAYER_LEFT`.
        Left = "left",
        /// `PLAYER_ATTACK`.
        Attack = "attack",
        /// `PLAYER_DIRECTION`.
        Direction = "direction",
        /// `PLAYER_MOVEMENT`.
        Movement = "movement",
        /// A WebSocket ping.
        Ping = "ping",
        /// A WebSocket pong.
        Pong = "pong",
        /// A WebSocket close frame.
        Close = "close",
    }
}

kinds! {
    /// Protocol violations of clients, whether or not they closed the connection.
    ProtocolViolation by "kind" {
        /// A message whose length does not match its type.
        MessageLength = "message_length",
        /// A message of unknown type.
        MessageType = "message_type",
        /// A message with a field out of range.
        MessageValue = "message_value",
        /// A text message.
        Text = "text",
        /// A message longer than the cap.
        TooLong = "too_long",
        /// Bytes that are not a valid WebSocket frame.
        Framing = "framing",
        /// A flood: the connection was closed for exceeding the message rate by far.
        RateFlood = "rate_flood",
    }
}

kinds! {
    /// Why a connection or request was refused.
    Refused by "reason" {
        /// The server has reached its maximum number of connections.
        Full = "full",
        /// The process has no file descriptor left.
        Descriptors = "descriptors",
        /// The address has reached its maximum number of connections.
        AddressConnections = "address_connections",
        /// The address exceeds its rate of new connections.
        AddressRate = "address_rate",
        /// The address exceeds its rate of HTTP requests.
        RequestRate = "request_rate",
        /// The PROXY header is missing, malformed, or comes from an untrusted peer.
        ProxyHeader = "proxy_header",
        /// No id is left for another player: the cluster's bus has not been reached yet.
        NoIds = "no_ids",
        /// The server is shutting down, or an operator lets no players in.
        Draining = "draining",
        /// An operator has banned the address.
        Banned = "banned",
        /// The request's origin is not allowed.
        OriginNotAllowed = "origin_not_allowed",
        /// The request has no `Origin`, and one is required.
        OriginMissing = "origin_missing",
        /// The request has more than one `Origin`.
        OriginRepeated = "origin_repeated",
        /// The handshake has no token.
        AuthMissing = "auth_missing",
        /// The handshake has several tokens of one kind.
        AuthRepeated = "auth_repeated",
        /// The token is too long.
        AuthTooLong = "auth_too_long",
        /// The token is malformed.
        AuthMalformed = "auth_malformed",
        /// The token's header names no supported algorithm, or an extension.
        AuthHeader = "auth_header",
        /// No key has the token's key id and algorithm.
        AuthKey = "auth_key",
        /// The token's signature does not match.
        AuthSignature = "auth_signature",
        /// The token has expired.
        AuthExpired = "auth_expired",
        /// The token is not valid yet.
        AuthNotYetValid = "auth_not_yet_valid",
        /// The token is for another audience.
        AuthAudience = "auth_audience",
        /// The token's subject is no account.
        AuthSubject = "auth_subject",
        /// The request head is malformed.
        BadRequest = "bad_request",
        /// The request head is too long or has too many fields.
        HeadTooLarge = "head_too_large",
        /// The request has a body.
        Body = "body",
        /// The HTTP version or transfer encoding is not supported.
        NotSupported = "not_supported",
        /// The request head did not arrive in time.
        HandshakeTimeout = "handshake_timeout",
        /// The request head was incomplete, and its connection was displaced by a new one.
        HandshakeDisplaced = "handshake_displaced",
        /// The WebSocket handshake is missing or malformed.
        Upgrade = "upgrade",
        /// The resource does not allow the method.
        Method = "method",
        /// No such resource.
        NotFound = "not_found",
    }
}

kinds! {
    /// Why an upgraded connection ended.
    Closed by "reason" {
        /// The client closed it.
        ByPeer = "by_peer",
        /// The client sent LEAVE.
        Left = "left",
        /// The server shut down.
        Shutdown = "shutdown",
        /// The client sent nothing within the idle timeout.
        Idle = "idle",
        /// The client broke the WebSocket protocol.
        ProtocolError = "protocol_error",
        /// The client sent a text message.
        Text = "text",
        /// The client sent a message longer than the cap.
        TooLong = "too_long",
        /// The client exceeded the message rate by far.
        Flood = "flood",
        /// The client read nothing within the stall timeout.
        Stalled = "stalled",
        /// A defect of the server.
        InternalError = "internal_error",
        /// The socket failed, or the peer closed it without a close frame.
        Reset = "reset",
        /// The player's session moved to another connection.
        TakenOver = "taken_over",
        /// A newer connection of its account closed it.
        SameAccount = "same_account",
        /// A player of another node had the same id.
        SharedId = "shared_id",
        /// An operator kicked the player.
        Kicked = "kicked",
        /// An operator banned the address.
        Banned = "banned",
    }
}

kinds! {
    /// Why an HTTP response ended before its last byte.
    Truncation by "reason" {
        /// The client read nothing within the stall timeout.
        Stalled = "stalled",
        /// The client read more slowly than the minimum rate.
        Slow = "slow",
        /// The client made no progress, and its connection was displaced by a new one.
        Displaced = "displaced",
    }
}

kinds! {
    /// Outcome of a session token in a handshake.
    Reconnect by "outcome" {
        /// The player had disconnected, and its position was kept.
        Hit = "hit",
        /// The session's old connection did not answer a ping, or its account joined again; it was closed.
        TakenOver = "taken_over",
        /// The session's player is connected: another tab of the same browser.
        SecondTab = "second_tab",
        /// The session's player has another account.
        OtherAccount = "other_account",
        /// The session reconnected less than a second ago.
        TooSoon = "too_soon",
        /// The token is unknown or expired.
        Miss = "miss",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_kind() {
        let mut closed = Counters::<Closed, { Closed::VALUES.len() }>::default();
        closed[Closed::Idle] += 2;
        closed[Closed::Reset] += 1;
        assert_eq!(closed[Closed::Idle], 2);
        assert_eq!(closed.total(), 3);
        let counted: Vec<_> = closed.iter().filter(|&(_, count)| count > 0).collect();
        assert_eq!(counted, [("idle", 2), ("reset", 1)]);
    }
}

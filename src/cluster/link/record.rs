//! Sessions stored on the bus, for players that reconnect to another node.

use serde::{Deserialize, Serialize};

use super::super::message::NodeId;
use crate::sessions::{SavedPlayer, SessionToken};

/// A stored session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Current token of the session; it may be newer than the presented one.
    pub token: SessionToken,
    /// The node that owned the player.
    pub node: NodeId,
    /// Id of the player, if it has not left that node; 0 if it is not known.
    pub player: Option<u32>,
    /// Saved state of the player, with its budget as of now.
    pub saved: SavedPlayer,
}

/// The value of a session key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Missing or invalid.
    Nothing,
    /// A session.
    Session {
        /// See [`Record`].
        node: NodeId,
        /// See [`Record`].
        player: Option<u32>,
        /// State at the time of writing.
        saved: SavedPlayer,
        /// TTL at the time of writing, in seconds; 0 if unknown. Its difference to the remaining TTL is the age by
        /// the bus's clock.
        ttl_s: u32,
    },
    /// The token of this key was rotated; the session is stored under this newer token.
    RotatedTo(SessionToken),
}

impl Value {
    /// Version of the format.
    const VERSION: u8 = 3;

    /// The first version: sessions only, without budget and TTL.
    const FIRST_VERSION: u8 = 1;

    const KIND_ACTIVE: u8 = 0;
    const KIND_LEFT: u8 = 1;
    const KIND_ROTATED: u8 = 2;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (kind, parts) = match self {
            Self::Nothing => return Vec::new(),
            Self::Session { node, player, saved, ttl_s } => {
                let kind = if player.is_some() { Self::KIND_ACTIVE } else { Self::KIND_LEFT };
                let numbers = [ttl_s, player.unwrap_or(0)].map(u32::to_le_bytes).concat();
                (kind, [&node.to_le_bytes()[..], &numbers, &saved.to_bytes()].concat())
            }
            Self::RotatedTo(token) => (Self::KIND_ROTATED, token.number().to_le_bytes().to_vec()),
        };
        [&[Self::VERSION, kind][..], &parts].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or(Self::Nothing)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let ([version, kind], rest) = bytes.split_first_chunk::<2>()?;
        if (*version, *kind) == (Self::VERSION, Self::KIND_ROTATED) {
            return Some(Self::RotatedTo(SessionToken::of(u128::from_le_bytes(rest.try_into().ok()?))));
        }
        let (node, rest) = rest.split_first_chunk()?;
        let (&[ttl_s, id], rest) = match *version {
            Self::VERSION => {
                let (numbers, rest) = rest.split_first_chunk::<8>()?;
                (&numbers.as_chunks::<4>().0.try_into().ok()?, rest)
            }
            Self::FIRST_VERSION => (&[[0; 4]; 2], rest),
            _ => return None,
        };
        let is_first_format = rest.len() < SavedPlayer::BYTES;
        let saved =
            SavedPlayer::from_bytes(rest).filter(|_| is_first_format == (*version == Self::FIRST_VERSION))?;
        let (ttl_s, id) = (u32::from_le_bytes(ttl_s), u32::from_le_bytes(id));
        let player = match *kind {
            Self::KIND_ACTIVE => Some(id),
            Self::KIND_LEFT if id == 0 => None,
            _ => return None,
        };
        Some(Self::Session { node: NodeId::from_le_bytes(*node), player, saved, ttl_s })
    }

    /// Returns the token to look up instead, if this one was rotated.
    pub(super) fn rotated_to(self) -> Option<SessionToken> {
        match self {
            Self::RotatedTo(token) => Some(token),
            _ => None,
        }
    }

    /// Converts a session into a record, with the budget refilled since it was written. `left_ms` is the
    /// remaining TTL in milliseconds; negative without an expiry.
    pub(super) fn record(self, token: SessionToken, left_ms: i64) -> Option<Record> {
        let Self::Session { node, player, saved, ttl_s } = self else { return None };
        let age_ms =
            u64::try_from(left_ms).map_or(0, |left_ms| (u64::from(ttl_s) * 1000).saturating_sub(left_ms));
        Some(Record { token, node, player, saved: saved.after(age_ms) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AccountHash;
    use crate::world::ReconciliationBudget;

    const SAVED: SavedPlayer = SavedPlayer {
        x: 1,
        y: 2,
        faces_right: true,
        viewport: Some((800, 600)),
        budget: ReconciliationBudget::EMPTY,
        reconnected_ms_ago: 0,
        account: None,
    };

    #[test]
    fn values_round_trip_and_damaged_values_decode_to_nothing() {
        let session = Value::Session { node: 7, player: None, saved: SAVED, ttl_s: 300 };
        let saved = SavedPlayer { account: Some(AccountHash::from_bytes([7; 16])), ..SAVED };
        let authenticated = Value::Session { node: 7, player: None, saved, ttl_s: 300 };
        let active = Value::Session { node: 7, player: Some(1_234), saved, ttl_s: 300 };
        for value in [session, authenticated, active, Value::RotatedTo(SessionToken::of(9))] {
            let bytes = value.to_bytes();
            assert_eq!(Value::from_bytes(&bytes), value);
            for cut in 0..bytes.len() {
                assert_eq!(Value::from_bytes(&bytes[..cut]), Value::Nothing, "{cut} bytes");
            }
        }
        let bytes = session.to_bytes();
        for (at, value) in [(0, 2), (0, 4), (1, 2), (1, 3), (14, 1), (18, 4)] {
            let mut other = bytes.clone();
            other[at] = value;
            assert_eq!(Value::from_bytes(&other), Value::Nothing, "byte {at}");
        }
    }

    #[test]
    fn the_first_version_is_read_with_an_empty_budget() {
        let session = |saved, ttl_s| Value::Session { node: 7, player: None, saved, ttl_s };
        let mut bytes = session(SavedPlayer { budget: ReconciliationBudget::FULL, ..SAVED }, 300).to_bytes();
        bytes[0] = 1;
        bytes.drain(10..18);
        bytes.truncate(bytes.len() - 4);
        let expected = SavedPlayer {
            budget: ReconciliationBudget::EMPTY,
            reconnected_ms_ago: SavedPlayer::LONG_AGO,
            ..SAVED
        };
        assert_eq!(Value::from_bytes(&bytes), session(expected, 0));
    }

    #[test]
    fn the_age_is_the_elapsed_part_of_the_ttl() {
        let session = Value::Session { node: 7, player: None, saved: SAVED, ttl_s: 300 };
        let saved = |value: Value, left_ms| value.record(SessionToken::of(1), left_ms).unwrap().saved;
        assert_eq!(saved(session, 299_000), SAVED.after(1_000));
        // Without an expiry, or with more than the TTL left, the age is 0.
        for left_ms in [-1, -2, 301_000] {
            assert_eq!(saved(session, left_ms), SAVED, "{left_ms}");
        }
    }
}

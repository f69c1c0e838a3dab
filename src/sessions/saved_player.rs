//! The player state that a session keeps, and its encoding.

use crate::auth::AccountHash;
use crate::limits::RECONNECT_INTERVAL_MS;
use crate::world::ReconciliationBudget;
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

/// State of a player that survives a disconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlayer {
    /// Units from the left edge of the world.
    pub x: u16,
    /// Units from the top edge of the world.
    pub y: u16,
    /// Whether the player faces right.
    pub faces_right: bool,
    /// Width and height of the client's viewport, in units; `None` if the client never sent one.
    pub viewport: Option<(u16, u16)>,
    /// Reconciliation budget.
    pub budget: ReconciliationBudget,
    /// Time since the session last reconnected, in milliseconds, capped at [`RECONNECT_INTERVAL_MS`].
    pub reconnected_ms_ago: u16,
    /// The account, which is the only one that may continue the session; `None` without authentication.
    pub account: Option<AccountHash>,
}

/// Size of the first format, in bytes. It has neither a budget nor a reconnect time.
const FIRST_BYTES: usize = 9;

const FACES_RIGHT: u8 = 1;
const HAS_VIEWPORT: u8 = 2;
const HAS_ACCOUNT: u8 = 4;

impl SavedPlayer {
    /// Size of the encoding without an account, in bytes.
    pub const BYTES: usize = FIRST_BYTES + ReconciliationBudget::BYTES + size_of::<u16>();

    /// Size of the encoding with an account, in bytes.
    pub const BYTES_MAX: usize = Self::BYTES + AccountHash::BYTES;

    /// Value of [`SavedPlayer::reconnected_ms_ago`] for a session that may reconnect immediately.
    pub const LONG_AGO: u16 = RECONNECT_INTERVAL_MS;

    /// Returns the encoding, which the store, the bus and all nodes share.
    pub fn to_bytes(&self) -> ArrayVec<u8, { Self::BYTES_MAX }> {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let (width, height) = self.viewport.unwrap_or_default();
        let mut bytes = ArrayVec::new();
        bytes.push(
            flag(self.faces_right, FACES_RIGHT)
                | flag(self.viewport.is_some(), HAS_VIEWPORT)
                | flag(self.account.is_some(), HAS_ACCOUNT),
        );
        bytes.extend([self.x, self.y, width, height].map(u16::to_le_bytes).into_iter().flatten());
        bytes.extend(self.budget.to_bytes());
        bytes.extend(self.reconnected_ms_ago.to_le_bytes());
        bytes.extend(self.account.into_iter().flat_map(AccountHash::to_bytes));
        bytes
    }

    /// Returns the size of an encoding that begins with these bytes, unless it is of the first format.
    pub fn encoded_bytes(start: &[u8]) -> usize {
        let has_account = start.first().is_some_and(|flags| flags & HAS_ACCOUNT != 0);
        if has_account { Self::BYTES_MAX } else { Self::BYTES }
    }

    /// Decodes either format; the first one yields an empty budget. Returns `None` for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<FIRST_BYTES>()?;
        let number = |at: usize| u16::from_le_bytes([first[1 + 2 * at], first[2 + 2 * at]]);
        let flags = first[0];
        let viewport = (flags & HAS_VIEWPORT != 0).then(|| (number(2), number(3)));
        let (budget, reconnected_ms_ago, account) = match *rest {
            [] => (ReconciliationBudget::EMPTY, Self::LONG_AGO, None),
            [low, high, ago_low, ago_high, ref account @ ..] => {
                let account = match account {
                    [] => None,
                    account => Some(AccountHash::from_bytes(account.try_into().ok()?)),
                };
                let ago_ms = u16::from_le_bytes([ago_low, ago_high]);
                (ReconciliationBudget::from_bytes([low, high])?, ago_ms, account)
            }
            _ => return None,
        };
        let (x, y, faces_right) = (number(0), number(1), flags & FACES_RIGHT != 0);
        let saved = Self { x, y, faces_right, viewport, budget, reconnected_ms_ago, account };
        let is_ours = reconnected_ms_ago <= Self::LONG_AGO && saved.to_bytes().starts_with(first);
        is_ours.then_some(saved)
    }

    /// Returns the state after `elapsed_ms` milliseconds of absence, in which the budget refills.
    #[must_use]
    pub fn after(self, elapsed_ms: u64) -> Self {
        let reconnected_ms_ago =
            (u64::from(self.reconnected_ms_ago) + elapsed_ms).min(Self::LONG_AGO.into()) as u16;
        Self { budget: self.budget.refilled(elapsed_ms), reconnected_ms_ago, ..self }
    }

    /// Returns whether the last reconnect was at least [`RECONNECT_INTERVAL_MS`] ago.
    pub fn may_reconnect(&self) -> bool {
        self.reconnected_ms_ago >= RECONNECT_INTERVAL_MS
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A player at a fixed position.
    pub const HERE: SavedPlayer = SavedPlayer {
        x: 3,
        y: 4,
        faces_right: true,
        viewport: Some((800, 600)),
        budget: ReconciliationBudget::FULL,
        reconnected_ms_ago: SavedPlayer::LONG_AGO,
        account: None,
    };

    proptest! {
        #[test]
        fn decoding_reverses_encoding_and_rejects_other_lengths(
            x: u16, y: u16, faces_right: bool, viewport: Option<(u16, u16)>, ms in 0u64..3_000, ago in 0u16..=1000,
            account: Option<[u8; AccountHash::BYTES]>, more: u8,
        ) {
            let account = account.map(AccountHash::from_bytes);
            let budget = ReconciliationBudget::EMPTY.refilled(ms);
            let saved = SavedPlayer { x, y, faces_right, viewport, budget, reconnected_ms_ago: ago, account };
            let bytes = saved.to_bytes();
            prop_assert_eq!(SavedPlayer::from_bytes(&bytes), Some(saved));
            prop_assert_eq!(SavedPlayer::encoded_bytes(&bytes), bytes.len());
            for cut in (0..bytes.len()).filter(|&cut| cut != FIRST_BYTES) {
                prop_assert_eq!(SavedPlayer::from_bytes(&bytes[..cut]), None);
            }
            prop_assert_eq!(SavedPlayer::from_bytes(&[&bytes[..], &[more]].concat()), None);
        }
    }

    #[test]
    fn the_first_format_has_an_empty_budget() {
        let old = &HERE.to_bytes()[..FIRST_BYTES];
        assert_eq!(
            SavedPlayer::from_bytes(old),
            Some(SavedPlayer { budget: ReconciliationBudget::EMPTY, ..HERE })
        );
    }

    #[test]
    fn a_session_reconnects_at_most_once_a_second() {
        let returned = SavedPlayer { reconnected_ms_ago: 0, ..HERE };
        assert!(!returned.may_reconnect() && !returned.after(999).may_reconnect());
        assert!(returned.after(1_000).may_reconnect() && returned.after(u64::from(u32::MAX)).may_reconnect());
    }
}

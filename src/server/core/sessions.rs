//! The sessions of this node's players, and the handshakes that wait for one.

use serde::{Deserialize, Serialize};

use super::table::Token;
use super::takeover::PendingReconnects;
use crate::sessions::Sessions;

/// Sessions and pending reconnects.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlayerSessions {
    pub store: Sessions<Token>,
    /// Handshakes whose session may be in use.
    pub pending: PendingReconnects,
}

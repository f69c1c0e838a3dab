//! The kinds of hostile peers: names and socket options.

use std::collections::BTreeSet;

use game_client::options::{Bounds, Value as _};

use crate::named::named;

named! {
    /// Behavior of a peer.
    pub enum Kind {
        /// Sends one byte of an endless HTTP head per second.
        SlowHeads = "slow-heads",
        /// Sends a valid upgrade request, one byte per second.
        SlowUpgrades = "slow-upgrades",
        /// Upgraded; sends valid frames, one byte per second.
        SlowFrames = "slow-frames",
        /// Upgraded; sends nothing and answers no ping.
        Silent = "silent",
        /// Upgraded; reads nothing and sends a pong from time to time.
        Deaf = "deaf",
        /// Like [`Kind::Deaf`], with MOVEs within the rate, so that acks accumulate.
        ZeroWindow = "zero-window",
        /// Sends random bytes: half of the peers instead of a request, the others after the upgrade.
        Garbage = "garbage",
        /// Sends several times the allowed number of valid MOVEs.
        Flooders = "flooders",
        /// Connects, and disconnects in various ways, a few times per second.
        Churners = "churners",
    }
}

impl Kind {
    /// Parses a list such as `deaf,silent`; returns each kind once, in the order of [`Kind::ALL`]. `all` means all kinds.
    ///
    /// # Errors
    /// Describes the allowed values.
    pub fn list(text: &str, bounds: Bounds) -> Result<Vec<Kind>, String> {
        if text == "all" {
            return Ok(Kind::ALL.to_vec());
        }
        let wanted = text.split(',').map(|name| Kind::parse(name.trim(), bounds));
        let wanted: Result<BTreeSet<Kind>, String> = wanted.collect();
        let allowed = |_| format!("all, or a comma-separated list of {}", Kind::names());
        wanted.map(|kinds| kinds.into_iter().collect()).map_err(allowed)
    }

    /// Whether it reads nothing after the upgrade.
    pub fn is_deaf(self) -> bool {
        matches!(self, Kind::Deaf | Kind::ZeroWindow)
    }

    /// Size of its receive buffer, in bytes, if it differs from the system's; a small one fills quickly.
    pub fn receive_buffer_bytes(self) -> Option<usize> {
        self.is_deaf().then_some(2_048)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_parsed_without_duplicates() {
        let list = |text: &str| Kind::list(text, (0.0, 0.0)).ok();
        assert_eq!(list("all"), Some(Kind::ALL.to_vec()));
        assert_eq!(list("silent, slow-heads,silent"), Some(vec![Kind::SlowHeads, Kind::Silent]));
        for text in ["", "all,silent", "silent,", "polite"] {
            assert_eq!(list(text), None, "{text}");
        }
    }
}

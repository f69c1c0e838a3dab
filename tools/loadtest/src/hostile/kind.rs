//! The kinds of hostile peers: names and socket options.

use serde::{Deserialize, Serialize};

/// Behavior of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Sends one byte of an endless HTTP head per second.
    SlowHeads,
    /// Sends a valid upgrade request, one byte per second.
    SlowUpgrades,
    /// Upgraded; sends valid frames, one byte per second.
    SlowFrames,
    /// Upgraded; sends nothing and answers no ping.
    Silent,
    /// Upgraded; reads nothing and sends a pong from time to time.
    Deaf,
    /// Like [`Kind::Deaf`], with MOVEs within the rate, so that acks accumulate.
    ZeroWindow,
    /// Sends random bytes: half of the peers instead of a request, the others after the upgrade.
    Garbage,
    /// Sends several times the allowed number of valid MOVEs.
    Flooders,
    /// Connects, and disconnects in various ways, a few times per second.
    Churners,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 9] = [
        Kind::SlowHeads,
        Kind::SlowUpgrades,
        Kind::SlowFrames,
        Kind::Silent,
        Kind::Deaf,
        Kind::ZeroWindow,
        Kind::Garbage,
        Kind::Flooders,
        Kind::Churners,
    ];

    /// The name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Kind::SlowHeads => "slow-heads",
            Kind::SlowUpgrades => "slow-upgrades",
            Kind::SlowFrames => "slow-frames",
            Kind::Silent => "silent",
            Kind::Deaf => "deaf",
            Kind::ZeroWindow => "zero-window",
            Kind::Garbage => "garbage",
            Kind::Flooders => "flooders",
            Kind::Churners => "churners",
        }
    }

    /// Parses a list such as `deaf,silent`; returns each kind once, in the order of [`Kind::ALL`]. `all` means all kinds.
    pub fn list(text: &str) -> Option<Vec<Kind>> {
        if text == "all" {
            return Some(Kind::ALL.to_vec());
        }
        let wanted: Vec<&str> = text.split(',').map(str::trim).collect();
        let is_known = |name: &&str| Kind::ALL.iter().any(|kind| kind.name() == *name);
        let chosen = || Kind::ALL.into_iter().filter(|kind| wanted.contains(&kind.name())).collect();
        wanted.iter().all(is_known).then(chosen)
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
        assert_eq!(Kind::list("all"), Some(Kind::ALL.to_vec()));
        assert_eq!(Kind::list("silent, slow-heads,silent"), Some(vec![Kind::SlowHeads, Kind::Silent]));
        for text in ["", "all,silent", "silent,", "polite"] {
            assert_eq!(Kind::list(text), None, "{text}");
        }
        assert_eq!(Kind::list(&Kind::ALL.map(Kind::name).join(",")), Some(Kind::ALL.to_vec()));
    }
}

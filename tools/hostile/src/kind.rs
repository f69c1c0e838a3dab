//! The kinds of hostile peers: their names, and what each needs of its socket.

/// What a peer does to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sends a byte of an HTTP head each second, and never an end of it.
    SlowHeads,
    /// Sends a good request for an upgrade, a byte each second.
    SlowUpgrades,
    /// Upgraded, sends good frames, a byte each second.
    SlowFrames,
    /// Upgraded, says nothing, and answers no ping.
    Silent,
    /// Upgraded, reads nothing, and looks alive by a pong now and then.
    Deaf,
    /// As [`Kind::Deaf`], and sends MOVEs within the rate, whose acks pile up.
    ZeroWindow,
    /// Sends random bytes: every second one of them instead of a request, the others behind the upgrade.
    Garbage,
    /// Sends good MOVEs, several times as many as are allowed.
    Flooders,
    /// Comes and goes, in all the ways there are, a few times a second.
    Churners,
}

impl Kind {
    /// All of them.
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

    /// The kinds in a list such as `deaf,silent`, each once and in the order of [`Kind::ALL`]; `all` are all.
    pub fn list(text: &str) -> Option<Vec<Kind>> {
        if text == "all" {
            return Some(Kind::ALL.to_vec());
        }
        let wanted: Vec<&str> = text.split(',').map(str::trim).collect();
        let is_known = |name: &&str| Kind::ALL.iter().any(|kind| kind.name() == *name);
        let chosen = || Kind::ALL.into_iter().filter(|kind| wanted.contains(&kind.name())).collect();
        wanted.iter().all(is_known).then(chosen)
    }

    /// Whether it takes nothing from its socket once it is upgraded.
    pub fn is_deaf(self) -> bool {
        matches!(self, Kind::Deaf | Kind::ZeroWindow)
    }

    /// Size of its receive buffer, in bytes, where that is not the system's: small ones are full soon.
    pub fn receive_buffer_bytes(self) -> Option<usize> {
        self.is_deaf().then_some(2_048)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_kinds_once_each_and_nothing_else() {
        assert_eq!(Kind::list("all"), Some(Kind::ALL.to_vec()));
        assert_eq!(Kind::list("silent, slow-heads,silent"), Some(vec![Kind::SlowHeads, Kind::Silent]));
        for text in ["", "all,silent", "silent,", "polite"] {
            assert_eq!(Kind::list(text), None, "{text}");
        }
        assert_eq!(Kind::list(&Kind::ALL.map(Kind::name).join(",")), Some(Kind::ALL.to_vec()));
    }
}

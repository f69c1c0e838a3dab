//! Counts of the server's reactions, for each kind of peer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::kind::Kind;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server refused the upgrade with this status.
    Refused(u16),
    /// The server closed the connection, with this code if it sent a close frame.
    Closed(Option<u16>),
    /// The server or its kernel reset the connection.
    Reset,
    /// The connection was never established.
    Failed,
    /// The peer left.
    Left,
    /// The server sent an invalid message.
    Garbled,
}

/// The counts of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Established connections.
    pub opened: u64,
    /// Upgraded connections.
    pub upgraded: u64,
    /// Refused connections, by HTTP status.
    pub refused: BTreeMap<u16, u64>,
    /// Connections closed by the server, by code.
    pub closed: BTreeMap<u16, u64>,
    /// Connections closed by the server without a code, which includes all closed before the upgrade.
    pub ended: u64,
    /// Reset connections.
    pub reset: u64,
    /// Failed connections.
    pub failed: u64,
    /// Connections closed by the peers.
    pub left: u64,
    /// Connections on which the server sent an invalid message.
    pub garbled: u64,
    /// Open connections at the end of the run.
    pub open: u64,
}

impl Counts {
    /// Counts an end.
    pub fn count(&mut self, end: End) {
        match end {
            End::Refused(status) => *self.refused.entry(status).or_default() += 1,
            End::Closed(Some(code)) => *self.closed.entry(code).or_default() += 1,
            End::Closed(None) => self.ended += 1,
            End::Reset => self.reset += 1,
            End::Failed => self.failed += 1,
            End::Left => self.left += 1,
            End::Garbled => self.garbled += 1,
        }
    }

    /// Sum of all ends of established connections and open ones; equals the opened connections.
    #[cfg(test)]
    fn accounted(&self) -> u64 {
        let of = |map: &BTreeMap<u16, u64>| map.values().sum::<u64>();
        of(&self.refused) + of(&self.closed) + self.ended + self.reset + self.left + self.garbled + self.open
    }
}

/// The counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Duration, in seconds.
    pub seconds: f64,
    /// Configured number of peers.
    pub peers: usize,
    /// Maximum number of concurrent connections.
    pub open_max: u64,
    /// Whether a signal ended the run.
    pub interrupted: bool,
    /// Counts for each kind.
    pub kinds: BTreeMap<Kind, Counts>,
    /// The sum over all kinds.
    pub total: Counts,
}

impl Tally {
    /// Returns the counts as a table.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} hostile peers for {:.1} s{}, at most {} connected\n\n{:<14}{:>8}{:>9}{:>8}{:>7}{:>7}{:>7}{:>8}{:>7}  \
             refused and closed\n",
            self.peers,
            self.seconds,
            if self.interrupted { ", interrupted" } else { "" },
            self.open_max,
            "",
            "opened",
            "upgraded",
            "failed",
            "reset",
            "ended",
            "left",
            "garbled",
            "open",
        );
        for (kind, counts) in &self.kinds {
            write_line(&mut out, kind.name(), counts);
        }
        if self.kinds.len() > 1 {
            write_line(&mut out, "all", &self.total);
        }
        out
    }
}

fn write_line(out: &mut String, name: &str, counts: &Counts) {
    let reasons = reasons(counts);
    let line = format!(
        "{name:<14}{:>8}{:>9}{:>8}{:>7}{:>7}{:>7}{:>8}{:>7}  {reasons}",
        counts.opened,
        counts.upgraded,
        counts.failed,
        counts.reset,
        counts.ended,
        counts.left,
        counts.garbled,
        counts.open
    );
    let _ = writeln!(out, "{}", line.trim_end());
}

/// Formats statuses and codes with their counts.
pub fn reasons(counts: &Counts) -> String {
    let refused = counts.refused.iter().map(|(status, count)| format!("HTTP {status}: {count}"));
    let closed = counts.closed.iter().map(|(code, count)| format!("{code}: {count}"));
    refused.chain(closed).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tally {
        let mut counts = Counts { opened: 9, upgraded: 6, open: 2, ..Counts::default() };
        for end in [End::Refused(503), End::Refused(400), End::Closed(Some(1008)), End::Closed(Some(1008))] {
            counts.count(end);
        }
        for end in [End::Closed(None), End::Reset, End::Left, End::Failed] {
            counts.count(end);
        }
        let kinds = BTreeMap::from([(Kind::Flooders, counts.clone()), (Kind::Deaf, counts.clone())]);
        Tally { seconds: 1.5, peers: 4, open_max: 4, interrupted: false, kinds, total: counts }
    }

    #[test]
    fn every_established_connection_is_accounted_for() {
        let counts = &sample().kinds[&Kind::Deaf];
        assert_eq!(counts.accounted(), counts.opened);
        assert_eq!(counts.failed, 1, "it was never established");
    }

    #[test]
    fn json_and_table_have_the_same_counts() {
        let object = serde_json::to_value(sample()).unwrap();
        assert_eq!(object["kinds"]["flooders"]["closed"]["1008"], 2);
        assert_eq!(object["kinds"]["deaf"]["refused"]["503"], 1);
        assert_eq!(object["total"]["opened"], 9);
        let text = sample().text();
        assert!(text.contains("HTTP 400: 1, HTTP 503: 1, 1008: 2\n"), "{text}");
        assert!(text.lines().last().unwrap().starts_with("all "), "{text}");
    }
}

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
        let interrupted = if self.interrupted { ", interrupted" } else { "" };
        let mut out = format!(
            "{} hostile peers for {:.1} s{interrupted}, at most {} connected\n\n{:<14}",
            self.peers, self.seconds, self.open_max, ""
        );
        for (title, width, _) in COLUMNS {
            let _ = write!(out, "{title:>width$}");
        }
        out += "  refused and closed\n";
        let all = (self.kinds.len() > 1).then_some(("all", &self.total));
        let kinds = self.kinds.iter().map(|(kind, counts)| (kind.name(), counts));
        for (name, counts) in kinds.chain(all) {
            let columns = COLUMNS.map(|(_, width, count)| format!("{:>width$}", count(counts))).concat();
            let _ = writeln!(out, "{}", format!("{name:<14}{columns}  {}", reasons(counts)).trim_end());
        }
        out
    }
}

/// A column of the table: its title, its width, and its count.
type Column = (&'static str, usize, fn(&Counts) -> u64);

const COLUMNS: [Column; 8] = [
    ("opened", 8, |counts| counts.opened),
    ("upgraded", 9, |counts| counts.upgraded),
    ("failed", 8, |counts| counts.failed),
    ("reset", 7, |counts| counts.reset),
    ("ended", 7, |counts| counts.ended),
    ("left", 7, |counts| counts.left),
    ("garbled", 8, |counts| counts.garbled),
    ("open", 7, |counts| counts.open),
];

/// Formats statuses and codes with their counts.
fn reasons(counts: &Counts) -> String {
    let refused = counts.refused.iter().map(|(status, count)| format!("HTTP {status}: {count}"));
    let closed = counts.closed.iter().map(|(code, count)| format!("{code}: {count}"));
    refused.chain(closed).collect::<Vec<_>>().join(", ")
}

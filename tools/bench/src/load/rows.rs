//! The table of loads and their targets.

use crate::judge::Bound::{self, AtLeast, AtMost, Below};

/// Connections started per second, so that ten thousand clients can join within ten seconds.
pub const CONNECT_RATE: &str = "1500";

/// One load. All players are in the spawn area. Server and generator share the machine.
#[derive(Debug)]
pub struct Row {
    /// Its letter.
    pub id: &'static str,
    /// Its title in reports.
    pub title: &'static str,
    /// The load test's flags.
    pub load: &'static str,
    /// Its targets, in addition to those of every row.
    own_targets: &'static [Target],
}

/// A figure's key and its allowed range.
type Target = (&'static str, Bound);

/// Targets of every row.
static EVERYWHERE: &[Target] = &[
    ("tick_rate_hz", AtLeast(59.9)),
    ("ticks_unexplained", AtMost(0.0)),
    ("connections_lost", AtMost(0.0)),
    ("acks_missing", AtMost(0.0)),
    ("problems", AtMost(0.0)),
];

/// The rows, in the order of execution.
pub static ROWS: &[Row] = &[
    Row {
        id: "a",
        title: "1,000 clients, 10 MOVEs per second each",
        load: "--clients 1000 --moves-per-second 10",
        own_targets: &[
            ("ack_mean_ms", Below(1.5)),
            ("ack_p99_ms", Below(10.0)),
            ("resident_mib", AtMost(24.0)),
            ("kb_per_client_s", AtMost(12.0)),
            ("saved_of_all_percent", AtLeast(95.0)),
            ("floor_ratio", AtMost(1.5)),
        ],
    },
    Row {
        id: "b",
        title: "5,000 clients, 2 MOVEs per second each",
        load: "--clients 5000 --moves-per-second 2",
        own_targets: &[
            ("ack_mean_ms", Below(2.0)),
            ("ack_p99_ms", Below(20.0)),
            ("resident_mib", AtMost(48.0)),
            ("kb_per_client_s", AtMost(8.0)),
            ("saved_of_all_percent", AtLeast(95.0)),
            ("floor_ratio", AtMost(1.5)),
        ],
    },
    Row {
        id: "c",
        title: "10,000 clients, 2 MOVEs per second each",
        load: "--clients 10000 --moves-per-second 2",
        own_targets: &[
            ("ack_mean_ms", Below(2.0)),
            ("ack_p99_ms", Below(15.0)),
            ("to_screen_p99_ms", Below(300.0)),
            ("resident_mib", AtMost(64.0)),
            ("kb_per_client_s", AtMost(8.0)),
            ("saved_of_all_percent", AtLeast(95.0)),
            ("saved_percent", AtLeast(95.0)),
            ("joined_in_s", AtMost(10.0)),
            ("ack_connecting_mean_ms", Below(2.0)),
            ("ack_connecting_p99_ms", Below(15.0)),
            ("floor_ratio", AtMost(1.2)),
        ],
    },
    Row {
        id: "d",
        title: "19,000 clients, 1 MOVE per second each",
        load: "--clients 19000 --moves-per-second 1",
        own_targets: &[
            ("ack_mean_ms", Below(3.0)),
            ("ack_p99_ms", Below(30.0)),
            ("resident_mib", AtMost(110.0)),
            ("kb_per_client_s", AtMost(8.0)),
            ("saved_of_all_percent", AtLeast(95.0)),
            ("saved_percent", AtLeast(95.0)),
            ("floor_ratio", AtMost(1.2)),
        ],
    },
    Row {
        id: "e",
        title: "10,000 simulated human players, one in ten walking",
        load: "--clients 10000 --profile player --moving 0.1",
        own_targets: &[
            ("ack_mean_ms", Below(2.0)),
            ("ack_p99_ms", Below(15.0)),
            ("to_screen_p99_ms", Below(300.0)),
            ("resident_mib", AtMost(64.0)),
            ("kb_per_client_s", AtMost(8.0)),
            ("saved_of_all_percent", AtLeast(99.0)),
            ("saved_percent", AtLeast(99.0)),
            ("joined_in_s", AtMost(10.0)),
            ("ack_connecting_mean_ms", Below(2.0)),
            ("ack_connecting_p99_ms", Below(15.0)),
            ("floor_ratio", AtMost(1.2)),
        ],
    },
    Row {
        id: "f",
        title: "10,000 idle clients",
        load: "--clients 10000 --profile idle",
        own_targets: &[
            ("cpu_percent", Below(3.0)),
            ("resident_mib", AtMost(48.0)),
            ("joined_in_s", AtMost(10.0)),
        ],
    },
    Row {
        id: "g",
        title: "1,000 clients, 2 MOVEs per second each, for comparison with row c",
        load: "--clients 1000 --moves-per-second 2",
        own_targets: &[("floor_ratio", AtMost(1.5))],
    },
];

/// Two rows with the same load per player, the second with ten times as many players. The cost per player may grow by
/// less than a third.
pub const GROWTH: (&str, &str, Bound) = ("g", "c", Below(33.3));

impl Row {
    /// Returns the row of this letter.
    pub fn of(id: &str) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.id == id)
    }

    /// Returns the allowed range of a figure; `None` without a target.
    pub fn bound(&self, key: &str) -> Option<Bound> {
        let mut targets = self.own_targets.iter().chain(EVERYWHERE);
        targets.find(|(target, _)| *target == key).map(|(_, bound)| *bound)
    }

    /// Whether the floor is run too; not for a load with hardly any socket calls to compare.
    pub fn has_floor(&self) -> bool {
        self.bound("floor_ratio").is_some()
    }

    /// Returns the load test's flags for a run of `seconds`.
    pub fn flags(&self, seconds: u64) -> String {
        format!("{} --connect-rate {CONNECT_RATE} --duration {seconds}s", self.load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::FIGURES;

    #[test]
    fn every_target_names_a_figure() {
        for row in ROWS {
            for (key, _) in row.own_targets.iter().chain(EVERYWHERE) {
                assert!(FIGURES.iter().any(|figure| figure.key == *key), "row {}: {key}", row.id);
            }
        }
    }
}

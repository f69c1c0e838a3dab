//! The table of loads and their targets.

use super::judge::Bound::{self, AtLeast, AtMost, Below};
use super::judge::Target;

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
    /// Whether the floor is run too; false for a load with hardly any socket calls to compare.
    pub has_floor: bool,
    /// Its targets, in addition to those of every row.
    own_targets: &'static [Target],
}

const fn target(key: &'static str, bound: Bound) -> Target {
    Target { key, bound }
}

/// Targets of every row.
static EVERYWHERE: &[Target] = &[
    target("tick_rate_hz", AtLeast(59.9)),
    target("ticks_unexplained", AtMost(0.0)),
    target("connections_lost", AtMost(0.0)),
    target("acks_missing", AtMost(0.0)),
    target("problems", AtMost(0.0)),
];

/// The rows, in the order of execution.
pub static ROWS: &[Row] = &[
    Row {
        id: "a",
        title: "1,000 clients, 10 MOVEs per second each",
        load: "--clients 1000 --moves-per-second 10",
        has_floor: true,
        own_targets: &[
            target("ack_mean_ms", Below(1.5)),
            target("ack_p99_ms", Below(10.0)),
            target("resident_mib", AtMost(24.0)),
            target("kb_per_client_s", AtMost(12.0)),
            target("saved_of_all_percent", AtLeast(95.0)),
            target("floor_ratio", AtMost(1.5)),
        ],
    },
    Row {
        id: "b",
        title: "5,000 clients, 2 MOVEs per second each",
        load: "--clients 5000 --moves-per-second 2",
        has_floor: true,
        own_targets: &[
            target("ack_mean_ms", Below(2.0)),
            target("ack_p99_ms", Below(20.0)),
            target("resident_mib", AtMost(48.0)),
            target("kb_per_client_s", AtMost(8.0)),
            target("saved_of_all_percent", AtLeast(95.0)),
            target("floor_ratio", AtMost(1.5)),
        ],
    },
    Row {
        id: "c",
        title: "10,000 clients, 2 MOVEs per second each",
        load: "--clients 10000 --moves-per-second 2",
        has_floor: true,
        own_targets: &[
            target("ack_mean_ms", Below(2.0)),
            target("ack_p99_ms", Below(15.0)),
            target("to_screen_p99_ms", Below(300.0)),
            target("resident_mib", AtMost(64.0)),
            target("kb_per_client_s", AtMost(8.0)),
            target("saved_of_all_percent", AtLeast(95.0)),
            target("saved_percent", AtLeast(95.0)),
            target("joined_in_s", AtMost(10.0)),
            target("ack_connecting_mean_ms", Below(2.0)),
            target("ack_connecting_p99_ms", Below(15.0)),
            target("floor_ratio", AtMost(1.2)),
        ],
    },
    Row {
        id: "d",
        title: "19,000 clients, 1 MOVE per second each",
        load: "--clients 19000 --moves-per-second 1",
        has_floor: true,
        own_targets: &[
            target("ack_mean_ms", Below(3.0)),
            target("ack_p99_ms", Below(30.0)),
            target("resident_mib", AtMost(110.0)),
            target("kb_per_client_s", AtMost(8.0)),
            target("saved_of_all_percent", AtLeast(95.0)),
            target("saved_percent", AtLeast(95.0)),
            target("floor_ratio", AtMost(1.2)),
        ],
    },
    Row {
        id: "e",
        title: "10,000 simulated human players, one in ten walking",
        load: "--clients 10000 --profile player --moving 0.1",
        has_floor: true,
        own_targets: &[
            target("ack_mean_ms", Below(2.0)),
            target("ack_p99_ms", Below(15.0)),
            target("to_screen_p99_ms", Below(300.0)),
            target("resident_mib", AtMost(64.0)),
            target("kb_per_client_s", AtMost(8.0)),
            target("saved_of_all_percent", AtLeast(99.0)),
            target("saved_percent", AtLeast(99.0)),
            target("joined_in_s", AtMost(10.0)),
            target("ack_connecting_mean_ms", Below(2.0)),
            target("ack_connecting_p99_ms", Below(15.0)),
            target("floor_ratio", AtMost(1.2)),
        ],
    },
    Row {
        id: "f",
        title: "10,000 idle clients",
        load: "--clients 10000 --profile idle",
        has_floor: false,
        own_targets: &[
            target("cpu_percent", Below(3.0)),
            target("resident_mib", AtMost(48.0)),
            target("joined_in_s", AtMost(10.0)),
        ],
    },
    Row {
        id: "g",
        title: "1,000 clients, 2 MOVEs per second each, for comparison with row c",
        load: "--clients 1000 --moves-per-second 2",
        has_floor: true,
        own_targets: &[target("floor_ratio", AtMost(1.5))],
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
        targets.find(|target| target.key == key).map(|target| target.bound)
    }

    /// Returns the load test's flags for a run of `seconds`.
    pub fn flags(&self, seconds: u64) -> String {
        format!("{} --connect-rate {CONNECT_RATE} --duration {seconds}s", self.load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::FIGURES;

    #[test]
    fn every_target_names_a_figure() {
        for row in ROWS {
            for target in row.own_targets.iter().chain(EVERYWHERE) {
                let is_known = FIGURES.iter().any(|figure| figure.key == target.key);
                assert!(is_known, "row {}: {}", row.id, target.key);
            }
            assert_eq!(row.has_floor, row.bound("floor_ratio").is_some(), "row {}", row.id);
        }
    }

    #[test]
    fn a_row_has_its_own_and_the_common_targets() {
        let row = Row::of("a").unwrap();
        assert_eq!(row.bound("ack_mean_ms"), Some(Below(1.5)));
        assert_eq!(row.bound("tick_rate_hz"), Some(AtLeast(59.9)));
        assert_eq!(row.bound("ack_max_ms"), None);
        assert!(Row::of("x").is_none());
        assert_eq!(row.flags(60), "--clients 1000 --moves-per-second 10 --connect-rate 1500 --duration 60s");
    }
}

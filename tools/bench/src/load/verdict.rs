//! The verdict of a check: pass, fail, or that it can't tell, because the machine or the load generator was the bottleneck. Pure.

use std::process::ExitCode;

use super::results::Results;
use crate::figures::Run;
use crate::judge::{Measured, missed};

/// Exit status of a check that can't tell.
pub const UNKNOWN: u8 = 3;

/// Figures with a target that a slow machine or load generator makes worse. The others, memory, bytes and losses, are the
/// server's in any case.
const OF_TIME: [&str; 10] = [
    "ack_mean_ms", "ack_p99_ms", "to_screen_p99_ms", "joined_in_s", "ack_connecting_mean_ms",
    "ack_connecting_p99_ms", "tick_rate_hz", "ticks_unexplained", "cpu_percent", RATIO,
];

/// The figure that depends on the runs of the floor as well.
const RATIO: &str = "floor_ratio";

/// What limited the runs of a row besides the server.
#[derive(Clone, Debug, Default)]
pub struct Bottlenecks {
    of_server: Vec<String>,
    of_floor: Vec<String>,
}

impl Bottlenecks {
    /// Returns the bottlenecks of all runs.
    pub fn of(runs: &[Run]) -> Bottlenecks {
        let all = |of: fn(&Run) -> &Vec<String>| runs.iter().flat_map(of).cloned().collect();
        Bottlenecks { of_server: all(|run| &run.bottlenecks), of_floor: all(|run| &run.floor_bottlenecks) }
    }

    /// Returns the bottlenecks that may have caused a miss; none if no bottleneck can have.
    fn behind(&self, measured: &Measured) -> Vec<&str> {
        let is_of_time = OF_TIME.contains(&measured.key.as_str()) && measured.value.is_some();
        let of_floor = self.of_floor.iter().filter(|_| measured.key == RATIO);
        self.of_server.iter().chain(of_floor).filter(|_| is_of_time).map(String::as_str).collect()
    }
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every target is met.
    Pass,
    /// The server misses these targets.
    Fail(Vec<String>),
    /// These targets are in doubt, because of these bottlenecks.
    Unknown(Vec<String>, Vec<String>),
}

impl Verdict {
    /// Judges rows, each with the bottlenecks at its position. One miss without a bottleneck behind it is a failure. A target that
    /// is met is met whatever the bottleneck, except the ratio, which a disturbed floor makes smaller.
    pub fn of(results: &Results, bottlenecks: &[Bottlenecks]) -> Verdict {
        let (mut failures, mut unknown, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, bottlenecks) in results.rows.iter().zip(bottlenecks) {
            for measured in &entry.figures {
                if measured.key == RATIO && measured.met == Some(true) && !bottlenecks.of_floor.is_empty() {
                    unknown.push(format!(
                        "row {}: {}, met beside a slow floor",
                        entry.id,
                        measured.comparison()
                    ));
                    reasons.extend(bottlenecks.of_floor.iter().cloned());
                }
                let Some(miss) = missed(std::slice::from_ref(measured)).next() else { continue };
                let behind = bottlenecks.behind(measured);
                let list = if behind.is_empty() { &mut failures } else { &mut unknown };
                list.push(format!("row {}: {miss}", entry.id));
                reasons.extend(behind.into_iter().map(str::to_owned));
            }
        }
        // Growth compares the CPU time of two rows.
        let server = || bottlenecks.iter().flat_map(|bottlenecks| &bottlenecks.of_server).cloned();
        for miss in missed(&results.across) {
            let list = if server().next().is_none() { &mut failures } else { &mut unknown };
            list.push(miss);
            reasons.extend(server());
        }
        reasons.sort_unstable();
        reasons.dedup();
        match (failures.is_empty(), unknown.is_empty()) {
            (true, true) => Verdict::Pass,
            (true, false) => Verdict::Unknown(unknown, reasons),
            (false, _) => Verdict::Fail(failures),
        }
    }

    /// Returns the verdict in one line.
    pub fn text(&self) -> String {
        match self {
            Verdict::Pass => "yes".to_owned(),
            Verdict::Fail(missed) => format!("no: {}", missed.join("; ")),
            Verdict::Unknown(in_doubt, reasons) => format!(
                "can't tell, because the server was not the only bottleneck: {}. In doubt: {}",
                reasons.join("; "),
                in_doubt.join("; ")
            ),
        }
    }

    /// Returns 0, 1, or [`UNKNOWN`].
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Verdict::Pass => ExitCode::SUCCESS,
            Verdict::Fail(_) => ExitCode::FAILURE,
            Verdict::Unknown(..) => ExitCode::from(UNKNOWN),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::results::Entry;
    use super::super::rows::{ROWS, Row};
    use super::*;
    use crate::judge::Bound;
    use crate::machine::Occasion;

    /// A run of a row with a value just within each bound, except for the given figures.
    fn run(row: &Row, changes: &[(&'static str, f64)]) -> Run {
        let mut run = Run::default();
        for key in targets() {
            let value = row.bound(key).map(|bound| match bound {
                Bound::AtMost(value) | Bound::AtLeast(value) => value,
                Bound::Below(value) => value * 0.99,
            });
            run.figures.extend(value.map(|value| (key, value)));
        }
        run.figures.extend(changes.iter().copied());
        run
    }

    /// The figures that have a target in some row.
    fn targets() -> BTreeSet<&'static str> {
        let figures = crate::figures::FIGURES.iter().map(|figure| figure.key);
        figures.filter(|key| ROWS.iter().any(|row| row.bound(key).is_some())).collect()
    }

    fn verdict(id: &str, run: Run) -> Verdict {
        let row = Row::of(id).unwrap();
        let runs = [run];
        let entry = Entry::judge(row, 20, Occasion::default(), &runs);
        Verdict::of(&Results { rows: vec![entry], ..Results::default() }, &[Bottlenecks::of(&runs)])
    }

    fn limited(run: Run) -> Run {
        Run { bottlenecks: vec!["steal".to_owned()], ..run }
    }

    #[test]
    fn each_target_is_of_time_or_of_the_server_alone() {
        let others: BTreeSet<&str> = targets().into_iter().filter(|key| !OF_TIME.contains(key)).collect();
        let expected = [
            "acks_missing", "connections_lost", "kb_per_client_s", "problems", "resident_mib",
            "saved_of_all_percent", "saved_percent",
        ];
        assert_eq!(others, BTreeSet::from(expected));
        assert!(OF_TIME.iter().all(|key| targets().contains(key)));
    }

    #[test]
    fn a_pass_stays_a_pass_and_a_miss_without_a_bottleneck_fails() {
        let row = Row::of("c").unwrap();
        assert_eq!(verdict("c", run(row, &[])), Verdict::Pass);
        assert_eq!(verdict("c", limited(run(row, &[]))), Verdict::Pass);
        for key in targets().into_iter().filter(|key| row.bound(key).is_some()) {
            let bad = match row.bound(key) {
                Some(Bound::AtLeast(_)) => 0.0,
                _ => 1e9,
            };
            let missed = run(row, &[(key, bad)]);
            assert!(matches!(verdict("c", missed.clone()), Verdict::Fail(_)), "{key}");
            let is_unknown = matches!(verdict("c", limited(missed)), Verdict::Unknown(..));
            assert_eq!(is_unknown, OF_TIME.contains(&key), "{key}");
        }
    }

    #[test]
    fn a_loss_beside_a_slow_ack_fails_and_an_unmeasured_figure_too() {
        let row = Row::of("c").unwrap();
        let both = limited(run(row, &[("ack_p99_ms", 99.0), ("acks_missing", 1.0)]));
        let text = verdict("c", both).text();
        assert_eq!(text, "no: row c: MOVEs without an ack 1 (<= 0)");
        let mut unmeasured = limited(run(row, &[]));
        unmeasured.figures.remove("ack_p99_ms");
        assert!(matches!(verdict("c", unmeasured), Verdict::Fail(_)));
    }

    #[test]
    fn a_bottleneck_of_the_floor_puts_only_the_ratio_in_doubt() {
        let row = Row::of("c").unwrap();
        let floor = |run: Run| Run { floor_bottlenecks: vec!["floor: late".to_owned()], ..run };
        let ratio = verdict("c", floor(run(row, &[(RATIO, 9.0)])));
        assert_eq!(
            ratio.text(),
            "can't tell, because the server was not the only bottleneck: floor: late. \
             In doubt: row c: CPU per socket call, relative to the floor 9.00 (<= 1.2)"
        );
        // A slow floor makes the ratio smaller.
        let met = verdict("c", floor(run(row, &[(RATIO, 0.9)]))).text();
        let expected = "In doubt: row c: CPU per socket call, relative to the floor 0.90 (<= 1.2), met beside a slow floor";
        assert!(met.ends_with(expected), "{met}");
        assert!(matches!(verdict("c", floor(run(row, &[("ack_p99_ms", 99.0)]))), Verdict::Fail(_)));
    }
}

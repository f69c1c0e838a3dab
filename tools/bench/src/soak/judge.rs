//! The verdict of a soak: whether the server ends in the state in which it started, and has lost nothing. Pure.

use game_client::statistics::Spread;
use game_client::text::thousands;

use super::Options;
use super::run::Observed;
use super::sample::Sample;
use crate::figures::{MIB, NOT_MEASURED, TICK_RATE_HZ, losses};

/// Growth of memory that is always allowed, as a fraction: the heap's free pages vary by as much.
const GROWTH_MAX: f64 = 0.01;

/// Growth of memory that is always allowed, in bytes, for a small server: a table that doubles, or a stack that is used for the
/// first time. In an hour, whose first and last ten minutes are compared, it hides a leak of 87 bytes a second at most. That
/// is two bytes for each of the 45 players that join per second, far less than the smallest allocation.
const GROWTH_BYTES_MAX: f64 = 256.0 * 1024.0;

/// Maximum error of descriptors minus open sockets; a sample reads the two numbers at different times.
const SAMPLE_ERROR: f64 = 2.0;

/// One condition of the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The subject.
    pub what: &'static str,
    /// The required value.
    pub expected: &'static str,
    /// The measured value.
    pub found: String,
    /// Whether the condition holds.
    pub holds: bool,
}

/// Returns a condition on a measurement; it fails without one. `judge` describes the measurement, and decides.
fn finding<T>(
    what: &'static str,
    expected: &'static str,
    measured: Option<T>,
    judge: impl FnOnce(T) -> (String, bool),
) -> Finding {
    let (found, holds) = measured.map_or((NOT_MEASURED.to_owned(), false), judge);
    Finding { what, expected, found, holds }
}

/// Returns all conditions, in the order of the report.
pub fn judge(options: &Options, run: &Observed) -> Vec<Finding> {
    let (from_s, length_s) = (options.lead().as_secs_f64(), options.duration.as_secs_f64());
    let within = |from_s: f64, until_s: f64| -> Vec<&Sample> {
        run.samples.iter().filter(|sample| (from_s..=until_s).contains(&sample.at_s)).collect()
    };
    let (until_s, edge_s) = (from_s + length_s, options.edge().as_secs_f64());
    let measured = within(from_s, until_s);
    let edges = [within(from_s, from_s + edge_s), within(until_s - edge_s, until_s)];
    let [mut findings, of_the_end] = [of_samples(&edges, &measured), of_the_end(run)];
    findings.extend(of_the_end);
    findings
}

fn spread(samples: &[&Sample], value: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
    Spread::of(&samples.iter().filter_map(|sample| value(sample)).collect::<Vec<_>>())
}

/// Returns the conditions on samples; `edges` are those of the beginning and the end.
fn of_samples(edges: &[Vec<&Sample>; 2], measured: &[&Sample]) -> Vec<Finding> {
    let medians = |value: &dyn Fn(&Sample) -> Option<f64>| {
        let [first, last] = edges.each_ref().map(|edge| spread(edge, value).map(|spread| spread.median));
        first.zip(last)
    };
    let memory = medians(&|sample| sample.value("resident_bytes"));
    let beside_sockets = medians(&|sample| Some(sample.value("descriptors")? - sample.value("open")?));
    let threads = spread(measured, |sample| sample.value("threads"));
    vec![
        finding(
            "memory, medians of beginning and end",
            "less than 1 % or 256 KiB more",
            memory,
            |(before, after)| {
                let percent = (after / before - 1.0) * 100.0;
                let text = format!("{:.2} MiB, then {:.2} MiB: {percent:+.2} %", before / MIB, after / MIB);
                (text, after - before < (before * GROWTH_MAX).max(GROWTH_BYTES_MAX))
            },
        ),
        finding(
            "ticks skipped",
            "none without steal time",
            ticks(measured),
            |[skipped, unexplained, waiting]| {
                let text = format!(
                    "{skipped}, {unexplained} of them not explained by steal time ({waiting} fit into the time in which the \
                 server was runnable without a CPU)"
                );
                (text, unexplained == 0.0)
            },
        ),
        finding(
            "descriptors beside open sockets",
            "the same at the beginning and the end",
            beside_sockets,
            |(before, after)| {
                let is_same = (after - before).abs() <= SAMPLE_ERROR;
                (format!("{before:.0}, then {after:.0} beside them"), is_same)
            },
        ),
        finding("threads", "constant", threads, |Spread { min, max, .. }| {
            (format!("{min} to {max}"), max - min < 0.5)
        }),
    ]
}

/// Returns the ticks skipped, those that steal time does not explain, and those of them that fit into the time in which
/// the server was runnable without a CPU. Each interval is compared separately.
fn ticks(samples: &[&Sample]) -> Option<[f64; 3]> {
    let more = |pair: &[&Sample], column: &str| Some(pair[1].value(column)? - pair[0].value(column)?);
    let of = |pair: &[&Sample]| {
        let fitting = |column: &str| Some((more(pair, column)? * TICK_RATE_HZ).ceil());
        let skipped = more(pair, "ticks_skipped")?;
        let unexplained = (skipped - fitting("stolen_s")?).max(0.0);
        Some([skipped, unexplained, unexplained.min(fitting("waited_s")?)])
    };
    let intervals = samples.windows(2).filter_map(of);
    intervals.reduce(|sum, interval| std::array::from_fn(|index| sum[index] + interval[index]))
}

/// Returns the conditions on the whole run, and on the server after the last player has left.
fn of_the_end(run: &Observed) -> Vec<Finding> {
    let rest = |column: &str| run.rest.as_ref()?.value(column);
    let counts = || Some((rest("upgraded")?, rest("closed")?, rest("players")?));
    let answered = run.samples.iter().filter(|sample| sample.value("ticks").is_some()).count();
    let mut last = run.rest.iter().chain(run.samples.iter().rev());
    let fault = |sample: &Sample| {
        let columns = ["internal_errors", "worker_panics", "log_lines_dropped"];
        columns.iter().map(|column| sample.value(column)).sum::<Option<f64>>()
    };
    vec![
        finding(
            "descriptors before the first player and after the last",
            "the same",
            rest("descriptors"),
            |after| {
                let before = run.descriptors_before as f64;
                (format!("{before}, then {after}"), (before - after).abs() < 0.5)
            },
        ),
        finding("requests answered", "all", Some(run.samples.len()), |all| {
            (format!("{answered} of {all}"), all > 0 && answered == all)
        }),
        finding(
            "players after the last has left",
            "none remains, none is unaccounted",
            counts(),
            |(joined, closed, remain)| {
                let unaccounted = (joined - remain - closed).abs();
                let (joined, closed) = (thousands(joined as u64), thousands(closed as u64));
                let text =
                    format!("{joined} joined, {closed} closed, {remain} remain, {unaccounted} unaccounted");
                (text, remain + unaccounted == 0.0)
            },
        ),
        finding(
            "faults of the server, panics and dropped log lines",
            "none",
            last.find_map(fault),
            |count| (count.to_string(), count == 0.0),
        ),
        finding(
            "verdict of the load test",
            "nothing lost, every sampled replica correct",
            run.load.as_ref(),
            |load| {
                let lost = losses(std::slice::from_ref(load));
                let is_whole = lost == "nothing";
                (if is_whole { "nothing was lost or wrong".to_owned() } else { lost }, is_whole)
            },
        ),
        finding("programs", "all ran for their full time", Some(&run.broken), |broken| {
            match broken.join("; ") {
                broken if !broken.is_empty() => (broken, false),
                _ if run.is_interrupted => ("the soak was interrupted".to_owned(), false),
                _ => ("all did".to_owned(), true),
            }
        }),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::figures::Run;

    fn options() -> Options {
        let duration = Duration::from_mins(2);
        Options { duration, clients: 1_000, churn_per_s: 20, hostile: 0, results: None }
    }

    fn sample(at_s: f64, values: &[(&'static str, f64)]) -> Sample {
        let zeros = [
            "ticks_skipped", "stolen_s", "waited_s", "internal_errors", "worker_panics", "log_lines_dropped",
        ];
        let zeros = zeros.into_iter().map(|column| (column, 0.0));
        Sample { at_s, values: zeros.chain(values.iter().copied()).collect() }
    }

    /// A sample every five seconds, from the start of the load to its end.
    fn good() -> Observed {
        let busy = |at_s: f64| {
            let memory = ("resident_bytes", 10.0 * MIB);
            let values =
                [memory, ("descriptors", 1_010.0), ("threads", 3.0), ("open", 1_001.0), ("ticks", at_s)];
            sample(at_s, &values)
        };
        let rest = [("descriptors", 9.0), ("upgraded", 5_000.0), ("closed", 5_000.0), ("players", 0.0)];
        Observed {
            samples: (0..=31).map(|number| busy(f64::from(number) * 5.0)).collect(),
            descriptors_before: 9,
            rest: Some(sample(0.0, &rest)),
            load: Some(Run::of(&json!({ "problems": [] }))),
            ..Observed::default()
        }
    }

    /// A leak that the shortest documented soak finds, in bytes per second: 67 for each player that joins.
    const LEAK_FOUND: f64 = 3_000.0;

    /// A change of the observations.
    type Change = fn(&mut Observed);

    /// Returns the conditions that fail after a change.
    fn broken(change: impl FnOnce(&mut Observed)) -> Vec<&'static str> {
        let mut run = good();
        change(&mut run);
        judge(&options(), &run).iter().filter(|finding| !finding.holds).map(|finding| finding.what).collect()
    }

    /// Adds to a column of these samples.
    fn add(samples: &mut [Sample], column: &'static str, more: f64) {
        for sample in samples {
            *sample.values.entry(column).or_default() += more;
        }
    }

    fn rest(run: &mut Observed, column: &'static str, more: f64) {
        add(run.rest.as_mut_slice(), column, more);
    }

    #[test]
    fn each_fault_fails_its_condition() {
        let changes: [(&str, Change); 12] = [
            ("memory, medians of beginning and end", |run| {
                for index in 0..run.samples.len() {
                    let more = run.samples[index].at_s * LEAK_FOUND;
                    add(&mut run.samples[index..=index], "resident_bytes", more);
                }
            }),
            ("ticks skipped", |run| {
                // Steal time explains only ticks of the same interval.
                add(&mut run.samples[10..], "ticks_skipped", 6.0);
                add(&mut run.samples[11..], "stolen_s", 0.1);
            }),
            ("descriptors beside open sockets", |run| add(&mut run.samples[25..], "descriptors", 5.0)),
            ("descriptors before the first player and after the last", |run| rest(run, "descriptors", 1.0)),
            ("threads", |run| add(&mut run.samples[20..21], "threads", 1.0)),
            ("players after the last has left", |run| rest(run, "closed", -1.0)),
            ("players after the last has left", |run| {
                rest(run, "closed", -1.0);
                rest(run, "players", 1.0);
            }),
            ("requests answered", |run| run.samples[20].values.retain(|column, _| *column != "ticks")),
            ("faults of the server, panics and dropped log lines", |run| rest(run, "worker_panics", 1.0)),
            ("verdict of the load test", |run| {
                run.load = Some(Run::of(&json!({ "problems": ["1 connections were lost"] })));
            }),
            ("programs", |run| run.broken.push("hostile ended".to_owned())),
            ("programs", |run| run.is_interrupted = true),
        ];
        for (what, change) in changes {
            assert_eq!(broken(change), [what]);
        }
        let nothing = Observed { is_interrupted: true, ..Observed::default() };
        assert!(judge(&options(), &nothing).iter().all(|finding| !finding.holds), "nothing was measured");
    }

    #[test]
    fn the_growth_that_is_allowed_is_a_part_of_much_memory_and_an_amount_of_little() {
        let grows = |from_mib: f64, mib: f64| {
            broken(|run| {
                add(&mut run.samples, "resident_bytes", (from_mib - 10.0) * MIB);
                add(&mut run.samples[15..], "resident_bytes", mib * MIB);
            })
        };
        for (from_mib, allowed_mib) in [(5.0, 0.25), (25.0, 0.25), (60.0, 0.6)] {
            assert_eq!(grows(from_mib, allowed_mib - 0.01), [] as [&str; 0], "{from_mib} MiB");
            let leak = ["memory, medians of beginning and end"];
            assert_eq!(grows(from_mib, allowed_mib + 0.01), leak, "{from_mib} MiB");
        }
    }

    #[test]
    fn harmless_changes_pass() {
        let changes: [Change; 5] = [
            |_| {},
            // A single peak is no growth, and the warm-up is excluded.
            |run| add(&mut run.samples[15..16], "resident_bytes", 20.0 * MIB),
            |run| add(&mut run.samples[15..], "resident_bytes", 0.2 * MIB),
            |run| add(&mut run.samples[1..2], "resident_bytes", -5.0 * MIB),
            |run| {
                add(&mut run.samples[10..], "ticks_skipped", 6.0);
                add(&mut run.samples[10..], "stolen_s", 0.1);
            },
        ];
        for change in changes {
            assert_eq!(broken(change), [] as [&str; 0]);
        }
    }
}

//! The verdict of a soak: whether the server ends in the state in which it started, and has lost nothing. Pure.

use std::fmt::Write as _;

use game_client::statistics::Spread;
use game_client::text::thousands;
use serde_json::Value as Json;

use super::Options;
use super::run::Run;
use super::sample::Sample;
use crate::results::NOT_MEASURED;

/// Maximum growth of memory, as a fraction.
const GROWTH_MAX: f64 = 0.01;

/// Tick rate of the server, in Hz.
const TICK_RATE_HZ: f64 = 60.0;

/// Maximum error of descriptors minus open sockets; a sample reads the two numbers at different times.
const SAMPLE_ERROR: f64 = 2.0;

/// One condition of the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The subject.
    pub what: &'static str,
    /// The measured value.
    pub found: String,
    /// The required value.
    pub expected: &'static str,
    /// Whether the condition holds.
    pub holds: bool,
}

fn finding(what: &'static str, expected: &'static str, found: String, holds: bool) -> Finding {
    Finding { what, found, expected, holds }
}

/// Returns all conditions, in the order of the report.
pub fn judge(options: &Options, run: &Run) -> Vec<Finding> {
    let (from_s, length_s) = (options.lead().as_secs_f64(), options.duration.as_secs_f64());
    let within = |from_s: f64, until_s: f64| -> Vec<&Sample> {
        run.samples.iter().filter(|sample| (from_s..=until_s).contains(&sample.at_s)).collect()
    };
    let (until_s, edge_s) = (from_s + length_s, options.edge().as_secs_f64());
    let measured = within(from_s, until_s);
    let edges = (within(from_s, from_s + edge_s), within(until_s - edge_s, until_s));
    let mut findings = vec![
        memory(&edges.0, &edges.1),
        ticks(&measured),
        descriptors_flat(&edges.0, &edges.1),
        descriptors_after(run),
        threads(&measured),
        answers(&run.samples),
        counts(run),
        faults(run),
    ];
    findings.push(load(run.load.as_ref()));
    findings.push(finding(
        "programs",
        "all ran for their full time",
        if run.broken.is_empty() { "all did".to_owned() } else { run.broken.join("; ") },
        run.broken.is_empty() && !run.is_interrupted,
    ));
    findings
}

fn median(samples: &[&Sample], value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = samples.iter().filter_map(|sample| value(sample)).collect();
    Spread::of(&values).map(|spread| spread.median)
}

fn memory(first: &[&Sample], last: &[&Sample]) -> Finding {
    let resident = |samples: &[&Sample]| median(samples, |sample| Some(sample.resident_bytes as f64));
    let grown = resident(first).zip(resident(last));
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let found = grown.map_or(NOT_MEASURED.to_owned(), |(before, after)| {
        let percent = (after / before - 1.0) * 100.0;
        format!("{:.2} MiB, then {:.2} MiB: {percent:+.2} %", mib(before), mib(after))
    });
    let holds = grown.is_some_and(|(before, after)| after < before * (1.0 + GROWTH_MAX));
    finding("memory, medians of beginning and end", "less than 1 % more", found, holds)
}

/// Compares skipped ticks with steal time for each interval separately.
fn ticks(samples: &[&Sample]) -> Finding {
    let (mut skipped, mut unexplained, mut waiting, mut intervals) = (0, 0, 0, 0);
    for pair in samples.windows(2) {
        let (Some(before), Some(after)) = (&pair[0].own, &pair[1].own) else { continue };
        let count = after.ticks_skipped - before.ticks_skipped;
        let stolen_s = pair[1].stolen_s - pair[0].stolen_s;
        let waited_s = pair[1].waited_s - pair[0].waited_s;
        let left = count.saturating_sub((stolen_s * TICK_RATE_HZ).ceil() as u64);
        skipped += count;
        unexplained += left;
        waiting += left.min((waited_s * TICK_RATE_HZ).ceil() as u64);
        intervals += 1;
    }
    let mut found = format!("{skipped}, {unexplained} of them not explained by steal time");
    if unexplained > 0 {
        let _ =
            write!(found, " ({waiting} fit into the time in which the server was runnable without a CPU)");
    }
    finding("ticks skipped", "none without steal time", found, unexplained == 0 && intervals > 0)
}

fn descriptors_flat(first: &[&Sample], last: &[&Sample]) -> Finding {
    let beside_sockets = |samples: &[&Sample]| {
        median(samples, |sample| Some(sample.descriptors as f64 - sample.own.as_ref()?.open as f64))
    };
    let grown = beside_sockets(first).zip(beside_sockets(last));
    let found = grown.map_or(NOT_MEASURED.to_owned(), |(before, after)| {
        format!("{before:.0}, then {after:.0} beside them")
    });
    let holds = grown.is_some_and(|(before, after)| (after - before).abs() <= SAMPLE_ERROR);
    finding("descriptors beside open sockets", "the same at the beginning and the end", found, holds)
}

fn descriptors_after(run: &Run) -> Finding {
    let (before, after) = (run.descriptors_before, run.rest.as_ref().map(|rest| rest.descriptors));
    let found = after.map_or(NOT_MEASURED.to_owned(), |after| format!("{before}, then {after}"));
    finding(
        "descriptors before the first player and after the last",
        "the same",
        found,
        after == Some(before),
    )
}

fn threads(samples: &[&Sample]) -> Finding {
    let spread = Spread::of(&samples.iter().map(|sample| sample.threads as f64).collect::<Vec<_>>());
    let found =
        spread.map_or(NOT_MEASURED.to_owned(), |spread| format!("{:.0} to {:.0}", spread.min, spread.max));
    finding("threads", "constant", found, spread.is_some_and(|spread| spread.max - spread.min < 0.5))
}

fn answers(samples: &[Sample]) -> Finding {
    let silent = samples.iter().filter(|sample| sample.own.is_none()).count();
    let found = format!("{} of {}", samples.len() - silent, samples.len());
    finding("requests answered", "all", found, silent == 0 && !samples.is_empty())
}

fn counts(run: &Run) -> Finding {
    let own = run.rest.as_ref().and_then(|rest| rest.own.as_ref());
    let found = own.map_or(NOT_MEASURED.to_owned(), |own| {
        let (upgraded, closed) = (thousands(own.upgraded), thousands(own.closed));
        format!(
            "{upgraded} joined, {closed} closed, {} remain, {} unaccounted",
            own.players,
            own.unaccounted()
        )
    });
    let holds = own.is_some_and(|own| own.players == 0 && own.unaccounted() == 0);
    finding("players after the last has left", "none remains, none is unaccounted", found, holds)
}

fn faults(run: &Run) -> Finding {
    let last = run.rest.iter().chain(run.samples.iter().rev()).find_map(|sample| sample.own.as_ref());
    let count = last.map(|own| own.internal_errors + own.worker_panics + own.log_lines_dropped);
    let found = count.map_or(NOT_MEASURED.to_owned(), |count| count.to_string());
    finding("faults of the server, panics and dropped log lines", "none", found, count == Some(0))
}

/// The load test's verdict: nothing lost, every sampled replica correct, every id new.
fn load(load: Option<&Json>) -> Finding {
    let problems: Option<Vec<&str>> =
        load.and_then(|load| load["problems"].as_array()?.iter().map(Json::as_str).collect());
    let is_whole = load.is_some_and(|load| load["ok"] == true && load["interrupted"] == false);
    let found = match problems {
        None => NOT_MEASURED.to_owned(),
        Some(problems) if problems.is_empty() => "nothing was lost or wrong".to_owned(),
        Some(problems) => problems.join("; "),
    };
    finding("verdict of the load test", "nothing lost, every sampled replica correct", found, is_whole)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::soak::sample::Own;

    const MIB: u64 = 1 << 20;

    fn options() -> Options {
        let duration = Duration::from_mins(2);
        Options { duration, clients: 1_000, churn_per_s: 20, hostile: 0, results: None }
    }

    /// A sample every five seconds, from the start of the load to its end.
    fn good() -> Run {
        let own = |at_s: u64| Own { open: 1_001, ticks: at_s * 60, ..Own::default() };
        let sample = |at_s: u64| Sample {
            at_s: at_s as f64,
            resident_bytes: 10 * MIB,
            descriptors: 1_010,
            threads: 3,
            own: Some(own(at_s)),
            ..Sample::default()
        };
        let rest = Own { upgraded: 5_000, closed: 5_000, open: 1, ..Own::default() };
        Run {
            samples: (0..=31).map(|number| sample(number * 5)).collect(),
            descriptors_before: 9,
            rest: Some(Sample { descriptors: 9, own: Some(rest), ..Sample::default() }),
            load: Some(json!({ "ok": true, "interrupted": false, "problems": [] })),
            ..Run::default()
        }
    }

    fn broken(change: impl Fn(&mut Run)) -> Vec<&'static str> {
        let mut run = good();
        change(&mut run);
        judge(&options(), &run)
            .into_iter()
            .filter(|finding| !finding.holds)
            .map(|finding| finding.what)
            .collect()
    }

    fn last_own(run: &mut Run) -> &mut Own {
        run.rest.as_mut().and_then(|rest| rest.own.as_mut()).expect("a sample at rest")
    }

    #[test]
    fn an_unchanged_server_passes() {
        assert_eq!(broken(|_| {}), [] as [&str; 0]);
    }

    #[test]
    fn memory_is_compared_by_medians_of_the_edges() {
        let leak = |run: &mut Run| {
            for sample in &mut run.samples {
                sample.resident_bytes += (sample.at_s * 1_500.0) as u64;
            }
        };
        assert_eq!(broken(leak), ["memory, medians of beginning and end"]);
        assert_eq!(
            broken(|run| run.samples[15].resident_bytes *= 3),
            [] as [&str; 0],
            "a single peak is not growth"
        );
        assert_eq!(
            broken(|run| run.samples[1].resident_bytes /= 2),
            [] as [&str; 0],
            "the warm-up is excluded"
        );
    }

    #[test]
    fn steal_time_explains_only_ticks_of_the_same_interval() {
        let skip = |run: &mut Run, stolen_from: usize| {
            for sample in &mut run.samples[10..] {
                sample.own.as_mut().expect("a response").ticks_skipped = 6;
            }
            for sample in &mut run.samples[stolen_from..] {
                sample.stolen_s = 0.1;
            }
        };
        assert_eq!(broken(|run| skip(run, 10)), [] as [&str; 0]);
        assert_eq!(broken(|run| skip(run, 11)), ["ticks skipped"]);
    }

    #[test]
    fn leaks_are_found() {
        let what = broken(|run| run.rest.as_mut().expect("a sample").descriptors = 10);
        assert_eq!(what, ["descriptors before the first player and after the last"]);
        assert_eq!(broken(|run| last_own(run).closed -= 1), ["players after the last has left"]);
        let ghost = |run: &mut Run| (last_own(run).closed, last_own(run).players) = (4_999, 1);
        assert_eq!(broken(ghost), ["players after the last has left"]);
        let leak = |run: &mut Run| run.samples[25..].iter_mut().for_each(|sample| sample.descriptors += 5);
        assert_eq!(broken(leak), ["descriptors beside open sockets"]);
        assert_eq!(broken(|run| run.samples[20].threads = 4), ["threads"]);
    }

    #[test]
    fn faults_missing_answers_and_verdicts_fail_the_soak() {
        assert_eq!(
            broken(|run| last_own(run).worker_panics = 1),
            ["faults of the server, panics and dropped log lines"]
        );
        assert_eq!(broken(|run| run.samples[20].own = None), ["requests answered"]);
        let lost = json!({ "ok": false, "interrupted": false, "problems": ["1 connections were lost"] });
        assert_eq!(broken(|run| run.load = Some(lost.clone())), ["verdict of the load test"]);
        assert_eq!(broken(|run| run.broken.push("hostile ended".to_owned())), ["programs"]);
    }

    #[test]
    fn a_condition_without_measurement_fails() {
        let nothing = Run { is_interrupted: true, ..Run::default() };
        let findings = judge(&options(), &nothing);
        let held: Vec<&str> =
            findings.iter().filter(|finding| finding.holds).map(|finding| finding.what).collect();
        assert_eq!(held, [] as [&str; 0]);
    }
}

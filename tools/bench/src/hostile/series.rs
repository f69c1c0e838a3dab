//! Summary and verdict of one series of pairs, as a section in Markdown.

use std::fmt::{self, Write as _};

use game_client::statistics::Spread;
use game_client::text::thousands;
use loadtest::hostile::attack::Figure as Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Plan;
use super::footprint::Footprint;
use super::run::Pair;
use crate::figures::{number, problems, reservation};
use crate::results::{NOT_MEASURED, spread_text};

/// Maximum of the mean ack round trip beside hostile peers, divided by that alone. The median of all pairs is judged.
const RATIO_MAX: f64 = 1.5;

const MIB: f64 = 1_048_576.0;

/// The figure with a limit.
const ACK_MEAN: &str = "/ack_ms/mean";

/// Figures of the players in the order of the report: name with unit, path, factor to the unit, decimals.
#[rustfmt::skip] // One row per figure.
const FIGURES: [(&str, &str, f64, usize); 15] = [
    ("ack round trip, mean, ms", ACK_MEAN, 1.0, 2),
    ("ack round trip, median, ms", "/ack_ms/p50", 1.0, 2),
    ("ack round trip, p99, ms", "/ack_ms/p99", 1.0, 2),
    ("ack round trip, longest, ms", "/ack_ms/max", 1.0, 1),
    ("MOVEs a second", "/traffic/moves_per_s", 1.0, 0),
    ("CPU of the server, % of a core", "/server/cores", 100.0, 1),
    ("server runnable without a CPU, %", "/server/wait_ratio", 100.0, 1),
    ("ticks a second", "/server/metrics/tick_rate_hz", 1.0, 2),
    ("ticks skipped", "/server/metrics/ticks_skipped", 1.0, 0),
    ("governor level at the end", "/server/metrics/governor_level", 1.0, 0),
    ("flush interval at the end, ms", "/server/metrics/flush_interval_ms", 1.0, 0),
    ("maximum of visible players at the end", "/server/metrics/max_visible", 1.0, 0),
    ("messages over the rate", "/server/metrics/rate_limited", 1.0, 0),
    ("partial writes", "/server/metrics/write_stalls", 1.0, 0),
    ("steal time of the machine, %", "/generator/stolen_ratio", 100.0, 2),
];

/// Name with unit, decimals and value of a figure of the server's footprint.
type Held = (&'static str, usize, fn(&Footprint) -> f64);

/// The figures of the server's footprint.
const FOOTPRINT: [Held; 3] = [
    ("memory, MiB", 1, |held| held.resident_bytes as f64 / MIB),
    ("descriptors", 0, |held| held.descriptors as f64),
    ("kernel memory for TCP on the machine, MiB", 1, |held| held.kernel_tcp_bytes as f64 / MIB),
];

/// Columns of the table of hostile peers: a count, or counts by reason.
const COUNTS: [&str; 9] =
    ["opened", "upgraded", "refused", "closed", "ended", "reset", "left", "failed", "open"];

/// All pairs of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The plan.
    pub plan: Plan,
    /// The results.
    pub pairs: Vec<Pair>,
}

/// Returns the parts of the load test's results that the report needs: a thirtieth of the whole.
pub fn essence(load: &Json) -> Json {
    let judged = ["/started", "/problems", "/ack_ms/count", "/generator/kept_up", "/generator/statement"];
    let mut kept = Json::Null;
    for path in judged.into_iter().chain(FIGURES.iter().map(|(_, path, ..)| *path)) {
        let Some(value) = load.pointer(path) else { continue };
        let part = path[1..].split('/').fold(&mut kept, |part, key| &mut part[key]);
        *part = value.clone();
    }
    kept
}

impl Series {
    /// Returns the ratios of the mean ack round trips; empty if one was not measured.
    fn ratios(&self) -> Vec<f64> {
        let of = |pair: &Pair| {
            let alone = number(&pair.alone, ACK_MEAN).filter(|mean| *mean > 0.0)?;
            Some(number(&pair.beside, ACK_MEAN)? / alone)
        };
        self.pairs.iter().map(of).collect::<Option<_>>().unwrap_or_default()
    }

    fn ratio(&self) -> Option<f64> {
        Spread::of(&self.ratios()).map(|ratio| ratio.median)
    }

    /// Returns one line for each missed limit.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = self.losses();
        match self.ratio() {
            Some(ratio) if ratio <= RATIO_MAX => {}
            Some(ratio) => missed
                .push(format!("acks took {ratio:.2} times as long beside hostile peers (<= {RATIO_MAX})")),
            None => missed.push("ack round trips were not measured".to_owned()),
        }
        for (pair, number) in self.pairs.iter().zip(1..) {
            missed.extend(pair.outcomes().into_iter().filter(|outcome| !outcome.is_met()).map(|outcome| {
                let value = outcome.value.map_or(NOT_MEASURED.to_owned(), |value| value.to_string());
                format!("pair {number}: {}: {value} ({})", outcome.name, outcome.limit())
            }));
        }
        missed
    }

    /// Returns the losses and errors that the load test reports.
    fn losses(&self) -> Vec<String> {
        self.remarks(problems)
    }

    /// Returns remarks on each run, with the pair and the run before them.
    fn remarks<T: IntoIterator<Item = String>>(&self, of: fn(&Json) -> T) -> Vec<String> {
        let runs =
            self.pairs.iter().zip(1..).flat_map(|(pair, number)| {
                [(number, "alone", &pair.alone), (number, "beside", &pair.beside)]
            });
        let named = |(number, run, load)| -> Vec<String> {
            of(load).into_iter().map(|remark| format!("pair {number}, {run}: {remark}")).collect()
        };
        runs.flat_map(named).collect()
    }

    /// Writes a row of the summary of all series.
    ///
    /// # Errors
    /// Never for a `String`, as the other methods.
    pub fn write_summary(&self, out: &mut String) -> fmt::Result {
        let ratio = self.ratio().map_or(NOT_MEASURED.to_owned(), |ratio| format!("{ratio:.2}"));
        let (lost, missed) = (self.losses().len(), self.missed().len());
        let missed = if missed == 0 { "none".to_owned() } else { missed.to_string() };
        writeln!(out, "| {} | {ratio} | {lost} | {missed} |", self.plan.name())
    }

    /// Writes the section.
    pub fn write(&self, out: &mut String) -> fmt::Result {
        let plan = &self.plan;
        writeln!(
            out,
            "\n## {}\n\n{} pairs of {} players alone and beside {} hostile peers.\n\n\
             ```sh\nloadtest {}\nloadtest hostile {}\n```\n",
            plan.name(),
            self.pairs.len(),
            plan.clients,
            thousands(u64::from(plan.peers)),
            plan.load_flags(),
            plan.hostile_flags()
        )?;
        self.write_verdict(out)?;
        writeln!(out, "\n| players | alone | beside |\n|---|---:|---:|")?;
        for (name, path, factor, decimals) in FIGURES {
            let of = |load: fn(&Pair) -> &Json| {
                let values = self.pairs.iter().filter_map(|pair| Some(number(load(pair), path)? * factor));
                spread_text(&values.collect::<Vec<_>>(), decimals)
            };
            writeln!(out, "| {name} | {} | {} |", of(|pair| &pair.alone), of(|pair| &pair.beside))?;
        }
        writeln!(out, "\n| server | before | during | after |\n|---|---:|---:|---:|")?;
        for (name, decimals, value) in FOOTPRINT {
            let of = |moment: fn(&Pair) -> &Footprint| {
                let values: Vec<f64> = self.pairs.iter().map(|pair| value(moment(pair))).collect();
                spread_text(&values, decimals)
            };
            let (before, after) = (of(|pair| &pair.before), of(|pair| &pair.after));
            writeln!(out, "| {name} | {before} | {} | {after} |", of(|pair| &pair.with))?;
        }
        if plan.attack.is_none() { self.write_hostile(out) } else { Ok(()) }
    }

    fn write_verdict(&self, out: &mut String) -> fmt::Result {
        let (losses, ratio) = (self.losses(), spread_text(&self.ratios(), 2));
        let is_met = |met: bool| if met { "yes" } else { "no" };
        let in_time = is_met(self.ratio().is_some_and(|ratio| ratio <= RATIO_MAX));
        let (lost, none_lost) = (losses.len(), is_met(losses.is_empty()));
        writeln!(
            out,
            "| target | measured | met |\n|---|---:|---|\n\
             | mean ack beside / alone at most {RATIO_MAX} | {ratio} | {in_time} |\n\
             | losses and errors: 0 | {lost} | {none_lost} |"
        )?;
        // The attack's figures with their limits.
        let all: Vec<Vec<Outcome>> = self.pairs.iter().map(Pair::outcomes).collect();
        for first in all.first().into_iter().flatten() {
            let same: Vec<&Outcome> = all.iter().flatten().filter(|other| other.name == first.name).collect();
            let values: Vec<f64> = same.iter().filter_map(|outcome| outcome.value).collect();
            let decimals = if values.iter().all(|value| value.fract() == 0.0) { 0 } else { 2 };
            let (name, limit, text) = (&first.name, first.limit(), spread_text(&values, decimals));
            let met = if limit.is_empty() { "" } else { is_met(same.iter().all(|outcome| outcome.is_met())) };
            writeln!(out, "| {name} {limit} | {text} | {met} |")?;
        }
        writeln!(out)?;
        let remarks = losses.into_iter().chain(self.remarks(reservation));
        remarks.into_iter().try_for_each(|remark| writeln!(out, "* {remark}"))
    }

    /// Writes the results of the hostile peers, summed over all pairs.
    fn write_hostile(&self, out: &mut String) -> fmt::Result {
        let mut sum = Json::Null;
        self.pairs.iter().for_each(|pair| add(&mut sum, &pair.hostile["kinds"]));
        writeln!(
            out,
            "\n| hostile peers | opened | upgraded | refused, by status | closed, by code | closed without code | reset \
             | left | failed | open at the end |\n|---|---:|---:|---|---|---:|---:|---:|---:|---:|"
        )?;
        for (kind, counts) in sum.as_object().into_iter().flatten() {
            let cell = |column: &&str| match *column {
                "refused" | "closed" => {
                    let reasons = counts[*column].as_object().into_iter().flatten();
                    reasons.map(|(key, count)| format!("{key}: {count}")).collect::<Vec<_>>().join(", ")
                }
                column => thousands(counts[column].as_u64().unwrap_or_default()),
            };
            let cells: Vec<String> = COUNTS.iter().map(cell).collect();
            writeln!(out, "| {kind} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

/// Adds the numbers of an object, recursively, to another.
fn add(sum: &mut Json, other: &Json) {
    match other {
        Json::Object(entries) => {
            if sum.is_null() {
                *sum = Json::Object(serde_json::Map::new());
            }
            entries.iter().for_each(|(key, value)| add(&mut sum[key.as_str()], value));
        }
        Json::Number(number) => {
            let total = sum.as_u64().unwrap_or_default() + number.as_u64().unwrap_or_default();
            *sum = total.into();
        }
        _ => {}
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use loadtest::hostile::attack::Attack;
    use serde_json::json;

    fn load(mean: f64, problems: &[&str]) -> Json {
        json!({
            "problems": problems,
            "ack_ms": { "count": 10, "mean": mean, "p99": 9.0 },
            "server": { "cores": 0.5 },
            "generator": { "kept_up": true },
        })
    }

    pub fn series(beside: [f64; 3], problems: &[&str]) -> Series {
        let (kinds, seconds, clients) = ("silent,deaf".to_owned(), 20, 500);
        let plan = Plan { attack: None, kinds, pairs: 3, seconds, clients, moves: 5, peers: 2_000 };
        let pairs = beside.map(|mean| Pair {
            alone: load(0.5, &[]),
            beside: load(mean, problems),
            hostile: json!({ "kinds": { "deaf": { "opened": 4, "closed": { "1008": 2 } } } }),
            before: Footprint::default(),
            with: Footprint { resident_bytes: 8 << 20, descriptors: 2_500, kernel_tcp_bytes: 0 },
            after: Footprint::default(),
        });
        Series { plan, pairs: pairs.into() }
    }

    fn markdown(series: &Series) -> String {
        let mut text = String::new();
        series.write(&mut text).unwrap();
        text
    }

    #[test]
    fn the_median_of_the_pairs_is_judged() {
        assert!(series([0.5, 0.7, 9.0], &[]).missed().is_empty());
        let missed = series([0.5, 0.8, 0.9], &[]).missed();
        assert_eq!(missed, ["acks took 1.60 times as long beside hostile peers (<= 1.5)"]);
    }

    #[test]
    fn a_loss_or_a_missing_measurement_misses_the_limit() {
        let missed = series([0.5; 3], &["1 connections were lost"]).missed();
        assert_eq!(missed.len(), 3);
        assert_eq!(missed[0], "pair 1, beside: 1 connections were lost");
        let mut unmeasured = series([0.5; 3], &[]);
        unmeasured.pairs[1].alone["ack_ms"]["count"] = json!(0);
        assert_eq!(unmeasured.missed(), ["ack round trips were not measured"]);
    }

    #[test]
    fn markdown_has_verdict_figures_and_counts_of_all_pairs() {
        let text = markdown(&series([0.5, 0.6, 0.7], &[]));
        for line in [
            "| mean ack beside / alone at most 1.5 | 1.20 (1.00..1.40) | yes |",
            "| losses and errors: 0 | 0 | yes |",
            "| ack round trip, mean, ms | 0.50 | 0.60 (0.50..0.70) |",
            "| memory, MiB | 0.0 | 8.0 | 0.0 |",
            "| deaf | 12 | 0 |  | 1008: 6 | 0 | 0 | 0 | 0 | 0 |",
        ] {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
    }

    #[test]
    fn figures_of_an_attack_are_judged_in_every_pair() {
        let mut series = series([0.5; 3], &[]);
        series.plan.attack = Some(Attack::Jump);
        for (pair, value) in series.pairs.iter_mut().zip([json!(0.5), json!(0.9), Json::Null]) {
            pair.hostile = json!({ "figures": [
                { "name": "snapshots a second", "value": value, "at_most": 0.7 },
                { "name": "bytes", "value": 12.0 },
            ] });
        }
        let missed = series.missed();
        assert_eq!(
            missed,
            ["pair 2: snapshots a second: 0.9 (<= 0.7)", "pair 3: snapshots a second: not measured (<= 0.7)"]
        );
        let text = markdown(&series);
        for line in
            ["| snapshots a second <= 0.7 | 0.70 (0.50..0.90) | no |", "| bytes  | 12 |  |", "## jump"]
        {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
        assert!(!text.contains("| hostile peers |"), "{text}");
        series.pairs[0].hostile = json!({});
        assert_eq!(series.missed()[0], "pair 1: the attack's figures: not measured (>= 1)");
    }

    #[test]
    fn the_essence_has_every_figure_and_the_verdict() {
        let load = json!({
            "problems": ["1 connections were lost"],
            "ack_ms": { "count": 9, "mean": 0.5, "p99": 2.0, "buckets": [1, 2, 3] },
            "generator": { "kept_up": true, "stolen_ratio": 0.01, "cores": 0.5 },
            "timeline": [{ "at_s": 1 }],
        });
        let kept = essence(&load);
        assert!(FIGURES.iter().all(|(_, path, ..)| number(&kept, path) == number(&load, path)));
        assert_eq!((problems(&kept), reservation(&kept)), (problems(&load), None));
        assert!(kept["timeline"].is_null() && kept["ack_ms"]["buckets"].is_null());
    }
}

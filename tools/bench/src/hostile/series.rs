//! Summary and verdict of one series of pairs, as a section in Markdown.

use std::fmt::Write as _;

use game_client::text::thousands;
use loadtest::hostile::attack::Figure as Outcome;
use serde::Serialize;
use serde_json::Value as Json;

use super::Plan;
use super::run::{Footprint, Pair};
use crate::figures::{Judged, NOT_MEASURED, Run, rows, spread_text};
use crate::judge::{Bound, Measured, missed, table};

/// Maximum of the mean ack round trip beside hostile peers, divided by that alone. The median of all pairs is judged.
const RATIO_MAX: f64 = 1.5;

/// Figures of the players in the report.
const FIGURES: [&str; 15] = [
    "ack_mean_ms", "ack_p50_ms", "ack_p99_ms", "ack_max_ms", "moves_per_s", "cpu_percent",
    "server_wait_percent", "tick_rate_hz", "ticks_skipped", "governor_level", "flush_interval_ms",
    "max_visible", "rate_limited", "write_stalls", "stolen_percent",
];

/// Names and decimals of the footprint.
const FOOTPRINT: [(&str, usize); 3] =
    [("memory, MiB", 1), ("descriptors", 0), ("kernel memory for TCP on the machine, MiB", 1)];

/// Columns of the table of hostile peers: a count, or counts by reason.
const COUNTS: [&str; 9] =
    ["opened", "upgraded", "refused", "closed", "ended", "reset", "left", "failed", "open"];

/// All pairs of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// The plan.
    pub plan: Plan,
    /// The results.
    pub pairs: Vec<Pair>,
}

impl Series {
    /// Returns the figures with limits: the ratio of the mean acks, the losses, and the attack's own figures.
    fn verdict(&self) -> Vec<Measured> {
        let each = |of: &dyn Fn(&Pair) -> Option<f64>| self.pairs.iter().map(of).collect::<Vec<_>>();
        let ratios = each(&|pair| {
            let mean = |run: &Run| run.figures.get("ack_mean_ms").copied().filter(|mean| *mean > 0.0);
            Some(mean(&pair.beside)? / mean(&pair.alone)?)
        });
        let lost = each(&|pair| Some((pair.alone.problems.len() + pair.beside.problems.len()) as f64));
        let (ratio_max, none) = (Some(Bound::AtMost(RATIO_MAX)), Some(Bound::AtMost(0.0)));
        let mut verdict = vec![
            Measured::new("mean ack beside, relative to alone", "", 2).judge(
                Judged::ByMedian,
                &ratios,
                ratio_max,
            ),
            Measured::new("losses and errors", "", 0).judge(Judged::ByWorst, &lost, none),
        ];
        if self.plan.attack.is_none() {
            return verdict;
        }
        let outcomes: Vec<Vec<Outcome>> = self.pairs.iter().map(outcomes).collect();
        for first in outcomes.first().into_iter().flatten() {
            let same = |all: &Vec<Outcome>| all.iter().find(|other| other.name == first.name)?.value;
            let values: Vec<Option<f64>> = outcomes.iter().map(same).collect();
            let is_whole = values.iter().flatten().all(|value| value.fract() == 0.0);
            let bound = first.at_most.map(Bound::AtMost).or(first.at_least.map(Bound::AtLeast));
            let figure = Measured::new(&first.name, "", if is_whole { 0 } else { 2 });
            verdict.push(figure.judge(Judged::ByWorst, &values, bound));
        }
        verdict
    }

    /// Returns one line for each missed limit.
    pub fn missed(&self) -> Vec<String> {
        let name = self.plan.name();
        let losses = self.remarks(|run| run.problems.clone());
        missed(&self.verdict()).chain(losses).map(|missed| format!("{name}: {missed}")).collect()
    }

    /// Returns remarks on each run, with the pair and the run before them.
    fn remarks(&self, of: impl Fn(&Run) -> Vec<String>) -> Vec<String> {
        let mut remarks = Vec::new();
        for (pair, number) in self.pairs.iter().zip(1..) {
            for (name, run) in [("alone", &pair.alone), ("beside", &pair.beside)] {
                remarks.extend(of(run).iter().map(|remark| format!("pair {number}, {name}: {remark}")));
            }
        }
        remarks
    }

    /// Formats a row of the summary of all series.
    pub fn summary(&self) -> String {
        let verdict = self.verdict();
        let missed = missed(&verdict).count();
        let missed = if missed == 0 { "none".to_owned() } else { missed.to_string() };
        let (ratio, lost) = (verdict[0].value_text(), verdict[1].value_text());
        format!("| {} | {ratio} | {lost} | {missed} |\n", self.plan.name())
    }

    /// Formats the section.
    pub fn section(&self) -> String {
        let Series { plan, pairs } = self;
        let runs = |of: fn(&Pair) -> &Run| pairs.iter().map(|pair| of(pair).clone()).collect::<Vec<_>>();
        let mut text = format!(
            "\n## {}\n\n{} pairs of {} players alone and beside {} hostile peers.\n\n\
             ```sh\nloadtest {}\nloadtest hostile {}\n```\n\n{}\n",
            plan.name(),
            pairs.len(),
            plan.clients,
            thousands(u64::from(plan.peers)),
            plan.load_flags(),
            plan.hostile_flags(),
            table(&self.verdict()),
        );
        for remark in self.remarks(|run| [&run.problems[..], &run.remarks].concat()) {
            let _ = writeln!(text, "* {remark}");
        }
        let columns = rows(&FIGURES, &[&runs(|pair| &pair.alone), &runs(|pair| &pair.beside)]);
        let _ = write!(text, "\n| players | alone | beside |\n|---|---:|---:|\n{columns}");
        text.push_str("\n| server | before | during | after |\n|---|---:|---:|---:|\n");
        for (index, (name, decimals)) in FOOTPRINT.into_iter().enumerate() {
            let of = |moment: fn(&Pair) -> &Footprint| {
                let values: Vec<f64> = pairs.iter().map(|pair| moment(pair)[index]).collect();
                spread_text(&values, decimals)
            };
            let (before, after) = (of(|pair| &pair.before), of(|pair| &pair.after));
            let _ = writeln!(text, "| {name} | {before} | {} | {after} |", of(|pair| &pair.with));
        }
        let last = pairs.last().map(|pair| &pair.hostile["kinds"]).and_then(Json::as_object);
        if let Some(kinds) = last {
            text.push_str(
                "\n| hostile peers of the last pair | opened | upgraded | refused, by status | closed, by code \
                 | closed without code | reset | left | failed | open at the end |\n\
                 |---|---:|---:|---|---|---:|---:|---:|---:|---:|\n",
            );
            for (kind, counts) in kinds {
                let cells = COUNTS.map(|column| count_text(&counts[column]));
                let _ = writeln!(text, "| {kind} | {} |", cells.join(" | "));
            }
        }
        text
    }
}

/// Returns the figures of an attack. A run without them misses a limit.
fn outcomes(pair: &Pair) -> Vec<Outcome> {
    let name = "the attack's figures".to_owned();
    let lacking = Outcome { name, value: None, at_most: None, at_least: Some(1.0) };
    serde_json::from_value(pair.hostile["figures"].clone()).unwrap_or_else(|_| vec![lacking])
}

/// Formats a count, or counts by reason.
fn count_text(count: &Json) -> String {
    match count {
        Json::Object(reasons) => {
            reasons.iter().map(|(key, count)| format!("{key}: {count}")).collect::<Vec<_>>().join(", ")
        }
        count => count.as_u64().map_or(NOT_MEASURED.to_owned(), thousands),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadtest::hostile::attack::Attack;
    use serde_json::json;

    fn load(mean: f64, problems: &[&str]) -> Run {
        Run::of(&json!({
            "problems": problems,
            "ack_ms": { "count": 10, "mean": mean, "p99": 9.0 },
            "generator": { "kept_up": true },
        }))
    }

    fn series(beside: [f64; 3], problems: &[&str]) -> Series {
        let (kinds, seconds, clients) = ("silent,deaf".to_owned(), 20, 500);
        let plan = Plan { attack: None, kinds, pairs: 3, seconds, clients, moves: 5, peers: 2_000 };
        let pairs = beside.map(|mean| Pair {
            alone: load(0.5, &[]),
            beside: load(mean, problems),
            hostile: json!({ "kinds": { "deaf": { "opened": 4, "closed": { "1008": 2 } } } }),
            with: [8.0, 2_500.0, 0.0],
            ..Pair::default()
        });
        Series { plan, pairs: pairs.into() }
    }

    #[test]
    fn the_median_of_the_pairs_and_every_loss_are_judged() {
        assert!(series([0.5, 0.7, 9.0], &[]).missed().is_empty());
        let missed = series([0.5, 0.8, 0.9], &[]).missed();
        assert_eq!(missed, ["crowd: mean ack beside, relative to alone 1.60 (<= 1.5)"]);
        let missed = series([0.5; 3], &["1 connections were lost"]).missed();
        assert_eq!(missed[0], "crowd: losses and errors 1 (<= 0)");
        assert_eq!((missed[1].as_str(), missed.len()), ("crowd: pair 1, beside: 1 connections were lost", 4));
        let mut unmeasured = series([0.5; 3], &[]);
        unmeasured.pairs[1].alone.figures.clear();
        assert_eq!(unmeasured.missed(), ["crowd: mean ack beside, relative to alone not measured (<= 1.5)"]);
    }

    #[test]
    fn markdown_has_verdict_figures_and_counts() {
        let series = series([0.5, 0.6, 0.7], &[]);
        let text = series.summary() + &series.section();
        for line in [
            "| crowd | 1.20 | 0 | none |",
            "| mean ack beside, relative to alone | 1.20 | 1.00..1.40 | ≤ 1.5 | yes |",
            "| ack round trip, mean, ms | 0.50 | 0.60 (0.50..0.70) |",
            "| memory, MiB | 0.0 | 8.0 | 0.0 |",
            "| deaf | 4 | not measured | not measured | 1008: 2 |",
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
        assert_eq!(series.missed(), ["jump: snapshots a second not measured (<= 0.7)"]);
        let text = series.section();
        for line in
            ["| snapshots a second | not measured | 0.50..0.90 | ≤ 0.7 | no |", "| bytes | 12 |", "## jump"]
        {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
        assert!(!text.contains("| hostile peers "), "{text}");
        series.pairs[0].hostile = json!({});
        assert_eq!(series.missed(), ["jump: the attack's figures not measured (>= 1)"]);
    }
}

//! Summary and verdict of one series of pairs, as a section in Markdown.

use std::fmt::{self, Write as _};

use game_client::statistics::Spread;
use game_client::text::thousands;
use loadtest::hostile::attack::Figure as Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::figures::{ACK_MEAN, Figure, OTHERS, losses, reservation};
use crate::footprint::Footprint;
use crate::options::Plan;
use crate::run::Pair;

/// Maximum of the mean ack round trip beside hostile peers, divided by that alone. The median of all pairs is judged.
const RATIO_MAX: f64 = 1.5;

const MIB: f64 = 1_048_576.0;

/// All pairs of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The plan.
    pub plan: Plan,
    /// The results.
    pub pairs: Vec<Pair>,
}

impl Series {
    /// Returns the ratios of the mean ack round trips, or `None` if one was not measured.
    pub fn ratio(&self) -> Option<Spread> {
        let of = |pair: &Pair| {
            let alone = ACK_MEAN.of(&pair.alone).filter(|mean| *mean > 0.0)?;
            Some(ACK_MEAN.of(&pair.beside)? / alone)
        };
        Spread::of(&self.pairs.iter().map(of).collect::<Option<Vec<f64>>>()?)
    }

    /// Returns one line for each missed limit.
    pub fn missed(&self) -> Vec<String> {
        let mut missed: Vec<String> = self.all_losses().collect();
        match self.ratio() {
            Some(ratio) if ratio.median <= RATIO_MAX => {}
            Some(ratio) => missed.push(format!(
                "acks took {:.2} times as long beside hostile peers (<= {RATIO_MAX})",
                ratio.median
            )),
            None => missed.push("ack round trips were not measured".to_owned()),
        }
        missed.extend(self.outcomes_missed());
        missed
    }

    /// Returns the attack's figures beyond their limits.
    fn outcomes_missed(&self) -> impl Iterator<Item = String> {
        self.pairs.iter().zip(1..).flat_map(|(pair, number)| {
            let missed = pair.outcomes().into_iter().filter(|outcome| !outcome.is_met());
            missed.map(move |outcome| {
                let value = outcome.value.map_or("not measured".to_owned(), |value| value.to_string());
                format!("pair {number}: {}: {value} ({})", outcome.name, outcome.limit())
            })
        })
    }

    /// Returns the losses and errors that the load test reports.
    pub fn all_losses(&self) -> impl Iterator<Item = String> {
        self.pairs.iter().zip(1..).flat_map(|(pair, number)| {
            let of = move |run: &str, load: &Json| -> Vec<String> {
                losses(load).iter().map(|loss| format!("pair {number}, {run}: {loss}")).collect()
            };
            of("alone", &pair.alone).into_iter().chain(of("beside", &pair.beside))
        })
    }

    fn reservations(&self) -> impl Iterator<Item = String> {
        self.pairs.iter().zip(1..).flat_map(|(pair, number)| {
            let of = move |run: &str, load: &Json| {
                reservation(load).map(|reservation| format!("pair {number}, {run}: {reservation}"))
            };
            of("alone", &pair.alone).into_iter().chain(of("beside", &pair.beside))
        })
    }

    /// Writes the section.
    ///
    /// # Errors
    /// Never for a `String`.
    pub fn write(&self, out: &mut String) -> fmt::Result {
        let plan = &self.plan;
        writeln!(out, "\n## {}\n", plan.name())?;
        writeln!(
            out,
            "{} pairs of {} players alone and beside {} hostile peers.\n",
            self.pairs.len(),
            plan.clients,
            thousands(u64::from(plan.peers))
        )?;
        writeln!(out, "```sh\nloadtest {}\nhostile {}\n```\n", plan.load_flags(), plan.hostile_flags())?;
        self.write_verdict(out)?;
        self.write_figures(out)?;
        self.write_footprints(out)?;
        if plan.attack.is_none() { self.write_hostile(out) } else { Ok(()) }
    }

    fn write_verdict(&self, out: &mut String) -> fmt::Result {
        let lost = self.all_losses().count();
        let ratio = self.ratio();
        let ratio_text = ratio.map_or("not measured".to_owned(), |ratio| spread_text(&ratio, 2));
        let is_met = |met: bool| if met { "yes" } else { "no" };
        let in_time = ratio.is_some_and(|ratio| ratio.median <= RATIO_MAX);
        writeln!(out, "| target | measured | met |\n|---|---:|---|")?;
        writeln!(
            out,
            "| mean ack beside / alone at most {RATIO_MAX} | {ratio_text} | {} |",
            is_met(in_time)
        )?;
        writeln!(out, "| losses and errors: 0 | {lost} | {} |", is_met(lost == 0))?;
        self.write_outcomes(out)?;
        writeln!(out)?;
        for line in self.all_losses().chain(self.reservations()) {
            writeln!(out, "* {line}")?;
        }
        Ok(())
    }

    /// Writes the attack's figures with their limits.
    fn write_outcomes(&self, out: &mut String) -> fmt::Result {
        let all: Vec<Vec<Outcome>> = self.pairs.iter().map(Pair::outcomes).collect();
        for first in all.first().into_iter().flatten() {
            let same: Vec<&Outcome> = all.iter().flatten().filter(|other| other.name == first.name).collect();
            let values: Vec<f64> = same.iter().filter_map(|outcome| outcome.value).collect();
            let decimals = if values.iter().all(|value| value.fract() == 0.0) { 0 } else { 2 };
            let measured = Spread::of(&values);
            let text = measured.map_or("not measured".to_owned(), |spread| spread_text(&spread, decimals));
            let is_met = same.iter().all(|outcome| outcome.is_met());
            let met = match first.limit().as_str() {
                "" => "",
                _ if is_met => "yes",
                _ => "no",
            };
            writeln!(out, "| {} {} | {text} | {met} |", first.name, first.limit())?;
        }
        Ok(())
    }

    fn write_figures(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\n| players | alone | beside |\n|---|---:|---:|")?;
        for figure in [&ACK_MEAN].into_iter().chain(&OTHERS) {
            let of = |load: fn(&Pair) -> &Json| self.spread_of(figure, load);
            let (alone, beside) = (of(|pair| &pair.alone), of(|pair| &pair.beside));
            writeln!(out, "| {} | {alone} | {beside} |", figure.name)?;
        }
        Ok(())
    }

    fn spread_of(&self, figure: &Figure, load: fn(&Pair) -> &Json) -> String {
        let values: Vec<f64> = self.pairs.iter().filter_map(|pair| figure.of(load(pair))).collect();
        Spread::of(&values).map_or("not measured".to_owned(), |spread| spread_text(&spread, figure.decimals))
    }

    fn write_footprints(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\n| server | before | during | after |\n|---|---:|---:|---:|")?;
        let mib = |bytes: u64| bytes as f64 / MIB;
        self.write_footprint(out, "memory, MiB", 1, &|held| mib(held.resident_bytes))?;
        self.write_footprint(out, "descriptors", 0, &|held| held.descriptors as f64)?;
        let kernel = "kernel memory for TCP on the machine, MiB";
        self.write_footprint(out, kernel, 1, &|held| mib(held.kernel_tcp_bytes))
    }

    fn write_footprint(
        &self,
        out: &mut String,
        name: &str,
        decimals: usize,
        of: &dyn Fn(&Footprint) -> f64,
    ) -> fmt::Result {
        let column = |moment: fn(&Pair) -> &Footprint| {
            let values: Vec<f64> = self.pairs.iter().map(|pair| of(moment(pair))).collect();
            Spread::of(&values).map(|spread| spread_text(&spread, decimals)).unwrap_or_default()
        };
        let (before, with, after) =
            (column(|pair| &pair.before), column(|pair| &pair.with), column(|pair| &pair.after));
        writeln!(out, "| {name} | {before} | {with} | {after} |")
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
            let number = |key: &str| thousands(counts[key].as_u64().unwrap_or_default());
            writeln!(
                out,
                "| {kind} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                number("opened"),
                number("upgraded"),
                reasons(&counts["refused"]),
                reasons(&counts["closed"]),
                number("ended"),
                number("reset"),
                number("left"),
                number("failed"),
                number("open"),
            )?;
        }
        Ok(())
    }
}

/// Formats the median, with the range if values differ.
fn spread_text(spread: &Spread, decimals: usize) -> String {
    let number = |value: f64| format!("{value:.decimals$}");
    let (median, min, max) = (number(spread.median), number(spread.min), number(spread.max));
    if min == max { median } else { format!("{median} ({min}..{max})") }
}

fn reasons(counts: &Json) -> String {
    let all = counts.as_object().into_iter().flatten();
    all.map(|(key, count)| format!("{key}: {count}")).collect::<Vec<_>>().join(", ")
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
}

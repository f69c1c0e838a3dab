//! All pairs in a few numbers: judged, and written as Markdown for people and as JSON for programs.

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stage::machine::{Commit, Machine};
use stage::statistics::Spread;
use stage::text::thousands;

use crate::figures::{ACK_MEAN, Figure, OTHERS, losses, reservation};
use crate::footprint::Footprint;
use crate::options::Options;
use crate::run::{Pair, load_flags};

/// How much longer an ack may take beside hostile peers, the median of all pairs.
const RATIO_MAX: f64 = 1.5;

const MIB: f64 = 1_048_576.0;

/// What was measured, where and of what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The machine.
    pub machine: Machine,
    /// The code.
    pub commit: Commit,
    /// When it began.
    pub started: String,
    /// What was asked for.
    pub options: Options,
    /// What came out.
    pub pairs: Vec<Pair>,
}

impl Results {
    /// Nothing yet.
    pub fn new(machine: Machine, commit: Commit, started: String, options: &Options) -> Results {
        Results { machine, commit, started, options: options.clone(), pairs: Vec::new() }
    }

    /// Writes both files, and makes the folder where it lacks.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("hostile.json"), format!("{}\n", serde_json::to_string_pretty(self)?))?;
        fs::write(folder.join("hostile.md"), self.markdown())
    }

    /// How much longer the acks took, pair by pair; none if one was not measured.
    fn ratio(&self) -> Option<Spread> {
        let of = |pair: &Pair| {
            let alone = ACK_MEAN.of(&pair.alone).filter(|mean| *mean > 0.0)?;
            Some(ACK_MEAN.of(&pair.beside)? / alone)
        };
        Spread::of(&self.pairs.iter().map(of).collect::<Option<Vec<f64>>>()?)
    }

    /// What is not as it should be, one line each.
    pub fn missed(&self) -> Vec<String> {
        let mut missed: Vec<String> = self.all_losses().collect();
        match self.ratio() {
            Some(ratio) if ratio.median <= RATIO_MAX => {}
            Some(ratio) => missed.push(format!(
                "acks took {:.2} times as long beside hostile peers (<= {RATIO_MAX})",
                ratio.median
            )),
            None => missed.push("the acks' times were not measured".to_owned()),
        }
        missed
    }

    fn all_losses(&self) -> impl Iterator<Item = String> {
        self.pairs.iter().zip(1..).flat_map(|(pair, number)| {
            let of = move |whom: &str, load: &Json| -> Vec<String> {
                losses(load).iter().map(|loss| format!("pair {number}, {whom}: {loss}")).collect()
            };
            of("alone", &pair.alone).into_iter().chain(of("beside", &pair.beside))
        })
    }

    fn reservations(&self) -> impl Iterator<Item = String> {
        self.pairs.iter().zip(1..).flat_map(|(pair, number)| {
            let of = move |whom: &str, load: &Json| {
                reservation(load).map(|reservation| format!("pair {number}, {whom}: {reservation}"))
            };
            of("alone", &pair.alone).into_iter().chain(of("beside", &pair.beside))
        })
    }

    /// Everything, as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        self.write_markdown(&mut out).expect("a String takes whatever is written");
        out
    }

    fn write_markdown(&self, out: &mut String) -> fmt::Result {
        let options = &self.options;
        writeln!(out, "# Healthy players beside hostile peers\n")?;
        writeln!(
            out,
            "Written by `make bench-hostile`; server, players and hostile peers on the same machine."
        )?;
        writeln!(
            out,
            "{} pairs, each of {} players alone and the same beside {} hostile peers, every time",
            options.pairs,
            options.clients,
            thousands(u64::from(options.peers))
        )?;
        writeln!(
            out,
            "against a server of its own with default settings; medians, and in brackets the range.\n"
        )?;
        writeln!(out, "{}, {}\n", self.commit, self.started)?;
        let (peers, kinds) = (options.peers, &options.kinds);
        writeln!(
            out,
            "```sh\nloadtest {}\nhostile --peers {peers} --kinds {kinds}\n```\n",
            load_flags(options)
        )?;
        writeln!(out, "{}", self.machine.table())?;
        self.write_verdict(out)?;
        self.write_figures(out)?;
        self.write_footprints(out)?;
        self.write_hostile(out)
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
            "| acks take at most {RATIO_MAX} times as long beside | {ratio_text} | {} |",
            is_met(in_time)
        )?;
        writeln!(out, "| kinds of things lost or wrong: 0 | {lost} | {} |\n", is_met(lost == 0))?;
        for line in self.all_losses().chain(self.reservations()) {
            writeln!(out, "* {line}")?;
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
        writeln!(out, "\n| server | before | with all | after |\n|---|---:|---:|---:|")?;
        let mib = |bytes: u64| bytes as f64 / MIB;
        self.write_footprint(out, "memory, MiB", 1, &|held| mib(held.resident_bytes))?;
        self.write_footprint(out, "descriptors", 0, &|held| held.descriptors as f64)?;
        let kernel = "memory of the kernel for TCP on the machine, MiB";
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

    /// What the hostile peers met with, of all pairs together.
    fn write_hostile(&self, out: &mut String) -> fmt::Result {
        let mut sum = Json::Null;
        self.pairs.iter().for_each(|pair| add(&mut sum, &pair.hostile["kinds"]));
        writeln!(
            out,
            "\n| hostile peers | opened | upgraded | refused, by status | closed, by code | ended without one | reset \
             | left by themselves | failed | open at the end |\n|---|---:|---:|---|---|---:|---:|---:|---:|---:|"
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

/// The median, and the range if there is one.
fn spread_text(spread: &Spread, decimals: usize) -> String {
    let number = |value: f64| format!("{value:.decimals$}");
    let (median, min, max) = (number(spread.median), number(spread.min), number(spread.max));
    if min == max { median } else { format!("{median} ({min}..{max})") }
}

fn reasons(counts: &Json) -> String {
    let all = counts.as_object().into_iter().flatten();
    all.map(|(key, count)| format!("{key}: {count}")).collect::<Vec<_>>().join(", ")
}

/// Adds the numbers of an object, and of the objects in it, to those of another.
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
mod tests {
    use super::*;
    use serde_json::json;

    fn load(mean: f64, problems: &[&str]) -> Json {
        json!({
            "problems": problems,
            "ack_ms": { "count": 10, "mean": mean, "p99": 9.0 },
            "server": { "cores": 0.5 },
            "generator": { "kept_up": true },
        })
    }

    fn results(beside: [f64; 3], problems: &[&str]) -> Results {
        let options = Options {
            pairs: 3,
            seconds: 20,
            clients: 500,
            moves: 5,
            peers: 2_000,
            kinds: "silent,deaf".to_owned(),
            results: None,
        };
        let mut results =
            Results::new(Machine::default(), Commit::default(), "2026-01-01T00:00:00Z".to_owned(), &options);
        results.pairs.extend(beside.map(|mean| Pair {
            alone: load(0.5, &[]),
            beside: load(mean, problems),
            hostile: json!({ "kinds": { "deaf": { "opened": 4, "closed": { "1008": 2 } } } }),
            before: Footprint::default(),
            with: Footprint { resident_bytes: 8 << 20, descriptors: 2_500, kernel_tcp_bytes: 0 },
            after: Footprint::default(),
        }));
        results
    }

    #[test]
    fn the_median_of_the_pairs_is_judged() {
        assert!(results([0.5, 0.7, 9.0], &[]).missed().is_empty());
        let missed = results([0.5, 0.8, 0.9], &[]).missed();
        assert_eq!(missed, ["acks took 1.60 times as long beside hostile peers (<= 1.5)"]);
    }

    #[test]
    fn one_loss_is_one_too_many_and_what_was_not_measured_is_missed() {
        let missed = results([0.5; 3], &["1 connections were lost"]).missed();
        assert_eq!(missed.len(), 3);
        assert_eq!(missed[0], "pair 1, beside: 1 connections were lost");
        let mut unmeasured = results([0.5; 3], &[]);
        unmeasured.pairs[1].alone["ack_ms"]["count"] = json!(0);
        assert_eq!(unmeasured.missed(), ["the acks' times were not measured"]);
    }

    #[test]
    fn markdown_tells_verdict_figures_and_counts_of_all_pairs() {
        let text = results([0.5, 0.6, 0.7], &[]).markdown();
        for line in [
            "| acks take at most 1.5 times as long beside | 1.20 (1.00..1.40) | yes |",
            "| kinds of things lost or wrong: 0 | 0 | yes |",
            "| ack round trip, mean, ms | 0.50 | 0.60 (0.50..0.70) |",
            "| memory, MiB | 0.0 | 8.0 | 0.0 |",
            "| deaf | 12 | 0 |  | 1008: 6 | 0 | 0 | 0 | 0 | 0 |",
        ] {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
    }

    #[test]
    fn results_are_written_for_people_and_programs() {
        let folder = std::env::temp_dir().join(format!("bench-hostile-test-{}", std::process::id()));
        let results = results([0.5; 3], &[]);
        results.write(&folder).unwrap();
        let read: Results = serde_json::from_slice(&fs::read(folder.join("hostile.json")).unwrap()).unwrap();
        assert_eq!(read, results);
        assert_eq!(fs::read_to_string(folder.join("hostile.md")).unwrap(), results.markdown());
        fs::remove_dir_all(folder).unwrap();
    }
}

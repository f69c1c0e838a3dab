//! The report over all series, as Markdown and as JSON.

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stage::machine::{Commit, Machine};

use crate::section::Series;

/// All results, with machine and code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The machine.
    pub machine: Machine,
    /// The code.
    pub commit: Commit,
    /// Start time.
    pub started: String,
    /// The series.
    pub series: Vec<Series>,
}

impl Results {
    /// Creates results without series.
    pub fn new(machine: Machine, commit: Commit, started: String) -> Results {
        Results { machine, commit, started, series: Vec::new() }
    }

    /// Writes both files, and creates the folder if necessary.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("hostile.json"), format!("{}\n", serde_json::to_string(self)?))?;
        fs::write(folder.join("hostile.md"), self.markdown())
    }

    /// Returns one line for each missed limit.
    pub fn missed(&self) -> Vec<String> {
        let of = |series: &Series| -> Vec<String> {
            let name = series.plan.name();
            series.missed().iter().map(|missed| format!("{name}: {missed}")).collect()
        };
        self.series.iter().flat_map(of).collect()
    }

    /// Formats the report as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        self.write_markdown(&mut out).expect("writing to a String can't fail");
        out
    }

    fn write_markdown(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "# Healthy players beside hostile peers\n")?;
        writeln!(
            out,
            "Written by `make bench-hostile`; server, players and hostile peers on the same machine.\n\
             A pair is the load test alone and beside hostile peers, each with a fresh server and default settings.\n\
             Medians of all pairs, with the range in brackets.\n"
        )?;
        writeln!(out, "{}, {}\n", self.commit, self.started)?;
        writeln!(out, "{}", self.machine.table())?;
        writeln!(
            out,
            "| beside | ratio of mean acks | lost or wrong | missed limits |\n|---|---:|---:|---|"
        )?;
        for series in &self.series {
            let ratio =
                series.ratio().map_or("not measured".to_owned(), |ratio| format!("{:.2}", ratio.median));
            let (lost, missed) = (series.all_losses().count(), series.missed().len());
            let missed = if missed == 0 { "none".to_owned() } else { missed.to_string() };
            writeln!(out, "| {} | {ratio} | {lost} | {missed} |", series.plan.name())?;
        }
        self.series.iter().try_for_each(|series| series.write(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::series;

    fn results(problems: &[&str]) -> Results {
        let mut results =
            Results::new(Machine::default(), Commit::default(), "2026-01-01T00:00:00Z".to_owned());
        results.series.push(series([0.5, 0.6, 0.7], problems));
        results
    }

    #[test]
    fn a_missed_limit_names_its_series() {
        assert!(results(&[]).missed().is_empty());
        assert_eq!(
            results(&["1 connections were lost"]).missed()[0],
            "crowd: pair 1, beside: 1 connections were lost"
        );
        assert!(results(&[]).markdown().contains("\n| crowd | 1.20 | 0 | none |\n"));
    }

    #[test]
    fn results_are_written_as_markdown_and_json() {
        let folder = std::env::temp_dir().join(format!("bench-hostile-test-{}", std::process::id()));
        let results = results(&[]);
        results.write(&folder).unwrap();
        let read: Results = serde_json::from_slice(&fs::read(folder.join("hostile.json")).unwrap()).unwrap();
        assert_eq!(read, results);
        assert_eq!(fs::read_to_string(folder.join("hostile.md")).unwrap(), results.markdown());
        fs::remove_dir_all(folder).unwrap();
    }
}

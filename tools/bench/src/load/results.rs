//! Stored results: `load.json`, updated by each run, and `load.md`, the same as Markdown.

use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use game_client::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::figures::{FIGURES, Figure, Judged, Run};
use super::judge::Measured;
use super::report::markdown;
use super::rows::{GROWTH, ROWS, Row};
use super::run::commands;
use crate::figures::{problems, reservation};
use crate::machine::{Commit, Machine};
use crate::results::write_both;

/// Growth of the cost per player from one thousand to ten thousand players. It belongs to two rows, not to one run.
static GROWTH_FIGURE: Figure = Figure {
    key: "cpu_growth_percent",
    name: "growth of the CPU per player from 1,000 to 10,000 players",
    unit: "%",
    decimals: 1,
    judged: Judged::ByMedian,
    of: |_| None,
};

/// The figure whose growth is computed.
const GROWING: &str = "cpu_us_per_player_s";

/// The results of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its letter.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Start time of its first run.
    pub started: String,
    /// The measured code.
    pub commit: Commit,
    /// Number of runs.
    pub runs: usize,
    /// Measured time of each run, in seconds.
    pub seconds: u64,
    /// Commands that repeat it by hand.
    pub commands: Vec<String>,
    /// Its figures.
    pub figures: Vec<Measured>,
    /// Remarks of the load test.
    pub remarks: Vec<String>,
}

/// All results of a machine and day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The machine.
    pub machine: Machine,
    /// The rows, in the order of the table.
    pub rows: Vec<Entry>,
    /// Figures across several rows.
    pub across: Vec<Measured>,
}

impl Entry {
    /// Judges the runs of a row. There must be at least one.
    pub fn judge(row: &Row, seconds: u64, started: String, commit: Commit, runs: &[Run]) -> Entry {
        let figure = |figure: &Figure| {
            let values: Vec<Option<f64>> = runs.iter().map(figure.of).collect();
            Measured::judge(figure, &values, row.bound(figure.key))
        };
        Entry {
            id: row.id.to_owned(),
            title: row.title.to_owned(),
            started,
            commit,
            runs: runs.len(),
            seconds,
            commands: runs.last().map(|run| commands(row, seconds, run)).unwrap_or_default(),
            figures: FIGURES.iter().filter_map(figure).collect(),
            remarks: runs.iter().enumerate().flat_map(|(index, run)| remarks_of(index + 1, run)).collect(),
        }
    }

    /// Returns the figures that miss their target.
    pub fn missed(&self) -> impl Iterator<Item = &Measured> {
        self.figures.iter().filter(|measured| measured.is_missed())
    }

    fn value(&self, key: &str) -> Option<f64> {
        self.figures.iter().find(|measured| measured.key == key)?.value
    }
}

fn remarks_of(number: usize, run: &Run) -> Vec<String> {
    let of = |program: &str, load: &Json| -> Vec<String> {
        let remarks = problems(load).into_iter().chain(reservation(load));
        remarks.map(|remark| format!("run {number}, {program}: {remark}")).collect()
    };
    run.floors.iter().fold(of("server", &run.server), |all, floor| [all, of("floor", floor)].concat())
}

impl Results {
    /// Returns empty results.
    pub fn new(machine: Machine) -> Results {
        Results { machine, ..Results::default() }
    }

    /// Reads the earlier results of this machine; empty if there are none.
    ///
    /// # Errors
    /// The file cannot be read or parsed, or holds another machine's results: it must not be overwritten.
    pub fn read(folder: &Path, machine: Machine) -> Result<Results, Failure> {
        let file = folder.join("load.json");
        let failure = |problem: &dyn Display| Failure::Failed(format!("{}: {problem}", file.display()));
        let json = match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Results::new(machine)),
            result => result.map_err(|error| failure(&error))?,
        };
        let results: Results = serde_json::from_slice(&json).map_err(|error| failure(&error))?;
        if results.machine != machine {
            return Err(failure(&"results of another machine; set RESULTS to another folder"));
        }
        Ok(results)
    }

    /// Writes both files.
    ///
    /// # Errors
    /// Writing fails.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        write_both(folder, "load", self, &markdown(self))
    }

    /// Adds a row, or replaces its earlier results.
    pub fn put(&mut self, entry: Entry) {
        self.rows.retain(|kept| kept.id != entry.id);
        self.rows.push(entry);
        self.rows.sort_by_key(|entry| ROWS.iter().position(|row| row.id == entry.id));
        self.across = self.growth().into_iter().collect();
    }

    /// Returns the row of this letter.
    pub fn row(&self, id: &str) -> Option<&Entry> {
        self.rows.iter().find(|entry| entry.id == id)
    }

    /// Returns the growth of the cost per player. Both rows must be of the same code.
    fn growth(&self) -> Option<Measured> {
        let (few, many, bound) = GROWTH;
        let (few, many) = (self.row(few)?, self.row(many)?);
        if few.commit != many.commit {
            return None;
        }
        let few_us = few.value(GROWING).filter(|us| *us > 0.0)?;
        let growth = (many.value(GROWING)? / few_us - 1.0) * 100.0;
        Measured::judge(&GROWTH_FIGURE, &[Some(growth)], Some(bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A row whose server uses `cpu_us` microseconds per player and second.
    fn entry(id: &str, cpu_us: f64, commit: &str) -> Entry {
        let server = json!({
            "problems": ["1 close frames were not answered"],
            "traffic": { "clients": 1000 },
            "server": { "cores": cpu_us / 1e3 },
            "generator": { "kept_up": true },
        });
        let commit = Commit { hash: commit.to_owned(), is_dirty: false };
        let runs = [Run { server, floors: Vec::new() }];
        Entry::judge(Row::of(id).unwrap(), 5, "now".to_owned(), commit, &runs)
    }

    #[test]
    fn a_row_replaces_only_its_own_results() {
        let mut results = Results::default();
        for entry in [entry("c", 90.0, "1"), entry("a", 50.0, "1"), entry("c", 80.0, "2")] {
            results.put(entry);
        }
        let rows: Vec<(&str, &str)> =
            results.rows.iter().map(|entry| (entry.id.as_str(), entry.commit.hash.as_str())).collect();
        assert_eq!(rows, [("a", "1"), ("c", "2")]);
    }

    #[test]
    fn growth_compares_only_rows_of_the_same_code() {
        let mut results = Results::default();
        results.put(entry("g", 100.0, "1"));
        assert!(results.across.is_empty());
        results.put(entry("c", 120.0, "1"));
        assert_eq!((results.across[0].value_text().as_str(), results.across[0].met), ("20.0 %", Some(true)));
        results.put(entry("c", 140.0, "1"));
        assert!(results.across[0].is_missed());
        results.put(entry("c", 140.0, "2"));
        assert!(results.across.is_empty());
    }

    #[test]
    fn an_unmeasured_target_is_missed_and_remarks_are_kept() {
        let entry = entry("f", 1.0, "1");
        assert!(entry.missed().any(|measured| measured.key == "resident_mib"));
        assert!(!entry.missed().any(|measured| measured.key == "cpu_percent"));
        assert_eq!(entry.remarks, ["run 1, server: 1 close frames were not answered"]);
    }

    #[test]
    fn results_survive_a_round_trip() {
        let folder = std::env::temp_dir().join(format!("bench-load-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut results = Results::read(&folder, Machine::current()).unwrap();
        results.put(entry("a", 12.5, "1"));
        results.write(&folder).unwrap();
        assert_eq!(Results::read(&folder, Machine::current()).unwrap(), results);
        let other = Machine { cores: 99, ..Machine::current() };
        assert!(Results::read(&folder, other).is_err(), "another machine's");
        fs::write(folder.join("load.json"), "{").unwrap();
        assert!(Results::read(&folder, Machine::current()).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}

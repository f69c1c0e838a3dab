//! Results as they are kept: `load.json`, to which each run of some rows adds, and `load.md`, the same for people.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};
use stage::machine::{Commit, Machine};

use crate::figures::{FIGURES, Figure, Judged, Run, remarks};
use crate::judge::Measured;
use crate::report::markdown;
use crate::rows::{GROWTH, ROWS, Row};
use crate::run::commands;

/// What a player costs among ten thousand, against what it costs among a thousand; of two rows, not of one run.
static GROWTH_FIGURE: Figure = Figure {
    key: "cpu_growth_percent",
    name: "growth of the CPU for each player from 1,000 to 10,000 of them",
    unit: "%",
    decimals: 1,
    judged: Judged::ByMedian,
    of: |_| None,
};

/// The figure the growth is made of.
const GROWING: &str = "cpu_us_per_player_s";

/// A row that was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its letter.
    pub id: String,
    /// What it is.
    pub title: String,
    /// When its first run began.
    pub started: String,
    /// The code that was run.
    pub commit: Commit,
    /// How often it was run.
    pub runs: usize,
    /// How long each run was measured, in seconds.
    pub seconds: u64,
    /// What to type to run it by hand.
    pub commands: Vec<String>,
    /// What came out.
    pub figures: Vec<Measured>,
    /// What the load test said beside its figures.
    pub remarks: Vec<String>,
}

/// Everything that is known of a machine and a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The machine.
    pub machine: Machine,
    /// The rows, in the order of the table.
    pub rows: Vec<Entry>,
    /// What is said of several rows.
    pub across: Vec<Measured>,
}

impl Entry {
    /// Judges the runs of a row; at least one.
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

    /// The figures that have a target and miss it.
    pub fn missed(&self) -> impl Iterator<Item = &Measured> {
        self.figures.iter().filter(|measured| measured.is_missed())
    }

    fn value(&self, key: &str) -> Option<f64> {
        self.figures.iter().find(|measured| measured.key == key)?.value
    }
}

fn remarks_of(number: usize, run: &Run) -> Vec<String> {
    let of = |whom: &str, remarks: Vec<String>| -> Vec<String> {
        remarks.iter().map(|remark| format!("run {number}, {whom}: {remark}")).collect()
    };
    let mut all = of("server", remarks(&run.server));
    all.extend(run.floors.iter().flat_map(|floor| of("floor", remarks(floor))));
    all
}

impl Results {
    /// Nothing yet.
    pub fn new(machine: Machine) -> Results {
        Results { machine, ..Results::default() }
    }

    /// What has been found here before on this machine, or nothing yet.
    ///
    /// # Errors
    /// The file is there and can't be read, is no such file, or is another machine's: nothing must take its place.
    pub fn read(folder: &Path, machine: Machine) -> io::Result<Results> {
        let results: Results = match fs::read(folder.join("load.json")) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Results::new(machine)),
            Err(error) => return Err(error),
        };
        if results.machine != machine {
            return Err(io::Error::other("holds results of another machine; name another folder by RESULTS"));
        }
        Ok(results)
    }

    /// Writes both files, and makes the folder where it lacks.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("load.json"), format!("{}\n", serde_json::to_string_pretty(self)?))?;
        fs::write(folder.join("load.md"), markdown(self))
    }

    /// Adds a row; an earlier result of the same row gives way to it.
    pub fn put(&mut self, entry: Entry) {
        self.rows.retain(|kept| kept.id != entry.id);
        self.rows.push(entry);
        self.rows.sort_by_key(|entry| ROWS.iter().position(|row| row.id == entry.id));
        self.across = self.growth().into_iter().collect();
    }

    /// The row of this letter.
    pub fn row(&self, id: &str) -> Option<&Entry> {
        self.rows.iter().find(|entry| entry.id == id)
    }

    /// How much more a player costs among many; of the same code only.
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

    /// A row whose server uses so many microseconds a second for each player.
    fn entry(id: &str, cpu_us: f64, commit: &str) -> Entry {
        let server = json!({
            "problems": ["1 goodbyes were not answered"],
            "traffic": { "clients": 1000 },
            "server": { "cores": cpu_us / 1e3 },
            "generator": { "kept_up": true },
        });
        let commit = Commit { hash: commit.to_owned(), is_dirty: false };
        let runs = [Run { server, floors: Vec::new() }];
        Entry::judge(Row::of(id).unwrap(), 5, "now".to_owned(), commit, &runs)
    }

    #[test]
    fn a_row_takes_the_place_of_its_own_results_and_leaves_the_others() {
        let mut results = Results::default();
        for entry in [entry("c", 90.0, "1"), entry("a", 50.0, "1"), entry("c", 80.0, "2")] {
            results.put(entry);
        }
        let rows: Vec<(&str, &str)> =
            results.rows.iter().map(|entry| (entry.id.as_str(), entry.commit.hash.as_str())).collect();
        assert_eq!(rows, [("a", "1"), ("c", "2")]);
    }

    #[test]
    fn growth_is_told_of_rows_of_the_same_code() {
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
    fn what_was_not_measured_is_missed_and_remarks_are_kept() {
        let entry = entry("f", 1.0, "1");
        assert!(entry.missed().any(|measured| measured.key == "resident_mib"));
        assert!(!entry.missed().any(|measured| measured.key == "cpu_percent"));
        assert_eq!(entry.remarks, ["run 1, server: 1 goodbyes were not answered"]);
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let folder = std::env::temp_dir().join(format!("bench-load-{}", std::process::id()));
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

//! Stored results: `load.json`, updated by each run, and `load.md`, the same as Markdown.

use std::fmt::{Display, Write as _};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use game_client::Failure;
use serde::{Deserialize, Serialize};

use super::rows::{GROWTH, ROWS, Row};
use crate::figures::{FIGURES, Figure, Judged, Run};
use crate::judge::{Measured, missed, table};
use crate::machine::{Commit, Machine, Occasion};
use crate::results::{write, write_json};

/// The figure whose growth from one thousand to ten thousand players is computed.
const GROWING: &str = "cpu_us_per_player_s";

/// Name of that growth.
const GROWTH_NAME: &str = "growth of the CPU per player from 1,000 to 10,000 players";

/// Figures without a target that indicate how reliable the others are.
const BESIDE: [&str; 5] =
    ["stolen_percent", "others_percent", "cpu_us_per_call", "floor_cpu_us_per_call", "floor_writes_percent"];

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
    /// Judges the runs of a row.
    pub fn judge(row: &Row, seconds: u64, occasion: Occasion, runs: &[Run]) -> Entry {
        let figure = |figure: &Figure| {
            let values: Vec<Option<f64>> =
                runs.iter().map(|run| run.figures.get(figure.key).copied()).collect();
            Measured::of(figure, &values, row.bound(figure.key))
        };
        let remarks = runs.iter().zip(1..).flat_map(|(run, number)| {
            run.problems.iter().chain(&run.remarks).map(move |remark| format!("run {number}: {remark}"))
        });
        Entry {
            id: row.id.to_owned(),
            title: row.title.to_owned(),
            started: occasion.started,
            commit: occasion.commit,
            runs: runs.len(),
            seconds,
            commands: Vec::new(),
            figures: FIGURES.iter().filter_map(figure).collect(),
            remarks: remarks.collect(),
        }
    }

    fn value(&self, key: &str) -> Option<f64> {
        self.figures.iter().find(|measured| measured.key == key)?.value
    }

    fn circumstances(&self) -> String {
        let plural = if self.runs == 1 { "" } else { "s" };
        format!("{} run{plural} of {} s, {}, {}", self.runs, self.seconds, self.commit, self.started)
    }

    /// Formats the row as a section in Markdown.
    fn markdown(&self) -> String {
        let mut text = format!(
            "\n## {}: {}\n\n{}\n\n```sh\n{}\n```\n\n{}\n",
            self.id,
            self.title,
            self.circumstances(),
            self.commands.join("\n"),
            table(&self.figures)
        );
        text.extend(self.remarks.iter().map(|remark| format!("* {remark}\n")));
        text
    }
}

impl Results {
    /// Reads the earlier results of this machine; empty if there are none.
    ///
    /// # Errors
    /// The file cannot be read or parsed, or holds another machine's results: it must not be overwritten.
    pub fn read(folder: &Path, machine: Machine) -> Result<Results, Failure> {
        let file = folder.join("load.json");
        let failure = |problem: &dyn Display| Failure::Failed(format!("{}: {problem}", file.display()));
        let json = match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Results { machine, ..Results::default() });
            }
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
        write_json(&folder.join("load.json"), self)?;
        write(&folder.join("load.md"), &self.markdown())
    }

    /// Adds a row, or replaces its earlier results.
    pub fn put(&mut self, entry: Entry) {
        self.rows.retain(|kept| kept.id != entry.id);
        self.rows.push(entry);
        self.rows.sort_by_key(|entry| ROWS.iter().position(|row| row.id == entry.id));
        self.across = self.growth().into_iter().collect();
    }

    /// Returns the growth of the cost per player. Both rows must be of the same code.
    fn growth(&self) -> Option<Measured> {
        let row = |id: &str| self.rows.iter().find(|entry| entry.id == id);
        let (few, many) = (row(GROWTH.0)?, row(GROWTH.1)?);
        let few_us = few.value(GROWING).filter(|us| *us > 0.0 && few.commit == many.commit)?;
        let growth = (many.value(GROWING)? / few_us - 1.0) * 100.0;
        Some(Measured::new(GROWTH_NAME, "%", 1).judge(Judged::ByMedian, &[Some(growth)], Some(GROWTH.2)))
    }

    /// Formats all results as Markdown.
    fn markdown(&self) -> String {
        let mut text = format!(
            "# Server under load\n\n\
             Written by `make bench-load`. All players are in the spawn area; server and generator run on\n\
             the same machine. For several runs of a row, \"measured\" is the median, or the worst for\n\
             events that must never happen.\n\n{}\n| row | | targets missed |\n|---|---|---|\n",
            self.machine.table()
        );
        for entry in &self.rows {
            let missed: Vec<String> = missed(&entry.figures).collect();
            let missed = if missed.is_empty() { "none".to_owned() } else { missed.join("; ") };
            let _ = writeln!(text, "| {} | {} | {missed} |", entry.id, entry.title);
        }
        if !self.across.is_empty() {
            let _ = write!(text, "\n{}", table(&self.across));
        }
        text.extend(self.rows.iter().map(Entry::markdown));
        text
    }

    /// Formats rows with their targets, and the figures across rows, as plain text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.rows {
            let _ = writeln!(text, "\n{}  {} ({})", entry.id, entry.title, entry.circumstances());
            let judged = entry.figures.iter().filter(|measured| measured.met.is_some());
            let beside = entry.figures.iter().filter(|measured| BESIDE.contains(&measured.key.as_str()));
            text.extend(judged.chain(beside).map(Measured::line));
            text.extend(entry.remarks.iter().map(|remark| format!("        {remark}\n")));
        }
        if !self.across.is_empty() {
            text.push_str("\nall\n");
            text.extend(self.across.iter().map(Measured::line));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A row whose server uses `cpu_us` microseconds per player and second.
    fn entry(id: &str, cpu_us: f64, commit: &str) -> Entry {
        let run = Run::of(&json!({
            "problems": ["1 close frames were not answered"],
            "traffic": { "clients": 1000 },
            "server": { "cores": cpu_us / 1e3 },
            "generator": { "kept_up": true, "stolen_ratio": 0.01 },
        }));
        let commit = Commit { hash: commit.to_owned(), is_dirty: false };
        let row = ROWS.iter().find(|row| row.id == id).unwrap();
        Entry::judge(row, 5, Occasion { commit, ..Occasion::default() }, &[run])
    }

    fn results(entries: [Entry; 3]) -> Results {
        let mut results = Results::default();
        for entry in entries {
            results.put(entry);
        }
        results
    }

    #[test]
    fn a_row_replaces_only_its_own_results() {
        let results = results([entry("c", 90.0, "1"), entry("a", 50.0, "1"), entry("c", 80.0, "2")]);
        let rows = results.rows.iter().map(|entry| (entry.id.as_str(), entry.commit.hash.as_str()));
        assert_eq!(rows.collect::<Vec<_>>(), [("a", "1"), ("c", "2")]);
    }

    #[test]
    fn growth_compares_only_rows_of_the_same_code() {
        let growth = |commits: [&str; 2], many: f64| {
            let entries = [entry("a", 1.0, "1"), entry("g", 100.0, commits[0]), entry("c", many, commits[1])];
            results(entries).across.first().map(|growth| (growth.value_text(), growth.met))
        };
        assert_eq!(growth(["1", "1"], 120.0), Some(("20.0 %".to_owned(), Some(true))));
        assert_eq!(growth(["1", "1"], 140.0), Some(("40.0 %".to_owned(), Some(false))));
        assert_eq!(growth(["1", "2"], 140.0), None);
    }

    #[test]
    fn reports_have_targets_misses_remarks_and_context() {
        let results = results([entry("f", 1.0, "1"), entry("a", 1.0, "1"), entry("b", 1.0, "1")]);
        let (markdown, text) = (results.markdown(), results.text());
        assert!(
            markdown.contains("| memory of the server | not measured |  | ≤ 48 MiB | no |"),
            "{markdown}"
        );
        assert!(markdown.contains("\n* run 1: 1 close frames were not answered\n"), "{markdown}");
        assert!(text.contains("   no   memory of the server "), "{text}");
        assert!(text.contains("        steal time of the machine"), "{text}");
        assert!(!text.contains("CPU per player"), "{text}");
        let missed: Vec<String> = missed(&results.rows[2].figures).collect();
        let memory = "memory of the server not measured (<= 48 MiB)".to_owned();
        assert!(
            missed.contains(&memory) && !missed.iter().any(|missed| missed.starts_with("CPU")),
            "{missed:?}"
        );
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

    #[test]
    fn recorded_results_are_read_and_have_all_rows() {
        let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/results");
        // A day on which other benchmarks were recorded has no results of load tests.
        let recorded: Vec<_> = fs::read_dir(folders)
            .unwrap()
            .map(|folder| folder.unwrap().path().join("load.json"))
            .filter(|file| file.exists())
            .collect();
        assert!(!recorded.is_empty());
        for file in recorded {
            let results: Results = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            assert_eq!(results.rows.len(), ROWS.len());
        }
    }
}

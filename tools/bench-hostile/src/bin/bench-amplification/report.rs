//! The table: judged, and written as Markdown for people and as JSON for programs.

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stage::machine::{Commit, Machine};
use stage::text::thousands;

use crate::options::Options;

/// One case, a second of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was sent.
    pub name: String,
    /// How often a second.
    pub rate: f64,
    /// Bytes that the attacker sent.
    pub bytes_in: f64,
    /// Bytes that the server sent to all connections because of it.
    pub bytes_out: f64,
    /// Processor time of the server because of it, in nanoseconds.
    pub cpu_ns: f64,
    /// The most bytes out per byte in, if there is a limit.
    pub ratio_max: Option<f64>,
    /// Why there are no figures, if there are none.
    pub problem: Option<String>,
}

impl Row {
    /// Bytes out per byte in; none where nothing was sent.
    fn ratio(&self) -> Option<f64> {
        self.per_byte(self.bytes_out)
    }

    fn per_byte(&self, amount: f64) -> Option<f64> {
        (self.problem.is_none() && self.bytes_in > 0.0).then(|| amount / self.bytes_in)
    }

    /// What is not as it should be, if anything is.
    fn missed(&self) -> Option<String> {
        let name = format!("{} at {:.0}/s", self.name, self.rate);
        match (self.ratio(), self.ratio_max) {
            (None, _) => Some(format!(
                "{name}: not measured: {}",
                self.problem.as_deref().unwrap_or("nothing was sent")
            )),
            (Some(ratio), Some(most)) if ratio > most => {
                Some(format!("{name}: {ratio:.0} bytes out per byte in (<= {most})"))
            }
            _ => None,
        }
    }
}

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
    pub rows: Vec<Row>,
}

impl Results {
    /// Nothing yet.
    pub fn new(machine: Machine, commit: Commit, started: String, options: &Options) -> Results {
        Results { machine, commit, started, options: options.clone(), rows: Vec::new() }
    }

    /// Writes both files, and makes the folder where it lacks.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("amplification.json"), format!("{}\n", serde_json::to_string(self)?))?;
        fs::write(folder.join("amplification.md"), self.markdown())
    }

    /// What is not as it should be, one line each.
    pub fn missed(&self) -> Vec<String> {
        self.rows.iter().filter_map(Row::missed).collect()
    }

    /// Everything, as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        self.write_markdown(&mut out).expect("a String takes whatever is written");
        out
    }

    fn write_markdown(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "# What one client's bytes cost the server\n")?;
        writeln!(
            out,
            "One client sends, beside {} idle players who see it, to a server of its own with default settings.\n\
             Bytes in are the client's, bytes out those to all connections; what the server does without the client is subtracted.\n\
             One of the players turns once a second, so that the viewers' regular snapshots are due anyway: of the client's rows only\n\
             the one where nothing else happens has them.\n",
            self.options.viewers
        )?;
        writeln!(out, "{}, {}\n\n```sh\n{}\n```\n", self.commit, self.started, self.options.command())?;
        writeln!(out, "{}", self.machine.table())?;
        writeln!(
            out,
            "| what is sent | a second | bytes in/s | bytes out/s | out per byte in | target | met | CPU per byte in, us | \
             CPU, % of a core |\n|---|---:|---:|---:|---:|---:|---|---:|---:|"
        )?;
        self.rows.iter().try_for_each(|row| write_row(out, row))
    }
}

fn write_row(out: &mut String, row: &Row) -> fmt::Result {
    let whole = |number: f64| thousands(number.round() as u64);
    let decimals = |number: Option<f64>, decimals: usize| {
        number.map_or("not measured".to_owned(), |number| format!("{number:.decimals$}"))
    };
    let target = row.ratio_max.map_or(String::new(), |most| format!("<= {most}"));
    let met = match row.ratio_max {
        None => "",
        Some(_) if row.missed().is_none() => "yes",
        Some(_) => "no",
    };
    writeln!(
        out,
        "| {} | {:.0} | {} | {} | {} | {target} | {met} | {} | {:.2} |",
        row.name,
        row.rate,
        whole(row.bytes_in),
        whole(row.bytes_out),
        decimals(row.ratio(), 1),
        decimals(row.per_byte(row.cpu_ns / 1e3), 2),
        row.cpu_ns / 1e7,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let options = Options { viewers: 120, seconds: 5, results: None };
        let mut results =
            Results::new(Machine::default(), Commit::default(), "2026-01-01T00:00:00Z".to_owned(), &options);
        let row = |name: &str, bytes_out, ratio_max| {
            let name = name.to_owned();
            Row { name, rate: 19.0, bytes_in: 100.0, bytes_out, cpu_ns: 1e6, ratio_max, problem: None }
        };
        results.rows = vec![row("turns", 21_900.0, Some(220.0)), row("page", 1e6, None)];
        results
    }

    #[test]
    fn messages_are_judged_and_pages_are_not() {
        let mut results = results();
        assert!(results.missed().is_empty());
        results.rows[0].bytes_out = 30_000.0;
        assert_eq!(results.missed(), ["turns at 19/s: 300 bytes out per byte in (<= 220)"]);
        results.rows[1].problem = Some("closed with 1008".to_owned());
        assert_eq!(results.missed()[1], "page at 19/s: not measured: closed with 1008");
    }

    #[test]
    fn the_table_is_written_for_people_and_programs() {
        let folder = std::env::temp_dir().join(format!("bench-amplification-test-{}", std::process::id()));
        let results = results();
        results.write(&folder).unwrap();
        let read: Results =
            serde_json::from_slice(&fs::read(folder.join("amplification.json")).unwrap()).unwrap();
        assert_eq!(read, results);
        let text = fs::read_to_string(folder.join("amplification.md")).unwrap();
        for line in [
            "make bench-amplification VIEWERS=120 DURATION=5s",
            "| turns | 19 | 100 | 21,900 | 219.0 | <= 220 | yes | 10.00 | 0.10 |",
            "| page | 19 | 100 | 1,000,000 | 10000.0 |  |  | 10.00 | 0.10 |",
        ] {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}

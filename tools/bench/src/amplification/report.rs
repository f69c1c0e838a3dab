//! Table and verdict, as Markdown and as JSON.

use std::fmt::{self, Write as _};

use game_client::text::thousands;
use serde::{Deserialize, Serialize};

use super::Options;
use crate::machine::Occasion;
use crate::results::NOT_MEASURED;

/// The results of one case, per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the case.
    pub name: String,
    /// Rate, per second.
    pub rate: f64,
    /// Bytes sent by the attacker.
    pub bytes_in: f64,
    /// Bytes that the server sent to all connections because of it.
    pub bytes_out: f64,
    /// CPU time that it cost the server, in nanoseconds.
    pub cpu_ns: f64,
    /// Maximum bytes out per byte in, if limited.
    pub ratio_max: Option<f64>,
    /// The reason for missing figures.
    pub problem: Option<String>,
}

impl Row {
    /// Bytes out per byte in; `None` without bytes in.
    fn ratio(&self) -> Option<f64> {
        self.per_byte(self.bytes_out)
    }

    fn per_byte(&self, amount: f64) -> Option<f64> {
        (self.problem.is_none() && self.bytes_in > 0.0).then(|| amount / self.bytes_in)
    }

    /// Describes a missed limit or a missing measurement.
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

/// All results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The circumstances.
    #[serde(flatten)]
    pub occasion: Occasion,
    /// The options.
    pub options: Options,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Results {
    /// Returns one line for each missed limit.
    pub fn missed(&self) -> Vec<String> {
        self.rows.iter().filter_map(Row::missed).collect()
    }

    /// Formats the table as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        self.write_markdown(&mut out).expect("writing to a String can't fail");
        out
    }

    fn write_markdown(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "# The server's cost of one client's bytes\n")?;
        writeln!(
            out,
            "One client sends to a fresh server with default settings; {} idle players see it.\n\
             Bytes in are the client's, bytes out are those to all connections, without the load before the client.\n\
             One of the players turns once a second and causes the viewers' regular snapshots, so they are subtracted;\n\
             only the row of the still world contains them.\n",
            self.options.viewers
        )?;
        let (Options { viewers, seconds, .. }, Occasion { machine, commit, started }) =
            (&self.options, &self.occasion);
        let command = format!("make bench-amplification VIEWERS={viewers} DURATION={seconds}s");
        writeln!(out, "{commit}, {started}\n\n```sh\n{command}\n```\n\n{}", machine.table())?;
        writeln!(
            out,
            "| input | per second | bytes in/s | bytes out/s | out per byte in | target | met | CPU per byte in, us | \
             CPU, % of a core |\n|---|---:|---:|---:|---:|---:|---|---:|---:|"
        )?;
        self.rows.iter().try_for_each(|row| write_row(out, row))
    }
}

fn write_row(out: &mut String, row: &Row) -> fmt::Result {
    let whole = |number: f64| thousands(number.round() as u64);
    let decimals = |number: Option<f64>, decimals: usize| {
        number.map_or(NOT_MEASURED.to_owned(), |number| format!("{number:.decimals$}"))
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
        let mut results = Results { occasion: Occasion::default(), options, rows: Vec::new() };
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
    fn the_table_is_formatted_and_survives_a_round_trip() {
        let results = results();
        let json = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&json).unwrap(), results);
        let text = results.markdown();
        for line in [
            "make bench-amplification VIEWERS=120 DURATION=5s",
            "| turns | 19 | 100 | 21,900 | 219.0 | <= 220 | yes | 10.00 | 0.10 |",
            "| page | 19 | 100 | 1,000,000 | 10000.0 |  |  | 10.00 | 0.10 |",
        ] {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
    }
}

//! Results of the checks: one line per check, one column per server.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use game_client::deadline::DeadlineStream;
use game_client::endpoint::{self, Server};
use game_client::text::printable;
use serde_json::{Value as Json, json};

use super::checks::{self, Check, Weight};
use super::player::PATIENCE;

/// The results of one server, a column of the table.
pub struct Column {
    name: String,
    /// In the order of [`checks::all`]; an error describes the actual behavior.
    results: Vec<Result<(), String>>,
}

impl Column {
    /// Runs all checks against a server.
    pub fn of(server: &Server) -> Column {
        let reached = reach(server);
        let ask = |check: &Check| reached.clone().and_then(check.ask);
        Column { name: server.name.clone(), results: checks::all().map(ask).collect() }
    }

    /// Whether all checks passed.
    pub fn passed(&self) -> bool {
        self.results.iter().all(Result::is_ok)
    }

    fn count(&self, weight: Weight) -> (usize, usize) {
        let of_weight = checks::all().zip(&self.results).filter(|(check, _)| check.weight == weight);
        let results: Vec<bool> = of_weight.map(|(_, result)| result.is_ok()).collect();
        (results.iter().filter(|is_ok| **is_ok).count(), results.len())
    }
}

/// Returns the first of the server's addresses that accepts a connection.
fn reach(server: &Server) -> Result<SocketAddr, String> {
    let unreachable = |why: String| format!("unreachable: {why}");
    let addresses = endpoint::addresses(&server.host, server.port, PATIENCE).map_err(unreachable)?;
    let stream =
        DeadlineStream::connect(&addresses, Instant::now() + PATIENCE).map(DeadlineStream::into_stream);
    stream.and_then(|stream| stream.peer_addr()).map_err(|error| unreachable(error.to_string()))
}

fn rows(columns: &[Column]) -> impl Iterator<Item = (&'static Check, Vec<&Result<(), String>>)> {
    checks::all()
        .enumerate()
        .map(|(index, check)| (check, columns.iter().map(|column| &column.results[index]).collect()))
}

/// Formats the results as a table. Marks promises, which older servers need not keep.
pub fn table(columns: &[Column]) -> String {
    let mut text = String::new();
    let checks = checks::all().map(|check| check.name.len()).max().unwrap_or(0);
    let width = columns.iter().map(|column| column.name.len()).fold(4, usize::max);
    let mut line = |part: &str, name: &str, cells: &[&str]| {
        let mut row = format!("{part:<9} {name:<checks$}   ");
        for cell in cells {
            let _ = write!(row, "  {cell:<width$}");
        }
        let _ = writeln!(text, "{}", row.trim_end());
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    line("", "", &names);
    for (check, results) in rows(columns) {
        let mark = if check.weight == Weight::Promise { " *" } else { "" };
        let cells: Vec<&str> =
            results.iter().map(|result| if result.is_ok() { "yes" } else { "NO" }).collect();
        line(check.part, &format!("{}{mark}", check.name), &cells);
    }
    text += "\n* beyond what the client needs\n";
    for column in columns {
        let ((kept, contract), (promised, promises)) =
            (column.count(Weight::Contract), column.count(Weight::Promise));
        let _ = writeln!(
            text,
            "\n{}: {kept} of {contract} that the client needs, {promised} of {promises} beyond",
            column.name
        );
        for (check, result) in checks::all().zip(&column.results) {
            if let Err(found) = result {
                let _ = writeln!(text, "  {}: {}", check.name, printable(found));
            }
        }
    }
    if let [one, others @ ..] = columns
        && !others.is_empty()
    {
        let differing = rows(columns)
            .filter(|(_, results)| results.iter().any(|result| result.is_ok() != results[0].is_ok()));
        let _ = writeln!(text, "\n{} checks differ from {}", differing.count(), one.name);
    }
    text
}

/// Formats the results as JSON.
pub fn json(columns: &[Column]) -> String {
    let checks: Vec<Json> = rows(columns)
        .map(|(check, results)| {
            let found = results.iter().map(|result| result.as_ref().err());
            json!({
                "part": check.part,
                "name": check.name,
                "needed": check.weight == Weight::Contract,
                "passed": results.iter().map(|result| result.is_ok()).collect::<Vec<_>>(),
                "found": found.collect::<Vec<_>>(),
            })
        })
        .collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    format!("{:#}\n", json!({ "servers": names, "checks": checks }))
}

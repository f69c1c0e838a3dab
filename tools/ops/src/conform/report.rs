//! Results of the checks: one line per check, one column per server.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use game_client::deadline::DeadlineStream;
use game_client::endpoint::{self, Server};
use game_client::text::printable;
use serde_json::{Value as Json, json};

use super::checks::{self, Check};
use super::player::PATIENCE;

/// The result of a check; an error describes the actual behavior.
type Outcome = Result<(), String>;

/// The results of one server, a column of the table.
pub struct Column {
    name: String,
    /// In the order of [`checks::all`].
    results: Vec<Outcome>,
}

impl Column {
    /// Runs all checks against a server, the long ones beside those after them.
    pub fn of(server: &Server, step_units: f64) -> Column {
        let reached = reach(server);
        let ask = |check: &Check| reached.clone().and_then(|server| check.ask(server, step_units));
        let mut results: Vec<Outcome> = checks::all().map(|_| Ok(())).collect();
        thread::scope(|scope| {
            for (check, result) in checks::all().zip(&mut results) {
                if check.is_long {
                    scope.spawn(|| *result = ask(check));
                } else {
                    *result = ask(check);
                }
            }
        });
        Column { name: server.name.clone(), results }
    }

    /// Runs all checks against all servers at the same time.
    pub fn of_all(servers: &[Server], step_units: f64) -> Vec<Column> {
        thread::scope(|scope| {
            let columns: Vec<_> =
                servers.iter().map(|server| scope.spawn(move || Column::of(server, step_units))).collect();
            columns.into_iter().map(|column| column.join().expect("no check panics")).collect()
        })
    }

    /// Whether all checks passed.
    pub fn passed(&self) -> bool {
        self.results.iter().all(Result::is_ok)
    }

    fn rows(&self) -> impl Iterator<Item = (&'static Check, &Outcome)> {
        checks::all().zip(&self.results)
    }

    /// Returns how many checks of a kind passed, of how many.
    fn count(&self, is_needed: bool) -> String {
        let of_kind = || self.rows().filter(|(check, _)| check.is_needed == is_needed);
        format!("{} of {}", of_kind().filter(|(_, result)| result.is_ok()).count(), of_kind().count())
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

/// Returns each check with its results on all servers.
fn rows(columns: &[Column]) -> impl Iterator<Item = (&'static Check, Vec<&Outcome>)> {
    let results = |index: usize| columns.iter().map(|column| &column.results[index]).collect();
    checks::all().enumerate().map(move |(index, check)| (check, results(index)))
}

/// Formats the results as a table. Marks promises, which older servers need not keep.
pub fn table(columns: &[Column]) -> String {
    let mut text = String::new();
    let checks = checks::all().map(|check| check.name.len()).max().unwrap_or(0);
    let width = columns.iter().map(|column| column.name.len()).fold(4, usize::max);
    let mut line = |part: &str, name: &str, cells: &[&str]| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:<width$}")).collect();
        let row = format!("{part:<9} {name:<checks$}     {}", cells.join("  "));
        let _ = writeln!(text, "{}", row.trim_end());
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    line("", "", &names);
    for (check, results) in rows(columns) {
        let mark = if check.is_needed { "" } else { " *" };
        let cells = results.iter().map(|result| if result.is_ok() { "yes" } else { "NO" });
        line(check.part, &format!("{}{mark}", check.name), &cells.collect::<Vec<_>>());
    }
    text += "\n* beyond what the client needs\n";
    for column in columns {
        let (name, needed, beyond) = (&column.name, column.count(true), column.count(false));
        let _ = writeln!(text, "\n{name}: {needed} that the client needs, {beyond} beyond");
        for (check, result) in column.rows() {
            if let Err(found) = result {
                let _ = writeln!(text, "  {}: {}", check.name, printable(found));
            }
        }
    }
    if columns.len() > 1 {
        let differs = |(_, results): &(_, Vec<&Outcome>)| {
            results.iter().any(|result| result.is_ok() != results[0].is_ok())
        };
        let differing = rows(columns).filter(differs).count();
        let _ = writeln!(text, "\n{differing} checks differ from {}", columns[0].name);
    }
    text
}

/// Formats the results as JSON.
pub fn json(columns: &[Column]) -> String {
    let check = |(check, results): (&Check, Vec<&Outcome>)| {
        json!({
            "part": check.part,
            "name": check.name,
            "needed": check.is_needed,
            "passed": results.iter().map(|result| result.is_ok()).collect::<Vec<_>>(),
            "found": results.iter().map(|result| result.as_ref().err()).collect::<Vec<_>>(),
        })
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    format!("{:#}\n", json!({ "servers": names, "checks": rows(columns).map(check).collect::<Vec<Json>>() }))
}

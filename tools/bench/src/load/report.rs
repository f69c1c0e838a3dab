//! Results as Markdown to keep, and as plain text for the terminal.

use std::fmt::{self, Write as _};

use super::judge::Measured;
use super::results::{Entry, Results};

/// Returns all results as Markdown.
pub fn markdown(results: &Results) -> String {
    let mut out = String::new();
    write_markdown(&mut out, results).expect("writing to a String never fails");
    out
}

fn write_markdown(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "# Server under load\n")?;
    writeln!(
        out,
        "Written by `make bench-load`. All players are in the spawn area; server and generator run on"
    )?;
    writeln!(
        out,
        "the same machine. For several runs of a row, \"measured\" is the median, or the worst for"
    )?;
    writeln!(out, "events that must never happen.\n")?;
    writeln!(out, "{}", results.machine.table())?;
    writeln!(out, "| row | | targets missed |\n|---|---|---|")?;
    for entry in &results.rows {
        let missed: Vec<&str> = entry.missed().map(|measured| measured.name.as_str()).collect();
        let missed = if missed.is_empty() { "none".to_owned() } else { missed.join("; ") };
        writeln!(out, "| {} | {} | {missed} |", entry.id, entry.title)?;
    }
    if !results.across.is_empty() {
        writeln!(out)?;
        write_figures(out, &results.across)?;
    }
    results.rows.iter().try_for_each(|entry| write_row(out, entry))
}

fn write_row(out: &mut String, entry: &Entry) -> fmt::Result {
    writeln!(out, "\n## {}: {}\n", entry.id, entry.title)?;
    writeln!(out, "{}\n\n```sh", circumstances(entry))?;
    entry.commands.iter().try_for_each(|command| writeln!(out, "{command}"))?;
    writeln!(out, "```\n")?;
    write_figures(out, &entry.figures)?;
    if !entry.remarks.is_empty() {
        writeln!(out)?;
    }
    entry.remarks.iter().try_for_each(|remark| writeln!(out, "* {remark}"))
}

/// Figures with a target come first.
fn write_figures(out: &mut String, figures: &[Measured]) -> fmt::Result {
    writeln!(out, "| figure | measured | runs | target | met |\n|---|---:|---:|---:|---|")?;
    let (judged, others): (Vec<&Measured>, Vec<&Measured>) =
        figures.iter().partition(|measured| measured.met.is_some());
    for measured in judged.into_iter().chain(others) {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            measured.name,
            measured.value_text(),
            measured.spread_text(),
            measured.target_text().replace("<=", "≤").replace(">=", "≥"),
            measured.met_text()
        )?;
    }
    Ok(())
}

fn circumstances(entry: &Entry) -> String {
    let plural = if entry.runs == 1 { "" } else { "s" };
    format!("{} run{plural} of {} s, {}, {}", entry.runs, entry.seconds, entry.commit, entry.started)
}

/// Figures without a target that indicate how reliable the others are.
const BESIDE: [&str; 4] =
    ["stolen_percent", "cpu_us_per_call", "floor_cpu_us_per_call", "floor_writes_percent"];

/// Returns rows with their targets, and the figures across rows, as plain text.
pub fn text<'a>(rows: impl Iterator<Item = &'a Entry>, across: &[Measured]) -> String {
    let mut out = String::new();
    for entry in rows {
        let _ = writeln!(out, "\n{}  {} ({})", entry.id, entry.title, circumstances(entry));
        entry.figures.iter().filter(|measured| measured.met.is_some()).for_each(|measured| {
            out.push_str(&line(measured));
        });
        let beside = entry.figures.iter().filter(|measured| BESIDE.contains(&measured.key.as_str()));
        out.extend(beside.map(line));
        out.extend(entry.remarks.iter().map(|remark| format!("        {remark}\n")));
    }
    if !across.is_empty() {
        out.push_str("\nall\n");
        out.extend(across.iter().map(line));
    }
    out
}

fn line(measured: &Measured) -> String {
    let text = format!(
        "   {:<4} {:<62} {:>12}  {:<16} {}",
        measured.met_text(),
        measured.name,
        measured.value_text(),
        measured.spread_text(),
        measured.target_text()
    );
    format!("{}\n", text.trim_end())
}

/// Returns one sentence per missed target: row, figure, value, target.
pub fn missed<'a>(rows: impl Iterator<Item = &'a Entry>, across: &[Measured]) -> Vec<String> {
    let sentence = |prefix: &str, measured: &Measured| {
        format!("{prefix}{} {} ({})", measured.name, measured.value_text(), measured.target_text())
    };
    let mut missed: Vec<String> = rows
        .flat_map(|entry| {
            entry.missed().map(move |measured| sentence(&format!("row {}: ", entry.id), measured))
        })
        .collect();
    missed
        .extend(across.iter().filter(|measured| measured.is_missed()).map(|measured| sentence("", measured)));
    missed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::by_key;
    use crate::load::judge::Bound;
    use crate::machine::Commit;

    fn sample() -> Results {
        let judge = |key: &str, value: f64, bound: Option<Bound>| {
            Measured::judge(by_key(key), &[Some(value), Some(value + 0.25)], bound).unwrap()
        };
        let entry = Entry {
            id: "a".to_owned(),
            title: "few clients".to_owned(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            commit: Commit { hash: "abc".to_owned(), is_dirty: true },
            runs: 2,
            seconds: 60,
            commands: vec!["make load-test LOAD=\"--clients 1\"".to_owned()],
            figures: vec![
                judge("cpu_percent", 20.0, None),
                judge("stolen_percent", 3.0, None),
                judge("ack_mean_ms", 1.0, Some(Bound::Below(1.5))),
                judge("ack_p99_ms", 11.0, Some(Bound::Below(10.0))),
            ],
            remarks: vec!["run 1, server: slow".to_owned()],
        };
        Results { rows: vec![entry], ..Results::default() }
    }

    #[test]
    fn markdown_lists_targets_first_and_missed_targets() {
        let text = markdown(&sample());
        assert!(text.contains("| a | few clients | ack round trip, p99 |"), "{text}");
        assert!(text.contains("2 runs of 60 s, commit abc with changes, 2026-01-01T00:00:00Z"), "{text}");
        let rows = "| ack round trip, mean | 1.12 ms | 1.00..1.25 | < 1.5 ms | yes |\n\
                    | ack round trip, p99 | 11.12 ms | 11.00..11.25 | < 10 ms | no |\n\
                    | CPU of the server, of one core | 20.1 % | 20.0..20.2 |  |  |\n\
                    | steal time of the machine | 3.12 % | 3.00..3.25 |  |  |\n";
        assert!(text.contains(rows), "{text}");
        assert!(text.ends_with("\n* run 1, server: slow\n"), "{text}");
    }

    #[test]
    fn the_terminal_shows_only_judged_figures_and_their_context() {
        let results = sample();
        let text = text(results.rows.iter(), &[]);
        assert!(text.contains("   yes  ack round trip, mean"), "{text}");
        assert!(text.contains("   no   ack round trip, p99"), "{text}");
        assert!(text.contains("        steal time of the machine"), "{text}");
        assert!(!text.contains("CPU of the server"), "{text}");
        let missed = missed(results.rows.iter(), &[]);
        assert_eq!(missed, ["row a: ack round trip, p99 11.12 ms (< 10 ms)"]);
    }
}

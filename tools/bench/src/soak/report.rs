//! The report of a soak as Markdown and as text.

use std::fmt::Write as _;

use game_client::text::thousands;

use super::Options;
use super::judge::Finding;
use super::run::Observed;
use super::sample::Sample;
use crate::figures::{FIGURES, MIB, NOT_MEASURED, rows};
use crate::machine::Occasion;

/// Maximum number of rows in the table of samples over time.
const ROWS_MAX: usize = 13;

/// Counts in the table of samples over time.
const COUNTS: [&str; 7] =
    ["descriptors", "players", "upgraded", "refused", "protocol_errors", "ticks_skipped", "governor_level"];

/// The report as Markdown.
pub fn markdown(options: &Options, occasion: &Occasion, run: &Observed, findings: &[Finding]) -> String {
    let Options { duration, clients, churn_per_s, hostile, .. } = options;
    let all_hold = findings.iter().all(|finding| finding.holds);
    let verdict = if all_hold { "All conditions hold." } else { "NOT all conditions hold." };
    let command = format!(
        "make soak SOAK_DURATION={}s SOAK_CLIENTS={clients} SOAK_CHURN={churn_per_s} SOAK_HOSTILE={hostile}",
        duration.as_secs()
    );
    let mut text = occasion.head("Soak", &command);
    let _ = write!(
        text,
        "{} mixed players, {churn_per_s} reconnects per second, {hostile} hostile peers, {} measured after {} of \
         warm-up. Sessions are kept as long as the warm-up, all other settings are the defaults. The load ran on the same cores. **{verdict}**\n\n\
         | condition | required | measured | |\n|---|---|---|---|\n",
        thousands(*clients),
        time(duration.as_secs()),
        time(options.warm_up().as_secs()),
    );
    for Finding { what, expected, found, holds } in findings {
        let holds = if *holds { "holds" } else { "**failed**" };
        let _ = writeln!(text, "| {what} | {expected} | {found} | {holds} |");
    }
    let _ = writeln!(
        text,
        "\nMemory is the median resident size in the first {} measured, and in the last. `soak.csv` has a sample \
         every five seconds.\n\n## Over time\n\n\
         | at | resident MiB | descriptors | players | joined | refused | protocol errors | ticks skipped | governor |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        time(options.edge().as_secs())
    );
    let step = run.samples.len().div_ceil(ROWS_MAX).max(1);
    for sample in run.samples.iter().step_by(step) {
        let counts = COUNTS.map(|column| count(sample, column));
        let resident_mib = sample.value("resident_bytes").unwrap_or(0.0) / MIB;
        let _ =
            writeln!(text, "| {} | {resident_mib:.2} | {} |", time(sample.at_s as u64), counts.join(" | "));
    }
    if let Some(load) = &run.load {
        let keys: Vec<&str> =
            FIGURES.iter().map(|figure| figure.key).filter(|key| load.figures.contains_key(key)).collect();
        let figures = rows(&keys, &[std::slice::from_ref(load)]);
        let flags = options.load_flags();
        let _ = write!(
            text,
            "\n## Players\n\n`loadtest {flags}`\n\n| figure | measured |\n|---|---:|\n{figures}"
        );
        text.extend(load.remarks.iter().map(|remark| format!("\n{remark}\n")));
    }
    text
}

fn count(sample: &Sample, column: &str) -> String {
    sample.value(column).map_or(NOT_MEASURED.to_owned(), |value| thousands(value as u64))
}

/// The findings for a terminal.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { what, expected, found, holds } in findings {
        let mark = if *holds { "holds " } else { "FAILED" };
        let _ = writeln!(text, "{mark}  {what}: {found} (required: {expected})");
    }
    text
}

/// Formats seconds as minutes and seconds.
pub fn time(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::figures::Run;

    #[test]
    fn a_report_has_failures_and_the_command_to_repeat_the_run() {
        let duration = Duration::from_secs(90);
        let options = Options { duration, clients: 3_000, churn_per_s: 20, hostile: 150, results: None };
        let run = Observed {
            samples: vec![Sample::default(); 100],
            load: Some(Run::of(&json!({ "ack_ms": { "count": 1, "mean": 1.25 } }))),
            ..Observed::default()
        };
        let bad = Finding { what: "threads", found: "3 to 4".to_owned(), expected: "constant", holds: false };
        let report = markdown(&options, &Occasion::default(), &run, std::slice::from_ref(&bad));
        for part in [
            "**NOT all conditions hold.**",
            "| threads | constant | 3 to 4 | **failed** |",
            "| ack round trip, mean, ms | 1.25 |",
            "make soak SOAK_DURATION=90s SOAK_CLIENTS=3000 SOAK_CHURN=20 SOAK_HOSTILE=150",
            "1 min 30 s measured after 15 s",
        ] {
            assert!(report.contains(part), "{part} is not in {report}");
        }
        assert!(report.matches("| 0 s |").count() <= ROWS_MAX);
        assert!(text(&[bad]).starts_with("FAILED  threads: 3 to 4"));
    }
}

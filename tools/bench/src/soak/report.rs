//! The report of a soak as Markdown and as text.

use std::fmt::Write as _;

use game_client::text::thousands;
use serde_json::Value as Json;

use super::Options;
use super::judge::Finding;
use super::run::Run;
use super::sample::Sample;
use crate::machine::Occasion;

/// Maximum number of rows in the table of samples over time.
const ROWS_MAX: usize = 13;

/// The report as Markdown.
pub fn markdown(options: &Options, occasion: &Occasion, run: &Run, findings: &[Finding]) -> String {
    let Occasion { started, machine, commit } = occasion;
    let verdict = if findings.iter().all(|finding| finding.holds) {
        "All conditions hold."
    } else {
        "NOT all conditions hold."
    };
    let interrupted = if run.is_interrupted { " It was interrupted." } else { "" };
    let mut text = format!(
        "# Soak\n\n{} mixed players, {} reconnects per second, {} hostile peers, {} measured after {} of \
         warm-up, default settings. **{verdict}**{interrupted}\n\n\
         {started}, {commit}, {} x {}, {} MiB, Linux {}; the load ran on the same cores.\n\n\
         | condition | required | measured | |\n|---|---|---|---|\n",
        thousands(options.clients),
        options.churn_per_s,
        options.hostile,
        time(options.duration.as_secs()),
        time(options.warm_up().as_secs()),
        machine.cores,
        machine.cpu,
        thousands(machine.memory_mib),
        machine.kernel,
    );
    for Finding { what, expected, found, holds } in findings {
        let _ = writeln!(
            text,
            "| {what} | {expected} | {found} | {} |",
            if *holds { "holds" } else { "**failed**" }
        );
    }
    let edge = time(options.edge().as_secs());
    let _ = writeln!(
        text,
        "\nMemory is the median resident size in the first {edge} measured, and in the last. `soak.csv` has a sample \
         every five seconds.\n\n## Over time\n\n\
         | at | resident MiB | descriptors | players | joined | refused | protocol errors | ticks skipped | governor |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    let step = run.samples.len().div_ceil(ROWS_MAX).max(1);
    run.samples.iter().step_by(step).for_each(|sample| over_time(&mut text, sample));
    if let Some(load) = &run.load {
        text.push_str(&players(load));
    }
    text.push_str("\n## Commands\n\n");
    let variables = format!(
        "SOAK_DURATION={}s SOAK_CLIENTS={} SOAK_CHURN={} SOAK_HOSTILE={}",
        options.duration.as_secs(),
        options.clients,
        options.churn_per_s,
        options.hostile
    );
    let _ = writeln!(text, "```sh\nmake soak {variables}\n# which ran\n{}\n```", run.commands.join("\n"));
    text
}

fn over_time(text: &mut String, sample: &Sample) {
    let own = sample.own.clone().unwrap_or_default();
    let _ = writeln!(
        text,
        "| {} | {:.2} | {} | {} | {} | {} | {} | {} | {} |",
        time(sample.at_s as u64),
        sample.resident_bytes as f64 / f64::from(1 << 20),
        thousands(sample.descriptors),
        thousands(own.players),
        thousands(own.upgraded),
        thousands(own.refused),
        thousands(own.protocol_errors),
        own.ticks_skipped,
        own.governor_level
    );
}

/// The load test's figures.
fn players(load: &Json) -> String {
    let number = |path: &str| load.pointer(path).and_then(Json::as_f64).unwrap_or(0.0);
    let count = |path: &str| thousands(number(path) as u64);
    format!(
        "\n## Players\n\n\
         * Acks, from the time at which each MOVE was due: mean {:.2} ms, p99 {:.2} ms, longest {:.1} ms, of {}.\n\
         * {} MOVEs sent, {} answered, {} missing, {} over the rate after a delay, {} lost.\n\
         * {} disconnected and {} reconnected, with {} ids up to {}: {} reused, {} not increasing.\n\
         * {} replicas with {} sprites compared with the server at the end.\n\
         * Server: {:.2} cores, {:.2} ticks/s. Steal time of the machine: {:.2} %. {}.\n",
        number("/ack_ms/mean"),
        number("/ack_ms/p99"),
        number("/ack_ms/max"),
        count("/ack_ms/count"),
        count("/moves/sent"),
        count("/moves/answered"),
        count("/moves/missing"),
        count("/moves/held_up"),
        count("/moves/lost"),
        count("/churn/left"),
        count("/churn/returned"),
        count("/churn/ids"),
        number("/churn/id_highest"),
        count("/churn/ids_repeated"),
        count("/churn/ids_not_above"),
        count("/pictures/compared"),
        count("/pictures/sprites"),
        number("/server/cores"),
        number("/server/metrics/tick_rate_hz"),
        number("/generator/stolen_ratio") * 100.0,
        load.pointer("/generator/statement")
            .and_then(Json::as_str)
            .unwrap_or("The generator gave no statement"),
    )
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
fn time(seconds: u64) -> String {
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

    #[test]
    fn a_report_has_failures_and_the_command_to_repeat_the_run() {
        let duration = Duration::from_secs(90);
        let options = Options { duration, clients: 3_000, churn_per_s: 20, hostile: 150, results: None };
        let occasion = Occasion::default();
        let run = Run {
            samples: vec![Sample::default(); 100],
            load: Some(json!({ "ack_ms": { "mean": 1.25 } })),
            commands: vec!["loadtest --clients 3000".to_owned()],
            ..Run::default()
        };
        let bad = Finding { what: "threads", found: "3 to 4".to_owned(), expected: "constant", holds: false };
        let report = markdown(&options, &occasion, &run, std::slice::from_ref(&bad));
        for part in [
            "**NOT all conditions hold.**",
            "| threads | constant | 3 to 4 | **failed** |",
            "mean 1.25 ms",
            "make soak SOAK_DURATION=90s SOAK_CLIENTS=3000 SOAK_CHURN=20 SOAK_HOSTILE=150",
            "1 min 30 s measured after 15 s",
        ] {
            assert!(report.contains(part), "{part} is not in {report}");
        }
        assert!(report.matches("| 0 s |").count() <= ROWS_MAX);
        assert!(text(&[bad]).starts_with("FAILED  threads: 3 to 4"));
    }
}

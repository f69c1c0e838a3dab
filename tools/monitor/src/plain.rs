//! One answer without a terminal: a line, a page, or an object.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use stage::text::thousands;

use crate::history::History;
use crate::sample::Sample;

/// Bytes as people read them.
pub fn bytes(count: f64) -> String {
    match count {
        count if count >= 1e9 => format!("{:.2} GB", count / 1e9),
        count if count >= 1e6 => format!("{:.2} MB", count / 1e6),
        count if count >= 1e3 => format!("{:.1} kB", count / 1e3),
        count => format!("{count:.0} B"),
    }
}

/// Bytes of memory, in the units that memory comes in.
pub fn memory(count: f64) -> String {
    format!("{:.1} MiB", count / f64::from(1 << 20))
}

/// Nanoseconds as people read them.
pub fn nanoseconds(count: f64) -> String {
    if count >= 1e6 { format!("{:.2} ms", count / 1e6) } else { format!("{:.0} us", count / 1e3) }
}

/// A whole number with commas.
pub fn whole(number: f64) -> String {
    thousands(number.max(0.0).round() as u64)
}

/// Time since the start.
pub fn uptime(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours:02}h"),
    }
}

/// What is known in a line.
pub fn line(name: &str, history: &History) -> String {
    let (Some(sample), None) = (history.last(), history.unreachable()) else {
        let why = history.unreachable().map_or("no answer yet", |(_, why)| why);
        return format!("{name}  unreachable: {why}");
    };
    let rates = history.rates();
    format!(
        "{name}  {} players, {:.1} ticks/s p99 {}, {} acks/s, {}/s in, {}/s out, {:.2} cores, {}, governor {}, {} refused/s",
        whole(sample.number("players")),
        sample.number("tick_rate_hz"),
        nanoseconds(sample.number("tick_p99_ns")),
        whole(rates.acks),
        bytes(rates.bytes_in),
        bytes(rates.bytes_out),
        rates.cores,
        memory(sample.number("resident_bytes")),
        sample.number("governor_level"),
        whole(rates.refused),
    )
}

/// What is known, a figure in a line; the players first.
pub fn page(name: &str, history: &History) -> String {
    let mut text = format!("{name}\n");
    if let (Some(sample), None) = (history.last(), history.unreachable()) {
        let _ = writeln!(text, "\n{:<24}{}", "players", whole(sample.number("players")));
    }
    for (title, rows) in blocks(history) {
        let _ = writeln!(text, "\n{title}");
        for (name, value) in rows {
            let _ = writeln!(text, "  {name:<22}{value}");
        }
    }
    if let Some((_, why)) = history.unreachable() {
        let _ = writeln!(text, "\nunreachable: {why}");
    }
    text
}

/// A figure, named.
pub type Row = (String, String);

/// The figures of the last answer in blocks, each with a title. None before the first answer.
pub fn blocks(history: &History) -> Vec<(&'static str, Vec<Row>)> {
    let Some(sample) = history.last() else { return Vec::new() };
    let (rates, number) = (history.rates(), |key: &str| sample.number(key));
    let row = |name: &str, value: String| (name.to_owned(), value);
    vec![
        (
            "Loop",
            vec![
                row("ticks a second", format!("{:.2}", number("tick_rate_hz"))),
                row(
                    "tick p50, p99",
                    [nanoseconds(number("tick_p50_ns")), nanoseconds(number("tick_p99_ns"))].join(", "),
                ),
                row("longest tick", nanoseconds(number("tick_max_ns"))),
                row("ticks skipped", whole(number("ticks_skipped_total"))),
                row("busy", format!("{:.0} %", number("loop_busy_ratio") * 100.0)),
                row("governor", governor(number("governor_level"), number("governor_level_max"))),
            ],
        ),
        (
            "Traffic a second",
            vec![
                row("messages in, out", [whole(rates.messages_in), whole(rates.messages_out)].join(", ")),
                row("bytes in, out", [bytes(rates.bytes_in), bytes(rates.bytes_out)].join(", ")),
                row("acks", whole(rates.acks)),
                row("writes, stalled", [whole(rates.writes), whole(rates.stalls)].join(", ")),
                row("over the rate", whole(rates.rate_limited)),
                row(
                    "flush every",
                    format!("{:.0} ms, {:.0} shown", number("flush_interval_ms"), number("max_visible")),
                ),
            ],
        ),
        (
            "Process",
            vec![
                row("up", uptime(number("uptime_seconds"))),
                row("processor", format!("{:.2} cores", rates.cores)),
                row("memory", memory(number("resident_bytes"))),
                row("connections", whole(number("connections.open"))),
                row("panics contained", whole(number("worker_panics_total"))),
                row("log lines dropped", whole(number("log_lines_dropped_total"))),
            ]
            .into_iter()
            .chain([row("came back, in vain", returned(sample))])
            .chain(cluster(sample).map(|text| row("cluster", text)))
            .collect(),
        ),
        ("Turned away, in all", turned_away(history)),
    ]
}

/// Refusals and ends by reason, the most frequent first.
fn turned_away(history: &History) -> Vec<Row> {
    let Some(sample) = history.last() else { return Vec::new() };
    let rates = history.rates();
    let mut rows = vec![(
        "a second".to_owned(),
        format!("+{} -{}, {} refused", whole(rates.joined), whole(rates.ended), whole(rates.refused)),
    )];
    let mut counted: Vec<(String, f64)> = ["refused", "closed"]
        .iter()
        .flat_map(|key| sample.counts(key).map(move |(name, count)| (format!("{key} {name}"), count)))
        .filter(|(_, count)| *count > 0.0)
        .collect();
    counted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    rows.extend(counted.into_iter().map(|(name, count)| (name.replace('_', " "), whole(count))));
    rows
}

/// Players who came back to their places, and cookies of whom nothing was known.
fn returned(sample: &Sample) -> String {
    let number = |key: &str| sample.number(key);
    [whole(number("resumes.hit") + number("resumes.taken_over")), whole(number("resumes.miss"))].join(", ")
}

/// What a server that is one of several says of the others.
fn cluster(sample: &Sample) -> Option<String> {
    sample.metrics().get("cluster")?;
    let number = |key: &str| whole(sample.number(key));
    if sample.number("cluster.up") == 0.0 {
        return Some("degraded, on its own".to_owned());
    }
    Some(format!("{} others, {} ghosts", number("cluster.peers"), number("cluster.ghosts")))
}

fn governor(level: f64, level_max: f64) -> String {
    if level > 0.0 { format!("level {level:.0} of {level_max:.0}") } else { "at rest".to_owned() }
}

/// What is known, for programs.
pub fn json(name: &str, history: &History) -> Json {
    let rates = history.rates();
    let per_s = history.has_rates().then(|| {
        json!({
            "messages_in": rates.messages_in, "messages_out": rates.messages_out, "bytes_in": rates.bytes_in,
            "bytes_out": rates.bytes_out, "acks": rates.acks, "writes": rates.writes, "write_stalls": rates.stalls,
            "rate_limited": rates.rate_limited, "joined": rates.joined, "ended": rates.ended,
            "refused": rates.refused, "cores": rates.cores,
        })
    });
    let unreachable = history.unreachable();
    json!({
        "server": name,
        "reachable": unreachable.is_none(),
        "problem": unreachable.map(|(_, why)| why),
        "per_second": per_s,
        "metrics": unreachable.is_none().then(|| history.last().map(Sample::metrics)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_people_read_them() {
        assert_eq!(
            [bytes(999.0), bytes(1_500.0), bytes(2.5e6), bytes(3e9)],
            ["999 B", "1.5 kB", "2.50 MB", "3.00 GB"]
        );
        assert_eq!([nanoseconds(150_000.0), nanoseconds(2.5e6)], ["150 us", "2.50 ms"]);
        assert_eq!([uptime(59.0), uptime(3_660.0), uptime(90_000.0)], ["0m 59s", "1h 01m", "1d 01h"]);
        assert_eq!([whole(-1.0), whole(12_345.6)], ["0", "12,346"]);
    }
}

//! One response as a line, a page, or a JSON object.

use std::fmt::Write as _;

use game_client::text::thousands;
use serde_json::{Value as Json, json};

use super::history::History;
use super::sample::Sample;

/// Formats bytes.
pub fn bytes(count: f64) -> String {
    match count {
        count if count >= 1e9 => format!("{:.2} GB", count / 1e9),
        count if count >= 1e6 => format!("{:.2} MB", count / 1e6),
        count if count >= 1e3 => format!("{:.1} kB", count / 1e3),
        count => format!("{count:.0} B"),
    }
}

/// Formats memory in MiB.
pub fn memory(count: f64) -> String {
    format!("{:.1} MiB", count / f64::from(1 << 20))
}

/// Formats nanoseconds.
pub fn nanoseconds(count: f64) -> String {
    if count >= 1e6 { format!("{:.2} ms", count / 1e6) } else { format!("{:.0} us", count / 1e3) }
}

/// Formats a number as an integer with commas.
pub fn integer(number: f64) -> String {
    thousands(number.max(0.0).round() as u64)
}

/// Formats an uptime.
pub fn uptime(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours:02}h"),
    }
}

/// Returns the state of a server in one line.
pub fn line(name: &str, history: &History) -> String {
    let (Some(sample), None) = (history.last(), history.unreachable()) else {
        let why = history.unreachable().map_or("no response yet", |(_, why)| why);
        return format!("{name}  unreachable: {why}");
    };
    let rates = history.rates();
    format!(
        "{name}  {} players, {:.1} ticks/s p99 {}, {} acks/s, {}/s in, {}/s out, {:.2} cores, {}, governor {}, {} refused/s",
        integer(sample.number("players")),
        sample.number("tick_rate_hz"),
        nanoseconds(sample.number("tick_p99_ns")),
        integer(rates.acks),
        bytes(rates.bytes_in),
        bytes(rates.bytes_out),
        rates.cores,
        memory(sample.number("resident_bytes")),
        sample.number("governor_level"),
        integer(rates.refused),
    )
}

/// Returns the state of a server with one figure per line, players first.
pub fn page(name: &str, history: &History) -> String {
    let mut text = format!("{name}\n");
    if let (Some(sample), None) = (history.last(), history.unreachable()) {
        let _ = writeln!(text, "\n{:<24}{}", "players", integer(sample.number("players")));
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

/// Name and value of a figure.
pub type Row = (String, String);

/// Returns the figures of the last response in titled blocks; empty before the first response.
pub fn blocks(history: &History) -> Vec<(&'static str, Vec<Row>)> {
    let Some(sample) = history.last() else { return Vec::new() };
    let (rates, number) = (history.rates(), |key: &str| sample.number(key));
    let row = |name: &str, value: String| (name.to_owned(), value);
    vec![
        (
            "Loop",
            vec![
                row("ticks per second", format!("{:.2}", number("tick_rate_hz"))),
                row(
                    "tick p50, p99",
                    [nanoseconds(number("tick_p50_ns")), nanoseconds(number("tick_p99_ns"))].join(", "),
                ),
                row("longest tick", nanoseconds(number("tick_max_ns"))),
                row("ticks skipped", integer(number("ticks_skipped_total"))),
                row("busy", format!("{:.0} %", number("loop_busy_ratio") * 100.0)),
                row("governor", governor(number("governor_level"), number("governor_level_max"))),
            ],
        ),
        (
            "Traffic per second",
            vec![
                row("messages in, out", [integer(rates.messages_in), integer(rates.messages_out)].join(", ")),
                row("bytes in, out", [bytes(rates.bytes_in), bytes(rates.bytes_out)].join(", ")),
                row("acks", integer(rates.acks)),
                row("writes, stalled", [integer(rates.writes), integer(rates.write_stalls)].join(", ")),
                row("rate-limited", integer(rates.rate_limited)),
                row(
                    "flush interval",
                    format!("{:.0} ms, {:.0} visible", number("flush_interval_ms"), number("max_visible")),
                ),
            ],
        ),
        (
            "Process",
            vec![
                row("uptime", uptime(number("uptime_seconds"))),
                row("CPU", format!("{:.2} cores", rates.cores)),
                row("memory", memory(number("resident_bytes"))),
                row("connections", integer(number("connections.open"))),
                row("panics contained", integer(number("worker_panics_total"))),
                row("log lines dropped", integer(number("log_lines_dropped_total"))),
            ]
            .into_iter()
            .chain([row("resumed, unknown", resumes(sample))])
            .chain(cluster(sample).map(|text| row("cluster", text)))
            .collect(),
        ),
        ("Refused and closed", refusals(history)),
    ]
}

/// Returns refusals and disconnects by reason, the most frequent first.
fn refusals(history: &History) -> Vec<Row> {
    let Some(sample) = history.last() else { return Vec::new() };
    let rates = history.rates();
    let mut rows = vec![(
        "per second".to_owned(),
        format!("+{} -{}, {} refused", integer(rates.joined), integer(rates.ended), integer(rates.refused)),
    )];
    let mut counted: Vec<(String, f64)> = ["refused", "closed"]
        .iter()
        .flat_map(|key| sample.counts(key).map(move |(name, count)| (format!("{key} {name}"), count)))
        .filter(|(_, count)| *count > 0.0)
        .collect();
    counted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    rows.extend(counted.into_iter().map(|(name, count)| (name.replace('_', " "), integer(count))));
    rows
}

/// Returns the number of reconnects, and of cookies of unknown sessions.
fn resumes(sample: &Sample) -> String {
    let number = |key: &str| sample.number(key);
    [integer(number("resumes.hit") + number("resumes.taken_over")), integer(number("resumes.miss"))]
        .join(", ")
}

/// Returns the state of the cluster, if the server is part of one.
fn cluster(sample: &Sample) -> Option<String> {
    sample.metrics().get("cluster")?;
    let number = |key: &str| integer(sample.number(key));
    if sample.number("cluster.up") == 0.0 {
        return Some("Redis unreachable".to_owned());
    }
    Some(format!("{} peers, {} ghosts", number("cluster.peers"), number("cluster.ghosts")))
}

fn governor(level: f64, level_max: f64) -> String {
    if level > 0.0 { format!("level {level:.0} of {level_max:.0}") } else { "full quality".to_owned() }
}

/// Returns the state of a server as JSON.
pub fn json(name: &str, history: &History) -> Json {
    let unreachable = history.unreachable();
    json!({
        "server": name,
        "reachable": unreachable.is_none(),
        "problem": unreachable.map(|(_, why)| why),
        "per_second": history.has_rates().then(|| history.rates()),
        "metrics": unreachable.is_none().then(|| history.last().map(Sample::metrics)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_formatted_with_units() {
        assert_eq!(
            [bytes(999.0), bytes(1_500.0), bytes(2.5e6), bytes(3e9)],
            ["999 B", "1.5 kB", "2.50 MB", "3.00 GB"]
        );
        assert_eq!([nanoseconds(150_000.0), nanoseconds(2.5e6)], ["150 us", "2.50 ms"]);
        assert_eq!([uptime(59.0), uptime(3_660.0), uptime(90_000.0)], ["0m 59s", "1h 01m", "1d 01h"]);
        assert_eq!([integer(-1.0), integer(12_345.6)], ["0", "12,346"]);
    }
}

//! One response as a line, a page, or a JSON object.

use std::fmt::Write as _;

use game_client::text::thousands;
use serde_json::{Value as Json, json};

use super::history::History;

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
    if let Some(why) = silence(history) {
        return format!("{name}  unreachable: {why}");
    }
    format!(
        "{name}  {} players, {:.1} ticks/s p99 {}, {} acks/s, {}/s in, {}/s out, {:.2} cores, {}, governor {}, {} refused/s",
        integer(history.number("players")),
        history.number("tick_rate_hz"),
        nanoseconds(history.number("tick_p99_ns")),
        integer(history.rate("acks")),
        bytes(history.rate("bytes_in")),
        bytes(history.rate("bytes_out")),
        history.rate("cores"),
        memory(history.number("resident_bytes")),
        history.number("governor_level"),
        integer(history.rate("refused")),
    )
}

/// Returns why there is no state to show.
pub fn silence(history: &History) -> Option<&str> {
    match (history.unreachable(), history.last()) {
        (Some((_, why)), _) => Some(why),
        (None, None) => Some("no response yet"),
        (None, Some(_)) => None,
    }
}

/// Returns the state of a server with one figure per line, players first.
pub fn page(name: &str, history: &History) -> String {
    let mut text = format!("{name}\n");
    if history.unreachable().is_none() {
        let _ = writeln!(text, "\n{:<24}{}", "players", integer(history.number("players")));
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

/// A title, and the names and values of figures.
pub type Block = (&'static str, Vec<(String, String)>);

/// Returns the figures of the last response in titled blocks; empty before the first response.
pub fn blocks(history: &History) -> Vec<Block> {
    let Some(metrics) = history.last() else { return Vec::new() };
    let (number, rate) = (|path: &str| history.number(path), |name: &str| history.rate(name));
    let pair = |one: String, other: String| format!("{one}, {other}");
    let row = |name: &str, value: String| (name.to_owned(), value);
    let ticks = vec![
        row("ticks per second", format!("{:.2}", number("tick_rate_hz"))),
        row("tick p50, p99", pair(nanoseconds(number("tick_p50_ns")), nanoseconds(number("tick_p99_ns")))),
        row("longest tick", nanoseconds(number("tick_max_ns"))),
        row("ticks skipped", integer(number("ticks_skipped_total"))),
        row("busy", format!("{:.0} %", number("loop_busy_ratio") * 100.0)),
        row("governor", governor(number("governor_level"), number("governor_level_max"))),
    ];
    let flushes = format!("{:.0} ms, {:.0} visible", number("flush_interval_ms"), number("max_visible"));
    let traffic = vec![
        row("messages in, out", pair(integer(rate("messages_in")), integer(rate("messages_out")))),
        row("bytes in, out", pair(bytes(rate("bytes_in")), bytes(rate("bytes_out")))),
        row("acks", integer(rate("acks"))),
        row("writes, stalled", pair(integer(rate("writes")), integer(rate("write_stalls")))),
        row("rate-limited", integer(rate("rate_limited"))),
        row("flush interval", flushes),
    ];
    let resumed = number("resumes.hit") + number("resumes.taken_over");
    let mut process = vec![
        row("uptime", uptime(number("uptime_seconds"))),
        row("CPU", format!("{:.2} cores", rate("cores"))),
        row("memory", memory(number("resident_bytes"))),
        row("connections", integer(number("connections.open"))),
        row("panics contained", integer(number("worker_panics_total"))),
        row("log lines dropped", integer(number("log_lines_dropped_total"))),
        row("resumed, unknown", pair(integer(resumed), integer(number("resumes.miss")))),
    ];
    if metrics.get("cluster").is_some() {
        let (peers, ghosts) = (integer(number("cluster.peers")), integer(number("cluster.ghosts")));
        let is_up = number("cluster.up") > 0.0;
        let state =
            if is_up { format!("{peers} peers, {ghosts} ghosts") } else { "Redis unreachable".to_owned() };
        process.push(row("cluster", state));
    }
    let nodes = nodes(metrics);
    let (joined, ended, refused) =
        (integer(rate("joined")), integer(rate("ended")), integer(rate("refused")));
    let mut endings = vec![row("per second", format!("+{joined} -{ended}, {refused} refused"))];
    endings.extend(reasons(metrics));
    let mut blocks = vec![
        ("Loop", ticks),
        ("Traffic per second", traffic),
        ("Process", process),
        ("Refused and closed", endings),
    ];
    if nodes.len() > 1 {
        blocks.push((NODES, nodes));
    }
    blocks
}

/// Title of the block with all nodes of a world, which is the last one.
pub const NODES: &str = "All nodes of the world";

/// Returns the load of each node of the world, by name.
fn nodes(metrics: &Json) -> Vec<(String, String)> {
    let of = |node: &Json, path: &str| node[path].as_f64().unwrap_or(0.0);
    let row = |node: &Json| {
        let text = format!(
            "{} players, {}, busy {:.0} %, tick p99 {}, flush {:.0} ms, level {:.0}, {}",
            integer(of(node, "players")),
            node["state"].as_str().unwrap_or("-"),
            of(node, "loop_busy_ratio") * 100.0,
            nanoseconds(of(node, "tick_p99_ns")),
            of(node, "flush_interval_ms"),
            of(node, "governor_level"),
            memory(of(node, "resident_bytes")),
        );
        (node["node"].as_str().unwrap_or("-").to_owned(), text)
    };
    let mut rows: Vec<_> = metrics["nodes"].as_array().into_iter().flatten().map(row).collect();
    rows.sort();
    rows
}

/// Returns refusals and disconnects by reason, the most frequent first.
fn reasons(metrics: &Json) -> impl Iterator<Item = (String, String)> {
    let mut counted = Vec::new();
    for key in ["refused", "closed"] {
        for (reason, count) in metrics[key].as_object().into_iter().flatten() {
            counted.push((format!("{key} {reason}").replace('_', " "), count.as_f64().unwrap_or(0.0)));
        }
    }
    counted.retain(|(_, count)| *count > 0.0);
    counted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    counted.into_iter().map(|(name, count)| (name, integer(count)))
}

fn governor(level: f64, level_max: f64) -> String {
    if level > 0.0 { format!("level {level:.0} of {level_max:.0}") } else { "full quality".to_owned() }
}

/// Returns the state of a server as JSON.
pub fn json(name: &str, history: &History) -> Json {
    let problem = history.unreachable().map(|(_, why)| why);
    json!({
        "server": name,
        "reachable": problem.is_none(),
        "problem": problem,
        "per_second": history.rates(),
        "metrics": history.last().filter(|_| problem.is_none()),
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

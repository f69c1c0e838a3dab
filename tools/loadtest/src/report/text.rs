//! The report as text.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use game_client::text::thousands;

use super::{Churn, Replicas, Report, Storm, Violations};
use crate::behaviour::Profile;
use crate::measure::Summary;

/// Returns the report for a terminal.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    write_all(&mut out, report).expect("writing to a String never fails");
    out
}

fn write_all(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "{}\n", headline(report))?;
    write_connections(out, report)?;
    write_times(out, report)?;
    write_traffic(out, report)?;
    if let Some(replicas) = &report.replicas {
        write_replicas(out, replicas)?;
    }
    write_server(out, report)?;
    write_generator(out, report)?;
    write_verdict(out, report)
}

/// Returns the options of the run in one line.
pub fn headline(report: &Report) -> String {
    let options = &report.options;
    let rate = match options.profile {
        Profile::Seed { moves_per_s } => format!(", {moves_per_s} moves/s each"),
        Profile::Player { moving } => format!(", {:.0} % moving", moving * 100.0),
        Profile::Mixed { moving, moves_per_s } => {
            format!(", {:.0} % moving or {moves_per_s} moves/s each", moving * 100.0)
        }
        Profile::Artillery | Profile::Idle => String::new(),
    };
    format!(
        "{} clients, profile {}{rate}, {:.0} s measured after {:.0} s of warm-up, {}{}",
        thousands(options.clients as u64),
        options.profile.name(),
        report.traffic.seconds,
        options.warm_up.as_secs_f64(),
        options.server.authority,
        if report.interrupted { " (interrupted)" } else { "" }
    )
}

fn write_connections(out: &mut String, report: &Report) -> fmt::Result {
    let connections = &report.connections;
    let (failed, lost): (u64, u64) =
        (connections.failures.values().sum(), connections.disconnects.values().sum());
    writeln!(
        out,
        "connections     {} of {} in {:.1} s, {failed} failed, {lost} lost",
        thousands(connections.joined as u64),
        thousands(report.options.clients as u64),
        connections.joined_in_s
    )?;
    write_reasons(out, "failed", &connections.failures)?;
    write_reasons(out, "lost", &connections.disconnects)?;
    write_times_line(out, "  until joined", &connections.connect)?;
    if let Some(churn) = &report.churn {
        write_churn(out, report, churn)?;
    }
    report.storm.as_ref().map_or(Ok(()), |storm| write_storm(out, storm))
}

fn write_churn(out: &mut String, report: &Report, churn: &Churn) -> fmt::Result {
    let left: Vec<String> = churn.left_by_kind.iter().map(|(how, count)| format!("{count} {how}")).collect();
    writeln!(
        out,
        "churn           {} disconnected ({:.0}/s), {} reconnected: {}",
        thousands(churn.left),
        churn.left_per_s,
        thousands(churn.returned),
        left.join(", ")
    )?;
    let there = |count: Option<u64>| count.map_or("an unknown number".to_owned(), thousands);
    writeln!(
        out,
        "                {} ids up to {}, {} repeated, {} not ascending; {} players of this run, {} on the server",
        thousands(churn.ids as u64),
        churn.id_highest,
        churn.ids_repeated,
        churn.ids_not_above,
        thousands(report.connections.playing as u64),
        there(report.connections.players_there)
    )?;
    write_times_line(out, "  until joined", &churn.connect)
}

fn write_storm(out: &mut String, storm: &Storm) -> fmt::Result {
    let back =
        storm.back_s.map_or("never complete".to_owned(), |seconds| format!("complete after {seconds:.2} s"));
    writeln!(
        out,
        "storm           {} disconnected within {:.0} ms, {} reconnected, {back}",
        thousands(storm.killed as u64),
        storm.reset_s * 1e3,
        thousands(storm.returned as u64)
    )?;
    let name = format!("  {} others", storm.stayed);
    write_times_line(out, &name, &storm.ack_of_stayed)
}

fn write_reasons(out: &mut String, what: &str, reasons: &BTreeMap<String, u64>) -> fmt::Result {
    reasons.iter().try_for_each(|(reason, count)| writeln!(out, "                {count} {what}: {reason}"))
}

fn write_times(out: &mut String, report: &Report) -> fmt::Result {
    write_times_line(out, "ack round trip", &report.ack)?;
    write_times_line(out, "  from write", &report.ack_from_write)?;
    write_times_line(out, "  connecting", &report.ack_while_connecting)?;
    write_times_line(out, "to the screen", &report.to_screen)
}

fn write_times_line(out: &mut String, name: &str, times: &Summary) -> fmt::Result {
    if times.count == 0 {
        return writeln!(out, "{name:<15} none");
    }
    writeln!(
        out,
        "{name:<15} mean {:.2}  p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms  ({})",
        times.mean_ms,
        times.p50_ms,
        times.p90_ms,
        times.p99_ms,
        times.p999_ms,
        times.max_ms,
        thousands(times.count)
    )
}

fn write_traffic(out: &mut String, report: &Report) -> fmt::Result {
    let (moves, traffic) = (&report.moves, &report.traffic);
    writeln!(
        out,
        "moves           {} sent, {} answered, {} missing, {} backlogged, {} lost with their \
         connection, {} abandoned; {} unexpected acks",
        thousands(moves.sent),
        thousands(moves.answered),
        moves.missing,
        moves.backlogged,
        moves.lost,
        moves.abandoned,
        moves.unexpected
    )?;
    writeln!(
        out,
        "per client      {:.1} frames/s and {:.2} kB/s in, {:.1} frames/s and {:.2} kB/s out; {} corrections in total",
        traffic.per_client_s.frames_in,
        traffic.per_client_s.bytes_in / 1e3,
        traffic.per_client_s.frames_out,
        traffic.per_client_s.bytes_out / 1e3,
        report.corrections
    )
}

fn write_replicas(out: &mut String, replicas: &Replicas) -> fmt::Result {
    let faults: Vec<String> =
        replicas.faults.iter().map(|(fault, count)| format!("{count} {}", fault.name())).collect();
    writeln!(
        out,
        "replicas        {} with {} sprites: {}; {} duplicates",
        replicas.compared,
        thousands(replicas.sprites as u64),
        faults.join(", "),
        replicas.duplicates
    )?;
    if replicas.foreign_players > 0 {
        writeln!(
            out,
            "                {} other players on the server: phantoms cannot be detected",
            replicas.foreign_players
        )?;
    }
    for example in &replicas.examples {
        writeln!(out, "                {example}")?;
    }
    for (kind, Violations { count, example }) in &replicas.violations {
        writeln!(out, "                {count} x {kind}: {example}")?;
    }
    Ok(())
}

fn write_server(out: &mut String, report: &Report) -> fmt::Result {
    let server = &report.server;
    let mut parts = Vec::new();
    let mut part = |value: Option<f64>, render: &dyn Fn(f64) -> String| parts.extend(value.map(render));
    part(server.cores, &|cores| format!("{cores:.2} cores"));
    part(server.wait_ratio, &|ratio| format!("{:.1} % without a processor", ratio * 100.0));
    part(server.resident_bytes_max.map(|bytes| bytes as f64), &|bytes| {
        format!("{:.1} MiB in RAM", bytes / f64::from(1 << 20))
    });
    part(
        server
            .resident_bytes_end
            .zip(server.resident_bytes_begin)
            .map(|(end, begin)| end as f64 - begin as f64),
        &|bytes| format!("{:+.2} MiB in the window", bytes / f64::from(1 << 20)),
    );
    if let Some((before, after)) = server.descriptors_before.zip(server.descriptors_after) {
        part(Some(after as f64), &|after| {
            format!("{after:.0} descriptors at the end, {before} at the start")
        });
    }
    part(server.cpu_us_per_socket_call, &|us| format!("{us:.2} us of CPU per socket call"));
    if let Some(metrics) = &server.metrics {
        part(metrics.tick_rate_hz, &|hz| format!("{hz:.2} ticks/s"));
        part(metrics.ticks_skipped, &|count| format!("{count:.0} skipped"));
        part(metrics.tick_p99_ms, &|ms| format!("tick p99 {ms:.2} ms"));
        part(metrics.busy_ratio, &|ratio| format!("loop busy {:.0} %", ratio * 100.0));
        part(metrics.bandwidth_saved_ratio, &|ratio| format!("{:.2} % bandwidth saved", ratio * 100.0));
        part(metrics.reads_per_s, &|rate| format!("{} reads/s", thousands(rate as u64)));
        part(metrics.writes_per_s, &|rate| format!("{} writes/s", thousands(rate as u64)));
        part(metrics.write_stalls.filter(|n| *n > 0.0), &|count| format!("{count:.0} writes stalled"));
        part(metrics.rate_limited.filter(|n| *n > 0.0), &|count| format!("{count:.0} messages rate-limited"));
        part(metrics.flush_interval_ms, &|ms| format!("flush every {ms:.0} ms"));
        part(metrics.max_visible, &|count| format!("at most {count:.0} visible"));
        part(metrics.governor_level, &|level| format!("governor at {level:.0}"));
    }
    let lines = if parts.is_empty() { vec!["unknown: no --pid, no /metrics".to_owned()] } else { parts };
    for (index, line) in lines.chunks(5).enumerate() {
        writeln!(out, "{:<15} {}", if index == 0 { "server" } else { "" }, line.join(", "))?;
    }
    Ok(())
}

fn write_generator(out: &mut String, report: &Report) -> fmt::Result {
    let own = &report.generator;
    writeln!(
        out,
        "generator       {:.2} cores, {:.1} % without a processor, loop busy {:.0} %; \
         late by mean {:.2}  p50 {:.2}  p99 {:.2}  max {:.2} ms; {:.1} % steal time",
        own.cores,
        own.wait_ratio * 100.0,
        own.busy_ratio * 100.0,
        own.lateness.mean_ms,
        own.lateness.p50_ms,
        own.lateness.p99_ms,
        own.lateness.max_ms,
        own.stolen_ratio * 100.0
    )?;
    writeln!(out, "                {}", own.statement)
}

fn write_verdict(out: &mut String, report: &Report) -> fmt::Result {
    if report.ok {
        return writeln!(out, "verdict         nothing was lost or wrong");
    }
    writeln!(out, "verdict         FAILED")?;
    report.problems.iter().try_for_each(|problem| writeln!(out, "                {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn churn_and_storms_are_reported_if_present() {
        let mut report = sample();
        assert!(!text(&report).contains("churn") && !text(&report).contains("storm"));
        let left_by_kind = vec![("close", 1_000), ("reset", 5)];
        report.churn = Some(Churn { left: 1_005, left_by_kind, ..Churn::default() });
        report.storm = Some(Storm { killed: 5_000, back_s: Some(1.25), stayed: 1_000, ..Storm::default() });
        let text = text(&report);
        assert!(text.contains("1,005 disconnected") && text.contains("1000 close, 5 reset"), "{text}");
        assert!(text.contains("5,000 disconnected") && text.contains("complete after 1.25 s"), "{text}");
    }

    #[test]
    fn the_verdict_is_clean_or_lists_the_problems() {
        let mut report = sample();
        let clean = text(&report);
        assert!(clean.contains("verdict         nothing was lost or wrong"), "{clean}");
        assert!(clean.contains("10,000 of 10,000 in 10.0 s"), "{clean}");
        assert!(clean.contains("60.00 ticks/s"), "{clean}");
        report.connections.failures.insert("Connection refused".to_owned(), 1);
        report.conclude();
        let failed = text(&report);
        assert!(failed.contains("FAILED") && failed.contains("1 failed: Connection refused"), "{failed}");
    }
}

//! The report as text.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use game_client::text::thousands;

use super::{Connections, Moves, Rates, Replicas, Report, Violations};
use crate::load::churn::{Churn, Ids, Storm};
use crate::measure::{Summary, Times};

/// Returns the report for a terminal.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    write_all(&mut out, report).expect("writing to a String never fails");
    out
}

fn write_all(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "{}\n", headline(report))?;
    write_connections(out, report)?;
    write_times_line(out, "ack round trip", &report.ack)?;
    write_times_line(out, "  from write", &report.ack_from_write)?;
    write_times_line(out, "  connecting", &report.ack_while_connecting)?;
    write_times_line(out, "to the screen", &report.to_screen)?;
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
    let moving = options.profile.moving.map(|moving| format!("{:.0} % moving", moving * 100.0));
    let rate = options.profile.moves_per_s.map(|rate| format!("{rate} moves/s each"));
    let rates: Vec<String> = moving.into_iter().chain(rate).collect();
    let comma = if rates.is_empty() { "" } else { ", " };
    format!(
        "{} clients, profile {}{comma}{}, {:.0} s measured after {:.0} s of warm-up, {}{}",
        thousands(options.clients as u64),
        options.profile.kind.name(),
        rates.join(" or "),
        report.traffic.seconds,
        options.warm_up.as_secs_f64(),
        options.server.authority,
        if report.interrupted { " (interrupted)" } else { "" }
    )
}

fn write_connections(out: &mut String, report: &Report) -> fmt::Result {
    let Connections { joined, joined_in_s, failures, disconnects, .. } = &report.connections;
    let (failed, lost): (u64, u64) = (failures.values().sum(), disconnects.values().sum());
    let (joined, clients) = (thousands(*joined as u64), thousands(report.options.clients as u64));
    writeln!(
        out,
        "connections     {joined} of {clients} in {joined_in_s:.1} s, {failed} failed, {lost} lost"
    )?;
    write_reasons(out, "failed", failures)?;
    write_reasons(out, "lost", disconnects)?;
    write_times_line(out, "  until joined", &report.connections.connect)?;
    report.churn.as_ref().map_or(Ok(()), |churn| write_churn(out, report, churn))?;
    report.storm.as_ref().map_or(Ok(()), |storm| write_storm(out, storm))
}

fn write_churn(out: &mut String, report: &Report, churn: &Churn) -> fmt::Result {
    let kinds: Vec<String> =
        churn.left_by_kind.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    let (left, returned, kinds) = (thousands(churn.left), thousands(churn.returned), kinds.join(", "));
    let per_s = churn.left_per_s;
    writeln!(out, "churn           {left} disconnected ({per_s:.0}/s), {returned} reconnected: {kinds}")?;
    let Ids { seen, highest, repeated, not_above } = &churn.ids;
    let (ids, playing) = (thousands(seen.len() as u64), thousands(report.connections.playing as u64));
    let there = report.connections.players_there.map_or("an unknown number".to_owned(), thousands);
    writeln!(
        out,
        "                {ids} ids up to {highest}, {repeated} repeated, {not_above} not ascending; \
         {playing} players of this run, {there} on the server"
    )?;
    write_times_line(out, "  until joined", &churn.connect)
}

fn write_storm(out: &mut String, storm: &Storm) -> fmt::Result {
    let back =
        storm.back_s.map_or("never complete".to_owned(), |seconds| format!("complete after {seconds:.2} s"));
    let (killed, returned) = (thousands(storm.killed as u64), thousands(storm.returned as u64));
    let reset_ms = storm.reset_s * 1e3;
    writeln!(
        out,
        "storm           {killed} disconnected within {reset_ms:.0} ms, {returned} reconnected, {back}"
    )?;
    write_times_line(out, &format!("  {} others", storm.stayed), &storm.ack_of_stayed)
}

fn write_reasons(out: &mut String, what: &str, reasons: &BTreeMap<String, u64>) -> fmt::Result {
    reasons.iter().try_for_each(|(reason, count)| writeln!(out, "                {count} {what}: {reason}"))
}

fn write_times_line(out: &mut String, name: &str, times: &Times) -> fmt::Result {
    let Summary { count, mean_ms, p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = times.summary();
    if count == 0 {
        return writeln!(out, "{name:<15} none");
    }
    let count = thousands(count);
    writeln!(
        out,
        "{name:<15} mean {mean_ms:.2}  p50 {p50_ms:.2}  p90 {p90_ms:.2}  p99 {p99_ms:.2}  p99.9 {p999_ms:.2}  \
         max {max_ms:.2} ms  ({count})"
    )
}

fn write_traffic(out: &mut String, report: &Report) -> fmt::Result {
    let Moves { missing, backlogged, lost, abandoned, unexpected, .. } = report.moves;
    let (sent, answered) = (thousands(report.moves.sent), thousands(report.moves.answered));
    writeln!(
        out,
        "moves           {sent} sent, {answered} answered, {missing} missing, {backlogged} backlogged, \
         {lost} lost with their connection, {abandoned} abandoned; {unexpected} unexpected acks"
    )?;
    let Rates { frames_in, bytes_in, frames_out, bytes_out, .. } = report.traffic.per_client_s;
    let (kb_in, kb_out, corrections) = (bytes_in / 1e3, bytes_out / 1e3, report.corrections);
    writeln!(
        out,
        "per client      {frames_in:.1} frames/s and {kb_in:.2} kB/s in, \
         {frames_out:.1} frames/s and {kb_out:.2} kB/s out; {corrections} corrections in total"
    )
}

fn write_replicas(out: &mut String, replicas: &Replicas) -> fmt::Result {
    let Replicas { compared, sprites, duplicates, foreign_players, .. } = replicas;
    let faults: Vec<String> =
        replicas.faults.iter().map(|(fault, count)| format!("{count} {}", fault.name())).collect();
    let (faults, sprites) = (faults.join(", "), thousands(*sprites as u64));
    writeln!(out, "replicas        {compared} with {sprites} sprites: {faults}; {duplicates} duplicates")?;
    if *foreign_players > 0 {
        let other = format!("{foreign_players} other players on the server");
        writeln!(out, "                {other}: phantoms cannot be detected")?;
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
    let mut phrases = report.server.phrases();
    if phrases.is_empty() {
        phrases.push("unknown: no --pid, no /metrics".to_owned());
    }
    for (index, line) in phrases.chunks(5).enumerate() {
        writeln!(out, "{:<15} {}", if index == 0 { "server" } else { "" }, line.join(", "))?;
    }
    Ok(())
}

fn write_generator(out: &mut String, report: &Report) -> fmt::Result {
    let own = &report.generator;
    let Summary { mean_ms, p50_ms, p99_ms, max_ms, .. } = own.lateness.summary();
    let others = own.others_ratio.map_or(String::new(), |ratio| {
        format!(", {:.1} % of the machine used by other processes", ratio * 100.0)
    });
    let [waits, busy, stolen] = [own.wait_ratio, own.busy_ratio, own.stolen_ratio].map(|ratio| ratio * 100.0);
    writeln!(
        out,
        "generator       {:.2} cores, {waits:.1} % without a processor, loop busy {busy:.0} %; \
         late by mean {mean_ms:.2}  p50 {p50_ms:.2}  p99 {p99_ms:.2}  max {max_ms:.2} ms; {stolen:.1} % steal time{others}",
        own.cores
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
    use crate::load::churn::LeaveKind;
    use crate::report::tests::sample;

    #[test]
    fn churn_and_storms_are_reported_if_present() {
        let mut report = sample();
        assert!(!text(&report).contains("churn") && !text(&report).contains("storm"));
        let left_by_kind = [(LeaveKind::Close, 1_000), (LeaveKind::Reset, 5)].into();
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
        report.connections.failures.insert("Connection refused".to_owned(), 1);
        report.conclude();
        let failed = text(&report);
        assert!(failed.contains("FAILED") && failed.contains("1 failed: Connection refused"), "{failed}");
    }
}

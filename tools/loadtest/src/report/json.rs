//! The report as one JSON object, for programs. Times are in milliseconds.

use serde_json::{Value as Json, json};

use super::{Churn, Report, ServerMetrics, Storm};
use crate::behaviour::Profile;
use crate::measure::{FRAME_KINDS, Second, Summary};

/// Returns the whole report as one object.
pub fn json(report: &Report) -> Json {
    let (kept_up, sentence) = report.bottleneck();
    json!({
        "started": report.started,
        "machine": report.machine,
        "interrupted": report.interrupted,
        "ok": report.problems().is_empty(),
        "problems": report.problems(),
        "options": options(report),
        "connections": connections(report),
        "churn": report.churn.as_ref().map(churn),
        "storm": report.storm.as_ref().map(storm),
        "ack_ms": times(&report.ack),
        "ack_from_write_ms": times(&report.ack_from_write),
        "ack_while_connecting_ms": times(&report.ack_while_connecting),
        "ack_ranges_ms": report.ack_ranges,
        "moves": {
            "sent": report.moves.sent,
            "answered": report.moves.answered,
            "missing": report.moves.missing,
            "held_up": report.moves.backlogged,
            "rate_limited": report.moves.rate_limited,
            "lost": report.moves.lost,
            "abandoned": report.moves.abandoned,
            "unexpected_answers": report.moves.unexpected,
        },
        "to_screen_ms": times(&report.to_screen),
        "traffic": traffic(report),
        "pictures": replicas(report),
        "corrections": report.corrections,
        "server": server(report),
        "generator": {
            "kept_up": kept_up,
            "statement": sentence,
            "cores": round(report.generator.cores),
            "wait_ratio": round(report.generator.wait_ratio),
            "busy_ratio": round(report.generator.busy_ratio),
            "lateness_ms": times(&report.generator.lateness),
            "postponed": report.generator.postponed,
            "turn_ms": times(&report.generator.iterations),
            "read_delay_ms": round(report.generator.read_delay_ms),
            "stolen_ratio": round(report.generator.stolen_ratio),
        },
        "timeline": report.timeline.iter().map(second).collect::<Vec<_>>(),
    })
}

/// Rounds to four decimals; more would be noise.
fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

fn times(times: &Summary) -> Json {
    json!({
        "count": times.count,
        "mean": round(times.mean_ms),
        "p50": round(times.p50_ms),
        "p90": round(times.p90_ms),
        "p99": round(times.p99_ms),
        "p99.9": round(times.p999_ms),
        "max": round(times.max_ms),
    })
}

fn options(report: &Report) -> Json {
    let options = &report.options;
    let (mut moves_per_s, mut part_moving) = (None, None);
    match options.profile {
        Profile::Seed { moves_per_s: rate } => moves_per_s = Some(rate),
        Profile::Player { moving } => part_moving = Some(moving),
        Profile::Mixed { moving, moves_per_s: rate } => {
            (moves_per_s, part_moving) = (Some(rate), Some(moving));
        }
        Profile::Artillery | Profile::Idle => {}
    }
    json!({
        "server": format!("ws://{}{}", options.server.authority, options.server.path),
        "clients": options.clients,
        "duration_s": options.duration.as_secs_f64(),
        "warm_up_s": options.warm_up.as_secs_f64(),
        "connect_rate_per_s": options.connect_rate,
        "profile": options.profile.name(),
        "moves_per_s": moves_per_s,
        "moving": part_moving,
        "move_bytes": options.claims.or(options.profile.claims()).map(|claims| if claims { 14 } else { 6 }),
        "viewport": options.viewport.map(|(width, height)| format!("{width}x{height}")),
        "viewers": options.viewers,
        "slow_readers": options.slow_readers,
        "reconnects_per_s": options.reconnects_per_s,
        "storm_at_s": options.storm_at.map(|at| at.as_secs_f64()),
        "storm_clients": options.storm_clients,
        "alone": options.alone,
        "seed": options.seed,
        "source_addresses": options.source_addresses,
        "pid": options.pid,
        "max_visible": options.max_visible,
        "sync_interval_s": options.sync_interval.as_secs_f64(),
        "world_side": options.world_side,
    })
}

fn connections(report: &Report) -> Json {
    let connections = &report.connections;
    json!({
        "joined": connections.joined,
        "joined_in_s": round(connections.joined_in_s),
        "connect_ms": times(&connections.connect),
        "failed": connections.failures,
        "lost": connections.disconnects,
        "goodbyes_unanswered": connections.unclosed,
        "playing": connections.playing,
        "players_there": connections.players_there,
        "unaccounted": connections.unaccounted,
    })
}

fn churn(churn: &Churn) -> Json {
    json!({
        "left": churn.left_total(),
        "left_by_kind": churn.left.iter().copied().collect::<Json>(),
        "left_per_s": round(churn.left_per_s),
        "returned": churn.returned,
        "connect_ms": times(&churn.connect),
        "ids": churn.ids,
        "id_highest": churn.id_highest,
        "ids_repeated": churn.ids_repeated,
        "ids_not_above": churn.ids_not_above,
    })
}

fn storm(storm: &Storm) -> Json {
    json!({
        "killed": storm.killed,
        "reset_s": round(storm.reset_s),
        "returned": storm.returned,
        "back_s": storm.back_s.map(round),
        "stayed": storm.stayed,
        "ack_of_stayed_ms": times(&storm.ack_of_stayed),
    })
}

fn traffic(report: &Report) -> Json {
    let traffic = &report.traffic;
    let per_client = |count| round(traffic.per_client_s(count));
    let kinds = FRAME_KINDS.iter().zip(traffic.tally.frames_in);
    json!({
        "seconds": round(traffic.seconds),
        "clients": traffic.clients,
        "moves_per_s": round(traffic.tally.moves as f64 / traffic.seconds.max(1e-9)),
        "per_client_s": {
            "frames_in": per_client(traffic.tally.frames_in_total()),
            "bytes_in": per_client(traffic.tally.bytes_in),
            "frames_out": per_client(traffic.tally.frames_out),
            "bytes_out": per_client(traffic.tally.bytes_out),
            "frames_in_by_kind": kinds.map(|(kind, count)| (*kind, per_client(count))).collect::<Json>(),
        },
    })
}

fn replicas(report: &Report) -> Json {
    let Some(replicas) = &report.replicas else { return Json::Null };
    let violations = replicas
        .violations
        .iter()
        .map(|(kind, (count, example))| (kind.clone(), json!({ "count": count, "example": example })));
    json!({
        "compared": replicas.compared,
        "sprites": replicas.sprites,
        "faults": replicas.faults.iter().map(|(fault, count)| (fault.name(), *count)).collect::<Json>(),
        "examples": replicas.examples,
        "violations": violations.collect::<Json>(),
        "doubles": replicas.duplicates,
        "strangers": replicas.foreign_players,
        "max_visible": replicas.max_visible,
    })
}

fn server(report: &Report) -> Json {
    let server = &report.server;
    json!({
        "cpu_s": server.cpu_s.map(round),
        "cores": server.cores.map(round),
        "wait_ratio": server.wait_ratio.map(round),
        "resident_bytes_max": server.resident_bytes_max,
        "resident_bytes_begin": server.resident_bytes_begin,
        "resident_bytes_end": server.resident_bytes_end,
        "descriptors_before": server.descriptors_before,
        "descriptors_after": server.descriptors_after,
        "cpu_us_per_socket_call": server.cpu_us_per_call().map(round),
        "metrics": server.metrics.as_ref().map(metrics),
    })
}

fn metrics(metrics: &ServerMetrics) -> Json {
    json!({
        "tick_rate_hz": metrics.tick_rate_hz.map(round),
        "ticks_skipped": metrics.ticks_skipped,
        "tick_p99_ms": metrics.tick_p99_ms.map(round),
        "bandwidth_saved_ratio": metrics.bandwidth_saved_ratio.map(round),
        "socket_reads_per_s": metrics.reads_per_s.map(round),
        "socket_writes_per_s": metrics.writes_per_s.map(round),
        "write_stalls": metrics.write_stalls,
        "rate_limited": metrics.rate_limited,
        "loop_busy_ratio": metrics.busy_ratio.map(round),
        "flush_interval_ms": metrics.flush_interval_ms,
        "max_visible": metrics.max_visible,
        "governor_level": metrics.governor_level,
    })
}

fn second(second: &Second) -> Json {
    json!({
        "at_s": round(second.at_s),
        "measured": second.measured,
        "playing": second.playing,
        "left": second.tally.left,
        "returned": second.tally.returned,
        "moves": second.tally.moves,
        "ack_ms": times(&second.ack),
        "lateness_p99_ms": round(second.lateness.p99_ms),
        "bytes_in": second.tally.bytes_in,
        "bytes_out": second.tally.bytes_out,
        "frames_in": second.tally.frames_in_total(),
        "server_cores": second.server.map(|(cores, _)| round(cores)),
        "server_resident_bytes": second.server.map(|(_, bytes)| bytes),
        "generator_cores": round(second.generator_cores),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn the_object_has_the_documented_keys() {
        let object = json(&sample());
        assert_eq!(object["ok"], true);
        assert_eq!(object["ack_ms"]["p99.9"], 9.0);
        assert_eq!(object["pictures"]["faults"]["displaced"], 0);
        assert_eq!(object["server"]["metrics"]["tick_rate_hz"], 60.0);
        assert_eq!(object["options"]["move_bytes"], 6);
        assert!(object["churn"].is_null() && object["storm"].is_null());
        assert_eq!(object["timeline"].as_array().map(Vec::len), Some(3));
    }
}

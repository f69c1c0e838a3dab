//! The report: replicas compared with the true positions, and all counters.

use super::Load;
use super::churn::LeaveKind;
use crate::client::Client;
use crate::connection::Phase;
use crate::machine;
use crate::measure::{Second, Tally};
use crate::observe::Mark;
use crate::report::{
    Churn, Connections, Generator, Moves, Replicas, Report, ServerAccount, ServerMetrics, Storm, Traffic,
};
use crate::scrape::Scrape;
use crate::truth::{Fault, Pose, Truth, Viewpoint, compare};

/// Most differences described in the report.
const EXAMPLES_MAX: usize = 20;

impl Load {
    /// Creates the report. It compares the replicas only if all players are `at_rest`.
    pub(super) fn judge(&mut self, at_rest: bool) -> Report {
        let (scrape_at_rest, window_scrapes) = self.observer.scrapes();
        let connections = self.connections(scrape_at_rest.as_ref());
        let compares = at_rest && self.options.viewers > 0;
        let replicas = compares.then(|| self.compare_replicas(scrape_at_rest.as_ref()));
        let (window, measures) = (self.window(), &self.measures);
        let marks = &self.observer.marks;
        let avatars = self.clients.iter().filter_map(|client| client.avatar.as_ref());
        Report {
            started: machine::utc_before(self.clock.now_ns()),
            machine: machine::describe(),
            interrupted: self.interrupted,
            ok: false,
            problems: Vec::new(),
            connections,
            churn: self.churn_account(),
            storm: self.storm_account(),
            ack: measures.ack.summary(),
            ack_from_write: measures.ack_from_write.summary(),
            ack_while_connecting: measures.ack_while_connecting.summary(),
            ack_ranges: measures.ack.ranges(4),
            moves: self.moves(scrape_at_rest.as_ref()),
            to_screen: self.viewers.delays.summary(),
            to_screen_ranges: self.viewers.delays.ranges(4),
            traffic: Traffic::of(window.0, self.playing, &window.1),
            replicas,
            corrections: avatars.map(|avatar| u64::from(avatar.corrections())).sum(),
            server: ServerAccount {
                descriptors_before: self.observer.descriptors_before,
                ..server_account(marks, &window_scrapes, &self.observer.timeline)
            },
            generator: self.generator(),
            timeline: self.observer.timeline.clone(),
            options: self.options.clone(),
        }
    }

    fn moves(&self, at_rest: Option<&Scrape>) -> Moves {
        let pending = self.clients.iter().flat_map(|client| &client.pending);
        let backlogged = pending.filter(|pending| pending.is_backlogged).count();
        Moves {
            sent: self.tally.moves,
            answered: self.tally.acks,
            missing: (self.outstanding - backlogged) as u64,
            backlogged: backlogged as u64,
            rate_limited: at_rest
                .and_then(|scrape| scrape.number("rate_limited_total"))
                .map(|count| count as u64),
            abandoned: self.abandoned,
            lost: self.tally.acks_lost,
            unexpected: self.tally.acks_unexpected,
        }
    }

    fn connections(&self, at_rest: Option<&Scrape>) -> Connections {
        Connections {
            joined: self.arrivals.joined,
            joined_in_s: self.arrivals.all_joined_ns() as f64 / 1e9,
            connect: self.measures.connect.summary(),
            failures: self.arrivals.failures.clone(),
            disconnects: self.disconnects.clone(),
            unclosed: 0,
            playing: self.playing,
            players_there: at_rest.and_then(|scrape| scrape.number("players")).map(|count| count as u64),
            unaccounted: at_rest.and_then(unaccounted),
        }
    }

    fn churn_account(&self) -> Option<Churn> {
        let (churn, (seconds, tally)) = (&self.churn, self.window());
        let ids = &churn.ids;
        (churn.left_total() > 0).then(|| Churn {
            left: churn.left_total(),
            left_by_kind: LeaveKind::ALL.map(|kind| (kind.name(), churn.left[kind as usize])).into(),
            returned: self.tally.returned,
            left_per_s: tally.left as f64 / seconds.max(1e-9),
            connect: churn.connect.summary(),
            ids: ids.count(),
            id_highest: ids.highest(),
            ids_repeated: ids.repeated,
            ids_not_above: ids.not_above,
        })
    }

    fn storm_account(&self) -> Option<Storm> {
        let storm = &self.churn.storm;
        let seconds_since = |from_ns: u64, at_ns: u64| (at_ns - from_ns) as f64 / 1e9;
        storm.began_ns.map(|began_ns| Storm {
            killed: storm.killed,
            reset_s: seconds_since(began_ns, storm.reset_ns),
            returned: storm.returned,
            back_s: storm.back_ns.map(|back_ns| seconds_since(began_ns, back_ns)),
            stayed: self.options.clients - storm.killed,
            ack_of_stayed: storm.ack_of_stayed.summary(),
        })
    }

    /// Returns the length of the measured window in seconds, and its counts.
    fn window(&self) -> (f64, Tally) {
        let [begin, end] = self.observer.marks[..] else { return (0.0, Tally::default()) };
        ((end.at_ns - begin.at_ns) as f64 / 1e9, end.tally.since(&begin.tally))
    }

    fn generator(&self) -> Generator {
        let [begin, end] = self.observer.marks[..] else { return Generator::default() };
        let seconds = (end.at_ns - begin.at_ns) as f64 / 1e9;
        let busy_ratio = (end.tally.busy_ns - begin.tally.busy_ns) as f64 / 1e9 / seconds;
        let all_cores_s = seconds * std::thread::available_parallelism().map_or(1, usize::from) as f64;
        Generator {
            cores: (end.own.cpu_s - begin.own.cpu_s) / seconds,
            wait_ratio: (end.own.waited_s - begin.own.waited_s) / seconds,
            busy_ratio,
            lateness: self.measures.lateness.summary(),
            postponed: self.postponed,
            iterations: self.measures.iterations.summary(),
            // Data that arrives while the loop waits is read immediately.
            read_delay_ms: self.measures.iterations.mean_residual_ms() * busy_ratio,
            stolen_ratio: (end.stolen_s - begin.stolen_s) / all_cores_s,
            ..Generator::default()
        }
    }

    fn compare_replicas(&mut self, at_rest: Option<&Scrape>) -> Replicas {
        let now_ns = self.clock.now_ns();
        let truth = self.truth();
        let playing = self.playing as f64;
        let players_there = at_rest.and_then(|scrape| scrape.number("players")).unwrap_or(playing);
        let cap_there = at_rest.and_then(|scrape| scrape.number("max_visible")).unwrap_or(f64::INFINITY);
        let mut replicas = Replicas {
            faults: Fault::ALL.map(|fault| (fault, 0)).into(),
            violations: self.viewers.violations(),
            duplicates: self.viewers.duplicates(),
            foreign_players: (players_there - playing).max(0.0) as u64,
            max_visible: self.options.max_visible.min(cap_there as usize),
            ..Replicas::default()
        };
        for client in &self.clients {
            let (Some(viewer), Some(pose)) = (client.viewer, pose(client)) else { continue };
            let viewpoint = Viewpoint {
                id: client.id,
                x: pose.x,
                y: pose.y,
                viewport: self.options.viewport,
                max_visible: replicas.max_visible,
                foreign_players: replicas.foreign_players as usize,
            };
            let sprites = self.viewers.screen(viewer, now_ns);
            replicas.compared += 1;
            replicas.sprites += sprites.len();
            // `compare` calls the closure only for ids of no playing client.
            for found in compare(&viewpoint, &sprites, &truth, |id| self.churn.ids.contains(id)) {
                *replicas.faults.entry(found.fault).or_default() += 1;
                if replicas.examples.len() < EXAMPLES_MAX {
                    let (fault, id, evidence) = (found.fault.name(), found.id, found.evidence);
                    replicas
                        .examples
                        .push(format!("viewer {}: player {id} {fault}: {evidence}", viewpoint.id));
                }
            }
        }
        replicas
    }

    /// Returns the positions of all playing clients, according to the server's acks.
    fn truth(&self) -> Truth {
        let playing = self.clients.iter().filter(|client| client.phase == Phase::Playing);
        playing.map(|client| (client.id, pose(client))).collect()
    }
}

/// Returns a client's pose, if its final MOVE has been acknowledged.
fn pose(client: &Client) -> Option<Pose> {
    let (acked, avatar) = (client.acked?, client.avatar.as_ref()?);
    client.has_stopped().then(|| Pose {
        x: f64::from(acked.x),
        y: f64::from(acked.y),
        facing: avatar.facing(),
    })
}

fn server_account(marks: &[Mark], scrapes: &[Option<Scrape>], timeline: &[Second]) -> ServerAccount {
    let [begin, end] = marks else { return ServerAccount::default() };
    let seconds = (end.at_ns - begin.at_ns) as f64 / 1e9;
    let usages = end.server.zip(begin.server);
    let cpu_s = usages.map(|(end, begin)| end.cpu_s - begin.cpu_s);
    let measured = timeline.iter().filter(|second| second.measured);
    let resident = measured.filter_map(|second| second.server_resident_bytes);
    let at_end = end.server.map(|usage| usage.resident_bytes);
    let metrics = match scrapes {
        [Some(before), Some(after)] => Some(server_metrics(before, after)),
        _ => None,
    };
    let cores = cpu_s.map(|cpu_s| cpu_s / seconds);
    let calls_per_s = metrics
        .as_ref()
        .and_then(|metrics: &ServerMetrics| Some(metrics.reads_per_s? + metrics.writes_per_s?));
    ServerAccount {
        cpu_s,
        cores,
        cpu_us_per_socket_call: cores.zip(calls_per_s).map(|(cores, calls_per_s)| cores / calls_per_s * 1e6),
        wait_ratio: usages.map(|(end, begin)| (end.waited_s - begin.waited_s) / seconds),
        resident_bytes_max: resident.chain(at_end).max(),
        resident_bytes_begin: begin.server.map(|usage| usage.resident_bytes),
        resident_bytes_end: at_end,
        metrics,
        ..ServerAccount::default()
    }
}

/// Returns upgrades minus players minus closed connections, from the server's metrics. 0 if they are consistent.
fn unaccounted(scrape: &Scrape) -> Option<i64> {
    let closed = scrape.body.get("closed")?.as_object()?.values().filter_map(serde_json::Value::as_i64);
    let upgraded = scrape.body.get("connections")?.get("upgraded_total")?.as_i64()?;
    Some(upgraded - scrape.number("players")? as i64 - closed.sum::<i64>())
}

fn server_metrics(before: &Scrape, after: &Scrape) -> ServerMetrics {
    let seconds = (after.at_ns - before.at_ns) as f64 / 1e9;
    let per_s = |key| after.growth(before, key).map(|growth| growth / seconds);
    let sent = after.growth(before, "bytes_out_total");
    let full = after.growth(before, "snapshot_bytes_total").filter(|bytes| *bytes > 0.0);
    ServerMetrics {
        tick_rate_hz: per_s("ticks_total"),
        ticks_skipped: after.growth(before, "ticks_skipped_total"),
        tick_p99_ms: after.number("tick_p99_ns").map(|ns| ns / 1e6),
        bandwidth_saved_ratio: sent.zip(full).map(|(sent, full)| 1.0 - sent / full),
        reads_per_s: per_s("socket_reads_total"),
        writes_per_s: per_s("socket_writes_total"),
        write_stalls: after.growth(before, "write_stalls_total"),
        rate_limited: after.growth(before, "rate_limited_total"),
        busy_ratio: per_s("loop_busy_ns_total").map(|ns_per_s| ns_per_s / 1e9),
        flush_interval_ms: after.number("flush_interval_ms"),
        max_visible: after.number("max_visible"),
        governor_level: after.number("governor_level"),
    }
}

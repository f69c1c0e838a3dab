//! The report: replicas compared with the true positions, and all counters.

use std::mem::take;

use super::Load;
use crate::avatar::Avatar;
use crate::client::Client;
use crate::connection::Phase;
use crate::machine;
use crate::measure::{Tally, Times};
use crate::observe::Mark;
use crate::report::{Generator, Replicas, Report, ServerAccount, Traffic};
use crate::scrape::Scrape;
use crate::truth::{Fault, Pose, Truth, Viewpoint, compare};

/// Most differences described in the report.
const EXAMPLES_MAX: usize = 20;

impl Load {
    /// Creates the report from the counts of the run. It compares the replicas only if all players are `at_rest`.
    pub(super) fn judge(&mut self, at_rest: bool) -> Report {
        let (scrape, window_scrapes) = self.observer.scrapes();
        let metric = |key| scrape.as_ref().and_then(|scrape| scrape.number(key));
        let compares = at_rest && self.options.viewers > 0;
        let replicas = compares.then(|| self.compare_replicas(metric("players"), metric("max_visible")));
        let window = match &self.observer.marks[..] {
            [begin, end] => Some(end.since(begin)),
            _ => None,
        };
        let (seconds, counts) =
            window.map_or((0.0, Tally::default()), |window| (window.seconds(), window.tally));
        let pending = self.clients.iter().flat_map(|client| &client.pending);
        let avatars = self.clients.iter().filter_map(|client| client.avatar.as_ref());
        let corrections = avatars.map(Avatar::corrections).sum();

        let mut moves = self.moves;
        moves.sent = self.tally.moves;
        moves.backlogged = pending.filter(|pending| pending.is_backlogged).count() as u64;
        moves.missing -= moves.backlogged;
        moves.rate_limited = metric("rate_limited_total").map(|count| count as u64);
        let mut connections = self.connections.clone();
        connections.players_there = metric("players").map(|count| count as u64);
        connections.unaccounted = scrape.as_ref().and_then(unaccounted);
        let mut churn = take(&mut self.churn);
        (churn.left, churn.returned) = (self.tally.left, self.tally.returned);
        churn.left_per_s = counts.left as f64 / seconds.max(1e-9);
        let measures = take(&mut self.measures);
        let timeline = take(&mut self.observer.timeline);

        Report {
            started: machine::utc_before(self.clock.now_ns()),
            machine: machine::describe(),
            interrupted: self.interrupted,
            ok: false,
            problems: Vec::new(),
            ack_ranges: measures.ack.ranges(4),
            ack: measures.ack,
            ack_from_write: measures.ack_from_write,
            ack_while_connecting: measures.ack_while_connecting,
            moves,
            to_screen_ranges: self.viewers.delays.ranges(4),
            to_screen: take(&mut self.viewers.delays),
            traffic: Traffic::of(seconds, connections.playing, &counts),
            connections,
            churn: (churn.left > 0).then_some(churn),
            storm: self.storm.take(),
            replicas,
            corrections,
            server: ServerAccount {
                descriptors_before: self.observer.descriptors_before,
                ..ServerAccount::of(&self.observer.marks, &window_scrapes, &timeline)
            },
            generator: self.generator(window, measures.lateness, measures.iterations),
            timeline,
            options: self.options.clone(),
        }
    }

    fn generator(&self, window: Option<Mark>, lateness: Times, iterations: Times) -> Generator {
        let postponed = self.postponed;
        let Some(window) = window else { return Generator { postponed, ..Generator::default() } };
        let seconds = window.seconds();
        let busy_ratio = window.tally.busy_ns as f64 / 1e9 / seconds;
        let all_cores_s = seconds * std::thread::available_parallelism().map_or(1, usize::from) as f64;
        Generator {
            cores: window.own.cpu_s / seconds,
            wait_ratio: window.own.waited_s / seconds,
            busy_ratio,
            lateness,
            postponed,
            // Data that arrives while the loop waits is read immediately.
            read_delay_ms: iterations.mean_residual_ms() * busy_ratio,
            iterations,
            stolen_ratio: window.machine.stolen_s / all_cores_s,
            others_ratio: window.server.map(|server| {
                (window.machine.busy_s - window.own.cpu_s - server.cpu_s).max(0.0) / all_cores_s
            }),
            ..Generator::default()
        }
    }

    /// Compares all replicas. The server's numbers of players and of visible players are known if it has metrics.
    fn compare_replicas(&mut self, players_there: Option<f64>, cap_there: Option<f64>) -> Replicas {
        let now_ns = self.clock.now_ns();
        let truth = self.truth();
        let playing = self.connections.playing as f64;
        let mut replicas = Replicas {
            faults: Fault::ALL.map(|fault| (fault, 0)).into(),
            violations: self.viewers.violations(),
            duplicates: self.viewers.duplicates(),
            foreign_players: (players_there.unwrap_or(playing) - playing).max(0.0) as u64,
            max_visible: self.options.max_visible.min(cap_there.map_or(usize::MAX, |cap| cap as usize)),
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
            for found in compare(&viewpoint, &sprites, &truth, |id| self.churn.ids.seen.contains(&id)) {
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

/// Returns upgrades minus players minus closed connections, from the server's metrics. 0 if they are consistent.
fn unaccounted(scrape: &Scrape) -> Option<i64> {
    let closed = scrape.body.get("closed")?.as_object()?.values().filter_map(serde_json::Value::as_i64);
    let upgraded = scrape.body.get("connections")?.get("upgraded_total")?.as_i64()?;
    Some(upgraded - scrape.number("players")? as i64 - closed.sum::<i64>())
}

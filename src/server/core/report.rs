//! Logs a load summary every 10 s while clients play or try to connect, for operators who only read the log.
//! Individual connections are logged at level debug.

use super::Core;
use super::clock::NS_PER_MS;
use super::system::System;
use crate::ops::metrics::Metrics;
use serde::{Deserialize, Serialize};

/// Time between two summaries, in nanoseconds.
const INTERVAL_NS: u64 = 10_000 * NS_PER_MS;

/// Time at which the last summary was due, and the counters at that time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    at_ns: u64,
    counted: Counts,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    joined: u64,
    left: u64,
    refused: u64,
    ticks_skipped: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Counts {
    fn of(metrics: &Metrics) -> Self {
        Self {
            joined: metrics.connections_upgraded_total,
            left: metrics.closed.total(),
            refused: metrics.refused.total(),
            ticks_skipped: metrics.ticks_skipped_total,
            bytes_in: metrics.bytes_in_total,
            bytes_out: metrics.bytes_out_total,
        }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            joined: self.joined - earlier.joined,
            left: self.left - earlier.left,
            refused: self.refused - earlier.refused,
            ticks_skipped: self.ticks_skipped - earlier.ticks_skipped,
            bytes_in: self.bytes_in - earlier.bytes_in,
            bytes_out: self.bytes_out - earlier.bytes_out,
        }
    }

    /// Whether a player joined or left, or a connection was refused.
    fn has_activity(&self) -> bool {
        self.joined + self.left + self.refused > 0
    }
}

impl Report {
    pub(super) fn new(now_ns: u64) -> Self {
        Self { at_ns: now_ns, counted: Counts::default() }
    }
}

/// Logs the summary if it is due.
pub(super) fn report<S: System>(core: &mut Core<S>, now_ns: u64) {
    let elapsed_ns = now_ns - core.lifecycle.report.at_ns;
    if elapsed_ns < INTERVAL_NS {
        return;
    }
    let counted = Counts::of(&core.metrics);
    let recent = counted.since(core.lifecycle.report.counted);
    core.lifecycle.report = Report { at_ns: now_ns, counted };
    let players = core.engine.players();
    if players == 0 && !recent.has_activity() {
        return;
    }
    let seconds = elapsed_ns as f64 / 1e9;
    let ticks = core.metrics.tick_percentiles();
    let (tick_p50_us, tick_p99_us) = (ticks.p50_ns / 1000, ticks.p99_ns / 1000);
    let tick_rate_hz = core.metrics.tick_rate_hz();
    let messages_per_s = core.metrics.events_per_second();
    let (kb_in_per_s, kb_out_per_s) =
        (recent.bytes_in as f64 / seconds / 1e3, recent.bytes_out as f64 / seconds / 1e3);
    let busy_percent = core.metrics.loop_busy_ratio() * 100.0;
    let governor_level = core.engine.governor.level();
    let Counts { joined, left, refused, ticks_skipped, .. } = recent;
    log::info!(
        players, joined, left, refused, tick_rate_hz, tick_p50_us, tick_p99_us, ticks_skipped, messages_per_s,
        kb_in_per_s, kb_out_per_s, busy_percent, governor_level;
        "{players} players (+{joined} -{left}, {refused} refused), {tick_rate_hz:.1} ticks/s \
         (p50 {tick_p50_us} us, p99 {tick_p99_us} us, {ticks_skipped} skipped), {messages_per_s:.0} messages/s in, \
         {kb_in_per_s:.0} kB/s in, {kb_out_per_s:.0} kB/s out, loop busy {busy_percent:.0} %, \
         governor at {governor_level}"
    );
}

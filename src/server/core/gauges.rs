//! Gauges of `/metrics`, read at each rendering.

use super::cluster::Cluster;
use super::system::System;
use super::{Core, cluster, port_group};
use crate::ops::metrics::{Configured, Gauges};
use crate::replication::flush_interval;
use crate::replication::pool::Pool;

pub(super) fn gauges<S: System>(core: &Core<S>, pool: &Pool) -> Gauges {
    let (settings, usage) = (core.engine.viewers().settings(), core.system.usage());
    let rate_hz = u64::from(core.config.tick_rate_hz);
    Gauges {
        players: core.engine.players() as u64,
        uptime_seconds: core.clock.uptime_ms() / 1000,
        // The pool counts the loop's thread, and the log has one. The watchdog, store and bus threads are left out.
        threads: pool.threads() as u64 + 1,
        resident_bytes: usage.resident_bytes,
        cpu_ns_total: usage.cpu_ns,
        log_lines_dropped_total: usage.log_lines_dropped,
        flush_interval_ms: settings.flush_interval * 1000 / rate_hz,
        max_visible: settings.max_visible as u64,
        visibility_rate_hz: rate_hz / settings.interest_interval.max(settings.flush_interval),
        governor_level: core.engine.governor.level() as u64,
        governor_climbs_total: core.engine.governor.degradations_total(),
        connections_open: core.connections.table.len() as u64,
        static_bytes: core.site.assets.bytes(),
        configured: configured(core),
        cluster: core.cluster.as_ref().map(|cluster| cluster::cluster_gauges(core, cluster)),
        node: core.node().map(|node| node.name().to_owned()),
        nodes: port_group::nodes(core),
        resumes_remembered: core.sessions.store.disconnected_count() as u64,
        resume_store_failures_total: core.sessions.store.failures()
            + core.cluster.as_ref().map_or(0, Cluster::refusals),
    }
}

fn configured<S: System>(core: &Core<S>) -> Configured {
    let rate_hz = u64::from(core.config.tick_rate_hz);
    let quality = core.engine.governor.configured();
    Configured {
        tick_rate_hz: rate_hz,
        // Rounded to whole ticks as the schedule does, so that it equals the current value at governor level 0.
        flush_interval_ms: flush_interval(rate_hz, quality.flush_interval_ms) * 1000 / rate_hz,
        max_visible: quality.max_visible as u64,
        governor_level_max: core.engine.governor.level_max() as u64,
        players_max: core.config.max_connections as u64,
        read_buffer_bytes: core.config.read_buffer_bytes as u64,
    }
}

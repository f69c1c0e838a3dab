//! Ticks and writes. The world steps at its deadlines, the worker pool encodes the due viewers, and the frames are written in
//! slices, so that a long burst of writes never delays reads and acks.

use super::connection::{Connection, Phase, WriteFailed};
use super::system::System;
use super::tick::Due;
use super::{Core, close, cluster, deferred, reload, replies, report, takeover};
use crate::limits::WRITE_SLICE;
use crate::ops::metrics::Closed;
use crate::replication::pool::Pool;
use crate::wire::websocket::Code;

/// Runs a tick if its deadline has passed, then the other work that is done once per tick.
pub(super) fn tick_if_due<S: System>(core: &mut Core<S>, pool: &Pool) {
    // Processing the batch took time, so the `now_ns` of the wake-up is too old.
    let now_ns = core.system.monotonic_ns();
    let Some(due) = core.schedule.poll(now_ns) else { return };
    tick(core, due, pool);
    core.lifecycle.tick_counter.increment();
    let done_ns = core.system.monotonic_ns();
    core.metrics.record_tick(done_ns, done_ns - now_ns);
    core.metrics.sample(done_ns);
    govern(core, done_ns);
    close::sweep(core);
    report::report(core, done_ns);
    reload::finish_reload(core);
    // Acks of deferred messages, and pings, precede the frames of this tick.
    if !core.replies.is_empty() {
        replies::write_replies(core, pool);
    }
}

/// Applies deferred messages, steps the world, publishes to the bus, polls reconnects, and starts a flush round.
fn tick<S: System>(core: &mut Core<S>, due: Due, pool: &Pool) {
    core.metrics.ticks_skipped_total += u64::from(due.skipped);
    deferred::apply_deferred(core);
    core.engine.step(due.steps, &mut core.metrics);
    cluster::publish_to_bus(core);
    takeover::poll_reconnects(core);
    // A round that outlasts its tick delays the next one: overload only lengthens the flush interval.
    if is_flush_round_over(core, pool) {
        core.engine.begin_flush_round();
    } else {
        core.metrics.rounds_overrun_total += 1;
    }
}

/// Whether all due viewers of this round have been encoded and written.
pub(super) fn is_flush_round_over<S: System>(core: &Core<S>, pool: &Pool) -> bool {
    pool.batch_is_written() && core.engine.viewers().is_flush_round_over()
}

/// Writes a slice of the current round. Once a batch is written, the next one is encoded first.
pub(super) fn write_slice<S: System>(core: &mut Core<S>, pool: &mut Pool) {
    if pool.batch_is_written() && !core.engine.viewers().is_flush_round_over() {
        encode_batch(core, pool);
    }
    let now_ms = core.clock.now_ms();
    for slot in pool.batch().upcoming(WRITE_SLICE) {
        core.connections.prefetch_slot(slot);
    }
    for _ in 0..WRITE_SLICE {
        let Some((segment, frames)) = pool.batch().next_segment() else { return };
        // The player may have left and its slot been reused, or its entity lingers without a connection.
        if !core.engine.world().is_present(segment.slot, segment.id) {
            continue;
        }
        let token = core.connections.of_slot(segment.slot);
        if segment.failed {
            core.metrics.worker_panics_total += 1;
            close::close_player(core, token, Code::Internal, "internal error", Closed::InternalError);
            continue;
        }
        let Some(connection) = core.connections.get_mut(token) else { continue };
        if !matches!(connection.phase, Phase::Player { .. }) {
            continue;
        }
        let has_queued_replies = connection.is_write_queued && connection.outbox.is_empty();
        debug_assert!(
            !has_queued_replies,
            "replies are written before frames: a partial write would split them"
        );
        if connection.write(frames, now_ms, &mut core.metrics) == Err(WriteFailed) {
            close::disconnect(core, token);
        }
    }
}

/// Encodes the next batch of due viewers whose connections are writable.
fn encode_batch<S: System>(core: &mut Core<S>, pool: &mut Pool) {
    let connections = &core.connections;
    let mut can_be_written = |slot: u32| {
        let connection = connections.get(connections.of_slot(slot));
        connection.is_some_and(Connection::is_write_ready)
    };
    for slot in core.engine.viewers().upcoming(pool.batch_size()) {
        connections.prefetch_slot(slot);
    }
    let start_ns = core.system.monotonic_ns();
    core.engine.flush_batch(pool, &mut can_be_written, &mut core.metrics);
    core.engine.replication_ns += core.system.monotonic_ns() - start_ns;
}

/// Samples the CPU time, for the clock and the load governor.
fn govern<S: System>(core: &mut Core<S>, now_ns: u64) {
    let busy_ns = core.system.thread_cpu_ns();
    core.clock.sample(now_ns, busy_ns);
    core.engine.govern(now_ns, busy_ns, core.metrics.ticks_total(), core.metrics.rounds_overrun_total);
}

//! Ticks and writes. The world steps at its deadlines, the worker pool encodes the due viewers, and the frames are written in
//! slices, so that a long burst of writes never delays reads and acks.

use std::ops::Range;

use super::table::Token;

use super::Core;
use super::connection::{Connection, Phase, WriteFailed};
use super::system::System;
use super::tick::Due;
use crate::limits::WRITE_SLICE;
use crate::ops::metrics::Closed;
use crate::replication::governor::Load;
use crate::replication::pool::Pool;
use crate::wire::websocket::Code;

/// Capacity of the reply buffer that is kept between batches, in bytes.
const REPLY_BYTES_KEPT: usize = 256 * 1024;

/// A connection in the write queue.
#[derive(Debug)]
pub(super) struct PendingWrite {
    pub token: Token,
    /// Range of its replies in the batch's reply buffer; empty if only its outbox has bytes.
    pub bytes: Range<usize>,
}

impl<S: System> Core<S> {
    /// Writes the replies of this batch of events: acks first, with a piggybacked delta if one is due.
    pub(super) fn write_replies(&mut self, pool: &Pool) {
        let round_is_written = pool.batch_is_written();
        let mut bytes = std::mem::take(&mut self.reply_bytes);
        let mut writes = std::mem::take(&mut self.write_queue);
        for write in writes.drain(..) {
            self.write_reply(write.token, &bytes[write.bytes], round_is_written);
        }
        bytes.clear();
        bytes.shrink_to(REPLY_BYTES_KEPT);
        self.reply_bytes = bytes;
        // Writes may have closed connections, which queues more writes; they follow in the next iteration.
        writes.append(&mut self.write_queue);
        self.write_queue = writes;
    }

    /// Writes these replies and the outbox of a connection. The replies are older than the outbox's bytes: later output of the
    /// same batch went to the outbox.
    fn write_reply(&mut self, token: Token, replies: &[u8], round_is_written: bool) {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        connection.is_write_queued = false;
        let written = match connection.phase {
            Phase::Player { slot, .. } if connection.is_write_ready() => {
                let start_ns = self.system.monotonic_ns();
                self.flush_buffer.clear();
                self.flush_buffer.extend_from_slice(replies);
                self.engine.piggyback(slot, round_is_written, &mut self.flush_buffer, &mut self.metrics);
                self.replication_ns += self.system.monotonic_ns() - start_ns;
                connection.write(&self.flush_buffer, now_ms, &mut self.metrics)
            }
            _ => {
                if !replies.is_empty() {
                    connection.outbox.prepend(replies);
                }
                let backlog_since_ms = connection.outbox.backlog_since_ms();
                let written = connection.flush(now_ms, &mut self.metrics);
                if let (Phase::Player { slot, .. }, Some(since_ms)) = (&connection.phase, backlog_since_ms)
                    && connection.outbox.is_empty()
                {
                    self.engine.backlog_drained(*slot, now_ms - since_ms);
                }
                written
            }
        };
        match written {
            Ok(()) if connection.outbox.is_empty() => self.after_write(token),
            Ok(()) => {}
            Err(WriteFailed) => self.disconnect(token),
        }
    }

    /// Continues a WebSocket connection whose output has been written completely.
    fn after_write(&mut self, token: Token) {
        let Some(connection) = self.table.get_mut(token) else { return };
        if matches!(connection.phase, Phase::Closing { .. }) {
            return self.finish_close(token);
        }
        // Reading was paused while the connection had too many unsent replies.
        if connection.readable {
            self.queue_read(token);
        }
    }

    /// Runs a tick if its deadline has passed, then the other work that is done once per tick.
    pub(super) fn tick_if_due(&mut self, pool: &Pool) {
        // Processing the batch took time, so the `now_ns` of the wake-up is too old.
        let now_ns = self.system.monotonic_ns();
        let Some(due) = self.schedule.poll(now_ns) else { return };
        self.tick(due, pool);
        self.tick_counter.increment();
        let done_ns = self.system.monotonic_ns();
        self.metrics.record_tick(done_ns, done_ns - now_ns);
        self.metrics.sample(done_ns);
        self.govern(done_ns);
        self.sweep();
        self.report(done_ns);
        self.finish_reload();
        // Acks of deferred messages, and pings, precede the frames of this tick.
        if !self.write_queue.is_empty() {
            self.write_replies(pool);
        }
    }

    /// Applies deferred messages, steps the world, publishes to the bus, polls reconnects, and starts a flush round.
    fn tick(&mut self, due: Due, pool: &Pool) {
        self.metrics.ticks_skipped_total += u64::from(due.skipped);
        self.apply_deferred();
        self.engine.step(due.steps, &mut self.metrics);
        self.publish_to_bus();
        self.poll_reconnects();
        // A round that outlasts its tick delays the next one: overload only lengthens the flush interval.
        if self.is_flush_round_over(pool) {
            self.engine.begin_flush_round();
        } else {
            self.metrics.rounds_overrun_total += 1;
        }
    }

    /// Whether all due viewers of this round have been encoded and written.
    pub(super) fn is_flush_round_over(&self, pool: &Pool) -> bool {
        pool.batch_is_written() && self.engine.viewers().is_flush_round_over()
    }

    /// Writes a slice of the current round. Once a batch is written, the next one is encoded first.
    pub(super) fn write_slice(&mut self, pool: &mut Pool) {
        if pool.batch_is_written() && !self.engine.viewers().is_flush_round_over() {
            self.encode_batch(pool);
        }
        let now_ms = self.now_ms();
        for slot in pool.batch().upcoming(WRITE_SLICE) {
            self.table.prefetch(self.tokens_by_slot[slot as usize]);
        }
        for _ in 0..WRITE_SLICE {
            let Some((segment, frames)) = pool.batch().next_segment() else { return };
            // The player may have left and its slot been reused, or its entity lingers without a connection.
            if !self.engine.world().is_present(segment.slot, segment.id) {
                continue;
            }
            let token = self.tokens_by_slot[segment.slot as usize];
            if segment.failed {
                self.metrics.worker_panics_total += 1;
                self.close_player(token, Code::Internal, "internal error", Closed::InternalError);
                continue;
            }
            let Some(connection) = self.table.get_mut(token) else { continue };
            if !matches!(connection.phase, Phase::Player { .. }) {
                continue;
            }
            let has_queued_replies = connection.is_write_queued && connection.outbox.is_empty();
            debug_assert!(
                !has_queued_replies,
                "replies are written before frames: a partial write would split them"
            );
            if connection.write(frames, now_ms, &mut self.metrics) == Err(WriteFailed) {
                self.disconnect(token);
            }
        }
    }

    /// Encodes the next batch of due viewers whose connections are writable.
    fn encode_batch(&mut self, pool: &mut Pool) {
        let (table, tokens_by_slot) = (&self.table, &self.tokens_by_slot);
        let mut can_be_written = |slot: u32| {
            let connection = table.get(tokens_by_slot[slot as usize]);
            connection.is_some_and(Connection::is_write_ready)
        };
        for slot in self.engine.viewers().upcoming(pool.batch_size()) {
            table.prefetch(tokens_by_slot[slot as usize]);
        }
        let start_ns = self.system.monotonic_ns();
        self.engine.flush_batch(pool, &mut can_be_written, &mut self.metrics);
        self.replication_ns += self.system.monotonic_ns() - start_ns;
    }

    /// Passes the load to the governor, and applies a changed quality level.
    fn govern(&mut self, now_ns: u64) {
        let busy_ns = self.system.thread_cpu_ns();
        self.run_clock.sample(now_ns, busy_ns);
        let load = Load {
            busy_ns,
            replication_ns: self.replication_ns,
            ticks: self.metrics.ticks_total(),
            overruns: self.metrics.rounds_overrun_total,
        };
        if let Some(quality) = self.governor.observe(now_ns, load) {
            log::debug!("load governor: level {}, {quality:?}", self.governor.level());
            self.apply_quality();
        }
    }

    /// Applies the governor's quality level to replication.
    pub(super) fn apply_quality(&mut self) {
        let quality = self.governor.quality();
        self.engine.set_quality(quality.flush_interval_ms, quality.visibility_rate_hz, quality.max_visible);
    }
}

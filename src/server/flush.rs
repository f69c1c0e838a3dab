//! Ticks and writes: the world steps at its deadlines, viewers that are due are served by the pool, and the result is
//! written in slices, so that reads and acks never wait for a long burst of writes.

use std::io;

use mio::Token;

use super::connection::{Broken, Phase};
use super::{NS_PER_MS, Server, os};
use crate::governor::Load;
use crate::limits::WRITE_SLICE;
use crate::metrics::Closed;
use crate::tick::Due;
use crate::view::pool::Pool;
use crate::wire::websocket::Code;

/// A line about the load is logged this often, in nanoseconds.
const REPORT_INTERVAL_NS: u64 = 10_000 * NS_PER_MS;

impl Server {
    /// Writes what this batch of events led to: acks first of all, and with them what changed around their players.
    pub(super) fn write_replies(&mut self, pool: &Pool) {
        let round_is_written = pool.batch_is_written();
        let mut replied = std::mem::take(&mut self.replied);
        for token in replied.drain(..) {
            let Some(connection) = self.table.get_mut(token) else { continue };
            connection.is_listed = false;
            if self.write_with_news(token, round_is_written) == Err(Broken) {
                self.lose(token);
                continue;
            }
            self.write_reply(token);
        }
        // Ends of connections may have added to the list; the next turn writes them.
        replied.append(&mut self.replied);
        self.replied = replied;
    }

    /// Writes a player's replies together with what it is to be told, if it is. They meet in a buffer that all share, since
    /// outboxes that had to hold such a flush would each grow and shrink with it.
    fn write_with_news(&mut self, token: Token, round_is_written: bool) -> Result<(), Broken> {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return Ok(()) };
        let Phase::Player(player) = &connection.phase else { return Ok(()) };
        if !connection.writable {
            return Ok(());
        }
        let (start_ns, flush) = (os::monotonic_ns(), &mut self.flush_buffer);
        flush.clear();
        flush.extend_from_slice(connection.outbox.next_chunk());
        let replies = flush.len();
        self.game.ride(player.slot, round_is_written, flush, &mut self.metrics);
        self.view_ns += os::monotonic_ns() - start_ns;
        if flush.len() == replies {
            return Ok(());
        }
        connection.outbox.advance(replies);
        connection.write(flush, now_ms, &mut self.metrics)
    }

    /// Writes a connection's outbox, and goes on with what had to wait for it.
    pub(super) fn write_reply(&mut self, token: Token) {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        match connection.flush(now_ms, &mut self.metrics) {
            Ok(()) if connection.outbox.is_empty() => {
                // It may have been left unread because its replies piled up.
                if connection.readable || matches!(&connection.phase, Phase::Http(head) if !head.is_empty()) {
                    self.list_as_unread(token);
                }
                self.finish_closing(token);
            }
            Ok(()) => {}
            Err(Broken) => self.lose(token),
        }
    }

    pub(super) fn tick_if_due(&mut self, pool: &Pool) -> io::Result<()> {
        // The batch may have taken a while.
        let now_ns = os::monotonic_ns();
        let Some(due) = self.schedule.poll(now_ns) else { return Ok(()) };
        self.tick(due, pool);
        let done_ns = os::monotonic_ns();
        self.metrics.record_tick(done_ns, done_ns - now_ns);
        self.metrics.sample(done_ns);
        self.govern(done_ns);
        self.sweep();
        self.report(done_ns);
        self.timer.arm(self.schedule.deadline_ns())
    }

    fn tick(&mut self, due: Due, pool: &Pool) {
        self.metrics.ticks_skipped_total += u64::from(due.skipped);
        self.game.step(due.steps, &mut self.metrics);
        // A round that outlasts its tick delays the next one: overload means flushing less often, nothing else.
        if self.is_round_over(pool) {
            self.game.begin_round();
        } else {
            self.metrics.rounds_overrun_total += 1;
        }
    }

    /// Whether everybody has had the turn of this round, and the frames are written.
    pub(super) fn is_round_over(&self, pool: &Pool) -> bool {
        pool.batch_is_written() && self.game.views().is_round_over()
    }

    /// Writes a slice of the round under way; when a batch is written out, the next one is served first.
    pub(super) fn write_slice(&mut self, pool: &mut Pool) {
        if pool.batch_is_written() && !self.game.views().is_round_over() {
            self.serve_batch(pool);
        }
        let now_ms = self.now_ms();
        for _ in 0..WRITE_SLICE {
            let Some((segment, frames)) = pool.batch().next_segment() else { return };
            // The player may have left since, and its slot have been taken.
            if !self.game.world().is_present(segment.slot, segment.id) {
                continue;
            }
            let token = self.owners[segment.slot as usize];
            if segment.failed {
                self.metrics.worker_panics_total += 1;
                self.close_player(token, Code::Internal, "internal error", Closed::InternalError);
                continue;
            }
            let Some(connection) = self.table.get_mut(token) else { continue };
            if connection.write(frames, now_ms, &mut self.metrics) == Err(Broken) {
                self.lose(token);
            }
        }
    }

    fn serve_batch(&mut self, pool: &mut Pool) {
        let (table, owners) = (&self.table, &self.owners);
        let mut can_be_written = |slot: u32| {
            let connection = table.get(owners[slot as usize]);
            connection.is_some_and(|connection| connection.writable && connection.outbox.is_empty())
        };
        let start_ns = os::monotonic_ns();
        self.game.serve_batch(pool, &mut can_be_written, &mut self.metrics);
        self.view_ns += os::monotonic_ns() - start_ns;
    }

    /// Lets the governor look at the load, and follows it.
    fn govern(&mut self, now_ns: u64) {
        let load = Load {
            busy_ns: os::thread_cpu_ns(),
            view_ns: self.view_ns,
            ticks: self.metrics.ticks_total(),
            overruns: self.metrics.rounds_overrun_total,
        };
        if let Some(rung) = self.governor.observe(now_ns, load) {
            log::debug!("load governor: level {}, {rung:?}", self.governor.level());
            self.game.set_measures(rung.flush_interval_ms, rung.visibility_rate_hz, rung.max_visible);
        }
    }

    /// One line about the load every ten seconds in which anybody plays.
    fn report(&mut self, now_ns: u64) {
        if now_ns - self.reported_ns < REPORT_INTERVAL_NS {
            return;
        }
        self.reported_ns = now_ns;
        let players = self.game.world().population();
        if players == 0 {
            return;
        }
        let ticks = self.metrics.tick_percentiles();
        log::info!(
            "{players} players, {:.1} ticks/s (p50 {} us, p99 {} us), {:.0} messages/s in, loop busy {:.0} %, governor at {}",
            self.metrics.tick_rate_hz(),
            ticks.p50_ns / 1000,
            ticks.p99_ns / 1000,
            self.metrics.events_per_second(),
            self.metrics.loop_busy_ratio() * 100.0,
            self.governor.level(),
        );
    }
}

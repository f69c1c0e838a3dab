//! Players that stay for a moment, in virtual time: every viewer that sees their position receives their JOINED. This
//! holds at the load governor's longest intervals, for deltas of flush rounds and for piggybacked ones.

use std::collections::BTreeSet;

use game_client::ServerMessage;
use pixi_game_server::config::Config;
use pixi_game_server::limits::ENTER_PRESENCE_MS;
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::engine::Engine;

use super::TICK_RATE_HZ;
use super::peer::take_payload;

/// Number of visitors; they join at all phases of the interest interval.
const VISITORS: u32 = 40;

/// Ticks between two visitors.
const VISITOR_TICKS: u32 = 41;

/// Ticks between two acks of a walking watcher.
const ACK_TICKS: u32 = 2;

/// The engine with one watcher that sees the whole world.
struct Observed {
    engine: Engine,
    metrics: Metrics,
    slot: u32,
    piggybacks: bool,
    tick: u32,
    received: Vec<u8>,
}

impl Observed {
    fn new(flush_interval_ms: u32, updates_hz: u32, piggybacks: bool) -> Self {
        let (mut engine, mut metrics) = (Engine::new(&Config::default(), 0, 0), Metrics::default());
        engine.set_quality(flush_interval_ms, updates_hz, 128);
        let mut received = Vec::new();
        let slot = engine.join(None, &mut received, &mut metrics);
        Self { engine, metrics, slot, piggybacks, tick: 0, received }
    }

    fn step(&mut self, pool: &mut Pool) {
        self.tick += 1;
        if self.piggybacks && self.tick.is_multiple_of(ACK_TICKS) {
            self.engine.piggyback(self.slot, true, &mut self.received, &mut self.metrics);
        }
        self.engine.step(1, &mut self.metrics);
        self.engine.begin_flush_round();
        while !self.engine.viewers().is_flush_round_over() {
            let watcher = self.slot;
            self.engine.flush_batch(pool, &mut |slot| slot == watcher, &mut self.metrics);
            while let Some((_, frames)) = pool.batch().next_segment() {
                self.received.extend_from_slice(frames);
            }
        }
    }

    /// The players whose enter the watcher has received.
    fn entered(&self) -> BTreeSet<u32> {
        let (mut rest, mut entered) = (self.received.as_slice(), BTreeSet::new());
        while let Some(payload) = take_payload(&mut rest) {
            match ServerMessage::decode(payload).expect("the server follows the protocol") {
                ServerMessage::Joined(entry) => entered.extend([entry.id]),
                ServerMessage::GameState(entries) => entered.extend(entries.iter().map(|entry| entry.id)),
                _ => {}
            }
        }
        entered
    }
}

#[test]
fn a_player_that_stays_for_250_ms_enters_at_any_interest_interval() {
    let stay = (u64::from(ENTER_PRESENCE_MS) * TICK_RATE_HZ / 1000) as u32;
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 1, 8).expect("threads");
        for (flush_ms, updates_hz, piggybacks) in
            [(50, 5, false), (50, 5, true), (150, 1, false), (150, 1, true)]
        {
            let case =
                format!("{flush_ms} ms, {updates_hz} interest updates a second, piggybacked: {piggybacks}");
            let mut observed = Observed::new(flush_ms, updates_hz, piggybacks);
            let mut stayed = BTreeSet::new();
            for _ in 0..VISITORS {
                let slot = observed.engine.join(None, &mut Vec::new(), &mut observed.metrics);
                stayed.extend(observed.engine.world().id(slot));
                (0..stay).for_each(|_| observed.step(&mut pool));
                observed.engine.leave(slot);
                (stay..VISITOR_TICKS).for_each(|_| observed.step(&mut pool));
            }
            (0..3 * TICK_RATE_HZ).for_each(|_| observed.step(&mut pool));
            assert_eq!(stayed.len(), VISITORS as usize);
            assert!(
                observed.entered().is_superset(&stayed),
                "{case}: {:?} of {stayed:?}",
                observed.entered()
            );
            assert_eq!(observed.engine.world().population(), 1, "{case}: only the watcher remains");
        }
    });
}

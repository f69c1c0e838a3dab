//! Players that stay for a moment, in virtual time: all who see the place are told of their entrance, however far apart the
//! load governor has stretched flushes and looks, and whether flushes have turns of their own or ride on acks.

use std::collections::BTreeSet;

use game_client::ServerMessage;
use pixi_game_server::config::Config;
use pixi_game_server::limits::ENTER_PRESENCE_MS;
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::engine::Engine;

use super::TICK_RATE_HZ;
use super::peer::take_payload;

/// Players that pass; they come at all phases of a look interval.
const PASSING: u32 = 40;

/// Ticks from one to the next.
const PASSING_TICKS: u32 = 41;

/// Ticks between two acks of a watcher that walks.
const ACK_TICKS: u32 = 2;

/// The game with one watcher that sees the whole world.
struct Watched {
    game: Engine,
    metrics: Metrics,
    slot: u32,
    rides: bool,
    tick: u32,
    told: Vec<u8>,
}

impl Watched {
    fn new(flush_interval_ms: u32, looks_hz: u32, rides: bool) -> Self {
        let (mut game, mut metrics) = (Engine::new(&Config::default()), Metrics::default());
        game.set_quality(flush_interval_ms, looks_hz, 128);
        let mut told = Vec::new();
        let slot = game.join(None, &mut told, &mut metrics);
        Self { game, metrics, slot, rides, tick: 0, told }
    }

    fn step(&mut self, pool: &mut Pool) {
        self.tick += 1;
        if self.rides && self.tick.is_multiple_of(ACK_TICKS) {
            self.game.piggyback(self.slot, true, &mut self.told, &mut self.metrics);
        }
        self.game.step(1, &mut self.metrics);
        self.game.begin_flush_round();
        while !self.game.viewers().is_flush_round_over() {
            let watcher = self.slot;
            self.game.flush_batch(pool, &mut |slot| slot == watcher, &mut self.metrics);
            while let Some((_, frames)) = pool.batch().next_segment() {
                self.told.extend_from_slice(frames);
            }
        }
    }

    /// The players of whom the watcher was told an entrance.
    fn entered(&self) -> BTreeSet<u32> {
        let (mut rest, mut entered) = (self.told.as_slice(), BTreeSet::new());
        while let Some(payload) = take_payload(&mut rest) {
            match ServerMessage::decode(payload).expect("the server speaks the protocol") {
                ServerMessage::Joined(entry) => entered.extend([entry.id]),
                ServerMessage::GameState(entries) => entered.extend(entries.iter().map(|entry| entry.id)),
                _ => {}
            }
        }
        entered
    }
}

#[test]
fn a_player_that_stays_for_250_ms_is_entered_however_rarely_viewers_look() {
    let stay = (u64::from(ENTER_PRESENCE_MS) * TICK_RATE_HZ / 1000) as u32;
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 1, 8).expect("a thread");
        for (flush_ms, looks_hz, rides) in [(50, 5, false), (50, 5, true), (150, 1, false), (150, 1, true)] {
            let case = format!("{flush_ms} ms, {looks_hz} looks a second, rides: {rides}");
            let mut watched = Watched::new(flush_ms, looks_hz, rides);
            let mut stayed = BTreeSet::new();
            for _ in 0..PASSING {
                let slot = watched.game.join(None, &mut Vec::new(), &mut watched.metrics);
                stayed.extend(watched.game.world().id(slot));
                (0..stay).for_each(|_| watched.step(&mut pool));
                watched.game.leave(slot);
                (stay..PASSING_TICKS).for_each(|_| watched.step(&mut pool));
            }
            (0..3 * TICK_RATE_HZ).for_each(|_| watched.step(&mut pool));
            assert_eq!(stayed.len(), PASSING as usize);
            assert!(watched.entered().is_superset(&stayed), "{case}: {:?} of {stayed:?}", watched.entered());
            assert_eq!(watched.game.world().population(), 1, "{case}: nobody lingers for ever");
        }
    });
}

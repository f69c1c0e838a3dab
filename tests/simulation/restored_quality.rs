//! A world in which all players stand still while the load governor restores quality: no movement causes an interest update.

use pixi_game_server::config::Config;
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::engine::Engine;

use super::TICK_RATE_HZ;

const PLAYERS: usize = 60;

/// The longest flush interval and the smallest interest sets of the governor.
const DEGRADED: (u32, u32, usize) = (150, 1, 32);
const CONFIGURED: (u32, u32, usize) = (50, 5, 128);

fn step(engine: &mut Engine, pool: &mut Pool, seconds: u64) {
    for _ in 0..seconds * TICK_RATE_HZ {
        engine.step(1, &mut Metrics::default());
        engine.begin_flush_round();
        while !engine.viewers().is_flush_round_over() {
            engine.flush_batch(pool, &mut |_| true, &mut Metrics::default());
        }
    }
}

#[test]
fn larger_interest_sets_are_filled_although_nobody_moves() {
    let mut engine = Engine::new(&Config::default(), 0, 0);
    let set_quality = |engine: &mut Engine, (flush_interval_ms, updates_hz, max_visible)| {
        engine.set_quality(flush_interval_ms, updates_hz, max_visible);
    };
    set_quality(&mut engine, DEGRADED);
    let mut slots = Vec::new();
    for _ in 0..PLAYERS {
        slots.push(engine.join(None, &mut Vec::new(), &mut Metrics::default()));
    }
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn(scope, 1).expect("a single thread needs no worker");
        // Longer than the first sprite may take to load; afterwards nothing is left to send.
        step(&mut engine, &mut pool, 30);
        let shown = |engine: &Engine| -> Vec<usize> {
            let viewer = |slot: &u32| engine.viewers().viewer(*slot).expect("the player stays");
            slots.iter().map(|slot| viewer(slot).visible_ids().count()).collect()
        };
        assert_eq!(shown(&engine), [DEGRADED.2; PLAYERS]);
        set_quality(&mut engine, CONFIGURED);
        step(&mut engine, &mut pool, 1);
        assert_eq!(shown(&engine), [PLAYERS - 1; PLAYERS]);
    });
}

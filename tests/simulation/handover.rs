//! A core that continues from the image of another one writes the same bytes as without the handover.

use std::path::Path;

use pixi_game_server::config::Config;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::image::{self, VERSION};
use pixi_game_server::server::core::table::Token;

use super::machine::Host;
use super::machine::random::Random;
use super::{CHAOS_TICKS, Simulation, TICK_RATE_HZ, seeds};

/// A crowd whose server hands over now and then, and the same crowd without.
struct Twins {
    random: Random,
    with: Simulation,
    without: Simulation,
}

impl Twins {
    fn new(seed: u64) -> Self {
        let [with, without] = [(); 2].map(|()| {
            let mut simulation = Simulation::new(seed);
            simulation.host.core.system_mut().work_ns = 0;
            simulation
        });
        Self { random: Random::new(seed ^ 0x4a4d), with, without }
    }

    /// Runs a tick. Both servers write the same bytes to each client. Returns `false` once one of them has given up a client
    /// that reads nothing and the other has not: deadlines are checked once a second, at a time that a handover may change.
    fn step(&mut self, pool: &mut Pool) -> bool {
        if self.random.chance(20) {
            // A registration reports a socket's state: without an edge, output would be written earlier.
            let ready = self.with.host.core.system().kernel.ready.borrow().clone();
            self.with.host.hand_over(pool);
            self.with.host.forget_readiness_except(&ready);
        }
        for simulation in [&mut self.with, &mut self.without] {
            simulation.act_randomly();
            simulation.step(pool);
        }
        let [with, without] = [&self.with, &self.without].map(|one| one.host.core.system());
        if with.kernel.open != without.kernel.open {
            return false;
        }
        let tick = self.with.engine().world().tick();
        assert_eq!(with.kernel.fingerprints, without.kernel.fingerprints, "in tick {tick}");
        true
    }
}

#[test]
fn a_handover_changes_no_byte() {
    let (mut ticks, mut runs, mut handovers) = (0, 0, 0);
    for seed in seeds() {
        let mut twins = Twins::new(seed);
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 1, 64).expect("threads");
            ticks += (0..CHAOS_TICKS / 2).take_while(|_| twins.step(&mut pool)).count() as u64;
        });
        runs += 1;
        handovers += twins.with.metrics().takeovers_total;
        assert_eq!(twins.without.metrics().takeovers_total, 0);
    }
    assert!(handovers > 20 * runs, "{handovers} handovers in {runs} runs");
    let all = runs * CHAOS_TICKS / 2;
    assert!(ticks * 10 > all * 9, "only {ticks} of {all} ticks are comparable");
}

/// The image of a crowd by this version of the format, behind the tokens of its sockets. A new version writes its own with
/// `IMAGE=write cargo test --test all image_of`; no other change may need that.
#[test]
fn the_image_of_a_released_program_is_readable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/image-{VERSION}.bin"));
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, 1, 64).expect("threads");
        if std::env::var_os("IMAGE").is_some_and(|value| value == "write") {
            let mut simulation = Simulation::new(3);
            for _ in 0..20 * TICK_RATE_HZ {
                simulation.act_randomly();
                simulation.step(&mut pool);
            }
            let core = &simulation.host.core;
            let image = image::make(core).expect("memory suffices");
            let tokens: Vec<Token> = image::sockets(core).map(|(token, _)| token).collect();
            let file = postcard::to_allocvec(&(tokens, image)).expect("memory suffices");
            std::fs::write(&path, file).expect("a file");
        }
        let file = std::fs::read(&path).expect("the image of this version");
        let (tokens, image): (Vec<Token>, Vec<u8>) =
            postcard::from_bytes(&file).expect("tokens and an image");
        let mut host = Host::from_image(&image, &tokens, Config::default());
        let players = host.core.census().players;
        assert!(players > 20 && host.core.engine().viewers().visible_total() > players, "{players} players");
        let tick = host.core.engine().world().tick();
        for _ in 0..2 * TICK_RATE_HZ {
            host.run_for(host.next_tick_ns(), &mut pool);
        }
        assert!(host.core.engine().world().tick() > tick, "the world goes on");
        assert_eq!(host.core.census().players, players);
    });
}

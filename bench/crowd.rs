//! A walking crowd on the spawn area of the default configuration, 800 x 800 units.

use pixi_game_server::world::{Input, Pace, Rules, Spawn, Vector, World};

/// Players of a busy server, and of the largest crowd the server is designed for.
pub const POPULATIONS: [usize; 2] = [1_000, 10_000];

/// The default configuration.
pub fn rules() -> Rules {
    let pace = Pace::new(60, 4);
    Rules {
        width: 2000,
        height: 2000,
        spawn: Spawn { min_x: 100, max_x: 900, min_y: 100, max_y: 900 },
        pace,
        attack_ticks: pace.ticks(1000),
        seed: 1,
    }
}

/// Adds players to an empty world, each walking in one of the eight directions.
pub fn populate(world: &mut World, players: usize, random: &mut Random) {
    for _ in 0..players {
        let slot = world.join();
        world.apply(slot, walk(random.direction()));
    }
}

/// A MOVE without a claim: the player walks until the next input.
pub fn walk(vector: Vector) -> Input {
    Input::Move { vector, claim: None }
}

/// A generator with the same numbers in every run: Marsaglia's xorshift with 64 bits.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * end as u64) >> 32) as usize
    }

    /// One of the eight directions.
    pub fn direction(&mut self) -> Vector {
        const STANDING: usize = 4;
        let packed = match self.below(8) {
            direction if direction < STANDING => direction,
            direction => direction + 1,
        };
        Vector::new((packed % 3) as i8 - 1, (packed / 3) as i8 - 1)
    }
}

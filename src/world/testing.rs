//! Worlds for tests.

use super::{Pace, Rules, Spawn, World};

pub(crate) fn rules() -> Rules {
    let pace = Pace::new(60, 4);
    Rules {
        width: 2000,
        height: 2000,
        spawn: Spawn { min_x: 0, max_x: 2000, min_y: 0, max_y: 2000 },
        pace,
        attack_ticks: pace.ticks(1000),
        seed: 1,
    }
}

/// Creates a world with players at these positions, in slot order.
pub(crate) fn world_of(places: &[(u16, u16)]) -> World {
    let mut world = World::new(rules());
    for &(x, y) in places {
        let slot = world.join();
        world.place(slot, x, y);
    }
    world
}

//! Tests of the rules of the world.

use super::*;
use crate::world::Pace;
use proptest::prelude::*;

fn rules(tick_rate_hz: u32) -> Rules {
    let pace = Pace::new(tick_rate_hz, 4);
    Rules {
        width: 2000,
        height: 2000,
        spawn: Spawn { min_x: 100, max_x: 900, min_y: 100, max_y: 900 },
        pace,
        attack_ticks: pace.ticks(1000),
        seed: 7,
    }
}

fn walk(dx: i8, dy: i8) -> Input {
    Input::Move { vector: Vector::new(dx, dy), claim: None }
}

fn claim(dx: i8, x: u32, y: u32) -> Input {
    Input::Move { vector: Vector::new(dx, 0), claim: Some((x, y)) }
}

/// Creates a world with one player at a known position.
pub(in crate::world) fn world_at(x: u16, y: u16) -> World {
    let spawn = Spawn { min_x: x, max_x: x + 1, min_y: y, max_y: y + 1 };
    let mut world = World::new(Rules { spawn, ..rules(60) });
    world.join();
    world
}

#[test]
fn a_turning_player_gets_its_vectors_at_any_flush_interval() {
    for (flush_ms, units_per_step, rate_hz) in
        [(50, 4, 60), (1_000, 4, 60), (50, 50, 60), (50, 50, 10), (1_000, 50, 128)]
    {
        let pace = Pace::new(rate_hz, units_per_step);
        let mut world = World::new(Rules { pace, ..rules(rate_hz) });
        world.set_cadence(pace.ticks(flush_ms), pace.ticks(5_000));
        let slot = world.join();
        world.step(10 * rate_hz);
        let case = format!("{flush_ms} ms, {units_per_step} units a step, {rate_hz} Hz");
        for turn in 0..10 {
            let dx = if turn % 2 == 0 { 1 } else { -1 };
            world.apply(slot, walk(dx, 0));
            assert_eq!(world.vector(slot), Vector::new(dx, 0), "{case}, turn {turn}");
            (0..rate_hz).for_each(|_| world.step(1));
        }
    }
}

#[test]
fn ids_only_grow_and_slots_are_reused() {
    let mut world = World::new(rules(60));
    let (a, b) = (world.join(), world.join());
    assert_eq!((world.id(a), world.id(b)), (Some(1001), Some(1002)));
    world.remove(a);
    let c = world.join();
    assert_eq!((c, world.id(c), world.population()), (a, Some(1003), 2));
    assert!(!world.is_present(a, 1001));
}

#[test]
fn the_same_seed_gives_the_same_spawn_positions() {
    let (mut one, mut two) = (World::new(rules(60)), World::new(rules(30)));
    for _ in 0..500 {
        let (a, b) = (one.join(), two.join());
        let position = one.position(a);
        assert_eq!(position, two.position(b));
        assert!((100..900).contains(&position.x) && (100..900).contains(&position.y));
    }
}

#[test]
fn positions_are_clamped_to_the_world() {
    let mut world = world_at(0, 2000);
    world.apply(0, walk(-1, 1));
    world.step(60);
    assert_eq!(world.position(0), Position { x: 0, y: 2000 });
    world.apply(0, walk(1, -1));
    world.step(60 * 60);
    assert_eq!(world.position(0), Position { x: 2000, y: 0 });
}

#[test]
fn a_near_claim_is_accepted_and_a_far_one_gets_the_simulated_position() {
    let mut world = world_at(500, 500);
    let ack = world.apply(0, claim(1, 540, 500)).map(|ack| ack.position);
    assert_eq!(ack, Some(Position { x: 540, y: 500 }));
    for far in [(600, 500), (540, 551), (u32::MAX, 500), (580, 540)] {
        let ack = world.apply(0, claim(1, far.0, far.1)).map(|ack| ack.position);
        assert_eq!(ack, Some(Position { x: 540, y: 500 }), "{far:?}");
    }
}

#[test]
fn a_claim_outside_the_world_is_refused() {
    let mut world = world_at(1990, 500);
    let ack = world.apply(0, claim(1, 2001, 500)).map(|ack| ack.position);
    assert_eq!(ack, Some(Position { x: 1990, y: 500 }));
}

#[test]
fn an_attack_stops_the_player_and_repeating_the_vector_is_a_change() {
    let mut world = world_at(500, 500);
    world.apply(0, walk(1, 0));
    world.step(1);
    let standing = world.position(0);
    world.apply(0, Input::Attack);
    assert_eq!((world.state(0), world.vector(0)), (State::Attacking, Vector::ZERO));
    world.step(10);
    assert_eq!(world.apply(0, claim(1, 520, 500)).map(|ack| ack.position), Some(standing));
    assert_eq!(world.state(0), State::Attacking);
    world.apply(0, Input::AttackEnd);
    assert_eq!(world.state(0), State::Idle);
    let before = world.tick();
    world.apply(0, walk(1, 0));
    assert!(world.changes.ticks[0].vector.is_after(before));
    assert_eq!(world.state(0), State::Moving);
}

#[test]
fn an_attack_times_out() {
    let mut world = world_at(500, 500);
    world.apply(0, Input::Attack);
    world.step(59);
    assert_eq!(world.state(0), State::Attacking);
    world.step(1);
    assert_eq!(world.state(0), State::Idle);
    assert!(world.entity_state(0).has_changed_since(59), "the next snapshot must contain it");
}

#[test]
fn a_quick_repetition_belongs_to_the_attack_unless_it_was_ended() {
    let mut world = world_at(500, 500);
    world.step(7);
    let began = |world: &World| world.players[0].presence.attacked;
    world.apply(0, Input::Attack);
    let first = began(&world);
    world.step(14);
    world.apply(0, Input::Attack);
    assert_eq!(began(&world), first);
    world.step(1);
    world.apply(0, Input::Attack);
    assert_eq!(began(&world), ChangeTick::of(23));
    world.apply(0, Input::AttackEnd);
    world.step(1);
    world.apply(0, Input::Attack);
    assert_eq!(began(&world), ChangeTick::of(24));
}

#[test]
fn a_stray_attack_end_changes_nothing() {
    let mut world = world_at(500, 500);
    world.apply(0, walk(1, 0));
    world.step(1);
    world.apply(0, Input::AttackEnd);
    assert_eq!(world.state(0), State::Moving);
    assert!(!world.entity_state(0).has_changed_since(1));
}

#[test]
fn a_player_stops_when_its_claims_stop_and_keeps_walking_without_claims() {
    let mut world = world_at(500, 500);
    world.apply(0, claim(1, 504, 500));
    world.step(180);
    assert_eq!((world.vector(0), world.changes.ticks[0].vector), (Vector::ZERO, ChangeTick::of(180)));
    world.apply(0, walk(1, 0));
    world.step(600);
    assert_eq!(world.vector(0), Vector::new(1, 0));
}

#[test]
fn repeating_a_vector_is_not_a_change() {
    let mut world = world_at(500, 500);
    world.apply(0, walk(1, 0));
    world.step(5);
    world.apply(0, walk(1, 0));
    assert!(world.entity_state(0).has_changed_since(0) && !world.entity_state(0).has_changed_since(1));
}

#[test]
fn an_accepted_leap_is_a_jump_and_a_small_correction_is_not() {
    let mut world = world_at(500, 500);
    world.apply(0, claim(0, 516, 500));
    world.step(1);
    assert!(!world.changes.ticks[0].jump.is_after(0));
    world.step(120);
    world.apply(0, claim(0, 533, 500));
    world.step(1);
    assert_eq!(world.changes.ticks[0].jump, ChangeTick::of(122));
}

proptest! {
    #[test]
    fn reported_changes_match_the_change_ticks(
        inputs in proptest::collection::vec((0u8..6, -1i8..=1, 1u32..40), 1..40),
        since in 0u64..400,
    ) {
        let mut world = world_at(500, 500);
        world.step(7);
        let slot = world.join();
        for (kind, dx, pause) in inputs {
            let Position { x, y } = world.position(slot);
            world.apply(slot, match kind {
                0 => walk(dx, 0),
                1 => claim(1, u32::from(x) + 30, u32::from(y)),
                2 => Input::Face { right: dx > 0 },
                3 => Input::Attack,
                4 => Input::AttackEnd,
                _ => walk(0, dx),
            });
            world.step(pause);
        }
        let (change_ticks, changes) = (world.changes.ticks[slot as usize], world.changes_since(since));
        prop_assert_eq!(changes.has_new_vector(slot), change_ticks.vector.is_after(since));
        prop_assert_eq!(changes.has_new_facing(slot), change_ticks.facing.is_after(since));
        prop_assert_eq!(changes.has_jumped(slot), change_ticks.jump.is_after(since));
        let began = change_ticks.attack.is_after(since) && change_ticks.attack.age(world.tick()) < 60;
        prop_assert_eq!(changes.has_begun_attack(slot, 60), began);
    }

    #[test]
    fn the_average_speed_is_exact_at_every_tick_rate(
        rate in proptest::sample::select(vec![10u32, 20, 24, 30, 60, 128]),
        seconds in 1u32..8,
        skips in proptest::collection::vec(1u32..5, 0..20),
    ) {
        let spawn = Spawn { min_x: 100, max_x: 101, min_y: 100, max_y: 101 };
        let mut world = World::new(Rules { spawn, ..rules(rate) });
        let slot = world.join();
        world.apply(slot, walk(1, 1));
        let mut left = rate * seconds;
        for skip in skips {
            let ticks = skip.min(left);
            if ticks > 0 {
                world.step(ticks);
                left -= ticks;
            }
        }
        (0..left).for_each(|_| world.step(1));
        let expected = (100 + 96 * seconds) as u16;
        prop_assert_eq!(world.position(slot), Position { x: expected, y: expected });
    }
}

//! Properties of single flushes, of which most are deltas.

use proptest::prelude::*;

use super::flush::write_flush;
use super::frames::Frames;
use super::interest::{Scratch, update_interest};
use super::schedule::FlushKind;
use super::slot_mask::SLOTS_MAX;
use super::tests::{scene_of, settings};
use super::{FrameCounts, Scene, Settings, Viewer};
use crate::world::testing::world_of;
use crate::world::{Input, Vector};

proptest! {
    #[test]
    fn a_delta_from_the_mask_has_the_frames_of_one_from_the_list(
        places in proptest::collection::vec((900u16..1100, 900u16..1100), 2..60),
        inputs in proptest::collection::vec((any::<u32>(), 0u8..20), 0..60),
    ) {
        let mut pair = Pair::of(&places);
        for (number, action) in inputs {
            let (world, slot) = (&mut pair.scene.world, number % places.len() as u32);
            match action {
                _ if slot == 0 || world.id(slot).is_none() => continue,
                0 => world.remove(slot),
                1..5 => drop(world.apply(slot, Input::Face { right: !world.is_facing_right(slot) })),
                5..8 => drop(world.apply(slot, Input::Attack)),
                _ => {
                    let vector = Vector::new((number % 3) as i8 - 1, 0);
                    world.apply(slot, Input::Move { vector, claim: None });
                }
            }
            if number % 3 == 0 {
                world.step(1);
            }
            if number % 7 == 0 {
                let by_mask = pair.viewer.clone();
                pair.viewer.clear_mask();
                let by_list = pair.flush(FlushKind::Delta);
                pair.viewer = by_mask;
                let by_mask = pair.flush(FlushKind::Delta);
                prop_assert_eq!(by_mask.1, by_list.1);
                prop_assert_eq!(frames_of(&by_mask.0), frames_of(&by_list.0));
            }
        }
    }
}

#[test]
fn members_are_found_in_a_world_that_outgrows_the_mask() {
    let places: Vec<(u16, u16)> = (0..SLOTS_MAX as u16).map(|n| (n % 2000, n / 2000)).collect();
    let mut pair = Pair::of(&places);
    let member = pair.viewer.interest_set.slots()[0];
    let mut has_mask = Vec::new();
    for turn in 0..3 {
        let vector = Vector::new(if turn % 2 == 0 { 1 } else { -1 }, 0);
        pair.scene.world.apply(member, Input::Move { vector, claim: None });
        pair.scene.world.step(1);
        has_mask.push(pair.viewer.mask(&pair.scene.world).is_some());
        let (_, counts) = pair.flush(FlushKind::Delta);
        assert_eq!(counts, FrameCounts { movement: 1, ..FrameCounts::default() }, "turn {turn}");
        if turn == 0 {
            pair.scene.world.join();
        } else {
            pair.flush(FlushKind::InterestUpdate);
        }
    }
    assert_eq!(has_mask, [true, true, false]);
}

/// Returns short frames, sorted.
fn frames_of(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let [_, length, ..] = bytes {
        let (frame, rest) = bytes.split_at(2 + usize::from(*length));
        frames.push(frame);
        bytes = rest;
    }
    frames.sort_unstable();
    frames
}

/// A viewer that sees one entity, with the buffers of a flush.
struct Pair {
    settings: Settings,
    scene: Scene,
    viewer: Viewer,
    scratch: Scratch,
}

impl Pair {
    fn new() -> Self {
        Self::of(&[(1000, 1000), (1100, 1000)])
    }

    /// Returns the viewer of the first of several entities.
    fn of(places: &[(u16, u16)]) -> Self {
        let mut pair = Self {
            settings: settings(128),
            scene: scene_of(world_of(places)),
            viewer: Viewer::new(0, 1001, 0, &settings(128)),
            scratch: Scratch::default(),
        };
        update_interest(&mut pair.viewer, &pair.scene, &pair.settings, u32::MAX, &mut pair.scratch);
        pair
    }

    /// Flushes the viewer; returns the frames and their counts.
    fn flush(&mut self, kind: FlushKind) -> (Vec<u8>, FrameCounts) {
        let (mut out, mut counts) = (Vec::new(), FrameCounts::default());
        let mut frames = Frames { world: &self.scene.world, out: &mut out, counts: &mut counts };
        let (viewer, scratch) = (&mut self.viewer, &mut self.scratch);
        write_flush(viewer, &self.scene, &self.settings, kind, scratch, &mut frames);
        (out, counts)
    }
}

#[test]
fn changes_while_the_viewer_is_blocked_are_sent_once() {
    // A viewer whose socket is not writable keeps `sent_until` and later gets the latest state once.
    let mut pair = Pair::new();
    for vector in [(1, 0), (0, 1), (-1, 0)] {
        pair.scene.world.apply(1, Input::Move { vector: Vector::new(vector.0, vector.1), claim: None });
        pair.scene.world.step(1);
    }
    let (out, counts) = pair.flush(FlushKind::Delta);
    assert_eq!(counts, FrameCounts { movement: 1, ..FrameCounts::default() });
    assert_eq!(out, [0x82, 7, 255, 0xea, 3, 0, 0, 0xff, 0]);
}

#[test]
fn changes_of_the_open_tick_are_sent_once_after_it_closes() {
    let mut pair = Pair::new();
    pair.scene.world.apply(1, Input::Attack);
    assert_eq!(pair.flush(FlushKind::Delta).1, FrameCounts::default());
    pair.scene.world.step(1);
    assert_eq!(pair.flush(FlushKind::Delta).1, FrameCounts { attack: 1, ..FrameCounts::default() });
    pair.scene.world.step(1);
    assert_eq!(pair.flush(FlushKind::Delta).1, FrameCounts::default());
}

#[test]
fn an_update_after_a_long_pause_finds_no_false_changes() {
    let mut pair = Pair::new();
    for pause in [1, 10, 100, 1000] {
        pair.scene.world.step(pause);
        assert_eq!(pair.flush(FlushKind::Snapshot).1, FrameCounts::default(), "after {pause} ticks");
    }
    pair.scene.world.apply(1, Input::Face { right: false });
    pair.scene.world.step(1000);
    assert_eq!(pair.flush(FlushKind::Snapshot).1, FrameCounts { game_state: 1, ..FrameCounts::default() });
}

#[test]
fn an_entity_that_reuses_a_slot_is_not_mistaken_for_the_removed_member() {
    let mut pair = Pair::new();
    pair.scene.world.remove(1);
    pair.scene.world.step(1);
    // The entity was far away, in regions that don't matter to the viewer.
    pair.viewer.schedule.flushed(false, pair.scene.world.tick());
    assert_eq!(pair.scene.world.join(), 1);
    pair.scene.world.apply(1, Input::Move { vector: Vector::new(1, 0), claim: None });
    pair.scene.world.step(1);
    assert_eq!(pair.flush(FlushKind::Delta).1, FrameCounts::default());
}

#[test]
fn a_stop_precedes_the_snapshot_that_follows_a_drained_backlog() {
    let mut pair = Pair::new();
    for (dx, dy) in [(1, 0), (0, 0)] {
        pair.scene.world.apply(1, Input::Move { vector: Vector::new(dx, dy), claim: None });
        pair.scene.world.step(1);
        pair.viewer.backlog_drained(pair.scene.world.tick(), &pair.settings);
        let expected = FrameCounts { movement: 1, game_state: 1, ..FrameCounts::default() };
        assert_eq!(pair.flush(FlushKind::Snapshot).1, expected, "({dx}, {dy})");
    }
}

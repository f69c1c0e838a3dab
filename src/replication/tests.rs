//! Laws of the whole module: whom a look shows, and that threads make no difference.

use std::collections::HashMap;
use std::sync::Arc;

use super::frames::Frames;
use super::interest::{HYSTERESIS_DISTANCE_FACTOR, Scratch, update_interest};
use super::pool::Pool;
use super::{FlushKind, FrameCounts, Scene, Settings, Viewer, Viewers};
use crate::limits::INTEREST_LEAVE_MARGIN;
use crate::world::testing::{rules, world_of};
use crate::world::{Input, Pace, Position, Vector, World};
use proptest::prelude::*;

fn settings(max_visible: usize) -> Settings {
    Settings::new(Pace::new(60, 4), max_visible, 50, 5, 1000)
}

fn scene_of(world: World) -> Scene {
    let mut scene = Scene::new(rules());
    scene.world = world;
    scene.grid.rebuild(&scene.world);
    scene
}

fn distance(a: Position, b: Position) -> f64 {
    f64::from(i32::from(a.x) - i32::from(b.x)).hypot(f64::from(i32::from(a.y) - i32::from(b.y)))
}

/// Checks a viewer's set against the rules, player by player.
fn check_set(viewer: &Viewer, scene: &Scene, settings: &Settings) -> Result<(), TestCaseError> {
    let world = &scene.world;
    let (enter, leave) = viewer.enter_and_leave_rects(world);
    let here = world.position(viewer.slot);
    let inside = |rect: super::grid::Rect, p: Position| rect.contains(i32::from(p.x), i32::from(p.y));
    let shown: HashMap<u32, _> = viewer.interest_set.iter().map(|member| (member.slot, member)).collect();
    prop_assert!(shown.len() == viewer.interest_set.len(), "nobody is shown twice");
    prop_assert!(shown.len() <= settings.max_visible);
    prop_assert!(!shown.contains_key(&viewer.slot), "nobody sees itself");
    let is_young = |slot: &u32| shown[slot].age(world.tick()) < settings.dwell;
    for slot in shown.keys() {
        prop_assert!(is_young(slot) || inside(leave, world.position(*slot)), "{slot} is out of range");
    }
    let old = shown.keys().filter(|slot| !is_young(slot));
    let farthest = old.map(|slot| distance(here, world.position(*slot))).fold(0.0, f64::max);
    for slot in 0..world.slots() as u32 {
        let position = world.position(slot);
        if slot == viewer.slot || shown.contains_key(&slot) || !inside(enter, position) {
            continue;
        }
        prop_assert!(shown.len() == settings.max_visible, "{slot} is in range and there is room for it");
        let near = distance(here, position);
        // Squared distances are compared in whole units.
        prop_assert!(near + 1.0 > farthest * HYSTERESIS_DISTANCE_FACTOR, "{slot} is clearly nearer");
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_look_shows_the_right_players(
        places in proptest::collection::vec((0u16..=2000, 0u16..=2000), 1..400),
        vectors in proptest::collection::vec((-1i8..=1, -1i8..=1), 400),
        viewport in proptest::option::of((0u16..3000, 0u16..3000)),
        max_visible in 1usize..60,
    ) {
        let settings = settings(max_visible);
        let mut scene = scene_of(world_of(&places));
        let mut viewer = Viewer::new(0, scene.world.id(0).unwrap(), 0, &settings);
        if let Some((width, height)) = viewport {
            viewer.set_viewport(width, height, &scene.world);
        }
        let mut scratch = Scratch::default();
        for slot in 0..places.len() as u32 {
            let (dx, dy) = vectors[slot as usize];
            scene.world.apply(slot, Input::Move { vector: Vector::new(dx, dy), claim: None });
        }
        for _ in 0..20 {
            let before: Vec<u32> = viewer.visible_ids().collect();
            let first_entered = update_interest(&mut viewer, &scene, &settings, u32::MAX, &mut scratch);
            check_set(&viewer, &scene, &settings)?;
            let entered: Vec<u32> = viewer.visible_ids().skip(first_entered).collect();
            prop_assert!(entered.iter().all(|id| !before.contains(id)), "an entrance is news");
            prop_assert!(scratch.left.kept().iter().all(|id| before.contains(id)), "a departure was visible");
            prop_assert_eq!(before.len() + entered.len() - scratch.left.kept().len(), viewer.interest_set.len());
            scene.world.step(40);
            scene.grid.rebuild(&scene.world);
        }
    }
}

/// One change to a world, drawn by proptest.
#[derive(Debug, Clone)]
enum Deed {
    Join,
    Leave(usize),
    Act(usize, Input),
}

fn deeds() -> impl Strategy<Value = Vec<Vec<Deed>>> {
    let input = prop_oneof![
        (-1i8..=1, -1i8..=1).prop_map(|(dx, dy)| Input::Move { vector: Vector::new(dx, dy), claim: None }),
        any::<bool>().prop_map(|right| Input::Face { right }),
        Just(Input::Attack),
        Just(Input::AttackEnd),
    ];
    let deed = prop_oneof![
        3 => Just(Deed::Join),
        1 => any::<usize>().prop_map(Deed::Leave),
        6 => (any::<usize>(), input).prop_map(|(who, input)| Deed::Act(who, input)),
    ];
    proptest::collection::vec(proptest::collection::vec(deed, 0..12), 1..60)
}

/// Plays the deeds, one list a tick, and returns what every player was sent, by id.
fn play(deeds: &[Vec<Deed>], threads: usize) -> HashMap<u32, Vec<u8>> {
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, threads, 1).expect("threads");
        let mut shared = Arc::new(Scene::new(rules()));
        let mut viewers = Viewers::new(settings(10));
        let (mut sent, mut counts) = (HashMap::<u32, Vec<u8>>::new(), FrameCounts::default());
        let mut present: Vec<u32> = Vec::new();
        for tick in deeds {
            let scene = Arc::get_mut(&mut shared).expect("no worker holds the scene between rounds");
            for deed in tick {
                match deed {
                    Deed::Join => {
                        let slot = scene.world.join();
                        let out = sent.entry(scene.world.id(slot).expect("just joined")).or_default();
                        viewers.join(scene, slot, None, out, &mut counts);
                        present.push(slot);
                    }
                    Deed::Leave(who) if !present.is_empty() => {
                        let slot = present.swap_remove(who % present.len());
                        scene.world.remove(slot);
                        viewers.leave(slot);
                    }
                    Deed::Act(who, input) if !present.is_empty() => {
                        scene.world.apply(present[who % present.len()], *input);
                    }
                    _ => {}
                }
            }
            scene.world.step(1);
            scene.refresh();
            viewers.begin_flush_round(scene);
            while !viewers.is_flush_round_over() {
                pool.flush_batch(&shared, &mut viewers, &mut |slot| slot % 7 != 3);
                while let Some((segment, frames)) = pool.batch().next_segment() {
                    sent.get_mut(&segment.id).expect("it joined").extend_from_slice(frames);
                }
            }
        }
        sent
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_number_of_workers_sends_the_same_bytes(deeds in deeds()) {
        let alone = play(&deeds, 1);
        prop_assert_eq!(&alone, &play(&deeds, 2));
        prop_assert_eq!(&alone, &play(&deeds, 4));
    }
}

#[test]
fn a_panic_costs_one_viewer_and_nobody_else() {
    let places: Vec<(u16, u16)> = (0..40).map(|n| (n * 10, 500)).collect();
    for threads in [1, 3] {
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, threads, 40usize.div_ceil(threads)).expect("threads");
            let mut scene = scene_of(world_of(&places));
            let mut viewers =
                Viewers::new(Settings { flush_interval: 1, interest_interval: 1, ..settings(128) });
            for slot in 0..40 {
                viewers.join(&scene, slot, None, &mut Vec::new(), &mut FrameCounts::default());
                scene.world.apply(slot, Input::Face { right: false });
            }
            viewers.viewer_mut(17).poisoned = true;
            scene.world.step(1);
            viewers.begin_flush_round(&scene);
            pool.flush_batch(&Arc::new(scene), &mut viewers, &mut |_| true);
            let (mut served, mut failed) = (0, Vec::new());
            while let Some((segment, frames)) = pool.batch().next_segment() {
                if segment.failed {
                    assert!(frames.is_empty());
                    failed.push(segment.slot);
                } else {
                    assert!(!frames.is_empty());
                    served += 1;
                }
            }
            assert_eq!((served, failed), (39, vec![17]), "{threads} threads");
            assert!(viewers.viewer(17).is_some(), "the viewer itself is not lost");
        });
    }
}

#[test]
fn a_quiet_world_costs_no_turns_and_a_distant_change_none_either() {
    let mut viewers = Viewers::new(settings(128));
    let mut scene = scene_of(world_of(&[(100, 100), (110, 100), (1900, 1900), (1910, 1900)]));
    for slot in 0..4 {
        viewers.join(&scene, slot, None, &mut Vec::new(), &mut FrameCounts::default());
        viewers.set_viewport(&scene, slot, 300, 300);
    }
    let mut due_after = |scene: &mut Scene, ticks: u32| {
        let mut slots = Vec::new();
        for _ in 0..ticks {
            scene.world.step(1);
            scene.refresh();
            let mut due = Vec::new();
            viewers.begin_flush_round(scene);
            viewers.take_due(scene, usize::MAX, &mut due, &mut |_| true);
            for (mut viewer, kind) in due {
                slots.push(viewer.slot);
                let (mut out, mut counts) = (Vec::new(), FrameCounts::default());
                let mut frames = Frames { world: &scene.world, out: &mut out, counts: &mut counts };
                let mut scratch = Scratch::default();
                super::flush::write_flush(
                    &mut viewer,
                    scene,
                    &settings(128),
                    kind,
                    &mut scratch,
                    &mut frames,
                );
                viewers.put_back(viewer);
            }
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    };
    // Everybody settles: the new members' dwell time, one full state each.
    due_after(&mut scene, 60 * 12);
    assert_eq!(due_after(&mut scene, 60 * 12), Vec::<u32>::new(), "nothing happened");
    scene.world.apply(0, Input::Face { right: false });
    assert_eq!(due_after(&mut scene, 60), [0, 1], "only those around are served");
}

#[test]
fn a_member_leaves_beyond_the_margin_and_not_before_its_time() {
    let settings = settings(128);
    let mut scene = scene_of(world_of(&[(1000, 1000), (1100, 1000)]));
    let mut viewer = Viewer::new(0, 1001, 0, &settings);
    viewer.set_viewport(200, 200, &scene.world);
    let mut scratch = Scratch::default();
    update_interest(&mut viewer, &scene, &settings, u32::MAX, &mut scratch);
    let mut shown_at = |scene: &mut Scene, x: u16, ticks: u32| {
        scene.world.place(1, x, 1000);
        scene.world.step(ticks);
        scene.grid.rebuild(&scene.world);
        update_interest(&mut viewer, scene, &settings, u32::MAX, &mut scratch);
        viewer.interest_set.len()
    };
    assert_eq!(shown_at(&mut scene, 1500, 60), 1, "far away, but too young to leave");
    assert_eq!(shown_at(&mut scene, 1100 + INTEREST_LEAVE_MARGIN, 120), 1, "on the margin");
    assert_eq!(shown_at(&mut scene, 1101 + INTEREST_LEAVE_MARGIN, 1), 0, "beyond it");
    assert_eq!(shown_at(&mut scene, 1101, 1), 0, "inside the margin, but not in the rectangle");
    assert_eq!(shown_at(&mut scene, 1100, 1), 1, "back in the rectangle");
}

/// One player who sees another, and what it takes to serve it.
struct Pair {
    settings: Settings,
    scene: Scene,
    viewer: Viewer,
    scratch: Scratch,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self {
            settings: settings(128),
            scene: scene_of(world_of(&[(1000, 1000), (1100, 1000)])),
            viewer: Viewer::new(0, 1001, 0, &settings(128)),
            scratch: Scratch::default(),
        };
        update_interest(&mut pair.viewer, &pair.scene, &pair.settings, u32::MAX, &mut pair.scratch);
        pair
    }

    /// What it is told in a turn.
    fn told(&mut self, kind: FlushKind) -> (Vec<u8>, FrameCounts) {
        let (mut out, mut counts) = (Vec::new(), FrameCounts::default());
        let mut frames = Frames { world: &self.scene.world, out: &mut out, counts: &mut counts };
        let (viewer, scratch) = (&mut self.viewer, &mut self.scratch);
        super::flush::write_flush(viewer, &self.scene, &self.settings, kind, scratch, &mut frames);
        (out, counts)
    }
}

#[test]
fn three_changes_while_away_are_told_once() {
    // A viewer that can't be written to keeps its place in time and gets the latest state once.
    let mut pair = Pair::new();
    for vector in [(1, 0), (0, 1), (-1, 0)] {
        pair.scene.world.apply(1, Input::Move { vector: Vector::new(vector.0, vector.1), claim: None });
        pair.scene.world.step(1);
    }
    let (out, counts) = pair.told(FlushKind::Delta);
    assert_eq!(counts, FrameCounts { movement: 1, ..FrameCounts::default() });
    assert_eq!(out, [0x82, 7, 255, 0xea, 3, 0, 0, 0xff, 0]);
}

#[test]
fn what_happens_in_the_tick_under_way_is_told_once_when_that_has_closed() {
    let mut pair = Pair::new();
    pair.scene.world.apply(1, Input::Attack);
    assert_eq!(pair.told(FlushKind::Delta).1, FrameCounts::default());
    pair.scene.world.step(1);
    assert_eq!(pair.told(FlushKind::Delta).1, FrameCounts { attack: 1, ..FrameCounts::default() });
    pair.scene.world.step(1);
    assert_eq!(pair.told(FlushKind::Delta).1, FrameCounts::default());
}

#[test]
fn a_look_after_a_long_silence_finds_no_news_where_there_are_none() {
    let mut pair = Pair::new();
    pair.viewer.snapshot_allowed = Some(0);
    for pause in [1, 10, 100, 1000] {
        pair.scene.world.step(pause);
        assert_eq!(pair.told(FlushKind::InterestUpdate).1, FrameCounts::default(), "after {pause} ticks");
    }
    pair.scene.world.apply(1, Input::Face { right: false });
    pair.scene.world.step(1000);
    assert_eq!(
        pair.told(FlushKind::InterestUpdate).1,
        FrameCounts { game_state: 1, ..FrameCounts::default() }
    );
}

#[test]
fn who_takes_the_slot_of_somebody_that_left_unnoticed_is_not_taken_for_it() {
    let mut pair = Pair::new();
    pair.scene.world.remove(1);
    pair.scene.world.step(1);
    // It was far off, where nothing matters to the viewer.
    pair.viewer.skip(FlushKind::Delta, pair.scene.world.tick());
    assert_eq!(pair.scene.world.join(), 1);
    pair.scene.world.apply(1, Input::Move { vector: Vector::new(1, 0), claim: None });
    pair.scene.world.step(1);
    assert_eq!(pair.told(FlushKind::Delta).1, FrameCounts::default());
}

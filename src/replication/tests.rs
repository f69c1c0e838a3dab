//! Properties of the module: the entities an update selects, and output that is equal for 1 and N threads.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::frames::Frames;
use super::interest::{HYSTERESIS_DISTANCE_FACTOR, Scratch, update_interest};
use super::pool::Pool;
use super::schedule::FlushKind;
use super::{FrameCounts, Scene, Settings, Viewer, Viewers};
use crate::limits::INTEREST_LEAVE_MARGIN;
use crate::world::random::SplitMix64;
use crate::world::testing::{rules, world_of};
use crate::world::{Input, Pace, Position, Tick, Vector, World};
use proptest::prelude::*;

pub(super) fn settings(max_visible: usize) -> Settings {
    Settings::new(Pace::new(60, 4), max_visible, 50, 5, 1000)
}

pub(super) fn scene_of(world: World) -> Scene {
    let mut scene = Scene::new(rules());
    scene.world = world;
    scene.grid.rebuild(&scene.world);
    scene
}

fn distance(a: Position, b: Position) -> f64 {
    f64::from(i32::from(a.x) - i32::from(b.x)).hypot(f64::from(i32::from(a.y) - i32::from(b.y)))
}

/// Checks an interest set against the rules, entity by entity.
fn check_set(viewer: &Viewer, scene: &Scene, settings: &Settings) -> Result<(), TestCaseError> {
    let world = &scene.world;
    let (enter, leave) = viewer.enter_and_leave_rects(world);
    let here = world.position(viewer.slot);
    let inside = |rect: super::grid::Rect, p: Position| rect.contains(i32::from(p.x), i32::from(p.y));
    let shown: HashMap<u32, _> = viewer.interest_set.iter().map(|member| (member.slot, member)).collect();
    prop_assert!(shown.len() == viewer.interest_set.len(), "no entity is in the set twice");
    prop_assert!(shown.len() <= settings.max_visible);
    prop_assert!(!shown.contains_key(&viewer.slot), "a viewer never sees itself");
    let is_young = |slot: &u32| shown[slot].age(world.tick()) < settings.dwell;
    for slot in shown.keys() {
        prop_assert!(is_young(slot) || inside(leave, world.position(*slot)), "{slot} is out of range");
    }
    let old = shown.keys().filter(|slot| !is_young(slot));
    let farthest = old.map(|slot| distance(here, world.position(*slot))).fold(0.0, f64::max);
    for slot in 0..world.slots() as u32 {
        let position = world.position(slot);
        let has_just_left = viewer.recent_leaves.as_slice().iter().any(|leave| leave.slot == slot);
        if slot == viewer.slot || shown.contains_key(&slot) || !inside(enter, position) || has_just_left {
            continue;
        }
        prop_assert!(
            shown.len() == settings.max_visible,
            "{slot} is in range but not in a set with free capacity"
        );
        let near = distance(here, position);
        // Squared distances are compared in whole units.
        prop_assert!(
            near + 1.0 > farthest * HYSTERESIS_DISTANCE_FACTOR,
            "{slot} is clearly nearer than a member"
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn an_update_selects_the_right_entities(
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
            prop_assert!(entered.iter().all(|id| !before.contains(id)), "an entering entity was not a member before");
            prop_assert!(scratch.left.ids().iter().all(|id| before.contains(id)), "a leaving entity was a member before");
            prop_assert_eq!(before.len() + entered.len() - scratch.left.ids().len(), viewer.interest_set.len());
            scene.world.step(40);
            scene.grid.rebuild(&scene.world);
        }
    }
}

/// Enters of a viewer near its cap, amid players that walk for a minute.
#[derive(Debug, Default)]
struct Enters {
    /// Enters within two seconds of a leave, outside the nearest half of the set.
    blinks: usize,
    /// Second enters while the client may be loading its first sprite.
    while_loading: usize,
}

fn enters_near_the_cap(settings: &Settings, seed: u64) -> Enters {
    let mut random = SplitMix64::new(seed);
    let places: Vec<_> =
        (0..60).map(|_| (random.in_range(400, 1_600), random.in_range(400, 1_600))).collect();
    let mut scene = scene_of(world_of(&places));
    let mut viewer = Viewer::new(0, scene.world.id(0).unwrap(), 0, settings);
    let (mut scratch, mut enters) = (Scratch::default(), Enters::default());
    let mut left_at: HashMap<u32, Tick> = HashMap::new();
    while scene.world.tick() < 60 * 60 {
        let now = scene.world.tick();
        let here = scene.world.position(0);
        let distance_of = |slot: u32| distance(here, scene.world.position(slot));
        let before: Vec<f64> = viewer.interest_set.slots().iter().map(|&slot| distance_of(slot)).collect();
        let first_entered = update_interest(&mut viewer, &scene, settings, u32::MAX, &mut scratch);
        for member in viewer.interest_set.iter().skip(first_entered) {
            let Some(left_at) = left_at.get(&member.id) else { continue };
            enters.while_loading += usize::from(now < settings.first_sprite_load);
            let nearer = before.iter().filter(|&&other| other < distance_of(member.slot)).count();
            let is_near = nearer < settings.max_visible.div_ceil(2);
            enters.blinks += usize::from(now - left_at < 120 && !is_near);
        }
        left_at.extend(scratch.left.ids().iter().map(|&id| (id, now)));
        for slot in 0..places.len() as u32 {
            if random.in_range(0, 8) == 0 {
                let vector = Vector::new(random.in_range(0, 3) as i8 - 1, random.in_range(0, 3) as i8 - 1);
                scene.world.apply(slot, Input::Move { vector, claim: None });
            }
        }
        scene.world.step(12);
        scene.grid.rebuild(&scene.world);
    }
    enters
}

#[test]
fn players_near_the_cap_do_not_blink_at_the_rim() {
    let mut blinks = 0;
    for seed in 0..20 {
        let held = enters_near_the_cap(&settings(20), seed);
        assert_eq!((held.blinks, held.while_loading), (0, 0), "{held:?} with seed {seed}");
        let free = Settings { reenter_after: 0, first_sprite_load: 0, ..settings(20) };
        blinks += enters_near_the_cap(&free, seed).blinks;
    }
    assert!(blinks > 5, "without the rule, only {blinks} blinks in 20 minutes");
}

/// One change to a world, generated by proptest.
#[derive(Debug, Clone)]
enum Action {
    Join,
    Leave(usize),
    Act(usize, Input),
}

fn actions() -> impl Strategy<Value = Vec<Vec<Action>>> {
    let input = prop_oneof![
        (-1i8..=1, -1i8..=1).prop_map(|(dx, dy)| Input::Move { vector: Vector::new(dx, dy), claim: None }),
        any::<bool>().prop_map(|right| Input::Face { right }),
        Just(Input::Attack),
        Just(Input::AttackEnd),
    ];
    let action = prop_oneof![
        3 => Just(Action::Join),
        1 => any::<usize>().prop_map(Action::Leave),
        6 => (any::<usize>(), input).prop_map(|(index, input)| Action::Act(index, input)),
    ];
    proptest::collection::vec(proptest::collection::vec(action, 0..12), 1..60)
}

/// Applies one list of actions per tick. Returns the bytes sent to each player, by id.
fn play(actions: &[Vec<Action>], threads: usize) -> HashMap<u32, Vec<u8>> {
    std::thread::scope(|scope| {
        let mut pool = Pool::spawn_with(scope, threads, 1).expect("threads");
        let mut shared = Arc::new(Scene::new(rules()));
        let mut viewers = Viewers::new(settings(10));
        let (mut sent, mut counts) = (HashMap::<u32, Vec<u8>>::new(), FrameCounts::default());
        let mut present: Vec<u32> = Vec::new();
        for tick in actions {
            let scene = Arc::get_mut(&mut shared).expect("no worker holds the scene between rounds");
            for action in tick {
                match action {
                    Action::Join => {
                        let slot = scene.world.join();
                        let out = sent.entry(scene.world.id(slot).expect("just joined")).or_default();
                        viewers.join(scene, slot, None, out, &mut counts);
                        present.push(slot);
                    }
                    Action::Leave(index) if !present.is_empty() => {
                        let slot = present.swap_remove(index % present.len());
                        scene.world.remove(slot);
                        viewers.leave(slot);
                    }
                    Action::Act(index, input) if !present.is_empty() => {
                        scene.world.apply(present[index % present.len()], *input);
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
                    sent.get_mut(&segment.id).expect("every viewer has joined").extend_from_slice(frames);
                }
            }
        }
        sent
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_number_of_workers_sends_the_same_bytes(actions in actions()) {
        let alone = play(&actions, 1);
        prop_assert_eq!(&alone, &play(&actions, 2));
        prop_assert_eq!(&alone, &play(&actions, 4));
    }
}

#[test]
fn a_panic_affects_one_viewer_only() {
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
            viewers.viewer_mut(17).schedule.poisoned = true;
            scene.world.step(1);
            viewers.begin_flush_round(&scene);
            pool.flush_batch(&Arc::new(scene), &mut viewers, &mut |_| true);
            let (mut flushed, mut failed) = (0, Vec::new());
            while let Some((segment, frames)) = pool.batch().next_segment() {
                if segment.failed {
                    assert!(frames.is_empty());
                    failed.push(segment.slot);
                } else {
                    assert!(!frames.is_empty());
                    flushed += 1;
                }
            }
            assert_eq!((flushed, failed), (39, vec![17]), "{threads} threads");
            assert!(viewers.viewer(17).is_some(), "the viewer is returned");
        });
    }
}

/// Closes a tick and flushes all due viewers. Returns their slots, and whether their flush had content.
fn flush_round(viewers: &mut Viewers, scene: &mut Scene) -> Vec<(u32, bool)> {
    scene.world.step(1);
    scene.refresh();
    let mut due = Vec::new();
    viewers.begin_flush_round(scene);
    viewers.take_due(scene, usize::MAX, &mut due, &mut |_| true);
    let flush = |(mut viewer, kind): (Box<Viewer>, FlushKind)| {
        let (mut out, mut counts) = (Vec::new(), FrameCounts::default());
        let mut frames = Frames { world: &scene.world, out: &mut out, counts: &mut counts };
        let (settings, mut scratch) = (viewers.settings().clone(), Scratch::default());
        super::flush::write_flush(&mut viewer, scene, &settings, kind, &mut scratch, &mut frames);
        let slot = viewer.slot;
        viewers.put_back(viewer);
        (slot, !out.is_empty())
    };
    due.into_iter().map(flush).collect()
}

fn viewers_of(scene: &Scene, viewport: Option<(u16, u16)>) -> Viewers {
    let mut viewers = Viewers::new(settings(128));
    for slot in 0..scene.world.slots() as u32 {
        viewers.join(scene, slot, viewport, &mut Vec::new(), &mut FrameCounts::default());
    }
    viewers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The timer wheel wakes no viewer later than its schedule says, whatever is piggybacked or set meanwhile.
    #[test]
    fn a_viewer_with_changes_is_flushed_once_per_interval(
        ticks in proptest::collection::vec(
            (proptest::collection::vec(0u32..12, 0..4), proptest::option::weighted(0.1, 1u64..10)), 1..120,
        ),
    ) {
        let mut scene = scene_of(world_of(&[(500, 500); 12]));
        let mut viewers = viewers_of(&scene, None);
        let (mut flushed_at, mut deadline) = ([0; 12], [1 + viewers.settings().flush_interval; 12]);
        // At first some viewers see nobody.
        let warm_up = std::iter::repeat_n((Vec::new(), None), 30);
        for (acks, new_interval) in warm_up.chain(ticks) {
            if let Some(interval) = new_interval {
                viewers.settings_mut().flush_interval = interval;
                (0..12).for_each(|at| deadline[at] = (flushed_at[at] + interval).max(deadline[at]));
            }
            let (now, interval) = (scene.world.tick(), viewers.settings().flush_interval);
            for slot in acks {
                let (at, mut out) = (slot as usize, Vec::new());
                viewers.piggyback(&scene, slot, true, &mut out, &mut FrameCounts::default());
                if !out.is_empty() {
                    prop_assert!(now >= flushed_at[at] + (interval / 2).max(1));
                    flushed_at[at] = now + 1;
                    deadline[at] = (now + 1 + interval).max(deadline[at]);
                }
            }
            for slot in 0..12 {
                scene.world.apply(slot, Input::Face { right: now % 2 == 1 });
            }
            for (slot, has_content) in flush_round(&mut viewers, &mut scene) {
                let at = slot as usize;
                prop_assert!(now < 30 || has_content && now + 1 >= flushed_at[at] + interval);
                (flushed_at[at], deadline[at]) = (now + 1, now + 1 + interval);
            }
            prop_assert!(deadline.iter().all(|&deadline| deadline > now + 1));
        }
    }
}

#[test]
fn a_quiet_world_and_a_distant_change_cause_no_flushes() {
    let mut scene = scene_of(world_of(&[(100, 100), (110, 100), (1900, 1900), (1910, 1900)]));
    let mut viewers = viewers_of(&scene, Some((300, 300)));
    let mut due_after = |scene: &mut Scene, ticks: u32| {
        let slots: BTreeSet<u32> =
            (0..ticks).flat_map(|_| flush_round(&mut viewers, scene)).map(|(slot, _)| slot).collect();
        slots.into_iter().collect::<Vec<_>>()
    };
    // Settling takes the loading time of the first sprite and one snapshot each.
    due_after(&mut scene, 60 * 22);
    assert_eq!(due_after(&mut scene, 60 * 12), Vec::<u32>::new(), "nothing happened");
    scene.world.apply(0, Input::Face { right: false });
    assert_eq!(due_after(&mut scene, 60), [0, 1], "only nearby viewers are flushed");
}

#[test]
fn a_member_leaves_beyond_the_margin_after_its_dwell_time() {
    let settings = settings(128);
    let mut scene = scene_of(world_of(&[(1000, 1000), (1100, 1000)]));
    let mut viewer = Viewer::new(0, 1001, 0, &settings);
    viewer.set_viewport(200, 200, &scene.world);
    let mut scratch = Scratch::default();
    update_interest(&mut viewer, &scene, &settings, u32::MAX, &mut scratch);
    let mut visible_at = |scene: &mut Scene, x: u16, ticks: u32| {
        scene.world.place(1, x, 1000);
        scene.world.step(ticks);
        scene.grid.rebuild(&scene.world);
        update_interest(&mut viewer, scene, &settings, u32::MAX, &mut scratch);
        viewer.interest_set.len()
    };
    assert_eq!(visible_at(&mut scene, 1500, 60), 1, "far away, but within its dwell time");
    assert_eq!(visible_at(&mut scene, 1100 + INTEREST_LEAVE_MARGIN, 120), 1, "on the margin");
    assert_eq!(visible_at(&mut scene, 1101 + INTEREST_LEAVE_MARGIN, 1), 0, "beyond it");
    assert_eq!(visible_at(&mut scene, 1101, 1), 0, "inside the margin, but not in the rectangle");
    assert_eq!(visible_at(&mut scene, 1100, 1), 1, "back in the rectangle");
}
